"""Rules that read more than one element at a time, one for each thing that the language can say."""

from __future__ import annotations

from ravine.math import (
    columns,
    ema,
    matmul,
    maximum,
    mean,
    norm,
    orthogonalize,
    rms,
    rows,
    sign,
    sqrt,
    total,
    transpose,
)
from ravine.rule import declare


def factored(g, row, col, *, lr=0.1, beta=0.9):
    """Means over rows and columns, broadcast; slots of r × 1 and 1 × c."""
    row = ema(row, mean(g * g, axis=1), beta)
    col = ema(col, mean(g * g, axis=0), beta)
    return -lr * g / sqrt(row * col / mean(row, axis=0) + 1e-30), row, col


def trusting(x, g, m, *, t, lr=0.1, beta=0.9):
    """Norms of the whole parameter, and a step that is a row for all rows."""
    m = ema(m, g, beta)
    return -lr * m * (norm(x) / (norm(m) + 1e-6)) + 0.01 / t * rms(g, axis=0), m


def layered(g, v, *, lr=0.1, beta=0.9):
    """One number for the whole parameter, in a slot of 1 × 1, and the sum that makes it."""
    v = ema(v, total(g * g), beta)
    return -lr * g / (sqrt(v) + 1e-8) / sqrt(rows(g) * columns(g)), v


def row_signs(g, m, *, lr=0.1, beta=0.9):
    """The sign of the row-normalised momentum."""
    m = ema(m, g / maximum(norm(g, axis=1), 1e-12), beta)
    return -lr * sign(m), m


def orthogonal(g, m, *, lr=0.1, beta=0.9, steps=5.0):
    """Newton–Schulz."""
    m = ema(m, g, beta)
    return -lr * orthogonalize(m, steps=steps) * sqrt(maximum(1, rows(g) / columns(g))), m


def gram(g, q, *, lr=0.1, beta=0.9):
    """A product of the gradient with itself, kept in a slot of r × r."""
    q = ema(q, matmul(g, transpose(g)), beta)
    return -lr * (g + matmul(q, g)), q


REDUCING = [declare(f) for f in (factored, trusting, layered, row_signs)]
MULTIPLYING = [declare(f) for f in (orthogonal, gram)]
