"""Evidence from packages that are not installed here: what they did, recorded by `tools/record_packages.py`.

Each is the authors' own code or a library's, in float64, on the stream of `evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evidence import READ_OUT, Evidence, Sizes, Trace

RECORD = Path(__file__).parent / "recorded" / "packages.npz"
WIDE, TALL = (2, 3), (3, 2)


@dataclass(frozen=True)
class Run:
    """An optimizer of a package (`call`, with its module), its options, and the rule with values that agrees with it.

    `state` maps the rule's slots to the package's names; `shape`, `drop` and `sizes` are as in `evidence`.
    """

    rule: str
    call: str
    options: dict[str, Any]
    hyper: dict[str, float]
    state: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] = (6,)
    drop: float = 0.1
    sizes: Sizes = (1.0, 1.0)

    @property
    def key(self) -> str:
        return f"{self.call} {json.dumps(self.options, sort_keys=True)} {self.shape} {self.sizes} {self.drop:g}"


ADAM = {"lr": 0.3, "betas": (0.8, 0.95), "eps": 0.07}
OURS = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07}
MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq"}
NO_DECAY = {"weight_decay": 0.0}
MIX = {"beta": 0.7}
FOLLOW = {"lr": 0.3, "beta": 0.7}


def runs() -> Iterator[Run]:
    """All of them. Options are unlike the defaults and unlike each other."""
    yield Run("laprop", "timm.optim.laprop.LaProp", ADAM, OURS, {"v": "exp_avg_sq"}, drop=1.0)
    for shape, sizes in ((WIDE, (1.0, 1.0)), (TALL, (1.0, 1.0)), (WIDE, (0.001, 1.0))):
        where: dict[str, Any] = {"shape": shape, "sizes": sizes}
        gamma = {"gamma": 0.6}
        yield Run("mars", "timm.optim.mars.Mars", ADAM | gamma, OURS | gamma, {**MOMENTS, "p": "last_grad"}, **where)
        decay = {"weight_decay": 0.2}
        yield Run("stable_adamw", "pytorch_optimizer.StableAdamW", ADAM | decay, OURS | decay, **where)
        yield Run("cautious(lion)", "pytorch_optimizer.Lion", LION | NO_DECAY, SIGN, {"m": "exp_avg"}, **where)
    sums = {"nu": "grad_sum_sq", "s": "s", "x0": "x0"}
    dual = {"lr": 0.3, "momentum": 0.7, "eps": 0.07}
    yield Run("madgrad", "timm.optim.madgrad.MADGRAD", dual, {"lr": 0.3, "mu": 0.7, "eps": 0.07}, sums)
    free = "schedulefree."
    for lr, drop in ((0.3, 0.1), (0.3, 3.0), (0.0, 1.0)):  # lr falls; rises, as in a warm-up; and is none at all
        averaged: dict[str, Any] = {"drop": drop, "state": {"z": "z", READ_OUT: "x"}}
        given = {"lr": lr, "weight_lr_power": 1.5}
        descent, to = {"momentum": 0.7}, {"weight_decay": 0.2}
        yield Run("schedule_free_sgd", free + "SGDScheduleFreeReference", descent | given, MIX | given, **averaged)
        adamw = free + "AdamWScheduleFreeReference"
        yield Run("schedule_free_adamw", adamw, ADAM | to | given, OURS | to | given, **averaged)
    found = {"lr": 2.0, "d0": 0.05, "d_coef": 1.7}  # at this lr d grows in every third step
    kept = {**MOMENTS, "x0": "p0", "s": "s"}
    for shape, sizes in ((WIDE, (1.0, 1.0)), (TALL, (1.0, 1.0)), (WIDE, (1e-4, 1.0)), (WIDE, (0.0, 1.0))):
        where = {"shape": shape, "sizes": sizes, "state": kept if sizes[0] else {}}
        to = found | {"weight_decay": 0.2 if sizes[0] else 0.0, "lr": 2.0 if sizes[0] == 1 else 4.0}
        yield Run("prodigy", "prodigyopt.Prodigy", ADAM | to, OURS | to, **where)
        corrected = {"use_bias_correction": True}
        yield Run("prodigy_optax", "prodigyopt.Prodigy", ADAM | to | corrected, OURS | to, **where)
    penalties = {"lambda_1": 0.4, "lambda_2": 0.25}
    ours = FOLLOW | {"l1": 0.4, "l2": 0.25}
    yield Run("ftrl", "pytorch_optimizer.FTRL", FOLLOW | penalties, ours, {"z": "z", "n": "n"})


LION = {"lr": 0.3, "betas": (0.8, 0.95), "cautious": True}
SIGN = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95}


@cache
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORD, allow_pickle=False) as file:
        return dict(file)


def follows(run: Run) -> Callable[[], Trace]:
    """What the package did, as recorded."""

    def read() -> Trace:
        arrays = recorded()
        names = run.state.values()
        return Trace(arrays[run.key], {n: arrays[f"{run.key} {n}"] for n in names})

    return read


def evidence() -> Iterator[Evidence]:
    for run in runs():
        where: dict[str, Any] = {"drop": run.drop, "shape": run.shape, "sizes": run.sizes}
        source = f"{run.call} {run.shape} {run.sizes}, recorded"
        yield Evidence(run.rule, source, run.hyper, follows(run), state=run.state, **where)
