// Where things are on the page.

import { el } from "./dom.js";

const HELP =
  "Drag the ring, or move it with the arrow keys. Space plays, comma and full stop step, Ctrl+Z undoes. Everything you see is in the link.";

// The page's elements, from parts that have one. In the main column a list of parts is the charts, and the stage stands with
// the asides beside it, if any of them has something to show.
export function layout({ tools, asides, main, side }) {
  const placed = (part) => (part.picture ? [viewsOf(part, asides), part.below] : [elementOf(part)]);
  return [
    el(
      "header",
      { class: "top" },
      el("h1", {}, "Ravine ", el("span", {}, "playground")),
      tools.element,
    ),
    tools.notice,
    el(
      "div",
      { class: "desk" },
      el("div", { class: "main" }, ...main.flatMap(placed)),
      el("aside", { class: "side" }, ...side.map(elementOf)),
    ),
    el("footer", { class: "hint" }, HELP),
  ];
}

const elementOf = (part) =>
  Array.isArray(part) ? el("div", { class: "charts" }, ...part.map(elementOf)) : (part.element ?? part);

const viewsOf = (stage, asides) =>
  el("div", { class: "views" }, stage.picture, el("div", { class: "asides" }, ...asides.map(elementOf)));
