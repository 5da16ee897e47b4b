// Undo and redo over states in the form of links. The step that is shown is no change: undo leaves it where it is.

const MOST = 200;

export class History {
  constructor(text) {
    this.past = [];
    this.future = [];
    this.now = text;
  }

  // A new state. What was undone before can no longer be redone, unless nothing has changed.
  add(text) {
    if (withoutTime(text) !== withoutTime(this.now)) {
      this.past.push(this.now);
      this.past.splice(0, this.past.length - MOST);
      this.future = [];
    }
    this.now = text;
  }

  // The state before, or null if there is none.
  undo() {
    return this.travel(this.past, this.future);
  }

  // The state that the last undo left, or null.
  redo() {
    return this.travel(this.future, this.past);
  }

  travel(from, to) {
    if (!from.length) return null;
    to.push(this.now);
    this.now = from.pop();
    return this.now;
  }
}

const withoutTime = (text) => text.replace(/&t=\d+$/, "");
