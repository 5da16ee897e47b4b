// The ring at the start: dragged with the mouse or a finger, moved with the arrow keys.

import { el, format } from "./dom.js";

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class StartHandle {
  // `pointAt(clientX, clientY)` is the point of the surface under the pointer; `move(point, done)` moves the start.
  constructor({ pointAt, move }) {
    this.pointAt = pointAt;
    this.move = move;
    this.element = el("button", {
      class: "handle",
      type: "button",
      title: "The start: drag it, or use the arrow keys",
      "aria-roledescription": "start point",
      onkeydown: (event) => this.nudge(event),
      onpointerdown: (event) => this.grab(event),
    });
  }

  // Stand at a place in the picture, for a start on a surface seen through `view`.
  show([left, top], start, view, dimensions) {
    Object.assign(this, { start, view, dimensions });
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
    const place = start.slice(0, dimensions).map((v, k) => `${"xy"[k]} ${format(v, 3)}`);
    this.element.setAttribute("aria-label", `Start at ${place.join(", ")}. Arrow keys move it, with Shift farther.`);
  }

  grab(event) {
    event.preventDefault();
    this.element.focus();
    this.element.setPointerCapture(event.pointerId);
    const follow = (e) => this.move(this.pointAt(e.clientX, e.clientY), false);
    const end = () => {
      this.element.removeEventListener("pointermove", follow);
      this.move(this.start, true);
    };
    this.element.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) this.element.addEventListener(name, end, { once: true });
  }

  nudge(event) {
    const direction = DIRECTIONS[event.key];
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    const part = event.shiftKey ? 0.1 : 0.01; // of the view
    const point = this.start.map((v, k) => {
      const width = this.view[2 * k + 1] - this.view[2 * k];
      return k < this.dimensions ? Number((v + direction[k] * part * width).toPrecision(6)) : v;
    });
    this.move(point, true);
  }
}
