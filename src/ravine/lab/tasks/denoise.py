"""A denoising autoencoder on patches of two photographs that come with scikit-learn."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from ravine.lab.task import Data, Task

SIDE, VALIDATION, TEST = 8, 512, 512


def data(noise: float, examples: int) -> Data:
    """Grey patches of 8 × 8 pixels with normal noise of that deviation, and the same without, both of variance about
    one. Validation and test patches lie below those that are trained on in both photographs."""
    from sklearn.datasets import load_sample_images

    generator = torch.Generator().manual_seed(0)
    photographs = [torch.tensor(i, dtype=torch.float32).mean(-1) / 255 for i in load_sample_images().images]
    parts = []
    for upper, lower, count in ((0.0, 0.7, examples), (0.7, 0.85, VALIDATION), (0.85, 1.0, TEST)):
        clean = torch.cat([_patches(p, upper, lower, count // 2, generator) for p in photographs])
        clean = (clean - 0.45) / 0.25
        parts.append((clean + noise * torch.randn(clean.shape, generator=generator), clean))
    return Data(*parts)


def _patches(
    photograph: torch.Tensor, upper: float, lower: float, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Patches at random places between two shares of the height, shape (count, 64)."""
    height, width = photograph.shape
    rows = torch.randint(round(upper * height), round(lower * height) - SIDE, (count,), generator=generator)
    columns = torch.randint(0, width - SIDE, (count,), generator=generator)
    step = torch.arange(SIDE)
    return photograph[rows[:, None, None] + step[:, None], columns[:, None, None] + step].flatten(1)


def model(width: int, code: int) -> nn.Module:
    """64 pixels through a hidden layer to a code, and back."""
    return nn.Sequential(
        *(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, code), nn.ReLU()),
        *(nn.Linear(code, width), nn.ReLU(), nn.Linear(width, 64)),
    )


def task(batch_size: int = 64, width: int = 128, code: int = 24, noise: float = 0.5, examples: int = 8192) -> Task:
    """The task; `noise` is the deviation of what is to be removed, `code` the size of the narrowest layer."""
    if not (noise >= 0 and examples >= 2 and width >= 1 and code >= 1):
        raise ValueError(
            f"noise must be at least 0, examples 2, width and code 1; got {noise}, {examples}, {width}, {code}"
        )
    return Task(
        name="denoise",
        title="Patches of photographs, denoising autoencoder",
        about=f"8 × 8 patches of scikit-learn's two photographs with noise of deviation {noise:g}; a "
        f"64-{width}-{code}-{width}-64 autoencoder with ReLU; mean squared error.",
        data=partial(data, noise, examples),
        model=partial(model, width, code),
        loss=nn.functional.mse_loss,
        batch_size=batch_size,
        steps=300,
    )
