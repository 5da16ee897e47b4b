"""A schedule as a framework writes it: the call as text, or None where it has no such schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ravine.schedules import Piece, Schedule

KERAS = "keras.optimizers.schedules."
TORCH = "torch.optim.lr_scheduler."


def spelled(schedule: Schedule, framework: str) -> str | None:
    """The call in "keras", "optax" or "torch", whose optimizer's own lr must then be `base(schedule)`."""
    parts = {"keras": _keras, "keras_legacy": _keras, "optax": _optax, "torch": _torch}
    pieces = _in_steps(schedule)
    return parts[framework](pieces) if framework in parts and pieces is not None else None


def _in_steps(schedule: Schedule) -> tuple[Piece, ...] | None:
    """The pieces counted in steps, where those of epochs can be: they must stand still within an epoch."""
    n = schedule.every
    if n == 1:
        return schedule.pieces
    found = []
    for p in schedule.pieces:
        if p.kind == "constant" or (p.kind in ("exponential", "inverse time") and (p.stairs or p.length == 1)):
            found.append(replace(p, begin=p.begin * n, length=p.length * n, stairs=p.kind != "constant"))
    return tuple(found) if len(found) == len(schedule.pieces) else None


def base(schedule: Schedule) -> float:
    """The lr that torch's schedulers multiply: the largest that a piece starts or ends with."""
    return max(v for p in schedule.pieces for v in (p.start, p.end or 0.0))


def _call(name: str, **given: float | bool | str | None) -> str:
    return f"{name}({', '.join(f'{n}={_plain(v)}' for n, v in given.items() if v is not None)})"


def _plain(value: float | bool | str) -> str:
    """Whole numbers without a point, as counts of steps are written."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value)) if value else "0.0"
    return value if isinstance(value, str) else repr(value)


def _length(pieces: Sequence[Piece], k: int) -> float:
    return pieces[k + 1].begin - pieces[k].begin


def _keras(pieces: Sequence[Piece]) -> str | None:
    if all(p.kind == "constant" for p in pieces) and len(pieces) > 1:
        boundaries, values = [p.begin - 1 for p in pieces[1:]], [p.start for p in pieces]
        listed = ", ".join(map(_plain, boundaries))
        return f"{KERAS}PiecewiseConstantDecay([{listed}], {values!r})"
    first, last = pieces[0], pieces[-1]
    fall = {"initial_learning_rate": first.start, "decay_steps": first.length}
    if len(pieces) == 2 and (first.kind, last.kind, first.power, last.power) == ("polynomial", "cosine", 1, 1):
        if first.length != last.begin or first.end != last.start or not last.start:
            return None
        warm = {"warmup_target": last.start, "warmup_steps": first.length}
        fall |= {"decay_steps": last.length, "alpha": (last.end or 0.0) / last.start}
        return _call(f"{KERAS}CosineDecay", **fall, **warm)
    if len(pieces) > 1:
        return None
    if first.kind == "constant":
        return repr(first.start)
    if first.kind == "cosine" and first.power == 1 and first.start:
        return _call(f"{KERAS}CosineDecay", **fall, alpha=(first.end or 0.0) / first.start)
    if first.kind == "cosine restarts" and first.power == 1 and first.start:
        how = {"initial_learning_rate": first.start, "first_decay_steps": first.length, "t_mul": first.rate}
        return _call(f"{KERAS}CosineDecayRestarts", **how, alpha=(first.end or 0.0) / first.start)
    if first.kind == "polynomial":
        return _call(f"{KERAS}PolynomialDecay", **fall, end_learning_rate=first.end or 0.0, power=first.power)
    stairs = first.stairs or None
    if first.kind == "exponential" and first.end is None:
        return _call(f"{KERAS}ExponentialDecay", **fall, decay_rate=first.rate, staircase=stairs)
    if first.kind == "inverse time" and first.power == 1:
        return _call(f"{KERAS}InverseTimeDecay", **fall, decay_rate=first.rate, staircase=stairs)
    return None


def _optax(pieces: Sequence[Piece]) -> str | None:
    calls = [_optax_piece(p) for p in pieces]
    if None in calls:
        return None
    if len(calls) == 1:
        return calls[0]
    boundaries = ", ".join(_plain(p.begin) for p in pieces[1:])
    return f"optax.join_schedules([{', '.join(map(str, calls))}], [{boundaries}])"


def _optax_piece(p: Piece) -> str | None:
    match p.kind:
        case "constant":
            return _call("optax.constant_schedule", value=p.start)
        case "polynomial" if p.power == 1:
            return _call("optax.linear_schedule", init_value=p.start, end_value=p.end or 0.0, transition_steps=p.length)
        case "polynomial":
            how = {"init_value": p.start, "end_value": p.end or 0.0, "power": p.power, "transition_steps": p.length}
            return _call("optax.polynomial_schedule", **how)
        case "cosine" if p.start:
            how = {"init_value": p.start, "decay_steps": p.length, "alpha": (p.end or 0.0) / p.start}
            return _call("optax.cosine_decay_schedule", **how, exponent=p.power if p.power != 1 else None)
        case "exponential":
            how = {"init_value": p.start, "transition_steps": p.length, "decay_rate": p.rate}
            return _call("optax.exponential_decay", **how, staircase=p.stairs or None, end_value=p.end)
    return None


def _torch(pieces: Sequence[Piece]) -> str | None:
    lr = base(Schedule(tuple(pieces)))
    lrs = [p.start for p in pieces]
    if all(p.kind == "constant" for p in pieces) and len(pieces) > 1 and lrs[0] == lr and lrs[0]:
        gamma = lrs[1] / lrs[0]
        if all(lr * gamma**k == v for k, v in enumerate(lrs)):
            milestones = ", ".join(_plain(p.begin) for p in pieces[1:])
            return f"{TORCH}MultiStepLR(optimizer, milestones=[{milestones}], gamma={gamma!r})"
    parts: list[Piece] = []
    for k, p in enumerate(pieces):
        parts.append(p)
        if p.kind == "cosine" and (k + 1 == len(pieces) or _length(pieces, k) > p.length):  # torch's rises again
            parts.append(Piece("constant", p.end or 0.0, begin=p.begin + p.length))
    calls = [_torch_piece(replace(p, begin=0.0), lr) for p in parts]
    if None in calls:
        return None
    if len(calls) == 1:
        return calls[0]
    milestones = ", ".join(_plain(p.begin) for p in parts[1:])
    return f"{TORCH}SequentialLR(optimizer, [{', '.join(map(str, calls))}], milestones=[{milestones}])"


def _torch_piece(p: Piece, lr: float) -> str | None:
    if not lr:
        return None
    match p.kind:
        case "constant":
            return f"{TORCH}ConstantLR(optimizer, factor={p.start / lr!r}, total_iters={10**9})"
        case "polynomial" if p.power == 1 and p.start > 0:
            how = {"start_factor": p.start / lr, "end_factor": (p.end or 0.0) / lr, "total_iters": p.length}
            return _call(f"{TORCH}LinearLR", **how).replace("(", "(optimizer, ", 1)
        case "cosine" | "cosine waves" if p.power == 1 and p.start == lr:
            return f"{TORCH}CosineAnnealingLR(optimizer, T_max={_plain(p.length)}, eta_min={p.end or 0.0!r})"
        case "cosine restarts" if p.power == 1 and p.start == lr and p.length % 1 == 0 and p.rate % 1 == 0:
            how = {"T_0": int(p.length), "T_mult": int(p.rate), "eta_min": p.end or 0.0}
            return _call(f"{TORCH}CosineAnnealingWarmRestarts", **how).replace("(", "(optimizer, ", 1)
        case "exponential" if p.end is None and p.start == lr and p.stairs:
            return f"{TORCH}StepLR(optimizer, step_size={_plain(p.length)}, gamma={p.rate!r})"
        case "exponential" if p.end is None and p.start == lr:
            return f"{TORCH}ExponentialLR(optimizer, gamma={p.rate ** (1 / p.length)!r})"
    return None
