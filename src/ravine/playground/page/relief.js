// The surface in three dimensions beside its map, for those who ask for it: turned by dragging or by the arrow keys, told in
// words as well.

import { el, format, selectedLast, setText } from "./dom.js";
import { TILTS } from "./state.js";
import { mesh, ribbon, terrainOf } from "./terrain.js";
import { bind, buffer, openWebgl, useProgram } from "./webgl.js";

const FIRST = { turn: 30, tilt: 40 }; // degrees
const STEP = 5; // of an arrow key
const REACH = 40; // pieces of a path in the ground's longer side
const NONE = "This browser has no WebGL 2, so there is no view in three dimensions; the level lines show the same.";
const KEYS_TURN = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Relief {
  // `set(angles, done)` asks for other angles; null hides the view.
  constructor({ set }) {
    this.set = set;
    this.canvas = el("canvas", {
      class: "plot",
      role: "application",
      tabindex: 0,
      "aria-label": "The surface in three dimensions: the arrow keys turn and tilt it",
      "aria-describedby": "ravine-relief-words",
      onkeydown: (event) => this.press(event),
      onpointerdown: (event) => this.grab(event),
    });
    this.names = ["x", "y"].map((name) => el("span", { class: "axis", "aria-hidden": "true" }, `${name} →`));
    this.words = el("p", { class: "hint", id: "ravine-relief-words" });
    this.picture = el("div", { class: "solid" }, this.canvas, ...this.names);
    this.element = el("figure", { class: "aside relief", hidden: true }, this.picture, this.words);
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => this.card && this.open());
    this.button = el(
      "button",
      { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => set(this.angles ? null : FIRST, true) },
      "3-D",
    );
  }

  open() {
    this.card = openWebgl(this.canvas) ?? "none";
    this.picture.hidden = this.card === "none";
    this.ground = this.paths = null;
  }

  show({ angles, surface, view, runs, looks, selected, colors, theme }) {
    const possible = surface.dimensions === 2;
    this.button.hidden = !possible;
    this.button.setAttribute("aria-pressed", String(Boolean(angles)));
    this.element.hidden = !angles || !possible;
    this.angles = angles;
    if (this.element.hidden) return;
    if (!this.card) this.open();
    const { width, height } = this.canvas.getBoundingClientRect();
    const changed = surface !== this.surface || String(view) !== String(this.view);
    const moved = changed || runs.length !== this.runs.length || runs.some((run, k) => run !== this.runs[k]);
    Object.assign(this, { surface, view, runs, looks, selected, colors, theme, width, height });
    if (changed) this.terrain = terrainOf(surface, view);
    if (changed) this.ground = null;
    if (moved) this.paths = null;
  }

  // What is on the card follows what is shown.
  load() {
    const { gl } = this.card;
    if (!this.ground) {
      const { vertices, triangles } = mesh(this.terrain);
      const indices = gl.createBuffer();
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
      const rows = buffer(gl, vertices, [["place", 3], ["normal", 3]]); // prettier-ignore
      this.free(this.onCard?.ground);
      this.ground = { rows, indices, count: triangles.length };
    }
    if (!this.paths) {
      this.free(this.onCard?.paths);
      this.paths = this.runs.map((run) => {
        const { pieces, counts } = ribbon(run, this.terrain, REACH);
        return { rows: buffer(gl, pieces, [["from", 3], ["to", 3], ["corner", 3]]), counts }; // prettier-ignore
      });
    }
    this.onCard = { ground: [this.ground], paths: this.paths };
  }

  free(parts) {
    const { gl } = this.card;
    for (const { rows, indices } of parts ?? []) [rows.kept, indices].forEach((kept) => kept && gl.deleteBuffer(kept));
  }

  drawAt(time) {
    if (!this.angles || this.element.hidden) return;
    this.tell(Math.floor(time));
    if (this.card === "none" || !(this.width > 40) || !(this.height > 40) || this.card.gl.isContextLost()) return;
    this.load();
    const { gl, ground, path, point } = this.card;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const pixels = [this.width, this.height].map((v) => Math.round(v * ratio));
    if (this.canvas.width !== pixels[0] || this.canvas.height !== pixels[1]) [this.canvas.width, this.canvas.height] = pixels;
    gl.viewport(0, 0, ...pixels);
    gl.clearColor(0, 0, 0, 0);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const seen = this.seen();
    const { low, high, line } = this.colors;
    useProgram(gl, ground, { ...seen, low: low.map(unit), high: high.map(unit), line: line.map(unit) });
    bind(gl, ground, this.ground.rows);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.ground.indices);
    gl.drawElements(gl.TRIANGLES, this.ground.count, gl.UNSIGNED_SHORT, 0);
    const rim = hex(this.colors.casing);
    for (const k of selectedLast(this.runs, this.selected)) {
      const [run, look] = [this.runs[k], this.looks[k]];
      const wide = (k === this.selected ? 3 : 2) * ratio;
      const t = Math.min(Math.floor(time), run.end);
      const scaled = look.dash.map((d) => (d * wide) / (seen.scale[1] * 0.5 * pixels[1]));
      const dash = scaled.length === 4 ? scaled : scaled.length === 2 ? [...scaled, ...scaled] : [0, 0, 0, 0];
      for (const [paint, width, lift] of [
        [rim, wide + 1.6 * ratio, 0.004],
        [hex(look.color), wide, 0.006],
      ]) {
        useProgram(gl, path, { ...seen, pixels, width, lift, paint, dash, size: this.terrain.size });
        bind(gl, path, this.paths[k].rows);
        gl.drawArrays(gl.TRIANGLES, 0, this.paths[k].counts[t] ?? 0);
      }
      this.drawPoint(gl, point, { ...seen, paint: hex(look.color), rim, width: (k === this.selected ? 14 : 11) * ratio }, run, t);
    }
    this.placeNames(seen);
  }

  drawPoint(gl, point, uniforms, run, t) {
    const place = this.terrain.at(run.x[2 * t], run.x[2 * t + 1]);
    if (place.some((v, k) => Number.isNaN(v) || (k < 2 && (v < 0 || v > this.terrain.size[k])))) return;
    useProgram(gl, point, uniforms);
    const rows = buffer(gl, Float32Array.from(place), [["place", 3]]);
    bind(gl, point, rows);
    gl.drawArrays(gl.POINTS, 0, 1);
    gl.deleteBuffer(rows.kept);
  }

  // How a place on the ground is seen: what the shaders want.
  seen() {
    const { size, tall } = this.terrain;
    const [turn, tilt] = [this.angles.turn, this.angles.tilt].map((v) => (v * Math.PI) / 180);
    const half = 0.5 * Math.hypot(...size);
    const reach = [half, half * Math.sin(tilt) + 0.5 * tall * Math.cos(tilt)];
    const zoom = 0.94 * Math.min(this.width / reach[0], this.height / reach[1]);
    return {
      angles: [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)],
      fit: [size[0] / 2, size[1] / 2, tall / 2],
      scale: [zoom / this.width, zoom / this.height],
    };
  }

  // The names of the axes, each along the nearer of two edges.
  placeNames({ angles: [c, s, cosine, sine], fit, scale }) {
    [
      [1, 0],
      [0, 1],
    ].forEach(([a, b], k) => {
      const onScreen = (u, v) => [u * c + v * s, (v * c - u * s) * sine - fit[2] * cosine];
      const edges = [-1.1, 1.1].map((side) => onScreen(fit[0] * (a ? 0.6 : side), fit[1] * (b ? 0.6 : side)));
      const [x, y] = edges[0][1] <= edges[1][1] ? edges[0] : edges[1];
      this.names[k].style.left = `${50 * (1 + x * scale[0])}%`;
      this.names[k].style.top = `${50 * (1 - y * scale[1])}%`;
      const along = [c * a + s * b, (c * b - s * a) * sine];
      this.names[k].style.rotate = `${Math.round((-180 * Math.atan2(along[1], along[0])) / Math.PI)}deg`;
    });
  }

  // The same in words.
  tell(t) {
    if (this.card === "none") return setText(this.words, NONE);
    const { low, high, isLog } = this.terrain;
    const [run, look] = [this.runs[this.selected], this.looks[this.selected]];
    const height = isLog ? "Height is the logarithm of the loss above its least" : "Height is the loss";
    const where = run ? ` ${look.title} is at ${format(run.loss[Math.min(t, run.end)], 3)}.` : "";
    const { turn, tilt } = this.angles;
    return setText(this.words, `${height}, ${format(low, 3)} to ${format(high, 3)} here.${where} Turned by ${turn}°, seen from ${tilt}° above.`);
  }

  press(event) {
    const move = KEYS_TURN[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere the arrows move in time
    this.set(turned(this.angles, move[0] * STEP, move[1] * STEP), true);
  }

  grab(event) {
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const { clientX, clientY } = event;
    const first = this.angles;
    const follow = (e) => this.set(turned(first, (clientX - e.clientX) / 2, (e.clientY - clientY) / 2), false);
    const end = () => {
      this.canvas.removeEventListener("pointermove", follow);
      this.set(this.angles, true);
    };
    this.canvas.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, end, { once: true });
  }
}

// Angles after turning, in whole degrees.
function turned({ turn, tilt }, more, higher) {
  const around = Math.round(turn + more) % 360;
  return { turn: (around + 360) % 360, tilt: Math.min(TILTS.high, Math.max(TILTS.low, Math.round(tilt + higher))) };
}

const unit = (v) => v / 255;
const hex = (text) => [1, 3, 5].map((k) => parseInt(text.trim().slice(k, k + 2), 16) / 255);
