"""The same digits and a small convolutional network."""

from __future__ import annotations

from torch import nn

from ravine.lab.task import Task, share_correct
from ravine.lab.tasks import digits


def model() -> nn.Module:
    """Two 3 × 3 convolutions of 8 and 16 channels, then one linear layer."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )


def task(batch_size: int = 64) -> Task:
    """The task."""
    return Task(
        name="digits-cnn",
        title="Handwritten digits, convolutional",
        about="scikit-learn's 1797 digits of 8 × 8 pixels; two small convolutions and a linear layer; cross-entropy.",
        data=digits.data,
        model=model,
        loss=nn.functional.cross_entropy,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=400,
    )
