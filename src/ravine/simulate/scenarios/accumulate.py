"""Accumulating momentum: the speed that each optimizer builds up on a constant slope, starting from rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.registry import rule
from ravine.simulate import figures
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.surfaces import surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = ("gd", "momentum", "nesterov", "rmsprop", "rmsprop_momentum", "rmsprop_nesterov", "adam", "nadam")
SHOWN = ("momentum", "rmsprop", "rmsprop_momentum", "adam")
NEAR, MOST_STEPS = 0.05, 100_000
"""How near a speed must come to its limit, and how many steps are tried to see whether it does."""
STEPS_SHOWN = (1, 2, 5, 10, 20, 50, 100)


def accumulate(*, lr: float = 0.01, mu: float = 0.9, slope: float = 1.0, steps: int = 100) -> Outcome:
    """Speed on a constant slope, from rest: Adam moves at lr from the first step, momentum builds up to lr/(1−μ).

    `mu` is momentum's μ and Adam's β₁; `slope` the slope's steepness. The table gives each step's length over lr, and
    its limit. Raises ValueError for fewer than 20 steps.
    """
    if steps < 20:
        raise ValueError(f"steps must be at least 20, got {steps!r}")
    ground = surface("constant_slope", slope=slope)
    runs = {name: run(name, ground, steps=steps, lr=lr, **_decay(name, mu)) for name in RULES}
    speeds = {name: np.abs(r.step[:, 0]) / lr for name, r in runs.items()}
    shown = [t for t in STEPS_SHOWN if t <= steps]
    table = Table(
        "length of each step, over lr",
        ("rule", *(f"step {t}" for t in shown), "largest", "at step", "limit"),
        [(n, *_row(s, shown), limit(n, mu, slope)) for n, s in speeds.items()],
        "Limits: |slope| for gd and |slope|/(1−μ) with momentum; on rescaled gradients 1, and 1/(1−μ) with momentum.",
    )
    return Outcome(
        name="accumulate",
        title="Accumulating momentum: speed on a constant slope, from rest",
        story="Adam's corrected averages make every step lr long, from the first one on: its momentum averages, it "
        "never adds up. RMSprop with momentum adds up rescaled gradients and goes 1/(1−μ) times as fast.",
        settings={"lr": lr, "mu": mu, "slope": slope, "steps": steps},
        tables=[table],
        claims=_claims(speeds, runs["rmsprop_momentum"], mu),
        draw=lambda figure: _draw(figure, runs, lr, mu, slope),
        last=steps,
        runs=runs,
    )


def _row(speed: Any, shown: list[int]) -> tuple[float, ...]:
    """The speeds at some steps, the largest one, and when it is reached to within rounding."""
    largest = float(np.max(speed))
    return *(float(speed[t - 1]) for t in shown), largest, int(np.argmax(speed > largest * (1 - 1e-6))) + 1


def limit(name: str, mu: float, slope: float) -> float:
    """The length of a step over lr after long."""
    rescaled = not name.startswith(("gd", "momentum", "nesterov"))
    adds_up = "mu" in rule(name).hyperparameters
    return (1.0 if rescaled else abs(slope)) / ((1 - mu) if adds_up else 1.0)


def _decay(name: str, mu: float) -> dict[str, Any]:
    names = rule(name).hyperparameters
    return {"mu": mu} if "mu" in names else {"beta1": mu} if "beta1" in names else {}


def arrival(r: Run, mu: float) -> int | None:
    """The step from which RMSprop with momentum keeps within NEAR of its limit; None where MOST_STEPS are too few."""
    enough = min(MOST_STEPS, 200 + math.ceil(math.log(NEAR / 10) / math.log(mu))) if mu > 0 else 200
    longer = run(r.rule, r.surface, steps=enough, **r.hyper)
    off = np.flatnonzero(np.abs(np.abs(longer.step[:, 0]) / r.hyper["lr"] * (1 - mu) - 1) >= NEAR)
    at = int(off[-1]) + 2 if len(off) else 1
    return at if at <= enough else None


def _reaches(r: Run, mu: float) -> tuple[bool | None, str]:
    """Whether the last step is near the limit; if not, how many steps it takes to get there."""
    top, last = 1 / (1 - mu), float(np.abs(r.step[-1, 0]) / r.hyper["lr"])
    told = f"the last step is {last:.4g}·lr, the limit {top:.4g}·lr"
    if abs(last / top - 1) < NEAR:
        return True, told
    needed = arrival(r, mu)
    if needed is None:
        return None, f"{told}: {r.steps} steps are too few to tell, and so are {MOST_STEPS}"
    if needed <= r.steps:
        return False, told
    return None, f"{told}: {r.steps} steps are too few, it takes {needed} to come within {NEAR:.0%} and stay there"


def _claims(speeds: dict[str, Any], r: Run, mu: float) -> list[Claim]:
    adam, ours = speeds["adam"], speeds["rmsprop_momentum"]
    top = 1 / (1 - mu)
    worst = float(np.max(np.abs(adam - 1)))
    later = float(np.max(ours))
    arrives, told = _reaches(r, mu)
    return [
        Claim(
            "Adam moves at speed lr from the first step",
            worst < 1e-6,
            f"no step is off lr by more than {worst:.1e} of it",
        ),
        Claim(
            "RMSprop with momentum accelerates toward lr/(1−μ)",
            arrives,
            told,
        ),
        Claim(
            "it comes to that limit from below",
            False if later > top * (1 + 1e-9) else arrives,
            f"its largest step is {later:.4g}·lr, at step {int(np.argmax(ours)) + 1}: the average of squares starts at "
            f"zero, so the first rescaled gradients are up to 1/√(1−ρ) instead of 1 and momentum remembers them",
        ),
    ]


def _draw(figure: Figure, runs: dict[str, Run], lr: float, mu: float, slope: float) -> figures.Moving:
    axes = figure.subplot_mosaic([["hill", "speed"], ["path", "speed"]], width_ratios=(1, 1.25))
    hill, path, speed = axes["hill"], axes["path"], axes["speed"]
    low = min(float(np.min(runs[n].x)) for n in SHOWN)
    high = max(float(np.max(runs[n].x)) for n in SHOWN)
    ground = runs["adam"].surface
    room = 0.05 * (high - low)
    figures.profile(hill, ground, (low - room, high + room))
    hill.set_title("downhill")
    updates = []
    for name in SHOWN:
        look, r = figures.style(name), runs[name]
        updates += [
            figures.balls(hill, r.x, ground, look),
            figures.curve(path, r.x[:, 0], look, rule(name).title),
            figures.curve(speed, np.concatenate([[0], np.abs(r.step[:, 0]) / lr]), look),
        ]
    path.set(title="x against step", xlabel="step", ylabel="x")
    speed.set(title="step size over lr, against step", xlabel="step", ylabel="length of the step / lr")
    speed.set_ylim(0, None)
    steps = runs["adam"].steps
    for value, text in ((1 / (1 - mu), "1/(1−μ)"), (1.0, "1")):
        speed.axhline(value, color=figures.FAINT, linewidth=1, linestyle=(0, (1, 2)))
        speed.annotate(text, (steps, value), xytext=(0, 4), textcoords="offset points", ha="right", color=figures.INK)
    figure.legend(loc="outside lower center", ncols=4)
    return figures.together(updates)
