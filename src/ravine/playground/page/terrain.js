// A surface as a grid of heights, for a view of it in three dimensions.

const SIDE = 72; // of the grid
const TALL = 0.5; // how high it is drawn beside its longer side
const FLAT = 0.04; // where half of the ground is lower than that share of the whole, heights are logarithms

// {columns, rows, heights, size, tall, low, high, isLog, at(x, y)} of a surface within a view: `size` is the ground's with its longer
// side 1, heights are from 0 to `tall`, NaN where there is no value; at(x, y) is the place of a point, on the ground's grid.
export function terrainOf(surface, [x0, x1, y0, y1]) {
  const longer = Math.max(x1 - x0, y1 - y0);
  const size = [(x1 - x0) / longer, (y1 - y0) / longer];
  const [columns, rows] = size.map((s) => Math.max(8, Math.round(SIDE * s)));
  const values = new Float64Array(columns * rows);
  for (let j = 0; j < rows; j++)
    for (let i = 0; i < columns; i++)
      values[j * columns + i] = surface.value([x0 + (i / (columns - 1)) * (x1 - x0), y0 + (j / (rows - 1)) * (y1 - y0)]);
  const sorted = values.filter(Number.isFinite).sort();
  const [low, high] = [sorted[0] ?? 0, sorted.at(-1) ?? 1];
  const share = (v) => Math.min(1, Math.max(0, (v - low) / (high - low || 1)));
  const isLog = share(sorted[sorted.length >> 1] ?? 0) < FLAT;
  const height = (v) => TALL * (isLog ? Math.log1p(1000 * share(v)) / Math.log1p(1000) : share(v));
  const heights = Float64Array.from(values, (v) => (Number.isNaN(v) ? NaN : height(v)));
  const place = (x, y) => {
    const [u, v] = [(x - x0) / longer, (y - y0) / longer];
    const [a, b] = [clampTo(u / size[0], columns), clampTo(v / size[1], rows)];
    const k = Math.floor(b) * columns + Math.floor(a);
    const [p, q] = [a - Math.floor(a), b - Math.floor(b)];
    const mix = (from) => heights[from] * (1 - p) + heights[from + 1] * p;
    return [u, v, mix(k) * (1 - q) + mix(k + columns) * q];
  };
  return { columns, rows, heights, size, tall: TALL, low, high, isLog, at: place };
}

// A share of a side as a place on its grid, below the last line of it.
const clampTo = (share, count) => Math.min(count - 1 - 1e-6, Math.max(0, share * (count - 1)));

// {vertices, triangles}: place and normal of each point of the grid, and the corners of triangles without holes.
export function mesh({ columns, rows, heights, size }) {
  const vertices = new Float32Array(6 * columns * rows);
  const triangles = [];
  const [dx, dy] = [size[0] / (columns - 1), size[1] / (rows - 1)];
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const k = j * columns + i;
      const slope = (back, ahead, d) => (heights[ahead] - heights[back]) / d || 0;
      const [left, right] = [k - (i > 0), k + (i < columns - 1)];
      const [down, up] = [k - columns * (j > 0), k + columns * (j < rows - 1)];
      const normal = [-slope(left, right, dx * (right - left)), -slope(down, up, (dy * (up - down)) / columns), 1];
      vertices.set([i * dx, j * dy, heights[k], ...normal], 6 * k);
      if (i === columns - 1 || j === rows - 1) continue;
      for (const three of [
        [k, k + 1, k + columns],
        [k + 1, k + columns + 1, k + columns],
      ])
        if (three.every((corner) => !Number.isNaN(heights[corner]))) triangles.push(...three);
    }
  }
  return { vertices, triangles: Uint16Array.from(triangles) };
}

// A run's path on a terrain: {pieces, counts}. A piece is six corners of from, to, end, side and length so far; counts[t] is the
// number of corners up to step t. Steps are cut, so that the path lies on the ground.
export function ribbon(run, terrain, reach) {
  const corners = [];
  const counts = [0];
  let length = 0;
  let from = terrain.at(run.x[0], run.x[1]);
  for (let t = 1; t <= run.end; t++) {
    const [x0, y0, x1, y1] = run.x.subarray(2 * (t - 1), 2 * (t + 1));
    const end = terrain.at(x1, y1);
    const start = terrain.at(x0, y0);
    const across = Math.hypot(end[0] - start[0], end[1] - start[1]);
    const parts = Math.min(60, Math.max(1, Math.ceil(across * reach)));
    for (let k = 1; k <= parts && across < 1e3; k++) {
      const to = terrain.at(x0 + (k / parts) * (x1 - x0), y0 + (k / parts) * (y1 - y0));
      const next = length + Math.hypot(to[0] - from[0], to[1] - from[1], to[2] - from[2]);
      for (const [e, side] of [[0, 1], [0, -1], [1, 1], [1, 1], [0, -1], [1, -1]]) corners.push(...from, ...to, e, side, e ? next : length);
      [from, length] = [to, next];
    }
    counts[t] = corners.length / 9;
  }
  return { pieces: Float32Array.from(corners), counts };
}
