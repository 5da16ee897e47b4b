"""Which slots are stored in how many bits."""

from __future__ import annotations

from collections.abc import Mapping

from ravine.errors import unknown
from ravine.rule import Rule
from ravine.trace.bounds import non_negative_slots

STATES = ("float32", "bfloat16", "int8")
"""What a user can ask for. int8 stands for 8-bit codes: with a sign for slots of either sign, else without."""

SMALL = 4096
"""Parameters of fewer elements keep float32 state: there is little to save, and biases and gains are sensitive."""


def check(state: object) -> None:
    """Raise ValueError for what is none of the choices."""
    if state not in STATES:
        raise unknown("state", str(state), STATES)


def kinds(rule: Rule, state: str, size: int, start: Mapping[str, float] | None = None) -> dict[str, str]:
    """The storage type of each array slot of a rule for a parameter of `size` elements.

    float32 it is for small parameters, for slots that the rule declares to be `wide`, and for those of another shape
    than the parameter's. `start` overrides what slots start at. Raises ValueError for an unknown state.
    """
    check(state)
    non_negative = non_negative_slots(rule)
    found = {}
    for name, slot in rule.slots.items():
        if slot.is_scalar:
            continue
        kind = state
        if size < SMALL or slot.is_wide or not rule.has_whole_slot(name):
            kind = "float32"
        elif state == "int8" and name in non_negative and (start or {}).get(name, slot.start) >= 0:
            kind = "uint8"
        found[name] = kind
    return found
