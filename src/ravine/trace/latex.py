"""A rule's equation in LaTeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ravine.trace.definitions import lines
from ravine.trace.printer import GREEK, PRODUCT, Printed, Printer

if TYPE_CHECKING:
    from ravine.rule import Rule

COMMANDS = {"μ": r"\mu", "ρ": r"\rho", "β": r"\beta", "ε": r"\epsilon", "Δ": r"\Delta", "λ": r"\lambda", "ψ": r"\psi"}
COMMANDS |= {
    "ε′": r"\epsilon'",
    "δ": r"\delta",
    "τ": r"\tau",
    "π": r"\pi",
    "κ": r"\kappa",
    "η": r"\eta",
    "α": r"\alpha",
    "γ": r"\gamma",
    "ν": r"\nu",
    "ζ": r"\zeta",
}
COMMANDS |= {"η⁻": r"{\eta^-}", "η⁺": r"{\eta^+}"}


class LatexPrinter(Printer):
    """LaTeX, for any maths renderer."""

    def name(self, name: str, when: str = "", hat: bool = False) -> str:
        stem, digit = re.fullmatch(r"(.*?)(\d*)", self.cased(name)).groups()  # type: ignore[union-attr]
        symbol = {"lr": "η"}.get(stem, GREEK.get(stem, stem))
        plain = symbol.replace("_", r"\_")
        symbol = COMMANDS.get(symbol, plain if len(plain) == 1 else rf"\mathrm{{{plain}}}")
        if hat:
            symbol = rf"\hat{{{symbol}}}"
        below = ",".join(part for part in (digit, when) if part)
        return f"{symbol}_{{{below}}}" if below else symbol

    def number(self, value: float) -> str:
        mantissa, _, exponent = f"{value:g}".partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def product(self, factors: list[str]) -> str:
        text = factors[0]
        for factor in factors[1:]:  # a number in second place would run into the first
            text += (r" \cdot " if factor.lstrip("{")[0].isdigit() else r" \, ") + factor
        return text

    def fraction(self, above: str, below: str) -> Printed:
        return rf"\frac{{{above}}}{{{below}}}", PRODUCT

    def root(self, inside: str) -> str:
        return rf"\sqrt{{{inside}}}"

    def cube_root(self, inside: str) -> str:
        return rf"\sqrt[3]{{{inside}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{{{base}}}^{{{exponent}}}"

    def group(self, inside: str) -> str:
        return rf"\left({inside}\right)"

    def magnitude(self, inside: str) -> str:
        return rf"\left|{inside}\right|"

    def norm(self, inside: str, over: str) -> str:
        return rf"\left\|{inside}\right\|" + (rf"_{{\text{{{over}}}}}" if over else "")

    def reduction(self, function: str, inside: str, over: str) -> str:
        below = rf"_{{\text{{{over}}}}}" if over else ""
        return rf"\operatorname{{{function}}}{below}\left({inside}\right)"

    def transposed(self, base: str) -> str:
        return f"{{{base}}}^{{\\top}}"

    def matrix_product(self, factors: list[str]) -> str:
        return r" \, ".join(factors)

    def elementwise_product(self, factors: list[str]) -> str:
        return r" \odot ".join(factors)

    def repeated(self, name: str, step: str, times: str) -> str:
        return rf"{name} \gets {step} \quad \left({times}\text{{ times}}\right)"

    def call(self, function: str, arguments: list[str]) -> str:
        command = {"max": r"\max", "min": r"\min", "∇f": r"\nabla f"}.get(function, rf"\operatorname{{{function}}}")
        return rf"{command}\left({', '.join(arguments)}\right)"

    def choice(self, condition: str, a: str, b: str) -> str:
        return rf"\begin{{cases}} {a} & {condition} \\ {b} & \text{{otherwise}} \end{{cases}}"

    def operator(self, sign: str) -> str:
        return f" {dict(zip('−≥≤', ['-', chr(92) + 'ge', chr(92) + 'le'], strict=True)).get(sign, sign)} "

    def leading_minus(self) -> str:
        return "-"


def equation(rule: Rule) -> str:
    """The rule as an aligned LaTeX block."""
    rows = [f"{left} &= {right}" for left, right in lines(rule, LatexPrinter())]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
