"""What can be entered in a comparison: rules, dialects' optimizers and torch optimizers of other packages or of a file
of the user's, behind one description. Found by name: `find`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import ravine
from ravine import dialects
from ravine.errors import unknown
from ravine.hyperparameter import NON_NEGATIVE, Hyperparameter, Range
from ravine.lab.space import LOG, Span, default_span

TRAINING = {
    "warmup": Hyperparameter(0.0, NON_NEGATIVE),
    "cooldown": Hyperparameter(0.2, NON_NEGATIVE),
    "clip_norm": Hyperparameter(0.0, NON_NEGATIVE),
    "decay_vectors": Hyperparameter(0.0, Range(0.0, 1.0)),
}
"""What any optimizer can be given besides its own hyperparameters: the schedule's warm-up and WSD's cool-down (shares
of the steps, or steps), the norm that all its gradients together are clipped to (0: not), and whether parameters of
fewer than two dimensions, gains and biases, decay as well (1) or not (0)."""

SPANS = {
    "warmup": Span(0.01, 0.3, LOG),
    "cooldown": Span(0.05, 0.8, LOG),
    "clip_norm": Span(0.1, 10.0, LOG),
}
"""Where these are searched unless told otherwise."""

CALL = re.compile(r"(?P<target>[^()]+)(?:\((?P<options>.*)\))?")
DIALECT = re.compile(r"(?:\w+\.)+\w+")


@dataclass(frozen=True)
class Method:
    """An optimizer that can be entered. `spec` finds it again; `hyperparameters` are its own, and those of TRAINING.

    `build(params, values)` makes it, over parameters or groups, with values for some of its own. `equation` is a text
    that changes when its numbers may. `spans` say where hyperparameters are searched, where that does not follow from
    their defaults; `schedule` the one that it is used with, if it is bound to one. `state_bytes` is None if unknown.
    `arguments` are what its constructor takes besides, `group_keys` what a group of parameters may hold besides.
    """

    spec: str
    name: str
    title: str
    paper: str
    equation: str
    mathml: str
    own: Mapping[str, Hyperparameter]
    build: Callable[[Any, Mapping[str, float]], Any]
    state_bytes: int | None = None
    spans: Mapping[str, Span] = field(default_factory=dict)
    schedule: str = ""
    arguments: frozenset[str] = frozenset()
    group_keys: frozenset[str] = frozenset()

    @property
    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """Its own, and what any optimizer can be given."""
        return {**TRAINING, **self.own} if set(self.own) & set(TRAINING) else {**self.own, **TRAINING}

    def check(self, values: Mapping[str, float]) -> None:
        """Raise ValueError for an unknown hyperparameter or an illegal value."""
        for name, value in values.items():
            if name not in self.hyperparameters:
                raise unknown(f"hyperparameter of {self.name}", name, self.hyperparameters)
            if value not in (legal := self.hyperparameters[name].range):
                raise ValueError(f"{self.name}: {name} = {value!r} is not legal: it must be {legal}")

    def span(self, name: str) -> Span:
        """Where a hyperparameter is searched unless told otherwise. Raises ValueError where nothing implies that."""
        known = {**({} if name in self.own else SPANS), **self.spans}
        return known[name] if name in known else default_span(cast(Any, self), name)


@cache
def find(spec: str) -> Method:
    """What `spec` names: what `ravine.rule` finds; a dialect's optimizer, as `tensorflow.RMSPropOptimizer` or with
    arguments as `keras.Adam(epsilon=1e-8)`; a torch optimizer, as `torch.optim:Muon`; or a function of a file of the
    user's, as `FILE.py:factory`, that takes parameters and hyperparameters as torch's optimizers do.

    Raises ValueError for a name that there isn't, naming the nearest, and for a package that is not installed.
    """
    match = CALL.fullmatch(spec)
    target = match["target"].strip() if match else spec
    if ":" in target:
        from ravine.lab import imported

        if not target.rpartition(":")[0].endswith(".py"):
            return imported.from_package(spec, target, arguments(match["options"] if match else ""))
        found = imported.in_file(target)
        if not isinstance(found, ravine.Rule):
            return imported.from_file(spec, target, found, arguments(match["options"] if match else ""))
    elif DIALECT.fullmatch(target):
        return _from_dialect(spec)
    return _from_rule(spec)


def is_call(rule: str) -> bool:
    """Whether a text names what is called with arguments of its own, not a rule of the family."""
    target = rule.partition("(")[0].strip()
    return ":" in target or bool(DIALECT.fullmatch(target))


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
    from ravine.trace import mathml

    rule = ravine.rule(spec)
    chosen = ravine.recipe(rule)
    return Method(
        *(spec, rule.name, rule.title, rule.paper, rule.equation(), mathml.equation(rule), rule.hyperparameters),
        build=lambda params, values: chosen.replace(**values).torch(params),
        state_bytes=rule.state_bytes,
    )


def _from_dialect(spec: str) -> Method:
    """The rule that a framework's constructor means. Its values are the defaults, the rule's own say where to search;
    a learning rate that must be given, as TensorFlow's, has the rule's own default as well."""
    constructor, given = dialects.parse(spec)
    wanted = [n for n in constructor.defaults if constructor.is_required(n) and n not in given]
    try:
        chosen = constructor(**given, **{n: [] if n == "params" else 0.001 for n in wanted})
    except TypeError as error:
        raise ValueError(f"optimizer {spec!r}: {error}") from None
    if "learning_rate" in wanted:
        chosen = chosen.replace(lr=chosen.rule.hyperparameters["lr"].default)
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
    )


def _implied(method: Method) -> Iterable[str]:
    """The hyperparameters for which a range follows from the default."""
    for name in method.own:
        try:
            method.span(name)
        except ValueError:
            continue
        yield name
