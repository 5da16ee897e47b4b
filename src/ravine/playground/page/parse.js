// A small maths parser: text such as "x^2 + 10 sin(y)" becomes a tape of operations, or a FormulaError that says what is
// wrong and where. Nothing is ever evaluated as JavaScript.

export class FormulaError extends Error {
  constructor(message, start, end) {
    super(message);
    this.start = start; // position of the first wrong character, counted from 0
    this.end = Math.max(end, start + 1);
  }
}

export const LONGEST_FORMULA = 300;

// name: [value of a, factor by which the derivative of a is multiplied, given a and the value]
export const FUNCTIONS = {
  sin: [Math.sin, (a) => Math.cos(a)],
  cos: [Math.cos, (a) => -Math.sin(a)],
  tan: [Math.tan, (a, v) => 1 + v * v],
  exp: [Math.exp, (a, v) => v],
  log: [Math.log, (a) => 1 / a],
  sqrt: [Math.sqrt, (a, v) => 1 / (2 * v)],
  abs: [Math.abs, (a) => Math.sign(a)],
  sign: [Math.sign, () => 0],
  sinh: [Math.sinh, (a) => Math.cosh(a)],
  cosh: [Math.cosh, (a) => Math.sinh(a)],
  tanh: [Math.tanh, (a, v) => 1 - v * v],
  atan: [Math.atan, (a) => 1 / (1 + a * a)],
};
const ALIASES = { ln: "log", "√": "sqrt", arctan: "atan" };
const TWO_ARGUMENTS = ["max", "min"];
const CONSTANTS = { pi: Math.PI, π: Math.PI, e: Math.E };
const SAME = { "·": "*", "×": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "**": "^" };
const SQUARES = { "²": 2, "³": 3 };

const TOKEN = /\s*(?:((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(√|π|[A-Za-z_][A-Za-z_0-9]*)|(\*\*|[-+*/^(),²³·×⋅÷−–]))/y;

function tokenize(text) {
  const tokens = [];
  let at = 0;
  while (text.slice(at).trim() !== "") {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) {
      const start = at + text.slice(at).search(/\S/);
      const wrong = String.fromCodePoint(text.codePointAt(start));
      throw new FormulaError(`“${wrong}” has no meaning in a formula`, start, start + wrong.length);
    }
    const [, number, name, symbol] = match;
    const found = number ?? name ?? symbol;
    const kind = number ? "number" : name ? "name" : "symbol";
    at = TOKEN.lastIndex;
    tokens.push({ kind, text: symbol ? (SAME[found] ?? found) : found, start: at - found.length, end: at });
  }
  tokens.push({ kind: "end", text: "", start: text.length, end: text.length });
  return tokens;
}

// Operations on the tape. Each entry is {op, a, b, number}; a and b are positions of earlier entries.
class Parser {
  constructor(text) {
    this.tokens = tokenize(text);
    this.next = 0;
    this.tape = [];
    this.names = new Set();
  }

  get token() {
    return this.tokens[this.next];
  }

  emit(op, a = -1, b = -1, number = 0) {
    return this.tape.push({ op, a, b, number }) - 1;
  }

  accept(text) {
    if (this.token.kind !== "symbol" || this.token.text !== text) return false;
    this.next++;
    return true;
  }

  fail(wanted) {
    const { kind, text, start, end } = this.token;
    throw new FormulaError(
      kind === "end" ? `the formula ends where ${wanted} should follow` : `expected ${wanted}, not “${text}”`,
      start,
      end,
    );
  }

  sum() {
    let left = this.product();
    for (;;) {
      if (this.accept("+")) left = this.emit("+", left, this.product());
      else if (this.accept("-")) left = this.emit("-", left, this.product());
      else return left;
    }
  }

  product() {
    let left = this.signed();
    for (;;) {
      if (this.accept("*")) left = this.emit("*", left, this.signed());
      else if (this.accept("/")) left = this.emit("/", left, this.signed());
      else if (this.factorFollows())
        left = this.emit("*", left, this.power()); // 2x, 3 sin(y), (x+1)(y-1)
      else return left;
    }
  }

  factorFollows() {
    const { kind, text } = this.token;
    return kind === "name" || text === "(" || (kind === "number" && this.tokens[this.next - 1].kind !== "number");
  }

  signed() {
    if (this.accept("-")) return this.emit("neg", this.signed());
    if (this.accept("+")) return this.signed();
    return this.power();
  }

  power() {
    let base = this.atom();
    while (this.token.text in SQUARES) {
      base = this.emit("^", base, this.emit("number", -1, -1, SQUARES[this.token.text]));
      this.next++;
    }
    return this.accept("^") ? this.emit("^", base, this.signed()) : base;
  }

  atom() {
    const { kind, text, start } = this.token;
    if (kind === "number") {
      this.next++;
      return this.emit("number", -1, -1, Number(text));
    }
    if (kind === "name") return this.named();
    if (this.accept("(")) {
      const inside = this.sum();
      this.close(start);
      return inside;
    }
    return this.fail("a number, x, y, a function or “(”");
  }

  close(opened) {
    if (this.accept(")")) return;
    if (this.token.kind === "end") throw new FormulaError("this bracket is never closed", opened, opened + 1);
    this.fail("an operator or “)”");
  }

  named() {
    const { text, start, end } = this.token;
    this.next++;
    if (text === "x" || text === "y") {
      this.names.add(text);
      return this.emit(text);
    }
    if (Object.hasOwn(CONSTANTS, text)) return this.emit("number", -1, -1, CONSTANTS[text]);
    const name = Object.hasOwn(ALIASES, text) ? ALIASES[text] : text;
    const wanted = TWO_ARGUMENTS.includes(name) ? 2 : Object.hasOwn(FUNCTIONS, name) ? 1 : 0;
    if (wanted === 0) throw new FormulaError(unknown(text), start, end);
    const opened = this.token.start;
    if (!this.accept("(")) throw new FormulaError(`${text} needs brackets: ${text}(…)`, start, end);
    const parts = [this.sum()];
    while (this.accept(",")) parts.push(this.sum());
    this.close(opened);
    if (parts.length !== wanted) {
      const values = wanted === 1 ? "one value" : "two values, with a comma between";
      throw new FormulaError(`${text} takes ${values}`, start, this.tokens[this.next - 1].end);
    }
    return this.emit(name, ...parts);
  }
}

function unknown(name) {
  if (/^[xy]+$/.test(name)) return `write a product with a sign: ${[...name].join("*")}`;
  const known = ["x", "y", "pi", "e", ...Object.keys(FUNCTIONS), ...TWO_ARGUMENTS];
  const near = known.find((k) => k.length > 2 && (within(name, k) || within(k, name)));
  return `“${name}” is not known${near ? `; did you mean ${near}?` : "."} There are x, y, pi, e and ${known.slice(4).join(", ")}`;
}

// Whether the letters of a word occur in another in their order.
function within(word, longer) {
  let at = 0;
  for (const letter of longer) if (letter === word[at]) at++;
  return at === word.length;
}

// A formula as a tape, whose last entry is its value, and the names of the variables that occur: {tape, names}.
export function parseFormula(text) {
  if (text.length > LONGEST_FORMULA)
    throw new FormulaError(`a formula may have ${LONGEST_FORMULA} characters`, LONGEST_FORMULA, text.length);
  const parser = new Parser(text);
  parser.sum();
  if (parser.token.kind !== "end") parser.fail("an operator");
  if (parser.names.size === 0) throw new FormulaError("a surface depends on x, or on x and y", 0, text.length);
  if (!parser.names.has("x"))
    throw new FormulaError("a formula with y has x as well; in one dimension use x", 0, text.length);
  return { tape: parser.tape, names: parser.names };
}
