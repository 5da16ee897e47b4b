"""Any optimizers on any surface: their paths, loss and step size. The scenario for questions of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.recipe import Recipe
from ravine.simulate import figures
from ravine.simulate.functions import find
from ravine.simulate.noise import Noise
from ravine.simulate.outcome import Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.surface import Surface
from ravine.spelling import read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = ("momentum[lr=0.001]", "rmsprop[lr=0.01]", "rmsprop_momentum[lr=0.003]", "adam[lr=0.2]")


def paths(
    *,
    optimizers: Sequence[str | Recipe] = USUAL,
    surface: str | Surface = "rosenbrock",
    start: Sequence[float] | None = None,
    steps: int = 300,
    noise: str | Noise | None = None,
    seed: int = 0,
) -> Outcome:
    """Paths of any optimizers on any surface, with loss and step size against step.

    Optimizers are recipes, or texts such as "adam[lr=0.1,beta1=0.8]", "slow=adam[lr=0.01]" or "mine.py:my_rule"; a
    surface is a name, a `Surface`, or FILE.py:FUNCTION; noise a `Noise`, or a text such as "gaussian:0.5" or
    "minibatch:0.5". All optimizers see the same noise. Raises ValueError for what can't be read, and for two
    optimizers of one name.
    """
    ground = find(surface) if isinstance(surface, str) else surface
    heard = parse_noise(noise, seed) if isinstance(noise, str) else noise
    chosen = labelled(optimizers)
    runs = {label: run(c, ground, start=start, steps=steps, noise=heard) for label, c in chosen.items()}
    return Outcome(
        name="paths",
        title=f"{ground.title}, {steps} steps" + (f", {heard.kind.replace('_', '-')} noise" if heard else ""),
        story=ground.summary.partition("\n")[0],
        settings={
            "optimizers": list(runs),
            "surface": ground.name,
            "parameters": dict(ground.parameters),
            "gradient by": ground.gradient_by,
            "start": list(ground.start if start is None else start),
            "steps": steps,
            "noise": None if heard is None else f"{heard.kind}, scale {heard.scale:g}, seed {heard.seed}",
        },
        tables=[_table(runs, ground)],
        claims=[],
        draw=lambda figure: _draw(figure, runs, ground),
        last=steps,
        runs=runs,
    )


def labelled(optimizers: Sequence[str | Recipe]) -> dict[str, Recipe]:
    """Recipes by what they are called in tables and pictures: the name that a text gives, or the recipe in short."""
    found: dict[str, Recipe] = {}
    for one in optimizers:
        label, chosen = (_label(one), one) if isinstance(one, Recipe) else _read(one)
        if found.setdefault(label, chosen) != chosen:
            raise ValueError(f"two optimizers are called {label!r}: name one of them, as in other=adam[lr=0.1]")
    if not found:
        raise ValueError("paths needs at least one optimizer")
    return found


def _read(text: str) -> tuple[str, Recipe]:
    written = read(text)
    chosen = written.recipe()
    return written.name or _label(chosen), chosen


def parse_noise(text: str, seed: int) -> Noise:
    """Noise from KIND or KIND:SCALE."""
    kind, _, scale = text.partition(":")
    return Noise(kind, _number(scale, f"the scale in {text!r}") if scale else 0.1, seed)


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{what} must be a number, got {text!r}") from None


def _label(chosen: Recipe) -> str:
    """The rule's name with those hyperparameters that are not at their defaults, and lr always."""
    declared = chosen.rule.hyperparameters
    parts = [f"{n} {v:g}" for n, v in chosen.hyper.items() if n == "lr" or v != declared[n].default]
    return ", ".join([chosen.rule.name, *parts])


def _lengths(r: Run) -> Any:
    """How long each step is; infinite where a diverging run's is beyond measure."""
    with np.errstate(over="ignore"):
        return np.sqrt(np.sum(r.step**2, axis=-1))


def _table(runs: dict[str, Run], ground: Surface) -> Table:
    names = ("x", "y")[: ground.dimension]
    rows = []
    for label, r in runs.items():
        best = np.fmin.accumulate(r.value)
        rows.append(
            (
                label,
                float(r.value[-1]),
                float(best[-1]),
                int(np.argmax(r.value == best[-1])),
                *map(float, r.x[-1]),
                float(np.sum(_lengths(r))),
            )
        )
    columns = ("optimizer", "final loss", "least loss", "at step", *(f"final {n}" for n in names), "length of the path")
    none = "no least value is known" if ground.examples else "no least value"
    note = none if ground.minimum is None else f"The surface's least value is {ground.minimum:.6g}"
    note = f"{note}; its gradient is {ground.gradient_by}."
    if any(r.evaluated for r in runs.values()):
        columns += ("evaluated loss",)
        ends = [None if r.evaluated is None else float(r.evaluated[1][-1]) for r in runs.values()]
        rows = [(*row, end) for row, end in zip(rows, ends, strict=True)]
        note += " An average of its points is what some rules evaluate; loss and path are of the points that train."
    return Table("runs", columns, rows, note)


def _draw(figure: Figure, runs: dict[str, Run], ground: Surface) -> figures.Moving:
    axes = figure.subplot_mosaic([["map", "loss"], ["map", "size"]], width_ratios=(1.5, 1))
    updates = []
    seen: dict[str, int] = {}
    low = ground.minimum
    shown = figures.view(ground, [r.x for r in runs.values()])
    if ground.dimension == 2:
        figures.terrain(axes["map"], ground, shown)
    else:
        figures.profile(axes["map"], ground, shown[0])
    for label, r in runs.items():
        look = figures.style(r.rule.name, seen.get(r.rule.name, 0))
        seen[r.rule.name] = seen.get(r.rule.name, 0) + 1
        if ground.dimension == 2:
            if r.evaluated is not None:
                updates.append(figures.trail(axes["map"], r.evaluated[0], look, evaluated=True))
            updates.append(figures.trail(axes["map"], r.x, look, label))
        else:
            updates.append(figures.balls(axes["map"], r.x, ground, look))
        height = r.value if low is None else np.maximum(r.value - low, 1e-300)
        updates.append(figures.curve(axes["loss"], height, look, label if ground.dimension == 1 else ""))
        updates.append(figures.curve(axes["size"], _lengths(r), look, xs=np.arange(1, r.steps + 1)))
    axes["loss"].set(title="loss against step" if low is None else "loss − least loss, against step", xlabel="step")
    axes["size"].set(title="step size against step", yscale="log", xlabel="step")
    if low is not None:
        heights = np.concatenate([r.value.ravel() - low for r in runs.values()])
        drawn = heights[np.isfinite(heights) & (heights > 0)]
        axes["loss"].set_yscale("log")
        if drawn.size:
            top = min(np.max(drawn), 1e6 * max(1.0, heights[0]))
            axes["loss"].set_ylim(max(np.min(drawn) / 2, top * 1e-12), 2 * top)
    figure.legend(loc="outside lower center", ncols=min(4, len(runs)) if len(runs) != 4 else 2)
    return figures.together(updates)
