"""Infrequent gradients: what each optimizer makes of a coordinate whose gradient comes only now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.registry import rule
from ravine.simulate import figures
from ravine.simulate.functions import from_function
from ravine.simulate.noise import INFREQUENT, Noise
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.surfaces import surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = ("gd", "momentum", "adagrad", "rmsprop", "rmsprop_momentum", "adam")
RATES = {"gd": 0.05, "momentum": 0.005, "adagrad": 0.3, "rmsprop": 0.02, "rmsprop_momentum": 0.002, "adam": 0.02}
"""Rates at which the frequent coordinate of the bowl takes from about 60 to about 200 steps."""
START, NEAR = (3.0, 3.0), 0.1
SETTLED = 400
"""Steps on the slope before the movement is measured, so that the averages have forgotten that they began at zero."""


def infrequent(*, every: int = 10, steps: int = 1500) -> Outcome:
    """A coordinate whose gradient comes only at every so many steps, beside one whose gradient always comes.

    On an even slope, how far one gradient of the infrequent coordinate moves it, over how far one of the other does; on
    a round bowl, after how many steps each is near the minimum. Raises ValueError for `every` below 2, or fewer than
    100 steps.
    """
    if every < 2:
        raise ValueError(f"every must be at least 2, or nothing is infrequent, got {every!r}")
    if steps < 100:
        raise ValueError(f"steps must be at least 100, got {steps!r}")
    noise = Noise(INFREQUENT, every)
    slope = from_function(lambda x, y: x + y, view=[(-1, 1), (-1, 1)])
    long = SETTLED + 100 * every
    moved = {n: _moved(run(n, slope, start=(0.0, 0.0), steps=long, noise=noise, lr=0.01), every) for n in RULES}
    bowl = surface("oblong_bowl", condition=1.0)
    runs = {n: run(n, bowl, start=START, steps=steps, noise=noise, lr=RATES[n]) for n in RULES}
    arrivals = {n: [_arrival(r.x[:, k]) for k in (0, 1)] for n, r in runs.items()}
    rows = [(n, moved[n], RATES[n], *arrivals[n], _ratio(*arrivals[n])) for n in RULES]
    columns = (
        "rule",
        "moved by one gradient, infrequent / frequent",
        "lr",
        "steps, frequent",
        "steps, infrequent",
        "ratio",
    )
    return Outcome(
        name="infrequent",
        title=f"Infrequent gradients: one coordinate hears only every {every} steps",
        story="Rules that divide by an average of squares move a coordinate further for each gradient, the fewer it "
        "has: between two of them the average forgets. Gradient descent and momentum treat every gradient alike.",
        settings={"every": every, "steps": steps},
        tables=[Table("frequent and infrequent", columns, rows, f"Near: |x| below {NEAR:g}, from {START[0]:g}.")],
        claims=_claims(moved, arrivals, every),
        draw=lambda figure: _draw(figure, runs),
        last=min(steps, 600),
        runs=runs,
    )


def _moved(r: Run, every: int) -> float:
    """How far y moves for each of its gradients over how far x does, when both have settled."""
    over = (r.steps - SETTLED) // every * every
    x, y = (abs(float(r.x[-1, k] - r.x[-1 - over, k])) for k in (0, 1))
    return y * every / x


def _arrival(x: Any) -> int | None:
    near = np.flatnonzero(np.abs(x) < NEAR)
    return int(near[0]) if len(near) else None


def _ratio(frequent: int | None, rare: int | None) -> float | None:
    return rare / frequent if frequent and rare else None


def remembered(rho: float, every: int) -> float:
    """The root of RMSprop's average of squares when a gradient of one comes at every so many steps."""
    return float(np.sqrt((1 - rho) / (1 - rho**every)))


def _claims(moved: dict[str, float], arrivals: dict[str, list[int | None]], every: int) -> list[Claim]:
    plain = max(abs(moved[n] - 1) for n in ("gd", "momentum"))
    rescaled = {n: moved[n] for n in ("adagrad", "rmsprop", "rmsprop_momentum", "adam")}
    rho = rule("rmsprop").hyperparameters["rho"].default
    wanted = 1 / remembered(rho, every)
    late = {n: _ratio(*arrivals[n]) for n in ("gd", "rmsprop", "adam")}
    told = ", ".join(f"{n} {'never' if v is None else f'{v:.3g}'}" for n, v in late.items())
    slower = late["gd"]
    return [
        Claim(
            "gd and momentum move a coordinate alike for each gradient, however seldom it comes",
            plain < 1e-9,
            f"the ratio is off one by at most {plain:.1e}",
        ),
        Claim(
            "rules that rescale move an infrequent coordinate further for each gradient",
            min(rescaled.values()) > 1,
            ", ".join(f"{n} {v:.3g} times" for n, v in rescaled.items()),
        ),
        Claim(
            "for RMSprop that is √((1−ρ^n)/(1−ρ)) times, with a gradient every n steps",
            abs(moved["rmsprop"] / wanted - 1) < 1e-3,
            f"{moved['rmsprop']:.5g} against {wanted:.5g}",
        ),
        Claim(
            "for Adam, whose average of squares remembers longer, about √n times",
            abs(moved["adam"] / np.sqrt(every) - 1) < 0.1,
            f"{moved['adam']:.4g} against {np.sqrt(every):.4g}",
        ),
        Claim(
            "so they are late on the infrequent coordinate by less than gd",
            slower is None or all(v is not None and v < slower for n, v in late.items() if n != "gd"),
            f"steps on it over steps on the frequent one: {told}",
        ),
    ]


def _draw(figure: Figure, runs: dict[str, Run]) -> figures.Moving:
    path, far = figure.subplots(1, 2, width_ratios=(1, 1.2))
    figures.terrain(path, runs["gd"].surface, view=((-1.0, 3.5), (-1.0, 3.5)))
    path.set(title="paths: y hears seldom", xlabel="x, frequent", ylabel="y, infrequent", aspect="equal")
    far.set(title="distance left in y, against step", xlabel="step", ylabel="|y|", yscale="log", ylim=(1e-2, 4))
    updates = []
    for name, r in runs.items():
        look = figures.style(name)
        updates.append(figures.trail(path, r.x, look, rule(name).title))
        updates.append(figures.curve(far, np.abs(r.x[:600, 1]), look))
    figure.legend(*path.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figures.together(updates)
