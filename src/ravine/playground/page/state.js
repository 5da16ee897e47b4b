// What the page shows, as one plain object, and what is legal in it.

import { RULES, SURFACES } from "./generated.js";

export const MOST_OPTIMIZERS = 24;
export const STEPS = { low: 10, high: 10000 };
export const SPEED = { low: 1, high: 1000 };
export const LARGEST = 1e9; // of a coordinate
export const TILTS = { low: 5, high: 90 }; // degrees, of the view in three dimensions

export const ruleNamed = (name) => RULES.find((rule) => rule.name === name);
export const surfaceNamed = (name) => SURFACES.find((surface) => surface.name === name);

export function defaults() {
  return {
    preset: "", // the scenario that this began as, for its title and story
    surface: SURFACES[0].name, // or "formula"
    formula: "x^2 + 10 y^2",
    parameters: [],
    start: [0, 0],
    view: null, // [x0, x1, y0, y1], or null for the surface's own
    steps: 200,
    at: 0, // the step that is shown
    speed: 30, // steps in a second
    noise: { kind: "none", level: 1, seed: 1 },
    optimizers: [], // {rule: name, hyper: [numbers]}
    selected: 0,
    coordinate: 0,
    map: null, // the names of two knobs
    charts: [
      { what: "loss", log: true },
      { what: "size", log: true },
    ],
    arrows: false,
    relief: null, // {turn, tilt} in degrees, of the view in three dimensions
    loop: false, // whether it begins again at its end
    hidden: false, // whether what answers a teacher's question is kept out of sight
    versus: null, // the optimizer beside the selected one
    theme: "auto",
  };
}

export function copy(state) {
  return structuredClone(state);
}

// Choose another surface, with its own start, view and parameters.
export function chooseSurface(state, name) {
  state.surface = name;
  state.view = null;
  if (state.noise.kind === "batches" && !surfaceNamed(name)?.examples) state.noise.kind = "none";
  if (name === "formula") {
    state.parameters = [];
    state.start = [2, 2];
  } else {
    const surface = surfaceNamed(name);
    state.parameters = surface.parameters.map((p) => p.value);
    state.start = [surface.start[0], surface.start[1] ?? 0];
  }
}

export function legal(knob, value) {
  if (!Number.isFinite(value)) return false;
  if (knob.low !== null && (knob.lowOpen ? value <= knob.low : value < knob.low)) return false;
  return knob.high === null || (knob.highOpen ? value < knob.high : value <= knob.high);
}

// A surface's parameter as a knob: a positive number counts decades, others go a few units either way.
export function parameterKnob({ name, value }) {
  const positive = value > 0;
  return {
    name,
    value,
    low: positive ? 0 : value - 2,
    high: positive ? null : value + 2,
    lowOpen: positive,
    highOpen: false,
    legal: positive ? "> 0" : `from ${value - 2} to ${value + 2}`,
  };
}
