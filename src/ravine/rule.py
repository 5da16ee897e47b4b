"""What a rule is: a function read as the declaration of an optimizer."""

from __future__ import annotations

import inspect
import math
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ravine.errors import unknown
from ravine.hyperparameter import FINITE, Hyperparameter, Range, is_number, usual_range
from ravine.trace import latex, shapes, tracer
from ravine.trace.graph import SIZES, Graph, Node, topological
from ravine.trace.shapes import UNKNOWN, WHOLE, Shape

ROUNDS = 12
"""More than a slot's two dimensions can change: from unknown to one, to r or c."""

MATRIX, STACK = "matrix", "stack"
"""How a rule sees a parameter of more than two dimensions: the first as rows, or as a stack of matrices."""


@dataclass(frozen=True)
class Slot:
    """One piece of state, holding `start` before step 1: an array, whose shape follows from the equation (for most that
    of the parameter), or one number (`is_scalar`), which no array has a part in. `is_wide`: never in less than float32.
    """

    start: float = 0.0
    is_scalar: bool = False
    is_wide: bool = False


@dataclass(frozen=True, eq=False)
class Rule:
    """An optimizer as its equation: a function (x, g, *slots, t=, **hyperparameters) -> (step, *new slots).

    `name`, `title` and `paper` say what it is; `hyperparameters` and `slots` map names to their declarations;
    `needs_x` and `needs_t` tell whether the equation reads the parameter and the step count (from 1).
    `look_ahead`, for Nesterov's method, is the offset from the parameter to the point where g must be taken; `read_out`
    is the point to evaluate, for methods that train another (Schedule-Free, averaged weights). `view` tells how a
    parameter of more than two dimensions is seen: as one "matrix", or as a "stack" of them. `unclipped` is
    the same without `clip_global_norm`, where that is around it: what is stepped once all gradients are clipped.
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
    view: str = MATRIX
    unclipped: Rule | None = None
    read_out_function: Callable[[Any, Mapping[str, Any]], Any] | None = None

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
        declared = (self.name, self.view, dict(self.hyperparameters), dict(self.slots))
        return (*declared, self.graph.outputs, self.look_ahead_graph, self.read_out_graph)

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
        return _called(self.look_ahead_function, {**hyper, **slots})

    def read_out(self, x: Any, slots: Mapping[str, Any], hyper: Mapping[str, Any]) -> Any:
        """The point to evaluate after at least one step: x itself for a rule that trains the same point."""
        if self.read_out_function is None:
            return x
        return self.read_out_function(x, {**hyper, **slots})

    @property
    def stepped(self) -> Rule:
        """What is stepped where all gradients were clipped before: the rule without `clip_global_norm` around it."""
        return self.unclipped or self

    @cached_property
    def graph(self) -> Graph:
        """The rule as engines compute it: `written` with its composites spelled out. Raises TypeError as that does."""
        step, *slots = tracer.spelled_out(self.written.outputs)
        return Graph(step, dict(zip(self.slots, slots, strict=True)))

    @cached_property
    def written(self) -> Graph:
        """The rule traced: its step and new slots as expressions. Raises TypeError where that can't be done.

        A slot's shape is the smallest that the equation keeps: it is traced with shapes unknown, then with those that
        came of it, until they stay. What nothing tells is r × c.
        """
        found = {n: UNKNOWN for n, s in self.slots.items() if not s.is_scalar}
        for _ in range(ROUNDS):
            graph = self._traced(found)
            new = {n: shape for n in found if (shape := graph.slots[n].shape) is not None}
            if new == found and all("?" not in shape for shape in new.values()):
                _check(self, graph)
                return graph
            settled = {n: _whole(shape) for n, shape in new.items()} if new == found else new
            if len(new) < len(found):  # a slot that depends on no array
                _check(self, graph)
            found = settled
        raise TypeError(
            f"rule {self.name}: no shape of the slots {', '.join(found)} stays what it is from step to step"
        )

    def _traced(self, given: Mapping[str, Shape]) -> Graph:
        slots = {n: tracer.array(n, given[n]) if n in given else tracer.scalar(n) for n in self.slots}
        hyper = {n: tracer.scalar(n) for n in self.hyperparameters}
        x, g, t = tracer.array("x"), tracer.array("g"), tracer.scalar("t")
        try:
            outputs = self.apply(x, g, tuple(slots.values()), t, hyper)
            return tracer.graph(outputs[0], dict(zip(self.slots, outputs[1:], strict=True)))
        except Exception as error:  # the function is the user's: it may raise anything
            raise TypeError(f"rule {self.name}{_place(error)}: {_reason(error)}") from error

    @cached_property
    def look_ahead_graph(self) -> Node | None:
        """The look-ahead offset as an expression of slots and hyperparameters."""
        if self.look_ahead_function is None:
            return None
        slots = {n: tracer.Tracer(self.graph.input(n)) for n in self.slots}
        return tracer.as_node(self.look_ahead(slots, {n: tracer.scalar(n) for n in self.hyperparameters}))

    @cached_property
    def read_out_graph(self) -> Node | None:
        """The read-out as an expression of x, slots and hyperparameters; None for a rule that has none."""
        if self.read_out_function is None:
            return None
        slots = {n: tracer.Tracer(self.graph.input(n)) for n in self.slots}
        x = tracer.array("x")
        return tracer.as_node(self.read_out(x, slots, {n: tracer.scalar(n) for n in self.hyperparameters}))

    def equation(self) -> str:
        """The rule in LaTeX, printed from the traced graph: one line a slot, then the step Δ."""
        return latex.equation(self)

    def seen(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A parameter's shape as the equation sees it: (r, c), before which a stack's matrices are counted."""
        return shapes.view(shape, self.view == STACK)

    def seen_as(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which the equation sees x, g or an array slot of a parameter of a shape."""
        return shapes.sizes(self.graph.input(name).shape or WHOLE, self.seen(shape))

    def sizes(self, shape: tuple[int, ...]) -> dict[str, float]:
        """What an evaluation of the graph is told of a parameter's shape: its rows and columns by the graph's names."""
        return {SIZES[dim]: float(n) for dim, n in zip(WHOLE, self.seen(shape)[-2:], strict=True)}

    def has_whole_slot(self, name: str) -> bool:
        """Whether an array slot has the shape of the parameter, whatever that is."""
        return self.graph.input(name).shape in (None, WHOLE)

    def slot_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an array slot of a parameter: its own, or rows and columns where the slot has fewer of them."""
        return shape if self.has_whole_slot(name) else self.seen_as(name, shape)

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of state for a float32 parameter of a shape, without what is kept once for all of it."""
        return 4 * sum(math.prod(self.slot_shape(n, shape)) for n, s in self.slots.items() if not s.is_scalar)

    @property
    def state_words(self) -> str:
        """Bytes of state for each float32 parameter of a matrix: a number, and shares such as 4/r where slots are less
        than a whole matrix."""
        kinds = [self.graph.input(n).shape or WHOLE for n, s in self.slots.items() if not s.is_scalar]
        words = {("r", "c"): "", ("r", "1"): "/c", ("1", "c"): "/r", ("1", "1"): "/rc", ("r", "r"): "·r/c"}
        words |= {("c", "c"): "·c/r", ("c", "r"): "", ("c", "1"): "/r", ("1", "r"): "/c"}
        counts = Counter(words[kind] for kind in kinds)
        return " + ".join(f"{4 * counts[word]}{word}" for word in dict.fromkeys(words.values()) if counts[word]) or "0"

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


def _called(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """A function called with just those values that it names."""
    return function(**{n: values[n] for n in inspect.signature(function).parameters})


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


def _whole(shape: Shape) -> Shape:
    return tuple(w if dim == "?" else dim for dim, w in zip(shape, WHOLE, strict=True))  # type: ignore[return-value]


def _check(rule: Rule, graph: Graph) -> None:
    if graph.step.shape is None:
        raise TypeError(f"rule {rule.name}: the step depends on no array, so it has no shape")
    if any(dim not in ("1", whole) for dim, whole in zip(graph.step.shape, WHOLE, strict=True)):
        raise TypeError(
            f"rule {rule.name}: the step is {shapes.words(graph.step.shape)}, and the parameter {shapes.words(WHOLE)}"
        )
    for name, node in graph.slots.items():
        if rule.slots[name].is_scalar and any(n.op == "size" for n in topological([node])):
            raise TypeError(
                f"rule {rule.name}: scalar slot {name} is kept once for all, and depends on a matrix's size"
            )
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
    wide: tuple[str, ...] = (),
    look_ahead: Callable[..., Any] | None = None,
    kin: tuple[str, ...] = (),
    view: str = MATRIX,
    read_out: Callable[..., Any] | None = None,
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
    if view not in (MATRIX, STACK):
        raise TypeError(f"rule {name}: view must be {MATRIX!r} or {STACK!r}, got {view!r}")
    slot_names = arrays[needs_x + 1 :]
    needs_t = keywords.pop("t", None) is not None
    hyperparameters = {}
    for key, default in keywords.items():
        legal = ranges.get(key, usual_range(key))
        if not is_number(default) or default not in legal:
            raise TypeError(f"rule {name}: hyperparameter {key} needs a default that is a number {legal}")
        hyperparameters[key] = Hyperparameter(float(default), legal)
    for argument, names in {"ranges": ranges, "start": start, "scalar": scalar, "wide": wide}.items():
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
        slots=MappingProxyType({n: Slot(float(start.get(n, 0.0)), n in scalar, n in wide) for n in slot_names}),
        hyperparameters=MappingProxyType(hyperparameters),
        needs_x=needs_x,
        needs_t=needs_t,
        look_ahead_function=look_ahead,
        kin=kin,
        view=view,
        read_out_function=None if read_out is None else lambda x, at: _called(read_out, {**at, "x": x}),
    )
