"""Products of matrices by a library, in stacks of equal ones: what stands between the stages of `stages.py`.

A product's bits are the library's. Newton–Schulz goes by the smaller side of a matrix; where that is much smaller, it
iterates on the Gram matrix alone, and multiplies by what has come of it every few steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ravine.engines.stages import Cut
from ravine.trace.graph import Node

GRAM_FROM = 2
"""How many times longer than wide a matrix is for which the Gram matrix saves work: for c/r = 1.5 both are even."""

TOGETHER = 3
"""Steps that are taken on one Gram matrix. Its small eigenvalues drown in the rounding of the large ones and grow by a²
in a step: after five steps the error is ten times that of the usual form, after three it is not above it. In a narrower
type they drown at once."""


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
    """What several steps multiply x by, from its Gram matrix; of one step all but a times the identity."""
    gram, factor, whole, spare = (library.square(x, place) for place in range(4))
    library.product(x, x.swapaxes(-1, -2), out=gram)
    if steps == 1:
        return library.update(gram, gram, gram, b, c, out=factor)
    for left in reversed(range(steps)):
        library.update(gram, gram, gram, b, c, out=factor)
        library.add_to_diagonal(factor, a)
        if left == steps - 1:
            whole[...] = factor
        else:
            library.product(factor, whole, out=spare)
            whole, spare = spare, whole
        if left:
            library.product(factor, gram, out=spare)
            library.product(spare, factor, out=gram)
    return whole
