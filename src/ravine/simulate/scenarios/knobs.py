"""What each knob does: ε, the memory β (RMSprop's ρ) and momentum μ, four values of each on the oblong bowl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ravine.simulate import figures
from ravine.simulate.noise import Noise
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.scenarios.bowl import NEAR, settling
from ravine.simulate.surfaces import surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Knob(NamedTuple):
    """One row of the small multiples: a hyperparameter of a rule, its values, and what else is set."""

    symbol: str
    rule: str
    name: str
    values: tuple[float, ...]
    others: dict[str, float]
    noise: float


KNOBS = (
    Knob("ε", "rmsprop", "eps", (1e-7, 1.0, 100.0, 1e4), {"lr": 0.1}, 0.0),
    Knob("β", "rmsprop", "rho", (0.0, 0.5, 0.9, 0.99), {"lr": 0.1}, 3.0),
    Knob("μ", "rmsprop_momentum", "mu", (0.0, 0.5, 0.9, 0.97), {"lr": 0.02}, 0.0),
)


def knobs(*, condition: float = 20.0, seed: int = 0, steps: int = 200) -> Outcome:
    """What ε, β and μ do, as small multiples on the oblong bowl: RMSprop's ε and memory ρ (with noise), momentum's μ.

    `seed` is that of the noise in the row of β. Raises ValueError for fewer than 40 steps.
    """
    if steps < 40:
        raise ValueError(f"steps must be at least 40, got {steps!r}")
    ground = surface("oblong_bowl", condition=condition)
    runs = {}
    for knob in KNOBS:
        noise = Noise("gaussian", knob.noise, seed) if knob.noise else None
        hyper: dict[str, Any] = {knob.name: np.array(knob.values), **knob.others}
        runs[knob.symbol] = run(knob.rule, ground, steps=steps, noise=noise, **hyper)
    return Outcome(
        name="knobs",
        title="What ε, β and μ do",
        story="A large ε turns RMSprop back into gradient descent. A short memory β sees only the gradient's sign, a "
        "long one is late to notice that it changed. A large μ goes fast, and far past.",
        settings={"condition": condition, "seed": seed, "steps": steps},
        tables=[_table(knob, runs[knob.symbol]) for knob in KNOBS],
        claims=_claims(runs, steps),
        draw=lambda figure: _draw(figure, runs),
        last=min(steps, 120),
        size=(11.0, 7.4),
        runs=runs,
    )


def _table(knob: Knob, r: Run) -> Table:
    ratio = np.abs(r.step[0])
    rows = [
        (
            value,
            float(ratio[i, 1] / ratio[i, 0]),
            int(np.sum(r.x[1:, i, 1] * r.x[:-1, i, 1] < 0)),
            float(-np.min(-r.x[:, i, 0])),
            float(settling(r)[i]),
            float(np.sqrt(np.mean(np.sum(r.step[-20:, i] ** 2, axis=-1)))),
            float(np.median(r.value[-20:, i])),
        )
        for i, value in enumerate(knob.values)
    ]
    others = ", ".join(f"{n} {v:g}" for n, v in knob.others.items())
    noise = f", Gaussian noise of scale {knob.noise:g}" if knob.noise else ""
    columns = (
        knob.symbol,
        "|Δy|/|Δx| at step 1",
        "crossings of the floor",
        "furthest x",
        f"steps to stay within {NEAR:g}",
        "step length at the end",
        "loss at the end",
    )
    return Table(f"{knob.symbol}: {knob.rule}, {others}{noise}", columns, rows, "The end: the last 20 steps.")


def _claims(runs: dict[str, Run], steps: int) -> list[Claim]:
    eps, memory, mu = (runs[knob.symbol] for knob in KNOBS)
    first = np.abs(eps.step[0])
    ratio = first[:, 1] / first[:, 0]
    gradient = abs(eps.gradient[0, 0, 1] / eps.gradient[0, 0, 0])
    largest = KNOBS[0].values[-1]
    gd = run("gd", eps.surface, steps=steps, lr=KNOBS[0].others["lr"] / np.sqrt(largest))
    off = float(np.max(np.abs(gd.x - eps.x[:, -1])))
    sign, lr = memory.step[:, 0], KNOBS[1].others["lr"]
    late = np.sqrt(np.mean(memory.step[-20:] ** 2, axis=(0, 2)))
    reach = np.max(mu.x[..., 0], axis=0)
    return [
        Claim(
            "a small ε makes the axes equal, a large one leaves them as gd does",
            bool(abs(ratio[0] - 1) < 1e-3 and abs(ratio[-1] / gradient - 1) < 0.1),
            f"|Δy|/|Δx| at step 1 is {ratio[0]:.4g} at ε = {KNOBS[0].values[0]:g} and {ratio[-1]:.4g} at "
            f"ε = {largest:g}; the gradient's is {gradient:.4g}",
        ),
        Claim(
            "with a large ε RMSprop is gd with lr/√ε",
            off < 0.1,
            f"the paths are never further apart than {off:.2g}",
        ),
        Claim(
            "with β = 0 every step is lr long in each coordinate",
            bool(np.allclose(np.abs(sign), lr, rtol=0.01)),
            f"the shortest is {np.min(np.abs(sign)):.4g}, the longest {np.max(np.abs(sign)):.4g}, lr {lr:g}",
        ),
        Claim(
            "under steady noise RMSprop's steps stay about lr long, whatever β is: only a smaller lr lets it settle",
            bool(np.all((late > lr / 2) & (late < 2 * lr))),
            f"root mean square of the last 20: {', '.join(f'{v:.3g}' for v in late)} for β = "
            f"{', '.join(map(str, KNOBS[1].values))}",
        ),
        Claim(
            "the larger μ, the further past the minimum",
            bool(np.all(np.diff(reach) >= 0)),
            f"furthest x: {', '.join(f'{v:.3g}' for v in reach)} for μ = {', '.join(map(str, KNOBS[2].values))}",
        ),
    ]


def _draw(figure: Figure, runs: dict[str, Run]) -> figures.Moving:
    axes: Any = figure.subplots(len(KNOBS), 4, sharex=True, sharey=True)
    updates = []
    for row, knob in zip(axes, KNOBS, strict=True):
        r = runs[knob.symbol]
        look = {**figures.style(knob.rule), "linestyle": "-"}
        for i, (panel, value) in enumerate(zip(row, knob.values, strict=True)):
            figures.terrain(panel, r.surface, levels=12)
            panel.set(title=f"{knob.symbol} = {value:g}".replace("e-0", "e−"), xticks=(-4, 0, 4), yticks=(-2, 0, 2))
            updates.append(figures.trail(panel, r.x[:, i], look, dots=True))
        rule = {"rmsprop": "RMSprop", "rmsprop_momentum": "RMSprop + momentum"}[knob.rule]
        row[0].set_ylabel(rule + (", noise" if knob.noise else ""))
    return figures.together(updates)
