// An animated GIF from pictures, by the format's description (GIF89a): a palette of the commonest colours, LZW.

const COLORS = 256;

// A GIF from frames, each an array of RGBA bytes of width × height pixels; `delay` in hundredths of a second for each.
export function encodeGif(frames, width, height, delays) {
  const { palette, indexOf } = commonest(frames);
  const bytes = [];
  const word = (v) => bytes.push(v & 255, v >> 8);
  const text = (s) => bytes.push(...[...s].map((c) => c.charCodeAt(0)));
  text("GIF89a");
  word(width);
  word(height);
  bytes.push(0xf7, 0, 0); // a palette of 256
  for (let k = 0; k < COLORS; k++) bytes.push(...(palette[k] ?? [0, 0, 0]));
  bytes.push(0x21, 0xff, 11);
  text("NETSCAPE2.0");
  bytes.push(3, 1, 0, 0, 0); // again and again
  frames.forEach((data, k) => {
    bytes.push(0x21, 0xf9, 4, 0);
    word(delays[k]);
    bytes.push(0, 0, 0x2c);
    for (const v of [0, 0, width, height]) word(v);
    bytes.push(0, 8);
    const coded = lzw(Uint8Array.from({ length: width * height }, (_, p) => indexOf(data, 4 * p)));
    for (let at = 0; at < coded.length; at += 255) {
      const block = coded.slice(at, at + 255);
      bytes.push(block.length, ...block);
    }
    bytes.push(0);
  });
  bytes.push(0x3b);
  return Uint8Array.from(bytes);
}

// The commonest colours in five bits a channel, and a function from a pixel to the index of the nearest of them.
function commonest(frames) {
  const counts = new Uint32Array(32768);
  const short = (data, at) => ((data[at] >> 3) << 10) | ((data[at + 1] >> 3) << 5) | (data[at + 2] >> 3);
  for (const data of frames) for (let at = 0; at < data.length; at += 4) counts[short(data, at)]++;
  const used = [...counts.keys()].filter((c) => counts[c]).sort((a, b) => counts[b] - counts[a]);
  const palette = used.slice(0, COLORS).map((c) => [c >> 10, (c >> 5) & 31, c & 31].map((v) => (v << 3) | (v >> 2)));
  const index = new Int16Array(32768).fill(-1);
  used.forEach((c, k) => k < COLORS && (index[c] = k));
  const nearest = (c) => {
    const [r, g, b] = [c >> 10, (c >> 5) & 31, c & 31].map((v) => (v << 3) | (v >> 2));
    let [best, least] = [0, Infinity];
    palette.forEach(([x, y, z], k) => {
      const distance = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (distance < least) [best, least] = [k, distance];
    });
    return best;
  };
  return {
    palette,
    indexOf(data, at) {
      const c = short(data, at);
      if (index[c] < 0) index[c] = nearest(c);
      return index[c];
    },
  };
}

// Lempel, Ziv & Welch with codes of 9 to 12 bits, as GIF has it for pixels of eight bits.
function lzw(pixels) {
  const [CLEAR, END] = [256, 257];
  const out = [];
  let [buffer, filled, size] = [0, 0, 9];
  const emit = (code) => {
    buffer |= code << filled;
    filled += size;
    while (filled >= 8) {
      out.push(buffer & 255);
      buffer >>>= 8;
      filled -= 8;
    }
  };
  let table = new Map();
  let next = END + 1;
  emit(CLEAR);
  let prefix = pixels[0];
  for (let k = 1; k < pixels.length; k++) {
    const key = (prefix << 8) | pixels[k];
    const known = table.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    emit(prefix);
    if (next < 4096) {
      table.set(key, next);
      if (next === 1 << size && size < 12) size++;
      next++;
    } else {
      emit(CLEAR);
      table = new Map();
      next = END + 1;
      size = 9;
    }
    prefix = pixels[k];
  }
  emit(prefix);
  emit(END);
  if (filled) out.push(buffer & 255);
  return out;
}
