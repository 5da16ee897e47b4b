// The picture: the surface with everybody's path on it, and the start to drag.
//
// Three canvases are kept apart, so that a frame draws only what changed: the surface, the casings of the paths and the paths,
// of which a frame adds the newest piece. A frame lays them on each other, and the points on top, on the one that is shown. A
// surface of one dimension is a curve with the points on it; below it the paths run down, time against position.

import { el, prepare, strokeCased } from "./dom.js";
import { CURVE_PART, paintGround } from "./ground.js";
import { drawArrows } from "./arrows.js";
import { StartHandle } from "./start.js";
import { withEqualAxes } from "./view.js";

const DOTTED = [1, 2]; // of the line's width
const FAR = 1e5; // pixels: what a diverging path is clipped to

export class Stage {
  // `moveStart(point, done)` is called while the start is dragged, `zoom(factor)` for the buttons; 0 means fit. `more` is one more button.
  constructor({ moveStart, zoom, setArrows, more }) {
    this.moveStart = moveStart;
    [this.base, this.casings, this.paths] = [0, 1, 2].map(() => document.createElement("canvas"));
    this.points = el("canvas", { class: "layer", "aria-hidden": "true" });
    this.handle = new StartHandle({ pointAt: (u, v) => this.toPoint(u, v), move: moveStart });
    const button = (text, label, factor) =>
      el(
        "button",
        { type: "button", class: "quiet", title: label, "aria-label": label, onclick: () => zoom(factor) },
        text,
      );
    this.picture = el(
      "div",
      { class: "stage", role: "group", "aria-label": "Surface and paths" },
      this.points,
      this.handle.element,
    );
    this.legend = el("p", { class: "hint holes", hidden: true }, el("span", { class: "hatch" }), " the formula has no value here");
    const buttons = [button("+", "Zoom in", 0.7), button("−", "Zoom out", 1 / 0.7), button("fit", "Zoom to fit all paths", 0)];
    this.arrows = el("input", { type: "checkbox", onchange: () => setArrows(this.arrows.checked) });
    const choice = el("label", { class: "hint" }, this.arrows, el("span", {}, "arrows", el("span", { class: "more" }, ": gradient, momentum, step")));
    this.hollow = el("p", { class: "hint", hidden: true }, "○ what is evaluated");
    this.below = el("div", { class: "below" }, choice, this.hollow, this.legend, el("div", { class: "zoom" }, more, ...buttons));
    this.points.addEventListener("click", (event) => this.moveStart(this.toPoint(event.clientX, event.clientY), true));
    this.drawn = [];
    this.width = this.height = 0;
  }

  // Take over a new situation. What is the same object as before is not drawn again.
  show({ surface, view, runs, looks, start, steps, selected, theme, arrowsOf = null }) {
    const { clientWidth: width, clientHeight: height } = this.picture; // within its border
    this.flat = surface.dimensions === 2;
    this.arrows.checked = Boolean(arrowsOf);
    this.arrows.parentElement.hidden = !this.flat;
    if (this.flat && width && height) view = withEqualAxes(view, width, height);
    const sized = width !== this.width || height !== this.height;
    const moved = JSON.stringify(view) !== JSON.stringify(this.view);
    const scaled = sized || moved || steps !== this.steps || surface !== this.surface;
    const samePaths = this.runs?.length === runs.length && runs.every((run, k) => run === this.runs[k]);
    const sameLooks = JSON.stringify(looks) === JSON.stringify(this.looks);
    const repaint = sized || moved || surface !== this.surface || theme !== this.theme;
    this.arrowsOf = arrowsOf; // the rule of the selected optimizer, if its arrows are wanted
    const redraw = scaled || !samePaths || !sameLooks || selected !== this.selected;
    Object.assign(this, { surface, view, runs, looks, start, steps, selected, theme, width, height });
    this.walks = walksOf(runs);
    this.hollow.hidden = this.walks.length === runs.length;
    if (width < 10 || height < 10) return;
    if (repaint) this.legend.hidden = !paintGround(this);
    if (redraw) this.clearPaths();
    const [x, y] = this.flat ? this.toPixel(start[0], start[1]) : this.onCurve(start[0]);
    this.handle.show([clamp(x, 0, width), clamp(y, 0, height)], start, view, surface.dimensions);
  }

  colors() {
    const style = getComputedStyle(this.picture);
    const rgb = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
    return {
      low: rgb("--low"),
      high: rgb("--high"),
      line: rgb("--line"),
      ink: style.color,
      muted: style.getPropertyValue("--muted"),
      casing: style.getPropertyValue("--casing"),
    };
  }

  toPixel(x, y) {
    const [x0, x1, y0, y1] = this.view;
    return [
      clamp(((x - x0) / (x1 - x0)) * this.width, -FAR, FAR),
      clamp(((y1 - y) / (y1 - y0)) * this.height, -FAR, FAR),
    ];
  }

  toPoint(clientX, clientY) {
    const box = this.points.getBoundingClientRect();
    const [x0, x1, y0, y1] = this.view;
    const u = clamp((clientX - box.left) / box.width, 0, 1);
    const v = clamp((clientY - box.top) / box.height, 0, 1);
    const round = (value, span) =>
      Number(value.toPrecision(Math.max(2, 3 + Math.ceil(Math.log10(Math.abs(value) / span + 1e-9)))));
    const point = [round(x0 + u * (x1 - x0), x1 - x0)];
    return this.flat ? [...point, round(y1 - v * (y1 - y0), y1 - y0)] : [...point, this.start[1]];
  }

  // In one dimension the vertical place of a value, scaled to what the view shows of the curve.
  onCurve(x) {
    const [low, high] = this.range;
    const found = this.surface.value([x]);
    const value = Number.isNaN(found) ? low : found;
    const v = 0.1 + 0.8 * ((high - value) / (high - low || 1));
    return [this.toPixel(x, 0)[0], clamp(v * CURVE_PART * this.height, -FAR, FAR)];
  }

  place({ x }, t) {
    if (this.flat) return this.toPixel(x[2 * t], x[2 * t + 1]);
    const top = CURVE_PART * this.height + 8;
    return [this.toPixel(x[t], 0)[0], top + (t / this.steps) * (this.height - top - 22)];
  }

  clearPaths() {
    for (const canvas of [this.casings, this.paths]) prepare(canvas, this.width, this.height);
    this.drawn = this.walks.map(() => ({ t: 0, length: 0 }));
    this.time = 0;
  }

  // Show the situation at a time, which may lie between two steps.
  drawAt(time) {
    if (this.width < 10 || this.height < 10) return;
    if (time < this.time) this.clearPaths();
    this.time = time;
    const { casing } = (this.pointColors ??= this.colors());
    this.walks.forEach((walk, k) => this.extendPath(k, Math.min(Math.floor(time), walk.end), casing));
    const points = prepare(this.points, this.width, this.height);
    points.save();
    points.resetTransform();
    for (const layer of [this.base, this.casings, this.paths]) points.drawImage(layer, 0, 0);
    points.restore();
    this.walks.slice(this.runs.length).forEach((walk) => this.drawPoint(points, walk, this.looks[walk.of], time, casing, false));
    for (let k = this.runs.length - 1; k >= -1; k--) {
      // The selected one comes last, so that it is on top.
      const index = k === -1 ? this.selected : k;
      if ((k !== -1 && k === this.selected) || !this.runs[index]) continue;
      this.drawPoint(points, this.runs[index], this.looks[index], time, casing, index === this.selected);
    }
    const [run, look] = [this.runs[this.selected], this.looks[this.selected]];
    if (this.arrowsOf && this.flat && run) drawArrows(this, points, { run, look, rule: this.arrowsOf }, Math.floor(time));
  }

  // The picture as it stands as one canvas, so many times as large.
  snapshot(scale) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(this.width * scale);
    canvas.height = Math.round(this.height * scale);
    const context = canvas.getContext("2d");
    context.drawImage(this.points, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  lineWidth(isSelected) {
    const many = this.runs.length > 8;
    return isSelected ? (many ? 2.6 : 3) : many ? 1.4 : 2;
  }

  // Draw what is new of a path up to step t.
  extendPath(k, t, casing) {
    const [run, drawn] = [this.walks[k], this.drawn[k]];
    const { color, dash } = run.of === undefined ? this.looks[k] : { color: this.looks[run.of].color, dash: DOTTED };
    if (t <= drawn.t) return;
    const piece = new Path2D();
    let [x, y] = this.place(run, drawn.t);
    let length = drawn.length;
    piece.moveTo(x, y);
    for (let s = drawn.t + 1; s <= t; s++) {
      const [u, v] = this.place(run, s);
      piece.lineTo(u, v);
      length += Math.hypot(u - x, v - y);
      [x, y] = [u, v];
    }
    const width = run.of === undefined ? this.lineWidth(k === this.selected) : 1.4;
    const line = { color, casing, dash: dash.map((d) => d * width), offset: drawn.length, width };
    strokeCased(this.casings.getContext("2d"), this.paths.getContext("2d"), piece, line);
    Object.assign(drawn, { t, length });
  }

  drawPoint(context, run, look, time, casing, isSelected) {
    const before = Math.min(Math.floor(time), run.end);
    const after = Math.min(before + 1, run.end);
    const part = after === before ? 0 : time - before;
    const [x0, y0] = this.place(run, before);
    const [x1, y1] = this.place(run, after);
    const [x, y] = [x0 + part * (x1 - x0), y0 + part * (y1 - y0)];
    const radius = isSelected ? 7 : this.runs.length > 8 ? 4.5 : 5.5;
    if (part > 0) {
      const piece = new Path2D();
      piece.moveTo(x0, y0);
      piece.lineTo(x, y);
      strokeCased(context, context, piece, { color: look.color, casing, width: this.lineWidth(isSelected) });
    }
    const places = [[x, y]];
    if (!this.flat) places.push(this.onCurve(run.x[before] + part * (run.x[after] - run.x[before])));
    for (const [u, v] of places) {
      drawDot(context, u, v, radius, look.color, casing);
      if (run.of !== undefined) drawDot(context, u, v, radius - 3, `rgb(${this.pointColors.low.join(" ")})`, look.color);
    }
  }
}

// What is drawn: every run, then, of those whose rule evaluates another point than it trains, that point's way.
function walksOf(runs) {
  const evaluated = runs.flatMap((run, k) => (run.evaluated ? [{ x: run.evaluated.x, end: run.end, of: k }] : []));
  return [...runs, ...evaluated];
}

function drawDot(context, x, y, radius, color, casing) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
  context.strokeStyle = casing;
  context.lineWidth = 1.5;
  context.stroke();
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
