// What can be drawn against the step: the loss, the position, and every value of the selected optimizer's equation.

import { ruleNamed } from "./state.js";

// The choices for a rule: pairs of key and name. A key that begins with "=" is a line of the equation; those and the
// keys below EACH are of the coordinate whose numbers are shown.
export function quantityChoices(rule, dimensions, coordinate) {
  const letter = "xy"[coordinate];
  const named = (name) => (dimensions === 2 ? `${name}, ${letter}` : name);
  const own = (rule?.lines ?? []).filter(({ name }) => name !== "x" && name !== "g");
  return [
    ["loss", "Loss"],
    ...(rule?.readOut ? [["evaluated", "Loss, evaluated"]] : []),
    ["size", "Step size"],
    ...["x", "y"].slice(0, dimensions).map((name) => [name, name]),
    ...EACH.map(([key, name]) => [key, named(name)]),
    ...own.map(({ name }) => [`=${name}`, named(name)]),
  ];
}

const EACH = [
  ["g", "Gradient"],
  ["step", "Step Δ"],
  ["rate", "Effective rate"],
];

// The quantity of a run at every step, as an array; NaN where there is none. It is kept with the run.
export function quantityOf(key, run, rule, hyper, dimensions, coordinate, floor) {
  const name = `${key} ${coordinate} ${floor}`;
  run.kept ??= new Map();
  if (!run.kept.has(name)) run.kept.set(name, compute(key, run, rule, hyper, dimensions, coordinate, floor));
  return run.kept.get(name);
}

function compute(key, run, rule, hyper, n, i, floor) {
  if (key === "size") return run.size;
  if (key === "loss" || key === "evaluated") {
    const loss = (key === "evaluated" && run.evaluated?.loss) || run.loss;
    return floor === null ? loss : loss.map((v) => v - floor);
  }
  const count = run.loss.length;
  const result = new Float64Array(count).fill(NaN);
  const column = (array, k) => result.forEach((_, t) => (result[t] = array[t * n + k]));
  if (key === "x" || key === "y") {
    const k = "xy".indexOf(key);
    if (k < n) column(run.x, k);
  } else if (key === "g") column(run.gradients, i);
  else if (key === "step") for (let t = 1; t <= run.end; t++) result[t] = run.x[t * n + i] - run.x[(t - 1) * n + i];
  else {
    const line = key === "rate" ? null : rule.lines.find(({ name }) => `=${name}` === key);
    if (line === undefined || (!line && !rule.rate)) return result; // not in this equation
    for (let t = 1; t <= run.end; t++) {
      const values = valuesAt(line ? rule.values : rule.rate, run, rule, hyper, n, i, t);
      result[t] = values[line ? line.value : 0];
    }
  }
  return result;
}

// What each chart shows: its quantity of every optimizer, of those that have it.
export function chartsOf(state, { surface, runs, looks }) {
  const n = surface.dimensions;
  const coordinate = Math.min(state.coordinate, n - 1);
  const chosen = state.optimizers[state.selected];
  const choices = quantityChoices(chosen && ruleNamed(chosen.rule), n, coordinate);
  return state.charts.map((wanted) => {
    const what = choices.some(([key]) => key === wanted.what) ? wanted.what : "loss";
    const isLoss = what === "loss" || what === "evaluated";
    const floor = isLoss ? surface.minimum : null;
    const series = runs.map((run, j) => {
      const { rule, hyper } = state.optimizers[j];
      const values = quantityOf(what, run, ruleNamed(rule), hyper, n, coordinate, floor);
      return { values, end: run.end, look: looks[j] };
    });
    const log = wanted.log && !(isLoss && floor === null && !surface.examples);
    const note = floor ? "above the minimum" : "";
    return { series, hidden: state.hidden, steps: state.steps, log, what, choices, selected: state.selected, note };
  });
}

// What a function of the rule (`values` or `rate`) gives for coordinate i at step t.
export function valuesAt(of, run, rule, hyper, n, i, t) {
  const slots = run.slots.map((values, k) => {
    const width = n ** rule.slots[k].power;
    return values.subarray((t - 1) * width, t * width);
  });
  return of(run.x.subarray((t - 1) * n, t * n), run.gradients.subarray(t * n, (t + 1) * n), slots, t, hyper, i);
}
