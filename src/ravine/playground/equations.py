"""A rule's equation for the page: MathML with symbols, and the same lines with places for the current numbers."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from ravine.rule import Rule
from ravine.trace import definitions
from ravine.trace.graph import SIZES, Node, node, substitute
from ravine.trace.mathml import MathMLPrinter
from ravine.trace.tracer import spelled_out

Tree = list[Any]
"""An element as [tag, {attributes}, *children]; a child is a tree or a text."""


class _PlacePrinter(MathMLPrinter):
    """Prints a numbered place wherever a name would stand."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[tuple[str, str, bool], str] = {}

    def name(self, name: str, when: str = "", hat: bool = False) -> str:
        if name == "∇f":
            return super().name(name, when, hat)
        return self.places.setdefault((name, when, hat), f'<mn data-place="{len(self.places)}"></mn>')

    def product(self, factors: list[str]) -> str:
        return "<mo>·</mo>".join(factors)  # two numbers with only a space between them would read as one


def equation(rule: Rule) -> tuple[list[dict[str, Any]], list[Node]]:
    """The lines of a rule's equation, with what is to be evaluated, and the nodes whose values belong in their places.

    A line is {left, right, numbers: trees; value: the place of its result}. Place k is element k of the list of nodes.
    """
    printer = _PlacePrinter()
    symbols, numbers = definitions.equation(rule, MathMLPrinter()), definitions.equation(rule, printer)
    node_of = {markup: n for n, markup in printer.symbols.items()}
    moved = {node("array", name="x"): node("add", node("array", name="x"), rule.written.step)}
    node_of[printer.name("x", "t")] = moved[node("array", name="x")]
    results = [place for place, _ in numbers]
    if rule.read_out_graph is not None:
        symbols += definitions.read_out(rule, MathMLPrinter())
        numbers += definitions.read_out(rule, printer)
        moved |= {node("array", name=n): rule.written.slots[n] for n in rule.slots}
        results.append(printer.name("evaluated"))
        (node_of[results[-1]],) = substitute([rule.read_out_graph], moved)
    kinds = dict.fromkeys(SIZES, "size") | dict.fromkeys([*rule.hyperparameters, *rule.slots, "t"], "scalar")
    nodes = spelled_out(node_of.get(m) or node(kinds[key[0]], name=key[0]) for key, m in printer.places.items())
    places = list(printer.places.values())
    result = [
        {"left": _tree(left), "right": _tree(right), "numbers": _tree(filled), "value": places.index(place)}
        for (left, right), (_, filled), place in zip(symbols, numbers, results, strict=True)
    ]
    return result, list(nodes)


def symbol(name: str) -> Tree:
    """A name as it stands in the equations."""
    return _tree(MathMLPrinter().name(name))


def _tree(markup: str) -> Tree:
    return _from_element(ElementTree.fromstring(f"<mrow>{markup}</mrow>"))


def _from_element(element: ElementTree.Element) -> Tree:
    tree: Tree = [element.tag, dict(element.attrib)]
    tree += [element.text] if element.text else []
    return tree + [_from_element(child) for child in element]
