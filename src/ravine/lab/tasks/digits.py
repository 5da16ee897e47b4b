"""Handwritten digits (scikit-learn's, 8 × 8 pixels) and a perceptron, with knobs that make the task hard in one way."""

from __future__ import annotations

import itertools
from functools import cache, partial

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task, share_correct
from ravine.lab.tasks.tables import read

VALIDATION, TEST = 360, 360
TRAIN = 1797 - VALIDATION - TEST


@cache
def images() -> tuple[Tensor, Tensor]:
    """All 1797 images, shape (n, 64), in [0, 1], shuffled once and for all; and their digits."""
    pixels, labels = read("digits")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(pixels / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]


def data(label_noise: float = 0.0, scale_decades: float = 0.0, examples: int = TRAIN) -> Data:
    """At most 1077 images to train on, 360 to validate on, 360 to test on.

    `label_noise` is the share of training labels drawn anew by chance; pixels are multiplied by factors spread evenly,
    in random order, over `scale_decades` powers of ten around 1, so that gradients differ in scale as much.
    """
    generator = torch.Generator().manual_seed(1)
    inputs, labels = images()
    factors = 10 ** (scale_decades * (torch.randperm(64, generator=generator) / 63 - 0.5))
    inputs = inputs * factors
    train = labels[VALIDATION + TEST :].clone()
    noisy = torch.rand(len(train), generator=generator) < label_noise
    train[noisy] = torch.randint(10, (int(noisy.sum()),), generator=generator)
    return Data(
        train=(inputs[VALIDATION + TEST :][:examples], train[:examples]),
        validation=(inputs[:VALIDATION], labels[:VALIDATION]),
        test=(inputs[VALIDATION:][:TEST], labels[VALIDATION:][:TEST]),
    )


def model(width: int = 64, layers: int = 1) -> nn.Module:
    """64 inputs, `layers` hidden layers of `width` ReLUs, 10 outputs."""
    sizes = [64] + [width] * layers
    hidden: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        hidden += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))


def task(
    batch_size: int = 64,
    width: int = 64,
    layers: int = 1,
    label_noise: float = 0.0,
    scale_decades: float = 0.0,
    examples: int = TRAIN,
) -> Task:
    """The task; the options are those of `data` and `model`."""
    if not (0 <= label_noise <= 1 and scale_decades >= 0 and 1 <= examples <= TRAIN and width >= 1 and layers >= 0):
        raise ValueError(
            "label_noise must be in [0, 1], scale_decades at least 0, examples in [1, 1077], width at least 1, layers "
            f"at least 0; got {label_noise}, {scale_decades}, {examples}, {width}, {layers}"
        )
    changed = {
        "training labels drawn anew": f"{label_noise:.0%}" if label_noise else "",
        "powers of ten between the scales of pixels": f"{scale_decades:g}" if scale_decades else "",
        "training examples": str(examples) if examples < TRAIN else "",
    }
    extra = "".join(f"; {value} {what}" for what, value in changed.items() if value)
    shape = "-".join(["64", *[str(width)] * layers, "10"])
    return Task(
        name="digits",
        title="Handwritten digits, perceptron",
        about=f"scikit-learn's 1797 digits of 8 × 8 pixels; a {shape} perceptron with ReLU; cross-entropy{extra}.",
        data=partial(data, label_noise, scale_decades, examples),
        model=partial(model, width, layers),
        loss=nn.functional.cross_entropy,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=300,
    )
