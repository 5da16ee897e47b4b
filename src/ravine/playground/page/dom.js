// Making elements. Text is always set as text, never parsed as HTML.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SVG = "http://www.w3.org/2000/svg";

// el("button", {class: "x", onclick: f, "aria-label": "…"}, child, "text", …)
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// An element from a tree [tag, {attributes}, *children], as the generated equations are written.
export function mathml([tag, attributes, ...children]) {
  const element = document.createElementNS(MATHML, tag);
  return fill(
    element,
    attributes,
    children.map((child) => (Array.isArray(child) ? mathml(child) : child)),
  );
}

export function math(...trees) {
  return mathml(["math", {}, ...trees]);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A number for reading: four digits, a true minus sign, powers of ten only where they help.
export function format(value, digits = 4) {
  if (Number.isNaN(value)) return "—";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  let text;
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
    const [mantissa, exponent] = value.toExponential(Math.max(0, digits - 2)).split("e");
    text = `${trim(mantissa)}e${Number(exponent)}`;
  } else {
    text = size >= 10 ** digits ? value.toFixed(0) : trim(value.toPrecision(digits));
  }
  return text.replaceAll("-", "−");
}

function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export const CASING = 0.8; // pixels on either side of a line

// A short sample of an optimizer's line.
export function swatch({ color, dash }) {
  const line = (attributes) =>
    svg("line", { x1: 1, y1: 6, x2: 35, y2: 6, "stroke-dasharray": dash.map((d) => 2.2 * d).join(" "), ...attributes });
  const casing = line({ class: "casing", "stroke-width": 3 + 2 * CASING });
  return svg(
    "svg",
    { class: "swatch", width: 36, height: 12, "aria-hidden": "true" },
    casing,
    line({ stroke: color, "stroke-width": 3 }),
  );
}

// Stroke a path with a casing around it: dashes and widths in pixels. The casing may go on a canvas of its own, below.
export function strokeCased(under, over, path, { color, casing, dash = [], offset = 0, width }) {
  for (const [context, strokeStyle, lineWidth] of [
    [under, casing, width + 2 * CASING],
    [over, color, width],
  ]) {
    Object.assign(context, { strokeStyle, lineWidth, lineJoin: "round", lineDashOffset: offset });
    context.setLineDash(dash);
    context.stroke(path);
  }
}

// The numbers of runs in the order in which they are drawn: the selected one last, so that it is on top.
export function selectedLast(runs, selected) {
  return [...runs.keys()].sort((a, b) => (a === selected) - (b === selected));
}

// A drawn symbol for a button, from an SVG path on a 16 × 16 grid.
export function icon(path) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: path }),
  );
}

// A docstring's text: `names` become code, *words* emphasis.
export function prose(text) {
  return text.split(/(`[^`]+`|\*[^*\s][^*]*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    return part.length > 2 && part.startsWith("*") ? el("em", {}, part.slice(1, -1)) : part;
  });
}

// A canvas at the screen's own resolution. Returns its context, scaled to CSS pixels, after clearing it.
export function prepare(canvas, width, height) {
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Round numbers to label an axis from low to high with.
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((k) => k * power >= raw) ?? 10);
  const result = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) result.push(k * step);
  return result.length < 50 ? result : [];
}

// The options of a select in groups, from triples of group, value and text, those of a group together.
export function grouped(items) {
  return [...new Set(items.map(([group]) => group))].map((label) =>
    el("optgroup", { label }, ...options(items.filter(([group]) => group === label).map(([, ...rest]) => rest))),
  );
}

// The options of a select, from pairs of value and text.
export function options(items) {
  return items.map(([value, text]) => el("option", { value }, text));
}
