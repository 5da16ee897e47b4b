"""Evidence for Adam's relatives: optax's own runs, and Adam with another lr and ε in each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

import ravine
from evidence import DROP, X0, Evidence, Trace, optax_follows, rule_follows, stream

OURS = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07}
OPTAX = {"learning_rate": 0.3, "b1": 0.8, "b2": 0.95, "eps": 0.07}


def evidence() -> Iterator[Evidence]:
    yield Evidence("adam_uncorrected", "Adam with another lr and ε each step", OURS, uncorrected_by_adam(**OURS))
    yield Evidence("yogi", "optax", OURS, optax_follows("yogi", **OPTAX))
    root = {"eps_root": 0.02}
    yield Evidence("adabelief", "optax", {**OURS, **root}, optax_follows("adabelief", **OPTAX, **root))
    adan = optax_follows("adan", **OPTAX, **root, b3=0.7)
    yield Evidence("adan", "optax", {**OURS, **root, "beta3": 0.7}, adan)
    ademamix = optax_follows("ademamix", **OPTAX, b3=0.7, alpha=1.7)
    yield Evidence("ademamix", "optax", {**OURS, "beta3": 0.7, "alpha": 1.7}, ademamix)
    yield Evidence("adopt", "optax", OURS, optax_follows("adopt", **OPTAX))
    short = optax_follows("radam", **{**OPTAX, "b2": 0.6})  # ρ∞ is 4, so it never turns adaptive
    yield Evidence("radam_optax", "optax, β₂ = 0.6", {**OURS, "beta2": 0.6}, short)
    signum = optax_follows("signum", learning_rate=0.3, beta=0.8)
    sign = {"lr": 0.3, "beta": 0.8}
    yield Evidence("signum", "optax", sign, signum)
    mean = rule_follows("momentum_ema", lr=1.0, beta=0.8)  # its length is seen in no step
    yield Evidence("signum", "the mean", sign, cache(lambda: Trace(signum().points, mean().state)), state={"m": "v"})


def uncorrected_by_adam(lr: float, beta1: float, beta2: float, eps: float) -> Callable[[], Trace]:
    """Adam with the lr and ε of each step chosen so that its corrections cancel."""

    @cache
    def run() -> Trace:
        recipe = ravine.recipe("adam", beta1=beta1, beta2=beta2)
        x, state, points = X0, recipe.init(X0), [X0]
        for t, g in enumerate(stream(), 1):
            root = np.sqrt(1 - beta2**t).item()
            at = {"lr": lr * (0.1 if t > DROP else 1) * (1 - beta1**t) / root, "eps": eps / root}
            x, state = recipe.update(g, state, x, **at)
            points.append(x)
        return Trace(np.stack(points), {})

    return run
