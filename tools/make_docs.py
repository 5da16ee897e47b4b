"""Write docs/rules.md, the page of all optimizers, from the rules themselves. Run by `make docs`."""

from __future__ import annotations

from pathlib import Path

import ravine
from ravine.trace import text

HEAD = """# The optimizers

<!-- Written by `make docs` from src/ravine/rules/. Do not edit. -->

Every formula is printed from the function that the engines run. $x$ is the parameter, $g$ its gradient, $t$ the number
of the step from 1, $\\eta$ the learning rate `lr`; a subscript $t-1$ is the value before the step. State is in bytes
per float32 parameter. In a terminal: `ravine list`, `ravine explain RULE`.

| rule | title | state |
|---|---|---|
"""


def page() -> str:
    """The page as Markdown, its formulas in LaTeX."""
    built_in = [r for r in ravine.rules().values() if r.function.__module__.startswith("ravine.")]
    rows = "".join(f"| [`{r.name}`](#{r.name}) | {r.title} | {r.state_words} |\n" for r in built_in)
    return HEAD + rows + "".join(section(r) for r in built_in)


def section(rule: ravine.Rule) -> str:
    """One rule: what it is, its equation, hyperparameters, state, paper and kin."""
    printer = text.TextPrinter()
    hyper = "".join(
        f"| `{name}` | {printer.name(name)} | {h.default:g} | {h.range} |\n" for name, h in rule.hyperparameters.items()
    )
    slots = ", ".join(
        f"`{n}`{' (one number)' if s.is_scalar else ''} starting at {s.start:g}" for n, s in rule.slots.items()
    )
    kin = ", ".join(f"[`{k}`](#{k})" for k in rule.kin)
    return (
        f"\n## {rule.name}\n\n**{rule.title}.** {rule.summary}\n\n```math\n{rule.equation()}\n```\n\n"
        f"| hyperparameter | symbol | default | legal |\n|---|---|---|---|\n{hyper}\n"
        f"State: {slots or 'none'}. Paper: {rule.paper}." + (f" Kin: {kin}." if kin else "") + "\n"
    )


if __name__ == "__main__":
    import dialects_page
    import muon_page

    docs = Path(__file__).parents[1] / "docs"
    (docs / "rules.md").write_text(page(), encoding="utf-8")
    (docs / "dialects.md").write_text(dialects_page.page(), encoding="utf-8")
    (docs / "muon.md").write_text(muon_page.page(), encoding="utf-8")
