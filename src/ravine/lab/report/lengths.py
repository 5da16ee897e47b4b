"""One comparison at several lengths of a run: what changes with the length. Reads results, runs nothing."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from ravine.lab.report.words import interval, number
from ravine.lab.results import Results


def lines(many: Mapping[int, Results]) -> list[list[str]]:
    """A heading and a line for each contender, in the order of the longest runs: its final loss and its place at each
    length, and the seconds of training that the longest run takes."""
    longest = many[max(many)]
    places = {steps: [r.name for r in results.summary.rows] for steps, results in many.items()}
    rows = {steps: {r.name: r for r in results.summary.rows} for steps, results in many.items()}
    found = [["optimizer", *(f"{steps} steps" for steps in sorted(many)), "seconds"]]
    for name in (r.name for r in longest.summary.rows):
        cells = [f"{places[s].index(name) + 1}. {interval(rows[s][name].loss)}" for s in sorted(many)]
        found.append([name, *cells, number(max(many) * rows[max(many)][name].seconds_per_step)])
    return found


def table(many: Mapping[int, Results]) -> Table:
    """For the terminal."""
    (first, *headings), *rest = lines(many)
    shown = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    shown.add_column(first)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for line in rest:
        shown.add_row(*map(Text, line))
    return shown


def words(many: Mapping[int, Results]) -> str:
    """Whether the order changes, and where to read the verdict."""
    orders = {steps: [r.name for r in results.summary.rows] for steps, results in many.items()}
    first, last = min(many), max(many)
    changed = len({tuple(order) for order in orders.values()}) > 1
    told = (
        f"The order is not the same at all lengths ({first} to {last} steps)"
        if changed
        else "The order is the same at all lengths"
    )
    return (
        f"{told}; places alone say nothing about how sure it is. Each length was tuned by itself and judged at the end "
        f"of its decay. The verdict is that of the longest runs, {last} steps; no run says what comes after it."
    )


def markdown(many: Mapping[int, Results]) -> str:
    """To paste."""
    heading, *rest = ([cell.replace("|", "\\|") for cell in line] for line in lines(many))
    rule = ["---"] + ["---:"] * (len(heading) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [heading, rule, *rest]) + f"\n\n{words(many)}\n"
