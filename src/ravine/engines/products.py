"""Products of matrices by a library, in stacks of equal ones: what stands between the stages of `stages.py`.

A product's bits are the library's. Newton–Schulz goes by the smaller side of a matrix; where that is much smaller, it
iterates on the Gram matrix alone, and multiplies by what has come of it every few steps. Of products that are symmetric
half is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from ravine.engines.stages import Cut
from ravine.trace.graph import Node

GRAM_FROM = 1.5
"""How many times longer than wide a matrix is for which the Gram matrix saves work: for c/r = 1.25 both are even."""

TOGETHER = 3
"""Steps that are taken on one Gram matrix. Its small eigenvalues drown in the rounding of the large ones and grow by a²
in a step: after five steps the error is ten times that of the usual form, after three it is not above it. In a narrower
type they drown at once."""


STRIP = 192
"""Rows of a symmetric product that are computed at once. From two strips on it takes less time than the whole (measured
on two threads: of 768 rows 0.73 times it, of 2048 0.68)."""


class Multiplier(Protocol):
    """What a library supplies; arrays are stacks of matrices, (n, r, c).

    It may multiply in a narrower type than that of the arrays in work space; `is_exact` says that it doesn't. `square`
    is memory that it keeps: where each step asks for some and lets it go, glibc's allocator leaves more and more holes.
    """

    is_exact: bool

    def operand(self, a: Any) -> Any:
        """a in the type of products."""

    def product(self, a: Any, b: Any, out: Any = None) -> Any:
        """a·b."""

    def update(self, c: Any, a: Any, b: Any, beta: float, alpha: float, out: Any = None) -> Any:
        """beta·c + alpha·a·b."""

    def copy(self, a: Any) -> Any:
        """a in the type of products, in memory of its own."""

    def square(self, like: Any, place: int) -> Any:
        """Memory for a square matrix of as many rows as each of a stack has; `place` tells apart what is in use."""

    def add_to_diagonal(self, a: Any, value: float) -> None:
        """Add a number times the identity to square matrices in place."""


def multiply(
    library: Multiplier, made: Cut, nodes: Sequence[Node], arrays: Mapping[Node, Any], values: Mapping[Node, float]
) -> None:
    """Compute nodes of a cut that are products into their arrays; `values` are the coefficients'. A transpose that
    products alone read has no array."""

    def found(n: Node) -> Any:
        return arrays[n] if n in arrays else found(n.args[0]).swapaxes(-1, -2)

    def number(n: Node) -> float:
        return n.value if n.op == "const" else values[n]

    for n in nodes:
        if n not in arrays:
            continue
        match n.op:
            case "matmul":
                a, b = (library.operand(found(a)) for a in n.args)
                if library.is_exact:
                    library.product(a, b, out=arrays[n])
                else:
                    arrays[n][...] = library.product(a, b)
            case "transpose":
                arrays[n][...] = found(n.args[0]).swapaxes(-1, -2)
            case "newton_schulz":
                x, *coefficients = n.args
                is_spent = library.is_exact and x in arrays and made.is_spent(x)
                own = found(x) if is_spent else library.copy(found(x))
                into = arrays[n] if library.is_exact else library.copy(own)
                newton_schulz(library, own, into, *map(number, coefficients))
                if into is not arrays[n]:
                    arrays[n][...] = into
            case _:
                raise NotImplementedError(f"no library multiplies by {n.op!r}")


def newton_schulz(library: Multiplier, x: Any, out: Any, a: float, b: float, c: float, steps: float) -> None:
    """`ravine.math.newton_schulz`, written to `out`; x is written to on the way."""
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x, out = x.swapaxes(-1, -2), out.swapaxes(-1, -2)
    left, source, target = int(steps), x, out
    while left > 0:
        is_long = library.is_exact and x.shape[-1] >= GRAM_FROM * x.shape[-2]
        together = min(left, TOGETHER) if is_long else 1
        factor = _factor(library, source, a, b, c, together)
        if together == 1:
            library.update(source, factor, source, a, 1.0, out=target)
        else:
            library.product(factor, source, out=target)
        source, target = target, source
        left -= together
    if source is not out:
        out[...] = source


def _factor(library: Multiplier, x: Any, a: float, b: float, c: float, steps: int) -> Any:
    """What several steps multiply x by, from its Gram matrix; of one step all but a times the identity. Polynomials of
    a symmetric matrix are symmetric, and so are their products."""
    gram, factor = library.square(x, 0), library.square(x, 1)
    _symmetric(library, x, x.swapaxes(-1, -2), gram)
    if steps == 1:
        return _symmetric(library, gram, gram, factor, gram, b, c)
    whole, spare = library.square(x, 2), library.square(x, 3)
    for left in reversed(range(steps)):
        _symmetric(library, gram, gram, factor, gram, b, c)
        library.add_to_diagonal(factor, a)
        if left == steps - 1:
            whole[...] = factor
        else:
            _symmetric(library, factor, whole, spare)
            whole, spare = spare, whole
        if left:
            _symmetric(library, factor, gram, spare)
            _symmetric(library, spare, factor, gram)
    return whole


def _symmetric(
    library: Multiplier, a: Any, b: Any, out: Any, plus: Any = None, beta: float = 0.0, alpha: float = 1.0
) -> Any:
    """alpha·a·b + beta·plus, known to be symmetric, in `out`: strips of rows up to the diagonal, and their mirrors.

    Small matrices, and stacks of them, are multiplied as any others.
    """
    rows = out.shape[-1]
    strips = round(rows / STRIP)
    if strips < 2 or out.shape[0] > 1:
        return library.product(a, b, out) if plus is None else library.update(plus, a, b, beta, alpha, out)
    ends = [rows * k // strips for k in range(strips + 1)]
    for low, high in pairwise(ends):
        left, right, into = a[:, low:high], b[:, :, :high], out[:, low:high, :high]
        if plus is None:
            library.product(left, right, out=into)
        else:
            library.update(plus[:, low:high, :high], left, right, beta, alpha, out=into)
        out[:, :low, low:high] = into[:, :, :low].swapaxes(-1, -2)
    return out
