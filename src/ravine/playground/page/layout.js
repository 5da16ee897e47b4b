// Where things are on the page.

import { el } from "./dom.js";

const HELP =
  "Drag the ring, or move it with the arrow keys. Space plays, comma and full stop step, Ctrl+Z undoes. Everything you see is in the link.";

// The page's elements, from those of the tools and the notice, and from elements or parts that have one; a list of parts is the charts.
export function layout({ tools, notice, main, side }) {
  return [
    el(
      "header",
      { class: "top" },
      el("h1", {}, "Ravine ", el("span", {}, "playground")),
      el("div", { class: "tools" }, ...tools),
    ),
    notice,
    el(
      "div",
      { class: "desk" },
      el("div", { class: "main" }, ...main.map(elementOf)),
      el("aside", { class: "side" }, ...side.map(elementOf)),
    ),
    el("footer", { class: "hint" }, HELP),
  ];
}

const elementOf = (part) =>
  Array.isArray(part) ? el("div", { class: "charts" }, ...part.map(elementOf)) : (part.element ?? part);
