// From a state to what is drawn: the surface bound to its parameters, and each optimizer's run, kept while unchanged.

import { formulaSurface } from "./formula.js";
import { looks } from "./looks.js";
import { quadraticOf } from "./quadratic.js";
import { run } from "./simulate.js";
import { ruleNamed, surfaceNamed } from "./state.js";

// A surface for drawing and running: {dimensions, view, minima, minimum, value(p), gradient(p, out, rows), examples}. Where it
// is a mean over examples, `rows` are the numbers of those that count, and output(p, d) is the model's for the inputs d.
// Throws a FormulaError for a wrong formula.
export function bindSurface(state) {
  if (state.surface === "formula") {
    const surface = formulaSurface(state.formula);
    const view =
      surface.dimensions === 1
        ? [[-5, 5]]
        : [
            [-5, 5],
            [-5, 5],
          ];
    return { ...surface, view, minima: [], minimum: null };
  }
  const surface = surfaceNamed(state.surface);
  const q = [...state.parameters];
  if (surface.examples) return overExamples(surface, q);
  return {
    ...surface,
    value: (p) => surface.value(p, q),
    gradient: (p, out) => surface.gradient(p, q, out),
  };
}

function overExamples(surface, q) {
  const { rows: data } = surface.examples;
  const bound = {
    ...surface,
    value: (p) => surface.value(p, q, data),
    gradient: (p, out, rows) => surface.gradient(p, q, out, data, rows),
    output: (p, d) => surface.output(p, q, d),
  };
  const quadratic = quadraticOf(bound);
  if (quadratic) Object.assign(bound, { minima: [quadratic.center], minimum: bound.value(quadratic.center) });
  return bound;
}

export class Model {
  constructor() {
    this.kept = new Map();
    this.surfaceKey = "";
    this.surface = null;
  }

  // Bring the surface and the runs in line with the state. Throws a FormulaError and changes nothing for a wrong formula.
  update(state, dark) {
    const surfaceKey = JSON.stringify([state.surface, state.parameters, state.surface === "formula" && state.formula]);
    if (surfaceKey !== this.surfaceKey) {
      this.surface = bindSurface(state);
      this.surfaceKey = surfaceKey;
    }
    const shared = JSON.stringify([surfaceKey, state.start, state.steps, state.noise]);
    const kept = new Map();
    this.runs = state.optimizers.map(({ rule, hyper }) => {
      const key = `${rule} ${hyper} ${shared}`;
      const found =
        kept.get(key) ??
        this.kept.get(key) ??
        run(ruleNamed(rule), hyper, this.surface, state.start, state.steps, state.noise);
      kept.set(key, found);
      return found;
    });
    this.kept = kept;
    this.looks = looks(state.optimizers, dark);
  }
}
