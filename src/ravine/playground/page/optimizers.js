// The optimizers on the surface: a card each, with its knobs and its loss at the moment, and a menu to add one.

import { el, format, options, setText, swatch } from "./dom.js";
import { RULES } from "./generated.js";
import { knobRow } from "./knobs.js";
import { MOST_OPTIMIZERS, ruleNamed } from "./state.js";

export function optimizersPanel(act) {
  const list = el("ul", { class: "cards" });
  const add = el("select", {
    class: "add",
    "aria-label": "Add an optimizer",
    onchange: () => {
      const name = add.value;
      add.value = "";
      act((s) => {
        s.optimizers.push({ rule: name, hyper: ruleNamed(name).hyper.map((knob) => knob.value) });
        s.selected = s.optimizers.length - 1;
      }, true);
    },
  });
  add.append(el("option", { value: "" }, "+ Add an optimizer…"), ...options(RULES.map((r) => [r.name, r.title])));
  let shown = "";
  let readings = [];

  function card(state, k, look) {
    const { rule: name, hyper } = state.optimizers[k];
    const rule = ruleNamed(name);
    const open = k === state.selected;
    const reading = el("span", { class: "reading" });
    readings.push(reading);
    const title = el("span", { class: "title" }, look.title, look.note ? el("small", {}, look.note) : null);
    const head = el(
      "button",
      {
        type: "button",
        class: "choose",
        "aria-expanded": String(open),
        onclick: () => act((s) => (s.selected = k), true),
      },
      swatch(look),
      title,
      reading,
    );
    const remove = el(
      "button",
      {
        type: "button",
        class: "quiet remove",
        "aria-label": `Remove ${look.title}`,
        title: "Remove",
        onclick: () => act((s) => removeAt(s, k), true),
      },
      "×",
    );
    const twin = el(
      "button",
      { type: "button", class: "quiet", onclick: () => act((s) => duplicate(s, k), true) },
      "duplicate",
    );
    const reset = el(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: () => act((s) => (s.optimizers[k].hyper = rule.hyper.map((knob) => knob.value)), true),
      },
      "defaults",
    );
    const knobs = rule.hyper.map((knob, j) =>
      knobRow(knob, hyper[j], (v, done) => act((s) => (s.optimizers[k].hyper[j] = v), done)),
    );
    const body = open ? el("div", { class: "knobs" }, ...knobs, el("div", { class: "tools" }, twin, reset)) : null;
    return el("li", { class: open ? "card open" : "card" }, el("div", { class: "head" }, head, remove), body);
  }

  return {
    element: el(
      "section",
      { class: "panel", "aria-label": "Optimizers" },
      el("header", {}, el("h2", {}, "Optimizers"), el("span", { class: "hint" }, "loss")),
      list,
      add,
    ),
    show(state, looks) {
      add.disabled = state.optimizers.length >= MOST_OPTIMIZERS;
      const key = JSON.stringify([state.optimizers, state.selected, looks]);
      // A knob in use keeps its element: rebuilding would drop the pointer or the caret.
      const structure = JSON.stringify([state.optimizers.map((o) => o.rule), state.selected]);
      if (key === shown) return;
      if (
        this.structure === structure &&
        list.contains(document.activeElement) &&
        document.activeElement.matches("input")
      )
        return;
      this.structure = structure;
      shown = key;
      readings = [];
      const focused = [...list.querySelectorAll(".choose")].indexOf(document.activeElement);
      list.replaceChildren(...state.optimizers.map((_, k) => card(state, k, looks[k])));
      if (focused >= 0) list.querySelectorAll(".choose")[focused]?.focus();
    },
    drawAt(t, runs) {
      runs.forEach((run, k) => {
        const lost = t > run.end;
        const text = lost ? `diverged at ${run.end + 1}` : format(run.loss[t], 3);
        if (readings[k]) {
          setText(readings[k], text);
          readings[k].classList.toggle("lost", lost);
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
