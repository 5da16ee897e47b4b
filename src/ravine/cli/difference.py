"""`ravine explain A B`: two optimizers side by side, what differs, and which difference matters."""

from __future__ import annotations

from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ravine import dialects
from ravine.cli.tables import show_table
from ravine.dialects import schedule_calls
from ravine.dialects.compare import Comparison, Effect, compare
from ravine.dialects.lines import Names
from ravine.dialects.order import order
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments, element
from ravine.recipe import Recipe
from ravine.schedules import Schedule
from ravine.spelling import read
from ravine.trace import text

MARK = "≠"


@dataclass(frozen=True)
class Side:
    """What one name stands for; a framework's with its constructor and all arguments."""

    name: str
    recipe: Recipe
    constructor: Constructor | None = None
    arguments: Arguments | None = None
    schedule: Schedule | None = None

    def value(self, hyper: str) -> str:
        """A hyperparameter under its name here, with its value."""
        if hyper not in self.recipe.hyper:
            return "–"
        value = f"{self.recipe.hyper[hyper]:g}"
        if self.constructor is None or self.arguments is None:
            return f"{hyper} = {value}"
        names = {w.hyper: w.gives for w in self.constructor.wraps} | dict(self.constructor.form(self.arguments).names)
        if hyper not in names:
            return f"{value}, fixed"
        default = self.constructor.defaults[names[hyper].partition("[")[0]]
        is_default = default is not None and element(self.arguments, names[hyper]) == element(
            self.constructor.defaults, names[hyper]
        )
        return f"{names[hyper]} = {value}{' (default)' if is_default else ''}"


def is_foreign(name: str) -> bool:
    """Whether a name is a framework's and not a rule's."""
    return dialects.is_line(name)


def side(name: str, lr: float | None, let: Names) -> Side:
    """What a name from the command line stands for, with this learning rate where it gives none itself.

    `let` has the numbers that names in a line of a program stand for.
    """
    if not is_foreign(name):
        written = read(name)
        found = written.recipe()
        return Side(written.name or name, found if lr is None or "lr" in written.values else found.replace(lr=lr))
    constructor, given = dialects.parse(name, let)
    rate = constructor.forms[0].names["lr"]
    if lr is not None and rate not in given:
        given[rate] = lr
    follows = given.get(rate)
    schedule = follows if isinstance(follows, Schedule) else None
    if schedule is not None:
        given[rate] = schedule_calls.base(schedule)
    try:
        arguments = constructor.arguments(**given)
    except TypeError as error:
        hint = ": give it with --lr" if rate in str(error) else ""
        raise click.UsageError(f"{error}{hint}") from None
    return Side(dialects.canonical(name, let), constructor.recipe(arguments), constructor, arguments, schedule)


def show(names: list[str], lr: float | None, let: Names) -> None:
    """Print one framework's optimizer, or the comparison of two."""
    console = Console()
    sides = [side(name, lr, let) for name in names]
    _equations(console, sides)
    _values(console, sides)
    if len(sides) == 2:
        _differences(console, compare(sides[0].recipe, sides[1].recipe))
        _order(console, sides)
    others = [s.constructor.framework for s in sides[1:] if s.constructor] or [
        f for f in dialects.FRAMEWORKS if sides[0].constructor is None or f != sides[0].constructor.framework
    ]
    for each in sides:
        _beside(console, each)
    for framework in others:
        console.print(Text(f"{sides[0].name} in {framework}: {_spelled(sides[0].recipe, framework)}"))
        if sides[0].schedule is not None:
            text = schedule_calls.spelled(sides[0].schedule, framework) or "no such schedule"
            console.print(Text(f"its learning rate in {framework}: {text}"))


def _beside(console: Console, each: Side) -> None:
    """What a line has beside a recipe: a schedule, and links of a chain that no recipe does."""
    if each.schedule is not None:
        console.print(Text(f"lr above is the largest of a schedule: {each.schedule}."))
    if beside := getattr(each.constructor, "beside", ()):
        console.print(Text(f"Not in a recipe: {', '.join(beside)}."))


def _spelled(chosen: Recipe, framework: str) -> str:
    found = chosen.to(framework)
    reasons = f": {'; '.join(found.reasons)}" if found.reasons else ""
    return f"{found.call}  ({found.grade}{reasons})" if found.call else f"{found.grade}{reasons}"


def _equations(console: Console, sides: list[Side]) -> None:
    lines = [text.equation(s.recipe.rule).split("\n") for s in sides]
    shared = set(lines[0]).intersection(*lines[1:])
    blocks = []
    for own, one in zip(lines, sides, strict=True):
        block = Text(f"{one.name}\n{one.recipe.rule.title} ({one.recipe.rule.name})\n\n", style="bold")
        for line in own:
            differs = line not in shared
            block.append(f"{MARK if differs else ' '} {line}\n", style="bold yellow" if differs else "none")
        blocks.append(block)
    if sum(max(map(len, b.plain.split("\n"))) for b in blocks) + 4 > console.width:
        for block in blocks:
            console.print(block)
        return
    grid = Table.grid(padding=(0, 4))
    grid.add_row(*blocks)
    console.print(grid)


def _values(console: Console, sides: list[Side]) -> None:
    rows = []
    printer = text.TextPrinter()
    for name in dict.fromkeys(n for s in sides for n in s.recipe.hyper):
        values = {s.recipe.hyper.get(name) for s in sides}
        row = [MARK if len(values) > 1 else "", printer.name(name), *(s.value(name) for s in sides)]
        rows.append(row)
    starts = [{n: s.recipe.start.get(n, d.start) for n, d in s.recipe.rule.slots.items()} for s in sides]
    for slot in dict.fromkeys(n for s in starts for n in s):
        found = [f"{s[slot]:g}" if slot in s else "–" for s in starts]
        differs = len({s.get(slot) for s in starts}) > 1
        rows.append([MARK if differs else "", f"start of {printer.name(slot)}", *found])
    show_table(console, ("", "value", *(one.name.partition("(")[0] for one in sides)), rows)


def _differences(console: Console, found: Comparison) -> None:
    if found.differences:
        headings = ("term", "first", "second", "parts at", "by", "at worst by")
        rows = [(d.term, d.a, d.b, *_effect(d.effect)) for d in found.differences]
        show_table(console, headings, rows, "Each difference alone")
    if found.same:
        console.print("They move alike: on the test stream the trajectories never part.")
        if any("global norm" in words for d in found.differences for words in (d.a, d.b)):
            console.print("That stream is of one parameter; of several the global norm is that of all together.")
        return
    at, by, worst = _effect(found.effect)
    of_a_step = " of a step" if by.endswith("%") else ""
    console.print(Text(f"The trajectories part at {at}, by {by}{of_a_step}; at worst by {worst}."))
    if found.responsible is not None:
        d = found.responsible
        console.print(Text(f"What matters most: {d.term} ({d.a} against {d.b}).", style="bold"))


def _order(console: Console, sides: list[Side]) -> None:
    """Where one takes momentum of rescaled steps and the other rescales an average: a sentence and a picture of it."""
    orders = [order(s.recipe) for s in sides]
    first, second = orders
    if first is None or second is None or first.rescales_first == second.rescales_first:
        return
    names = [s.name.partition("(")[0] for s in sides]
    console.print()
    console.print(Text(f"{names[0]} {first.words}; {names[1]} {second.words}.", style="bold"))
    for name, found in zip(names, (first, second), strict=True):
        console.print(Text(f"  {name}: {found.picture}"))
    console.print()


def _effect(effect: Effect | None) -> tuple[str, str, str]:
    if effect is None:
        return "not to be had alone", "", ""
    if not effect.first:
        return "never", "", ""
    return f"step {effect.first}", _part(effect.part), f"{_part(effect.worst)} (step {effect.worst_step})"


def _part(part: float) -> str:
    return f"{part:.3g} steps" if part >= 1 else f"{part:.2%}" if part >= 1e-4 else f"{100 * part:.1e}%"
