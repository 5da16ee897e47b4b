"""What rules that read a whole layer can differ in, read off their graphs: what is shared, how long a step is."""

from __future__ import annotations

from ravine.trace.graph import Graph, Node, topological

SHARED = {("r", "1"): "rows", ("1", "c"): "columns", ("1", "1"): "all of the layer"}
"""Who shares a slot of a shape."""


def describe(graph: Graph) -> dict[str, str]:
    """The terms of a rule that reads norms or means, in words."""
    result = {
        "averages of squares": _shared(graph),
        "length of a step": next(filter(None, map(_length, graph.nodes)), ""),
        "decay": "in the step whose norm is taken" if any(map(_is_norm_with_decay, graph.nodes)) else "",
        "lr over time": "at most 1/√t" if any(map(_is_falling, graph.nodes)) else "",
        "ε": _epsilon(graph),
    }
    return {n: v for n, v in result.items() if v}


def _shared(graph: Graph) -> str:
    found = [SHARED[n.shape] for n in graph.slots.values() if n.shape in SHARED]
    return f"shared by {' and '.join(found)}" if found else ""


def _length(n: Node) -> str:
    """What of the parameter sets the step's length, where an expression is that."""
    words = {"norm": "norm", "rms": "root mean square"}
    leaves = {leaf.name for leaf in topological([n]) if leaf.op == "array"}
    return f"by the parameter's {words[n.op]}" if n.op in words and leaves == {"x"} else ""


def _is_norm_with_decay(n: Node) -> bool:
    return n.op == "norm" and "weight_decay" in _names(n)


def _is_falling(n: Node) -> bool:
    """Whether it is min(lr, 1/√t)."""
    return n.op == "minimum" and _names(n) == {"lr", "t"}


def _epsilon(graph: Graph) -> str:
    """Whether ε is added to an average of squares, or bounds it from below."""
    bounds = [a for n in graph.nodes if n.op == "maximum" for a in n.args]
    if any(_names(a) == {"eps"} for a in bounds):
        return "the least that the estimate counts"
    added = [a for n in topological(list(graph.slots.values())) if n.op == "add" for a in n.args if not a.is_array]
    return "added to the squares" if any("eps" in _names(a) for a in added) else ""


def _names(n: Node) -> set[str]:
    return {leaf.name for leaf in topological([n]) if leaf.op in ("scalar", "array")}
