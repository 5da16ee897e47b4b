// A quantity of all runs against the step. The full lines are drawn once, pale, and once strong; a frame shows the
// strong ones up to the current step. Dragging in it chooses the step; where the pointer hovers the values are read.

import { el, format, options, prepare, setText, strokeCased, swatch, ticks } from "./dom.js";
import { clamp } from "./stage.js";

const MARGIN = { left: 52, right: 10, top: 8, bottom: 20 };

const USUALLY_LOG = ["loss", "size", "rate"];
const MOST_NAMED = 6; // in a legend; among more only the selected one is

export class Chart {
  // `choose({what})` and `choose({log})` ask for another quantity or scale.
  constructor(number, { scrub, choose }) {
    this.canvas = el("canvas", { class: "plot", role: "img" });
    const pick = () => choose({ what: this.what.value, log: USUALLY_LOG.includes(this.what.value) });
    this.what = el("select", { "aria-label": `Quantity of chart ${number}`, onchange: pick });
    this.logBox = el("input", { type: "checkbox", onchange: () => choose({ log: this.logBox.checked }) });
    this.note = el("span", { class: "hint" });
    const head = el("div", { class: "head" }, this.what, el("label", { class: "hint" }, this.logBox, " log"), this.note);
    this.legend = el("ul", { class: "legend" });
    this.element = el("figure", { class: "chart" }, head, this.canvas, this.legend);
    this.pale = document.createElement("canvas");
    this.strong = document.createElement("canvas");
    this.readings = [];
    this.hovered = null;
    const move = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const part = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
      scrub(clamp(part, 0, 1) * this.steps);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    this.canvas.addEventListener("pointermove", (event) => (event.buttons ? move(event) : this.hover(event)));
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
  }

  // Read the values where the pointer is, or at the step that is shown.
  hover(event) {
    const box = event && this.canvas.getBoundingClientRect();
    const part = event && (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    this.hovered = event ? Math.round(clamp(part, 0, 1) * this.steps) : null;
    this.drawnX = null;
    this.read(this.time);
    this.drawAt(this.time);
  }

  // Show the values at a step in the legend.
  read(t) {
    const at = this.hovered ?? Math.floor(t ?? 0);
    this.readings.forEach(([place, { values, end }]) => {
      setText(place, at <= end && at < values.length && !Number.isNaN(values[at]) ? format(values[at]) : "–");
    });
    setText(this.note, this.hovered === null ? this.said : `at step ${at}`);
  }

  // series: [{values, end, look}]; values[t] is the quantity after t steps, `what` its key in `choices`. `log` asks for a
  // logarithmic axis, which is granted if there is a positive value; `hidden` keeps what is to come out of sight.
  show({ series, hidden, steps, log, what, choices, selected, theme, note = "" }) {
    const { width, height } = this.canvas.getBoundingClientRect();
    Object.assign(this, { series, steps, selected, width, height, drawnX: null, said: note });
    this.name(choices, what, log);
    if (width < 80 || height < 40) return;
    this.setScale(log);
    const style = getComputedStyle(this.canvas);
    this.colors = {
      muted: style.getPropertyValue("--muted"),
      casing: style.getPropertyValue("--casing"),
      rule: style.getPropertyValue("--rule"),
      ink: style.color,
    };
    const pale = prepare(this.pale, width, height);
    this.drawAxes(pale);
    pale.globalAlpha = theme === "dark" ? 0.3 : 0.25;
    if (!hidden) this.drawLines(pale);
    pale.globalAlpha = 1;
    this.drawLines(prepare(this.strong, width, height));
  }

  // The choices, and whose line is which.
  name(choices, what, log) {
    const key = JSON.stringify(choices);
    if (key !== this.choicesKey) this.what.replaceChildren(...options(choices));
    this.choicesKey = key;
    this.what.value = what;
    this.logBox.checked = log;
    this.canvas.setAttribute("aria-label", `${choices.find(([k]) => k === what)[1]} against the step`);
    const named = this.series.filter((_, k) => this.series.length <= MOST_NAMED || k === this.selected);
    const looks = JSON.stringify(named.map(({ look }) => look));
    if (looks !== this.looksKey) {
      this.looksKey = looks;
      this.places = named.map(() => el("span", { class: "value" }));
      const item = ({ look }, k) =>
        el("li", {}, swatch(look), ` ${look.title}${look.note ? ` ${look.note}` : ""} `, this.places[k]);
      this.legend.replaceChildren(...named.map(item));
    }
    this.readings = named.map((line, k) => [this.places[k], line]);
  }

  setScale(log) {
    let [low, high, least] = [Infinity, -Infinity, Infinity];
    for (const { values, end } of this.series) {
      const first = firstStep(values);
      // A run that explodes must not flatten all others.
      const cap = (["loss", "evaluated", "size"].includes(this.what.value) ? 1e3 : 1e6) * Math.max(Math.abs(values[first]), Math.abs(values[Math.min(first + 1, end)]), 1e-12);
      for (let t = first; t <= end; t++) {
        const v = values[t];
        if (!Number.isFinite(v) || Math.abs(v) > cap) continue;
        if (v < low) low = v;
        if (v > high) high = v;
        if (v > 0 && v < least) least = v;
      }
    }
    this.log = log && high > 0 && Number.isFinite(least);
    if (this.log) {
      low = Math.log10(Math.max(least, high * 1e-16));
      high = Math.log10(high);
    }
    if (!(low <= high)) [low, high] = [0, 1];
    // What differs by rounding only is drawn as the straight line that it is.
    const flat = high - low < 1e-9 * Math.abs(high);
    const pad = flat ? 0.5 * Math.abs(high) || 0.5 : 0.04 * (high - low);
    [this.low, this.high] = [low - pad, high + pad];
  }

  x(t) {
    return MARGIN.left + (t / this.steps) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    const v = this.log ? Math.log10(Math.max(value, 1e-300)) : value;
    const part = (this.high - v) / (this.high - this.low);
    return MARGIN.top + clamp(part, -1, 2) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  drawAxes(context) {
    const { width, height } = this;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = this.colors.muted;
    context.strokeStyle = this.colors.rule;
    context.lineWidth = 1;
    context.textAlign = "right";
    const rows = (height - MARGIN.top - MARGIN.bottom) / 26;
    const marks = this.log ? wholeNumbers(this.low, this.high, rows) : ticks(this.low, this.high, rows);
    const labels = this.log ? (marks.length ? marks : [this.low, this.high]).map((v) => 10 ** v) : marks;
    for (const label of labels) {
      const y = Math.round(this.y(label)) + 0.5;
      context.beginPath();
      context.moveTo(MARGIN.left, y);
      context.lineTo(width - MARGIN.right, y);
      context.stroke();
      context.fillText(this.log && marks.length ? power(label) : format(label, 3), MARGIN.left - 6, y + 4);
    }
    context.textAlign = "center";
    for (const t of ticks(0, this.steps, width / 80)) {
      const half = context.measureText(format(t)).width / 2; // the last label must not stick out
      context.fillText(format(t), Math.min(this.x(t), width - half - 1), height - 5);
    }
  }

  drawLines(context) {
    context.save();
    context.beginPath();
    context.rect(
      MARGIN.left,
      MARGIN.top - 3,
      this.width - MARGIN.left - MARGIN.right,
      this.height - MARGIN.top - MARGIN.bottom + 6,
    );
    context.clip();
    this.series.forEach((line, k) => k !== this.selected && this.drawLine(context, line, false));
    if (this.series[this.selected]) this.drawLine(context, this.series[this.selected], true);
    context.restore();
  }

  drawLine(context, { values, end, look }, isSelected) {
    const width = isSelected ? 2.6 : this.series.length > 8 ? 1.2 : 1.7;
    const path = new Path2D();
    // Where several steps share a pixel, their least and greatest value stand for them.
    const bucket = Math.max(1, Math.floor(this.steps / this.width));
    for (let t = firstStep(values); t <= end; t += bucket) {
      let [low, high] = [values[t], values[t]];
      for (let s = t + 1; s < Math.min(t + bucket, end + 1); s++) {
        low = Math.min(low, values[s]);
        high = Math.max(high, values[s]);
      }
      if (this.log && high <= 0) continue;
      path.lineTo(this.x(t), this.y(low));
      if (high !== low) path.lineTo(this.x(t), this.y(high));
    }
    const { casing } = this.colors;
    strokeCased(context, context, path, { color: look.color, casing, dash: look.dash.map((d) => d * width), width });
  }

  drawAt(time) {
    this.time = time;
    if (!(this.width >= 80) || this.height < 40) return;
    const x = Math.round(this.x(time));
    if (x === this.drawnX) return;
    this.drawnX = x;
    const context = prepare(this.canvas, this.width, this.height);
    context.drawImage(this.pale, 0, 0, this.width, this.height);
    const part = (x / this.width) * this.strong.width;
    if (part >= 1) context.drawImage(this.strong, 0, 0, part, this.strong.height, 0, 0, x, this.height);
    context.strokeStyle = this.colors.ink;
    context.globalAlpha = 0.5;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x + 0.5, MARGIN.top - 4);
    context.lineTo(x + 0.5, this.height - MARGIN.bottom + 3);
    context.stroke();
    context.globalAlpha = 1;
    if (this.hovered === null) return;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(Math.round(this.x(this.hovered)) + 0.5, MARGIN.top - 4);
    context.lineTo(Math.round(this.x(this.hovered)) + 0.5, this.height - MARGIN.bottom + 3);
    context.stroke();
    context.setLineDash([]);
  }
}

// Some quantities, as the length of a step, begin at step 1.
function firstStep(values) {
  return Number.isNaN(values[0]) ? 1 : 0;
}

// The whole numbers from low to high, thinned to about `count`.
function wholeNumbers(low, high, count) {
  const step = Math.max(1, Math.ceil((high - low) / count));
  const result = [];
  for (let k = step * Math.ceil(low / step); k <= high; k += step) result.push(k);
  return result;
}

function power(value) {
  const exponent = Math.round(Math.log10(value));
  if (exponent >= -2 && exponent <= 3) return format(value);
  return `10${[...String(exponent)].map((digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("")}`;
}
