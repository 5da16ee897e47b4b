"""From a traced rule to the lines of its equation: which expressions get a name, and in which order they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ravine.math import newton_schulz_step
from ravine.trace.graph import PRODUCTS, Graph, Node, like, node, topological
from ravine.trace.printer import ATOM, NEWTON_SCHULZ, Printer
from ravine.trace.tracer import Tracer

if TYPE_CHECKING:
    from ravine.rule import Rule

Line = tuple[str, str]


def lines(rule: Rule, printer: Printer) -> list[Line]:
    """The rule's equation, below it the definitions of the composites that it uses, and what is to be evaluated."""
    return [*equation(rule, printer), *composites(rule, printer), *read_out(rule, printer)]


def read_out(rule: Rule, printer: Printer) -> list[Line]:
    """What is evaluated, where that is not x: one line."""
    if rule.read_out_graph is None:
        return []
    leaves = (n for n in topological([rule.read_out_graph]) if n.op == "array")
    printer.symbols = {n: printer.name(n.name, "t") for n in leaves}
    return [(printer.call("evaluated", [printer.name("x", "t")]), printer.show(rule.read_out_graph))]


def composites(rule: Rule, printer: Printer) -> list[Line]:
    """What the names of composite functions stand for: one line for each that the equation calls."""
    called = [n for n in rule.graph.nodes if n.op == "newton_schulz"]
    if not called:
        return []
    y = Tracer(node("array", name="y"))
    step = newton_schulz_step(y, *map(Tracer, called[0].args[1:4]))
    times = printer.show(called[0].args[4], ATOM)
    shown = printer.name("y")
    return [(printer.call(NEWTON_SCHULZ, [shown]), printer.repeated(shown, printer.show(step.node), times))]


def equation(rule: Rule, printer: Printer) -> list[Line]:
    """The rule as definitions (left side, right side), in an order that can be computed; last comes the new x.

    Slots' new values get their name with subscript t; a new value over a coefficient gets a hat, as m̂ in Adam's paper;
    what is long and used twice gets a name: κ for a coefficient, h for an array.
    """
    graph = _with_joined_roots(rule.written)
    result: list[Line] = []
    old = {name: node("scalar", name=name) if s.is_scalar else graph.input(name) for name, s in rule.slots.items()}
    if any(n.op in PRODUCTS for n in graph.nodes):
        matrices = [name for name, n in old.items() if n.shape is not None and "1" not in n.shape]
        printer.capitals = frozenset({"x", "g", "y", *matrices})
    x, g = node("array", name="x"), node("array", name="g")
    printer.symbols |= {n: printer.name(name, "t-1") for name, n in old.items()}
    printer.symbols |= {x: printer.name("x", "t-1"), g: printer.name("g", "t")}
    if rule.look_ahead_graph is not None:
        inside = printer.show(node("add", x, rule.look_ahead_graph))
        result.append((printer.symbols[g], printer.call("∇f", [inside])))

    names: dict[Node, Callable[[], str]] = {}
    for stem, shared in {"kappa": _shared(graph, False, 5), "h": _shared(graph, True, 3)}.items():
        for index, n in enumerate(shared, 1):
            is_matrix = printer.capitals and n.shape is not None and "1" not in n.shape
            label = (stem.upper() if is_matrix else stem) + (str(index) if len(shared) > 1 else "")
            names[n] = lambda label=label, n=n: printer.name(label, "t" * n.is_array)  # type: ignore[misc]
    by_slot: dict[Node, str] = {}
    for name, new in graph.slots.items():
        if new is not old[name] and not new.is_leaf:
            by_slot.setdefault(new, name)
            names[new] = lambda name=name: printer.name(name, "t")  # type: ignore[misc]
    for n in graph.nodes:
        if n.op == "div" and n.args[0] in by_slot and not n.args[1].is_array:
            names[n] = lambda name=by_slot[n.args[0]]: printer.name(name, "t", hat=True)  # type: ignore[misc]
    for n in topological(graph.outputs):
        if n in names:
            right = printer.show(n)
            printer.symbols[n] = names[n]()
            result.append((printer.symbols[n], right))
    result.append((printer.name("x", "t"), printer.show(_moved(x, graph.step))))
    return result


def _moved(x: Node, step: Node) -> Node:
    """Where a step leads: to y itself, where the step is y − x."""
    return step.args[0] if step.op == "sub" and step.args[1] is x else node("add", x, step)


def _with_joined_roots(graph: Graph) -> Graph:
    """The graph with √(a / c) for √a / √c, where c is a coefficient: the same number, and what papers write."""
    new: dict[Node, Node] = {}
    for n in graph.nodes:
        args = [new[a] for a in n.args]
        if n.op == "div" and all(a.op == "sqrt" for a in args) and not args[1].is_array:
            new[n] = node("sqrt", node("div", args[0].args[0], args[1].args[0]))
        else:
            new[n] = like(n, *args)
    return Graph(new[graph.step], {name: new[n] for name, n in graph.slots.items()})


def _shared(graph: Graph, is_array: bool, larger_than: int) -> list[Node]:
    """Expressions worth a name of their own: used twice, not small, and not a slot's new value."""
    uses: dict[Node, int] = {}
    for n in graph.nodes:
        for a in n.args:
            uses[a] = uses.get(a, 0) + 1
    slots = set(graph.slots.values())
    return [
        n
        for n in graph.nodes
        if n.is_array == is_array and uses.get(n, 0) > 1 and len(topological([n])) > larger_than and n not in slots
    ]
