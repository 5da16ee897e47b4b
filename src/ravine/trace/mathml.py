"""A rule's equation in MathML Core, which browsers show without a library."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from ravine.trace.definitions import lines
from ravine.trace.printer import GREEK, PRODUCT, Printed, Printer

if TYPE_CHECKING:
    from ravine.rule import Rule

THIN_SPACE = '<mspace width="0.17em"></mspace>'


def _row(inside: str) -> str:
    return f"<mrow>{inside}</mrow>"


class MathMLPrinter(Printer):
    """A string is a run of MathML elements; each place that wants exactly one element wraps it in a row."""

    def name(self, name: str, when: str = "", hat: bool = False) -> str:
        stem, digit = re.fullmatch(r"(.*?)(\d*)", self.cased(name)).groups()  # type: ignore[union-attr]
        symbol = f"<mi>{escape({'lr': 'η'}.get(stem, GREEK.get(stem, stem)))}</mi>"
        if hat:
            symbol = f'<mover accent="true">{symbol}<mo>^</mo></mover>'
        below = [f"<mn>{digit}</mn>"] if digit else []
        below += {"t": ["<mi>t</mi>"], "t-1": [_row("<mi>t</mi><mo>−</mo><mn>1</mn>")]}.get(when, [])
        return f"<msub>{symbol}{_row('<mo>,</mo>'.join(below))}</msub>" if below else symbol

    def number(self, value: float) -> str:
        mantissa, _, exponent = f"{value:g}".partition("e")
        if not exponent:
            return f"<mn>{mantissa}</mn>"
        return f"<mn>{mantissa}</mn><mo>·</mo><msup><mn>10</mn><mn>{int(exponent)}</mn></msup>"

    def product(self, factors: list[str]) -> str:
        text = factors[0]
        for factor in factors[1:]:  # a number in second place would run into the first
            text += ("<mo>·</mo>" if re.match("(<mrow>|<msup>)*<mn>", factor) else THIN_SPACE) + factor
        return text

    def fraction(self, above: str, below: str) -> Printed:
        return f"<mfrac>{_row(above)}{_row(below)}</mfrac>", PRODUCT

    def root(self, inside: str) -> str:
        return f"<msqrt>{inside}</msqrt>"

    def cube_root(self, inside: str) -> str:
        return f"<mroot>{_row(inside)}<mn>3</mn></mroot>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{_row(base)}{_row(exponent)}</msup>"

    def group(self, inside: str) -> str:
        return _row(f"<mo>(</mo>{inside}<mo>)</mo>")

    def magnitude(self, inside: str) -> str:
        return _row(f"<mo>|</mo>{inside}<mo>|</mo>")

    def norm(self, inside: str, over: str) -> str:
        return self._over(_row(f"<mo>‖</mo>{inside}<mo>‖</mo>"), over)

    def reduction(self, function: str, inside: str, over: str) -> str:
        return self._over(f"<mi>{escape(function)}</mi>", over) + self.group(inside)

    def _over(self, symbol: str, over: str) -> str:
        return f"<msub>{symbol}<mtext>{over}</mtext></msub>" if over else symbol

    def transposed(self, base: str) -> str:
        return f"<msup>{_row(base)}<mi>⊤</mi></msup>"

    def matrix_product(self, factors: list[str]) -> str:
        return THIN_SPACE.join(factors)

    def elementwise_product(self, factors: list[str]) -> str:
        return "<mo>⊙</mo>".join(factors)

    def repeated(self, name: str, step: str, times: str) -> str:
        return f"{name}<mo>←</mo>{step}<mtext>,&#160;</mtext>{times}<mtext>&#160;times</mtext>"

    def call(self, function: str, arguments: list[str]) -> str:
        return f"<mi>{escape(function)}</mi>{self.group('<mo>,</mo>'.join(arguments))}"

    def choice(self, condition: str, a: str, b: str) -> str:
        rows = [(a, condition), (b, "<mtext>otherwise</mtext>")]
        cells = "".join(f"<mtr><mtd>{_row(value)}</mtd><mtd>{_row(case)}</mtd></mtr>" for value, case in rows)
        return _row(f'<mo stretchy="true">{{</mo><mtable>{cells}</mtable>')

    def operator(self, sign: str) -> str:
        return f"<mo>{escape(sign)}</mo>"

    def leading_minus(self) -> str:
        return '<mo form="prefix">−</mo>'


def equation(rule: Rule) -> str:
    """The rule as one display-style `<math>` element, one line a slot, the equals signs aligned."""
    cells = [
        f'<mtr><mtd style="text-align:right">{_row(left)}</mtd><mtd><mo>=</mo></mtd>'
        f'<mtd style="text-align:left">{_row(right)}</mtd></mtr>'
        for left, right in lines(rule, MathMLPrinter())
    ]
    return f'<math display="block"><mtable displaystyle="true">{"".join(cells)}</mtable></math>'
