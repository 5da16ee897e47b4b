// Where the selected optimizer is drawn to: against the gradient, along its momentum, and where its next step goes. An
// arrow shows a direction only; how long things are stands in the table.

import { strokeCased } from "./dom.js";

const LENGTH = 74; // pixels
const HEAD = 10;

// Draw the arrows of a run at step t on a stage of two dimensions.
export function drawArrows(stage, context, { run, rule, look }, t) {
  if (t >= run.end) return;
  const { ink, casing, muted } = (stage.pointColors ??= stage.colors());
  const row = (array, sign) => [0, 1].map((k) => sign * array[2 * (t + 1) + k]);
  const arrows = [{ direction: row(run.gradients, -1), label: "−gradient", color: muted, dash: [] }];
  if (rule.momentum) {
    const { slot, sign } = rule.momentum;
    arrows.push({ direction: row(run.slots[slot], sign), label: "momentum", color: ink, dash: [5, 4] });
  }
  const step = [0, 1].map((k) => run.x[2 * (t + 1) + k] - run.x[2 * t + k]);
  arrows.push({ direction: step, label: "step", color: look.color, dash: [] });
  const at = stage.toPixel(run.x[2 * t], run.x[2 * t + 1]);
  const shown = arrows.filter(({ direction }) => Math.hypot(...direction) > 0);
  // Of arrows that lie on each other the last one bears all names.
  shown.forEach((arrow, k) => {
    const later = shown.slice(k + 1).find((other) => areAlike(arrow.direction, other.direction));
    if (!later) return;
    later.label = `${arrow.label}, ${later.label}`;
    arrow.label = "";
  });
  shown.forEach((arrow, k) => draw(context, at, arrow, LENGTH + 14 * k, { casing, ink, width: stage.width }));
}

// Whether two directions are less than about 15 degrees apart.
const areAlike = ([a, b], [c, d]) => a * c + b * d > 0.966 * Math.hypot(a, b) * Math.hypot(c, d);

function draw(context, [x, y], { direction: [dx, dy], label, color, dash }, length, { casing, ink, width }) {
  const size = Math.hypot(dx, dy);
  const [ux, uy] = [dx / size, -dy / size]; // pixels run downward
  const [u, v] = [x + length * ux, y + length * uy];
  const shaft = new Path2D();
  shaft.moveTo(x, y);
  shaft.lineTo(u, v);
  strokeCased(context, context, shaft, { color, casing, dash, width: 2.5 });
  const head = new Path2D();
  for (const side of [-1, 1]) {
    head.moveTo(u, v);
    head.lineTo(u - HEAD * (ux + 0.5 * side * uy), v - HEAD * (uy - 0.5 * side * ux));
  }
  strokeCased(context, context, head, { color, casing, width: 2.5 });
  context.font = "600 12px system-ui, sans-serif";
  const long = context.measureText(label).width;
  const left = ux < 0 ? u - 6 - long : u + 6 * Math.sign(ux);
  context.setLineDash([]);
  context.lineWidth = 3;
  context.strokeStyle = `rgb(${getComputedStyle(context.canvas).getPropertyValue("--low").trim()})`;
  const place = [Math.max(2, Math.min(left, width - long - 2)), v + 4 + 8 * uy]; // in the picture
  context.strokeText(label, ...place);
  context.fillStyle = ink;
  context.fillText(label, ...place);
}
