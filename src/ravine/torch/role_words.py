"""The names of roles, what parameters are called in the field, and the table that roles are printed as."""

from __future__ import annotations

import re
from collections.abc import Sequence

ROLES = ("embedding", "head", "matrix", "convolution", "depthwise", "gain", "bias")
"""What a parameter can be for."""

BIAS = re.compile(r"bias")
EMBEDDING = re.compile(
    r"embed|pos(itions?)?(_|al|$)|(^|_)(cls|class|mask|dist|distill?ation|reg|register|latent|probe|sep|prompt)(_|$|s$)"
    r"|token|(^|_)quer(y|ies)$|(bias_)?table$|rel_pos|codebook|latents|anchors?$|^(cls|absolute)"
)
GAIN = re.compile(
    r"gamma|scale|gain|temperature|lambda|layerscale|(^|_)(ls|alpha|tau|sigma|mix|decay|faaaa|first|mu|D|beta)\d*(_|$)"
    r"|A_log|time_(mix|decay|maa|first)|(^|\.)g$|dt_"
)
MATRIX = re.compile(r"proj|weight|kernel|^[wW]\d?(_|$)|^[wW][qkvio]$|matrix|^attn_|_w\d?$|fc\d?$|^(down|up)$|^lora_")
EXPERTS = re.compile(r"expert|moe", re.IGNORECASE)
"""By a parameter's own name, or (experts) by its module's as well. Looked for in this order."""

FUSED = (
    (re.compile(r"gate_up|w1_w3|gate_and_up|^w12$|^Wgu$|^wi_fused$"), ("gate", "up")),
    (re.compile(r"qkv|query_key_value|^c_attn$|^in_proj_weight$|^W_?pack$", re.IGNORECASE), ("q", "k", "v")),
    (re.compile(r"(^|_)kv(_proj|_b_proj)?$|^key_value|to_kv", re.IGNORECASE), ("k", "v")),
    (re.compile(r"(^|_)qk(_proj)?$|to_qk"), ("q", "k")),
)


def fused_parts(layer: str) -> tuple[str, ...]:
    """What lies in one matrix, by the name of its layer; empty for one thing alone."""
    return next((parts for pattern, parts in FUSED if pattern.search(layer)), ())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text. Rows that differ by one number of their name alone stand in one line, as in layers.0…11."""
    packed = _packed([list(row) for row in rows])
    cells = [list(header), *packed]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _packed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with those of a model's equal blocks put together, at the place of the first.

    Numbers stand in a name between dots, the innermost goes first; what stands for several is their list, as in
    layers.0…11.
    """
    most = max((len(_places(name)) for name, *_ in rows), default=0)
    packed = [list(row) for row in rows]
    for place in range(1, most + 1):
        found: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
        for name, *rest in packed:
            words, places = name.split("."), _places(name)
            number = words[places[-place]] if len(places) >= place else ""
            if number:
                words[places[-place]] = "\0"
            known = found.setdefault((".".join(words), *rest), ([".".join(words), *rest], []))
            known[1].append(number)
        packed = [[row[0].replace("\0", _numbers(numbers)), *row[1:]] for row, numbers in found.values()]
    return packed


def _places(name: str) -> list[int]:
    """Which words of a name are numbers."""
    return [k for k, word in enumerate(name.split(".")) if word[:1].isdigit()]


def _numbers(numbers: Sequence[str]) -> str:
    """0…11 for a run, 0,2,4 for what is none."""
    if len(numbers) < 2 or not all(map(str.isdigit, numbers)):
        return ",".join(numbers)
    first = int(numbers[0])
    is_run = len(numbers) > 2 and [int(n) for n in numbers] == list(range(first, first + len(numbers)))
    return f"{numbers[0]}…{numbers[-1]}" if is_run else ",".join(numbers)
