"""What the real frameworks do where squares overflow and variances cancel: the numbers of docs/dialects.md.

Run by `make check-extremes`, with TensorFlow, Keras, torch, JAX and optax in an environment of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import tensorflow as tf
import torch

Array = np.ndarray
Follow = Callable[[list[Array]], Iterator[Array]]
v1 = tf.compat.v1


def torch_follows(name: str, **options: Any) -> Follow:
    def follow(gradients: list[Array]) -> Iterator[Array]:
        p = torch.nn.Parameter(torch.zeros(len(gradients[0])))
        optimizer = getattr(torch.optim, name)([p], **options)
        for g in gradients:
            p.grad = torch.from_numpy(g.copy())
            optimizer.step()
            yield p.detach().numpy().copy()

    return follow


def keras_follows(name: str, **options: Any) -> Follow:
    def follow(gradients: list[Array]) -> Iterator[Array]:
        x, optimizer = keras.Variable(np.zeros_like(gradients[0])), getattr(keras.optimizers, name)(**options)
        for g in gradients:
            optimizer.apply_gradients([(tf.constant(g), x)])
            yield x.numpy()

    return follow


def tensorflow_follows(name: str, *arguments: float, **options: Any) -> Follow:
    def follow(gradients: list[Array]) -> Iterator[Array]:
        with tf.Graph().as_default(), v1.Session() as session:
            x, g = (
                v1.get_variable("x", initializer=tf.zeros(len(gradients[0])), use_resource=True),
                v1.placeholder("float"),
            )
            step = getattr(v1.train, name)(*arguments, **options).apply_gradients([(g, x)])
            session.run(v1.global_variables_initializer())
            for value in gradients:
                session.run(step, {g: value})
                yield session.run(x)

    return follow


def optax_follows(name: str, *arguments: float, **options: Any) -> Follow:
    def follow(gradients: list[Array]) -> Iterator[Array]:
        transformation = getattr(optax, name)(*arguments, **options)
        x, update = jnp.zeros(len(gradients[0]), jnp.float32), jax.jit(transformation.update)
        state = transformation.init(x)
        for g in gradients:
            step, state = update(jnp.asarray(g), state, x)
            x = x + step
            yield np.asarray(x)

    return follow


PEAKED: dict[str, Follow] = {f"torch {n}": torch_follows(n) for n in ("Adam", "RMSprop", "Adadelta", "NAdam", "RAdam")}
PEAKED |= {f"keras {n}": keras_follows(n) for n in ("Adam", "RMSprop", "Adadelta", "Nadam")}
PEAKED |= {f"tensorflow {n}": tensorflow_follows(n + "Optimizer", 0.1) for n in ("Adam", "RMSProp", "Adadelta")}
PEAKED |= {f"optax {n}": optax_follows(n, 0.1) for n in ("adam", "rmsprop", "adadelta", "nadam", "radam")}


def centred(rho: float) -> dict[str, Follow]:
    return {
        "torch": torch_follows("RMSprop", alpha=rho, centered=True),
        "optax": optax_follows("rmsprop", 0.001, decay=rho, centered=True),
        "Keras": keras_follows("RMSprop", rho=rho, centered=True),
        "TensorFlow 1": tensorflow_follows("RMSPropOptimizer", 0.001, decay=rho, centered=True),
    }


def half_precision() -> dict[str, float]:
    """Where Adam with lr = 0.01 brings a bfloat16 parameter of 1 in 50 steps of gradient 1."""
    found = {}
    for name in ("Keras", "optax"):
        if name == "Keras":
            variable = keras.Variable(np.ones(1), dtype="bfloat16")
            optimizer = keras.optimizers.Adam(0.01)
            optimizer.build([variable])
            for _ in range(50):
                optimizer.apply([keras.ops.ones(1, "bfloat16")], [variable])
            found[name] = float(keras.ops.cast(variable, "float32")[0])
        else:
            x, tx = jnp.ones(1, jnp.bfloat16), optax.adam(0.01)
            state = tx.init(x)
            for _ in range(50):
                updates, state = tx.update(jnp.ones(1, jnp.bfloat16), state, x)
                x = optax.apply_updates(x, updates)
            found[name] = float(x[0])
    return found


def main() -> None:
    for name, value in half_precision().items():
        print(f"Adam in bfloat16, 50 steady gradients: {name}: 1 becomes {value:.4f}")
    print("Among gradients of 1 one of 3e19, 1.5e20 or 2e21, then: the next three steps")
    peaks = np.array([3e19, 1.5e20, 2e21], np.float32)
    gradients = [np.ones(3, np.float32)] * 3 + [peaks] + [np.ones(3, np.float32)] * 4
    for name, follow in PEAKED.items():
        steps = np.diff(np.stack(list(follow(gradients))), axis=0)[3:6]
        print(f"{name:20}", *(f"{p:.1e}: {', '.join(f'{s:.3g}' for s in steps[:, i])};" for i, p in enumerate(peaks)))
    steady = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    for rho in (0.9, 0.99):
        for name, follow in centred(rho).items():
            *_, last = follow([steady] * 1500)
            print(f"centred, rho = {rho}, 1,500 steady gradients: {name}: {np.isnan(last).sum()} of 10,000 are NaN")


if __name__ == "__main__":
    main()
