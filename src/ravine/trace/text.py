"""A rule's equation for the terminal, in Unicode."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ravine.trace.definitions import lines
from ravine.trace.printer import GREEK, PRODUCT, Printed, Printer

if TYPE_CHECKING:
    from ravine.rule import Rule

SUBSCRIPTS = str.maketrans("0123456789t-+", "₀₁₂₃₄₅₆₇₈₉ₜ₋₊")
SUPERSCRIPTS = str.maketrans("0123456789t", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵗ")


class TextPrinter(Printer):
    """One line of Unicode text; fractions are written with a slash."""

    inline_fractions = True

    def name(self, name: str, when: str = "", hat: bool = False) -> str:
        stem, digit = re.fullmatch(r"(.*?)(\d*)", self.cased(name)).groups()  # type: ignore[union-attr]
        symbol = GREEK.get(stem, stem) + ("\u0302" if hat else "")
        return symbol + (digit + when).translate(SUBSCRIPTS)

    def product(self, factors: list[str]) -> str:
        return "·".join(factors)

    def fraction(self, above: str, below: str) -> Printed:
        return f"{above} / {below}", PRODUCT

    def root(self, inside: str, sign: str = "√") -> str:
        return f"{sign}{inside}" if re.fullmatch(r"[\w\u0302]+", inside) else f"{sign}({inside})"

    def cube_root(self, inside: str) -> str:
        return self.root(inside, "∛")

    def power(self, base: str, exponent: str) -> str:
        small = exponent.translate(SUPERSCRIPTS)
        return base + small if re.fullmatch("[⁰¹²³⁴⁵⁶⁷⁸⁹ᵗ]+", small) else f"{base}^({exponent})"

    def group(self, inside: str) -> str:
        return f"({inside})"

    def magnitude(self, inside: str) -> str:
        return f"|{inside}|"

    def norm(self, inside: str, over: str) -> str:
        return f"‖{inside}‖{'_' * bool(over)}{over}"

    def reduction(self, function: str, inside: str, over: str) -> str:
        return f"{function}{'_' * bool(over)}{over}({inside})"

    def transposed(self, base: str) -> str:
        return f"{base}ᵀ"

    def matrix_product(self, factors: list[str]) -> str:
        return " ".join(factors)

    def elementwise_product(self, factors: list[str]) -> str:
        return "⊙".join(factors)

    def repeated(self, name: str, step: str, times: str) -> str:
        return f"{name} ← {step}, {times} times"

    def call(self, function: str, arguments: list[str]) -> str:
        return f"{function}({', '.join(arguments)})"

    def choice(self, condition: str, a: str, b: str) -> str:
        return f"({a} if {condition} else {b})"


def equation(rule: Rule) -> str:
    """The rule as lines of text, the equals signs aligned."""
    rows = lines(rule, TextPrinter())
    width = max(len(left.replace("\u0302", "")) for left, _ in rows)
    return "\n".join(f"{left}{' ' * (width - len(left.replace(chr(0x302), '')))} = {right}" for left, right in rows)
