"""Handwritten digits (scikit-learn's, 8 × 8 pixels) and a small perceptron."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task, share_correct


@cache
def images() -> tuple[Tensor, Tensor]:
    """All 1797 images, shape (n, 64), in [0, 1], shuffled once and for all; and their digits."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(pixels / 16, dtype=torch.float32)[order], torch.tensor(labels)[order]


def data() -> Data:
    """1437 images to train on, 360 to validate on."""
    inputs, labels = images()
    return Data(train=(inputs[360:], labels[360:]), validation=(inputs[:360], labels[:360]))


def model() -> nn.Module:
    """64-64-10 with a ReLU between."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


task = Task(
    name="digits",
    title="Handwritten digits, perceptron",
    about="scikit-learn's 1797 digits of 8 × 8 pixels; a 64-64-10 perceptron with ReLU; cross-entropy.",
    data=data,
    model=model,
    loss=nn.functional.cross_entropy,
    accuracy=share_correct,
    batch_size=64,
    steps=400,
)
