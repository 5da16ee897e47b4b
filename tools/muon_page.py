"""Write docs/muon.md: what every library's Muon computes, and by what to multiply lr between them. Run by `make docs`.

The lengths of steps are computed: a first step of each recipe on the same gradient; of libraries that are no dialect of
Ravine's they are written here as their sources have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ravine import Recipe, dialects
from ravine.trace import text

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ((256, 1024), (1024, 256), (768, 768))
JORDANS = "3.4445, −4.775, 2.0315, five times"


@dataclass(frozen=True)
class Known:
    """A library's Muon: the formula of its step's length, and what else differs."""

    name: str
    length: str
    momentum: str
    iteration: str
    floor: str
    products: str
    decay: float
    lr: str
    recipe: Recipe | None = None
    factor: Callable[[int, int], float] | None = None
    is_transposed: bool = False

    def scale(self, outputs: int, inputs: int) -> float:
        """How long a step is for lr 1, over the orthogonal direction's length, for a layer of this size."""
        if self.factor is not None:
            return self.factor(outputs, inputs)
        assert self.recipe is not None
        shape = (inputs, outputs) if self.is_transposed else (outputs, inputs)
        g, x = np.random.default_rng(0).normal(size=shape), np.zeros(shape)
        step, _ = self.recipe.replace(lr=1.0).update(g, self.recipe.init(x), x)
        plain = dialects.torch.Muon(lr=1.0, weight_decay=0.0).update(g, self.recipe.init(x), x)[0]
        unscaled = np.linalg.norm(plain) / max(1.0, shape[0] / shape[1]) ** 0.5
        return float(np.linalg.norm(step) / unscaled)


AVERAGE, AHEAD = "average", "average, Nesterov"
MUONS = (
    Known(
        "torch.optim.Muon",
        "√max(1, out/in)",
        AHEAD,
        JORDANS,
        "‖·‖ at least 1e-7",
        "bfloat16",
        0.1,
        "0.001",
        dialects.torch.Muon(lr=1.0),
    ),
    Known(
        'torch.optim.Muon(adjust_lr_fn="match_rms_adamw")',
        "0.2·√max(out, in)",
        AHEAD,
        JORDANS,
        "‖·‖ at least 1e-7",
        "bfloat16",
        0.1,
        "0.001",
        dialects.torch.Muon(lr=1.0, adjust_lr_fn="match_rms_adamw"),
    ),
    Known(
        "keras.optimizers.Muon",
        "0.2·√max(out, in)",
        "sum, Nesterov",
        JORDANS,
        "‖·‖ + 1e-7",
        "the variable's type",
        0.004,
        "0.001",
        dialects.keras.Muon(1.0),
        is_transposed=True,
    ),
    Known(
        "optax.contrib.muon",
        "√max(1, out/in)",
        "average, Nesterov, corrected for its start",
        JORDANS,
        "‖·‖ + 1e-8",
        "the parameter's type",
        0.0,
        "must be given",
        dialects.optax.contrib.muon(1.0),
        is_transposed=True,
    ),
    Known(
        "optax.contrib.muon(consistent_rms=0.2)",
        "0.2·√max(out, in)",
        "average, Nesterov, corrected for its start",
        JORDANS,
        "‖·‖ + 1e-8",
        "the parameter's type",
        0.0,
        "must be given",
        dialects.optax.contrib.muon(1.0, consistent_rms=0.2),
        is_transposed=True,
    ),
    Known(
        "Muon of github.com/KellerJordan/Muon",
        "√max(1, out/in)",
        AHEAD,
        JORDANS,
        "‖·‖ + 1e-7",
        "bfloat16",
        0.0,
        "0.02",
        factor=lambda outputs, inputs: max(1.0, outputs / inputs) ** 0.5,
    ),
    Known(
        "timm.optim.Muon (1.0.31)",
        "0.2·√max(out, in)",
        AVERAGE,
        "five triples, one a step",
        "‖·‖ at least 1e-7",
        "bfloat16",
        0.0,
        "0.02",
        factor=lambda outputs, inputs: 0.2 * max(outputs, inputs) ** 0.5,
    ),
)


def page() -> str:
    """The page."""
    rows = "".join(
        f"| {m.name} | {m.length} | {m.momentum} | {m.iteration} | {m.floor} | {m.products} | {m.decay:g} | {m.lr} |\n"
        for m in MUONS
    )
    formulas = "\n".join(
        f"**{title}** (`{recipe.rule.name}`)\n\n```\n{text.equation(recipe.rule)}\n```\n"
        for title, recipe in (
            ("torch", dialects.torch.Muon(lr=1.0, weight_decay=0.0)),
            ("Keras", dialects.keras.Muon(1.0, weight_decay=0.0)),
            ("optax", dialects.optax.contrib.muon(1.0)),
        )
    )
    return HEAD + rows + LENGTHS + "".join(map(factors, SHAPES)) + corrected() + formulas


def corrected() -> str:
    """What is left to say, with how much optax's correction does."""
    weights = [(1 - 0.95**t) / (1 - 0.95 ** (t + 1)) for t in range(1, 100)]
    near = next(t for t, w in enumerate(weights, 1) if w >= 0.95)
    return CONVERTING.replace("{first}", f"{weights[0]:.0%}").replace("{near}", str(near))


def factors(shape: tuple[int, int]) -> str:
    """A table of the numbers by which lr is multiplied, for one size of layer."""
    outputs, inputs = shape
    scales = [m.scale(outputs, inputs) for m in MUONS]
    numbers = " | ".join(map(str, range(1, len(MUONS) + 1)))
    head = f"\n{outputs} outputs, {inputs} inputs:\n\n| from, to | {numbers} |\n"
    rule = "|---|" + "--:|" * len(MUONS) + "\n"
    rows = "".join(
        f"| {k} {m.name} | {' | '.join(f'{round(here / there, 9):.3g}' for there in scales)} |\n"
        for k, (m, here) in enumerate(zip(MUONS, scales, strict=True), 1)
    )
    return head + rule + rows


HEAD = """# Muon, library by library

<!-- Written by `make docs` from tools/muon_page.py. Do not edit. -->

Every library has a Muon, and the same lr means another step in each. All of them orthogonalize a momentum by
Newton–Schulz and subtract lr times that, times a factor that depends on the matrix's size. They differ in that factor,
in the momentum, in the iteration and its precision, in where ε stands, and in which side of a stored matrix is the
layer's input: torch stores outputs × inputs, Keras and flax inputs × outputs. The columns say it for a layer of `in`
inputs and `out` outputs, whichever way it is stored. Weight decay is decoupled everywhere, lr·λ·x with lr as it is
given, without the factor.

| Muon | a step's length over lr | momentum | a, b, c | ε | products in | λ | lr |
|---|---|---|---|---|---|--:|---|
"""
LENGTHS = """
## lr from one to another

A step of the first is a step of the second if its lr is multiplied by the first's length over the second's. For the
libraries that are dialects of Ravine these numbers are measured: the norm of a first step of the recipe. To keep the
weight decay what it was, divide λ by the same number.
"""
CONVERTING = """
What is left after that:

- **momentum** as a sum (Keras) or as an average (torch) is the same direction, because Newton–Schulz begins by dividing
  by the norm. States differ by 1 − μ.
- **optax corrects m and g for m's start at zero**, m by one step more than g. Beside g its m counts {first} of what it
  does in torch at the first step, and 95% from step {near} on (β = 0.95).
- **ε** matters where the momentum's norm is near it, as in a layer whose gradients vanish.
- **bfloat16** turns a step of torch's by up to 3% of its length. Ravine multiplies in the parameter's compute type.
- **What is no matrix** Keras and optax step by an Adam of their own, in the same optimizer. In Ravine that is a set:
  `ravine.recipes(hidden=ravine.dialects.keras.Muon(0.001), rest=ravine.recipe("adamw"))` ([roles](torch.md)).

`ravine explain torch.Muon keras.Muon` says what differs term by term, and which term matters.

## The equations

"""


if __name__ == "__main__":
    (ROOT / "docs" / "muon.md").write_text(page(), encoding="utf-8")
