"""An optimizer's state on its way from one framework to another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from ravine import dialects
from ravine.convert import around, shares
from ravine.convert.kept import RAVINE, Kept, kept, ravines
from ravine.dialects import schedule_calls
from ravine.dialects.identities import CONSTANT, EXACT, IDENTITIES, IMPOSSIBLE, Scale
from ravine.dialects.rewrite import Spelling, arguments, to, written_as
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Arguments
from ravine.dialects.terms import CLIPS, Parts, method, take_apart
from ravine.errors import unknown
from ravine.recipe import Recipe, recipe
from ravine.registry import rule
from ravine.schedules import Schedule

SCHEDULER = "the scheduler"
"""What `left` calls a torch scheduler whose schedule is not known."""

Slots = dict[str, dict[str, np.ndarray]]
"""Arrays by parameter, then by slot of the rule. A scalar slot is an array of shape ()."""


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer remembers after t steps.

    `call` spells the optimizer, as in "torch.RMSprop(lr=0.01)", one of Ravine's own as its recipe's JSON. `slots` are
    arrays by parameter and slot of the rule that the call stands for. `types` names the original type of slots that
    are kept wider here, until they come back. `steps` are those of parameters that have taken other than t steps.
    `left` names what the source kept beside, which is in none of the slots. `schedule` is what the learning rate
    follows, if it does; `call` has its value after t steps. `beside` is what the source does around the equation, as
    "clipnorm=1.0".
    """

    call: str
    t: int | None
    slots: Slots
    types: Mapping[str, str]
    steps: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    schedule: Schedule | None = None
    beside: tuple[str, ...] = ()

    @property
    def kept(self) -> Kept:
        """The recipe, and the names that its slots have."""
        return kept(self.call)

    @property
    def recipe(self) -> Recipe:
        return self.kept.recipe

    def renamed(self, names: Mapping[str, str], transposed: Collection[str] = ()) -> OptimizerState:
        """The same under other names of parameters; matrices named in `transposed` (by their old names) turned round.

        torch keeps a linear layer's weight as (out, in), Keras and most JAX libraries as (in, out); a convolution's
        kernel as (out, in, height, width) and (height, width, in, out). Raises ValueError for a parameter that isn't
        there, a name taken twice, and for transposing what is neither.
        """
        for name in (*names, *transposed):
            if name not in self.slots:
                raise unknown("parameter", name, self.slots)
        if len({names.get(p, p) for p in self.slots}) < len(self.slots):
            raise ValueError("two parameters would have one name")
        for name in transposed:
            if any(v.ndim == 1 for v in self.slots[name].values()):
                raise ValueError(f"{name!r} is no matrix and no kernel, so it can't be transposed")
        is_torch = self.kept.framework in ("torch", RAVINE)
        slots = {
            p: {n: turned(v, is_torch) if v.ndim else v for n, v in own.items()} | shares.turned(self.recipe.rule, own)
            if p in transposed
            else own
            for p, own in self.slots.items()
        }
        return replace(
            self,
            slots={names.get(p, p): own for p, own in slots.items()},
            steps={names.get(p, p): t for p, t in self.steps.items()},
        )


@dataclass(frozen=True)
class Outcome:
    """A converted state; `grade` and `reasons` say how the target's training goes on (see `Recipe.to`).

    `notes` are sentences on what did not come along.
    """

    state: OptimizerState
    grade: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()


def move(state: OptimizerState, framework: str, *, allow_rounding: bool = False) -> Outcome:
    """The state as another framework keeps it. Raises ValueError where that can't be done exactly, with the reason.

    Momentum with lr outside its buffer becomes momentum with lr inside, multiplied by lr; for float32 that is kept in
    float64 here, so the way back is exact. float64 is refused unless `allow_rounding`, or lr is a power of two.
    """
    if framework == RAVINE:  # the source's own arithmetic goes on
        same = replace(state, call=ravines(state.recipe).recipe.to_json())
        return Outcome(same, *_with_rate(state, EXACT, ()), _beside(state, framework))
    chosen_recipe, outside = state.recipe, {}
    spelled = _spelled(chosen_recipe, framework)
    if spelled.grade == IMPOSSIBLE and (outside := around.outside(chosen_recipe, framework)):
        chosen_recipe = around.inside(chosen_recipe, outside)
        spelled = _spelled(chosen_recipe, framework)
    parts = take_apart(chosen_recipe)
    if spelled.grade != IMPOSSIBLE and spelled.constructor is not None:
        constructor, chosen = spelled.constructor, dict(spelled.arguments)
        base = constructor.form(constructor.arguments(**chosen)).rule
    else:
        constructor, chosen, base = _nearest(parts, framework, spelled.reasons)
    kept_there = constructor.recipe(constructor.arguments(**chosen)).rule.slots
    slots, types = _carried(state, parts, base, kept_there, allow_rounding)
    moved = replace(state, call=constructor.call(chosen), slots=slots, types=types)
    grade, reasons = spelled.grade, spelled.reasons
    if state.schedule is not None and grade == CONSTANT:
        grade, reasons = IMPOSSIBLE, (*reasons, "and lr follows a schedule")
    clipped = ["with gradients that are clipped before"] * any(n in CLIPS for n in outside)
    grade, reasons = _with_rate(state, grade, (*reasons, *clipped))
    return Outcome(moved, grade, reasons, (*_notes(state, framework), *outside.values()))


def _notes(state: OptimizerState, framework: str) -> tuple[str, ...]:
    notes = []
    if state.t is None:
        notes.append(
            f"The source counts no steps, so a schedule of {framework} would begin anew: give the number of finished "
            "steps (step) if it has one."
        )
    if state.steps:
        notes.append(f"Some parameters have taken fewer steps; {framework} counts {state.t} for all of them.")
    return (*notes, *_beside(state, framework))


def _with_rate(state: OptimizerState, grade: str, reasons: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The grade where a scheduler was left behind: nothing tells how the learning rate would change."""
    if SCHEDULER not in state.left:
        return grade, reasons
    return (CONSTANT if grade == EXACT else grade), (*reasons, "the scheduler did not come along")


def _beside(state: OptimizerState, framework: str) -> tuple[str, ...]:
    """Sentences on what was left behind, or can't be told, and on what goes on beside the optimizer's arithmetic."""
    notes = list(shares.notes(state.kept, state.slots, framework))
    notes += [f"Left behind: {', '.join(state.left)}."] * bool(state.left)
    notes += [_told(state.schedule, framework)] if state.schedule is not None else []
    if beside := (*getattr(state.kept.constructor, "beside", ()), *state.beside):
        notes.append(f"Not in a recipe, to be done in {framework} as well: {', '.join(beside)}.")
    return tuple(notes)


def _told(schedule: Schedule, framework: str) -> str:
    """How the learning rate goes on, in words."""
    follows = f"The learning rate follows {schedule!r}: {schedule}."
    if framework == RAVINE:
        return f"{follows} resume_scheduled goes on with it."
    kinds = {"cosine waves": "cosine", "cosine restarts": "cosine"}
    falling = replace(
        schedule,
        pieces=tuple(
            replace(p, kind=kinds.get(p.kind, p.kind), rate=1.0) if p.kind in kinds else p for p in schedule.pieces
        ),
    )
    for same, until in ((schedule, ""), (falling, ", until it would rise again")):
        if (text := schedule_calls.spelled(same, framework)) is not None:
            lr = f" with lr={schedule_calls.base(schedule):g}" if framework == "torch" else ""
            return f"{follows} In {framework} that is {text}{lr}{until}."
    counted_in_epochs = replace(schedule, every=1)
    if schedule.every > 1 and (text := schedule_calls.spelled(counted_in_epochs, framework)) and framework == "torch":
        lr = f" with lr={schedule_calls.base(schedule):g}"
        return f"{follows} In torch that is {text}{lr}, stepped once in {schedule.every} steps."
    return f"{follows} There is no such schedule in {framework}."


def renamed(
    states: Collection[OptimizerState], names: Mapping[str, str], transposed: Collection[str] = ()
) -> list[OptimizerState]:
    """Several states, each renamed as `OptimizerState.renamed` does, by what concerns it."""
    everywhere = {p for state in states for p in state.slots}
    for name in (*names, *transposed):
        if name not in everywhere:
            raise unknown("parameter", name, everywhere)
    return [
        s.renamed({o: n for o, n in names.items() if o in s.slots}, [n for n in transposed if n in s.slots])
        for s in states
    ]


def turned(array: np.ndarray, is_torch: bool) -> np.ndarray:
    """A matrix or kernel the other way round: torch's (out, in, *space) to (*space, in, out), or back."""
    n = array.ndim
    return array.transpose((*range(2, n), 1, 0) if is_torch else (n - 1, n - 2, *range(n - 2)))


def _spelled(chosen: Recipe, framework: str) -> Spelling:
    """The recipe's spelling; what slots started at stands in no way once training is under way."""
    found = to(chosen, framework)
    starts = [
        {s: c.defaults[v] if isinstance(v, str) else v for s, v in f.start.items() if s in chosen.rule.slots}
        for c in dialects.constructors(framework).values()
        for f in c.forms
        if method(f.rule) == method(take_apart(chosen).base)
    ]
    for start in [{}, *starts]:
        if found.grade == IMPOSSIBLE:
            other = to(recipe(chosen.rule, start=start, **chosen.hyper), framework)
            found = found if other.grade == IMPOSSIBLE else other
    return found


def _nearest(parts: Parts, framework: str, reasons: tuple[str, ...]) -> tuple[Constructor, Arguments, str]:
    """A constructor that keeps the same state, though it goes on differently."""
    reached = set(_paths(parts.base))
    for constructor in dialects.constructors(framework).values():
        for form in constructor.forms:
            if form.rule not in reached or method(form.rule) != method(parts.base):
                continue
            target = rule(form.rule)
            defaults = {n: form.fixed.get(n, h.default) for n, h in target.hyperparameters.items()}
            hyper = {n: parts.hyper.get(n, d) if n in form.names else d for n, d in defaults.items()}
            offered = {w.transform for w in constructor.wraps}
            start = {
                n: parts.start.get(n, s.start) if isinstance(form.start.get(n), str) else form.start.get(n, s.start)
                for n, s in target.slots.items()
            }
            alike = Parts(
                form.rule,
                MappingProxyType(hyper),
                MappingProxyType({n: float(v) for n, v in start.items()}),
                MappingProxyType({n: v for n, v in parts.wraps.items() if n in offered}),
                tuple(n for n in parts.order if n in offered),
            )
            if (chosen := arguments(constructor, form, alike)) is not None:
                return constructor, chosen, form.rule
    raise ValueError(f"{framework} keeps no such state: {'; '.join(reasons)}")


def _paths(base: str) -> dict[str, tuple[Mapping[str, Scale], ...]]:
    """The rules whose state is that of `base`, however they go on, each with the steps that lead there."""
    found: dict[str, tuple[Mapping[str, Scale], ...]] = {base: ()}
    waiting = [base]
    while waiting:
        here = waiting.pop(0)
        for identity in IDENTITIES:
            if identity.source == here and identity.target not in found and (identity.same_state or identity.slots):
                found[identity.target] = (*found[here], identity.slots)
                waiting.append(identity.target)
    return found


def _carried(
    state: OptimizerState, parts: Parts, base: str, wanted: Collection[str], allow_rounding: bool
) -> tuple[Slots, dict[str, str]]:
    """The slots that are wanted, those of the rule `base` inside and what is kept around it, and the original types of
    those that are wider now."""
    ways = {same.base: tuple(identity.slots for identity in path) for same, _, path in written_as(parts)}
    slots, types = state.slots, dict(state.types)
    for scales in ways[base] if base in ways else _paths(parts.base)[base]:
        for new, scale in scales.items():
            slots = {
                param: _with_scaled(own, new, scale, parts, types.get(scale.slot), param, allow_rounding)
                for param, own in slots.items()
            }
            narrow = {str(own[scale.slot].dtype) for own in state.slots.values() if scale.slot in own} - {"float64"}
            if types.pop(scale.slot, None) is None and len(narrow) == 1:
                types[new] = narrow.pop()
    return {p: {n: v for n, v in own.items() if n in wanted} for p, own in slots.items()}, types


def _with_scaled(
    own: dict[str, np.ndarray], new: str, scale: Scale, parts: Parts, narrow: str | None, param: str, allow: bool
) -> dict[str, np.ndarray]:
    """A parameter's slots with one made from another: kept in float64, or back in the type that it came from."""
    value = own[scale.slot]
    over, times = scale.over(parts.hyper), scale.times(parts.hyper)
    if not over or not times:
        raise ValueError(
            f"{param}: {scale.slot} can't be carried over: the buffers differ by the factor lr, which is 0"
        )
    wide = np.asarray(value, dtype=np.float64)
    result = np.asarray(scale(wide, parts.hyper))
    if not allow and not np.array_equal((result * over / times).astype(value.dtype), value, equal_nan=True):
        raise ValueError(
            f"{param}: {scale.slot} is {value.dtype}; multiplied or divided by lr = {parts.hyper['lr']:g} it would be "
            "rounded, and the way back would not be exact: allow rounding if that does no harm"
        )
    kept = {n: v for n, v in own.items() if n != scale.slot}
    return {**kept, new: result if narrow is None else result.astype(narrow)}
