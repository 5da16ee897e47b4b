// The optimizers on the surface: a card each, with its knobs and its loss at the moment, and a menu to add one.

import { el, format, options, setText, swatch } from "./dom.js";
import { RULES } from "./generated.js";
import { knobRow } from "./knobs.js";
import { MOST_OPTIMIZERS, ruleNamed } from "./state.js";

export function optimizersPanel(act) {
  const list = el("ul", { class: "cards" });
  // A button beside the list: with the keyboard every rule on the way to the wanted one is chosen for a moment.
  const choice = el(
    "select",
    { "aria-label": "Optimizer to add" },
    ...["Basic", "All"].map((group) => {
      const rules = RULES.filter((r) => group === "All" || r.basic);
      return el("optgroup", { label: group }, ...options(rules.map((r) => [r.name, r.title])));
    }),
  );
  const add = el("button", { type: "button", "aria-label": "Add the chosen optimizer", onclick: () => addChosen() }, "Add");
  function addChosen() {
    act((s) => {
      s.optimizers.push({ rule: choice.value, hyper: ruleNamed(choice.value).hyper.map((knob) => knob.value) });
      s.selected = s.optimizers.length - 1;
    }, true);
  }
  let shown = "";
  let structure = "";
  let cards = [];

  // A card: {element, reading, show(hyper, look)}. It stays while values change.
  function card(state, k, firstLook) {
    const { rule: name, hyper } = state.optimizers[k];
    const rule = ruleNamed(name);
    const open = k === state.selected;
    const reading = el("span", { class: "reading" });
    const line = el("span", { class: "line" });
    const title = el("span", { class: "title" });
    const head = el(
      "button",
      {
        type: "button",
        class: "choose",
        "aria-expanded": String(open),
        onclick: () => act((s) => (s.selected = k), true),
      },
      line,
      title,
      reading,
    );
    const remove = el(
      "button",
      { type: "button", class: "quiet remove", title: "Remove", onclick: () => act((s) => removeAt(s, k), true) },
      "×",
    );
    const tool = (text, change) =>
      el("button", { type: "button", class: "quiet", onclick: () => act(change, true) }, text);
    const twin = tool("duplicate", (s) => duplicate(s, k));
    const reset = tool("defaults", (s) => (s.optimizers[k].hyper = rule.hyper.map((knob) => knob.value)));
    const knobs = rule.hyper.map((knob, j) =>
      knobRow(knob, hyper[j], (v, done) => act((s) => (s.optimizers[k].hyper[j] = v), done)),
    );
    const rows = knobs.map((knob) => knob.element);
    const body = open ? el("div", { class: "knobs" }, ...rows, el("div", { class: "tools" }, twin, reset)) : null;
    function show(values, look) {
      line.replaceChildren(swatch(look));
      title.replaceChildren(look.title, ...(look.note ? [el("small", {}, look.note)] : []));
      remove.setAttribute("aria-label", `Remove ${look.title}`);
      knobs.forEach((knob, j) => knob.show(values[j]));
    }
    show(hyper, firstLook);
    return {
      element: el("li", { class: open ? "card open" : "card" }, el("div", { class: "head" }, head, remove), body),
      reading,
      show,
    };
  }

  return {
    element: el(
      "section",
      { class: "panel", "aria-label": "Optimizers" },
      el("header", {}, el("h2", {}, "Optimizers"), el("span", { class: "hint" }, "loss")),
      list,
      el("div", { class: "add" }, choice, add),
    ),
    show(state, looks) {
      add.disabled = state.optimizers.length >= MOST_OPTIMIZERS;
      const key = JSON.stringify([state.optimizers, state.selected, looks]);
      if (key === shown) return;
      shown = key;
      const now = JSON.stringify([state.optimizers.map((o) => o.rule), state.selected]);
      if (now === structure) return cards.forEach((c, k) => c.show(state.optimizers[k].hyper, looks[k]));
      structure = now;
      const inside = list.contains(document.activeElement);
      const focused = [...list.querySelectorAll(".choose")].indexOf(document.activeElement);
      cards = state.optimizers.map((_, k) => card(state, k, looks[k]));
      list.replaceChildren(...cards.map((c) => c.element));
      // What had the focus is gone: it goes to the same card, or to the one that is chosen now.
      const heads = list.querySelectorAll(".choose");
      if (inside) (heads[focused] ?? heads[state.selected] ?? choice).focus();
    },
    drawAt(t, runs) {
      runs.forEach((run, k) => {
        const lost = t > run.end;
        const evaluated = run.evaluated ? `\nevaluated ${format(run.evaluated.loss[t], 3)}` : "";
        const text = lost ? `${run.reason} at ${run.end + 1}` : format(run.loss[t], 3) + evaluated;
        if (cards[k]) {
          setText(cards[k].reading, text);
          cards[k].reading.classList.toggle("lost", lost);
        }
      });
    },
  };
}

function removeAt(state, k) {
  state.optimizers.splice(k, 1);
  if (state.selected > k || state.selected >= state.optimizers.length) state.selected = Math.max(0, state.selected - 1);
}

function duplicate(state, k) {
  if (state.optimizers.length >= MOST_OPTIMIZERS) return;
  state.optimizers.splice(k + 1, 0, structuredClone(state.optimizers[k]));
  state.selected = k + 1;
}
