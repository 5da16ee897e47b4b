// Running rules on surfaces. Everything is a pure function of its arguments: the same settings, the same path.

import { NOISES, batches } from "./noise.js";

// One optimizer from one start. Row t of each array is the situation after t steps:
//   x: position; loss: value there; size: length of the step that led there, gradients: what that step was given
//   (both NaN in row 0); slots: one array for each slot, with `dimensions` ** power columns.
// Where a rule evaluates another point than it trains, `evaluated` is {x, loss} of that; else null.
// A run that leaves the finite numbers, or the ground (where the surface has no value), ends: `end` is its last row,
// `reason` "diverged" or "left the ground", "" if it came to its end.
export function run(rule, hyper, surface, start, steps, noise = { kind: "none" }) {
  const n = surface.dimensions;
  const x = Float64Array.from(start.slice(0, n));
  const g = new Float64Array(n);
  const point = new Float64Array(n);
  const slots = rule.slots.map((slot) => new Float64Array(n ** slot.power).fill(slot.start));
  const draw = NOISES[noise.kind].sampler(noise.level, noise.seed);
  const batch = batches(noise, surface.examples?.rows.length);
  const result = {
    x: new Float64Array((steps + 1) * n).fill(NaN),
    gradients: new Float64Array((steps + 1) * n).fill(NaN),
    loss: new Float64Array(steps + 1).fill(NaN),
    size: new Float64Array(steps + 1).fill(NaN),
    slots: slots.map((s) => new Float64Array((steps + 1) * s.length).fill(NaN)),
    evaluated: rule.readOut && {
      x: new Float64Array((steps + 1) * n).fill(NaN),
      loss: new Float64Array(steps + 1).fill(NaN),
    },
    end: 0,
    reason: "",
  };
  record(0);
  if (isOffGround(surface, x)) return { ...result, reason: "left the ground" };
  for (let t = 1; t <= steps; t++) {
    if (rule.ahead) rule.ahead(x, slots, hyper, point);
    surface.gradient(rule.ahead ? point : x, g, batch?.(t));
    if (draw) for (let k = 0; k < n; k++) g[k] += draw(t, k, g[k], n);
    rule.step(x, g, slots, t, hyper);
    const asked = rule.ahead ? point : result.x.subarray((t - 1) * n, t * n);
    result.reason = [asked, x].some((p) => isOffGround(surface, p)) ? "left the ground" : diverged(x);
    if (result.reason) break;
    record(t);
  }
  return result;

  function record(t) {
    result.end = t;
    result.loss[t] = surface.value(x);
    let square = 0;
    for (let k = 0; k < n; k++) {
      const step = t > 0 ? x[k] - result.x[(t - 1) * n + k] : 0;
      square += step * step;
      result.x[t * n + k] = x[k];
      result.gradients[t * n + k] = g[k];
    }
    if (t > 0) result.size[t] = Math.sqrt(square);
    slots.forEach((s, j) => result.slots[j].set(s, t * s.length));
    if (!result.evaluated) return;
    if (t > 0) rule.readOut(x, slots, hyper, point);
    else point.set(x);
    result.evaluated.x.set(point, t * n);
    result.evaluated.loss[t] = surface.value(point);
  }
}

const diverged = (x) => (x.every(Number.isFinite) ? "" : "diverged");

// Whether a surface has no value at a point. Far out, where sums of infinities may have none, a run has diverged.
const DEFINED_WITHIN = 1e100;
function isOffGround(surface, p) {
  return Boolean(surface.hasHoles) && p.every((v) => Math.abs(v) < DEFINED_WITHIN) && Number.isNaN(surface.value(p));
}

// The loss that a run ends with, without its history: what a map of two knobs needs many of. NaN if it leaves the ground.
export function finalLoss(rule, hyper, surface, start, steps) {
  const n = surface.dimensions;
  const x = Float64Array.from(start.slice(0, n));
  const g = new Float64Array(n);
  const point = rule.ahead ? new Float64Array(n) : x;
  const slots = rule.slots.map((slot) => new Float64Array(n ** slot.power).fill(slot.start));
  for (let t = 1; t <= steps; t++) {
    if (rule.ahead) rule.ahead(x, slots, hyper, point);
    surface.gradient(point, g);
    rule.step(x, g, slots, t, hyper);
    if (isOffGround(surface, x)) return NaN;
  }
  return surface.value(x);
}
