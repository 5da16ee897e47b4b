// The link to exactly what is seen.

import { setText } from "./dom.js";
import { encode } from "./link.js";

const FILE_LINK =
  "This page is a file on this computer, so the link opens here only. Elsewhere put what follows # behind the address of another copy.";

// Put the link into the clipboard, or say where else it is.
export const copyLink = async (app) => {
  const { notice } = app.tools;
  app.commit();
  const link = app.store.link(encode(app.state));
  const mine = link.startsWith("file:") ? ` ${FILE_LINK}` : "";
  try {
    await navigator.clipboard.writeText(link);
    setText(notice, `The link is in the clipboard.${mine}`);
  } catch {
    setText(notice, `The link is in the address bar.${mine}`);
  }
  setTimeout(() => setText(notice, ""), mine ? 12000 : 4000);
};
