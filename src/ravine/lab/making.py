"""From a run's settings to its optimizers: parameters in groups, decay by role, clipping, schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ravine.errors import unknown
from ravine.lab import lookup
from ravine.lab.groups import Group, in_groups, tensor
from ravine.lab.method import TRAINING, Method
from ravine.lab.records import Settings
from ravine.lab.schedule import Schedule
from ravine.lab.scheduler import OptimizerMaker


def maker(settings: Settings) -> OptimizerMaker:
    """What a training loop makes its optimizers with."""

    def make(params: Any) -> Any:
        return build(lookup.find(settings.rule), settings.hyper, params)

    given = {n: settings.hyper[n] for n in ("warmup", "cooldown") if n in settings.hyper}
    return OptimizerMaker(make, Schedule(settings.schedule, **given), settings.steps)


def build(chosen: Method, hyper: Mapping[str, float], params: Any) -> Any:
    """An optimizer over a model's parameters, or parameters, named parameters or groups as torch takes them.

    A group may hold hyperparameters of the optimizer's own, and `lr_scale`, by which the tuned learning rate is
    multiplied. Raises ValueError for any other key.
    """
    own = {n: v for n, v in hyper.items() if n in chosen.own}
    training = {n: hyper.get(n, h.default) for n, h in TRAINING.items() if n not in chosen.own}
    if chosen.parts:
        return _made(_of_model(chosen, own, params, bool(training.get("decay_vectors"))), training)
    groups = _by_role(in_groups(params), chosen, own, bool(training.get("decay_vectors")))
    groups = [_checked(group, chosen, own) for group in groups]
    plain = len(groups) == 1 and list(groups[0]) == ["params"]
    return _made(chosen.build(groups[0]["params"] if plain else groups, own), training)


def _of_model(chosen: Method, own: Mapping[str, float], model: Any, decay_vectors: bool) -> Any:
    """The optimizer of a set, which is told from the model what its parameters are for."""
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"{chosen.name} has a rule for each role of a model's parameters, so it must be given the model: "
            "make_optimizer(model)"
        )
    build: Any = chosen.build
    return build(model, own, () if decay_vectors else ("gain", "bias"))


def _made(optimizer: Any, training: Mapping[str, float]) -> Any:
    """An optimizer with what any is given: clipping, and the mode for training."""
    if norm := training.get("clip_norm"):
        optimizer.register_step_pre_hook(lambda o, *_: _clip(o, norm))
    if callable(getattr(optimizer, "train", None)):
        optimizer.train()
    return optimizer


def _by_role(groups: list[Group], chosen: Method, own: Mapping[str, float], decay_vectors: bool) -> list[Group]:
    """The groups, split so that gains and biases don't decay, unless a group says what its decay is."""
    decay = chosen.own.get("weight_decay")
    if decay is None or decay_vectors or not own.get("weight_decay", decay.default):
        return groups
    split: list[Group] = []
    for group in groups:
        vectors = [p for p in group["params"] if tensor(p).ndim < 2]
        if "weight_decay" in group or not vectors:
            split.append(group)
            continue
        matrices = [p for p in group["params"] if tensor(p).ndim >= 2]
        split += [{**group, "params": matrices}] if matrices else []
        split.append({**group, "params": vectors, "weight_decay": 0.0})
    return split


def _checked(group: Group, chosen: Method, own: Mapping[str, float]) -> Group:
    """The group as the optimizer takes it."""
    found: Group = {}
    for key, value in group.items():
        if key == "lr":
            raise ValueError(
                f"a group given to make_optimizer() holds lr={value!r}, which would not be tuned: write lr_scale=0.1 "
                "for a tenth of the tuned rate"
            )
        if key == "lr_scale" and "lr" in chosen.own:
            found["lr"] = own.get("lr", chosen.own["lr"].default) * float(value)
        elif key in ("params", "param_names", "name") or key in chosen.own or key in chosen.group_keys:
            found[key] = value
        elif key != "lr_scale" and not (key == "weight_decay" and not value):  # no decay is what it has
            known = ["params", "name", "lr_scale", *chosen.own]
            raise unknown(f"key in a group of parameters for {chosen.name}:", str(key), known)
    return found


def _clip(optimizer: Any, norm: float) -> None:
    """Scale the gradients of all groups together so that their norm is at most this."""
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], norm)
