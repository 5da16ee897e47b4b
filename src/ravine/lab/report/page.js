"use strict";
// The charts of the report: SVG drawn from the data in #data. No library, no network.
const data = JSON.parse(document.getElementById("data").textContent);
const hidden = new Set();
const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes, parent, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function short(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
    const [digit, power] = value.toExponential(0).split("e");
    const raised = power.replace("+", "").replace(/./g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(c)]);
    return (digit === "1" ? "" : digit + "·") + "10" + raised;
  }
  return String(Number(value.toPrecision(3)));
}

// A scale: from values to pixels, with its ticks. Logarithmic ones have decades, or 1-2-5 where there are few.
function scale(low, high, from, to, isLog) {
  if (isLog) {
    const a = Math.log10(low), b = Math.log10(high) === a ? a + 1 : Math.log10(high);
    const at = v => from + (Math.log10(v) - a) / (b - a) * (to - from);
    const ticks = [];
    const steps = b - a > 2.5 ? [1] : [1, 2, 5];
    for (let e = Math.floor(a); e <= Math.ceil(b); e++)
      for (const s of steps) if (s * 10 ** e >= low * 0.999 && s * 10 ** e <= high * 1.001) ticks.push(s * 10 ** e);
    if (ticks.length < 3) return { at, ticks: scale(low, high, from, to, false).ticks.filter(t => t > 0) };
    const every = Math.ceil(ticks.length / 8);
    return { at, ticks: ticks.filter((_, i) => i % every === 0) };
  }
  if (high === low) high = low + 1;
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(s => s * power).find(s => s >= raw);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) ticks.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return { at: v => from + (v - low) / (high - low) * (to - from), ticks };
}

// One chart. `describe()` gives {series: [{name, color, dash, points: [[x, y, low, high]]}], xLog, yLog, x, y, line}.
class Chart {
  constructor(id, describe) {
    this.box = document.getElementById(id);
    this.describe = describe;
    this.cursor = null;
    this.tip = this.box.parentElement.querySelector(".tip");
    this.box.addEventListener("pointermove", e => this.point(e));
    this.box.addEventListener("pointerleave", () => this.show(null));
    this.box.addEventListener("blur", () => this.show(null));
    this.box.addEventListener("keydown", e => this.key(e));
    charts.push(this);
  }

  draw() {
    const chart = this.describe();
    const series = chart.series.filter(s => !hidden.has(s.name));
    const all = series.flatMap(s => s.points).filter(p => p[1] !== null);
    this.box.replaceChildren();
    this.xs = [];
    const width = isPrinting ? (this.box.closest(".two") ? 330 : 680) : Math.max(280, this.box.clientWidth), height = Math.min(420, Math.max(260, width * 0.5));
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": chart.label }, this.box);
    if (!all.length) {
      element("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" }, svg, "nothing to show");
      return;
    }
    const left = 52, right = width - 18, top = 10, bottom = height - 38;
    const yLog = chart.yLog && all.every(p => p[1] > 0 && (p[2] === undefined || p[2] > 0));
    const xLog = chart.xLog && all.every(p => p[0] > 0);
    const cap = chart.cap && all.some(p => p[1] < chart.cap) ? chart.cap : Infinity;
    const ys = all.flatMap(p => p.length > 2 ? [p[1], p[2], p[3]] : [p[1]]).map(v => Math.min(v, cap));
    if (chart.line && Number.isFinite(chart.line)) ys.push(chart.line);
    let low = Math.min(...ys), high = Math.max(...ys);
    if (yLog) { low /= 1.05; high *= 1.05; } else { const pad = (high - low || 1) * 0.04; low -= pad; high += pad; }
    const xs = chart.series.flatMap(s => s.points.map(p => p[0]));
    const x = scale(Math.min(...xs), Math.max(...xs), left, right, xLog);
    const y = scale(low, high, bottom, top, yLog);
    for (const t of y.ticks) {
      element("line", { x1: left, x2: right, y1: y.at(t), y2: y.at(t), class: "grid" }, svg);
      element("text", { x: left - 6, y: y.at(t) + 4, "text-anchor": "end", class: "tick" }, svg, short(t));
    }
    for (const t of x.ticks) {
      element("line", { x1: x.at(t), x2: x.at(t), y1: bottom, y2: bottom + 4, class: "axis" }, svg);
      element("text", { x: x.at(t), y: bottom + 17, "text-anchor": "middle", class: "tick" }, svg, short(t));
    }
    element("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }, svg);
    element("text", { x: (left + right) / 2, y: height - 4, "text-anchor": "middle", class: "tick" }, svg, chart.x);
    const clip = "clip-" + this.box.id;
    element("rect", { x: left - 4, y: top - 4, width: right - left + 8, height: bottom - top + 8 }, element("clipPath", { id: clip }, element("defs", {}, svg)));
    const plot = element("g", { "clip-path": `url(#${clip})` }, svg);
    if (chart.line && Number.isFinite(chart.line)) {
      element("line", { x1: left, x2: right, y1: y.at(chart.line), y2: y.at(chart.line), class: "target" }, plot);
      element("text", { x: left + 6, y: y.at(chart.line) - 5, class: "tick" }, svg, "target");
    }
    for (const s of series) {
      const good = s.points.filter(p => p[1] !== null);
      if (good.length && good[0].length > 2) {
        const up = good.map(p => `${x.at(p[0])},${y.at(p[3])}`), down = good.map(p => `${x.at(p[0])},${y.at(p[2])}`).reverse();
        element("polygon", { points: up.concat(down).join(" "), fill: s.color, class: "band" }, plot);
      }
    }
    for (const s of series) {
      const good = s.points.filter(p => p[1] !== null);
      if (s.isLight && (!s.stopped || !s.isLoose) && good.length) element("path", {
        d: `M${good.map(p => `${x.at(p[0])},${y.at(p[1])}`).join("L")}`, class: "casing", "stroke-dasharray": s.dash.join(" ") }, plot);
      if (!s.stopped || !s.isLoose) element("polyline", {
        points: good.map(p => `${x.at(p[0])},${y.at(p[1])}`).join(" "), stroke: s.color, class: s.isBroken ? "curve broken" : "curve",
        "stroke-dasharray": s.dash.join(" ") }, plot);
      if (chart.marks && (s.isLoose || good.length <= 64)) for (const p of good) element("circle", { cx: x.at(p[0]), cy: y.at(p[1]), r: good.length > 16 ? 2 : 3, stroke: s.color, fill: s.stopped && s.isLoose && s.dash.length ? "none" : s.color }, plot);
      const crosses = s.isBroken ? good.slice(-1).map(p => [x.at(p[0]), y.at(p[1])])
        : s.points.filter(p => p[1] === null).map(p => [x.at(p[0]), top + 4, s.stopped?.has(p[0])]);
      for (const [cx, cy, isStopped] of crosses)
        element("path", { d: isStopped ? `M${cx - 4},${cy + 4}l4,-8l4,8z` : `M${cx - 4},${cy - 4}l8,8m0,-8l-8,8`, stroke: s.color, class: isStopped ? "stopped" : "cross" }, svg);
    }
    this.rule = element("line", { y1: top, y2: bottom, x1: left, x2: left, class: "rule", visibility: "hidden" }, svg);
    this.series = series.filter(s => !s.isBroken);
    this.xs = [...new Set(this.series.flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);
    this.x = x;
    this.names = chart;
  }

  point(event) {
    if (!this.xs.length) return;
    const at = event.clientX - this.box.getBoundingClientRect().left;
    let best = 0;
    this.xs.forEach((v, i) => { if (Math.abs(this.x.at(v) - at) < Math.abs(this.x.at(this.xs[best]) - at)) best = i; });
    this.show(best);
  }

  key(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || !this.xs.length) return;
    event.preventDefault();
    const from = this.cursor === null ? (move > 0 ? -1 : this.xs.length) : this.cursor;
    this.show(Math.min(this.xs.length - 1, Math.max(0, from + move)));
  }

  show(index) {
    this.cursor = index;
    if (this.rule) this.rule.setAttribute("visibility", index === null ? "hidden" : "visible");
    this.tip.hidden = index === null || !this.xs.length;
    if (this.tip.hidden) return;
    const v = this.xs[index], pixel = this.x.at(v);
    this.rule.setAttribute("x1", pixel);
    this.rule.setAttribute("x2", pixel);
    const found = this.series.map(s => [s, s.points.find(p => p[0] === v)]).filter(([, p]) => p);
    found.sort(([, a], [, b]) => (a[1] ?? Infinity) - (b[1] ?? Infinity));
    const head = document.createElement("b");
    head.textContent = `${this.names.x} ${short(v)}`;
    const lines = found.map(([s, p]) => {
      const line = document.createElement("div"), dot = document.createElement("span");
      dot.className = "swatch";
      dot.style.background = s.color;
      line.append(dot, `${s.name} ${p[1] !== null ? short(p[1]) : s.stopped?.has(v) ? "stopped early" : "did not finish"}`);
      return line;
    });
    this.tip.replaceChildren(head, ...lines);
    const room = this.box.clientWidth;
    this.tip.style.left = pixel > room / 2 ? "" : `${pixel + 12}px`;
    this.tip.style.right = pixel > room / 2 ? `${room - pixel + 12}px` : "";
  }
}

const charts = [];
let isPrinting = false;
const value = id => document.getElementById(id).value;

new Chart("curves", () => {
  const metric = value("metric"), across = value("across"), series = [];
  for (const row of data.rows) {
    const c = row.curves[metric];
    if (c) series.push({ ...row, points: row.curves[across].map((x, i) => [x, c.mean[i], c.low[i], c.high[i]]) });
    if (metric === "loss") for (const b of row.broken)
      series.push({ ...row, isBroken: true, points: b[across].map((x, i) => [x, b.loss[i]]) });
  }
  const starts = series.filter(s => !s.isBroken && s.points.length).map(s => s.points[0][1]);
  return { series, x: across === "step" ? "steps" : "seconds of training", y: data.metrics[metric], label: `${data.metrics[metric]} during training`,
    yLog: value("axis") === "log", line: metric === "loss" ? data.target : null, cap: metric === "accuracy" ? null : 2 * Math.max(...starts) };
});
new Chart("tried", () => {
  const hyper = document.getElementById("hyper") ? value("hyper") : Object.keys(data.searched)[0], name = data.searched[hyper];
  const rows = data.rows.filter(r => r.tried[hyper]);
  return { series: rows.map(r => ({ ...r, points: r.tried[hyper].map(p => p.slice(0, 2)), stopped: new Set(r.tried[hyper].filter(p => p[2]).map(p => p[0])) })), x: name?.replace(/^the /, ""), y: "final validation loss",
    label: `final validation loss by ${name}`, xLog: true, yLog: true, marks: true };
});
new Chart("tuning", () => ({
  series: data.rows.map(r => ({ ...r, points: r.tuning.map((v, i) => [i + 1, v]) })), x: "trials", y: "best validation loss",
  label: "best validation loss by number of tuning trials", yLog: true, marks: true }));

function redraw() { for (const chart of charts) { chart.draw(); chart.show(null); } }

for (const select of document.querySelectorAll(".controls select")) select.addEventListener("change", redraw);
for (const button of document.querySelectorAll("#legend button[data-name]")) button.addEventListener("click", () => {
  const name = button.dataset.name, off = !hidden.has(name);
  if (off) hidden.add(name); else hidden.delete(name);
  button.setAttribute("aria-pressed", String(!off));
  redraw();
});
document.getElementById("all").addEventListener("click", () => {
  const showAll = hidden.size > 0;
  for (const button of document.querySelectorAll("#legend button[data-name]")) {
    if (showAll) hidden.delete(button.dataset.name); else hidden.add(button.dataset.name);
    button.setAttribute("aria-pressed", String(showAll));
  }
  redraw();
});
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = getComputedStyle(root).getPropertyValue("--is-dark").trim() === "1";
  root.dataset.theme = dark ? "light" : "dark";
});
const curves = document.getElementById("curves");
let waiting, drawnWidth = curves.clientWidth;
new ResizeObserver(() => {
  if (curves.clientWidth === drawnWidth) return;
  drawnWidth = curves.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 50);
}).observe(curves);
// On paper the charts are drawn for its width, so that their text is as large as the page's.
for (const [event, begins] of [["beforeprint", true], ["afterprint", false]])
  window.addEventListener(event, () => { isPrinting = begins; redraw(); });
redraw();
