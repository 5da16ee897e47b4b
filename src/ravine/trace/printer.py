"""From a graph's node to a formula: the structure that the LaTeX, terminal and MathML printers share.

A printer rearranges for the eye only, as into one fraction for a chain of × and ÷.
"""

from __future__ import annotations

from collections.abc import Iterable

from ravine.trace.graph import Node, node

SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly a printed expression holds together

GREEK = {
    "kappa": "κ",
    "mu": "μ",
    "rho": "ρ",
    "beta": "β",
    "eps": "ε",
    "eps_root": "ε′",
    "lr_decay": "δ",
    "delta": "Δ",
    "weight_decay": "λ",
    "momentum_decay": "ψ",
    "dampening": "τ",
    "product": "π",
    "clip_value": "c",
    "clip_norm": "c",
    "clip_global_norm": "c",
    "clip_update_rms": "d",
    "gamma": "γ",
    "nu": "ν",
    "ema_decay": "ζ",
    "alpha": "α",
    "lambd": "λ",
    "eta": "η",
    "eta_minus": "η⁻",
    "eta_plus": "η⁺",
}
"""The symbols of names that are not printed as they are; a final digit becomes a subscript."""

Printed = tuple[str, int]

OVER = {None: "", 0: "rows", 1: "columns"}
"""What a reduction is over, by its axis."""

NEWTON_SCHULZ = "NS"
"""The name of the composite whose definition is printed below an equation."""


class Printer:
    """Prints nodes; a subclass says how a fraction, a root, … looks in its language."""

    def __init__(self) -> None:
        self.symbols: dict[Node, str] = {}
        self.capitals: frozenset[str] = frozenset()
        """Names of matrices, in an equation with matrix products: their letters are printed as capitals."""

    def cased(self, name: str) -> str:
        """A name as it is printed, a matrix's letter as a capital."""
        return name.upper() if name in self.capitals and len(name) == 1 else name

    # What a subclass supplies: each gets printed parts and returns a printed whole.
    def name(self, name: str, when: str = "", hat: bool = False) -> str:
        """A name with an optional time subscript ("t" or "t-1") and hat."""
        raise NotImplementedError

    def number(self, value: float) -> str:
        return f"{value:g}"

    def product(self, factors: list[str]) -> str:
        raise NotImplementedError

    def fraction(self, above: str, below: str) -> Printed:
        raise NotImplementedError

    def root(self, inside: str) -> str:
        raise NotImplementedError

    def cube_root(self, inside: str) -> str:
        raise NotImplementedError

    def power(self, base: str, exponent: str) -> str:
        raise NotImplementedError

    def group(self, inside: str) -> str:
        raise NotImplementedError

    def magnitude(self, inside: str) -> str:
        raise NotImplementedError

    def norm(self, inside: str, over: str) -> str:
        raise NotImplementedError

    def reduction(self, function: str, inside: str, over: str) -> str:
        """A sum or mean `over` the rows or columns, or (where that is empty) over all."""
        raise NotImplementedError

    def transposed(self, base: str) -> str:
        raise NotImplementedError

    def matrix_product(self, factors: list[str]) -> str:
        raise NotImplementedError

    def elementwise_product(self, factors: list[str]) -> str:
        raise NotImplementedError

    def repeated(self, name: str, step: str, times: str) -> str:
        """What a loop computes that sets `name` to `step` so many times."""
        raise NotImplementedError

    def call(self, function: str, arguments: list[str]) -> str:
        raise NotImplementedError

    def choice(self, condition: str, a: str, b: str) -> str:
        raise NotImplementedError

    def operator(self, sign: str) -> str:
        """A binary + or − or comparison, or (padded by no space) a leading −."""
        return f" {sign} "

    def leading_minus(self) -> str:
        return "−"

    # Whether a product's denominator needs brackets of its own is the fraction's matter.
    inline_fractions = False

    def show(self, n: Node, at_least: int = SUM) -> str:
        """A node, in brackets where it binds less tightly than its place wants."""
        text, level = self._print(n)
        return text if level >= at_least else self.group(text)

    def _print(self, n: Node) -> Printed:
        if n in self.symbols:
            return self.symbols[n], ATOM
        match n.op:
            case "const":
                return (self._sum(n), SUM) if n.value < 0 else (self.number(n.value), ATOM)
            case "array" | "scalar" | "size":
                return self.name(n.name), ATOM
            case "add" | "sub" | "neg":
                return self._sum(n), SUM
            case "mul" | "div":
                return self._product(n)
            case "sqrt":
                return self.root(self.show(n.args[0])), ATOM
            case "cbrt":
                return self.cube_root(self.show(n.args[0])), ATOM
            case "power":
                return self.power(self.show(n.args[0], ATOM), self.show(n.args[1])), POWER
            case "abs":
                return self.magnitude(self.show(n.args[0])), ATOM
            case "norm":
                return self.norm(self.show(n.args[0]), OVER[n.options[0]]), ATOM
            case "total" | "mean" | "rms":
                function = {"total": "sum"}.get(n.op, n.op)
                return self.reduction(function, self.show(n.args[0]), OVER[n.options[0]]), ATOM
            case "transpose":
                return self.transposed(self.show(n.args[0], ATOM)), POWER
            case "matmul":
                return self.matrix_product([self.show(a, PRODUCT) for a in n.args]), PRODUCT
            case "newton_schulz":
                return self.call(NEWTON_SCHULZ, [self.show(n.args[0])]), ATOM
            case "sign" | "maximum" | "minimum":
                function = {"maximum": "max", "minimum": "min"}.get(n.op, n.op)
                return self.call(function, [self.show(a) for a in n.args]), ATOM
            case "where":
                condition, a, b = (self.show(arg) for arg in n.args)
                return self.choice(condition, a, b), ATOM
            case _:
                sign = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}[n.op]
                return self.show(n.args[0]) + self.operator(sign) + self.show(n.args[1]), SUM

    def _sum(self, n: Node) -> str:
        text = ""
        for negative, term in self._terms(n):
            shown, level = self._print(term)
            if level == SUM:
                shown = self.group(shown)
            if text:
                text += self.operator("−" if negative else "+") + shown
            else:
                text = (self.leading_minus() if negative else "") + shown
        return text

    def _terms(self, n: Node, negative: bool = False) -> Iterable[tuple[bool, Node]]:
        """A sum's terms with their signs, nested sums opened."""
        if n in self.symbols or n.op not in ("add", "sub", "neg", "mul", "div", "const"):
            yield negative, n
        elif n.op == "neg":
            yield from self._terms(n.args[0], not negative)
        elif n.op == "add":
            yield from self._terms(n.args[0], negative)
            yield from self._terms(n.args[1], negative)
        elif n.op == "sub":
            yield from self._terms(n.args[0], negative)
            yield from self._terms(n.args[1], not negative)
        else:
            minus, positive = self._without_minus(n)
            yield negative != minus, positive

    def _without_minus(self, n: Node) -> tuple[bool, Node]:
        """The sign of a product or number, and the rest: −lr·g is a term with a minus sign."""
        if n in self.symbols:
            return False, n
        if n.op == "neg":
            minus, inner = self._without_minus(n.args[0])
            return not minus, inner
        if n.op in ("mul", "div"):
            minus_a, a = self._without_minus(n.args[0])
            minus_b, b = self._without_minus(n.args[1])
            return minus_a != minus_b, node(n.op, a, b)
        if n.op == "const" and n.value < 0:
            return True, node("const", value=-n.value)
        return False, n

    def _product(self, n: Node) -> Printed:
        minus, n = self._without_minus(n)
        above: list[Node] = []
        below: list[Node] = []
        self._factors(n, above, below)
        outside = []
        if below:  # η·(m/√v) reads better than (η·m)/√v
            while above and above[0].op == "scalar" and len(above) > 1:
                outside.append(self.show(above.pop(0), PRODUCT))
        top = self._chain(above)
        if not below:
            text, level = top, PRODUCT
        else:
            tight = PRODUCT if self.inline_fractions else SUM
            bottom = (
                self.show(below[0], ATOM if self.inline_fractions else SUM)
                if len(below) == 1
                else (self.group(self._chain(below)) if self.inline_fractions else self._chain(below))
            )
            shown_top = self.show(above[0], tight) if len(above) == 1 else top
            text, level = self.fraction(shown_top, bottom)
            if outside:
                text, level = self.product([*outside, text]), PRODUCT
        return (self.leading_minus() + text, SUM) if minus else (text, level)

    def _chain(self, factors: list[Node]) -> str:
        if not factors:
            return self.number(1)
        if self.capitals and sum(f.shape not in (None, ("1", "1")) for f in factors) > 1:
            return self._with_matrices(factors)
        parts = []
        rest = list(factors)
        while rest:
            first = rest.pop(0)
            if rest and rest[0] is first:
                rest.pop(0)
                parts.append(self.power(self.show(first, ATOM), self.number(2)))
            else:
                parts.append(self.show(first, PRODUCT))
        return self.product(parts) if len(parts) > 1 else parts[0]

    def _with_matrices(self, factors: list[Node]) -> str:
        """A product of which some factors are matrices, multiplied element by element, the numbers before them."""
        arrays = [f for f in factors if f.shape not in (None, ("1", "1"))]
        numbers = [f for f in factors if f not in arrays]
        inside = self.elementwise_product([self.show(a, POWER) for a in arrays])
        return self.product([*(self.show(f, PRODUCT) for f in numbers), inside]) if numbers else inside

    def _factors(self, n: Node, above: list[Node], below: list[Node]) -> None:
        if n in self.symbols or n.op not in ("mul", "div"):
            if not (n.op == "const" and n.value == 1):
                above.append(n)
            return
        self._factors(n.args[0], above, below)
        if n.op == "mul":
            self._factors(n.args[1], above, below)
        else:
            self._factors(n.args[1], below, above)
