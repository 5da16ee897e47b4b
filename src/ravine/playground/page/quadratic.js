// Quadratics along their own axes: each axis is a problem of one dimension with a factor a step.

// {center, axes} of a surface that is a quadratic with one least point: axes are [{vector, curvature}], the flattest first;
// null for any other surface. The Hessian is read off gradients, which for a quadratic are exact to rounding.
export function quadraticOf(surface) {
  if (surface.dimensions !== 2) return null;
  const slope = (u, v) => {
    const out = new Float64Array(2);
    surface.gradient([u, v], out);
    return out;
  };
  const [g, right, up] = [slope(0, 0), slope(1, 0), slope(0, 1)];
  const [a, b, d] = [right[0] - g[0], right[1] - g[1], up[1] - g[1]];
  const determinant = a * d - b * b;
  if (!(determinant > 0 && a > 0)) return null;
  const center = [(b * g[1] - d * g[0]) / determinant, (b * g[0] - a * g[1]) / determinant].map((v) => v || 0);
  for (const [u, v] of [
    [1.7, -0.6],
    [-3, 2],
  ]) {
    const [gx, gy] = slope(u, v);
    const size = Math.abs(a * u) + Math.abs(b * v) + Math.abs(b * u) + Math.abs(d * v) + Math.abs(g[0]) + Math.abs(g[1]);
    if (!(Math.abs(gx - g[0] - a * u - b * v) + Math.abs(gy - g[1] - b * u - d * v) <= 1e-9 * size)) return null;
  }
  const angle = 0.5 * Math.atan2(2 * b, a - d);
  const at = (phi) => {
    const [c, s] = [Math.cos(phi), Math.sin(phi)];
    const ahead = c < -0.5 || (Math.abs(c) <= 0.5 && s < 0) ? -1 : 1; // either way is the axis
    return { vector: [ahead * c, ahead * s], curvature: a * c * c + 2 * b * c * s + d * s * s };
  };
  return { center, axes: [at(angle), at(angle + Math.PI / 2)].sort((p, q) => p.curvature - q.curvature) };
}

// What a rule does to the error along an axis of curvature h after long: {factor, swings, regime}; null for a rule that is
// not linear in the gradient, as those that rescale. The roots are those of the rule's own step, as a matrix.
export function theory(rule, hyper, h) {
  if (rule.slots.length > 1 || rule.slots.some((slot) => slot.scalar)) return null;
  const size = 1 + rule.slots.length;
  const column = (k) => advance(rule, hyper, h, Array.from({ length: size }, (_, j) => Number(j === k)));
  const columns = Array.from({ length: size }, (_, k) => column(k));
  const some = [0.7, -1.3].slice(0, size);
  for (const scale of [1, 8]) {
    const got = advance(rule, hyper, h, some.map((v) => scale * v));
    const wanted = got.map((_, j) => scale * some.reduce((sum, v, k) => sum + v * columns[k][j], 0));
    if (!got.every((v, j) => Math.abs(v - wanted[j]) <= 1e-9 * (1 + Math.abs(v)))) return null;
  }
  if (size === 1) return told(Math.abs(columns[0][0]), false, columns[0][0]);
  const trace = columns[0][0] + columns[1][1];
  const determinant = columns[0][0] * columns[1][1] - columns[0][1] * columns[1][0];
  const under = trace * trace - 4 * determinant;
  if (under < 0) return told(Math.sqrt(determinant), true, 0);
  const roots = [trace + Math.sqrt(under), trace - Math.sqrt(under)].map((v) => v / 2);
  const leading = Math.abs(roots[0]) >= Math.abs(roots[1]) ? roots[0] : roots[1];
  return told(Math.abs(leading), false, leading);
}

function told(factor, swings, root) {
  const way = swings ? "swings" : root < 0 ? "jumps from side to side" : "creeps from one side";
  return { factor, swings, regime: factor > 1 ? `${way} and grows` : way };
}

// A state [x, slot] after one step of a rule on h·x²/2, long after the start.
function advance(rule, hyper, h, state) {
  const x = Float64Array.of(state[0]);
  const slots = state.slice(1).map((v) => Float64Array.of(v));
  const point = Float64Array.from(x);
  if (rule.ahead) rule.ahead(x, slots, hyper, point);
  rule.step(x, Float64Array.of(h * point[0]), slots, 1e6, hyper);
  return [x[0], ...slots.map((s) => s[0])];
}
