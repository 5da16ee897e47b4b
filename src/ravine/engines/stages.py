"""A graph that reads more than one element at a time, cut into stages at every reduction and every product.

A stage is one pass over arrays of one shape, element by element. What is smaller than a matrix (a norm, a row, a
column) is kept in work space for the stages behind, and so are the operands of products. What is as large as the
parameter is otherwise computed again where it is needed, from x, g and the slots, unless that moves more bytes. x is
written by the last stage. An engine goes through the times in order: the stages of a time, then the products that have
become possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ravine.trace.graph import PRODUCTS, REDUCTIONS, Graph, Node, node
from ravine.trace.shapes import WHOLE, Shape

MAP, ALL, ALONG, DOWN = "map", "all", "along", "down"
"""What a stage does with what it computes: store it, or reduce it to one number, along its rows to a number a row, or
down its columns to a number a column."""

WORTH = 1
"""How many arrays less must be read where a value is kept: its own write is paid by what is not computed again."""


@dataclass(frozen=True)
class Stage:
    """Values of one shape that are computed in one pass.

    `targets` maps what becomes of them to the values: a node that is kept in work space to itself, the name of x or a
    slot to what is written there, and, in a stage that reduces, a reduction to what it reduces.
    """

    kind: str
    shape: Shape
    time: int
    targets: Mapping[Node | str, Node]

    @property
    def reduced(self) -> list[Node]:
        """The reductions."""
        return [key for key, value in self.targets.items() if isinstance(key, Node) and key is not value]


@dataclass(frozen=True)
class Cut:
    """A graph's stages by time, and the products behind them. `one` are the sizes that are 1 in the parameters at hand:
    for a vector "c", since then a row is a number and what is reduced along it is nothing but rounded. `also` are
    values as large as the parameter that are kept; `early` has slots' new values that are read where they were written:
    in which slot, and at what time.
    """

    graph: Graph
    one: frozenset[str] = frozenset()
    also: frozenset[Node] = frozenset()
    early: Mapping[Node, tuple[str, int]] = field(default_factory=dict)
    stages: list[list[Stage]] = field(default_factory=list)
    products: list[list[Node]] = field(default_factory=list)

    @property
    def moved(self) -> Node:
        """The new parameter."""
        return node("add", self.graph.input("x"), self.graph.step)

    def shape(self, n: Node) -> Shape:
        """A node's shape where the sizes in `one` are 1."""
        rows, columns = n.shape or WHOLE
        return ("1" if rows in self.one else rows), ("1" if columns in self.one else columns)

    def input_shape(self, name: str) -> Shape:
        """That of x, g or a slot."""
        return self.shape(self.graph.input(name))

    def kind(self, n: Node) -> str:
        """How a reduction goes over its operand; `MAP` where that has one number for each result."""
        rows, columns = self.shape(n.args[0])
        (axis,) = n.options
        has_rows, has_columns = rows != "1" and axis in (None, 0), columns != "1" and axis in (None, 1)
        if not has_rows and not has_columns:
            return MAP
        if has_columns and not has_rows:
            return ALL if rows == "1" else ALONG
        if has_rows and not has_columns:
            return ALL if columns == "1" else DOWN
        return ALL

    def is_stored(self, n: Node) -> bool:
        """Whether a node's value comes from outside of the stages: an input, a reduction, a product."""
        return n.op == "array" or n.op in PRODUCTS or (n.op in REDUCTIONS and self.kind(n) != MAP)

    def is_view(self, n: Node) -> bool:
        """Whether a node is a transpose that products alone read: a library needs no copy for that."""
        users = [u for u in self.graph.array_nodes if n in u.args]
        return n.op == "transpose" and n not in self.graph.outputs and all(u.op in PRODUCTS for u in users)

    def is_spent(self, n: Node) -> bool:
        """Whether nobody reads what lies in work space for a node but one product, which may write to it."""
        users = [u for u in self.graph.array_nodes if n in u.args]
        is_read_there = n.op != "array" and (n in self.graph.outputs or any(u.op not in PRODUCTS for u in users))
        return not is_read_there and sum(u.op in PRODUCTS for u in users) == 1

    @cached_property
    def kept(self) -> frozenset[Node]:
        """What is computed element by element and then kept in work space: the operands of products, and what is
        broadcast to a larger shape."""
        found = set(self.also)
        for n in self.graph.array_nodes:
            for a in n.args:
                if a.is_array and not self.is_stored(a):
                    is_broadcast = n.op not in REDUCTIONS and self.shape(a) != self.shape(n)
                    if n.op in PRODUCTS or is_broadcast:
                        found.add(a)
                elif n.op in PRODUCTS and a.op == "array":
                    found.add(a)
        step = self.graph.step
        if not self.is_stored(step) and self.shape(step) != self.input_shape("x"):
            found.add(step)
        return frozenset(found)

    @cached_property
    def time(self) -> dict[Node, int]:
        """The first time at which a stage of the node's own shape can read it or compute it."""
        found: dict[Node, int] = {}
        for n in self.graph.nodes:
            if not n.is_array:
                continue
            arrays = [a for a in n.args if a.is_array]
            if n.op in PRODUCTS:
                found[n] = max(found[a] + (a in self.kept or a.op == "array") for a in arrays)
            elif self.is_stored(n):
                found[n] = max((found[a] + 1 for a in arrays), default=0)
            else:
                found[n] = max(found[a] + (a in self.kept and self.shape(a) != self.shape(n)) for a in arrays)
        return found


def cut(graph: Graph, one: frozenset[str] = frozenset(), wide: frozenset[str] = frozenset()) -> Cut:
    """The stages of a graph. `wide` are the slots that hold what was computed, and not what is left of it by rounding.

    Where no product stands between, bytes are saved. A slot is written as soon as nobody reads the old one any more,
    and what more than one array would be read again for is kept as it passes. (With products a step is several calls;
    so an interrupt between two finds all as it was.)
    """
    made = _stages(Cut(graph, one))
    if not any(made.products):
        early = _early(made, wide)
        made = _stages(Cut(graph, one, also=_worth_keeping(made, early), early=early))
        _write_early(made)
    return made


def _stages(made: Cut) -> Cut:
    """The same cut with its stages."""
    graph = made.graph
    written: dict[str, Node] = {"x": made.moved}
    written |= {name: new for name, new in graph.slots.items() if new.is_array}
    last = max(made.time[n] for n in graph.outputs if n.is_array)
    if graph.step in made.kept:
        last = max(last, made.time[graph.step] + 1)
    made.stages.extend([] for _ in range(last + 1))
    made.products.extend([] for _ in range(last))
    for time in range(last):
        made.stages[time] += _at(made, time)
        made.products[time] += [n for n in graph.nodes if n.op in PRODUCTS and made.time[n] == time + 1]
    shapes = dict.fromkeys(made.input_shape(name) for name in written)
    for shape in sorted(shapes, key=lambda s: s.count("1")):  # the larger ones read the smaller ones' old values
        targets: dict[Node | str, Node] = {n: v for n, v in written.items() if made.input_shape(n) == shape}
        made.stages[last].append(Stage(MAP, shape, last, targets))
    return made


def _early(made: Cut, wide: frozenset[str]) -> dict[Node, tuple[str, int]]:
    """New values of wide slots that a stage before the last computes: where and when they can be written, and read."""
    found: dict[Node, tuple[str, int]] = {}
    for name in sorted(wide):
        new, shape = made.graph.slots[name], made.input_shape("x")
        if made.input_shape(name) == shape and not made.is_stored(new) and new not in found:
            times = [k for k, own in enumerate(made.stages[:-1]) for s in own if _passes(made, s, shape, new)]
            found |= {new: (name, min(times))} if times else {}
    while True:
        seen = Cut(made.graph, made.one, early=found)
        still = {new: place for new, place in found.items() if not _is_missed(made, seen, new, *place)}
        if still == found:
            return found
        found = still


def _passes(made: Cut, stage: Stage, shape: Shape, n: Node) -> bool:
    return stage.shape == shape and n in computed(made, stage)


def _is_missed(made: Cut, seen: Cut, new: Node, name: str, time: int) -> bool:
    """Whether somebody else reads an old slot at the time when it is written, or behind."""
    here = next(s for s in made.stages[time] if _passes(made, s, made.input_shape(name), new))
    others = [s for stages in made.stages[time:] for s in stages if s is not here]
    return any(made.graph.input(name) in leaves(seen, s) for s in others)


def _worth_keeping(made: Cut, early: Mapping[Node, tuple[str, int]]) -> frozenset[Node]:
    """What is computed on the way to a reduction and again for the step, if less arrays are read for the step where it
    is kept."""
    shape = made.input_shape("x")
    step = Stage(MAP, shape, len(made.stages) - 1, {"x": made.moved})
    before = {n for stages in made.stages[:-1] for s in stages if s.shape == shape for n in computed(made, s)}
    again = [n for n in computed(made, step) if n.is_array and made.shape(n) == shape]
    fresh = [n for n in again if n not in before]
    found = set()
    for n in again:
        if n in before and not made.is_stored(n) and any(n in user.args for user in fresh):
            ways = (frozenset[Node](), frozenset({n}))
            read = [len(_matrices(Cut(made.graph, made.one, also=way, early=early), step)) for way in ways]
            if read[0] - read[1] >= WORTH:
                found.add(n)
    return frozenset(found)


def _matrices(made: Cut, stage: Stage) -> list[Node]:
    """The arrays of a stage's own shape that it reads."""
    return [n for n in leaves(made, stage) if made.shape(n) == stage.shape]


def _write_early(made: Cut) -> None:
    """Have slots written by stages that compute their new values anyway, where the old ones are not read behind."""
    last = made.stages[-1]
    for final in list(last):
        for name in [key for key in final.targets if isinstance(key, str) and key != "x"]:
            new, old = made.graph.slots[name], made.graph.input(name)
            for time in reversed(range(len(made.stages) - 1)):
                here = [s for s in made.stages[time] if _passes(made, s, final.shape, new)]
                rest = [s for s in made.stages[time] if s not in here[:1]]
                behind = [_without(s, name) for stages in made.stages[time + 1 :] for s in stages]
                is_first = new not in made.early or made.early[new][1] == time
                if here and is_first and not any(old in leaves(made, s) for s in [*rest, *behind]):
                    place = made.stages[time].index(here[0])
                    made.stages[time][place] = replace(here[0], targets={**here[0].targets, name: new})
                    last[:] = [_without(s, name) for s in last]
                    break
    last[:] = [s for s in last if s.targets]


def _without(stage: Stage, name: str) -> Stage:
    return replace(stage, targets={key: value for key, value in stage.targets.items() if key != name})


def _at(made: Cut, time: int) -> Iterator[Stage]:
    """The stages of a time before the last: one for each shape and each way to reduce."""
    found: dict[tuple[str, Shape], dict[Node | str, Node]] = {}
    for n in made.graph.array_nodes:
        if n.op in REDUCTIONS and made.is_stored(n) and made.time[n] == time + 1:
            (operand,) = n.args
            found.setdefault((made.kind(n), made.shape(operand)), {})[n] = operand
    for n in made.graph.nodes:  # in one order, so that the same code is in the cache of kernels
        if n in made.kept and made.time[n] == time:
            passing = [k for k, t in found.items() if n in made.also and n in computed(made, Stage(*k, time, t))]
            found.setdefault(passing[0] if passing else (MAP, made.shape(n)), {})[n] = n
    for kind, shape in sorted(found, key=lambda key: key[0] != MAP):  # what is reduced may be what is kept
        yield Stage(kind, shape, time, found[kind, shape])


def leaves(made: Cut, stage: Stage) -> tuple[Node, ...]:
    """What a stage reads: inputs, and what lies in work space."""
    return tuple(n for n in computed(made, stage) if n.is_array and _is_read(made, stage, n))


def computed(made: Cut, stage: Stage) -> tuple[Node, ...]:
    """All nodes that a stage reads or computes, arguments first, down to what it reads."""
    order: dict[Node, None] = {}

    def visit(n: Node) -> None:
        if n in order:
            return
        if n.is_array and not _is_read(made, stage, n):
            for a in n.args:
                visit(a)
        order[n] = None

    for value in stage.targets.values():
        visit(value)
    return tuple(order)


def _is_read(made: Cut, stage: Stage, n: Node) -> bool:
    """Whether a stage finds a node's value in memory."""
    is_written = n in made.early and made.early[n][1] < stage.time
    return made.is_stored(n) or is_written or (n in made.kept and n not in stage.targets)
