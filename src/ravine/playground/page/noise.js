// Gradient noise: the generator and the kinds of ravine.simulate.noise, so a seed means the same here as in Python.
// A draw depends on seed, step and coordinate only: all optimizers meet the same noise, in whatever order they run.

const EXAMPLES = 64;
const BATCH = 8;

function mix(z) {
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0xd35a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

function bits(seed, t, k, draw) {
  const stream = 0;
  let h = 0;
  for (const counter of [seed, stream, t, k, draw]) h = mix((h + counter + 0x9e3779b9) >>> 0);
  return h;
}

const uniform = (seed, t, k, draw) => (bits(seed, t, k, draw) + 0.5) / 4294967296;

// Each makes, for a scale and a seed, a function (t, k, g, n): what is added to coordinate k of n of the gradient at step t,
// where it is g.
export const NOISES = {
  none: { title: "none", sampler: () => null },
  gaussian: {
    title: "Gaussian",
    sampler: (scale, seed) => (t, k) =>
      scale * Math.sqrt(-2 * Math.log(uniform(seed, t, k, 0))) * Math.cos(2 * Math.PI * uniform(seed, t, k, 1)),
  },
  heavy_tailed: {
    title: "heavy-tailed",
    sampler: (scale, seed) => (t, k) => {
      const u = uniform(seed, t, k, 0);
      return (scale * (2 * u - 1)) / Math.sqrt(2 * u * (1 - u));
    },
  },
  minibatch: {
    title: "minibatches",
    sampler(scale, seed) {
      const epochs = EXAMPLES / BATCH;
      const orders = new Map(); // of the examples, by epoch and coordinate
      return (t, k) => {
        const epoch = Math.floor((t - 1) / epochs);
        const number = (t - 1) % epochs;
        const key = 2 * epoch + k;
        if (!orders.has(key)) orders.set(key, shuffled(seed, epoch, k));
        let total = 0;
        for (const i of orders.get(key).slice(number * BATCH, (number + 1) * BATCH)) total += 2 * i - (EXAMPLES - 1);
        return ((scale * Math.sqrt(3)) / BATCH) * (total / EXAMPLES);
      };
    },
  },
  infrequent: {
    title: "infrequent in the last coordinate",
    sampler: (scale, seed) => leavesOut(Math.max(1, Math.round(scale)), seed),
  },
  batches: { title: "batches of the data", needsData: true, sampler: () => null },
};

// A function from the step t to the numbers of the examples in its batch, in their order; null where the noise is another.
export function batches({ kind, level, seed }, count) {
  if (kind !== "batches") return null;
  const size = Math.min(count, Math.max(1, Math.round(level)));
  const anEpoch = Math.ceil(count / size);
  let [order, of] = [null, -1];
  return (t) => {
    const epoch = Math.floor((t - 1) / anEpoch);
    const number = (t - 1) % anEpoch;
    if (epoch !== of) [order, of] = [shuffled(seed, epoch, 0, count), epoch];
    return order.slice(number * size, (number + 1) * size).sort((a, b) => a - b);
  };
}

// The last coordinate has a gradient only at every so many steps.
const leavesOut = (every, seed) => (t, k, g, n) => (k < n - 1 || (t + seed) % every === 0 ? 0 : -g);

function shuffled(seed, epoch, k, count = EXAMPLES) {
  const keys = Array.from({ length: count }, (_, i) => bits(seed, epoch, k, i));
  return [...keys.keys()].sort((a, b) => keys[a] - keys[b] || a - b);
}
