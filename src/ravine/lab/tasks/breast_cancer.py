"""Malignant or benign, by logistic regression: a convex task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task
from ravine.lab.tasks.tables import read


def data() -> Data:
    """341 cases to train on, 114 to validate and 114 to test on; 30 measurements each, standardised by the first."""
    measured, labels = read("breast_cancer")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    inputs, targets = torch.tensor(measured)[order], torch.tensor(labels, dtype=torch.float32)[order]
    train = inputs[228:]
    inputs = ((inputs - train.mean(0)) / train.std(0)).float()
    parts = {"train": slice(228, None), "validation": slice(114), "test": slice(114, 228)}
    return Data(**{name: (inputs[part], targets[part]) for name, part in parts.items()})


def model() -> nn.Module:
    """One weight a measurement, and a bias."""
    return nn.Sequential(nn.Linear(30, 1), nn.Flatten(0))


def share_correct(outputs: Tensor, targets: Tensor) -> float:
    """The share of cases on the right side of even odds."""
    return float(((outputs > 0) == (targets > 0.5)).double().mean())


def task(batch_size: int = 32) -> Task:
    """The task."""
    return Task(
        name="breast-cancer",
        title="Breast cancer, logistic regression",
        about="scikit-learn's 569 cases of 30 measurements, malignant or benign; logistic regression; convex.",
        data=data,
        model=model,
        loss=nn.functional.binary_cross_entropy_with_logits,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=300,
    )
