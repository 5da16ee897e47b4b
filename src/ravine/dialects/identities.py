"""Which rules are one method in two spellings: how hyperparameters and slots carry over, and how exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

EXACT, CONSTANT, IMPOSSIBLE = "exact", "exact while lr is constant", "not possible"
GRADES = (EXACT, CONSTANT, IMPOSSIBLE)

Hyper = Mapping[str, float]


@dataclass(frozen=True)
class Scale:
    """How a slot carries over: `slot` of the source, times `times` and over `over` of the source's hyperparameters."""

    slot: str
    times: Callable[[Hyper], float] = lambda hyper: 1.0
    over: Callable[[Hyper], float] = lambda hyper: 1.0

    def __call__(self, value: Any, hyper: Hyper) -> Any:
        return value * self.times(hyper) / self.over(hyper)


@dataclass(frozen=True)
class Identity:
    """`source` with hyperparameters h is `target` with `hyper(h)`, where `hyper` gives any.

    What `hyper` leaves out is at its default. `slots` says how the target's slots come from the source's, where not
    by the same name. `same_state`: the slots mean the same even where the values stand in the way.
    """

    source: str
    target: str
    hyper: Callable[[Hyper], Hyper | None]
    grade: str = EXACT
    slots: Mapping[str, Scale] = field(default_factory=dict)
    same_state: bool = False


def _same(h: Hyper) -> Hyper:
    return h


def _if_zero(name: str) -> Callable[[Hyper], Hyper | None]:
    return lambda h: h if h[name] == 0 else None


def _minus_lr(h: Hyper) -> float:
    return -h["lr"]


def _both_ways(a: str, b: str, hyper: Callable[[Hyper], Hyper | None] = _same, alike: bool = True) -> list[Identity]:
    return [Identity(a, b, hyper, same_state=alike), Identity(b, a, hyper, same_state=alike)]


def _lr_moves(inside: str, outside: str) -> list[Identity]:
    """Momentum with lr inside the buffer (slot delta) and outside (slot b)."""
    return [
        Identity(inside, outside, _same, CONSTANT, {"b": Scale("delta", over=_minus_lr)}),
        Identity(outside, inside, _same, CONSTANT, {"delta": Scale("b", _minus_lr)}),
    ]


def _identities() -> Iterator[Identity]:
    yield Identity(
        "momentum_ema",
        "momentum_torch",
        lambda h: {"lr": h["lr"] * (1 - h["beta"]), "mu": h["beta"]},
        slots={"b": Scale("v", over=lambda h: 1 - h["beta"])},
    )
    yield Identity("momentum", "momentum_torch", _same, CONSTANT, {"b": Scale("delta", over=_minus_lr)})
    yield Identity("momentum_torch", "momentum", _if_zero("dampening"), CONSTANT, {"delta": Scale("b", _minus_lr)})
    yield from _lr_moves("stored_at_look_ahead(nesterov)", "nesterov_torch")
    yield Identity("nesterov", "stored_at_look_ahead(nesterov)", _same)
    for slope in ("momentum", "momentum_torch", "nesterov_torch", "stored_at_look_ahead(nesterov)"):
        yield Identity(slope, "gd", _if_zero("mu"))
    for tail in ("", "_centered"):
        rms, rms_torch = f"rmsprop{tail}", f"rmsprop_torch{tail}"
        yield from _both_ways(f"rmsprop_momentum{tail}", f"heavy_ball({rms})")
        yield from _both_ways(f"stored_at_look_ahead(rmsprop_nesterov{tail})", f"nesterov_ball({rms})")
        yield Identity(f"rmsprop_nesterov{tail}", f"nesterov_ball({rms})", _same)
        yield from _lr_moves(f"heavy_ball({rms_torch})", f"rmsprop_torch_momentum{tail}")
        yield from _both_ways(rms, rms_torch, _if_zero("eps"))
        for ball in ("heavy_ball", "nesterov_ball"):
            yield from _both_ways(f"{ball}({rms})", f"{ball}({rms_torch})", _if_zero("eps"))
        for with_mu, plain in {f"rmsprop_momentum{tail}": rms, f"rmsprop_torch_momentum{tail}": rms_torch}.items():
            yield Identity(with_mu, plain, _if_zero("mu"))
    yield from _both_ways("adagrad", "adagrad_keras", _if_zero("eps"))
    yield from _both_ways("adam", "adam_eps_hat", _if_zero("eps"))
    yield from _both_ways("amsgrad", "amsgrad_eps_hat", _if_zero("eps"))
    yield from _both_ways("adamax", "adamax_keras", _if_zero("eps"), alike=False)  # u has ε in it, or not
    yield from _both_ways("adafactor", "adafactor_torch", _if_zero("eps"))
    yield from _both_ways("adafactor", "adafactor_optax", lambda h: None)  # lr falls, or not
    yield Identity("lamb", "lamb_keras", _if_zero("weight_decay"), same_state=True)
    yield Identity("lamb_keras", "lamb", lambda h: {**h, "weight_decay": 0.0})
    yield Identity("adam", "adam_eps_root", lambda h: {**h, "eps_root": 0.0})
    yield Identity("adam_eps_root", "adam", _if_zero("eps_root"), same_state=True)


IDENTITIES = tuple(_identities())
"""All of them. Each is held against trajectories by the tests: exact ones never part, also when lr drops."""
