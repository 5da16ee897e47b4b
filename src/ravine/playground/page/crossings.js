// Level lines by marching squares.

// The segments [x, y, x, y] between the points (i, j) of a grid of `columns` × `rows` at which value(i, j) changes its sign.
export function crossings(columns, rows, value) {
  const segments = [];
  const known = Array.from({ length: columns }, (_, i) => Array.from({ length: rows }, (_, j) => value(i, j)));
  for (let i = 0; i + 1 < columns; i++) {
    for (let j = 0; j + 1 < rows; j++) {
      const corners = [
        [i, j],
        [i + 1, j],
        [i + 1, j + 1],
        [i, j + 1],
      ];
      const values = corners.map(([x, y]) => known[x][y]);
      if (values.every((v) => v > 0) || values.every((v) => !(v > 0))) continue;
      const cuts = [];
      corners.forEach(([x, y], k) => {
        const next = (k + 1) % 4;
        if (values[k] > 0 === values[next] > 0) return;
        const part = values[k] / (values[k] - values[next]);
        const [u, v] = corners[next];
        cuts.push([x + part * (u - x), y + part * (v - y)]);
      });
      for (let k = 0; k + 1 < cuts.length; k += 2) segments.push([...cuts[k], ...cuts[k + 1]]);
    }
  }
  return segments;
}
