"""eˣ from + − × ÷ and powers of two alone, so that Python and JavaScript get the same bits from the same lines.

The `exp`s of C libraries and browsers differ in the last bit, and a sum over data would keep the difference. This one's
error is below two units in the last place. Beyond ±700 it stays what it is there, so that nothing overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ravine.powers import LN2_HIGH, LN2_LOW

REACH = 700.0
LAST = 13
"""The last power of the series: its term is below a unit in the last place for |r| ≤ ½ log 2."""


def _series() -> str:
    """(eʳ − 1 − r) / r² by Horner's rule, as text."""
    text = repr(1 / math.factorial(LAST))
    for n in range(LAST - 1, 1, -1):
        text = f"({text}) * r + {1 / math.factorial(n)!r}"
    return text


LINES = (
    ("k", f"floor(clamp(x) * {1 / math.log(2)!r} + 0.5)"),
    ("r", f"clamp(x) - k * {LN2_HIGH!r} - k * {LN2_LOW!r}"),
    ("result", f"scale(1.0 + (r + r * r * ({_series()})), k)"),
)
"""Names and what they are, as text that both languages read: eˣ = eʳ · 2ᵏ. `scale(v, k)` is v · 2ᵏ."""

JAVASCRIPT = "\n".join(
    [
        "const exponential = (x) => {",
        "  const floor = Math.floor;",
        f"  const clamp = (v) => (v < -{REACH} ? -{REACH} : v > {REACH} ? {REACH} : v);",
        "  const scale = (v, k) => (k < 0 ? v / op.power(2, -k) : v * op.power(2, k));",
        *(f"  const {name} = {text};" for name, text in LINES),
        "  return result;",
        "};",
    ]
)
"""The same for a page, where `op` is the JavaScript engine's."""


def _compiled() -> Callable[[Any], Any]:
    def scale(v: Any, k: Any) -> Any:
        return np.ldexp(v, np.where(np.isnan(k), 0, k).astype(int))

    namespace: dict[str, Any] = {"floor": np.floor, "clamp": lambda v: np.clip(v, -REACH, REACH), "scale": scale}
    body = "\n    ".join(["def exponential(x):", *(f"{name} = {text}" for name, text in LINES), "return result"])
    exec(compile(body, "<exponential>", "exec"), namespace)
    function: Callable[[Any], Any] = namespace["exponential"]
    return function


exponential = _compiled()
"""eˣ of an array of float64, or of a number; NaN of NaN."""
