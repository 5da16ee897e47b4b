// What can be taken away: the picture as PNG, the film as GIF, the numbers as CSV.

import { el } from "./dom.js";
import { encodeGif } from "./gif.js";

const FRAMES = 60; // of a film
const WIDTH = 640; // pixels, at most
const LAST = 150; // hundredths of a second for which the last frame stays

// A panel of buttons; `app` is the playground.
export function savePanel(app) {
  const button = (text, label, action) =>
    el("button", { type: "button", class: "quiet", title: label, onclick: action }, text);
  return el(
    "details",
    { class: "save" },
    el("summary", {}, "Save"),
    el(
      "div",
      { class: "tools" },
      button("Picture (PNG)", "The picture as it stands", () => app.stage.snapshot(2).toBlob((b) => hand(b, "ravine.png"))),
      button("Film (GIF)", "All steps as an animated picture", () => hand(film(app), "ravine.gif")),
      button("Numbers (CSV)", "Every step of every optimizer", () => hand(new Blob([table(app)], { type: "text/csv" }), "ravine.csv")),
    ),
  );
}

function hand(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function film({ state, stage }) {
  const count = Math.min(FRAMES, state.steps);
  const before = state.at;
  const pictures = Array.from({ length: count + 1 }, (_, k) => {
    stage.drawAt(Math.round((k / count) * state.steps));
    const canvas = stage.snapshot(Math.min(1, WIDTH / stage.width));
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  });
  stage.drawAt(before);
  const delays = pictures.map((_, k) => (k === count ? LAST : 6));
  const { width, height } = pictures[0];
  return new Blob([encodeGif(pictures.map((p) => p.data), width, height, delays)], { type: "image/gif" });
}

// One line for each optimizer and step, with full digits.
export function table({ state, model }) {
  const n = model.surface.dimensions;
  const names = ["x", "y"].slice(0, n);
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const averaged = model.runs.some((run) => run.evaluated) ? [...names.map((c) => `evaluated ${c}`), "evaluated loss"] : [];
  const lines = [["optimizer", "step", ...names, "loss", ...names.map((c) => `gradient ${c}`), ...averaged].join(",")];
  model.runs.forEach((run, k) => {
    const { title, note } = model.looks[k];
    const name = quote(note ? `${title}, ${note}` : title);
    for (let t = 0; t <= run.end; t++) {
      const row = (array) => Array.from(array.subarray(t * n, (t + 1) * n), (v) => (Number.isNaN(v) ? "" : v));
      const { x, loss } = run.evaluated ?? run;
      const evaluated = averaged.length ? [...row(x), loss[t]] : [];
      lines.push([name, t, ...row(run.x), run.loss[t], ...row(run.gradients), ...evaluated].join(","));
    }
  });
  return `${lines.join("\n")}\n`;
}
