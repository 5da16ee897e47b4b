"""The playground as a Jupyter widget, through anywidget: the same page, its state in a trait."""

from __future__ import annotations

from urllib.parse import parse_qs

from ravine.errors import missing, unknown

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise missing("the notebook widget", error) from error

from ravine.playground import script, stylesheet
from ravine.playground.presets import PRESETS
from ravine.recipe import Recipe, recipe
from ravine.registry import rule
from ravine.rule import Rule


class Playground(anywidget.AnyWidget):
    """The playground in a notebook: `Playground()`, or `Playground(my_rule, "weight_decay(adam)")` with rules added.

    `link` is the state, as it stands after # in the address of the page; setting it changes the view. It begins with
    the scenario of that name (by default the first) unless it is given. Raises ValueError for an unknown rule or
    scenario.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    link = traitlets.Unicode().tag(sync=True)

    def __init__(self, *own: Rule | str, scenario: str = PRESETS[0].name, link: str = "") -> None:
        extra = [rule(r) if isinstance(r, str) else r for r in own]
        self._own = {r.name: r for r in extra}
        super().__init__(_esm=script("widget.js", extra), _css=stylesheet(), link=link or _scenario(scenario))

    @property
    def recipes(self) -> list[Recipe]:
        """The optimizers that are on the page now, with the knobs as they stand.

        Raises ValueError for a link that this page can't have written. A file that it names is not run.
        """
        result = []
        for field in parse_qs(self.link).get("opt", []):
            name, hyper = _parts(field)
            if ":" in name:
                raise ValueError(f"not an optimizer of the playground: {name!r}")
            result.append(recipe(self._own.get(name, name)).replace(**hyper))
        return result


def _parts(field: str) -> tuple[str, dict[str, float]]:
    """`adam,lr=0.1` as a name and values."""
    name, *settings = field.split(",")
    try:
        return name, {key: float(value) for key, value in (s.split("=") for s in settings)}
    except ValueError as error:
        raise ValueError(f"not an optimizer of the playground: {field!r}") from error


def _scenario(name: str) -> str:
    links = {p.name: f"preset={p.name}&{p.link}" for p in PRESETS}
    if name not in links:
        raise unknown("scenario of the playground", name, links)
    return links[name]
