"""Evidence for the rules that read more than one element at a time: torch, optax, and what the papers say by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from evidence import DROP, STEPS, X0, Evidence, Sizes, Trace, optax_follows, rule_follows, stream, torch_follows

WIDE, TALL = (2, 3), (3, 2)
SMALL = (1e-3, 1.0)
"""Gradients so small that ε counts where a norm is divided by."""
TINY = (1e-5, 1.0)
"""Gradients of which ε leaves little."""


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
    torchs = {"lr": 0.3, "decay": 0.7, "eps": 0.07, "eps_scale": 0.9, "threshold": 1.3}
    given = {"lr": 0.3, "beta2_decay": -0.7, "eps": (0.07, 0.9), "d": 1.3}
    kept = {"row": "row_var", "col": "col_var"}
    # Where the gradients are small no step is clipped, and where the parameter is, its floor is seen.
    for shape, sizes in ((WIDE, (1.0, 1.0)), (TALL, (1.0, 1.0)), (TALL, (0.01, 1e-4))):
        where: dict[str, Any] = {"shape": shape, "sizes": sizes}
        plain = optax_follows("adafactor", **where, **theirs)
        falling = optax_follows("adafactor", fall=_falling, **where, **theirs)
        yield Evidence("adafactor_optax", f"optax {shape} {sizes}", optaxs, plain, rtol=1e-6, **where)
        yield Evidence("adafactor", f"optax, lr falling {shape} {sizes}", optaxs, falling, rtol=1e-6, **where)
        where = {"shape": shape, "sizes": sizes if sizes[0] == 1 else (0.005, 0.1)}
        torch = torch_follows("Adafactor", **where, **given)
        yield Evidence("adafactor_torch", f"torch {shape} {sizes}", torchs, torch, state=kept, **where)
    small: Sizes = (0.01, 1e-4)
    whole = optax_follows("adafactor", sizes=small, factored=False, **theirs)
    yield Evidence("adafactor_optax_whole", f"optax {small}", optaxs, whole, shape=(6, 1), rtol=1e-6, sizes=small)
    for sizes in ((1.0, 1.0), (0.005, 0.1)):
        where = {"shape": (6, 1), "sizes": sizes, "state": {"v": "v"}}
        vector = f"torch, a vector {sizes}"
        yield Evidence("adafactor_torch_whole", vector, torchs | {"threshold": 1.05}, _of_a_vector(sizes), **where)


def _of_a_vector(sizes: Sizes) -> Callable[[], Trace]:
    follows = torch_follows("Adafactor", sizes=sizes, lr=0.3, beta2_decay=-0.7, eps=(0.07, 0.9), d=1.05)

    @cache
    def run() -> Trace:
        found = follows()
        return Trace(found.points, {"v": found.state["variance"][:, None]})

    return run


def _falling(lr: Any, t: Any) -> Any:
    import jax.numpy as jnp

    return jnp.minimum(lr, 1 / jnp.sqrt(t))


def _trust() -> Iterator[Evidence]:
    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07, "weight_decay": 0.2}
    theirs = {"learning_rate": 0.3, "b1": 0.8, "b2": 0.95, "eps": 0.07, "weight_decay": 0.2}
    ball = {"lr": 0.3, "mu": 0.7, "trust": 0.6, "eps": 0.07, "weight_decay": 0.2}
    optaxs = {"learning_rate": 0.3, "momentum": 0.7, "trust_coefficient": 0.6, "eps": 0.07, "weight_decay": 0.2}
    from_age = {"learning_rate": 0.3, "min_norm": 0.6}
    for sizes in ((1.0, 1.0), (0.02, 0.02)):
        where: dict[str, Any] = {"shape": WIDE, "sizes": sizes}
        fromage = optax_follows("fromage", **where, **from_age)
        yield Evidence("fromage", f"optax {sizes}", {"lr": 0.3, "min_norm": 0.6}, fromage, **where)
    novograd = optax_follows("novograd", shape=WIDE, **theirs)
    yield Evidence("novograd", "optax", ours, novograd, shape=WIDE)
    # The ratio where a norm is zero, and where it is small.
    for sizes, decay in (((1.0, 1.0), 0.2), ((1.0, 0.0), 0.2), ((0.0, 1.0), 0.0), ((1e-3, 0.01), 0.2)):
        where = {"shape": WIDE, "sizes": sizes}
        to, eps = {"weight_decay": decay}, {"eps": 0.07 if sizes[0] else 0.0}
        yield Evidence("lamb", f"optax {sizes}", ours | to, optax_follows("lamb", **where, **theirs | to), **where)
        bare = {"weight_decay": 0.0}
        keras = {n: v for n, v in ours.items() if n != "weight_decay"}
        yield Evidence("lamb_keras", f"optax {sizes}", keras, optax_follows("lamb", **where, **theirs | bare), **where)
        lars = optax_follows("lars", **where, **optaxs | to | eps)
        yield Evidence("lars", f"optax {sizes}", ball | to | eps, lars, **where)


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


def muon_of_torch(**options: Any) -> Callable[[], Trace]:
    inner = torch_follows("Muon", weight_decay=0.0, **options)

    @cache
    def run() -> Trace:
        with float64_muon():
            return inner()

    return run


def _muon() -> Iterator[Evidence]:
    ours = {"lr": 0.3, "beta": 0.8, "a": 3.3, "b": -4.6, "c": 2.1, "steps": 4.0, "eps": 0.5}
    theirs = {"lr": 0.3, "momentum": 0.8, "ns_coefficients": (3.3, -4.6, 2.1), "ns_steps": 4, "eps": 0.5}
    kept = {"m": "momentum_buffer"}
    for shape, sizes in ((WIDE, (1.0, 1.0)), (TALL, (1.0, 1.0)), (WIDE, SMALL), (WIDE, TINY), (WIDE, (0.0, 1.0))):
        where: dict[str, Any] = {"shape": shape, "sizes": sizes}
        for name, more in {
            "muon": {},
            "muon_rms": {"adjust_lr_fn": "match_rms_adamw"},
            "muon_momentum": {"nesterov": False},
            "muon_rms_momentum": {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
        }.items():
            torch = muon_of_torch(**where, **theirs, **more)
            yield Evidence(name, f"torch {shape} {sizes}", ours, torch, state=kept, **where)


def rates(lr: float) -> np.ndarray:
    return lr * np.where(np.arange(STEPS) < DROP, 1.0, 0.1)


def _newton_schulz(x: np.ndarray, a: float, b: float, c: float, steps: int) -> np.ndarray:
    """On singular values, where it is a polynomial: σ to aσ + bσ³ + cσ⁵."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


def normuon_by_hand(shape: tuple[int, int], sizes: Sizes) -> Callable[[], Trace]:
    """Algorithm 1 of the paper, its Newton–Schulz by singular values."""

    @cache
    def run() -> Trace:
        x, m, v, points = X0.reshape(shape), np.zeros(shape), np.zeros((shape[0], 1)), [X0]
        for lr, g in zip(rates(0.3), sizes[0] * stream(), strict=True):
            m = 0.8 * m + 0.2 * g.reshape(shape)
            o = _newton_schulz(m / max(np.linalg.norm(m), 0.07), 3.3, -4.6, 2.1, 4)
            v = 0.7 * v + 0.3 * np.mean(o**2, axis=1, keepdims=True)
            o = o / (np.sqrt(v) + 0.07)
            x = x - 0.2 * lr * np.sqrt(x.size) / (np.linalg.norm(o) or 1) * o
            points.append(x.ravel())
        return Trace(np.stack(points), {"m": m, "v": v})

    return run


def hyperball_by_hand(name: str, shape: tuple[int, int], sizes: Sizes, **hyper: float) -> Callable[[], Trace]:
    """The rule's own steps at the points of the sphere, each made as long as lr times the radius, and projected."""

    @cache
    def run() -> Trace:
        import ravine

        recipe = ravine.recipe(name, **hyper)
        x = sizes[1] * X0.reshape(shape)
        points, state, radius = [x.ravel()], recipe.init(x), float(np.linalg.norm(x))
        for lr, g in zip(rates(hyper["lr"]), sizes[0] * stream(), strict=True):
            moved, state = recipe.update(g.reshape(shape), state, x)
            length = np.linalg.norm(moved - x)
            if length and radius:
                y = x + lr * radius * (moved - x) / length
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


SPHERES = ((1.0, 1.0), (1.0, 0.01), (1.0, 0.0), (0.0, 1.0))
"""Of a small radius, of none, and on which nothing moves."""


def _by_hand() -> Iterator[Evidence]:
    schulz = {"a": 3.3, "b": -4.6, "c": 2.1, "steps": 4.0, "eps": 0.07}
    adam = {"beta1": 0.8, "beta2": 0.95, "eps": 0.07}
    kept = {"m": "m", "v": "v"}
    for shape, sizes in ((WIDE, (1.0, 1.0)), (TALL, (1.0, 1.0)), (WIDE, SMALL), (WIDE, TINY), (WIDE, (0.0, 1.0))):
        where: dict[str, Any] = {"shape": shape, "sizes": sizes}
        norm = {"lr": 0.3, "beta": 0.8, "beta2": 0.7, **schulz}
        paper = f"the paper's algorithm {shape} {sizes}"
        yield Evidence("normuon", paper, norm, normuon_by_hand(shape, sizes), state=kept, **where)
    for shape in (WIDE, TALL):
        mini = adam_mini_by_hand(shape)
        yield Evidence("adam_mini", f"rows by hand {shape}", {"lr": 0.3, **adam}, mini, state=kept, shape=shape)
    ball = {"lr": 0.3, "beta": 0.8, **schulz}
    for shape, sizes in ((TALL, (1.0, 1.0)), (TALL, SMALL), *((WIDE, sizes) for sizes in SPHERES)):
        where = {"shape": shape, "sizes": sizes}
        sphere = hyperball_by_hand("muon", **where, **ball)
        yield Evidence("muonh", f"on the sphere {shape} {sizes}", ball, sphere, state={"m": "m"}, **where)
    for sizes in SPHERES:
        where = {"shape": WIDE, "sizes": sizes}
        sphere = hyperball_by_hand("adam", **where, lr=0.3, **adam)
        yield Evidence("adamh", f"on the sphere {sizes}", {"lr": 0.3, **adam}, sphere, state=kept, **where)
    alone = rule_follows("adam", shape=(6, 1), lr=0.3, **adam)
    yield Evidence("adam_mini", "rows of one element: Adam", {"lr": 0.3, **adam}, alone, shape=(6, 1))
