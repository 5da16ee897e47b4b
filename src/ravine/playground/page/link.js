// The page's state in the form of a link. A link is only read: every name in it is looked up, every number checked, a
// text is never anything but a text, and whatever can't be used is named with what would be legal.

import { PRESETS, RULES, SURFACES } from "./generated.js";
import { NOISES } from "./noise.js";
import { LONGEST_FORMULA } from "./parse.js";
import { quantityChoices } from "./quantities.js";
import {
  LARGEST,
  MOST_OPTIMIZERS,
  SPEED,
  STEPS,
  TILTS,
  chooseSurface,
  defaults,
  legal,
  parameterKnob,
  ruleNamed,
  surfaceNamed,
} from "./state.js";

const SEVERAL = ["opt", "param", "chart"]; // keys that may stand more than once
const KEYS = "preset surface f start view steps speed noise sel coord map arrows relief versus loop hide theme t".split(" ").concat(SEVERAL);
const NOISE = { level: 1e6, seed: 2 ** 31 };

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
  const usual = defaults().charts;
  if (JSON.stringify(state.charts) !== JSON.stringify(usual))
    for (const { what, log } of state.charts) add("chart", log ? `${what},log` : what);
  if (state.arrows) add("arrows", 1);
  if (state.relief) add("relief", `${state.relief.turn},${state.relief.tilt}`);
  if (state.versus !== null) add("versus", state.versus);
  if (state.loop) add("loop", 1);
  if (state.hidden) add("hide", 1);
  if (state.theme !== "auto") add("theme", state.theme);
  add("t", Math.round(state.at));
  return fields.join("&");
}

// {state, problems, moment}: the state in a link's text, what in it could not be used, in words, and whether it names
// a step to show.
export function decode(text) {
  const reader = new Reader(completed(new URLSearchParams(text)));
  reader.keys();
  const { state } = reader;
  reader.oneOf("preset", PRESETS, (preset) => (state.preset = preset.name));
  chooseSurface(state, state.surface);
  reader.oneOf("surface", [...SURFACES, { name: "formula" }], ({ name }) => chooseSurface(state, name));
  reader.formula();
  reader.parameters();
  reader.start();
  reader.view();
  reader.whole("steps", STEPS.low, STEPS.high, (value) => (state.steps = value));
  reader.number("speed", SPEED.low, SPEED.high, (value) => (state.speed = value));
  reader.noise();
  reader.optimizers();
  reader.whole("sel", 0, Math.max(0, state.optimizers.length - 1), (value) => (state.selected = value));
  reader.whole("coord", 0, 1, (value) => (state.coordinate = value));
  reader.whole("t", 0, state.steps, (value) => (state.at = value));
  reader.map();
  reader.charts();
  reader.whole("arrows", 0, 1, (value) => (state.arrows = value === 1));
  reader.relief();
  reader.whole("loop", 0, 1, (value) => (state.loop = value === 1));
  reader.whole("hide", 0, 1, (value) => (state.hidden = value === 1));
  reader.whole("versus", 0, Math.max(0, state.optimizers.length - 1), (value) => (state.versus = value));
  const themes = ["auto", "light", "dark"].map((name) => ({ name }));
  reader.oneOf("theme", themes, ({ name }) => (state.theme = name));
  return { state, problems: [...new Set(reader.problems)], moment: reader.fields.has("t") };
}

// A piece of a link as it is quoted in a complaint.
const quoted = (text) => `“${text.length > 24 ? `${text.slice(0, 23)}…` : text}”`;

class Reader {
  constructor(fields) {
    this.fields = fields;
    this.state = defaults();
    this.problems = [];
  }

  // Complain of keys that mean nothing, and of a second value where there is room for one.
  keys() {
    const seen = new Set();
    const unknown = [...new Set(this.fields.keys())].filter((key) => !KEYS.includes(key)).map(quoted);
    const are = unknown.length > 1 ? "are no keys" : "is no key";
    if (unknown.length) this.problems.push(`${unknown.join(", ")} ${are} of a link (there are ${KEYS.join(", ")})`);
    for (const key of this.fields.keys()) {
      if (KEYS.includes(key) && seen.has(key) && !SEVERAL.includes(key)) this.problems.push(`${key} stands twice, the first one counts`);
      seen.add(key);
    }
  }

  // The number in a text if it is one from `low` to `high`, otherwise null and a complaint.
  parse(key, text, low, high) {
    const parsed = text.trim() === "" ? NaN : Number(text);
    if (parsed >= low && parsed <= high) return parsed;
    this.problems.push(`${key} must be a number from ${low} to ${high}, not ${quoted(text)}`);
    return null;
  }

  number(key, low, high, use) {
    if (!this.fields.has(key)) return;
    const value = this.parse(key, this.fields.get(key), low, high);
    if (value !== null) use(value);
  }

  whole(key, low, high, use) {
    this.number(key, low, high, (value) => {
      if (!Number.isInteger(value)) this.problems.push(`${key} must be a whole number, not ${value}`);
      else use(value);
    });
  }

  oneOf(key, things, use) {
    if (!this.fields.has(key)) return;
    const name = this.fields.get(key);
    const found = things.find((thing) => thing.name === name);
    if (found) use(found);
    else this.problems.push(`${key} ${quoted(name)} is not on this page`);
  }

  formula() {
    if (!this.fields.has("f")) return;
    const formula = this.fields.get("f");
    if (this.state.surface !== "formula") this.problems.push("f counts only with surface=formula");
    else if (formula.length <= LONGEST_FORMULA) this.state.formula = formula;
    else this.problems.push(`a formula may have ${LONGEST_FORMULA} characters, this one has ${formula.length}`);
  }

  parameters() {
    const known = surfaceNamed(this.state.surface)?.parameters ?? [];
    for (const field of this.fields.getAll("param")) {
      const [name, value, ...rest] = field.split(":");
      const k = known.findIndex((p) => p.name === name);
      if (k < 0) {
        const there = known.length ? `has ${known.map((p) => p.name).join(", ")}` : "has none";
        this.problems.push(`param ${quoted(name)}: the surface ${there}`);
        continue;
      }
      const knob = parameterKnob(known[k]);
      const parsed = this.legal(knob, `param ${name}`, value, rest);
      if (parsed !== null) this.state.parameters[k] = parsed;
    }
  }

  // The number in a text if a knob may have it, otherwise null and a complaint.
  legal(knob, what, value, rest) {
    const parsed = rest.length || value === undefined || value.trim() === "" ? NaN : Number(value);
    if (legal(knob, parsed)) return parsed;
    this.problems.push(`${what} must be ${knob.legal}, not ${quoted([value ?? "", ...rest].join(" "))}`);
    return null;
  }

  list(key, count, low = -LARGEST, high = LARGEST) {
    const parts = this.fields.get(key).split(",");
    if (parts.length !== count) {
      this.problems.push(`${key} must be ${count} numbers, not ${quoted(this.fields.get(key))}`);
      return null;
    }
    const numbers = parts.map((part) => this.parse(key, part, low, high));
    return numbers.includes(null) ? null : numbers;
  }

  relief() {
    if (!this.fields.has("relief")) return;
    const angles = this.list("relief", 2, 0, 359);
    if (!angles) return;
    if (angles[1] >= TILTS.low && angles[1] <= TILTS.high) this.state.relief = { turn: angles[0], tilt: angles[1] };
    else this.problems.push(`relief must have a tilt from ${TILTS.low} to ${TILTS.high}, not ${angles[1]}`);
  }

  start() {
    if (!this.fields.has("start")) return;
    const parts = this.list("start", this.fields.get("start").includes(",") ? 2 : 1);
    if (parts) this.state.start = [parts[0], parts[1] ?? 0];
  }

  view() {
    if (!this.fields.has("view")) return;
    const view = this.list("view", 4);
    if (view && view[0] < view[1] && view[2] < view[3]) this.state.view = view;
    else if (view) this.problems.push("view must be x from, x to, y from, y to, each from below its to");
  }

  noise() {
    if (!this.fields.has("noise")) return;
    const [kind, ...numbers] = this.fields.get("noise").split(",");
    if (!Object.hasOwn(NOISES, kind)) this.problems.push(`noise ${quoted(kind)} is not on this page`);
    else if (NOISES[kind].needsData && !surfaceNamed(this.state.surface)?.examples)
      this.problems.push(`noise ${kind} needs a surface over data`);
    else if (numbers.length !== 2) this.problems.push("noise must be a kind, a scale and a seed");
    else {
      const level = this.parse("the noise’s scale", numbers[0], 0, NOISE.level);
      const seed = this.parse("the noise’s seed", numbers[1], 0, NOISE.seed);
      if (level !== null && seed !== null) this.state.noise = { kind, level, seed: Math.round(seed) };
    }
  }

  optimizers() {
    const fields = this.fields.getAll("opt");
    if (fields.length > MOST_OPTIMIZERS)
      this.problems.push(`there is room for ${MOST_OPTIMIZERS} optimizers, not for ${fields.length}`);
    for (const field of fields.slice(0, MOST_OPTIMIZERS)) {
      const [name, ...settings] = field.split(/,(?![^(]*\))/);
      const rule = ruleNamed(name);
      if (rule) this.state.optimizers.push({ rule: name, hyper: this.settings(rule, settings) });
      else this.problems.push(`opt ${quoted(name)} is an optimizer that this page does not have`);
    }
  }

  settings(rule, settings) {
    const hyper = rule.hyper.map((knob) => knob.value);
    for (const setting of settings) {
      const [key, value, ...rest] = setting.split("=");
      const k = rule.hyper.findIndex((knob) => knob.name === key);
      if (k < 0) {
        const names = rule.hyper.map((knob) => knob.name).join(", ");
        this.problems.push(`${rule.title} has no knob ${quoted(key)} (it has ${names})`);
        continue;
      }
      const parsed = this.legal(rule.hyper[k], `${rule.title}’s ${key}`, value, rest);
      if (parsed !== null) hyper[k] = parsed;
    }
    return hyper;
  }

  map() {
    if (!this.fields.has("map")) return;
    const axes = this.fields.get("map").split(",");
    const isKnob = (name) => RULES.some((rule) => rule.hyper.some((knob) => knob.name === name));
    if (axes.length === 2 && axes[0] !== axes[1] && axes.every(isKnob)) this.state.map = axes;
    else this.problems.push(`map must name two knobs, such as lr,mu; not ${quoted(this.fields.get("map"))}`);
  }

  charts() {
    const fields = this.fields.getAll("chart");
    const most = this.state.charts.length;
    if (fields.length > most) this.problems.push(`there is room for ${most} charts, not for ${fields.length}`);
    fields.slice(0, most).forEach((field, k) => {
      const [what, log, ...rest] = field.split(",");
      const known = RULES.some((rule) => quantityChoices(rule, 2, 0).some(([key]) => key === what));
      if (known && !rest.length && [undefined, "log"].includes(log)) this.state.charts[k] = { what, log: log === "log" };
      else this.problems.push(`chart must be a quantity, or one and log; not ${quoted(field)}`);
    });
  }
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

// Whether what a scenario's story is about (not where one looks, or when) is another than in the scenario.
export function differsFromPreset(state) {
  return state.preset !== "" && subject(state) !== subject(fromPreset(state.preset));
}

function subject({ surface, formula, parameters, start, steps, noise, optimizers }) {
  return JSON.stringify([surface, surface === "formula" && formula, parameters, start, steps, noise, optimizers]);
}
