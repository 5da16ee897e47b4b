// A panel for quadratics: the selected optimizer's error along each of the surface's own axes, and what will happen to it.

import { el, format, setText } from "./dom.js";
import { quadraticOf, theory } from "./quadratic.js";

const SPAN = 10; // steps over which a factor is measured

export class Axes {
  constructor() {
    this.head = el("thead");
    this.body = el("tbody");
    const table = el("table", {}, this.head, this.body);
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
    const heads = this.axes.map(({ vector }, k) => {
      const parts = vector.map((v) => format(Math.round(100 * v) / 100 || 0));
      return el("th", { scope: "col" }, `${k === 0 ? "along" : "across"} (${parts.join(", ")})`);
    });
    this.head.replaceChildren(el("tr", {}, el("td"), ...heads));
    const row = (name, cells) => el("tr", {}, el("th", { scope: "row" }, name), ...cells);
    const told = (of) => found.map((theory, k) => el("td", {}, of(theory, this.axes[k])));
    this.body.replaceChildren(
      row("curvature h", told((_, { curvature }) => format(curvature))),
      row("error", this.cells.map(([error]) => error)),
      row("factor a step", this.cells.map(([, factor]) => factor)),
      row("in theory", told((theory) => (theory ? format(theory.factor) : "–"))),
      row("so it", told((theory) => theory?.regime ?? "rescales: no fixed factor")),
    );
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
