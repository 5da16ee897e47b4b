// The playground: one state, from which everything that is seen follows.

import { Chart } from "./chart.js";
import { Axes } from "./eigen.js";
import { setText } from "./dom.js";
import { Fit } from "./fit.js";
import { FormulaError } from "./parse.js";
import { History } from "./history.js";
import { Inside } from "./inside.js";
import { pressKey } from "./keys.js";
import { layout } from "./layout.js";
import { KnobMap } from "./map.js";
import { Model } from "./model.js";
import { optimizersPanel } from "./optimizers.js";
import { noisePanel, scenarioPanel, surfacePanel } from "./panels.js";
import { Player } from "./player.js";
import { Relief } from "./relief.js";
import { Stage } from "./stage.js";
import { decode, differsFromPreset, encode, fromPreset } from "./link.js";
import { chartsOf } from "./quantities.js";
import { copy, defaults, ruleNamed } from "./state.js";
import { Tools } from "./tools.js";
import { fitted, homeView, zoomed } from "./view.js";

const TEXT_INTERVAL = 100; // milliseconds between changes of the numbers while playing: nobody reads faster
const REST = 1500; // milliseconds at the last step of a loop

// Build the playground in an element. `store` keeps the state's text: {read(), write(text)}, and `link(text)` if it
// can be shared as an address; `keys` is what hears the keyboard, if not the element.
export class Playground {
  constructor(root, store) {
    this.root = root;
    this.store = store;
    this.model = new Model();
    this.playing = false;
    this.goodFormula = defaults().formula;
    this.build();
    this.darkness = window.matchMedia("(prefers-color-scheme: dark)");
    this.open(store.read());
    this.darkness.addEventListener("change", () => this.refresh());
    new ResizeObserver(() => this.refresh()).observe(this.stage.picture);
    (store.keys ?? root).addEventListener("keydown", (event) => pressKey(this, event));
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  build() {
    const act = (change, done) => this.act(change, done);
    this.scenario = scenarioPanel({
      open: (name) => this.begin(fromPreset(name)),
      reset: () => this.begin(fromPreset(this.state.preset || this.origin)),
    });
    this.surface = surfacePanel(act);
    this.noise = noisePanel(act);
    this.optimizers = optimizersPanel(act);
    this.relief = new Relief({ set: (angles, done) => act((s) => (s.relief = angles), done) });
    this.stage = new Stage({
      more: this.relief.button,
      moveStart: (point, done) => act((s) => (s.start = [...point]), done),
      zoom: (factor) => this.zoom(factor),
      setArrows: (wanted) => act((s) => (s.arrows = wanted), true),
    });
    this.player = new Player({
      seek: (time, done) => this.seek(time, done),
      toggle: () => this.toggle(),
      setSteps: (steps) => act((s) => Object.assign(s, { steps, at: Math.min(s.at, steps) }), true),
      setLoop: (loop) => act((s) => (s.loop = loop), true),
      setSpeed: (speed) => act((s) => (s.speed = speed), false),
    });
    const scrub = (time) => this.seek(Math.round(time), true);
    this.charts = [0, 1].map(
      (k) => new Chart(k + 1, { scrub, choose: (change) => act((s) => Object.assign(s.charts[k], change), true) }),
    );
    this.inside = new Inside({
      setCoordinate: (k) => act((s) => (s.coordinate = k), true),
      setVersus: (k) => act((s) => (s.versus = k), true),
    });
    this.axes = new Axes();
    this.map = new KnobMap({
      setAxes: (axes) => act((s) => (s.map = axes), true),
      choose: (knobs, values) =>
        act((s) => knobs.forEach((k, i) => (s.optimizers[s.selected].hyper[k] = values[i])), true),
    });
    this.fit = new Fit();
    this.tools = new Tools(this);
    this.root.classList.add("ravine");
    this.root.replaceChildren(
      ...layout({
        tools: this.tools,
        asides: [this.fit, this.relief],
        main: [this.scenario, this.stage, this.player, this.charts, this.inside, this.axes],
        side: [this.optimizers, this.surface, this.noise, this.map],
      }),
    );
  }

  // Take over the state in a text; with none, the first scenario, playing.
  open(text) {
    const { state, problems, moment } = decode(text);
    this.state = text ? state : fromPreset("");
    setText(
      this.tools.notice,
      problems.length ? `Not all of this link could be used: ${[...new Set(problems)].join("; ")}.` : "",
    );
    this.history = new History(encode(this.state));
    this.playing = !(text && moment) && !still();
    this.refresh();
  }

  // A new situation, from its first step.
  begin(state) {
    this.act((s) => Object.assign(s, state, { theme: s.theme }), true);
    this.playing = !still();
    this.refresh();
  }

  // Change the state. While a knob is being moved `done` is false; then undo will go back over the whole movement.
  act(change, done) {
    const before = copy(this.state);
    change(this.state);
    // Another surface is another story.
    if (before.surface !== this.state.surface && before.preset === this.state.preset) this.state.preset = "";
    if (done) this.commit();
    this.refresh();
  }

  commit() {
    const text = encode(this.state);
    this.history.add(text);
    this.store.write(text);
  }

  undo() {
    this.restore(this.history.undo());
  }

  redo() {
    this.restore(this.history.redo());
  }

  restore(text) {
    if (text === null) return;
    const at = this.state.at;
    this.state = decode(text).state;
    this.state.at = Math.min(at, this.state.steps);
    this.store.write(encode(this.state));
    this.refresh();
  }

  view() {
    return this.state.view ?? homeView(this.model.surface);
  }

  zoom(factor) {
    const { surface, runs } = this.model;
    this.act((s) => (s.view = factor ? zoomed(this.view(), factor) : fitted(surface, s.start, runs)), true);
  }

  // Paint everything for paper: in its width and in the light colours. The print style leaves the controls out.
  print(begins) {
    this.root.classList.toggle("printing", begins);
    this.printing = begins;
    this.stage.surface = null; // paints all anew
    this.refresh();
  }

  // Show the state: whatever depends on it follows, and does nothing where nothing changed.
  refresh() {
    const { state, model } = this;
    const dark = !this.printing && (state.theme === "dark" || (state.theme === "auto" && this.darkness.matches));
    let error = null;
    try {
      model.update(state, dark);
      this.goodFormula = state.formula;
    } catch (problem) {
      if (!(problem instanceof FormulaError)) throw problem;
      error = problem;
      model.update({ ...state, formula: this.goodFormula }, dark); // go on with the last one that was right
    }
    const theme = dark ? "dark" : "light";
    this.root.dataset.theme = theme;
    const { surface, runs, looks } = model;
    const { selected, steps, start } = state;
    this.origin = state.preset || this.origin; // where a reset leads to
    this.scenario.show(state, differsFromPreset(state));
    this.surface.show(state, error);
    this.noise.show(state);
    this.optimizers.show(state, looks);
    this.player.show(state, this.playing);
    this.stage.pointColors = null;
    const rule = state.optimizers[selected] && ruleNamed(state.optimizers[selected].rule);
    const arrowsOf = state.arrows ? (rule ?? null) : null;
    this.stage.show({ surface, view: this.view(), runs, looks, start, steps, selected, theme, arrowsOf });
    chartsOf(state, model).forEach((shown, k) => this.charts[k].show({ ...shown, theme }));
    this.inside.show({ state, runs, looks, surface });
    const hyper = state.optimizers[selected]?.hyper;
    this.axes.show({ surface, run: runs[selected], rule, hyper });
    this.map.show({ state, surface, theme });
    this.fit.show({ surface, runs, looks, selected, theme });
    const colors = this.stage.colors();
    this.relief.show({ angles: state.relief, surface, view: this.stage.view, runs, looks, selected, colors, theme });
    this.root.classList.toggle("answers-hidden", state.hidden);
    this.tools.show(state, this.history);
    this.textTime = -Infinity;
    if (this.printing) this.frame(performance.now());
    else this.request();
  }

  request() {
    this.pending ??= requestAnimationFrame((timestamp) => this.frame(timestamp));
  }

  frame(timestamp) {
    this.pending = undefined;
    const { state } = this;
    if (this.playing) {
      const passed = Math.min(100, timestamp - (this.last ?? timestamp));
      state.at = Math.min(state.steps, state.at + (passed / 1000) * state.speed);
      this.player.count(timestamp);
      if (state.at >= state.steps) this.arrive(timestamp);
      else this.rested = undefined;
    }
    this.last = this.playing ? timestamp : undefined;
    this.stage.drawAt(state.at);
    this.relief.drawAt(state.at);
    this.charts.forEach((chart) => chart.drawAt(state.at));
    this.player.drawAt(state.at);
    if (!this.playing || timestamp - this.textTime > TEXT_INTERVAL) {
      this.textTime = timestamp;
      this.optimizers.drawAt(Math.floor(state.at), this.model.runs);
      this.inside.drawAt(Math.floor(state.at));
      this.axes.drawAt(Math.floor(state.at));
      this.fit.drawAt(Math.floor(state.at));
      this.charts.forEach((chart) => chart.read(Math.floor(state.at)));
    }
    if (this.map.work() || this.playing) this.request();
  }

  // At the last step: begin again after a moment, or stop.
  arrive(timestamp) {
    if (!this.state.loop) return this.stop();
    this.rested ??= timestamp;
    if (timestamp - this.rested > REST) this.state.at = 0;
    return undefined;
  }

  toggle() {
    if (this.playing) return this.stop();
    if (this.state.at >= this.state.steps) this.state.at = 0;
    this.playing = true;
    this.player.show(this.state, true);
    return this.request();
  }

  stop() {
    this.playing = false;
    this.state.at = Math.floor(this.state.at);
    this.commit();
    this.player.show(this.state, false);
    this.request();
  }

  seek(time, done) {
    const { state } = this;
    this.playing = false;
    const target = { back: Math.ceil(state.at) - 1, forward: Math.floor(state.at) + 1 }[time] ?? time;
    state.at = Math.min(state.steps, Math.max(0, target));
    if (done) this.commit();
    this.player.show(state, false);
    this.request();
  }

}

// Whether the person has asked for no movement that they did not start.
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
