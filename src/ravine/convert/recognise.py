"""Which optimizer a torch parameter group is of: told by its keys, which are the constructor's arguments.

A class of torch.optim (from 2.7 on) has all the keys of its dialect and no others. Anything else is another library's,
or older, and is refused by name rather than taken for what it resembles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ravine import dialects
from ravine.convert.kept import ravines
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Table, Wrap, element, rmsprop_forms
from ravine.recipe import recipe
from ravine.registry import rule
from ravine.spelling import read

Group = Mapping[str, Any]

CARRIED = frozenset(
    (
        *("params", "param_names", "name", "lr_scale"),
        *("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum"),  # a scheduler's notes
        *("on_nonfinite", "skipped_steps", "rounding", "rounding_seed", "rounding_steps"),  # Ravine's guards
        "clip_global_norm",  # and its clipping
        *("state", "state_rounding", "products"),  # in how many bits Ravine stores it and multiplies
    )
)
"""Keys that say nothing about the arithmetic: what is in the group, and what schedulers and guards remember."""

FOREIGN = {
    "correct_bias": "transformers' AdamW",
    "lr_in_momentum": "timm's RMSpropTF",
    "caution": "timm's optimizers",
    "corrected_weight_decay": "timm's optimizers",
    "clipping_threshold": "timm's optimizers",
    "decoupled_decay": "timm's optimizers",
    "grad_averaging": "apex's FusedLAMB and timm's Lamb",
    "trust_clip": "timm's Lamb and Lars",
    "schedule_decay": "timm's NAdamLegacy",
    "bias_correction": "apex's and NVIDIA's fused optimizers",
    "adam_w_mode": "apex's and NVIDIA's fused optimizers",
    "weight_lr_power": "Schedule-Free",
    "d_coef": "Prodigy",
    "d0": "D-Adaptation and Prodigy",
    "scale_parameter": "transformers' Adafactor",
    "ns_steps": "Muon",
    "percentile_clipping": "bitsandbytes",
}
"""Whose keys these are, for the message that refuses them."""

RMSPROP_TF = Table(
    rmsprop_forms(
        "rmsprop",
        {"lr": "lr", "rho": "alpha", "eps": "eps"},
        {"t": "step", "s": "square_avg", "a": "grad_avg", "delta": "-momentum_buffer"},
        {"s": 1.0},
    ),
    (Wrap("weight_decay", "weight_decay", "weight_decay"),),
)
"""timm's RMSpropTF (timm/optim/rmsprop_tf.py), which is TensorFlow 1's RMSPropOptimizer with coupled weight decay."""

RMSPROP_TF_KEYS = frozenset(
    ("lr", "momentum", "alpha", "eps", "centered", "weight_decay", "decoupled_decay", "lr_in_momentum")
)
LION_KEYS = frozenset(("lr", "betas", "weight_decay", "maximize", "decoupled_weight_decay"))


@dataclass(frozen=True)
class Recognised:
    """An optimizer, spelled as `kept` takes it, and what it was taken for, in words.

    `names` maps the names that its state has to those that the spelled optimizer's has, where they differ; a minus
    sign in front says that the one is the other's negative.
    """

    call: str
    taken_for: str
    names: Mapping[str, str] = field(default_factory=dict)


def recognise(group: Group) -> Recognised:
    """The optimizer of a parameter group. Raises ValueError where the keys don't tell, or tell of another library."""
    known = options(group)
    if known.keys() >= RMSPROP_TF_KEYS:
        return _rmsprop_tf(known)
    if known.keys() == LION_KEYS:
        from ravine.torch.classes import Lion

        return _by_table(Lion.table, known, "ravine.torch.Lion")
    found = [c for c in _classes() if known.keys() == keys(c)]
    if len(found) == 2:  # Adam and AdamW
        found = [c for c in found if (c.name == "AdamW") is bool(known["decoupled_weight_decay"])]
    if found:
        return _called(found[0], known)
    raise ValueError(_strange(known) or _untold(known))


def named(text: str, group: Group) -> Recognised:
    """The optimizer that a user names: a call, or only its name, as "torch.AdamW", with the values of the group.

    Without a dot it is a rule, as "adam[lr=0.1]", and the state that of `recipe.torch()`.
    """
    if text.startswith("{"):
        return Recognised(text, text)
    if dialects.is_line(text):
        constructor, given = dialects.parse(text)
        return _called(constructor, given if "(" in text else options(group))
    written = read(text)
    found = ravines(written.recipe()).recipe
    known = {n: v for n, v in group.items() if n in found.hyper and n not in written.values}
    found = found.replace(**known)
    return Recognised(found.to_json(), str(found))


def keys(constructor: Constructor) -> frozenset[str]:
    """The keys of a parameter group of a torch class."""
    implied = {"decoupled_weight_decay"} if constructor.name == "AdamW" else set()
    return frozenset(constructor.defaults) - {"params"} | implied


def options(group: Group) -> dict[str, Any]:
    """What a group says of the arithmetic, tensors as numbers."""
    return {n: v.item() if hasattr(v, "item") else v for n, v in group.items() if n not in CARRIED}


def _classes() -> tuple[Constructor, ...]:
    return tuple(dialects.constructors("torch").values())


def _called(constructor: Constructor, known: Group) -> Recognised:
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in known.items() if n in constructor.defaults}
    given = {n: v for n, v in given.items() if constructor.defaults[n] != v}
    call = constructor.call(given)
    return Recognised(call, call)


def _by_table(table: Table, known: Group, title: str) -> Recognised:
    """An optimizer of no dialect, as a recipe."""
    form = table.form(dict(known))
    name, names = table.choose(dict(known))
    found = recipe(name, start=_starts(name, form.start), **{n: element(dict(known), a) for n, a in names.items()})
    moved = {key.lstrip("-"): f"{'-' * key.startswith('-')}{slot}" for slot, key in form.state.items() if slot != "t"}
    return Recognised(found.to_json(), f"{title}: {found}", moved)


def _starts(name: str, start: Mapping[str, Any]) -> dict[str, float]:
    return {n: float(v) for n, v in start.items() if n in rule(name).slots}


def _rmsprop_tf(known: Group) -> Recognised:
    if strange := sorted(
        known.keys() - RMSPROP_TF_KEYS - {"foreach", "caution", "corrected_weight_decay", "max_lr_snapshot"}
    ):
        raise ValueError(f"timm's RMSpropTF has no key {strange[0]!r}")
    needed: dict[str, bool] = {"caution": False}
    if known["momentum"]:
        needed["lr_in_momentum"] = True
    if known["weight_decay"]:
        needed["decoupled_decay"] = False
    for key, wanted in needed.items():
        if bool(known.get(key, wanted)) is not wanted:
            raise ValueError(f"timm's RMSpropTF with {key}={known[key]!r} is no rule of Ravine's")
    return _by_table(RMSPROP_TF, known, "timm's RMSpropTF, which is TensorFlow's RMSPropOptimizer")


def _strange(known: Group) -> str:
    """The complaint about a key that no class of torch's has; empty where there is none."""
    everywhere = frozenset[str]().union(*map(keys, _classes()))
    strange = sorted(known.keys() - everywhere, key=lambda n: ([*FOREIGN, n].index(n), n))
    if not strange:
        return ""
    whose = f" (it is known from {FOREIGN[strange[0]]})" if strange[0] in FOREIGN else ""
    return (
        f"the parameter group has the key {strange[0]!r}, which no optimizer of the torch dialect has{whose}. If it "
        "computes what one of them does, say which (optimizer, as in torch.AdamW)"
    )


def _untold(known: Group) -> str:
    """The complaint about keys that more than one optimizer could have."""
    near = [c for c in _classes() if set(c.own) - {"params", "decoupled_weight_decay"} <= known.keys() <= keys(c)]
    if not near:
        return f"no optimizer of this dialect has these options: {', '.join(known) or 'none'}"
    lacking = ", ".join(sorted(keys(near[0]) - known.keys()))
    return (
        f"the parameter group lacks {lacking}: it may be {' or '.join(map(str, near))} of a torch before 2.7, or "
        f"another library's optimizer. Say which (optimizer, as in {near[-1]})"
    )
