// Time: play, pause, step, scrub, speed; and how many frames a second the page really draws.

import { el, icon, setText } from "./dom.js";
import { SPEED, STEPS } from "./state.js";
import { clamp } from "./stage.js";

const ICONS = {
  start: "M3 3h2v10H3zM13 3v10L6 8z",
  back: "M11 3v10L4 8z",
  forward: "M5 3v10l7-5z",
  play: "M4 2.5v11l10-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
};

export class Player {
  // `seek(time, done)` moves to a time, `setSteps` and `setSpeed` change the settings, `toggle` starts and stops.
  constructor({ seek, toggle, setSteps, setSpeed, setLoop }) {
    const button = (name, label, action) =>
      el("button", { type: "button", title: label, "aria-label": label, onclick: action }, icon(ICONS[name]));
    this.play = button("play", "Play", toggle);
    this.play.classList.add("play");
    this.slider = el("input", {
      type: "range",
      class: "scrub",
      min: 0,
      step: 1,
      "aria-label": "Step",
      oninput: () => seek(Number(this.slider.value), false),
      onchange: () => seek(Number(this.slider.value), true),
    });
    this.now = el("span", { class: "now" });
    this.steps = el("input", {
      type: "number",
      min: STEPS.low,
      max: STEPS.high,
      "aria-label": "Number of steps",
      onchange: () => {
        const steps = clamp(Math.round(Number(this.steps.value)) || STEPS.low, STEPS.low, STEPS.high);
        this.steps.value = steps; // what is typed may be out of range
        setSteps(steps);
      },
    });
    const decades = Math.log10(SPEED.high / SPEED.low);
    this.speed = el("input", {
      type: "range",
      min: 0,
      max: 100,
      "aria-label": "Speed, steps a second",
      oninput: () => setSpeed(Number((SPEED.low * 10 ** ((this.speed.value / 100) * decades)).toPrecision(2))),
    });
    this.loop = el("input", { type: "checkbox", onchange: () => setLoop(this.loop.checked) });
    this.speedNote = el("span", { class: "note" });
    this.rate = el("span", { class: "rate", title: "Frames drawn in the last second" });
    this.element = el(
      "div",
      { class: "player", role: "group", "aria-label": "Time" },
      el(
        "div",
        { class: "transport" },
        button("start", "Back to the start", () => seek(0, true)),
        button("back", "One step back", () => seek("back", true)),
        this.play,
        button("forward", "One step forward", () => seek("forward", true)),
      ),
      this.slider,
      el("label", { class: "count" }, this.now, "of", this.steps),
      el("label", { class: "speed" }, "speed", this.speed, this.speedNote),
      el("label", { class: "speed again" }, this.loop, "loop"),
      this.rate,
    );
    this.frames = [];
    this.decades = decades;
  }

  show(state, playing) {
    this.slider.max = state.steps;
    if (document.activeElement !== this.steps) this.steps.value = state.steps;
    this.speed.value = Math.round((100 * Math.log10(state.speed / SPEED.low)) / this.decades);
    this.speed.setAttribute("aria-valuetext", `${state.speed} steps a second`);
    setText(this.speedNote, `${state.speed}/s`);
    this.loop.checked = state.loop;
    this.play.querySelector("path").setAttribute("d", playing ? ICONS.pause : ICONS.play);
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.title = playing ? "Pause (space)" : "Play (space)";
    if (!playing) {
      this.frames = [];
      setText(this.rate, "");
    }
  }

  drawAt(time) {
    this.slider.value = Math.round(time);
    setText(this.now, String(Math.floor(time)));
  }

  // Count a frame drawn while playing.
  count(timestamp) {
    this.frames.push(timestamp);
    while (this.frames[0] < timestamp - 1000) this.frames.shift();
    const span = timestamp - this.frames[0];
    if (span < 500) return;
    const rate = (1000 * (this.frames.length - 1)) / span;
    this.rate.dataset.rate = rate.toFixed(1);
    setText(this.rate, `${Math.round(rate)} frames/s`);
  }
}
