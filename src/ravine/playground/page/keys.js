// What keys do, wherever on the page they are pressed.

// Let the playground do what a key asks for. In a field only undo is heard, where the field has none of its own.
export function pressKey(app, event) {
  const typing = event.target.closest("input, select, textarea");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !(typing && typing.type === "text")) {
    event.preventDefault();
    if (event.shiftKey) app.redo();
    else app.undo();
  } else if (typing || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === " " && !event.target.closest("button, summary")) {
    event.preventDefault();
    app.toggle();
  } else if (event.key === "," || event.key === "ArrowLeft") {
    app.seek("back", true);
  } else if (event.key === "." || event.key === "ArrowRight") {
    app.seek("forward", true);
  }
}
