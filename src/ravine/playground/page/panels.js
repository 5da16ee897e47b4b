// The controls: scenario, surface, formula and noise. Each panel is built by a function and returns {element, show};
// `act(change, done)` changes the state (done: a step that undo goes back over).

import { el, grouped, options, prose, setText } from "./dom.js";
import { LONGEST_FORMULA } from "./parse.js";
import { PRESETS, SURFACES } from "./generated.js";
import { knobRow } from "./knobs.js";
import { NOISES } from "./noise.js";
import { chooseSurface, parameterKnob, surfaceNamed } from "./state.js";

export function scenarioPanel({ open, reset }) {
  const select = el(
    "select",
    { "aria-label": "Scenario", onchange: () => open(select.value) },
    ...grouped(PRESETS.map((p) => [p.group, p.name, p.title])),
  );
  const own = el("option", { value: "", disabled: true }, "Your own");
  select.prepend(own);
  const again = el(
    "button",
    { type: "button", class: "quiet", title: "Back to the scenario as it was", onclick: reset },
    "Reset",
  );
  const story = el("p", { class: "story" });
  return {
    element: el("div", { class: "scenario" }, el("div", { class: "choice" }, select, again), story),
    // `changed`: the story no longer tells what is seen.
    show(state, changed) {
      const preset = PRESETS.find((p) => p.name === state.preset);
      select.value = preset ? preset.name : "";
      const words = changed ? `You have changed “${preset.title}”, so its story is not told here.` : preset?.story;
      setText(story, words ?? "");
      story.classList.toggle("hint", changed);
      story.hidden = !preset;
    },
  };
}

export function surfacePanel(act) {
  const choices = SURFACES.map((s) => [s.examples ? "Real data" : "Functions", s.name, s.title]);
  const select = el(
    "select",
    { "aria-label": "Surface", onchange: () => act((s) => chooseSurface(s, select.value), true) },
    ...grouped([...choices, ["Functions", "formula", "Your own formula…"]]),
  );
  const formula = el("input", {
    type: "text",
    class: "formula",
    "aria-label": "Formula of x and y",
    "aria-describedby": "ravine-formula-problem",
    maxlength: LONGEST_FORMULA,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    oninput: () => act((s) => (s.formula = formula.value), false),
    onchange: () => act((s) => (s.formula = formula.value), true),
  });
  const problem = el("p", { class: "problem", id: "ravine-formula-problem", role: "alert" });
  const hint = el("p", { class: "hint" }, "Such as x^2 + 10 sin(y)^2, or with x alone for a curve: max(x, -0.1x)");
  const own = el("div", { class: "own" }, el("label", {}, "f(x, y) =", formula), problem, hint);
  const summary = el("p", { class: "hint" });
  const knobs = el("div", { class: "knobs" });
  let shown = "";
  let rows = [];
  return {
    element: el(
      "section",
      { class: "panel", "aria-label": "Surface" },
      el("h2", {}, "Surface"),
      select,
      summary,
      own,
      knobs,
    ),
    show(state, error) {
      select.value = state.surface;
      const surface = surfaceNamed(state.surface);
      own.hidden = Boolean(surface);
      summary.replaceChildren(...prose(surface ? surface.summary : ""));
      if (document.activeElement !== formula) formula.value = state.formula;
      formula.setAttribute("aria-invalid", String(Boolean(error)));
      showProblem(problem, error, state.formula);
      hint.hidden = Boolean(error);
      if (state.surface === shown) return rows.forEach((row, k) => row.show(state.parameters[k]));
      shown = state.surface;
      rows = (surface?.parameters ?? []).map((p, k) =>
        knobRow(parameterKnob(p), state.parameters[k], (v, done) => act((s) => (s.parameters[k] = v), done)),
      );
      knobs.replaceChildren(...rows.map((row) => row.element));
    },
  };
}

function showProblem(element, error, formula) {
  if (!error) return element.replaceChildren();
  const [before, wrong, after] = [
    formula.slice(0, error.start),
    formula.slice(error.start, error.end),
    formula.slice(error.end),
  ];
  const marked = el("code", {}, before, el("mark", {}, wrong || "␣"), after);
  element.replaceChildren(`Character ${error.start + 1}: ${error.message}`, el("br"), marked);
}

const LARGEST_BATCH = 150;

// Another kind of noise. What is a scale for the one is the number of examples in a batch for the other.
function chooseNoise(noise, kind) {
  if ((kind === "batches") !== (noise.kind === "batches")) noise.level = kind === "batches" ? 10 : 1;
  noise.kind = kind;
}

export function noisePanel(act) {
  const kinds = Object.entries(NOISES).map(([kind, { title }]) => [kind, title]);
  const select = el(
    "select",
    { "aria-label": "Gradient noise", onchange: () => act((s) => chooseNoise(s.noise, select.value), true) },
    ...options(kinds),
  );
  const scale = { name: "scale", value: 1, low: 0, high: null, legal: "≥ 0" };
  const level = knobRow(scale, scale.value, (v, done) => act((s) => (s.noise.level = v), done));
  const sizes = { name: "size", value: 10, low: 1, high: LARGEST_BATCH, legal: `from 1 to ${LARGEST_BATCH}` };
  const size = knobRow(sizes, sizes.value, (v, done) => act((s) => (s.noise.level = Math.round(v)), done));
  const seed = el("input", {
    type: "number",
    min: 0,
    max: 2 ** 31,
    "aria-label": "Seed of the noise",
    onchange: () =>
      act((s) => (s.noise.seed = Math.max(0, Math.min(2 ** 31, Math.round(Number(seed.value) || 0)))), true),
  });
  const again = el(
    "button",
    { type: "button", class: "quiet", title: "Another seed", onclick: () => act((s) => (s.noise.seed += 1), true) },
    "another",
  );
  const details = el("div", {}, el("div", { class: "knobs" }, level.element, size.element), el("label", { class: "seed" }, "seed", seed, again));
  return {
    element: el(
      "section",
      { class: "panel", "aria-label": "Noise" },
      el("h2", {}, "Noise on the gradient"),
      select,
      details,
    ),
    show(state) {
      select.value = state.noise.kind;
      details.hidden = state.noise.kind === "none";
      seed.value = state.noise.seed;
      level.show(state.noise.level);
      size.show(state.noise.level);
      size.element.hidden = state.noise.kind !== "batches";
      level.element.hidden = !size.element.hidden;
      const hasData = Boolean(surfaceNamed(state.surface)?.examples);
      for (const option of select.options) option.disabled = Boolean(NOISES[option.value].needsData) && !hasData;
    },
  };
}
