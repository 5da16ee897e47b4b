"""Bias correction: running averages that start at zero, and what dividing by 1 − βᵗ does to Adam's first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.math import debias
from ravine.simulate import figures
from ravine.simulate.noise import Noise
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import Run, run
from ravine.simulate.surfaces import surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS_SHOWN = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
EPS = 1e-8
"""As Adam has by default: with the larger one of the rule without correction, its first step would show that too."""


def bias(
    *, lr: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, sigma: float = 0.3, seed: int = 0, steps: int = 1000
) -> Outcome:
    """The moving averages of Adam's first steps with and without bias correction, and how the first steps differ.

    A slope of one with Gaussian noise of standard deviation `sigma`; both runs see the same gradients.
    """
    if steps < 10:
        raise ValueError(f"steps must be at least 10, got {steps!r}")
    hyper: dict[str, Any] = {"lr": lr, "beta1": beta1, "beta2": beta2}
    noise = Noise("gaussian", sigma, seed) if sigma else None
    runs = {
        "corrected": run("adam", "constant_slope", steps=steps, noise=noise, **hyper),
        "uncorrected": run("adam_uncorrected", "constant_slope", steps=steps, noise=noise, eps=EPS, **hyper),
    }
    speeds = {n: np.abs(r.step[:, 0]) / lr for n, r in runs.items()}
    averages = _averages(runs["corrected"], beta1, beta2)
    shown = [t for t in STEPS_SHOWN if t <= steps]
    rows = [
        (t, *(float(a[t - 1]) for a in averages.values()), *(float(s[t - 1]) for s in speeds.values())) for t in shown
    ]
    columns = ("step", *averages, "step/lr, corrected", "step/lr, uncorrected")
    return Outcome(
        name="bias",
        title="Bias correction: averages that start at zero",
        story="Uncorrected, both averages start too small. The average of squares has the longer memory and stays too "
        "small for longer, and it divides: so without correction Adam's first steps are too long, not too short.",
        settings={**hyper, "sigma": sigma, "seed": seed, "steps": steps},
        tables=[Table("averages and steps", columns, rows, "The mean gradient is 1; its mean square is 1 + σ².")],
        claims=_claims(speeds, averages, lr, beta1, beta2, sigma),
        draw=lambda figure: _draw(figure, runs["corrected"], averages, speeds, 1 + sigma * sigma),
        last=steps - 1,
        slows=True,
        runs=runs,
    )


def _averages(r: Run, beta1: float, beta2: float) -> dict[str, Any]:
    m, v = r.slots["m"][1:, 0], r.slots["v"][1:, 0]
    corrections = [np.array([debias(1.0, beta, t) for t in range(1, r.steps + 1)]) for beta in (beta1, beta2)]
    return {"m": m, "m̂": m * corrections[0], "v": v, "v̂": v * corrections[1]}


def _claims(
    speeds: dict[str, Any], averages: dict[str, Any], lr: float, beta1: float, beta2: float, sigma: float
) -> list[Claim]:
    calm = run("adam_uncorrected", surface("constant_slope"), steps=1, lr=lr, beta1=beta1, beta2=beta2, eps=EPS)
    first = float(abs(calm.step[0, 0]) / lr)
    formula = (1 - beta1) / np.sqrt(1 - beta2)
    t = np.arange(1, len(speeds["corrected"]) + 1)
    ratio = (1 - beta1**t) / np.sqrt(1 - beta2**t)
    peak = int(np.argmax(ratio))
    rest = float(np.sqrt(averages["v̂"][min(9, len(t) - 1)] / (1 + sigma * sigma)))
    return [
        Claim(
            "uncorrected, the average m starts too small",
            bool(abs(averages["m"][0]) < abs(averages["m̂"][0])),
            f"m = {averages['m'][0]:.4g} after a gradient of {averages['m̂'][0]:.4g}: {1 - beta1:.3g} of it",
        ),
        Claim(
            "uncorrected, Adam's first step is (1−β₁)/√(1−β₂) times lr",
            bool(abs(first / formula - 1) < 1e-6),
            f"{first:.6g}·lr without noise",
        ),
        Claim(
            "uncorrected, Adam's first steps are too long",
            bool(np.all(ratio > 1)),
            f"without noise {formula:.3g} times lr at step 1, at most {ratio[peak]:.3g} at step {t[peak]}, "
            f"{ratio[-1]:.3g} at step {t[-1]}; too short only where β₁ is so much the longer memory that "
            f"(1−β₁)² < 1−β₂",
        ),
        Claim(
            "corrected, the average of squares is right from the start",
            0.5 < rest < 2,
            f"after 10 steps √v̂ is {rest:.3g} times the root mean square of the gradient",
        ),
    ]


def _draw(figure: Figure, r: Run, averages: dict[str, Any], speeds: dict[str, Any], square: float) -> figures.Moving:
    axes = figure.subplot_mosaic([["m", "v", "step"]], width_ratios=(1, 1, 1.15))
    t = np.arange(1, r.steps + 1)
    looks = {"corrected": figures.style("adam"), "uncorrected": {**figures.style("lion"), "color": "#555555"}}
    updates = []
    for name, dots, truth, title in (
        ("m", r.gradient[:, 0], 1.0, "average of gradients"),
        ("v", r.gradient[:, 0] ** 2, square, "average of squares"),
    ):
        panel = axes[name]
        panel.plot(t, dots, ".", color="#C9CFD5", markersize=3, label="each gradient", zorder=0)
        panel.axhline(truth, color=figures.FAINT, linewidth=1, linestyle=(0, (1, 2)))
        updates.append(figures.curve(panel, averages[name], looks["uncorrected"], "as it is", xs=t))
        updates.append(figures.curve(panel, averages[name + "̂"], looks["corrected"], "corrected", xs=t))
        panel.set(title=title, xlabel="step", xscale="log", ylim=(min(0, 1.05 * np.min(dots[:100])), 2.2 * truth))
    for name, speed in speeds.items():
        updates.append(figures.curve(axes["step"], speed, looks[name], xs=t))
    axes["step"].axhline(1, color=figures.FAINT, linewidth=1, linestyle=(0, (1, 2)))
    axes["step"].set(title="Adam's step over lr", xlabel="step", xscale="log", ylim=(0, None))
    for panel in axes.values():
        figures.plain_log(panel.xaxis)
    figure.legend(*axes["m"].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figures.together(updates)
