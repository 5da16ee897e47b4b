// The loss after the last step over two knobs of the selected optimizer, as a map to click in. It is computed a few
// columns at a time, so that the page stays responsive.

import { el, format, prepare, strokeCased } from "./dom.js";
import { crossings } from "./crossings.js";
import { scale } from "./knobs.js";
import { quadraticOf, theory } from "./quadratic.js";
import { finalLoss } from "./simulate.js";
import { ruleNamed } from "./state.js";

const CELLS = { x: 64, y: 40 };
const PLACES = [0, 0.25, 0.5, 0.75, 1]; // of an axis that bear a number
const MOST_STEPS = 1000;
const BUDGET = 8; // milliseconds of work in a frame

export class KnobMap {
  constructor({ choose, setAxes }) {
    this.choose = choose;
    this.setAxes = setAxes;
    this.canvas = el("canvas", {
      class: "map",
      role: "application",
      tabindex: 0,
      "aria-label": "Final loss over two knobs: the arrow keys move the ring",
      "aria-describedby": "ravine-map-legend",
    });
    this.axes = [0, 1].map((k) =>
      el("select", { "aria-label": ["Knob across", "Knob upward"][k], onchange: () => this.pickAxes() }),
    );
    this.legend = el("p", { class: "hint", id: "ravine-map-legend", "aria-live": "polite" });
    this.scales = [0, 1].map(() => PLACES.map(() => el("span")));
    this.lines = el("p", { class: "hint" });
    const bar = el("div", { class: "color-bar" }, el("span", {}, "10⁻⁸"), el("span", { class: "ramp" }), el("span", {}, "1"));
    this.body = el(
      "div",
      { class: "map-body" },
      el("label", { class: "down" }, "up ", this.axes[1]),
      el("div", { class: "framed" }, el("div", { class: "upward" }, ...this.scales[1].toReversed()), this.canvas),
      el("div", { class: "across" }, ...this.scales[0]),
      el("label", {}, "across ", this.axes[0]),
      bar,
      this.legend,
      this.lines,
    );
    bar.querySelector(".ramp").style.background = `linear-gradient(to right, ${RAMP})`;
    this.toggle = el(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-expanded": "false",
        onclick: () => this.setAxes(this.shown ? null : this.firstAxes()),
      },
      "Show",
    );
    this.element = el(
      "section",
      { class: "panel knob-map", "aria-label": "Map of two knobs" },
      el("header", {}, el("h2", {}, "Map of two knobs"), this.toggle),
      this.body,
    );
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.key = "";
  }

  firstAxes() {
    return this.rule.hyper.slice(0, 2).map((knob) => knob.name);
  }

  pickAxes() {
    this.setAxes(this.axes.map((select) => select.value));
  }

  show({ state, surface, theme }) {
    const chosen = state.optimizers[state.selected];
    this.rule = chosen && ruleNamed(chosen.rule);
    const enough = this.rule && this.rule.hyper.length > 1;
    this.element.hidden = !enough;
    this.shown = enough && state.map !== null;
    this.body.hidden = !this.shown;
    this.toggle.textContent = this.shown ? "Hide" : "Show";
    this.toggle.setAttribute("aria-expanded", String(Boolean(this.shown)));
    if (!this.shown) return;
    const names = this.rule.hyper.map((knob) => knob.name);
    const wanted = state.map.every((name) => names.includes(name)) ? state.map : this.firstAxes();
    this.knobs = wanted.map((name) => names.indexOf(name));
    this.axes.forEach((select, k) => {
      select.replaceChildren(...names.map((name) => el("option", { value: name, selected: name === wanted[k] }, name)));
    });
    this.state = state;
    this.hyper = chosen.hyper;
    const others = chosen.hyper.filter((_, k) => !this.knobs.includes(k));
    const key = JSON.stringify([
      chosen.rule,
      this.knobs,
      others,
      surface.name,
      state.formula,
      state.parameters,
      state.start,
      state.steps,
    ]);
    this.theme = theme;
    const maps = this.knobs.map((k) => scale(this.rule.hyper[k]));
    this.scales.forEach((row, axis) => row.forEach((place, k) => (place.textContent = format(maps[axis].value(PLACES[k])))));
    if (key !== this.key || surface !== this.surface) {
      this.key = key;
      this.surface = surface;
      this.loss = new Float64Array(CELLS.x * CELLS.y).fill(NaN);
      this.column = 0;
      this.steps = Math.min(state.steps, MOST_STEPS);
      this.borders = this.theory();
    }
    this.draw();
  }

  // Do a little of what is left to compute. Returns whether there is more.
  work() {
    if (!this.shown || this.column >= CELLS.x) return false;
    const maps = this.knobs.map((k) => scale(this.rule.hyper[k]));
    const until = performance.now() + BUDGET;
    const hyper = [...this.hyper];
    while (this.column < CELLS.x && performance.now() < until) {
      for (let j = 0; j < CELLS.y; j++) {
        hyper[this.knobs[0]] = maps[0].value((this.column + 0.5) / CELLS.x);
        hyper[this.knobs[1]] = maps[1].value((j + 0.5) / CELLS.y);
        this.loss[j * CELLS.x + this.column] = finalLoss(this.rule, hyper, this.surface, this.state.start, this.steps);
      }
      this.column++;
    }
    this.draw();
    return this.column < CELLS.x;
  }

  // Lines on the map that theory gives for a quadratic: where the worse axis neither shrinks nor grows, and where both
  // axes begin to swing. Null where there is no theory.
  theory() {
    const axes = quadraticOf(this.surface)?.axes;
    this.lines.textContent = "";
    if (!axes || !theory(this.rule, this.hyper, axes[0].curvature)) return null;
    const maps = this.knobs.map((k) => scale(this.rule.hyper[k]));
    const hyper = [...this.hyper];
    const at = (i, j) => {
      hyper[this.knobs[0]] = maps[0].value((i + 0.5) / CELLS.x);
      hyper[this.knobs[1]] = maps[1].value((j + 0.5) / CELLS.y);
      const found = axes.map(({ curvature }) => theory(this.rule, hyper, curvature));
      return { factor: Math.max(...found.map((f) => f.factor)) - 1, swings: found.every((f) => f.swings) ? 1 : -1 };
    };
    const grid = Array.from({ length: CELLS.x }, (_, i) => Array.from({ length: CELLS.y }, (_, j) => at(i, j)));
    // The heavy ball is told by what it does: it shrinks by √μ wherever it swings.
    const trial = { mu: 0.81, lr: 1 / axes[1].curvature };
    const probe = this.hyper.map((v, k) => trial[this.rule.hyper[k].name] ?? v);
    const found = theory(this.rule, probe, axes[1].curvature);
    const isBall = this.rule.hyper.some(({ name }) => name === "mu") && found.swings && Math.abs(found.factor - 0.9) < 1e-9;
    const bound = isBall ? `, at lr = 2(1+μ)/h with h = ${format(axes[1].curvature)}` : "";
    const swings = grid.flat().some((cell) => cell.swings > 0);
    const inner = swings ? ` Between the dotted lines both axes swing${isBall ? ", and shrink by √μ a step" : ""}.` : "";
    this.lines.textContent = `Beyond the full line it diverges${bound}.${inner}`;
    const lines = (key) => crossings(CELLS.x, CELLS.y, (i, j) => grid[i][j][key]);
    return { diverges: lines("factor"), swings: lines("swings") };
  }

  drawBorders(context, w, h, height) {
    if (!this.borders) return;
    const dotted = this.borders.swings.filter((_, k) => k % 2);
    for (const segments of [this.borders.diverges, dotted]) {
      const path = new Path2D();
      for (const [a, b, c, d] of segments) {
        path.moveTo((a + 0.5) * w, height - (b + 0.5) * h);
        path.lineTo((c + 0.5) * w, height - (d + 0.5) * h);
      }
      strokeCased(context, context, path, { color: "#fff", casing: "#000", width: 1.6 });
    }
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (width < 20 || height < 20) return;
    const context = prepare(this.canvas, width, height);
    const start = this.surface.value(this.state.start);
    const floor = this.surface.minimum ?? Math.min(start, ...this.loss.filter(Number.isFinite));
    const span = Math.abs(start - floor) || 1;
    const [w, h] = [width / CELLS.x, height / CELLS.y];
    for (let j = 0; j < CELLS.y; j++) {
      for (let i = 0; i < this.column; i++) {
        context.fillStyle = lossColor((this.loss[j * CELLS.x + i] - floor) / span);
        context.fillRect(i * w, height - (j + 1) * h, w + 0.5, h + 0.5);
      }
    }
    this.drawBorders(context, w, h, height);
    const maps = this.knobs.map((k) => scale(this.rule.hyper[k]));
    const x = Math.min(1, Math.max(0, maps[0].position(this.hyper[this.knobs[0]]))) * width;
    const y = (1 - Math.min(1, Math.max(0, maps[1].position(this.hyper[this.knobs[1]])))) * height;
    context.lineWidth = 2;
    for (const [radius, color] of [
      [8, "#fff"],
      [6, "#000"],
    ]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.setLineDash([]);
      context.strokeStyle = color;
      context.stroke();
    }
    const [a, b] = this.knobs.map((k) => `${this.rule.hyper[k].name} ${format(this.hyper[k])}`);
    this.legend.textContent = `Loss after ${this.steps} steps, without noise, over the start’s: grey did not get below it. Ring: ${a}, ${b}.`;
  }

  // An arrow key takes the ring to the middle of the next cell.
  press(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere the arrows move in time
    const axis = move[0] ? 0 : 1;
    const count = [CELLS.x, CELLS.y][axis];
    const k = this.knobs[axis];
    const map = scale(this.rule.hyper[k]);
    const cell = Math.floor(Math.min(1, Math.max(0, map.position(this.hyper[k]))) * count) + move[axis];
    const value = map.value((Math.min(count - 1, Math.max(0, cell)) + 0.5) / count);
    this.choose([k], [value]);
  }

  click(event) {
    const box = this.canvas.getBoundingClientRect();
    const parts = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
    this.choose(
      this.knobs,
      this.knobs.map((k, axis) => scale(this.rule.hyper[k]).value(parts[axis])),
    );
  }
}

const STOPS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
const RAMP = STOPS.map((stop) => `rgb(${stop.join(" ")})`).join(", ");

// A ratio of losses as a colour: from deep blue at 10⁻⁸ over green to a pale yellow at 1 (after viridis).
function lossColor(ratio) {
  if (!Number.isFinite(ratio) || ratio > 1) return "#9a9a9a";
  const part = Math.min(1, Math.max(0, 1 + Math.log10(Math.max(ratio, 1e-300)) / 8)) * (STOPS.length - 1);
  const k = Math.min(STOPS.length - 2, Math.floor(part));
  return `rgb(${STOPS[k].map((c, j) => Math.round(c + (part - k) * (STOPS[k + 1][j] - c))).join(",")})`;
}
