"""The same digits and a residual network with batch normalisation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ravine.lab.task import Task, share_correct
from ravine.lab.tasks import digits


class Block(nn.Module):
    """Two 3 × 3 convolutions with batch normalisation, around which the input goes unchanged (He et al. 2016,
    arXiv:1512.03385); with a stride the way around is a 1 × 1 convolution."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1 or before != channels:
            self.around = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.around(x))


def model(width: int, blocks: int) -> nn.Module:
    """Three stages of `blocks` blocks with `width`, twice and four times as many channels on 8 × 8, 4 × 4 and 2 × 2."""
    stages: list[nn.Module] = []
    before = width
    for stage in range(3):
        for block in range(blocks):
            channels = width * 2**stage
            stages.append(Block(before, channels, 2 if stage and not block else 1))
            before = channels
    stem = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def task(batch_size: int = 64, width: int = 8, blocks: int = 1) -> Task:
    """The task. `width=16,blocks=3` is He et al.'s network of 20 layers for CIFAR-10, but for its input."""
    layers = 6 * blocks + 2
    return Task(
        name="digits-resnet",
        title="Handwritten digits, residual network",
        about=f"scikit-learn's 1797 digits of 8 × 8 pixels; a residual network of {layers} layers, {width} channels "
        "and batch normalisation; cross-entropy.",
        data=digits.data,
        model=partial(model, width, blocks),
        loss=nn.functional.cross_entropy,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=200,
        evaluations=20,
    )
