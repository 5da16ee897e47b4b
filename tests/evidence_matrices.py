"""Evidence for the rules that read more than one element at a time: torch, optax, and what the papers say by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from evidence import DROP, STEPS, X0, Evidence, Trace, optax_follows, rule_follows, stream, torch_follows

WIDE, TALL = (2, 3), (3, 2)


def evidence() -> list[Evidence]:
    return [*_adafactor(), *_trust(), *_muon(), *_by_hand()]


def _adafactor() -> Iterator[Evidence]:
    ours = {"lr": 0.3, "decay": 0.7, "eps": 0.07, "eps_scale": 0.02, "threshold": 0.9}
    theirs: dict[str, Any] = {
        "learning_rate": 0.3,
        "decay_rate": 0.7,
        "eps": 0.07,
        "clipping_threshold": 0.9,
        "min_dim_size_to_factor": 1,
    }
    # optax's floor of the parameter's scale is 0.001 and can't be set; its β is taken in float32.
    optaxs = {**ours, "eps_scale": 0.001}
    for shape in (WIDE, TALL):
        plain = optax_follows("adafactor", shape=shape, **theirs)
        falling = optax_follows("adafactor", shape=shape, fall=_falling, **theirs)
        yield Evidence("adafactor_optax", f"optax {shape}", optaxs, plain, shape=shape, rtol=1e-6)
        yield Evidence("adafactor", f"optax, lr falling {shape}", optaxs, falling, shape=shape, rtol=1e-6)
        torchs = {"lr": 0.3, "decay": 0.7, "eps": 0.07, "eps_scale": 0.9, "threshold": 1.3}
        yield Evidence(
            "adafactor_torch",
            f"torch {shape}",
            torchs,
            torch_follows("Adafactor", shape=shape, lr=0.3, beta2_decay=-0.7, eps=(0.07, 0.9), d=1.3),
            shape=shape,
            state={"row": "row_var", "col": "col_var"},
        )

    torchs = {"lr": 0.3, "decay": 0.7, "eps": 0.07, "eps_scale": 0.9, "threshold": 1.3}
    yield Evidence("adafactor_torch_whole", "torch, a vector", torchs, _of_a_vector, shape=(6, 1), state={"v": "v"})


@cache
def _of_a_vector() -> Trace:
    found = torch_follows("Adafactor", lr=0.3, beta2_decay=-0.7, eps=(0.07, 0.9), d=1.3)()
    return Trace(found.points, {"v": found.state["variance"][:, None]})


def _falling(lr: Any, t: Any) -> Any:
    import jax.numpy as jnp

    return jnp.minimum(lr, 1 / jnp.sqrt(t))


def _trust() -> Iterator[Evidence]:
    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07, "weight_decay": 0.2}
    theirs = {"learning_rate": 0.3, "b1": 0.8, "b2": 0.95, "eps": 0.07, "weight_decay": 0.2}
    ball = {"lr": 0.3, "mu": 0.7, "trust": 0.6, "eps": 0.07, "weight_decay": 0.2}
    optaxs = {"learning_rate": 0.3, "momentum": 0.7, "trust_coefficient": 0.6, "eps": 0.07, "weight_decay": 0.2}
    yield Evidence("lamb", "optax", ours, optax_follows("lamb", shape=WIDE, **theirs), shape=WIDE)
    yield Evidence("novograd", "optax", ours, optax_follows("novograd", shape=WIDE, **theirs), shape=WIDE)
    yield Evidence("lars", "optax", ball, optax_follows("lars", shape=WIDE, **optaxs), shape=WIDE)


@contextmanager
def float64_muon() -> Iterator[None]:
    """torch's Muon with its cast to bfloat16 left out, so that it can be held to more than 3 %."""
    import torch

    cast = torch.Tensor.bfloat16
    torch.Tensor.bfloat16 = lambda self: self.clone()  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = cast  # type: ignore[method-assign]


def muon_of_torch(shape: tuple[int, int], **options: Any) -> Callable[[], Trace]:
    inner = torch_follows("Muon", shape=shape, weight_decay=0.0, **options)

    @cache
    def run() -> Trace:
        with float64_muon():
            return inner()

    return run


def _muon() -> Iterator[Evidence]:
    ours = {"lr": 0.3, "beta": 0.8, "a": 3.3, "b": -4.6, "c": 2.1, "steps": 3.0, "eps": 0.5}
    theirs = {"lr": 0.3, "momentum": 0.8, "ns_coefficients": (3.3, -4.6, 2.1), "ns_steps": 3, "eps": 0.5}
    kept = {"m": "momentum_buffer"}
    for shape in (WIDE, TALL):
        for name, more in {
            "muon": {},
            "muon_rms": {"adjust_lr_fn": "match_rms_adamw"},
            "muon_momentum": {"nesterov": False},
        }.items():
            yield Evidence(
                name, f"torch {shape}", ours, muon_of_torch(shape, **theirs, **more), state=kept, shape=shape
            )


def rates(lr: float) -> np.ndarray:
    return lr * np.where(np.arange(STEPS) < DROP, 1.0, 0.1)


def _newton_schulz(x: np.ndarray, a: float, b: float, c: float, steps: int) -> np.ndarray:
    """On singular values, where it is a polynomial: σ to aσ + bσ³ + cσ⁵."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


def normuon_by_hand(shape: tuple[int, int]) -> Callable[[], Trace]:
    """Algorithm 1 of the paper, its Newton–Schulz by singular values."""

    @cache
    def run() -> Trace:
        x, m, v, points = X0.reshape(shape), np.zeros(shape), np.zeros((shape[0], 1)), [X0]
        for lr, g in zip(rates(0.3), stream(), strict=True):
            m = 0.8 * m + 0.2 * g.reshape(shape)
            o = _newton_schulz(m / max(np.linalg.norm(m), 0.07), 3.3, -4.6, 2.1, 3)
            v = 0.7 * v + 0.3 * np.mean(o**2, axis=1, keepdims=True)
            o = o / (np.sqrt(v) + 0.07)
            x = x - 0.2 * lr * np.sqrt(x.size) / np.linalg.norm(o) * o
            points.append(x.ravel())
        return Trace(np.stack(points), {"m": m, "v": v})

    return run


def hyperball_by_hand(name: str, shape: tuple[int, int], **hyper: float) -> Callable[[], Trace]:
    """The rule's own steps at the points of the sphere, each made as long as lr times the radius, and projected."""

    @cache
    def run() -> Trace:
        import ravine

        recipe = ravine.recipe(name, **hyper)
        x, points = X0.reshape(shape), [X0]
        state, radius = recipe.init(x), float(np.linalg.norm(X0))
        for lr, g in zip(rates(hyper["lr"]), stream(), strict=True):
            moved, state = recipe.update(g.reshape(shape), state, x)
            direction = (moved - x) / np.linalg.norm(moved - x)
            y = x + lr * radius * direction
            x = radius * y / np.linalg.norm(y)
            points.append(x.ravel())
        return Trace(np.stack(points), dict(state.slots))

    return run


def adam_mini_by_hand(shape: tuple[int, int]) -> Callable[[], Trace]:
    """Adam on each row's mean square, a row at a time."""

    @cache
    def run() -> Trace:
        x, m, v, points = X0.reshape(shape).copy(), np.zeros(shape), [0.0] * shape[0], [X0]
        for t, (lr, g) in enumerate(zip(rates(0.3), stream(), strict=True), 1):
            for i, row in enumerate(g.reshape(shape)):
                m[i] = 0.8 * m[i] + 0.2 * row
                v[i] = 0.95 * v[i] + 0.05 * float(np.dot(row, row)) / len(row)
                x[i] -= lr * (m[i] / (1 - 0.8**t)) / (np.sqrt(v[i] / (1 - 0.95**t)) + 0.07)
            points.append(x.ravel().copy())
        return Trace(np.stack(points), {"m": m, "v": np.array(v)[:, None]})

    return run


def _by_hand() -> Iterator[Evidence]:
    schulz = {"a": 3.3, "b": -4.6, "c": 2.1, "steps": 3.0, "eps": 0.07}
    adam = {"beta1": 0.8, "beta2": 0.95, "eps": 0.07}
    kept = {"m": "m", "v": "v"}
    for shape in (WIDE, TALL):
        norm = {"lr": 0.3, "beta": 0.8, "beta2": 0.7, **schulz}
        yield Evidence(
            "normuon", f"the paper's algorithm {shape}", norm, normuon_by_hand(shape), state=kept, shape=shape
        )
        mini = adam_mini_by_hand(shape)
        yield Evidence("adam_mini", f"rows by hand {shape}", {"lr": 0.3, **adam}, mini, state=kept, shape=shape)
        ball = {"lr": 0.3, "beta": 0.8, **schulz}
        yield Evidence(
            "muonh",
            f"on the sphere {shape}",
            ball,
            hyperball_by_hand("muon", shape, **ball),
            state={"m": "m"},
            shape=shape,
        )
    sphere = hyperball_by_hand("adam", WIDE, lr=0.3, **adam)
    yield Evidence("adamh", "on the sphere", {"lr": 0.3, **adam}, sphere, state=kept, shape=WIDE)
    alone = rule_follows("adam", shape=(6, 1), lr=0.3, **adam)
    yield Evidence("adam_mini", "rows of one element: Adam", {"lr": 0.3, **adam}, alone, shape=(6, 1))
