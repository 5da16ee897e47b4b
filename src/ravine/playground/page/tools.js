// The buttons at the top, and the line below them that says what became of a link.

import { el, setText } from "./dom.js";
import { savePanel } from "./save.js";
import { copyLink } from "./share.js";

const THEMES = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" };

export class Tools {
  // `app` is the playground.
  constructor(app) {
    this.app = app;
    const act = (change) => app.act(change, true);
    const button = (text, label, action) =>
      el("button", { type: "button", class: "quiet", title: label, "aria-label": label, onclick: action }, text);
    this.undo = button("↶", "Undo", () => app.undo());
    this.redo = button("↷", "Redo", () => app.redo());
    this.theme = button("", "Colours: automatic, light or dark", () =>
      act((s) => (s.theme = nextOf(Object.keys(THEMES), s.theme))),
    );
    const share = button("Copy link", "Copy link to exactly this view", () => copyLink(app));
    share.hidden = !app.store.link;
    this.hide = button("Hide answers", "Hide answers: story, losses, what is to come", () => act((s) => (s.hidden = !s.hidden)));
    this.large = button("Large", "Large type on the full screen", () => this.enlarge());
    this.notice = el("p", { class: "notice", role: "status", "aria-live": "polite" });
    const all = [this.undo, this.redo, this.hide, this.large, this.theme, share, savePanel(app)];
    this.element = el("div", { class: "tools" }, ...all);
  }

  show(state, history) {
    setText(this.theme, THEMES[state.theme]);
    this.theme.setAttribute("aria-label", `Colours: ${THEMES[state.theme]}`);
    this.hide.setAttribute("aria-pressed", String(state.hidden));
    this.undo.disabled = !history.past.length;
    this.redo.disabled = !history.future.length;
  }

  // Large type, on the full screen where the browser allows it; again, and all is as before.
  enlarge() {
    const { root } = this.app;
    const large = root.classList.toggle("large");
    this.large.setAttribute("aria-pressed", String(large));
    if (large) root.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    this.app.refresh();
  }
}

const nextOf = (list, item) => list[(list.indexOf(item) + 1) % list.length];
