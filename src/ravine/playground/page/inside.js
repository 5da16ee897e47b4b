// Inside the selected optimizer: its equation, the same with the current numbers, and its state; beside it another
// optimizer's equation, if wanted, with the lines in which they differ marked.

import { el, format, math, mathml, options, prose, setText } from "./dom.js";
import { valuesAt } from "./quantities.js";
import { ruleNamed } from "./state.js";
import { lowerSubscripts } from "./subscripts.js";

export class Inside {
  constructor({ setCoordinate, setVersus }) {
    this.setCoordinate = setCoordinate;
    this.setVersus = setVersus;
    this.element = el("section", { class: "inside", "aria-label": "Inside the selected optimizer" });
    this.key = "";
  }

  // Build for a rule; the numbers come with drawAt.
  show({ state, runs, looks, surface }) {
    const [run, look] = [runs[state.selected], looks[state.selected]];
    Object.assign(this, { state, run, surface });
    const others = looks.map(({ title, note }, k) => [k, note ? `${title} ${note}` : title]);
    const versus = state.versus !== state.selected && state.optimizers[state.versus] ? state.versus : null;
    const key = run && JSON.stringify([state.optimizers, state.selected, surface.dimensions, look, others, versus]);
    if (key === this.key) return;
    this.key = key;
    if (!run) return this.element.replaceChildren();
    this.rule = ruleNamed(state.optimizers[state.selected].rule);
    const { rule } = this;
    const other = versus === null ? null : ruleNamed(state.optimizers[versus].rule);
    this.lines = rule.lines.map((line) => {
      const numbers = mathml(line.numbers);
      const value = el("span", { class: "value" });
      const filled = el("span", { class: "filled" }, el("span", {}, math(numbers)), el("span", { class: "result" }, "= ", value));
      const equals = () => el("span", { class: "equals" }, "=");
      const row = el(
        "div",
        { class: "line" },
        el("span", {}, ...mark(line, other), math(line.left)),
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
    const rows = [row("position", names.length)];
    if (rule.readOut) rows.push(row("evaluated at", names.length));
    rows.push(row("gradient", names.length), row("step Δ", names.length));
    this.bars = rule.rate ? names.map(() => el("span", { class: "bar" })) : [];
    rows.push(row("effective rate", rule.rate ? names.length : 1));
    this.cells.at(-1).forEach((cell, k) => cell.append(...(rule.rate ? [el("span"), this.bars[k]] : ["not defined"])));
    rule.slots.forEach((slot) => rows.push(row(math(slot.symbol), names.length ** slot.power, slot.name)));
    this.choice = names.map((name, k) =>
      el(
        "button",
        { type: "button", class: "quiet", onclick: () => this.setCoordinate(k), "aria-pressed": "false" },
        name,
      ),
    );
    const [summary, ...more] = rule.summary.split(/\n\s*\n/);
    this.heading = el("h2", {}, look.title, look.note ? el("small", {}, ` ${look.note}`) : "");
    this.element.replaceChildren(
      el(
        "header",
        {},
        this.heading,
        el("p", {}, ...prose(summary)),
        more.length ? el("details", {}, el("summary", {}, "More on it"), ...more.map((part) => el("p", {}, ...prose(part)))) : "",
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
    if (others.length > 1) this.element.append(this.comparison(state, others, versus, rule, other));
    lowerSubscripts(this.element);
  }

  // The choice of another optimizer, and its equation.
  comparison(state, others, versus, rule, other) {
    const choice = el(
      "select",
      { "aria-label": "Compare with", onchange: () => this.setVersus(choice.value === "" ? null : Number(choice.value)) },
      el("option", { value: "" }, "Compare with…"),
      ...options(others.filter(([k]) => k !== state.selected)),
    );
    choice.value = versus === null ? "" : String(versus);
    if (!other) return el("div", { class: "versus" }, choice);
    const lines = other.lines.map((line) =>
      el(
        "div",
        { class: "line" },
        el("span", {}, ...mark(line, rule), math(line.left)),
        el("span", { class: "equals" }, "="),
        el("span", {}, math(line.right)),
      ),
    );
    const knobs = other.hyper.flatMap((knob, k) => {
      const mine = rule.hyper.findIndex(({ name }) => name === knob.name);
      const [here, there] = [state.optimizers[state.selected].hyper[mine], state.optimizers[versus].hyper[k]];
      return mine < 0 ? [`${knob.name} ${there}, only here`] : here === there ? [] : [`${knob.name} ${there} instead of ${here}`];
    });
    return el(
      "div",
      { class: "versus" },
      choice,
      el("div", { class: "equation", role: "group", "aria-label": `Equation of ${other.title}` }, ...lines),
      el("p", { class: "hint" }, "≠ marks the lines that differ. ", knobs.length ? `Knobs: ${knobs.join("; ")}.` : "The knobs are equal."),
    );
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
      const width = n ** rule.slots[k].power;
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
    const state_ = run.slots.map((array, k) => row(array, n ** rule.slots[k].power));
    const rateAt = (_, k) => (run.end ? valuesAt(rule.rate, run, rule, hyper, n, k, step)[0] : NaN);
    const rates = rule.rate ? position.map(rateAt) : [];
    const evaluated = run.evaluated ? [row(run.evaluated.x, n)] : [];
    [position, ...evaluated, gradient, moved, rates, ...state_].forEach((numbers, k) =>
      numbers.forEach((v, j) => setText(this.cells[k][j].firstElementChild ?? this.cells[k][j], format(v))),
    );
    const largest = Math.max(...rates);
    this.bars.forEach((bar, k) => bar.style.setProperty("--part", share(rates[k], largest)));
  }
}

// How much of a bar is full; of the largest all, though it is infinite.
const share = (rate, largest) => (rate === largest ? 1 : rate > 0 ? rate / largest : 0);

// A sign before a line that is not in another rule's equation, if there is another.
function mark(line, other) {
  if (!other) return [];
  const same = ({ left, right }) => JSON.stringify([left, right]) === JSON.stringify([line.left, line.right]);
  return other.lines.some(same) ? [] : [el("span", { class: "differs", role: "img", "aria-label": "differs" }, "≠")];
}

function bracketed(value) {
  const text = format(value);
  return text.startsWith("−") ? `(${text})` : text;
}
