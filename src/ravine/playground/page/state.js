// What the page shows, as one plain object, and its form in a link. A link is only read: every name in it is looked
// up, every number checked, and a text is never anything but a text.

import { LONGEST_FORMULA } from "./parse.js";
import { PRESETS, RULES, SURFACES } from "./generated.js";
import { NOISES } from "./noise.js";

export const MOST_OPTIMIZERS = 24;
export const STEPS = { low: 10, high: 10000 };
export const SPEED = { low: 1, high: 1000 };
const LARGEST = 1e9; // of a coordinate

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

export function encode(state) {
  const fields = [];
  const add = (key, value) =>
    fields.push(`${key}=${encodeURIComponent(value).replace(/%(2C|3A|3D|28|29)/g, decodeURIComponent)}`);
  if (state.preset) add("preset", state.preset);
  add("surface", state.surface);
  if (state.surface === "formula") add("f", state.formula);
  const surface = surfaceNamed(state.surface);
  if (surface)
    surface.parameters.forEach(
      (p, k) => state.parameters[k] !== p.value && add("param", `${p.name}:${state.parameters[k]}`),
    );
  add("start", state.start.join(","));
  if (state.view) add("view", state.view.join(","));
  add("steps", state.steps);
  add("speed", state.speed);
  if (state.noise.kind !== "none") add("noise", `${state.noise.kind},${state.noise.level},${state.noise.seed}`);
  for (const { rule, hyper } of state.optimizers) {
    const changed = ruleNamed(rule).hyper.map((knob, k) =>
      hyper[k] === knob.value ? "" : `,${knob.name}=${hyper[k]}`,
    );
    add("opt", rule + changed.join(""));
  }
  add("sel", state.selected);
  if (state.coordinate) add("coord", state.coordinate);
  if (state.map) add("map", state.map.join(","));
  if (state.theme !== "auto") add("theme", state.theme);
  add("t", Math.round(state.at));
  return fields.join("&");
}

// {state, problems, moment}: the state in a link's text, what in it could not be used, in words, and whether it names
// a step to show.
export function decode(text) {
  const state = defaults();
  const problems = [];
  const fields = completed(new URLSearchParams(text));
  const number = (key, value, low, high) => {
    const parsed = value === null || value.trim() === "" ? NaN : Number(value);
    if (Number.isFinite(parsed) && parsed >= low && parsed <= high) return parsed;
    problems.push(`${key} must be a number from ${low} to ${high}`);
    return null;
  };
  const read = (key, low, high, use) => {
    if (!fields.has(key)) return;
    const value = number(key, fields.get(key), low, high);
    if (value !== null) use(value);
  };
  const whole = (key, low, high, use) => read(key, low, high, (value) => use(Math.round(value)));
  const oneOf = (key, known, use) => {
    if (!fields.has(key)) return;
    if (known.includes(fields.get(key))) use(fields.get(key));
    else problems.push(`${key} names nothing on this page`);
  };
  const list = (key, count) => {
    const parts = fields
      .get(key)
      .split(",")
      .map((part) => number(key, part, -LARGEST, LARGEST));
    if (parts.length !== count) problems.push(`${key} must be ${count} numbers`);
    return parts.length === count && !parts.includes(null) ? parts : null;
  };

  oneOf(
    "preset",
    PRESETS.map((p) => p.name),
    (name) => (state.preset = name),
  );
  chooseSurface(state, state.surface);
  oneOf("surface", [...SURFACES.map((s) => s.name), "formula"], (name) => chooseSurface(state, name));
  if (fields.has("f")) {
    const formula = fields.get("f");
    if (formula.length <= LONGEST_FORMULA) state.formula = formula;
    else problems.push(`a formula may have ${LONGEST_FORMULA} characters`);
  }
  for (const field of fields.getAll("param")) {
    const [name, value] = field.split(":");
    const k = surfaceNamed(state.surface)?.parameters.findIndex((p) => p.name === name) ?? -1;
    const parsed = k < 0 ? null : number("param", value ?? null, -LARGEST, LARGEST);
    if (parsed !== null) state.parameters[k] = parsed;
    else if (k < 0) problems.push("param names nothing on this page");
  }
  if (fields.has("start")) {
    const parts = list("start", fields.get("start").split(",").length === 1 ? 1 : 2);
    if (parts) state.start = [parts[0], parts[1] ?? 0];
  }
  if (fields.has("view")) {
    const view = list("view", 4);
    if (view && view[0] < view[1] && view[2] < view[3]) state.view = view;
    else if (view) problems.push("view must be x from, x to, y from, y to");
  }
  whole("steps", STEPS.low, STEPS.high, (value) => (state.steps = value));
  read("speed", SPEED.low, SPEED.high, (value) => (state.speed = value));
  if (fields.has("noise")) {
    const [kind, level, seed] = fields.get("noise").split(",");
    const [l, s] = [number("noise", level ?? null, 0, 1e6), number("noise", seed ?? null, 0, 2 ** 31)];
    if (!Object.hasOwn(NOISES, kind)) problems.push("noise names nothing on this page");
    else if (l !== null && s !== null) state.noise = { kind, level: l, seed: Math.round(s) };
  }
  const optimizers = fields.getAll("opt");
  if (optimizers.length > MOST_OPTIMIZERS) problems.push(`there is room for ${MOST_OPTIMIZERS} optimizers`);
  for (const field of optimizers.slice(0, MOST_OPTIMIZERS)) {
    const [name, ...settings] = field.split(/,(?![^(]*\))/);
    const rule = ruleNamed(name);
    if (!rule) {
      problems.push("an optimizer that this page does not have was left out");
      continue;
    }
    const hyper = rule.hyper.map((knob) => knob.value);
    for (const setting of settings) {
      const [key, value] = setting.split("=");
      const k = rule.hyper.findIndex((knob) => knob.name === key);
      if (k >= 0 && value !== "" && legal(rule.hyper[k], Number(value))) hyper[k] = Number(value);
      else problems.push(`a setting of ${rule.title} was not legal`);
    }
    state.optimizers.push({ rule: name, hyper });
  }
  const last = Math.max(0, state.optimizers.length - 1);
  whole("sel", 0, MOST_OPTIMIZERS, (value) => (state.selected = Math.min(value, last)));
  whole("coord", 0, 1, (value) => (state.coordinate = value));
  whole("t", 0, STEPS.high, (value) => (state.at = Math.min(value, state.steps)));
  if (fields.has("map")) {
    const axes = fields.get("map").split(",");
    const isKnob = (name) => RULES.some((rule) => rule.hyper.some((knob) => knob.name === name));
    if (axes.length === 2 && axes.every(isKnob)) state.map = axes;
    else problems.push("map must name two knobs");
  }
  oneOf("theme", ["auto", "light", "dark"], (theme) => (state.theme = theme));
  return { state, problems, moment: fields.has("t") };
}

// A link that names a scenario and no surface or optimizer means all of that scenario.
function completed(fields) {
  const preset = PRESETS.find((p) => p.name === fields.get("preset"));
  if (!preset || fields.has("surface") || fields.has("opt")) return fields;
  const given = new Set(fields.keys());
  for (const [key, value] of new URLSearchParams(preset.link)) if (!given.has(key)) fields.append(key, value);
  return fields;
}

export function fromPreset(name) {
  const preset = PRESETS.find((p) => p.name === name) ?? PRESETS[0];
  const { state } = decode(preset.link);
  state.preset = preset.name;
  return state;
}
