"""The same digits and a small convolutional network."""

from __future__ import annotations

from functools import partial

from torch import nn

from ravine.lab.task import Task, share_correct
from ravine.lab.tasks import digits


def model(width: int = 8) -> nn.Module:
    """Two 3 × 3 convolutions of `width` and twice as many channels, then one linear layer."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 4 * 4, 10),
    )


def task(batch_size: int = 64, width: int = 8) -> Task:
    """The task; `width` is that of `model`. Raises ValueError for a width below 1."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return Task(
        name="digits-cnn",
        title="Handwritten digits, convolutional",
        about="scikit-learn's 1797 digits of 8 × 8 pixels; two small convolutions of "
        f"{width} and {2 * width} channels and a linear layer; cross-entropy.",
        data=digits.data,
        model=partial(model, width),
        loss=nn.functional.cross_entropy,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=400,
    )
