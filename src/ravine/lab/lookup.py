"""Finding what can be entered in a comparison, by the name that stands on the command line and in records."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import ravine
from ravine import spelling
from ravine.hyperparameter import Hyperparameter
from ravine.lab import imported, sets
from ravine.lab.dialect import from_dialect, is_dialect
from ravine.lab.method import Method, average_state
from ravine.lab.space import default_span
from ravine.trace import mathml

if TYPE_CHECKING:
    from torch import nn

CALL = re.compile(r"(?P<target>[^()]+)(?:\((?P<options>.*)\))?")
TYPICAL = (1024, 1024)
"""The shape of the matrix for which state is counted where no model is known."""


@cache
def find(spec: str) -> Method:
    """What `spec` names: what `ravine.rule` finds; a dialect's optimizer, as `tensorflow.RMSPropOptimizer` or with
    arguments as `keras.Adam(epsilon=1e-8)`; a set of rules, as `[hidden=lion,rest=adamw]`; a torch optimizer, as
    `torch.optim:Muon`; or a function of a file of the user's, as `FILE.py:factory`, that takes parameters and
    hyperparameters as torch's optimizers do.

    Raises ValueError for a name that there isn't, naming the nearest, and for a package that is not installed.
    """
    if spelling.is_set(spec):
        return sets.from_set(spec)
    match = CALL.fullmatch(spec)
    target = match["target"].strip() if match else spec
    if ":" in target:
        if not target.rpartition(":")[0].endswith(".py"):
            return imported.from_package(spec, target, arguments(match["options"] if match else ""))
        found = imported.in_file(target)
        if not isinstance(found, ravine.Rule):
            return imported.from_file(spec, target, found, arguments(match["options"] if match else ""))
    elif is_dialect(target):
        return _from_dialect(spec)
    return _from_rule(spec)


def is_call(rule: str) -> bool:
    """Whether a text names what is called with arguments of its own, not a rule of the family."""
    target = rule.partition("(")[0].strip()
    return ":" in target or is_dialect(target)


def arguments(text: str | None) -> dict[str, Any]:
    """Keyword arguments written out, all literals. Raises ValueError for anything else."""
    try:
        call = cast(ast.Call, ast.parse(f"f({text or ''})", mode="eval").body)
        if call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        raise ValueError(f"arguments must be written as NAME=VALUE, VALUE a literal; got {text!r}") from None


def _from_rule(spec: str) -> Method:
    rule = ravine.rule(spec)
    chosen = ravine.recipe(rule)
    return Method(
        *(spec, rule.name, rule.title, rule.paper, rule.equation(), mathml.equation(rule), rule.hyperparameters),
        build=lambda params, values: chosen.replace(**values).torch(params),
        state_bytes=partial(_state_bytes, rule),
        is_choosy=rule.graph.multiplies,
    )


def _state_bytes(rule: ravine.Rule, model: nn.Module | None) -> float:
    shapes = [TYPICAL] if model is None else [tuple(p.shape) for p in model.parameters() if p.requires_grad]
    return average_state([(rule, shape) for shape in shapes])


def _from_dialect(spec: str) -> Method:
    """The rule of a framework's constructor. Its values are the defaults; the rule's own say where to search."""
    constructor, chosen = from_dialect(spec)
    inner = _from_rule(chosen.rule.name)
    own = {n: Hyperparameter(chosen.hyper[n], h.range) for n, h in inner.own.items()}
    start = "".join(f"; {slot} starts at {value:g}" for slot, value in chosen.start.items())
    return Method(
        *(
            spec,
            str(constructor),
            f"{constructor}: {inner.title}",
            inner.paper,
            inner.equation + start,
            inner.mathml,
            own,
        ),
        build=lambda params, values: chosen.replace(**values).torch(params),
        state_bytes=inner.state_bytes,
        spans={n: default_span(chosen.rule, n) for n in _implied(inner)},
        arguments=frozenset(constructor.defaults),
        is_choosy=inner.is_choosy,
    )


def _implied(method: Method) -> Iterable[str]:
    """The hyperparameters for which a range follows from the default."""
    for name in method.own:
        try:
            method.span(name)
        except ValueError:
            continue
        yield name
