// The data that a loss is a mean over, with what each optimizer's weights make of it at the moment: its line through the
// points, or the border between what it takes for the one class and for the other.

import { crossings } from "./crossings.js";
import { el, format, prepare, selectedLast, setText, strokeCased, ticks } from "./dom.js";

const FRAME = { left: 34, right: 10, top: 10, bottom: 34 };
const GRID = { x: 48, y: 36 }; // on which a border is sought
const RADIUS = 3.2;

export class Fit {
  constructor() {
    this.canvas = el("canvas", { class: "plot", role: "img" });
    this.key = el("p", { class: "hint" });
    this.reading = el("p", { class: "hint reading-of-fit" });
    this.element = el("figure", { class: "aside fit", hidden: true }, this.canvas, this.key, this.reading);
    this.points = document.createElement("canvas");
  }

  show({ surface, runs, looks, selected, theme }) {
    this.examples = surface.examples;
    this.element.hidden = !this.examples;
    if (!this.examples) return;
    const { title, inputs, wanted, classes } = this.examples;
    const about = classes.length ? `${inputs[0]} across, ${inputs[1]} upward` : `${inputs[0]} across, ${wanted} upward`;
    this.canvas.setAttribute("aria-label", `${title}: ${about}, with every optimizer’s ${classes.length ? "border" : "line"}`);
    setText(this.key, classes.length ? `○ ${classes[0]} ● ${classes[1]}` : `${title}, and every optimizer’s line`);
    const { width, height } = this.canvas.getBoundingClientRect();
    Object.assign(this, { surface, runs, looks, selected, width, height, theme });
    if (width < 60 || height < 60) return;
    const { rows } = this.examples;
    this.ranges = [0, 1].map((k) => padded(rows.map((row) => row[k])));
    this.drawPoints();
  }

  place([u, v]) {
    const [[u0, u1], [v0, v1]] = this.ranges;
    const { width, height } = this;
    return [
      FRAME.left + ((u - u0) / (u1 - u0)) * (width - FRAME.left - FRAME.right),
      height - FRAME.bottom - ((v - v0) / (v1 - v0)) * (height - FRAME.top - FRAME.bottom),
    ];
  }

  drawPoints() {
    const { width, height, examples } = this;
    const context = prepare(this.points, width, height);
    const style = getComputedStyle(this.canvas);
    this.casing = style.getPropertyValue("--casing");
    const muted = style.getPropertyValue("--muted");
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = muted;
    context.textAlign = "center";
    const [across, upward] = this.ranges;
    for (const u of ticks(...across, width / 70)) context.fillText(format(u, 3), this.place([u, 0])[0], height - 20);
    context.fillText(examples.inputs[0], (FRAME.left + width) / 2, height - 5);
    context.textAlign = "right";
    for (const v of ticks(...upward, height / 50)) context.fillText(format(v, 3), FRAME.left - 5, this.place([0, v])[1] + 4);
    context.textAlign = "left";
    context.fillText(examples.classes.length ? examples.inputs[1] : examples.wanted, FRAME.left + 4, 10);
    context.strokeStyle = context.fillStyle = style.color;
    context.lineWidth = 1;
    context.globalAlpha = 0.65;
    for (const row of examples.rows) {
      context.beginPath();
      context.arc(...this.place(row), RADIUS, 0, 2 * Math.PI);
      if (examples.classes.length && row.at(-1) < 0) context.stroke();
      else context.fill();
    }
    context.globalAlpha = 1;
  }

  drawAt(t) {
    if (!this.examples || !(this.width >= 60) || this.height < 60) return;
    const context = prepare(this.canvas, this.width, this.height);
    context.drawImage(this.points, 0, 0, this.width, this.height);
    context.save();
    context.beginPath();
    const { width, height } = this;
    context.rect(FRAME.left, FRAME.top, width - FRAME.left - FRAME.right, height - FRAME.top - FRAME.bottom);
    context.clip();
    for (const k of selectedLast(this.runs, this.selected)) {
      const { color, dash } = this.looks[k];
      const thick = k === this.selected ? 3 : 1.6;
      const line = { color, casing: this.casing, dash: dash.map((d) => d * thick), width: thick };
      strokeCased(context, context, this.line(this.weights(k, t)), line);
    }
    context.restore();
    this.read(t);
  }

  weights(k, t) {
    const { x, end } = this.runs[k];
    const at = 2 * Math.min(t, end);
    return [x[at], x[at + 1]];
  }

  // An optimizer's line, or its border, as a path.
  line(weights) {
    const path = new Path2D();
    const [[u0, u1], [v0, v1]] = this.ranges;
    if (!this.examples.classes.length) {
      for (const u of [u0, u1]) path.lineTo(...this.place([u, this.surface.output(weights, [u])]));
      return path;
    }
    const at = (i, j) => [u0 + (i / (GRID.x - 1)) * (u1 - u0), v0 + (j / (GRID.y - 1)) * (v1 - v0)];
    for (const [a, b, c, d] of crossings(GRID.x, GRID.y, (i, j) => this.surface.output(weights, at(i, j)))) {
      path.moveTo(...this.place(at(a, b)));
      path.lineTo(...this.place(at(c, d)));
    }
    return path;
  }

  // In words: how the selected optimizer's weights do.
  read(t) {
    if (!this.runs[this.selected]) return setText(this.reading, "");
    const weights = this.weights(this.selected, t);
    const { rows, classes } = this.examples;
    const { title, note } = this.looks[this.selected];
    const outputs = rows.map((row) => this.surface.output(weights, row));
    const right = outputs.filter((v, k) => (v > 0 ? 1 : -1) === rows[k].at(-1)).length;
    const error = Math.sqrt(outputs.reduce((sum, v, k) => sum + (v - rows[k].at(-1)) ** 2, 0) / rows.length);
    const said = classes.length ? `${right} of ${rows.length} on the right side` : `root mean square error ${format(error, 3)}`;
    return setText(this.reading, `${title}${note ? `, ${note}` : ""}: ${said}`);
  }
}

function padded(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.06 * (high - low) || 1;
  return [low - pad, high + pad];
}
