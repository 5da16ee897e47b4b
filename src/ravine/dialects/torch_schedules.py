"""torch's schedulers (torch/optim/lr_scheduler.py), which multiply the optimizer's own lr."""

from __future__ import annotations

from collections.abc import Sequence

from ravine.schedules import Schedule, joined, one, steps


def ConstantLR(lr: float, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> Schedule:
    return steps([lr * factor, lr], [total_iters])


def LinearLR(
    lr: float, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
) -> Schedule:
    return one("polynomial", lr * start_factor, end=lr * end_factor, length=total_iters)


def StepLR(lr: float, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    return one("exponential", lr, length=step_size, rate=gamma, stairs=True)


def MultiStepLR(lr: float, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> Schedule:
    return steps([lr * gamma**k for k in range(len(milestones) + 1)], sorted(milestones))


def ExponentialLR(lr: float, gamma: float, last_epoch: int = -1) -> Schedule:
    return one("exponential", lr, rate=gamma)


def PolynomialLR(lr: float, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> Schedule:
    return one("polynomial", lr, end=0.0, length=total_iters, power=power)


def CosineAnnealingLR(lr: float, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> Schedule:  # noqa: N803
    return one("cosine waves", lr, end=eta_min, length=T_max)  # it rises again after T_max


def OneCycleLR(
    lr: float,
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
    last_epoch: int = -1,
) -> Schedule:
    if cycle_momentum:
        raise ValueError("OneCycleLR changes the momentum too, unless cycle_momentum=False: only lr follows a schedule")
    total = total_steps or (epochs or 0) * (steps_per_epoch or 0)
    first, kind = max_lr / div_factor, {"cos": "cosine", "linear": "polynomial"}[anneal_strategy]
    ends = [pct_start * total - 1, *([2 * pct_start * total - 2] if three_phase else []), total - 1]
    values = [first, max_lr, *([first] if three_phase else []), first / final_div_factor]
    begins = [0.0, *ends[:-1]]
    pieces = [
        one(kind, a, end=b, length=stop - start)
        for a, b, start, stop in zip(values[:-1], values[1:], begins, ends, strict=True)
    ]
    return joined(pieces, begins[1:])


def SequentialLR(
    lr: float, schedulers: Sequence[Schedule], milestones: Sequence[int], last_epoch: int = -1
) -> Schedule:
    return joined(schedulers, milestones)


def CosineAnnealingWarmRestarts(
    lr: float,
    T_0: int,  # noqa: N803
    T_mult: int = 1,  # noqa: N803
    eta_min: float = 0.0,
    last_epoch: int = -1,
) -> Schedule:
    return one("cosine restarts", lr, end=eta_min, length=T_0, rate=T_mult)
