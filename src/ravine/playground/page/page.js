// The playground as a page of its own: the state lives in the address.

import { Playground } from "./app.js";

const store = {
  read: () => location.hash.slice(1),
  write(text) {
    this.written = text;
    try {
      history.replaceState(null, "", `#${text}`);
    } catch {
      // A browser may refuse when asked very often, as by a key held down; the next change is written again.
    }
  },
  keys: document,
  link: (text) => `${location.href.split("#")[0]}#${text}`,
};

// In somebody's page or slides (…?embed) the scenarios, surfaces and tools are left out.
const root = document.getElementById("ravine");
const isEmbedded = new URLSearchParams(location.search).has("embed");
root.classList.toggle("embed", isEmbedded);
const playground = new Playground(root, store);
// Whoever has it in a frame may give that the page's height.
if (isEmbedded && parent !== window) {
  new ResizeObserver(() => parent.postMessage({ ravine: { height: root.offsetHeight } }, "*")).observe(root);
}
window.addEventListener("hashchange", () => location.hash.slice(1) !== store.written && playground.open(store.read()));
