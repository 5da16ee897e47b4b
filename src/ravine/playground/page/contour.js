// A map of a surface: bands between level lines, the lower the lighter; hatched where the surface has no value.

const BANDS = 16;
const COARSE = 2; // the surface is evaluated at every second pixel and interpolated between,
const COARSER = 8; // where each value is a mean over data at every eighth
const HATCH = { period: 10, stripe: 3, ink: 0.4 }; // pixels, and how much of the line's colour a stripe has

// Paint `surface` seen through `view` into an ImageData. `low`, `high` and `line` are colours as [r, g, b]. Returns
// whether the surface has no value somewhere.
export function paintContour(image, surface, view, low, high, line) {
  const { width, height, data } = image;
  const every = surface.examples ? COARSER : COARSE;
  const columns = Math.ceil(width / every) + 2;
  const rows = Math.ceil(height / every) + 2;
  const values = new Float64Array(columns * rows);
  const p = new Float64Array(2);
  for (let j = 0; j < rows; j++) {
    p[1] = view[3] - ((j * every) / height) * (view[3] - view[2]);
    for (let i = 0; i < columns; i++) {
      p[0] = view[0] + ((i * every) / width) * (view[1] - view[0]);
      values[j * columns + i] = surface.value(p);
    }
  }
  const levels = equalize(values);
  let holes = false;
  for (let y = 0, at = 0; y < height; y++) {
    const j = Math.floor(y / every);
    const v = y / every - j;
    for (let x = 0; x < width; x++, at += 4) {
      const i = Math.floor(x / every);
      const u = x / every - i;
      const k = j * columns + i;
      const [a, b, c, d] = [levels[k], levels[k + 1], levels[k + columns], levels[k + columns + 1]];
      const level = (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v;
      if (Number.isNaN(level)) {
        holes = true;
        const ink = onHatch(x, y) ? HATCH.ink : 0;
        for (let c3 = 0; c3 < 3; c3++) data[at + c3] = low[c3] + (line[c3] - low[c3]) * ink;
        data[at + 3] = 255;
        continue;
      }
      const slope = Math.hypot(b - a, c - a) / every; // levels in a pixel
      const band = Math.min(Math.floor(level), BANDS - 1);
      const shade = (band + 0.5) / BANDS;
      const distance = Math.min(level - Math.floor(level), Math.ceil(level) - level) / (slope || 1);
      const ink = level > 0.05 ? 0.16 * Math.max(0, 1 - distance) : 0;
      for (let c3 = 0; c3 < 3; c3++) {
        const color = low[c3] + (high[c3] - low[c3]) * shade;
        data[at + c3] = color + (line[c3] - color) * ink;
      }
      data[at + 3] = 255;
    }
  }
  return holes;
}

// Whether a pixel is on a stripe of the hatching.
const onHatch = (x, y) => (x + y) % HATCH.period < HATCH.stripe;

// Hatch the columns of a canvas, down to `height`, in which a curve has no value. Returns whether there are any.
export function hatchColumns(context, values, height, color) {
  context.save();
  context.beginPath();
  values.forEach((v, k) => Number.isNaN(v) && context.rect(k - 0.5, 0, 1, height));
  context.clip();
  context.strokeStyle = color;
  context.lineWidth = HATCH.stripe / Math.SQRT2;
  context.globalAlpha = HATCH.ink;
  context.beginPath();
  for (let u = 0; u < values.length + height; u += HATCH.period) {
    context.moveTo(u, 0);
    context.lineTo(u - height, height);
  }
  context.stroke();
  context.restore();
  return values.some(Number.isNaN);
}

// Each value's level from 0 to BANDS, by its rank among all: so every surface shows its shape, however steep it is.
// The square root of the rank spaces the lines of a round bowl evenly. NaN where there is no value.
function equalize(values) {
  const sample = [];
  const stride = Math.max(1, Math.floor(values.length / 4000));
  for (let k = 0; k < values.length; k += stride) if (Number.isFinite(values[k])) sample.push(values[k]);
  sample.sort((a, b) => a - b);
  const knots = [];
  for (let k = 0; k < sample.length; k++) {
    const last = k === sample.length - 1;
    if (k % 8 === 0 || last) {
      if (knots.length && sample[k] <= knots[knots.length - 1].value) knots[knots.length - 1].rank = k / sample.length;
      else knots.push({ value: sample[k], rank: k / sample.length });
    }
  }
  const levels = new Float32Array(values.length);
  if (knots.length < 2) return levels.map((_, k) => (Number.isNaN(values[k]) ? NaN : 0));
  const value = Float64Array.from(knots, (knot) => knot.value);
  const height = Float64Array.from(knots, (knot) => BANDS * Math.sqrt(knot.rank));
  for (let k = 0; k < values.length; k++) {
    const v = values[k];
    if (Number.isNaN(v)) levels[k] = NaN;
    else if (!(v > value[0])) levels[k] = 0;
    else if (v >= value[value.length - 1]) levels[k] = BANDS - 1e-3;
    else {
      let [from, to] = [0, value.length - 1];
      while (to - from > 1) {
        const middle = (from + to) >> 1;
        if (value[middle] <= v) from = middle;
        else to = middle;
      }
      levels[k] = height[from] + ((v - value[from]) / (value[to] - value[from])) * (height[to] - height[from]);
    }
  }
  return levels;
}
