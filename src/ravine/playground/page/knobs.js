// Sliders for numbers whose legal range is known: where the scale is even, where it counts decades, where it counts
// how far a decay is from one.

import { el, math } from "./dom.js";
import { legal } from "./state.js";

const POSITIONS = 1000; // positions of a slider

// How positions from 0 to 1 become values, chosen by the legal range and the default.
export function scale(knob) {
  const { low, high, value } = knob;
  if (low === 0 && high === null) {
    const middle = value > 0 ? Math.log10(value) : -3;
    return decades(middle - (value < 1e-4 ? 4 : 3), Math.max(middle + 3, 1), !knob.lowOpen);
  }
  if (low === 0 && high === 1) {
    return {
      value: (p) => (p <= 0 ? (knob.lowOpen ? 1e-4 : 0) : Number((1 - round(10 ** (-4 * p))).toPrecision(6))),
      position: (v) => (v < 1 ? -Math.log10(1 - v) / 4 : 1),
    };
  }
  const from = low ?? Math.min(value - 1, high === null ? -1 : high - 2);
  const to = high ?? Math.max(value + 1, from + 2);
  return {
    value: (p) => Number((from + Math.min(0.999, Math.max(0.001, p)) * (to - from)).toPrecision(3)),
    position: (v) => (v - from) / (to - from),
  };
}

// Decades from 10^from to 10^to; the leftmost position is zero where zero is legal.
function decades(from, to, withZero) {
  return {
    value: (p) => (p <= 0 && withZero ? 0 : round(10 ** (from + p * (to - from)))),
    position: (v) => (v <= 0 ? 0 : (Math.log10(v) - from) / (to - from)),
  };
}

const round = (value) => Number(value.toPrecision(2));

// A row of symbol, slider and number: {element, show(value)}. `set(value, done)` is called with legal values only.
// The row stays while its value changes: another slider under the pointer would not be the one that is held.
export function knobRow(knob, value, set, label = knob.name) {
  const map = scale(knob);
  const place = (v) => Math.round(POSITIONS * Math.min(1, Math.max(0, map.position(v))));
  const note = el("span", { class: "note", role: "alert" });
  const slider = el("input", {
    type: "range",
    min: 0,
    max: POSITIONS,
    value: place(value),
    "aria-label": label,
    "aria-valuetext": String(value),
    oninput: () => use(map.value(slider.value / POSITIONS), false),
    onchange: () => use(map.value(slider.value / POSITIONS), true),
  });
  const box = el("input", {
    type: "text",
    inputmode: "decimal",
    value: String(value),
    "aria-label": `${label}, exact value`,
    autocomplete: "off",
    onchange: () => {
      const typed = box.value.trim() === "" ? NaN : Number(box.value.replace("−", "-").replace(",", "."));
      const good = legal(knob, typed);
      box.setAttribute("aria-invalid", String(!good));
      note.textContent = good ? "" : `${knob.name} must be ${knob.legal}`;
      if (good) {
        slider.value = place(typed);
        set(typed, true);
      }
    },
  });
  let shown = value;
  function use(v, done) {
    write(v);
    set(v, done);
  }
  function write(v) {
    shown = v;
    box.value = String(v);
    box.setAttribute("aria-invalid", "false");
    note.textContent = "";
    slider.setAttribute("aria-valuetext", String(v));
  }
  function show(v) {
    if (v === shown) return;
    slider.value = place(v);
    const typing = document.activeElement === box && box.value !== String(shown);
    if (!typing) return write(v);
    shown = v;
    slider.setAttribute("aria-valuetext", String(v));
  }
  const inWords = label.includes("_") && knob.symbol?.[2]?.[2] === label; // which break where the line ends
  const name = inWords
    ? el("span", { class: "symbol words" }, label.replaceAll("_", " "))
    : knob.symbol
    ? el("span", { class: "symbol", title: titleOf(knob) }, math(knob.symbol), knob.name === "lr" ? " = lr" : "")
    : el("span", { class: "symbol" }, label);
  return { element: el("div", { class: "knob" }, name, slider, box, note), show };
}

// Equations call the learning rate η, code and stories call it lr: its knob bears both names.
const titleOf = (knob) => (knob.name === "lr" ? "η in the equation, lr in code and stories: the learning rate" : knob.name);
