"""The oblong bowl: the learning rate's bound, and what momentum, RMSprop and Adam do about a long, narrow valley."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.simulate import figures
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.surface import Surface
from ravine.simulate.surfaces import surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

START = (-4.5, 1.5)
"""The start in the bowl's own axes: along, across."""
NEAR = 0.1
PANELS = {
    "gd, too small": ("gd", "too small", 2),
    "gd, good": ("gd", "good", 0),
    "gd, too large": ("gd", "too large", 1),
    "momentum, μ 0.5": ("momentum", "μ 0.5", 0),
    "rmsprop": ("RMSprop", "", 0),
    "adam": ("Adam", "", 0),
}
"""The runs that are drawn: a name, a remark, and which of its rule's dashes."""
RACED: dict[str, dict[str, Any]] = {
    "gd": {},
    "momentum": {"mu": 0.9},
    "rmsprop": {},
    "rmsprop_momentum": {},
    "adam": {},
}
RATES = tuple(np.geomspace(1e-4, 3.0, 121))
RACE_STEPS = 1500


def bowl(*, condition: float = 20.0, tilt: float = 0.0, steps: int = 60) -> Outcome:
    """Gradient descent with too small, good and too large lr; momentum, RMSprop and Adam on the same oblong bowl.

    The bowl's curvatures are 1 and `condition` (at least 2); its long axis rises by `tilt`. The learning rates follow
    from the condition number. A second table races each rule at its own best lr, on bowls lying straight and turned.
    """
    if condition < 2:
        raise ValueError(f"condition must be at least 2 for an oblong bowl, got {condition!r}")
    ground = surface("oblong_bowl", condition=condition, tilt=tilt)
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "gd, too small": ("gd", {"lr": 0.2 / condition}),
        "gd, good": ("gd", {"lr": 1.8 / condition}),
        "gd, too large": ("gd", {"lr": 2.02 / condition}),
        "momentum, μ 0.5": ("momentum", {"lr": 1.8 / condition, "mu": 0.5}),
        "momentum, μ 0.9": ("momentum", {"lr": 1.8 / condition, "mu": 0.9}),
        "rmsprop": ("rmsprop", {"lr": 0.1}),
        "adam": ("adam", {"lr": 0.2}),
    }
    start = turned(START, tilt)
    runs = {label: run(name, ground, start=start, steps=steps, **hyper) for label, (name, hyper) in settings.items()}
    return Outcome(
        name="bowl",
        title=f"The oblong bowl, condition number {condition:g}",
        story="Gradient descent's lr is bound by the steepest axis (2/h), so the flat axis is slow. Momentum builds up "
        "speed along it; RMSprop gives each coordinate a step of its own; Adam does both.",
        settings={"condition": condition, "tilt": tilt, "steps": steps},
        tables=[_table(runs, settings, tilt), _race()],
        claims=_claims(runs, ground, condition, tilt),
        draw=lambda figure: _draw(figure, runs, ground),
        last=steps,
        size=(11.0, 8.0),
        runs=runs,
    )


def turned(point: Any, tilt: float) -> Any:
    """A point given along and across the bowl's axes, in x and y."""
    along, across = np.moveaxis(np.asarray(point, dtype=float), -1, 0)
    scale = 1 / np.sqrt(1 + tilt * tilt)
    return np.stack([scale * (along - tilt * across), scale * (tilt * along + across)], axis=-1)


def axes_of(x: Any, tilt: float) -> tuple[Any, Any]:
    """(along, across) for points in x and y."""
    along, across = np.moveaxis(turned(x, -tilt), -1, 0)
    return along, across


def settling(r: Run) -> Any:
    """After how many steps a run stays within `NEAR` of the minimum; infinity where it doesn't by its end."""
    with np.errstate(all="ignore"):
        outside = ~(np.hypot(r.x[..., 0], r.x[..., 1]) < NEAR)
    last = len(outside) - np.argmax(outside[::-1], axis=0)
    return np.where(outside[-1], np.inf, np.where(np.any(outside, axis=0), last, 0))


def decay(r: Run, tilt: float) -> tuple[float, float]:
    """The factor by which the distance shrinks a step, (along, across): from the largest of two stretches of a run."""
    third = r.steps // 3
    result = []
    for distance in axes_of(r.x, tilt):
        early, late = (np.max(np.abs(distance[k : k + third])) for k in (third, 2 * third))
        result.append(float((late / early) ** (1 / third)) if early > 1e-250 else 0.0)
    return result[0], result[1]


def _table(runs: dict[str, Run], settings: dict[str, Any], tilt: float) -> Table:
    rows = []
    for label, r in runs.items():
        _, across = axes_of(r.x, tilt)
        flips = int(np.sum(np.sign(across[1:]) * np.sign(across[:-1]) < 0))
        first = np.abs(r.step[0])
        steady = label.startswith(("gd", "momentum"))
        shrink = decay(r, tilt) if steady else (None, None)
        rows.append(
            (label, settings[label][1]["lr"], float(first[1] / first[0]), flips, *shrink, float(settling(r)),
             float(r.value[-1]))
        )  # fmt: skip
    columns = ("run", "lr", "|Δy|/|Δx| at step 1", "crossings of the floor", "factor a step, along", "… across",
               f"steps to stay within {NEAR:g}", "final loss")  # fmt: skip
    note = "Factors a step are measured, and given where they are constant in the long run."
    return Table("runs", columns, rows, note)


def _race() -> Table:
    """Each rule at the best of 121 learning rates: straight and turned bowls."""
    lr = np.array(RATES)
    cases = [(tilt, condition) for tilt in (0.0, 1.0) for condition in (20.0, 200.0)]
    rows = []
    for name, hyper in RACED.items():
        best: list[Any] = []
        for tilt, condition in cases:
            ground = surface("oblong_bowl", condition=condition, tilt=tilt)
            steps = settling(run(name, ground, start=turned(START, tilt), steps=RACE_STEPS, lr=lr, **hyper))
            best.append(int(np.min(steps)) if np.isfinite(np.min(steps)) else None)
        rows.append((name, *best))
    columns = ("rule", *(f"{'turned' if tilt else 'straight'}, condition {c:g}" for tilt, c in cases))
    note = f"Steps until the run stays within {NEAR:g} of the minimum, at the best of {len(lr)} learning rates."
    return Table("race", columns, rows, note + " Turned: tilt 1, the long axis at 45 degrees.")


def _claims(runs: dict[str, Run], ground: Surface, condition: float, tilt: float) -> list[Claim]:
    start = turned(START, tilt)
    sides = run("gd", ground, start=start, steps=3000, lr=np.array([0.995, 1.005]) * 2 / condition)
    early, late = (
        np.max(np.abs(axes_of(sides.x[part], tilt)[1]), axis=0) for part in (slice(0, 100), slice(-100, None))
    )
    damped = []
    for mu in (0.5, 0.9):
        (gd_along, gd_across), (along, across) = decay(runs["gd, good"], tilt), decay(runs[f"momentum, μ {mu}"], tilt)
        damped.append(
            Claim(
                f"at gd's good lr, momentum with μ = {mu} damps the oscillation across and speeds up the long axis",
                across < gd_across and along < gd_along,
                f"a step multiplies the distance across by {across:.3g} (gd {gd_across:.3g}) and along by {along:.3g} "
                f"(gd {gd_along:.3g}); in theory √μ = {np.sqrt(mu):.3g}, and gd |1 − lr·h| = 0.8 and "
                f"{abs(1 - 1.8 / condition):.3g}",
            )
        )
    flat, steep = (
        run("rmsprop", ground.with_parameters(condition=c), start=start, steps=20, lr=0.1).x[-1]
        for c in (condition, 10 * condition)
    )
    first = {n: np.abs(r.step[0]) for n, r in runs.items()}
    return [
        Claim(
            "gd is stable below lr = 2/h and not above",
            bool(late[0] < early[0] and late[1] > early[1]),
            f"at 0.995 and 1.005 of 2/{condition:g}, 3,000 steps multiply the swing by {late[0] / early[0]:.2g} and "
            f"{late[1] / early[1]:.2g}",
        ),
        *damped,
        Claim(
            "RMSprop equalises the axes: its path does not depend on the condition number",
            bool(np.allclose(flat, steep, atol=1e-3)),
            f"after 20 steps at condition {condition:g} it is at ({flat[0]:.4g}, {flat[1]:.4g}), at ten times that "
            f"condition at ({steep[0]:.4g}, {steep[1]:.4g}); true of bowls that lie straight, false of turned ones",
        ),
        Claim(
            "Adam does both: equal axes, and fewer crossings of the floor than RMSprop",
            bool(
                abs(first["adam"][1] / first["adam"][0] - 1) < 1e-6 and _flips(runs["adam"]) < _flips(runs["rmsprop"])
            ),
            f"its first step is as long in y as in x (gd's {first['gd, good'][1] / first['gd, good'][0]:.3g} times); "
            f"it changes direction in y {_flips(runs['adam'])} times, RMSprop {_flips(runs['rmsprop'])} times",
        ),
    ]


def _flips(r: Run) -> int:
    dy = r.step[:, 1]
    return int(np.sum(dy[1:] * dy[:-1] < 0))


def _draw(figure: Figure, runs: dict[str, Run], ground: Surface) -> figures.Moving:
    names = list(PANELS)
    rows: list[Any] = [names[:3], names[3:], ["curves"] * 3]
    axes = figure.subplot_mosaic(rows, height_ratios=(1, 1, 0.9))
    updates = []
    for label, (title, remark, variant) in PANELS.items():
        r, panel = runs[label], axes[label]
        text = f"{title}, lr {r.hyper['lr']:.3g}" + (f": {remark}" if remark else "")
        figures.terrain(panel, ground)
        panel.set(title=text, xticks=(-4, 0, 4), yticks=(-2, 0, 2))
        look = figures.style(r.rule.name, variant)
        updates.append(figures.trail(panel, _inside(r.x, ground), {**look, "linestyle": "-"}, dots=True))
        updates.append(figures.curve(axes["curves"], np.maximum(r.value, 1e-12), look, text))
    axes["curves"].set(title="loss against step", yscale="log", ylim=(1e-5, 1e3), xlabel="step")
    figure.legend(loc="outside lower center", ncols=3)
    return figures.together(updates)


def _inside(x: Any, ground: Surface) -> Any:
    """A path as far as it stays on the map, and its first point beyond."""
    low, high = np.transpose(ground.view)
    outside = ~np.all((x >= low) & (x <= high), axis=-1)
    return x[: np.argmax(outside) + 1] if np.any(outside) else x
