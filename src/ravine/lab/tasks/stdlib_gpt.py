"""A transformer of a million parameters and more on the source of Python's standard library, in pieces of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task
from ravine.lab.tasks import stdlib_lm

PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+")
"""Words, numbers and signs with a space before them, and white space: together all of a text."""
CHARACTERS = [chr(i) for i in range(32, 127)] + ["\n", "\t"]


class Tokenizer:
    """The most frequent pieces have a token each; any other piece is spelled in characters. Nothing is lost but
    characters outside ASCII, which all have one token, the last."""

    def __init__(self, texts: Iterable[str], size: int) -> None:
        counts = Counter(piece for text in texts for piece in PIECE.findall(text))
        frequent = [p for p, _ in counts.most_common(size) if len(p) > 1]
        self.pieces = [*CHARACTERS, *frequent][: size - 1]
        self.code = {piece: i for i, piece in enumerate(self.pieces)}
        self.size = size

    def encode(self, text: str) -> list[int]:
        """Text to tokens."""
        other = self.size - 1
        return [
            token
            for piece in PIECE.findall(text)
            for token in ([self.code[piece]] if piece in self.code else [self.code.get(c, other) for c in piece])
        ]

    def decode(self, tokens: Iterable[int]) -> str:
        """Tokens to text."""
        return "".join(self.pieces[t] if t < len(self.pieces) else "\N{REPLACEMENT CHARACTER}" for t in tokens)


def data(context: int, vocabulary: int, windows: int) -> Data:
    """Windows of `context` tokens, each with those that follow by one; the tokenizer is that of the training files."""
    texts = [[f.read_text(encoding="utf-8", errors="replace") for f in part] for part in stdlib_lm.split_files()]
    tokenizer = Tokenizer(texts[0], vocabulary)
    parts = zip(texts, (windows, 64, 128), strict=True)
    return Data(*(_windows(tokenizer, part, context, count) for part, count in parts))


def _windows(tokenizer: Tokenizer, texts: list[str], context: int, count: int) -> tuple[Tensor, Tensor]:
    tokens = torch.tensor([t for text in texts for t in tokenizer.encode(text)])
    starts = torch.linspace(0, len(tokens) - context - 1, min(count, len(tokens) // context)).long()
    found = tokens[starts[:, None] + torch.arange(context + 1)]
    return found[:, :-1].contiguous(), found[:, 1:].contiguous()


class GPT(nn.Module):
    """Tokens (batch, length) to logits (batch, length, vocabulary); the embedding is also the head (Press & Wolf 2017,
    arXiv:1608.05859)."""

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.positions = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*(stdlib_lm.Block(width, heads, 4) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.blocks(self.tokens(tokens) + self.positions[: tokens.shape[1]])
        return nn.functional.linear(self.norm(x), self.tokens.weight)


def task(
    batch_size: int = 8,
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    context: int = 64,
    vocabulary: int = 2048,
    windows: int = 16_000,
) -> Task:
    """The task. As it is 1.1 million parameters; `width=320,layers=8` is 10.5 million."""
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
    if vocabulary < 256:
        raise ValueError(f"vocabulary must be at least 256, got {vocabulary}")
    parameters = vocabulary * width + context * width + layers * (12 * width**2 + 13 * width) + 2 * width
    return Task(
        name="stdlib-gpt",
        title="Python's standard library, transformer",
        about=f"The source of Python's standard library in {vocabulary} pieces of words; a transformer of {layers} "
        f"layers, width {width}, context {context}, {parameters / 1e6:.1f} million parameters; cross-entropy in nats.",
        data=partial(data, context, vocabulary, windows),
        model=partial(GPT, vocabulary, context, width, layers, heads),
        loss=stdlib_lm.loss,
        accuracy=stdlib_lm.share_correct,
        batch_size=batch_size,
        steps=200,
        evaluations=10,
    )
