"""What clips the gradients before a step or averages the parameters after it, where an optimizer doesn't."""

from __future__ import annotations

import re
from collections.abc import Collection

from ravine.dialects.terms import AVERAGE, AVERAGED, CLIPS, hyperparameter
from ravine.recipe import Recipe, recipe

CALLED = {
    "torch": {
        "clip_value": "torch.nn.utils.clip_grad_value_(parameters, {!r}) before each step",
        "clip_norm": "torch.nn.utils.clip_grad_norm_(p, {!r}) for each parameter p before each step",
        "clip_global_norm": "torch.nn.utils.clip_grad_norm_(parameters, {!r}) before each step",
        AVERAGED: "AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn({!r})) of torch.optim.swa_utils",
    },
    "tensorflow": {
        "clip_value": "tf.clip_by_value(g, -{0!r}, {0!r}) before each step",
        "clip_norm": "tf.clip_by_norm(g, {!r}) before each step",
        "clip_global_norm": "tf.clip_by_global_norm(gradients, {!r}) before each step",
        AVERAGED: "tf.train.ExponentialMovingAverage({!r})",
    },
    "optax": {
        AVERAGED: "average = optax.incremental_update(parameters, average, 1 - {!r}) after each step",
    },
}
"""What a framework has for a transform that its optimizers don't have."""

OUTSIDE = (*CLIPS, AVERAGED)


def outside(chosen: Recipe, framework: str) -> dict[str, str]:
    """The transforms around a recipe that clip its gradients or average its parameters, and sentences on who does it
    in a framework."""
    notes: dict[str, str] = {}
    name = chosen.rule.name
    while (found := re.match(r"(\w+)\(", name)) and found[1] in OUTSIDE:
        around, name = found[1], name.removesuffix(")")[found.end() :]
        value = chosen.hyper[hyperparameter(around)]
        called = CALLED.get(framework, {}).get(around, "")
        does = f"that is {called.format(value)}" if called else "nothing does that"
        was = f"The gradients were clipped ({around} {value:g})"
        kept = ""
        if around == AVERAGED:
            was = f"The parameters were averaged ({hyperparameter(around)} {value:g})"
            kept = " The averages stay behind: a state for ravine keeps them, as PARAMETER.average."
        notes[around] = f"{was}: in {framework} {does}.{kept}"
    return notes


def inside(chosen: Recipe, names: Collection[str]) -> Recipe:
    """The recipe inside these transforms."""
    name = chosen.rule.name
    for around in names:
        name = name.removeprefix(f"{around}(").removesuffix(")")
    gone = {hyperparameter(around) for around in names}
    start = {n: v for n, v in chosen.start.items() if AVERAGED not in names or n != AVERAGE}
    return recipe(name, start=start, **{n: v for n, v in chosen.hyper.items() if n not in gone})
