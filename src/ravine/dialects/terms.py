"""What two rules for one method can differ in, read off their graphs: where ε is, where lr is, what is corrected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from ravine.dialects import layer_terms, matrix_terms
from ravine.recipe import Recipe
from ravine.registry import rule as find_rule
from ravine.rule import Rule
from ravine.trace.graph import Graph, Node, node, substitute, topological

CLIPS = ("clip_value", "clip_norm", "clip_global_norm")
DECOUPLED = ("decoupled_weight_decay", "weight_decay_first")
AVERAGED = "ema_weights"
AROUND = ("weight_decay", *DECOUPLED, "maximize", "lr_decay", *CLIPS, AVERAGED)
"""Transforms that don't change the equation inside them."""

AVERAGE = "average"
"""The slot that averaging the parameters adds. It starts at the first step's x, whatever it is before."""

METHODS = (
    *("rmsprop", "adagrad", "adadelta", "adamax", "amsgrad", "nadam", "radam", "adam", "lion", "muon"),
    *("adafactor", "lamb", "rprop"),
)
"""Methods that several rules are variants of, by what these rules' names begin with."""

UNNAMED = {"adamw": "decoupled_weight_decay(adam)"}
"""Named rules that are a transform around another rule."""


IDLE = {"second ε": "eps_root", "decay": "weight_decay"}
"""Terms that are none where a hyperparameter is zero."""


def hyperparameter(transform: str) -> str:
    """What a transform of those above calls its hyperparameter, if it has one."""
    return {**dict.fromkeys(DECOUPLED, "weight_decay"), AVERAGED: "ema_decay"}.get(transform, transform)


@dataclass(frozen=True)
class Parts:
    """A recipe taken apart: the innermost equation, its values and starts, and the transforms around it.

    `wraps` maps a transform to its hyperparameter's value (None where it has none); a decay of zero is left out, but
    not an average that forgets all.
    `order` names the transforms that don't commute, outermost first.
    """

    base: str
    hyper: MappingProxyType[str, float]
    start: MappingProxyType[str, float]
    wraps: MappingProxyType[str, float | None]
    order: tuple[str, ...]


def take_apart(recipe: Recipe) -> Parts:
    """The parts of a recipe, transforms outermost first."""
    name, hyper = UNNAMED.get(recipe.rule.name, recipe.rule.name), dict(recipe.hyper)
    wraps: dict[str, float | None] = {}
    while (found := re.fullmatch(r"(\w+)\((.+)\)", name)) and found[1] in AROUND and found[1] not in wraps:
        if found[1] == AVERAGED and set(DECOUPLED) & wraps.keys():
            break  # the average is of points without the decay
        value = hyper.pop(hyperparameter(found[1]), None)
        if value != 0 or found[1] == AVERAGED:
            wraps[found[1]] = value
        name = UNNAMED.get(found[2], found[2])
    start = {n: recipe.start.get(n, s.start) for n, s in recipe.rule.slots.items()}
    if AVERAGED in wraps:
        del start[AVERAGE]
    # Decoupled decay touches the step alone, so it commutes with what touches g alone, and so does an average outside.
    order = tuple(n for n in wraps if n != AVERAGED and (n not in DECOUPLED or "lr_decay" in wraps))
    return Parts(name, MappingProxyType(hyper), MappingProxyType(start), MappingProxyType(wraps), order)


def method(name: str) -> str:
    """The method that a rule is a variant of, as its name says: "rmsprop" for "heavy_ball(rmsprop_torch)"."""
    stem = re.findall(r"\w+", name)[-1]
    for prefix in METHODS:
        if stem.startswith(prefix):
            return prefix
    return "descent" if stem.startswith(("gd", "momentum", "nesterov")) else stem


def describe(rule: Rule | str) -> dict[str, str]:
    """The equation in words, by term: "ε", "second ε", "lr", "momentum", "mean", "maximum", "bias correction", "β₁".

    Of a rule that orthogonalizes the terms of `matrix_terms.describe`; of another that reads a whole layer, those of
    `layer_terms.describe` too.
    """
    found = find_rule(rule) if isinstance(rule, str) else rule
    graph = found.graph
    if matrix_terms.orthogonalized(graph) is not None:
        return matrix_terms.describe(graph)
    result = {
        "ε": _epsilon(graph, "eps"),
        "second ε": _epsilon(graph, "eps_root"),
        "momentum": "Nesterov's" if found.look_ahead_function else _momentum(graph),
        "lr": _rate(graph),
        "mean": "subtracted" if _is_centred(graph) else "not subtracted",
        "maximum": _maximum(graph),
        "bias correction": _correction(graph),
        "β₁": "warmed up" if any(n.op == "power" and n.args[0].op == "const" for n in graph.nodes) else "",
    }
    if not graph.is_elementwise:
        result = {**layer_terms.describe(graph), **{n: v for n, v in result.items() if v}}
    return {n: v for n, v in result.items() if v}


def _with_rate(words: dict[str, str]) -> str:
    return f"{words['momentum']}, lr {words['lr']}" if "momentum" in words else "none"


def _leaf(name: str) -> Node:
    return node("scalar", name=name)


def depends(n: Node, name: str) -> bool:
    """Whether an expression reads the scalar of this name."""
    return _leaf(name) in topological([n])


def _with_buffers_as_inputs(graph: Graph) -> Node:
    """The step in terms of the new slots: what is done after the averages are updated."""
    new = {n: node("array", name=f"new {name}", shape=n.shape) for name, n in graph.slots.items() if n.shape}
    return substitute([graph.step], new)[0]


def _epsilon(graph: Graph, name: str) -> str:
    leaf = _leaf(name)
    for n in graph.nodes:
        if n.op != "add" or leaf not in n.args:
            continue
        other = n.args[0] if n.args[1] is leaf else n.args[1]
        if any(user.op == "sqrt" and n in user.args for user in graph.nodes):
            return "inside the root"
        if other.op == "abs":
            return "added to |g|"
        if other.op == "maximum":
            return "added to u"
        corrected = any(depends(a, "t") for a in topological([other]) if not a.is_array and a.args)
        if corrected:
            return "outside the root, after the bias correction"
        return "outside the root" + (", before the bias correction" if depends(graph.step, "t") else "")
    return ""


def _momentum(graph: Graph) -> str:
    if not any(depends(n, "mu") for n in graph.slots.values()):
        return ""
    return "Nesterov's" if depends(_with_buffers_as_inputs(graph), "mu") else "heavy ball"


def _rate(graph: Graph) -> str:
    if not _momentum(graph):
        return ""
    inside = any(depends(n, "lr") for n in graph.slots.values())
    return "inside the buffer" if inside else "outside the buffer"


def _is_centred(graph: Graph) -> bool:
    """Whether a root is taken of a difference of arrays."""
    under = [n for s in graph.nodes if s.op == "sqrt" and s.is_array for n in topological(s.args)]
    return any(n.op == "sub" and all(a.is_array for a in n.args) for n in under)


def _maximum(graph: Graph) -> str:
    """What a slot remembers the largest of, as AMSGrad does."""
    for name, n in graph.slots.items():
        if n.op == "maximum" and graph.input(name) in n.args:
            return "of the corrected v" if depends(n, "t") else "of v"
    return ""


def _correction(graph: Graph) -> str:
    powers = {n.args[0].name for n in graph.nodes if n.op == "power" and n.args[0].name not in ("", "t")}
    return " and ".join({"beta1": "of m", "beta2": "of v", "rho": "of s"}.get(p, p) for p in sorted(powers))


def differences(a: Rule | str, b: Rule | str) -> dict[str, tuple[str, str]]:
    """The terms in which two rules differ, with what each has; "equation" where no term tells them apart."""
    first, second = describe(a), describe(b)
    names = dict.fromkeys([*first, *second])
    found = {n: (first.get(n, "none"), second.get(n, "none")) for n in names if first.get(n) != second.get(n)}
    if "momentum" in found and "none" in found["momentum"]:  # where lr is goes with the momentum
        found["momentum"] = (_with_rate(first), _with_rate(second))
        found.pop("lr", None)
    left, right = (find_rule(r) if isinstance(r, str) else r for r in (a, b))
    if not found and left.graph.outputs != right.graph.outputs:
        found["equation"] = (left.title, right.title)
    return found
