"""What a rule is: a function read as the declaration of an optimizer."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ravine.errors import unknown
from ravine.hyperparameter import FINITE, Hyperparameter, Range, is_number, usual_range
from ravine.trace import latex, tracer
from ravine.trace.graph import Graph, Node


@dataclass(frozen=True)
class Slot:
    """One piece of state: an array like the parameter, or one number (`is_scalar`), holding `start` before step 1."""

    start: float = 0.0
    is_scalar: bool = False


@dataclass(frozen=True, eq=False)
class Rule:
    """An optimizer as its equation: a function (x, g, *slots, t=, **hyperparameters) -> (step, *new slots).

    `name`, `title` and `paper` say what it is; `hyperparameters` and `slots` map names to their declarations;
    `needs_x` and `needs_t` tell whether the equation reads the parameter and the step count (from 1).
    `look_ahead`, for Nesterov's method, is the offset from the parameter to the point where g must be taken.
    Calling a Rule calls the function with the arguments in its own order.
    """

    function: Callable[..., Any]
    name: str
    title: str
    paper: str
    summary: str
    slots: Mapping[str, Slot]
    hyperparameters: Mapping[str, Hyperparameter]
    needs_x: bool = False
    needs_t: bool = False
    look_ahead_function: Callable[..., Any] | None = None
    kin: tuple[str, ...] = ()
    transforms: tuple[str, ...] = field(default=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Rule {self.name}: {self.title}>"

    def __eq__(self, other: object) -> bool:
        """Rules of one name, one declaration and one graph are equal, whichever functions they were made from."""
        return self is other or (isinstance(other, Rule) and self._identity == other._identity)

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def _identity(self) -> tuple[Any, ...]:
        declared = (self.name, dict(self.hyperparameters), dict(self.slots))
        return (*declared, self.graph.outputs, self.look_ahead_graph)

    def apply(self, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: Mapping[str, Any]) -> tuple[Any, ...]:
        """(step, *new slots): the function called with just those of x and t that it declares."""
        arrays = (x, g, *slots) if self.needs_x else (g, *slots)
        result = self.function(*arrays, t=t, **hyper) if self.needs_t else self.function(*arrays, **hyper)
        outputs = result if isinstance(result, tuple) else (result,)
        if len(outputs) != 1 + len(self.slots):
            expected = ", ".join(["step", *self.slots])
            raise TypeError(f"it returns {len(outputs)} values; its signature promises ({expected})")
        return outputs

    def look_ahead(self, slots: Mapping[str, Any], hyper: Mapping[str, Any]) -> Any:
        """The offset o(state): the gradient belongs at x + o. Zero for a rule that does not look ahead."""
        if self.look_ahead_function is None:
            return 0.0
        wanted = inspect.signature(self.look_ahead_function).parameters
        return self.look_ahead_function(**{n: slots[n] if n in slots else hyper[n] for n in wanted})

    @cached_property
    def graph(self) -> Graph:
        """The rule traced: its step and new slots as expressions. Raises TypeError where that can't be done."""
        inputs = {n: tracer.scalar(n) if s.is_scalar else tracer.array(n) for n, s in self.slots.items()}
        hyper = {n: tracer.scalar(n) for n in self.hyperparameters}
        try:
            outputs = self.apply(
                tracer.array("x"), tracer.array("g"), tuple(inputs.values()), tracer.scalar("t"), hyper
            )
            graph = tracer.graph(outputs[0], dict(zip(self.slots, outputs[1:], strict=True)))
        except Exception as error:  # the function is the user's: it may raise anything
            raise TypeError(f"rule {self.name}{_place(error)}: {_reason(error)}") from error
        _check(self, graph)
        return graph

    @cached_property
    def look_ahead_graph(self) -> Node | None:
        """The look-ahead offset as an expression of slots and hyperparameters."""
        if self.look_ahead_function is None:
            return None
        slots = {n: tracer.array(n) for n in self.slots}
        return tracer.as_node(self.look_ahead(slots, {n: tracer.scalar(n) for n in self.hyperparameters}))

    def equation(self) -> str:
        """The rule in LaTeX, printed from the traced graph: one line a slot, then the step Δ."""
        return latex.equation(self)

    @property
    def state_bytes(self) -> int:
        """Bytes of state per float32 parameter."""
        return 4 * sum(not s.is_scalar for s in self.slots.values())

    def check(self, values: Mapping[str, Any]) -> dict[str, float]:
        """All hyperparameters, the defaults overridden by `values`. Raises ValueError for a bad name or value."""
        result = {n: h.default for n, h in self.hyperparameters.items()}
        for name, value in values.items():
            if name not in self.hyperparameters:
                raise unknown(f"hyperparameter of {self.name}", name, self.hyperparameters)
            if not is_number(value):
                raise TypeError(f"{self.name}: {name} must be a number, got {value!r} of type {type(value).__name__}")
            legal = self.hyperparameters[name].range
            if value not in legal:
                finite = "" if math.isfinite(value) or legal == FINITE else "finite and "
                raise ValueError(f"{self.name}: {name} = {value!r} is not legal: it must be {finite}{legal}")
            result[name] = float(value)
        return result


def _place(error: Exception) -> str:
    """Where in the user's file an error came from, if it came from there."""
    own = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(own)]
    return f", {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _reason(error: Exception) -> str:
    if isinstance(error, (TypeError, AttributeError)) and "Tracer" in str(error):
        # another library's function, or a method of arrays, met a tracer
        return f"an equation uses arithmetic and the functions of ravine.math, no others ({error})"
    return str(error) if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"


def _check(rule: Rule, graph: Graph) -> None:
    if not graph.step.is_array:
        raise TypeError(f"rule {rule.name}: the step depends on no array, so it has no shape")
    for name, node in graph.slots.items():
        if node.is_array and rule.slots[name].is_scalar:
            raise TypeError(f"rule {rule.name}: the new value of scalar slot {name} depends on an array")
        if not node.is_array and not rule.slots[name].is_scalar:
            raise TypeError(
                f"rule {rule.name}: the new value of slot {name} depends on no array, so it has no shape; "
                f"a slot that is one number is declared with scalar=({name!r},)"
            )


def declare(
    function: Callable[..., Any],
    *,
    title: str = "",
    paper: str = "",
    ranges: Mapping[str, Range] | None = None,
    start: Mapping[str, float] | None = None,
    scalar: tuple[str, ...] = (),
    look_ahead: Callable[..., Any] | None = None,
    kin: tuple[str, ...] = (),
) -> Rule:
    """Read a function's signature as the declaration of a Rule. Raises TypeError where the signature can't be one."""
    name, ranges, start = function.__name__, ranges or {}, start or {}
    signature = inspect.signature(function).parameters.values()
    arrays = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
    if len(arrays) + len(keywords) != len(signature):
        raise TypeError(f"rule {name}: *args, **kwargs and positional-only parameters have no meaning in a rule")
    needs_x = arrays[:1] == ["x"]
    if arrays[needs_x : needs_x + 1] != ["g"]:
        raise TypeError(
            f"rule {name}: the first parameter must be the gradient g (or x, then g), got ({', '.join(arrays)})"
        )
    if "x" in arrays[needs_x:] or "x" in keywords:
        raise TypeError(f"rule {name}: x is the parameter: it stands before g, where the equation reads it")
    if "t" in arrays:
        raise TypeError(f"rule {name}: t is the step count: it stands after a * in the signature")
    for p in signature:
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty:
            raise TypeError(
                f"rule {name}: {p.name} has a default: hyperparameters stand after a * in the signature; "
                f"a slot that does not start at zero is declared with start={{{p.name!r}: {p.default!r}}}"
            )
    slot_names = arrays[needs_x + 1 :]
    needs_t = keywords.pop("t", None) is not None
    hyperparameters = {}
    for key, default in keywords.items():
        legal = ranges.get(key, usual_range(key))
        if not is_number(default) or default not in legal:
            raise TypeError(f"rule {name}: hyperparameter {key} needs a default that is a number {legal}")
        hyperparameters[key] = Hyperparameter(float(default), legal)
    for argument, names in {"ranges": ranges, "start": start, "scalar": scalar}.items():
        for key in names:
            known = hyperparameters if argument == "ranges" else slot_names
            if key not in known:
                raise unknown(f"name in {argument}= of rule {name}:", key, known)
    return Rule(
        function=function,
        name=name,
        title=title or name,
        paper=paper,
        summary=inspect.cleandoc(function.__doc__ or ""),
        slots=MappingProxyType({n: Slot(float(start.get(n, 0.0)), n in scalar) for n in slot_names}),
        hyperparameters=MappingProxyType(hyperparameters),
        needs_x=needs_x,
        needs_t=needs_t,
        look_ahead_function=look_ahead,
        kin=kin,
    )
