"""Changing direction: after a long descent the slope reverses and is ten times weaker."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.scenarios import turn_picture

SETTINGS: tuple[tuple[str, float], ...] = (
    ("gd", 0.00008),
    ("momentum", 0.00008),
    ("nesterov", 0.008),
    ("rmsprop", 0.02),
    ("rmsprop_momentum", 0.001),
    ("rmsprop_nesterov", 0.008),
    ("adadelta", 1.0),
    ("adam", 0.01),
)
"""The rules and learning rates that are reported one by one; Adadelta has its default."""
SWEEP = tuple(np.geomspace(0.001, 0.1, 41))
MEMORIES, RATES = ((0.999, 0.9), (0.9, 0.9), (0.999, 0.999)), (0.001, 0.003, 0.01, 0.03, 0.1)
"""Where else the statements are tried: pairs of β₂ and ρ, and learning rates."""
MOST_STEPS = 30_000


class Turn(NamedTuple):
    """One crossing of the valley floor: when x first went below 0, how far, and how long it took to turn and return."""

    crossed: int
    overshoot: float
    turning: int
    returning: int | None


def turn(*, lr: float = 0.01, mu: float = 0.9, beta2: float = 0.999, rho: float = 0.9, start: float = 2.0) -> Outcome:
    """A long descent, then the slope reverses and is ten times weaker: overshoot, steps to turn, steps to return.

    The kinked valley from x = `start`. Compared at `lr`: RMSprop with momentum (`mu`, `rho`) and Adam (β₁ = `mu`,
    `beta2`), and Adam with lr/(1−μ); then eight rules at learning rates of their own.
    """
    ratio = 1 / (1 - mu)
    ours, adam = {"mu": mu, "rho": rho}, _adam(mu, beta2)
    runs = compared(lr=lr, start=start, ratio=ratio, ours=ours, adam=adam)
    turns = {name: measure(r) for name, r in runs.items()}
    listed = [(name, rate, measure(_run(name, start, lr=rate))) for name, rate in SETTINGS]
    labels = {
        "rmsprop_momentum": f"RMSprop with momentum, lr {lr:g}",
        "adam": f"Adam, lr {lr:g}",
        "adam fast": f"Adam, lr {lr * ratio:.3g}",
    }
    return Outcome(
        name="turn",
        title="Changing direction: the slope reverses and is ten times weaker",
        story="Adam divides by an average of squares that remembers the steep descent for about 1/(1−β₂) steps, so the "
        "weak slope back hardly moves it; RMSprop's shorter average (ρ = 0.9) forgets in ten steps.",
        settings={"lr": lr, "mu": mu, "beta2": beta2, "rho": rho, "start": start},
        tables=[
            Table(
                "at learning rates of their own",
                ("rule", "lr", *_COLUMNS),
                [(name, rate, *_cells(t)) for name, rate, t in listed],
                "Other hyperparameters at their defaults.",
            ),
            Table("compared", ("run", *_COLUMNS), [(labels[n], *_cells(t)) for n, t in turns.items()]),
            *_memory(lr, mu, start),
            _elsewhere(mu, start, ratio),
        ],
        claims=[*claims(turns, lr, ratio), *_sweep(start, ratio, ours, adam)],
        draw=lambda figure: turn_picture.draw(figure, runs, turns, labels, listed),
        last=160,
        size=(11.0, 6.8),
        runs=runs,
    )


def compared(*, lr: float, start: float, ratio: float, ours: Any, adam: Any) -> dict[str, Run]:
    """RMSprop with momentum and Adam at one lr, and Adam at `ratio` times that."""
    return {
        "rmsprop_momentum": _run("rmsprop_momentum", start, lr=lr, **ours),
        "adam": _run("adam", start, lr=lr, **adam),
        "adam fast": _run("adam", start, lr=lr * ratio, **adam),
    }


def measure(r: Run) -> Turn:
    """The crossing of a run on the kinked valley. Raises ValueError if it never came below 0."""
    x = r.x[:, 0]
    if not np.any(x < 0):
        raise ValueError(f"{r.rule.name} did not reach the valley's floor in {r.steps} steps (x = {x[-1]:g})")
    crossed = int(np.argmax(x < 0))
    back = np.nonzero(x[crossed:] >= 0)[0]
    end = crossed + int(back[0]) if back.size else len(x)
    lowest = crossed + int(np.argmin(x[crossed:end]))
    return Turn(crossed, float(-x[lowest]), lowest - crossed, end - lowest if back.size else None)


_COLUMNS = ("steps down", "overshoot", "steps to turn", "steps to return")


def _cells(t: Turn) -> tuple[int, float, int, int | None]:
    return t.crossed, t.overshoot, t.turning, t.returning


def _run(name: str, start: float, **hyper: Any) -> Run:
    """A run that goes on for 160 steps after it came back over the floor."""
    below, since = False, 0

    def until(x: Any) -> bool:
        nonlocal below, since
        below = below or bool(x[0] < 0)
        since += below
        return below and since > 160 and bool(x[0] >= 0)

    return run(name, "kinked_valley", start=[start], steps=MOST_STEPS, until=until, **hyper)


def _memory(lr: float, mu: float, start: float) -> list[Table]:
    """The same comparison with averages of squares of other lengths."""
    rows = []
    for decay in (0.9, 0.99, 0.999):
        for name, hyper in (("rmsprop_momentum", {"mu": mu, "rho": decay}), ("adam", {"beta1": mu, "beta2": decay})):
            rows.append((name, decay, *_cells(measure(_run(name, start, lr=lr, **hyper)))))
    note = "Both averages of squares of one length (ρ and β₂), at the compared lr."
    return [Table("with equal memory", ("rule", "ρ or β₂", *_COLUMNS), rows, note)]


def _elsewhere(mu: float, start: float, ratio: float) -> Table:
    """Where the four statements hold: at other learning rates, and with other memories."""
    rows = []
    for beta2, rho in MEMORIES:
        for lr in RATES:
            runs = compared(lr=lr, start=start, ratio=ratio, ours={"mu": mu, "rho": rho}, adam=_adam(mu, beta2))
            held = claims({n: measure(r) for n, r in runs.items()}, lr, ratio)
            rows.append((beta2, rho, lr, *(c.holds for c in held)))
    columns = ("β₂", "ρ", "lr", "slower to turn", "much slower back", "less far at equal lr", "further at lr/(1−μ)")
    return Table("where the statements about Adam hold", columns, rows, "Compared with RMSprop with momentum.")


def _adam(mu: float, beta2: float) -> dict[str, float]:
    return {"beta1": mu, "beta2": beta2}


def claims(turns: dict[str, Turn], lr: float, ratio: float) -> list[Claim]:
    """The four stated orderings, held against three turns as `compared` gives their runs."""
    ours, adam, fast = turns["rmsprop_momentum"], turns["adam"], turns["adam fast"]
    return [
        Claim(
            "Adam is slower to turn",
            adam.turning > ours.turning,
            f"{adam.turning} steps from the floor to the turn, RMSprop with momentum {ours.turning}",
        ),
        Claim(
            "Adam is much slower to come back",
            (adam.returning or MOST_STEPS) > 2 * (ours.returning or MOST_STEPS),
            f"{adam.returning} steps from the turn to the floor, RMSprop with momentum {ours.returning}",
        ),
        Claim(
            "at equal lr, RMSprop with momentum reaches further",
            ours.overshoot > adam.overshoot,
            f"{ours.overshoot:.4g} against {adam.overshoot:.4g} at lr {lr:g}",
        ),
        Claim(
            "with lr/(1−μ), Adam reaches further",
            fast.overshoot > ours.overshoot,
            f"{fast.overshoot:.4g} at lr {lr * ratio:.4g} against {ours.overshoot:.4g} at lr {lr:g}",
        ),
    ]


def _sweep(start: float, ratio: float, ours: dict[str, Any], adam: dict[str, Any]) -> list[Claim]:
    """The two claims on reach at 41 learning rates from 0.001 to 0.1."""
    lr = np.array(SWEEP)
    steps = int(2 * start / lr[0]) + 200

    def reach(name: str, rate: Any, hyper: dict[str, Any]) -> Any:
        r = run(name, "kinked_valley", start=[start], steps=steps, lr=rate, **hyper)
        x = r.x[..., 0]
        back = (np.cumsum(x < 0, axis=0) > 0) & (x >= 0)  # only the first crossing counts
        return -np.min(np.where(np.cumsum(back, axis=0) > 0, 0.0, x), axis=0)

    mine = reach("rmsprop_momentum", lr, ours)
    result = []
    for text, holds in (
        (
            "at equal lr, RMSprop with momentum reaches further, for every lr from 0.001 to 0.1",
            mine > reach("adam", lr, adam),
        ),
        ("with lr/(1−μ), Adam reaches further, for every lr from 0.001 to 0.1", reach("adam", lr * ratio, adam) > mine),
    ):
        failing = ", ".join(f"{rate:.2g}" for rate in lr[~holds])
        result.append(
            Claim(
                text,
                bool(np.all(holds)),
                f"at {np.sum(holds)} of {len(lr)}" + (f"; not at {failing}" if failing else ""),
            )
        )
    return result
