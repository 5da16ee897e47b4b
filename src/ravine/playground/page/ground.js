// What lies under the paths: level lines, or the curve of a surface of one dimension; axes, and where the minima are.

import { hatchColumns, paintContour } from "./contour.js";
import { format, prepare, ticks } from "./dom.js";

export const CURVE_PART = 0.4; // of the height, for a curve

// Paint the base of a stage; for a curve, its range of values is kept in the stage. Returns whether the surface has no
// value somewhere in the picture.
export function paintGround(stage) {
  const { width, height } = stage;
  const context = prepare(stage.base, width, height);
  const colors = stage.colors();
  if (stage.flat) {
    const image = context.createImageData(stage.base.width, stage.base.height);
    const holes = paintContour(image, stage.surface, stage.view, colors.low, colors.high, colors.line);
    context.putImageData(image, 0, 0);
    drawAxes(stage, context, colors);
    for (const [x, y] of stage.surface.minima) drawMinimum(context, stage.toPixel(x, y), colors.ink);
    return holes;
  }
  const values = [];
  for (let k = 0; k <= width; k++)
    values.push(stage.surface.value([stage.view[0] + (k / width) * (stage.view[1] - stage.view[0])]));
  const finite = values.filter(Number.isFinite);
  stage.range = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  context.fillStyle = `rgb(${colors.low.join(" ")})`;
  context.fillRect(0, 0, width, height);
  const end = CURVE_PART * height;
  const at = (k) => (0.1 + 0.8 * ((stage.range[1] - values[k]) / (stage.range[1] - stage.range[0] || 1))) * end;
  for (const [from, to] of stretches(values)) {
    context.beginPath();
    for (let k = from; k <= to; k++) context.lineTo(k, at(k));
    context.strokeStyle = colors.ink;
    context.lineWidth = 1.5;
    context.stroke();
    context.lineTo(to, end);
    context.lineTo(from, end);
    context.fillStyle = `rgb(${colors.high.join(" ")})`;
    context.fill();
  }
  const holes = hatchColumns(context, values, end, `rgb(${colors.line.join(" ")})`);
  drawAxes(stage, context, colors);
  context.fillStyle = colors.muted;
  context.fillText("time ↓", 8, end + 20);
  return holes;
}

// The stretches of indices, first and last, in which values are numbers.
function stretches(values) {
  const result = [];
  values.forEach((v, k) => {
    if (Number.isNaN(v)) return;
    if (k > 0 && !Number.isNaN(values[k - 1])) result[result.length - 1][1] = k;
    else result.push([k, k]);
  });
  return result;
}

function drawAxes(stage, context, { muted }) {
  const [x0, x1, y0, y1] = stage.view;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = muted;
  context.strokeStyle = muted;
  context.textAlign = "center";
  for (const x of ticks(x0, x1, stage.width / 90)) {
    const [u] = stage.toPixel(x, 0);
    if (u > 14 && u < stage.width - 90) context.fillText(format(x, 3), u, stage.height - 6);
    if (!stage.flat) {
      context.globalAlpha = 0.2;
      context.beginPath();
      context.moveTo(u, CURVE_PART * stage.height);
      context.lineTo(u, stage.height - 20);
      context.stroke();
      context.globalAlpha = 1;
    }
  }
  context.textAlign = "left";
  if (!stage.flat) return;
  for (const y of ticks(y0, y1, stage.height / 70)) {
    const [, v] = stage.toPixel(0, y);
    if (v > 14 && v < stage.height - 24) context.fillText(format(y, 3), 6, v + 4);
  }
}

function drawMinimum(context, [x, y], ink) {
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.beginPath();
  for (const [u, v] of [
    [-5, 0],
    [0, -5],
  ]) {
    context.moveTo(x + u, y + v);
    context.lineTo(x - u, y - v);
  }
  context.stroke();
}
