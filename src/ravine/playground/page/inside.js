// Inside the selected optimizer: its equation, the same with the current numbers, and its state.

import { el, format, math, mathml, prose, setText } from "./dom.js";
import { ruleNamed } from "./state.js";
import { lowerSubscripts } from "./subscripts.js";

export class Inside {
  constructor({ setCoordinate }) {
    this.setCoordinate = setCoordinate;
    this.element = el("section", { class: "inside", "aria-label": "Inside the selected optimizer" });
    this.key = "";
  }

  // Build for a rule; the numbers come with drawAt.
  show({ state, run, look, surface }) {
    Object.assign(this, { state, run, surface });
    const key = run && JSON.stringify([state.optimizers[state.selected].rule, surface.dimensions, look]);
    if (key === this.key) return;
    this.key = key;
    if (!run) return this.element.replaceChildren();
    this.rule = ruleNamed(state.optimizers[state.selected].rule);
    const { rule } = this;
    this.lines = rule.lines.map((line) => {
      const numbers = mathml(line.numbers);
      const value = el("span", { class: "value" });
      const filled = el("span", { class: "filled" }, el("span", {}, math(numbers)), "=", value);
      const equals = () => el("span", { class: "equals" }, "=");
      const row = el(
        "div",
        { class: "line" },
        el("span", {}, math(line.left)),
        equals(),
        el("span", {}, math(line.right)),
        equals(),
        filled,
      );
      return { places: [...numbers.querySelectorAll("[data-place]")], value, row, of: line.value };
    });
    const column = (text) => el("th", { scope: "col" }, text);
    const names = surface.dimensions === 2 ? ["x", "y"] : ["x"];
    this.cells = [];
    const row = (head, count, name) => {
      const cells = Array.from({ length: count }, () =>
        el("td", count < names.length ? { colspan: names.length } : {}),
      );
      this.cells.push(cells);
      return el("tr", {}, el("th", { scope: "row", "aria-label": name }, head), ...cells);
    };
    const rows = [row("position", names.length), row("gradient", names.length), row("step Δ", names.length)];
    rule.slots.forEach((slot) => rows.push(row(math(slot.symbol), slot.scalar ? 1 : names.length, slot.name)));
    this.choice = names.map((name, k) =>
      el(
        "button",
        { type: "button", class: "quiet", onclick: () => this.setCoordinate(k), "aria-pressed": "false" },
        name,
      ),
    );
    this.heading = el("h2", {}, look.title, look.note ? el("small", {}, ` ${look.note}`) : "");
    this.element.replaceChildren(
      el(
        "header",
        {},
        this.heading,
        el("p", {}, ...prose(rule.summary)),
        rule.paper ? el("p", { class: "paper" }, rule.paper) : "",
      ),
      el(
        "div",
        { class: "equation", role: "group", "aria-label": "Equation with the current numbers" },
        names.length > 1 ? el("div", { class: "coordinate" }, el("span", {}, "numbers for"), ...this.choice) : "",
        ...this.lines.map((line) => line.row),
      ),
      el(
        "div",
        { class: "slots" },
        el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...names.map(column))), el("tbody", {}, ...rows)),
      ),
    );
    lowerSubscripts(this.element);
  }

  // The numbers of the step that led to the situation after `t` steps; at 0, of the step to come.
  drawAt(t) {
    if (!this.run) return;
    const { run, rule, surface, state } = this;
    const n = surface.dimensions;
    const i = Math.min(state.coordinate, n - 1);
    this.choice.forEach((button, k) => button.setAttribute("aria-pressed", String(k === i)));
    const now = Math.min(t, run.end);
    const step = Math.min(Math.max(now, 1), Math.max(run.end, 1));
    const hyper = state.optimizers[state.selected].hyper;
    const x = run.x.slice((step - 1) * n, step * n);
    const g = run.gradients.slice(step * n, step * n + n);
    const slots = run.slots.map((values, k) => {
      const width = rule.slots[k].scalar ? 1 : n;
      return values.slice((step - 1) * width, step * width);
    });
    const values = rule.values(x, g, slots, step, hyper, i);
    for (const line of this.lines) {
      for (const place of line.places) setText(place, bracketed(values[Number(place.dataset.place)]));
      setText(line.value, format(values[line.of]));
    }
    const row = (array, width) => Array.from({ length: width }, (_, k) => array[now * width + k]);
    const position = row(run.x, n);
    const moved = now === 0 ? position.map(() => NaN) : position.map((v, k) => v - run.x[(now - 1) * n + k]);
    const gradient = now === 0 ? position.map(() => NaN) : row(run.gradients, n);
    const state_ = run.slots.map((array, k) => row(array, rule.slots[k].scalar ? 1 : n));
    [position, gradient, moved, ...state_].forEach((numbers, k) =>
      numbers.forEach((v, j) => setText(this.cells[k][j], format(v))),
    );
  }
}

function bracketed(value) {
  const text = format(value);
  return text.startsWith("−") ? `(${text})` : text;
}
