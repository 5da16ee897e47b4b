"""What clips the gradients before a step, where a framework's optimizers don't."""

from __future__ import annotations

import re
from collections.abc import Collection

from ravine.dialects.terms import CLIPS
from ravine.recipe import Recipe, recipe

CLIPPING = {
    "torch": {
        "clip_value": "torch.nn.utils.clip_grad_value_(parameters, {!r})",
        "clip_norm": "torch.nn.utils.clip_grad_norm_(p, {!r}) for each parameter p",
        "clip_global_norm": "torch.nn.utils.clip_grad_norm_(parameters, {!r})",
    },
    "tensorflow": {
        "clip_value": "tf.clip_by_value(g, -{0!r}, {0!r})",
        "clip_norm": "tf.clip_by_norm(g, {!r})",
        "clip_global_norm": "tf.clip_by_global_norm(gradients, {!r})",
    },
}
"""What a framework has for a transform that its optimizers don't have, to be called before each step."""


def clips(chosen: Recipe, framework: str) -> dict[str, str]:
    """The transforms outside of a recipe that clip its gradients, and sentences on who does it in a framework."""
    notes: dict[str, str] = {}
    name = chosen.rule.name
    while (found := re.match(r"(clip_\w+)\(", name)) and found[1] in CLIPS:
        clip, name = found[1], name.removesuffix(")")[found.end() :]
        called = CLIPPING.get(framework, {}).get(clip, "")
        does = f"that is {called.format(chosen.hyper[clip])} before each step" if called else "nothing does that"
        notes[clip] = f"The gradients were clipped ({clip} {chosen.hyper[clip]:g}): in {framework} {does}."
    return notes


def inside(chosen: Recipe, names: Collection[str]) -> Recipe:
    """The recipe inside these transforms."""
    name = chosen.rule.name
    for clip in names:
        name = name.removeprefix(f"{clip}(").removesuffix(")")
    return recipe(name, start=chosen.start, **{n: v for n, v in chosen.hyper.items() if n not in names})
