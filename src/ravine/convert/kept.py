"""What an optimizer keeps from step to step, and under which names: a framework's own, or Ravine's.

A framework's optimizer is spelled as its call, "torch.Adam(lr=0.01)"; one of Ravine's as the JSON of its recipe.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ravine import dialects
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Form
from ravine.recipe import Recipe
from ravine.schedules import Schedule
from ravine.spelling import read
from ravine.trace.graph import node, substitute, topological
from ravine.transforms import stored_at_look_ahead

RAVINE = "ravine"
FRAMEWORKS = (*dialects.FRAMEWORKS, RAVINE)
"""Whose state there is."""


@dataclass(frozen=True)
class Kept:
    """A framework, the recipe that its optimizer follows, and the names of the recipe's slots there."""

    framework: str
    recipe: Recipe
    form: Form
    constructor: Constructor | None = None

    def __str__(self) -> str:
        return str(self.constructor) if self.constructor else self.recipe.rule.name


def ravines(recipe: Recipe) -> Kept:
    """What Ravine's own optimizers keep: the slots by the rule's names, and the number of steps."""
    if recipe.rule.look_ahead_function is not None:  # optimizers store the point where the gradient is taken
        recipe = Recipe(stored_at_look_ahead(recipe.rule), recipe.hyper, recipe.start)
    names = {n: n for n in recipe.rule.hyperparameters}
    return Kept(RAVINE, recipe, Form(recipe.rule.name, names, state={"t": "step", **{n: n for n in recipe.rule.slots}}))


@functools.lru_cache(maxsize=256)
def kept(call: str) -> Kept:
    """What the optimizer that is spelled so keeps. Raises ValueError, and TypeError for an argument that is none."""
    if call.startswith("{"):
        return ravines(Recipe.from_json(call))
    constructor, given = dialects.parse(call)
    arguments = constructor.arguments(**given)
    return Kept(constructor.framework, constructor.recipe(arguments), constructor.form(arguments), constructor)


def spelled(text: str, framework: str) -> str:
    """The optimizer as `kept` takes it, from a user's text: a call, or for Ravine's own `adam[lr=0.1]`."""
    if framework == RAVINE and not dialects.is_line(text):
        return text if text.startswith("{") else read(text).recipe().to_json()
    return dialects.canonical(text)


BESIDE = ("loss_scale_factor", "gradient_accumulation_steps", "ema_overwrite_frequency")
"""What Keras does around every optimizer's equation: to the gradients before it, or to the parameters after it."""

ACCUMULATION = "gradient_accumulation_steps"
EMA = ("use_ema", "ema_momentum")
"""How Keras averages the parameters: after each call, also one that only adds a gradient up. Such an average is none
of Ravine's."""


def apart(call: str) -> tuple[str, dict[str, object]]:
    """The call without what Keras does around the equation, and that."""
    if call.startswith("{"):
        return call, {}
    constructor, given = dialects.parse(call)
    own = (*BESIDE, *EMA) if given.get(ACCUMULATION) else BESIDE
    beside = {n: v for n, v in given.items() if n in own and n in constructor.defaults}
    kept_on = {n: v for n, v in beside.items() if v != constructor.defaults[n]}
    return constructor.call({n: v for n, v in given.items() if n not in beside}), kept_on


def unscheduled(call: str) -> tuple[str, Schedule | None]:
    """The call with the first value of its schedule for a learning rate, and the schedule; None for one without."""
    if call.startswith("{"):
        return call, None
    constructor, given = dialects.parse(call)
    for name, value in given.items():
        if isinstance(value, Schedule):
            return constructor.call({**given, name: value(0)}), value
    return call, None


def at_rate(call: str, lr: float) -> str:
    """The call with another learning rate."""
    constructor, given = dialects.parse(call)
    return constructor.call({**given, constructor.forms[0].names["lr"]: lr})


def counts_steps(recipe: Recipe) -> bool:
    """Whether it matters at which step an optimizer is, beyond whether it is the first."""
    graph = recipe.rule.graph
    t, one = node("scalar", name="t"), node("const", value=1.0)
    later = {n: one for n in graph.nodes if n.op == "gt" and n.args == (t, one)}
    return t in topological(substitute(graph.outputs, later))
