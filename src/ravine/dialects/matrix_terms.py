"""What two rules that orthogonalize can differ in, read off their graphs: scaling, momentum, look ahead, ε and more."""

from __future__ import annotations

from ravine.trace import text
from ravine.trace.graph import Graph, Node, node, substitute, topological


def orthogonalized(graph: Graph) -> Node | None:
    """What a rule puts into Newton–Schulz's iteration; None where it has none."""
    return next((n.args[0] for n in graph.nodes if n.op == "newton_schulz"), None)


def describe(graph: Graph) -> dict[str, str]:
    """The equation of a rule that orthogonalizes, in words by term."""
    inside = orthogonalized(graph)
    assert inside is not None
    new = {n: node("array", name=f"new {name}", shape=n.shape) for name, n in graph.slots.items() if n.shape}
    ahead = substitute([inside], new)[0]
    averaged = any(n.op == "sub" and n.args[0].op == "const" for s in graph.slots.values() for n in topological([s]))
    result = {
        "scaling": _scaling(graph),
        "momentum kept as": "an average of gradients" if averaged else "a sum of gradients",
        "orthogonalized": "the momentum ahead (Nesterov)" if _reads_gradient(ahead) else "the momentum itself",
        "ε": _epsilon(inside),
        "correction for the start": "of m and g" if any(n.op == "power" for n in topological([inside])) else "none",
        "row scaling": "by their own root mean squares" if len(graph.slots) > 1 else "",
    }
    return {n: v for n, v in result.items() if v}


def _reads_gradient(n: Node) -> bool:
    return any(leaf.op == "array" and leaf.name == "g" for leaf in topological([n]))


def _scaling(graph: Graph) -> str:
    """The factor that depends on the matrix's size: the outermost root of sizes alone."""
    found = [n for n in graph.nodes if n.op == "sqrt" and not n.is_array and _has_size(n)]
    return text.TextPrinter().show(found[-1]) if found else "none"


def _has_size(n: Node) -> bool:
    return any(leaf.op == "size" for leaf in topological([n]))


def _epsilon(inside: Node) -> str:
    for n in topological([inside]):
        names = {a.name for a in n.args}
        if "eps" in names and n.op == "add":
            return "added to the norm"
        if "eps" in names and n.op == "maximum":
            return "the least that the norm counts"
    return ""
