"""`ravine list` and `ravine explain`: the family at a glance, and one rule in full."""

from __future__ import annotations

import click
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ravine import palette
from ravine.cli.tables import show_table
from ravine.registry import rule, rules
from ravine.rule import Rule
from ravine.spelling import read
from ravine.trace import text

NARROW = 60
"""Columns below which a table of the family would have no room for numbers."""
LEGEND = "State in bytes per float32 parameter, in a matrix of r × c. `ravine explain RULE` shows one in full."


@click.command("list")
def list_rules() -> None:
    """The family at a glance: every optimizer with its hyperparameters and the state it keeps."""
    console = Console()
    if console.width < NARROW:
        for name, found in rules().items():
            console.print(Text.assemble((name, palette.style(name).color), f"  {slots(found)}"))
            console.print(Padding(Text(defaults(found)), (0, 0, 0, 2)))
        console.print(f"\n{LEGEND}")
        return
    is_wide = console.width >= 78  # in a narrower terminal titles would leave no room for the hyperparameters
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("rule", no_wrap=True)
    if is_wide:
        table.add_column("title", max_width=max(15, console.width - 65))  # what the hyperparameters leave
    table.add_column("hyperparameters")
    table.add_column("state", justify="right", max_width=7)
    group = ""
    for name, found in rules().items():
        # A family's file has what others make of its rules too: those come behind.
        module = found.function.__module__ or ""
        if group and module != group and module.startswith("ravine.rules."):
            table.add_section()
        group = module if module.startswith("ravine.rules.") else group
        title = [Text(found.title)] if is_wide else []
        table.add_row(Text(name, style=palette.style(name).color), *title, defaults(found), slots(found))
    console.print(table)
    console.print(f"\n{LEGEND}")


@click.command()
@click.argument("name", metavar="RULE")
@click.argument("other", required=False)
@click.option("--lr", type=float, help="The learning rate, where a name gives none.")
@click.option("--let", metavar="NAME=NUMBER", multiple=True, help="What a name in a line stands for; may be repeated.")
def explain(name: str, other: str | None, lr: float | None, let: tuple[str, ...]) -> None:
    """One optimizer: its equation, hyperparameters, state, paper and kin. Two: what differs, and what that does.

    RULE is a name from `ravine list`, a transformed one such as 'weight_decay(adam)', or one of yours: FILE.py:NAME;
    with values if you like: 'adam[lr=0.1,beta1=0.8]'. Or a framework's own, with arguments if you like:
    tensorflow.RMSPropOptimizer, 'torch.RMSprop(momentum=0.9)'; or a line of a program as it stands:
    'opt = torch.optim.AdamW(model.parameters(), lr=args.lr)' with --let args.lr=0.01.
    """
    from ravine.cli import difference
    from ravine.dialects.lines import given_names

    if other is not None or lr is not None or difference.is_foreign(name) or read(name).values:
        difference.show([name] if other is None else [name, other], lr, given_names(let))
        return
    found = rule(read(name).rule)
    equation = text.equation(found)  # before anything is printed: it raises for what is no rule
    console = Console()
    console.print(Text(f"{found.title} ({found.name})", style=f"bold {palette.style(found.name).color}"))
    console.print(Text(found.summary))
    console.print()
    console.print(Text(equation))
    console.print()
    printer = text.TextPrinter()
    rows = [(n, printer.name(n), f"{h.default:g}", str(h.range)) for n, h in found.hyperparameters.items()]
    show_table(console, ("hyperparameter", "symbol", "default", "legal"), rows)
    state = ", ".join(f"{n}{' (one number)' if s.is_scalar else ''} from {s.start:g}" for n, s in found.slots.items())
    console.print(f"State: {state or 'none'}; {found.state_words} bytes per float32 parameter", highlight=False)
    if found.paper:
        console.print(Text(f"Paper: {found.paper}"))
    if found.kin:
        console.print(f"Kin: {', '.join(found.kin)}", highlight=False)


def defaults(found: Rule) -> str:
    """The hyperparameters with their defaults, in a line."""
    return ", ".join(f"{n}={h.default:g}" for n, h in found.hyperparameters.items())


def slots(found: Rule) -> str:
    """The cost of the state in bytes for each float32 parameter, in words; of r × c where it has fewer elements."""
    return f"{found.state_words} B" if found.slots else "none"
