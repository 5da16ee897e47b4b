"""Gradient noise from a generator that is small enough to be written in any language; and infrequent gradients.

**The generator.** All arithmetic is on 32-bit unsigned numbers, modulo 2³² (in JavaScript `Math.imul` and `>>> 0`).
mix is the bijection of Chris Wellons's search for integer hashes (hash-prospector, constants found by "TheIronBorn"):

    mix(z):  z = (z ^ (z >> 16)) · 0x21f0aaad;  z = (z ^ (z >> 15)) · 0xd35a2d97;  return z ^ (z >> 15)
    bits(a, b, c, …):  h = 0;  for each counter n:  h = mix(h + n + 0x9e3779b9);  return h
    uniform(…) = (bits(…) + 0.5) / 2³²

It has no state: the draw number k for a coordinate (0 or 1) of the gradient at a step t (from 1) of a stream is
bits(seed, stream, t, coordinate, k). So runs can be made in any order, and two optimizers see the same noise.

**The kinds.** With u_k the uniform of draw k, and σ the scale:

- gaussian: σ·√(−2·ln u₀)·cos(2π·u₁) (Box & Muller 1958), the one kind whose last bit depends on the language;
- heavy_tailed: σ·(2u₀ − 1)/√(2u₀·(1 − u₀)), Student's t with two degrees of freedom: mean zero, infinite variance;
- minibatch: 64 examples whose gradients deviate by σ·√3·(2i − 63)/64 for i = 0 … 63 (so about σ in root mean square),
  visited in a new order each epoch, `batch` at a time; the noise is the batch's mean, σ·√3/batch·(Σ(2i − 63)/64), and
  over an epoch it is zero. A coordinate's order in epoch e (from 0) is i = 0 … 63 sorted by
  bits(seed, stream, e, coordinate, i); step t is in epoch (t − 1) ÷ (64/batch), rounded down.

One kind adds nothing but leaves out: infrequent, with which the last coordinate has a gradient only at steps t where
t + seed is a multiple of σ (rounded, at least 1), as the weight of a rare word has; at the others it is zero.

On a surface over data one more kind, batches, takes the gradient of σ examples at a time (`ravine.simulate.examples`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.errors import unknown

KINDS = ("gaussian", "heavy_tailed", "minibatch")
"""The kinds that add to the gradient."""
INFREQUENT = "infrequent"
BATCHES = "batches"
EXAMPLES = 64


def mix(z: Any) -> Any:
    """The bijection of 32-bit numbers that the generator consists of; arrays of uint32."""
    z = (z ^ (z >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    z = (z ^ (z >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return z ^ (z >> np.uint32(15))


def bits(*counters: Any) -> Any:
    """32 random bits for some counters: whole numbers from 0 to 2³² − 1, or arrays of them that broadcast."""
    h: Any = np.zeros(1, dtype=np.uint32)
    for counter in counters:
        h = mix(h + np.asarray(counter, dtype=np.uint32) + np.uint32(0x9E3779B9))
    return h


def uniform(*counters: Any) -> Any:
    """A float64 in (0, 1) for some counters."""
    return (bits(*counters) + 0.5) / 2.0**32


@dataclass(frozen=True)
class Noise:
    """Noise on the gradient: its kind, scale σ ≥ 0 and seed; for "minibatch" also the batch, a divisor of 64.

    Raises ValueError for another kind, scale, seed or batch.
    """

    kind: str = "gaussian"
    scale: float = 0.1
    seed: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        every = (*KINDS, INFREQUENT, BATCHES)
        if self.kind not in every:
            raise unknown("kind of noise", self.kind, every)
        if not (np.isfinite(self.scale) and self.scale >= 0):
            raise ValueError(f"the scale of noise must be finite and ≥ 0, got {self.scale!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"the seed of noise must be a whole number from 0 to 2³² − 1, got {self.seed!r}")
        if self.kind == "minibatch" and (self.batch < 1 or EXAMPLES % self.batch):
            raise ValueError(f"the batch must divide the {EXAMPLES} examples, got {self.batch!r}")

    def comes(self, t: int) -> bool:
        """Whether at step t an infrequent gradient comes."""
        return (t + self.seed) % max(1, round(self.scale)) == 0

    def sampler(self, streams: Any, dimension: int) -> Callable[[int], Any]:
        """A function from the step t (from 1) to the noise: shape (dimension, n) for the streams' numbers (n,)."""
        stream = np.asarray(streams, dtype=np.uint32)[None, :]
        coordinate = np.arange(dimension, dtype=np.uint32)[:, None]
        if self.kind == "minibatch":
            return self._minibatches(stream, coordinate)

        def sample(t: int) -> Any:
            def u(draw: int) -> Any:
                return uniform(self.seed, stream, t, coordinate, draw)

            if self.kind == "gaussian":
                return self.scale * np.sqrt(-2 * np.log(u(0))) * np.cos(2 * np.pi * u(1))
            return self.scale * (2 * u(0) - 1) / np.sqrt(2 * u(0) * (1 - u(0)))

        return sample

    def _minibatches(self, stream: Any, coordinate: Any) -> Callable[[int], Any]:
        per_epoch = EXAMPLES // self.batch
        examples = np.arange(EXAMPLES, dtype=np.uint32)
        current = -1
        order: Any = None

        def sample(t: int) -> Any:
            nonlocal current, order
            epoch, number = divmod(t - 1, per_epoch)
            if epoch != current:
                keys = bits(self.seed, stream[..., None], epoch, coordinate[..., None], examples)
                current, order = epoch, np.argsort(keys, axis=-1, kind="stable")
            chosen = order[..., number * self.batch : (number + 1) * self.batch]
            total = np.sum(2 * chosen - (EXAMPLES - 1), axis=-1) / EXAMPLES  # exact, in whatever order it is summed
            return self.scale * np.sqrt(3.0) / self.batch * total

        return sample
