// Which part of a surface is seen: [x0, x1, y0, y1].

export function homeView(surface) {
  return [...surface.view[0], ...(surface.view[1] ?? [-1, 1])];
}

export function zoomed([x0, x1, y0, y1], factor) {
  return [...around(x0, x1, factor), ...around(y0, y1, factor)].map((v) => Number(v.toPrecision(6)));
}

// The view, widened along one axis until a unit is as long across as upward in a picture of this size: then gradients
// are at right angles to level lines.
export function withEqualAxes([x0, x1, y0, y1], width, height) {
  const unit = Math.max((x1 - x0) / width, (y1 - y0) / height); // of the surface, in a pixel
  const grown = (low, high, pixels) => [(low + high - unit * pixels) / 2, (low + high + unit * pixels) / 2];
  return [...grown(x0, x1, width), ...grown(y0, y1, height)];
}

function around(low, high, factor) {
  const [middle, half] = [(low + high) / 2, (factor * (high - low)) / 2];
  return [middle - half, middle + half];
}

// A view that holds the start and all paths, as far as they stay in reach.
export function fitted(surface, start, runs) {
  const n = surface.dimensions;
  const result = [];
  for (let k = 0; k < n; k++) {
    const reach = 50 * (surface.view[k][1] - surface.view[k][0]);
    let [low, high] = [start[k], start[k]];
    for (const { x, end } of runs) {
      for (let t = 0; t <= end; t++) {
        const v = x[t * n + k];
        if (Math.abs(v) > reach) break;
        [low, high] = [Math.min(low, v), Math.max(high, v)];
      }
    }
    const pad = 0.08 * (high - low) || 1;
    result.push(low - pad, high + pad);
  }
  return n === 2 ? result : [...result, -1, 1];
}
