"""Let the real Keras and TensorFlow 1 go on from converted torch states, and compare with torch going on itself.

Run by `make check-conversion` in the environment of `make record-traces`. Prints one line a conversion; the exit status
is 1 if one is off by more than float32 explains.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
import torch

from ravine import convert, dialects

HALF, STEPS, LIMIT = 10, 20, 2e-6
CALLS = [  # ε is zero where the frameworks put it in different places
    "torch.SGD(lr=0.05, momentum=0.9)",
    "torch.SGD(lr=0.05, momentum=0.9, nesterov=True)",
    "torch.RMSprop(eps=0.0)",
    "torch.RMSprop(momentum=0.9, eps=0.0)",
    "torch.Adagrad(eps=0.0)",
    "torch.Adadelta()",
    "torch.Adam(lr=0.01, eps=0.0)",
    "torch.Adam(lr=0.01, eps=0.0, amsgrad=True)",
    "torch.NAdam(lr=0.01, momentum_decay=1.0)",
]


def go_on_in_keras(call: str, x: np.ndarray, state: dict[str, np.ndarray], gradients: np.ndarray) -> np.ndarray:
    constructor, arguments = dialects.parse(call)
    optimizer = getattr(keras.optimizers, constructor.name)(**arguments)
    variable = keras.Variable(x, name="x")
    optimizer.build([variable])
    for own in optimizer.variables:
        name = own.path.rpartition("/")[2]
        own.assign(state["u_product"] if name.startswith("variable") else state[name])
    for g in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
    return np.asarray(variable.numpy())


def go_on_in_tensorflow(call: str, x: np.ndarray, state: dict[str, np.ndarray], gradients: np.ndarray) -> np.ndarray:
    constructor, arguments = dialects.parse(call)
    optimizer: Any = getattr(tf.compat.v1.train, constructor.name)(**arguments)
    variable = tf.Variable(x)
    optimizer.apply_gradients([(tf.zeros_like(variable), variable)])  # makes the slots
    variable.assign(x)
    for name in optimizer.get_slot_names():
        if f"x/{name}" in state:  # RMSProp has a momentum slot even without momentum
            optimizer.get_slot(variable, name).assign(state[f"x/{name}"].astype(x.dtype))
    if "beta1_power" in state:
        for power, name in zip(optimizer._get_beta_accumulators(), ("beta1_power", "beta2_power"), strict=True):
            power.assign(state[name])
    for g in gradients:
        optimizer.apply_gradients([(tf.constant(g), variable)])
    return np.asarray(variable.numpy())


def main() -> int:
    rng = np.random.default_rng(0)
    start, gradients = np.array([1.0, -2.0, 0.5, 3.0], np.float32), rng.normal(size=(STEPS, 4)).astype(np.float32)
    worst = 0.0
    for call in CALLS:
        constructor, arguments = dialects.parse(call)
        p = torch.nn.Parameter(torch.tensor(start))
        optimizer = getattr(torch.optim, constructor.name)([("x", p)], **arguments)
        for step, g in enumerate(gradients):
            if step == HALF:
                half, saved = p.detach().numpy().copy(), convert.from_torch(optimizer.state_dict())
            p.grad = torch.tensor(g)
            optimizer.step()
        for framework, go_on in {"keras": go_on_in_keras, "tensorflow": go_on_in_tensorflow}.items():
            try:
                outcome = convert.move(convert.read(*saved), framework)
            except ValueError as error:
                print(f"{call} → {framework}: refused: {error}")
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "state.npz"
                convert.save(path, outcome.state)
                tensors = convert.write(convert.load(path, framework))
            found = go_on(outcome.state.call, half, tensors, gradients[HALF:])
            off = float(np.max(np.abs(found / p.detach().numpy() - 1)))
            worst = max(worst, off)
            print(f"{call} → {outcome.state.call}: {outcome.grade}; off by {off:.1e}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
