"""The progress of diabetes from ten measurements: tabular regression with a small perceptron."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from ravine.lab.task import Data, Task

VALIDATION, TEST = 88, 88


def data() -> Data:
    """266 patients to train on, 88 to validate and 88 to test on; ten measurements and the progress after a year, all
    standardised by the patients to train on."""
    from sklearn.datasets import load_diabetes

    measured, progress = load_diabetes(return_X_y=True, scaled=False)
    order = torch.randperm(len(progress), generator=torch.Generator().manual_seed(0))
    inputs, targets = torch.tensor(measured)[order], torch.tensor(progress)[order].unsqueeze(1)
    train = slice(VALIDATION + TEST, None)
    inputs = ((inputs - inputs[train].mean(0)) / inputs[train].std(0)).float()
    targets = ((targets - targets[train].mean()) / targets[train].std()).float()
    validation, test = slice(VALIDATION), slice(VALIDATION, VALIDATION + TEST)
    return Data(*((inputs[part], targets[part]) for part in (train, validation, test)))


def model(width: int) -> nn.Module:
    """Two hidden layers with GELU and layer normalisation."""
    return nn.Sequential(
        nn.Linear(10, width),
        nn.LayerNorm(width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.LayerNorm(width),
        nn.GELU(),
        nn.Linear(width, 1),
    )


def task(batch_size: int = 32, width: int = 32) -> Task:
    """The task; `width` of the hidden layers."""
    return Task(
        name="diabetes",
        title="Diabetes, tabular regression",
        about=f"scikit-learn's 442 patients, ten measurements; a 10-{width}-{width}-1 perceptron with layer "
        "normalisation; mean squared error of the standardised progress.",
        data=data,
        model=partial(model, width),
        loss=nn.functional.mse_loss,
        batch_size=batch_size,
        steps=200,
    )
