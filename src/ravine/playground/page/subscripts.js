// Subscripts that can be told from factors. Some fonts for mathematics, as DejaVu Math TeX Gyre, hardly lower them, so that
// mₜ reads as m times t.

const LEAST = 0.2; // of the letter's size, from its baseline to the subscript's

// Lower each subscript in an element, which must be on the page, by what its font left it too high.
export function lowerSubscripts(element) {
  const context = document.createElement("canvas").getContext("2d");
  const baseline = (part) => {
    const { fontSize, fontFamily } = getComputedStyle(part);
    context.font = `italic ${fontSize} ${fontFamily}`;
    return part.getBoundingClientRect().bottom - context.measureText(part.textContent).actualBoundingBoxDescent;
  };
  for (const script of element.querySelectorAll("msub > :nth-child(2), msubsup > :nth-child(2)")) {
    const letter = script.previousElementSibling;
    const wanted = LEAST * parseFloat(getComputedStyle(letter).fontSize);
    const missing = wanted - (baseline(script) - baseline(letter));
    if (missing > 0) Object.assign(script.style, { position: "relative", top: `${missing.toFixed(2)}px` });
  }
}
