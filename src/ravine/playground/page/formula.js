// A surface from a formula of the user's, with its derivatives.
//
// The formula is a tape of operations; running it forward carries each value with its derivatives by x and y
// (forward-mode automatic differentiation).

import { FUNCTIONS, parseFormula } from "./parse.js";

// A surface from a formula: {dimensions, hasHoles, value(p), gradient(p, out)}. One dimension if y does not occur. It may
// have no value somewhere.
export function formulaSurface(text) {
  const { tape, names } = parseFormula(text);
  const dimensions = names.has("y") ? 2 : 1;
  const last = tape.length - 1;
  const v = new Float64Array(tape.length);
  const d = [new Float64Array(tape.length), new Float64Array(tape.length)];
  return {
    dimensions,
    hasHoles: true,
    value(p) {
      for (let i = 0; i <= last; i++) v[i] = valueOf(tape[i], v, p);
      return v[last];
    },
    gradient(p, out) {
      for (let i = 0; i <= last; i++) {
        v[i] = valueOf(tape[i], v, p);
        for (let k = 0; k < dimensions; k++) d[k][i] = derivativeOf(tape[i], v, d[k], k, v[i]);
      }
      for (let k = 0; k < dimensions; k++) out[k] = d[k][last];
    },
  };
}

function valueOf({ op, a, b, number }, v, p) {
  switch (op) {
    case "number":
      return number;
    case "x":
      return p[0];
    case "y":
      return p[1];
    case "+":
      return v[a] + v[b];
    case "-":
      return v[a] - v[b];
    case "*":
      return v[a] * v[b];
    case "/":
      return v[a] / v[b];
    case "neg":
      return -v[a];
    case "^":
      return v[a] ** v[b];
    case "max":
      return Math.max(v[a], v[b]);
    case "min":
      return Math.min(v[a], v[b]);
    default:
      return FUNCTIONS[op][0](v[a]);
  }
}

function derivativeOf({ op, a, b }, v, d, k, value) {
  switch (op) {
    case "number":
      return 0;
    case "x":
      return k === 0 ? 1 : 0;
    case "y":
      return k === 1 ? 1 : 0;
    case "+":
      return d[a] + d[b];
    case "-":
      return d[a] - d[b];
    case "*":
      return d[a] * v[b] + v[a] * d[b];
    case "/":
      return (d[a] - value * d[b]) / v[b];
    case "neg":
      return -d[a];
    case "^": {
      // A zero factor wins over an infinite one, so that 0^2 and a constant base have finite derivatives.
      const byBase = d[a] === 0 || v[b] === 0 ? 0 : d[a] * v[b] * v[a] ** (v[b] - 1);
      const byExponent = d[b] === 0 ? 0 : d[b] * value * Math.log(v[a]);
      return byBase + byExponent;
    }
    case "max":
      return v[a] >= v[b] ? d[a] : d[b];
    case "min":
      return v[a] <= v[b] ? d[a] : d[b];
    default:
      return d[a] === 0 ? 0 : d[a] * FUNCTIONS[op][1](v[a], value);
  }
}
