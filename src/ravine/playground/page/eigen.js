// A quadratic along its own axes: each is a problem of one dimension with a factor a step, and that factor says what will
// happen.

import { el, format, setText } from "./dom.js";

const SPAN = 10; // steps over which a factor is measured

// The axes of a surface that is a quadratic about a known minimum: [{vector, curvature}], the flattest first; null for any
// other surface. The Hessian is read off gradients, which for a quadratic are exact to rounding.
export function axesOf(surface) {
  if (surface.dimensions !== 2 || surface.minima.length !== 1) return null;
  const [cx, cy] = surface.minima[0];
  const slope = (u, v) => {
    const out = new Float64Array(2);
    surface.gradient([cx + u, cy + v], out);
    return out;
  };
  const [[a, b], [, d]] = [slope(1, 0), slope(0, 1)];
  for (const [u, v] of [
    [1.7, -0.6],
    [-3, 2],
  ]) {
    const [gx, gy] = slope(u, v);
    const size = Math.abs(a * u) + Math.abs(b * v) + Math.abs(b * u) + Math.abs(d * v);
    if (!(Math.abs(gx - a * u - b * v) + Math.abs(gy - b * u - d * v) <= 1e-9 * size)) return null;
  }
  const angle = 0.5 * Math.atan2(2 * b, a - d);
  const at = (phi) => {
    const [c, s] = [Math.cos(phi), Math.sin(phi)];
    const ahead = c < -0.5 || (Math.abs(c) <= 0.5 && s < 0) ? -1 : 1; // either way is the axis
    return { vector: [ahead * c, ahead * s], curvature: a * c * c + 2 * b * c * s + d * s * s };
  };
  return [at(angle), at(angle + Math.PI / 2)].sort((p, q) => p.curvature - q.curvature);
}

// What a rule does to the error along an axis of curvature h after long: {factor, swings, regime}; null for a rule that is
// not linear in the gradient, as those that rescale. The roots are those of the rule's own step, as a matrix.
export function theory(rule, hyper, h) {
  if (rule.slots.length > 1 || rule.slots.some((slot) => slot.scalar)) return null;
  const size = 1 + rule.slots.length;
  const column = (k) => advance(rule, hyper, h, Array.from({ length: size }, (_, j) => Number(j === k)));
  const columns = Array.from({ length: size }, (_, k) => column(k));
  const some = [0.7, -1.3].slice(0, size);
  for (const scale of [1, 8]) {
    const got = advance(rule, hyper, h, some.map((v) => scale * v));
    const wanted = got.map((_, j) => scale * some.reduce((sum, v, k) => sum + v * columns[k][j], 0));
    if (!got.every((v, j) => Math.abs(v - wanted[j]) <= 1e-9 * (1 + Math.abs(v)))) return null;
  }
  if (size === 1) return told(Math.abs(columns[0][0]), false, columns[0][0]);
  const trace = columns[0][0] + columns[1][1];
  const determinant = columns[0][0] * columns[1][1] - columns[0][1] * columns[1][0];
  const under = trace * trace - 4 * determinant;
  if (under < 0) return told(Math.sqrt(determinant), true, 0);
  const roots = [trace + Math.sqrt(under), trace - Math.sqrt(under)].map((v) => v / 2);
  const leading = Math.abs(roots[0]) >= Math.abs(roots[1]) ? roots[0] : roots[1];
  return told(Math.abs(leading), false, leading);
}

function told(factor, swings, root) {
  const way = swings ? "swings" : root < 0 ? "jumps from side to side" : "creeps from one side";
  return { factor, swings, regime: factor > 1 ? `${way} and grows` : way };
}

// A state [x, slot] after one step of a rule on h·x²/2, long after the start.
function advance(rule, hyper, h, state) {
  const x = Float64Array.of(state[0]);
  const slots = state.slice(1).map((v) => Float64Array.of(v));
  const point = Float64Array.from(x);
  if (rule.ahead) rule.ahead(x, slots, hyper, point);
  rule.step(x, Float64Array.of(h * point[0]), slots, 1e6, hyper);
  return [x[0], ...slots.map((s) => s[0])];
}

// The panel: the error of the selected optimizer along each axis, its factor a step, and what theory says.
export class Axes {
  constructor() {
    this.body = el("tbody");
    const heads = ["axis", "curvature h", "error", "factor a step", "in theory", "so it"].map((text) => el("th", { scope: "col" }, text));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.hint = el("p", { class: "hint" });
    this.element = el("section", { class: "axes", "aria-label": "Along the axes" }, el("h2", {}, "Along the bowl’s own axes"), el("div", { class: "slots" }, table), this.hint);
  }

  show({ surface, run, rule, hyper }) {
    this.axes = run ? axesOf(surface) : null;
    this.element.hidden = !this.axes;
    if (!this.axes) return;
    Object.assign(this, { run, center: surface.minima[0] });
    const found = this.axes.map(({ curvature }) => theory(rule, hyper, curvature));
    this.cells = this.axes.map(() => [el("td"), el("td")]);
    const rows = this.axes.map(({ vector, curvature }, k) => {
      const said = found[k] ? [format(found[k].factor), found[k].regime] : ["–", "rescales: no fixed factor"];
      const parts = vector.map((v) => format(Math.round(100 * v) / 100 || 0));
      const name = `${k === 0 ? "along" : "across"} (${parts.join(", ")})`;
      const after = said.map((text) => el("td", {}, text));
      return el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, format(curvature)), ...this.cells[k], ...after);
    });
    this.body.replaceChildren(...rows);
    const [slow, steep] = this.axes.map(({ curvature }) => curvature);
    setText(this.hint, `Condition number ${format(steep / slow)}. The factor is measured over the last ${SPAN} steps.`);
  }

  drawAt(t) {
    if (!this.axes) return;
    const now = Math.min(t, this.run.end);
    const error = (s, [u, v]) => u * (this.run.x[2 * s] - this.center[0]) + v * (this.run.x[2 * s + 1] - this.center[1]);
    this.axes.forEach(({ vector }, k) => {
      // Of an error that swings through zero the largest nearby counts.
      const size = (s) => Math.max(...[0, 1, 2, 3].map((back) => Math.abs(error(Math.max(0, s - back), vector))));
      setText(this.cells[k][0], format(error(now, vector)));
      const before = now - SPAN;
      setText(this.cells[k][1], before >= 3 ? format((size(now) / size(before)) ** (1 / SPAN), 3) : "–");
    });
  }
}
