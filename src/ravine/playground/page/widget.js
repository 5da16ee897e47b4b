// The playground in a notebook: the state lives in the widget's traits.

import { Playground } from "./app.js";

function render({ model, el: element }) {
  const root = document.createElement("div");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to us
  root.addEventListener("keydown", (event) => event.stopPropagation()); // and so does the classic notebook
  element.append(root);
  const store = {
    read: () => model.get("link"),
    write(text) {
      this.written = text;
      model.set("link", text);
      model.save_changes();
    },
  };
  const playground = new Playground(root, store);
  model.on("change:link", () => model.get("link") !== store.written && playground.open(store.read()));
}

export default { render };
