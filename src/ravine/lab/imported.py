"""Torch optimizers of other packages, and factories in a file of the user's: their hyperparameters are read from their
signatures. Where that says too little there is a table of well-known ones."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ravine import userfile
from ravine.errors import unknown
from ravine.hyperparameter import DECAY, Hyperparameter, is_number, usual_range
from ravine.lab.method import Method
from ravine.lab.schedule import CONSTANT
from ravine.lab.space import Span

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Known:
    """What a signature doesn't say: where to search, options that it is compared with, the schedule it is made for,
    and the class that steps what it can't (it steps matrices alone)."""

    spans: Mapping[str, Span] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = ""
    rest: str = ""


WELL_KNOWN = {
    # torch's own doc: with this its rate means what AdamW's does, so that one rate serves both.
    "torch.optim:Muon": Known(options={"adjust_lr_fn": "match_rms_adamw"}, rest="torch.optim:AdamW"),
    "torch.optim:SGD": Known({"lr": Span(10**-3.5, 10**0.5)}),  # its default of 0.001 is cautious by far
    "schedulefree:SGDScheduleFree": Known({"lr": Span(1e-2, 100.0)}, schedule=CONSTANT),
    "schedulefree:AdamWScheduleFree": Known(schedule=CONSTANT),
    "schedulefree:RAdamScheduleFree": Known(schedule=CONSTANT),
    "prodigyopt:Prodigy": Known({"lr": Span(0.1, 10.0)}),  # it estimates the rate; lr is a factor on that
}


def from_package(spec: str, target: str, options: Mapping[str, Any]) -> Method:
    """A class of an installed package, as `torch.optim:Muon`. Raises ValueError for what is no torch optimizer."""
    import torch

    module_name, _, name = target.rpartition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        package = module_name.partition(".")[0]
        raise ValueError(f"optimizer {target!r}: {error}; is the package {package!r} installed?") from None
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        classes = [n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)]
        raise unknown(f"torch optimizer in {module_name}:", name, classes)
    version = _version(module)
    known = WELL_KNOWN.get(target, Known())
    rest = from_package(known.rest, known.rest, {}).build if known.rest else None
    return _method(spec, name, found, version, {**known.options, **options}, known, rest)


def in_file(target: str) -> Any:
    """What a user's file calls so. Raises ValueError for a name that it hasn't."""
    path, name, module = userfile.look_up(target, "rule")
    if name not in vars(module):
        raise unknown(f"rule in {path}:", name, [n for n, v in vars(module).items() if callable(v)])
    return vars(module)[name]


def from_file(spec: str, target: str, factory: Any, options: Mapping[str, Any]) -> Method:
    """A function or class of a user's file that takes parameters and returns an optimizer."""
    path, _, name = target.rpartition(":")
    if not callable(factory):
        raise ValueError(f"{target} is neither a rule nor a function that returns a torch optimizer")
    whole = hashlib.sha256(b"".join(file.read_bytes() for file in userfile.sources(path)))
    return _method(spec, name, factory, f"{path}, {whole.hexdigest()[:16]}", options, Known(), None)


def _method(
    spec: str,
    name: str,
    factory: Callable[..., Any],
    where: str,
    options: Mapping[str, Any],
    known: Known,
    rest: Callable[[Any, Mapping[str, float]], Any] | None,
) -> Method:
    try:
        _, *others = inspect.signature(factory).parameters.values()
    except ValueError:
        raise ValueError(f"{spec}: it takes nothing; it must take the parameters first") from None
    takes_all = any(p.kind == p.VAR_KEYWORD for p in others)
    names = {p.name for p in others if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    for option in options:
        if option not in names and not takes_all:
            raise unknown(f"argument of {name}", option, names)
    numbers: dict[str, Hyperparameter] = {}
    tuples: dict[str, tuple[float, ...]] = {}
    for p in others:
        if p.name in options:
            continue
        if is_number(p.default):
            legal = DECAY if p.name == "momentum" else usual_range(p.name)
            numbers[p.name] = Hyperparameter(float(p.default), legal)
        elif p.name == "betas" and isinstance(p.default, (tuple, list)):
            tuples["betas"] = tuple(p.default)
            numbers |= {
                f"beta{i}": Hyperparameter(float(b), usual_range("beta"))
                for i, b in enumerate(p.default, 1)
                if is_number(b)
            }
    whole = {p.name for p in others if isinstance(p.default, int)}
    build = partial(_build, factory, dict(options), tuples, frozenset(whole), rest)
    title = (inspect.getdoc(factory) or name).strip().partition("\n")[0][:120].rstrip(".")
    told = "".join(f", {n}={v!r}" for n, v in options.items())
    beside = f"; parameters other than hidden matrices by {known.rest}" if known.rest else ""
    return Method(
        *(spec, name, title, f"{where}{told}{beside}", f"{where}{told}{beside}", "", numbers),
        build=build,
        state_bytes=partial(_state_bytes, build),
        spans=known.spans,
        schedule=known.schedule,
        arguments=frozenset(names),
        group_keys=frozenset(names),
    )


def _build(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    tuples: Mapping[str, tuple[float, ...]],
    whole: frozenset[str],
    rest: Callable[[Any, Mapping[str, float]], Any] | None,
    params: Any,
    values: Mapping[str, float],
) -> Any:
    given: dict[str, Any] = {n: int(v) if n in whole and float(v).is_integer() else v for n, v in values.items()}
    for name, default in tuples.items():
        parts = [given.pop(f"{name[:-1]}{i}", value) for i, value in enumerate(default, 1)]
        given[name] = tuple(parts)
    if rest is None:
        return factory(params, **options, **given)
    from ravine.lab.groups import split_matrices
    from ravine.lab.several import Several

    matrices, others = split_matrices(params)
    shared = {n: v for n, v in values.items() if n in ("lr", "weight_decay")}
    parts = [factory(matrices, **options, **given)] if matrices else []
    return Several([*parts, *([rest(others, shared)] if others else [])])


SIDES = (3, 5, 7, 11, 13, 17, 19, 23)
"""Lengths of an array's dimensions by which those of its state are recognised."""


def _state_bytes(build: Callable[[Any, Mapping[str, float]], Any], model: nn.Module | None) -> float | None:
    """Bytes of state for each float32 parameter of a model (None: of a matrix of 1024 × 1024): measured in a step of
    small arrays, one for each of its parameters, and enlarged. None where that doesn't go. Numbers aren't counted."""
    import torch

    from ravine.lab.groups import in_groups, marked_as

    with contextlib.suppress(Exception):
        given = in_groups([torch.empty(1024, 1024, device="meta")] if model is None else model)[0]["params"]
        small: dict[Any, dict[int, int]] = {}  # an array, and what the lengths of its dimensions stand for
        for p in given:
            sides = [1 if n == 1 else SIDES[k] for k, n in enumerate(p.shape)]
            own = marked_as(torch.nn.Parameter(torch.ones(sides)), p)
            own.grad = torch.full_like(own, 0.5)
            small[own] = dict(zip(sides, p.shape, strict=True))
        optimizer = build(list(small), {})
        if callable(getattr(optimizer, "train", None)):
            optimizer.train()
        optimizer.step()
        states = [item for o in getattr(optimizer, "parts", [optimizer]) for item in o.state.items()]
        tensors = [(v, small[p]) for p, state in states for v in state.values() if torch.is_tensor(v) and v.ndim]
        found: int = sum(v.element_size() * math.prod(large.get(n, n) for n in v.shape) for v, large in tensors)
        elements: int = sum(p.numel() for p in given)
        return found / max(elements, 1)
    return None


def _version(module: ModuleType) -> str:
    package = module.__name__.partition(".")[0]
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} {getattr(importlib.import_module(package), '__version__', 'of unknown version')}"
