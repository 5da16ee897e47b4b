// A panel for quadratics: the selected optimizer's error along each of the surface's own axes, and what will happen to it.

import { el, format, setText } from "./dom.js";
import { quadraticOf, theory } from "./quadratic.js";

const SPAN = 10; // steps over which a factor is measured

export class Axes {
  constructor() {
    this.body = el("tbody");
    const heads = ["axis", "curvature h", "error", "factor a step", "in theory", "so it"].map((text) => el("th", { scope: "col" }, text));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.hint = el("p", { class: "hint" });
    this.element = el("section", { class: "axes", "aria-label": "Along the axes" }, el("h2", {}, "Along the bowl’s own axes"), el("div", { class: "slots" }, table), this.hint);
  }

  show({ surface, run, rule, hyper }) {
    const quadratic = run ? quadraticOf(surface) : null;
    this.axes = quadratic?.axes ?? null;
    this.element.hidden = !this.axes;
    if (!this.axes) return;
    Object.assign(this, { run, center: quadratic.center });
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
