"""A small character transformer that learns to write Python from the standard library's own source."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task

CONTEXT, WIDTH, HEADS, LAYERS = 64, 64, 4, 2
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
UNKNOWN = len(ALPHABET)
TRAIN_WINDOWS, VALIDATION_WINDOWS, TEST_WINDOWS = 16_000, 64, 256


def data() -> Data:
    """Windows of 64 characters, each with the 64 that follow by one; of ten files one validates, one tests."""
    train, validation, test = split_files()
    return Data(_windows(train, TRAIN_WINDOWS), _windows(validation, VALIDATION_WINDOWS), _windows(test, TEST_WINDOWS))


def split_files() -> tuple[list[Path], list[Path], list[Path]]:
    """The standard library's modules to train, validate and test on."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    return [f for i, f in enumerate(files) if i % 10 not in (0, 5)], files[::10], files[5::10]


def _windows(files: list[Path], count: int) -> tuple[Tensor, Tensor]:
    """At most `count` windows spread evenly over the files' text."""
    code = {c: i for i, c in enumerate(ALPHABET)}
    text = "".join(f.read_text(encoding="utf-8", errors="replace") for f in files)
    tokens = torch.tensor([code.get(c, UNKNOWN) for c in text], dtype=torch.uint8)
    starts = torch.linspace(0, len(tokens) - CONTEXT - 1, min(count, len(tokens) // CONTEXT)).long()
    windows = tokens[starts[:, None] + torch.arange(CONTEXT + 1)]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


class Block(nn.Module):
    """Pre-norm attention to the past, then a two-layer perceptron `factor` times as wide."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, factor: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, factor * width), nn.GELU(), nn.Linear(factor * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        mixed: Tensor = self.mlp(self.norm2(x))
        return x + mixed


class Transformer(nn.Module):
    """Characters (batch, length) to logits (batch, length, characters)."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(UNKNOWN + 1, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, UNKNOWN + 1))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.characters(tokens.long()) + self.positions
        logits: Tensor = self.head(self.blocks(x))
        return logits


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the next character, in nats."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.long().flatten())


def share_correct(logits: Tensor, targets: Tensor) -> float:
    """The share of characters guessed."""
    return float((logits.argmax(-1) == targets.long()).double().mean())


def task(batch_size: int = 8) -> Task:
    """The task."""
    return Task(
        name="stdlib-lm",
        title="Python's standard library, character transformer",
        about=(
            "The source of Python's standard library, character by character; a transformer of 2 layers, "
            "width 64, context 64; cross-entropy in nats."
        ),
        data=data,
        model=Transformer,
        loss=loss,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=200,
        evaluations=20,
    )
