"""Record what the real frameworks compute: the evidence that the dialects are judged by.

Runs TensorFlow 1's optimizers, Keras's, torch's and optax's over chosen and random configurations and writes one small
`.npz` a framework: parameters and state after every step, in float32 and float64, with the gradients and the versions.
`make record-traces` makes the virtual environment that this needs. Of Ravine it uses nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import inspect
import itertools
import json
import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

STEPS, SIZE, DROP = 24, 4, 12  # the learning rate drops tenfold after DROP steps
SCALES = {"wide": [1e-4, 1e-2, 1.0, 1e2], "gentle": [1e-3, 1e-2, 0.1, 1.0]}
OUT = Path(__file__).resolve().parent.parent / "tests" / "recorded"

FLAGS = ("python_numbers", "narrow_products")
"""How a run was made, among its arguments: not the framework's."""
MATRICES = {"tall": (5, 3), "broad": (3, 5)}
"""The shapes that optimizers of matrices are seen on; each shape's stream has its name."""
FOR_MATRICES = ("torch.Muon", "keras.Muon", "optax.contrib.muon")
FOR_MATRICES += ("torch.Adafactor", "keras.Adafactor", "keras.Lamb")
FOR_MATRICES += ("optax.lamb", "optax.lars", "optax.novograd", "optax.fromage", "optax.adafactor")

Run = Iterator[tuple[Any, dict[str, Any]]]


def matrix_gradients(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A stream of gradients (STEPS, r, c): of changing scale, with a part that stays, and a row that is zero once."""
    steady = rng.normal(size=shape)
    found = np.exp(rng.normal(0, 1.0, (STEPS, 1, 1))) * (steady + rng.normal(size=(STEPS, *shape)))
    found[3, 0] = 0.0
    return found


def gradients(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A stream of gradients (STEPS, SIZE): a scale for each coordinate, runs of one sign with reversals, zeros."""
    sign = np.cumprod(np.where(rng.random((STEPS, SIZE)) < 0.25, -1.0, 1.0), axis=0)
    size = np.array(SCALES[kind]) * np.exp(rng.normal(0, 0.7, (STEPS, SIZE)))
    zero = rng.random((STEPS, SIZE)) < 0.12
    zero[0] = [True, False, False, False]
    return np.where(zero, 0.0, sign * size)


def lrs(lr: float) -> list[float]:
    """The learning rate of each step."""
    return [lr] * DROP + [lr * 0.1] * (STEPS - DROP)


def numbers_of_type(dtype: np.dtype[Any], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """All arguments, each number in the parameter's type: TensorFlow rounds Python's numbers to float32."""
    defaults = {n: p.default for n, p in inspect.signature(constructor(name)).parameters.items()}
    every = {n: v for n, v in defaults.items() if isinstance(v, float)} | arguments
    return {n: dtype.type(v) if isinstance(v, float) and dtype == np.float64 else v for n, v in every.items()}


def run_tensorflow(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import tensorflow as tf

    now = {"lr": arguments["learning_rate"]}
    plain = arguments.pop("python_numbers", False)
    typed = arguments if plain else numbers_of_type(x0.dtype, f"tensorflow.{name}", arguments)
    typed = {**typed, "learning_rate": lambda: now["lr"] if plain else x0.dtype.type(now["lr"])}
    if "initial_accumulator_value" in typed:
        typed["initial_accumulator_value"] = float(typed["initial_accumulator_value"])
    optimizer = getattr(tf.compat.v1.train, name)(**typed)
    x = tf.Variable(x0)
    for g, lr in zip(gs, lrs(arguments["learning_rate"]), strict=True):
        now["lr"] = lr
        optimizer.apply_gradients([(tf.constant(g), x)])
        yield x.numpy(), {n: optimizer.get_slot(x, n).numpy() for n in optimizer.get_slot_names()}


def run_keras(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import keras

    keras.config.set_floatx(str(x0.dtype))  # otherwise the learning rate of a float64 model is kept in float32
    optimizer = getattr(keras.optimizers, name)(**numbers_of_type(x0.dtype, f"keras.{name}", arguments))
    x = keras.Variable(x0, dtype=str(x0.dtype), name="x")
    for g, lr in zip(gs, lrs(arguments["learning_rate"]), strict=True):
        optimizer.learning_rate = lr
        optimizer.apply([keras.ops.convert_to_tensor(g)], [x])
        state = {v.path.rpartition("/")[2].removeprefix("x_"): v.numpy() for v in optimizer.variables}
        if name == "Nadam":
            state["u_product"] = optimizer._u_product.numpy()  # kept out of optimizer.variables
        if name == "Adafactor":  # two variables of one name
            state = {"r": optimizer._r[0].numpy(), "c": optimizer._c[0].numpy()}
        yield x.numpy(), {n: v for n, v in state.items() if n not in ("iteration", "learning_rate")}


def run_keras_on_jax(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import jax

    jax.config.update("jax_enable_x64", x0.dtype == np.float64)
    yield from run_keras(name, arguments, x0, gs)


def run_keras_legacy(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import tensorflow as tf

    arguments.pop("python_numbers")
    optimizer = constructor(f"keras_legacy.{name}")(**arguments)
    x = tf.Variable(x0, name="x")
    for g, lr in zip(gs, lrs(arguments["learning_rate"]), strict=True):
        optimizer.learning_rate = lr
        optimizer.apply_gradients([(tf.constant(g), x)])
        state = {n: optimizer.get_slot(x, n).numpy() for n in optimizer.get_slot_names()}
        if name == "Nadam":
            state["momentum_cache"] = optimizer._m_cache.numpy()
        yield x.numpy(), state


def run_torch(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import torch

    torch.set_default_dtype(getattr(torch, str(x0.dtype)))  # otherwise NAdam keeps its product in float32
    x = torch.tensor(x0, requires_grad=True)
    narrow = arguments.pop("narrow_products", False)
    optimizer = getattr(torch.optim, name)([x], **arguments)
    if name == "Muon" and not narrow:  # which multiplies in bfloat16: the same lines in the parameter's own type
        torch.Tensor.bfloat16 = torch.Tensor.clone
    for g, lr in zip(gs, lrs(arguments["lr"]), strict=True):
        optimizer.param_groups[0]["lr"] = lr
        x.grad = torch.tensor(g)
        optimizer.step()
        state = {n: v.numpy().copy() for n, v in optimizer.state[x].items() if v is not None and n != "step"}
        yield x.detach().numpy().copy(), state
    if name == "Muon" and not narrow:
        del torch.Tensor.bfloat16


def run_optax(name: str, arguments: dict[str, Any], x0: np.ndarray, gs: np.ndarray) -> Run:
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", x0.dtype == np.float64)
    lr = arguments["learning_rate"]
    schedule = lambda count: jnp.where(count < DROP, lr, lr * 0.1)  # noqa: E731
    rate = lr if name == "rprop" else schedule  # which reads it once
    with in_own_type(x0.dtype):
        transformation = operator.attrgetter(name)(optax)(**{**arguments, "learning_rate": rate})
    x = jnp.asarray(x0)
    state = transformation.init(x)
    # Its loops over matrices would be compiled anew in every step.
    update = jax.jit(transformation.update) if name.startswith("contrib.") else transformation.update
    for g in gs:
        updates, state = update(jnp.asarray(g), state, x)
        x = optax.apply_updates(x, updates)
        leaves, _ = jax.tree_util.tree_flatten_with_path(state)
        named = {jax.tree_util.keystr(path, simple=True, separator="."): np.array(leaf) for path, leaf in leaves}
        named = {n.removeprefix("inner_states.").replace(".inner_state.", "."): v for n, v in named.items()}
        yield np.array(x), {n: v for n, v in named.items() if not n.endswith(("count", "ns_coeffs"))}


@contextlib.contextmanager
def in_own_type(dtype: np.dtype[Any]) -> Iterator[None]:
    """Let optax's Adafactor compute its β in the parameter's own type: the same line, which has float32 in it."""
    import jax.numpy as jnp
    from optax._src import factorized

    function = factorized.scale_by_factored_rms
    before = function.__defaults__
    function.__defaults__ = (*before[:-1], lambda i, exponent: 1.0 - jnp.array(i + 1, dtype) ** (-exponent))
    try:
        yield
    finally:
        function.__defaults__ = before


RUNNERS: dict[str, Callable[..., Run]] = {
    "tensorflow": run_tensorflow,
    "keras": run_keras,
    "keras_jax": run_keras_on_jax,
    "keras_legacy": run_keras_legacy,
    "torch": run_torch,
    "optax": run_optax,
    "contrib": run_optax,
}
MODULES = {"contrib": "optax.contrib", "keras_jax": "keras"}
"""Where a framework's optimizers are, if not in the module of its name."""


def choices(on: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of some arguments' values; None leaves the argument out."""
    result: list[dict[str, Any]] = [{}]
    for name, values in on.items():
        result = [r | ({} if v is None else {name: v}) for r in result for v in values]
    return result


def chosen(framework: str) -> list[tuple[str, dict[str, Any]]]:
    """The configurations that each optimizer must be seen in: its defaults, and every switch."""
    lr = "lr" if framework == "torch" else "learning_rate"
    switches: dict[str, dict[str, dict[str, list[Any]]]] = {
        "tensorflow": {
            "GradientDescentOptimizer": {lr: [0.01]},
            "MomentumOptimizer": {lr: [0.01], "momentum": [0.9], "use_nesterov": [None, True]},
            "RMSPropOptimizer": {lr: [0.01], "momentum": [None, 0.9], "centered": [None, True]},
            "AdagradOptimizer": {lr: [0.05]},
            "AdadeltaOptimizer": {lr: [None, 1.0]},
            "AdamOptimizer": {lr: [None]},
        },
        "keras": {
            "SGD": {"momentum": [None, 0.9], "nesterov": [None, True]},
            "RMSprop": {"momentum": [None, 0.9], "centered": [None, True]},
            "Adagrad": {lr: [None, 0.05]},
            "Adadelta": {lr: [None, 1.0]},
            "Adam": {"amsgrad": [None, True]},
            "AdamW": {lr: [0.01], "amsgrad": [None, True]},
            "Nadam": {lr: [None]},
            "Adamax": {lr: [None]},
            "Lion": {"weight_decay": [None, 0.01]},
            "Muon": {lr: [None, 0.02]},
        },
        "keras_jax": {"ScheduleFreeAdamW": {lr: [None, 0.01], "weight_decay": [None, 0.02]}},
        "keras_legacy": {
            "SGD": {"momentum": [None, 0.9], "nesterov": [None, True], "decay": [None, 0.05]},
            "RMSprop": {"momentum": [None, 0.9], "centered": [None, True]},
            "Adagrad": {lr: [None, 0.05]},
            "Adadelta": {lr: [None, 1.0]},
            "Adam": {"amsgrad": [None, True], "decay": [None, 0.1]},
            "Nadam": {lr: [None], "schedule_decay": [None, 1.0]},
            "Adamax": {lr: [None], "clipvalue": [None, 0.5]},
        },
        "torch": {
            "SGD": {lr: [0.01], "momentum": [None, 0.9], "weight_decay": [None, 0.01]},
            "RMSprop": {"momentum": [None, 0.9], "centered": [None, True]},
            "Adagrad": {"lr_decay": [None, 0.1], "initial_accumulator_value": [None, 0.1]},
            "Adadelta": {"weight_decay": [None, 0.01]},
            "Adam": {"amsgrad": [None, True], "weight_decay": [None, 0.01], "maximize": [None, True]},
            "AdamW": {"amsgrad": [None, True]},
            "NAdam": {"decoupled_weight_decay": [None, True]},
            "RAdam": {"betas": [None, (0.9, 0.99)]},
            "Adamax": {lr: [None]},
            "Rprop": {"step_sizes": [None, (0.02, 0.1)], "maximize": [None, True]},
            "ASGD": {"t0": [None, 5.0], "weight_decay": [None, 0.01]},
            "Muon": {lr: [0.02], "nesterov": [None, False], "adjust_lr_fn": [None, "match_rms_adamw"]},
        },
        "optax": {
            "sgd": {lr: [0.01], "momentum": [None, 0.9], "nesterov": [None, True]},
            "rmsprop": {
                lr: [0.01],
                "momentum": [None, 0.9],
                "nesterov": [None, True],
                "centered": [None, True],
                "eps_in_sqrt": [None, False],
                "bias_correction": [None, True],
            },
            "adagrad": {lr: [0.05]},
            "adadelta": {lr: [1.0]},
            "adam": {lr: [0.001], "eps_root": [None, 1e-6], "nesterov": [None, True]},
            "adamw": {lr: [0.001]},
            "nadam": {lr: [0.001]},
            "nadamw": {lr: [0.001]},
            "amsgrad": {lr: [0.001], "eps_root": [None, 1e-3]},
            "adamax": {lr: [0.001]},
            "lion": {lr: [0.001]},
            "adabelief": {lr: [0.001]},
            "adamaxw": {lr: [0.001]},
            "adan": {lr: [0.001], "weight_decay": [None, 0.02]},
            "yogi": {lr: [0.01]},
            "radam": {lr: [0.001], "b2": [None, 0.9], "eps_root": [None, 1e-3]},
            "sign_sgd": {lr: [0.001]},
            "signum": {lr: [0.001]},
            "rprop": {lr: [0.01], "max_step_size": [None, 0.008]},
            "lamb": {lr: [0.01]},
            "lars": {lr: [0.1]},
            "novograd": {lr: [0.001]},
            "fromage": {lr: [0.01]},
            "adafactor": {lr: [0.01], "min_dim_size_to_factor": [2], "factored": [None, False]},
        },
        "contrib": {
            "muon": {lr: [0.02], "consistent_rms": [None, 0.2]},
            "ademamix": {lr: [0.001], "weight_decay": [None, 0.02]},
            "adopt": {lr: [0.01]},
            "madgrad": {lr: [0.01], "weight_decay": [None, 0.02]},
            "schedule_free_sgd": {lr: [0.01], "weight_decay": [None, 0.02]},
            "schedule_free_adamw": {lr: [0.01], "weight_decay": [None, 0.02]},
        },
    }
    result = []
    for name, on in switches[framework].items():
        for arguments in choices(on):
            if arguments.get("nesterov") and "momentum" in on and "momentum" not in arguments:
                continue
            if arguments.get("centered") and arguments.get("bias_correction"):
                # From a start at zero the first step would divide a gradient by the rounding error of g² − g².
                arguments["initial_scale"] = 0.1
            result.append((name, arguments))
    if framework == "torch":
        result.append(("SGD", {lr: 0.01, "momentum": 0.9, "nesterov": True}))
        result.append(("SGD", {lr: 0.01, "momentum": 0.9, "dampening": 0.3}))
        result.append(("NAdam", {"weight_decay": 0.01, "decoupled_weight_decay": True}))
        as_adamw = {"adjust_lr_fn": "match_rms_adamw", "nesterov": False, "weight_decay": 0.0}
        result.append(("Muon", {lr: 0.02, **as_adamw}))
        result.append(("Adafactor", {}))
        result.append(("Adafactor", {lr: 0.02, "eps": (1e-6, 0.001), "weight_decay": 0.05, "maximize": True}))
    if framework == "keras":
        result.append(("RMSprop", {"clipvalue": 0.5}))
        result.append(("Muon", {lr: 0.02, "weight_decay": 0.0}))
        result.append(("Adam", {lr: 0.01, "amsgrad": True, "beta_2": 0.9}))
        for name in ("Lamb", "Adafactor"):
            result.append((name, {}))
            result.append((name, {lr: 0.02, "weight_decay": 0.05}))
        for arguments in ({}, {lr: 0.05, "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02}):
            result.append(("Ftrl", arguments))
    return result


def randomised(name: str, arguments: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The arguments with random values of those that are numbers, three digits each."""

    def value(low: float, high: float, log: bool = False) -> float:
        drawn = np.exp(rng.uniform(np.log(low), np.log(high))) if log else rng.uniform(low, high)
        return float(f"{drawn:.3g}")

    known = inspect.signature(constructor(name)).parameters
    drawn = dict(arguments)
    for key in known:
        if key in ("lr", "learning_rate"):
            drawn[key] = value(1e-3, 3e-2, log=True)
        elif key in ("momentum", "rho", "alpha", "decay", "beta1", "beta_1", "b1"):
            if key != "momentum" or "momentum" in arguments:
                drawn[key] = value(0.5, 0.98)
        elif key in ("beta2", "beta_2", "b2"):
            drawn[key] = value(0.9, 0.9995)
        elif key == "eps" and name == "torch.Adafactor":
            drawn[key] = (value(1e-6, 1e-1, log=True), value(1e-3, 1.0, log=True))
        elif key in ("beta2_decay", "beta_2_decay"):
            drawn[key] = value(-0.9, -0.6)
        elif key == "d":
            drawn[key] = value(1.0, 1.5)
        elif key in ("l1_regularization_strength", "l2_regularization_strength") and key in arguments:
            drawn[key] = value(1e-3, 1e-1, log=True)
        elif key in ("epsilon_1", "epsilon_2"):
            drawn[key] = value(1e-6, 1e-1, log=True)
        elif key == "betas":
            drawn[key] = (value(0.5, 0.98), value(0.9, 0.9995))
        elif key in ("eps", "epsilon"):
            drawn[key] = value(1e-9, 1e-1, log=True)
        elif key == "weight_decay" and name not in ("keras.SGD", "torch.SGD"):
            drawn[key] = value(1e-4, 1e-1, log=True)
        elif key in ("initial_accumulator_value", "initial_scale"):
            drawn[key] = value(0.01, 1.0, log=True)
        elif key in ("beta", "b3"):
            drawn[key] = value(0.5, 0.98)
        elif key in ("alpha", "threshold") and name in ("optax.contrib.ademamix", "optax.radam"):
            drawn[key] = value(4.5, 8.0)
        elif key in ("clipping_threshold", "clip_threshold"):
            drawn[key] = value(0.7, 1.5)
        elif key == "decay_rate":
            drawn[key] = value(0.6, 0.9)
        elif key == "trust_coefficient":
            drawn[key] = value(1e-3, 0.5, log=True)
        elif key == "min_norm":
            drawn[key] = value(1e-3, 10.0, log=True)
        elif key == "eta_minus":
            drawn[key] = value(0.3, 0.9)
        elif key == "eta_plus":
            drawn[key] = value(1.05, 1.6)
        elif key == "ns_steps":
            drawn[key] = int(rng.integers(3, 8))
        elif key in ("ns_coefficients", "ns_coeffs"):
            drawn[key] = (1.875, -1.25, 0.375)  # any others may blow up
        elif key in ("rms_rate", "consistent_rms") and (key in arguments or key == "rms_rate"):
            drawn[key] = value(0.1, 0.4)
        elif key == "etas":
            drawn[key] = (value(0.3, 0.9), value(1.05, 1.6))
        elif key == "lambd":
            drawn[key] = value(1e-4, 1e-1, log=True)
        elif key == "clipvalue" and "clipvalue" in arguments:
            drawn[key] = value(0.1, 2.0)
    return drawn


def constructor(name: str) -> Any:
    """The real constructor."""
    framework, _, function = name.partition(".")
    if framework == "tensorflow":
        import tensorflow as tf

        return getattr(tf.compat.v1.train, function)
    if framework == "keras":
        import keras

        return getattr(keras.optimizers, function)
    if framework == "keras_legacy":
        import tf_keras

        return getattr(tf_keras.optimizers.legacy, function)
    if framework == "torch":
        import torch

        return getattr(torch.optim, function)
    import optax

    return operator.attrgetter(function)(optax)


def default_lr(name: str) -> float:
    parameters = inspect.signature(constructor(name)).parameters
    return float((parameters.get("lr") or parameters["learning_rate"]).default)


def record(framework: str) -> dict[str, np.ndarray]:
    """All arrays of one framework's file."""
    rng = np.random.default_rng(2012)
    streams = {kind: gradients(kind, rng) for kind in SCALES}
    starts = dict.fromkeys(SCALES, np.array([1.5, -2.25, 1.125, -3.0]))
    configurations = [(f"{MODULES.get(framework, framework)}.{n}", a) for n, a in chosen(framework)]
    configurations += [(n, randomised(n, a, rng)) for n, a in configurations]
    if any(n in FOR_MATRICES for n, _ in configurations):  # random numbers of their own: the others keep theirs
        of_matrices = np.random.default_rng(2024)
        streams |= {kind: matrix_gradients(shape, of_matrices) for kind, shape in MATRICES.items()}
        starts |= {kind: of_matrices.normal(size=shape) for kind, shape in MATRICES.items()}
        if framework == "torch":
            configurations.append(("torch.Muon", {"lr": 0.02, "narrow_products": True}))
    if framework == "tensorflow":  # which then rounds them to float32
        configurations.append(("tensorflow.AdadeltaOptimizer", {"learning_rate": 1.0, "python_numbers": True}))
        configurations.append(("tensorflow.RMSPropOptimizer", {"learning_rate": 0.01, "python_numbers": True}))
    if framework == "keras_legacy":  # which keeps them in float32
        configurations = [(n, as_kept(n, a)) for n, a in configurations]
    index: list[dict[str, Any]] = []
    data: dict[str, list[np.ndarray]] = {"float32": [], "float64": []}
    lr_name = "lr" if framework == "torch" else "learning_rate"
    for name, arguments in configurations:
        arguments = {lr_name: default_lr(name)} | arguments if lr_name not in arguments else arguments
        plain = ["gentle" if arguments.get("centered") else "wide"]
        kinds = list(MATRICES) if name in FOR_MATRICES else plain
        for kind, dtype in itertools.product(kinds, data):
            if name == "keras_legacy.Nadam" and dtype == "float64":
                continue  # its product is kept for float32 variables alone: for others every step is taken as the first
            if name == "torch.Adafactor" and dtype == "float64" and "eps" not in arguments:
                continue  # the recipe has the ε of float32
            rows: dict[str, list[np.ndarray]] = {"x": []}
            given = dict(arguments)
            run = RUNNERS[framework](
                name.partition(".")[2], given, starts[kind].astype(dtype), streams[kind].astype(dtype)
            )
            for x, state in run:
                for key, value in {"x": x, **state}.items():
                    rows.setdefault(key, []).append(np.asarray(value, dtype=dtype))
            call = ", ".join(f"{n}={v!r}" for n, v in arguments.items() if n not in FLAGS)
            shapes = {key: [len(values), *values[0].shape] for key, values in rows.items()}
            entry = {"call": f"{name}({call})", "dtype": dtype, "stream": kind, "arrays": shapes}
            index.append(entry | {flag: True for flag in FLAGS if flag in arguments})
            data[dtype] += [np.ravel(values) for values in rows.values()]
    packages = {"tensorflow": "tensorflow_cpu", "keras_legacy": "tf_keras", "contrib": "optax", "keras_jax": "keras"}
    package = packages.get(framework, framework)
    names = dict.fromkeys(n for n, _ in configurations)
    about = {
        "framework": framework,
        "versions": {p: importlib.metadata.version(p) for p in (package, "numpy")},
        "drop": DROP,
        "signatures": {n: signature(n) for n in names},
        "traces": index,
    }
    if package == "optax" or framework == "keras_jax":
        about["versions"]["jax"] = importlib.metadata.version("jax")
    arrays = {f"stream.{kind}": stream for kind, stream in streams.items()}
    arrays |= {f"x0.{kind}": start for kind, start in starts.items()}
    return {"about": np.array(json.dumps(about)), **arrays, **{d: np.concatenate(v) for d, v in data.items()}}


def as_kept(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """All arguments with their numbers rounded to float32."""
    every = {n: p.default for n, p in inspect.signature(constructor(name)).parameters.items() if n != "kwargs"}
    every = {n: v for n, v in every.items() if n != "name"} | arguments
    rounded = {n: float(np.float32(v)) if isinstance(v, float) else v for n, v in every.items()}
    return {**rounded, "python_numbers": True}


def signature(name: str) -> dict[str, Any]:
    """The real constructor's arguments and defaults; "required" for those without one."""
    parameters = inspect.signature(constructor(name)).parameters.values()
    beside: dict[str, Any] = {}
    if name.startswith("keras_legacy."):  # what goes through **kwargs
        beside = {"clipnorm": None, "clipvalue": None, "global_clipnorm": None}
        beside |= {"schedule_decay": 0.004} if name.endswith("Nadam") else {"decay": 0.0}
    return {p.name: shown(p) for p in parameters if p.kind is not p.VAR_KEYWORD} | beside


def shown(parameter: inspect.Parameter) -> Any:
    """A default as JSON has it: of a function what it returns, of a type its name."""
    default = parameter.default
    if default is parameter.empty:
        return "required"
    if isinstance(default, type) or hasattr(default, "dtype"):
        return np.dtype(default).name
    if callable(default):
        return inspect.getsource(default).partition("lambda x: ")[2].strip(" ,\n")
    return default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frameworks", nargs="*", default=list(RUNNERS), help="which to record (default: all)")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder to write to")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    options.out.mkdir(parents=True, exist_ok=True)
    for framework in options.frameworks:
        if framework == "keras_jax" and os.environ["KERAS_BACKEND"] != "jax":  # a process has one backend
            command = [sys.executable, __file__, framework, "--out", str(options.out)]
            subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax"}, check=True)
            continue
        arrays = record(framework)
        path = options.out / f"{framework}.npz"
        np.savez_compressed(path, **arrays)
        count = len(json.loads(str(arrays["about"]))["traces"])
        print(f"{path.name}: {count} traces, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
