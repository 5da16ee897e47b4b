"""Let the real frameworks write the files that people have, and record how their training went on from there.

Run by `make record-files` in the environment of `make record-traces`. Of Ravine it uses nothing. Writes to
tests/recorded/files/: the files, and in `after.npz` the parameters at the time of saving and some steps later.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

OUT = Path(__file__).resolve().parent.parent / "tests" / "recorded" / "files"
BEFORE, AFTER = 5, 8
SHAPES = {"one/kernel": (3, 4), "one/bias": (4,), "two/kernel": (4, 2), "two/bias": (2,)}
MODEL = {
    **{"net.one.weight": (3, 4), "net.one.bias": (3,), "net.norm.weight": (3,), "net.norm.bias": (3,)},
    **{"net.two.weight": (2, 3), "net.two.bias": (2,)},
}
"""The parameters of the torch model in recorders/torch_files.py."""


def gradients(t: int, shapes: dict[str, tuple[int, ...]] = SHAPES) -> list[np.ndarray]:
    """The gradients of step t, one for each parameter; the tests make the same."""
    return [np.random.default_rng([t, k]).normal(size=s).astype(np.float32) for k, s in enumerate(shapes.values())]


def keras_files(found: dict[str, np.ndarray]) -> None:
    import keras

    cases = {
        "adam.keras": keras.optimizers.Adam(0.01),
        "amsgrad.weights.h5": keras.optimizers.Adam(0.01, amsgrad=True),
        "adamw.h5": keras.optimizers.AdamW(0.02, weight_decay=0.1),
        "rmsprop.keras": keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
        "adadelta.keras": keras.optimizers.Adadelta(1.0),
        "nadam.h5": keras.optimizers.Nadam(0.01),
        "sgd.keras": keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        "cosine.keras": keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.001, 10, alpha=0.1, warmup_target=0.05, warmup_steps=3)
        ),
        "ema.keras": keras.optimizers.RMSprop(0.01, momentum=0.9, use_ema=True, ema_momentum=0.9),
        "ema.h5": keras.optimizers.Adam(0.01, use_ema=True),
        "ema-all.keras": keras.optimizers.SGD(
            0.1, momentum=0.9, nesterov=True, weight_decay=0.1, global_clipnorm=2.0, use_ema=True, ema_momentum=0.8
        ),
        "ema-often.keras": keras.optimizers.SGD(
            0.1, momentum=0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3
        ),
        "ema-sums.keras": keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, gradient_accumulation_steps=2),
        "scaled.keras": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.9), initial_scale=1.0),
        "clipnorm.keras": keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0),
        "clipped.keras": keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=2.0),
        "clipvalue.keras": keras.optimizers.RMSprop(0.01, clipvalue=0.5),
        "factor.keras": keras.optimizers.Adam(0.01, loss_scale_factor=8.0),
        "accumulated.keras": keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
        "free-tensorflow.h5": keras.optimizers.ScheduleFreeAdamW(0.02, weight_decay=0.1),
        "free-tensorflow.keras": keras.optimizers.ScheduleFreeAdamW(0.02, weight_decay=0.1),
        "adafactor.keras": keras.optimizers.Adafactor(0.5, weight_decay=0.1, use_ema=True),
    }
    record_keras(found, cases)


def keras_jax_files(found: dict[str, np.ndarray]) -> None:
    """ScheduleFreeAdamW computes otherwise with other backends, and a process has one."""
    if os.environ["KERAS_BACKEND"] == "jax":
        import keras

        record_keras(found, {"free-jax.h5": keras.optimizers.ScheduleFreeAdamW(0.02, weight_decay=0.1)})
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KERAS_BACKEND": "jax", "RECORDED": f"{folder}/found.npz"}
        subprocess.run([sys.executable, __file__, "keras_jax_files"], env=environment, check=True)
        found |= np.load(f"{folder}/found.npz", allow_pickle=False)


def record_keras(found: dict[str, np.ndarray], cases: dict[str, Any]) -> None:
    import keras

    for name, optimizer in cases.items():
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Input((3,)), keras.layers.Dense(4, name="one"), keras.layers.Dense(2, name="two")]
        model = keras.Sequential(layers)
        model.compile(optimizer, "mse", auto_scale_loss=False)
        optimizer.build(model.trainable_variables)
        step(optimizer, model, range(BEFORE))
        model.save_weights(OUT / name) if ".weights." in name else model.save(OUT / name)
        keep(found, name, "saved", [v.numpy() for v in model.trainable_variables])
        step(optimizer, model, range(BEFORE, BEFORE + AFTER))
        keep(found, name, "after", [v.numpy() for v in model.trainable_variables])
        if optimizer.use_ema:
            keep(found, name, "average", [v.numpy() for v in optimizer._model_variables_moving_average])


def step(optimizer: Any, model: Any, steps: range) -> None:
    import keras

    for t in steps:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients(t)], model.trainable_variables)


def optax_files(found: dict[str, np.ndarray]) -> None:
    import jax.numpy as jnp
    import optax
    from flax import serialization

    cases = {
        "chain.msgpack": optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(optax.cosine_decay_schedule(0.1, 20))),
        "clipped.msgpack": optax.chain(optax.clip_by_global_norm(2.0), optax.adamw(0.05)),
        "inject.msgpack": optax.inject_hyperparams(optax.sgd)(learning_rate=0.05, momentum=0.9),
        "multi.msgpack": optax.MultiSteps(optax.rmsprop(0.01), every_k_schedule=1).gradient_transformation(),
        "adafactor.msgpack": optax.adafactor(0.05, min_dim_size_to_factor=2),
        "adafactor-some.msgpack": optax.adafactor(0.05, min_dim_size_to_factor=3),
        "adafactor-whole.msgpack": optax.adafactor(0.05),
        "novograd.msgpack": optax.novograd(0.01, weight_decay=0.1),
        "free.msgpack": optax.contrib.schedule_free_adamw(0.01, weight_decay=0.1),
        "free-sgd.msgpack": optax.contrib.schedule_free_sgd(0.05, weight_decay=0.1),
    }
    for name, tx in cases.items():
        rng = np.random.default_rng(2)
        names = [n.replace("/", "_") for n in SHAPES]
        params = {n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in zip(names, SHAPES.values(), strict=True)}
        state = tx.init(params)
        for t in range(BEFORE + AFTER):
            if t == BEFORE:
                (OUT / name).write_bytes(serialization.to_bytes(state))
                keep(found, name, "saved", [params[n] for n in names])
            grads = dict(zip(names, map(jnp.asarray, gradients(t)), strict=True))
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        keep(found, name, "after", [params[n] for n in names])


def timm_files(found: dict[str, np.ndarray]) -> None:
    import torch

    where = importlib.util.find_spec("timm")
    assert where is not None
    for package in ("timm", "timm.optim"):  # without their __init__, which want a torchvision that fits torch's build
        sys.modules[package] = types.ModuleType(package)
        folder = Path(str(where.origin)).parent.parent.joinpath(*package.split("."))
        sys.modules[package].__path__ = [str(folder)]
    RMSpropTF = importlib.import_module("timm.optim.rmsprop_tf").RMSpropTF  # noqa: N806

    for name, decay in {"rmsprop_tf.pt": 0.0, "rmsprop_tf_decay.pt": 0.1}.items():
        rng = np.random.default_rng(3)
        params = [torch.nn.Parameter(torch.tensor(rng.normal(size=s), dtype=torch.float32)) for s in SHAPES.values()]
        optimizer = RMSpropTF(params, lr=0.01, alpha=0.9, eps=1e-3, momentum=0.9, weight_decay=decay)
        for t in range(BEFORE + AFTER):
            if t == BEFORE:
                torch.save(optimizer.state_dict(), OUT / name)
                keep(found, name, "saved", [p.detach().numpy() for p in params])
            for p, g in zip(params, gradients(t), strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()
        keep(found, name, "after", [p.detach().numpy() for p in params])


def keep(found: dict[str, np.ndarray], name: str, when: str, values: list[Any]) -> None:
    found.update({f"{name}/{when}/{k}": np.array(v) for k, v in enumerate(values)})


def torch_files(found: dict[str, np.ndarray]) -> None:
    from recorders import torch_files

    torch_files.record(OUT, functools.partial(keep, found), lambda t: gradients(t, MODEL), BEFORE, AFTER)


def tensorflow_files(found: dict[str, np.ndarray]) -> None:
    from recorders import tensorflow_files

    tensorflow_files.record(OUT, functools.partial(keep, found), gradients, SHAPES, BEFORE, AFTER)


def orbax_files(found: dict[str, np.ndarray]) -> None:
    from recorders import orbax_files

    orbax_files.record(OUT, functools.partial(keep, found), gradients, SHAPES, BEFORE, AFTER)


RECORDERS = {
    f.__name__: f
    for f in (keras_files, keras_jax_files, optax_files, timm_files, torch_files, tensorflow_files, orbax_files)
}


def main() -> None:
    """Record all, or what is named: "torch_files" alone adds to the files that are there."""
    chosen = sys.argv[1:] or list(RECORDERS)
    found: dict[str, np.ndarray] = {}
    is_part = "RECORDED" in os.environ  # of another process
    if sys.argv[1:] and not is_part:
        found |= np.load(OUT / "after.npz", allow_pickle=False)
    elif not is_part:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
    for name in chosen:
        RECORDERS[name](found)
    np.savez_compressed(os.environ.get("RECORDED", OUT / "after.npz"), **found)


if __name__ == "__main__":
    main()
