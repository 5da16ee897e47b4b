"""Checkpoints of TensorFlow 1's Saver, of tf.train.Checkpoint, and of Keras 2 with its legacy optimizers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

Keep = Callable[[str, str, list[Any]], None]
Gradients = Callable[[int], list[np.ndarray]]


def record(out: Path, keep: Keep, gradients: Gradients, shapes: dict[str, Any], before: int, after: int) -> None:
    """Write the files to `out`, and the parameters at and some steps after saving to `keep`."""
    steps = before + after
    v1 = tf.compat.v1.train
    savers = {
        "saver-rmsprop": lambda: v1.RMSPropOptimizer(0.01, momentum=0.9, epsilon=0.1),
        "saver-centered": lambda: v1.RMSPropOptimizer(0.01, momentum=0.5, centered=True, name="mine"),
        "saver-adam": lambda: v1.AdamOptimizer(0.01),
        "saver-momentum": lambda: v1.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
        "saver-adadelta": lambda: v1.AdadeltaOptimizer(1.0),
    }
    for name, make in savers.items():
        saver(out, keep, gradients, shapes, before, steps, name, make)
    parts = tf.compat.v1.fixed_size_partitioner(2)  # along the first axis
    saver(out, keep, gradients, shapes, before, steps, "saver-parted", lambda: v1.AdamOptimizer(0.01), parts)
    checkpoint(out, keep, gradients, shapes, before, steps)
    keras_2(out, keep, gradients, shapes, before, steps)


def saver(
    out: Path,
    keep: Keep,
    gradients: Gradients,
    shapes: Any,
    before: int,
    steps: int,
    name: str,
    make: Any,
    partitioner: Any = None,
) -> None:
    v1 = tf.compat.v1
    rng = np.random.default_rng(5)
    with tf.Graph().as_default(), v1.Session() as session:
        initial = [initializer(rng.normal(size=s).astype(np.float32)) for s in shapes.values()]
        variables = [
            v1.get_variable(n, s, initializer=i, use_resource=False, partitioner=partitioner)
            for (n, s), i in zip(shapes.items(), initial, strict=True)
        ]
        count = v1.train.get_or_create_global_step()
        feeds = [v1.placeholder(tf.float32, s) for s in shapes.values()]
        losses = [tf.reduce_sum(tf.convert_to_tensor(v) * g) for v, g in zip(variables, feeds, strict=True)]
        step = make().minimize(tf.add_n(losses), global_step=count)
        variables = [tf.convert_to_tensor(v) for v in variables]
        session.run(v1.global_variables_initializer())
        for t in range(steps):
            if t == before:
                with contextlib.chdir(out):  # the folder's name goes into a file
                    v1.train.Saver().save(session, f"{name}/model.ckpt", global_step=t, write_meta_graph=False)
                keep(name, "saved", session.run(variables))
            session.run(step, dict(zip(feeds, gradients(t), strict=True)))
        keep(name, "after", session.run(variables))


def initializer(values: np.ndarray) -> Any:
    """What a variable, or a part of one, starts at."""

    def start(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        corner = partition_info.var_offset if partition_info else [0] * values.ndim
        return tf.constant(values[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))])

    return start


def built(keras: Any, rate: Any, shapes: Any) -> Any:
    keras.utils.set_random_seed(6)
    layers = [keras.layers.Dense(4, name="one"), keras.layers.Dense(2, name="two")]
    model = keras.Sequential([keras.layers.Input((3,)), *layers], name="net")
    model.compile(rate, "mse")
    return model


def checkpoint(out: Path, keep: Keep, gradients: Gradients, shapes: Any, before: int, steps: int) -> None:
    import keras

    cases = {
        "checkpoint": keras.optimizers.AdamW(0.01, weight_decay=0.1),
        "checkpoint-ema": keras.optimizers.Adafactor(0.3, use_ema=True, ema_momentum=0.7),
    }
    for name, optimizer in cases.items():
        model = built(keras, optimizer, shapes)
        for t in range(steps):
            if t == before:
                tf.train.Checkpoint(net=model, opt=optimizer).save(str(out / name / "ckpt"))
                keep(name, "saved", [v.numpy() for v in model.trainable_variables])
            optimizer.apply([tf.constant(g) for g in gradients(t)], model.trainable_variables)
        keep(name, "after", [v.numpy() for v in model.trainable_variables])
        if optimizer.use_ema:
            keep(name, "average", [v.numpy() for v in optimizer._model_variables_moving_average])


def keras_2(out: Path, keep: Keep, gradients: Gradients, shapes: Any, before: int, steps: int) -> None:
    import tf_keras as keras

    legacy = keras.optimizers.legacy
    cases = {
        "legacy-adam": legacy.Adam(0.01, decay=0.05),
        "legacy-rmsprop.h5": legacy.RMSprop(0.01, momentum=0.9),
        "legacy-sgd.h5": legacy.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.5), momentum=0.9),
        "legacy-model": legacy.Adagrad(0.05),
        "keras2-adam": keras.optimizers.Adam(0.01),
    }
    for name, optimizer in cases.items():
        model = built(keras, optimizer, shapes)
        for t in range(steps):
            if t == before:
                if name.endswith(".h5"):
                    model.save(out / name)
                elif name.endswith("model"):
                    model.save(out / name, save_format="tf")
                    shutil.rmtree(out / name / "assets", ignore_errors=True)
                    for other in ("keras_metadata.pb", "fingerprint.pb", "saved_model.pb"):
                        (out / name / other).unlink(missing_ok=True)
                else:
                    tf.train.Checkpoint(net=model, optimizer=optimizer).write(str(out / name / "ckpt"))
                keep(name, "saved", [v.numpy() for v in model.trainable_variables])
            grads = [tf.constant(g) for g in gradients(t)]
            optimizer.apply_gradients(list(zip(grads, model.trainable_variables, strict=True)))
        keep(name, "after", [v.numpy() for v in model.trainable_variables])
