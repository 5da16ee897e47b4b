"""bfloat16 parameters with a remainder on a GPU, in the machine that runs PTX, against the reference in NumPy."""

from __future__ import annotations

import re

import pytest

import ravine
from ptx.narrow import HeldNarrow
from ravine.engines.gpu import ptx
from ravine.engines.gpu.driver import DriverError
from ravine.engines.gpu.target import Target


def held(name: str, **card: tuple[int, int]) -> HeldNarrow:
    rule = ravine.rule(name)
    return HeldNarrow(rule, dict.fromkeys(rule.slots, "float32"), "bfloat16", "float32", rounding="remainder", **card)


@pytest.mark.parametrize(
    ("name", "card"), [("adam", {}), ("lion", {}), ("adamw", {"capability": (7, 5), "version": (11, 0)})]
)
def test_bits_of_the_reference(name: str, card: dict[str, tuple[int, int]]) -> None:
    held(name, **card).steps(8)


FAULTS = [
    ("a remainder without its sign", r"ld\.global\.s8", "ld.global.u8"),
    ("another hash", r"-2048144789;", "-2048144787;"),
    ("a tie to zero", r"(add\.s32 .*), 128;", r"\1, 127;"),
]


@pytest.mark.parametrize(("fault", "old", "new"), FAULTS, ids=[f[0] for f in FAULTS])
def test_faults_are_caught(monkeypatch: pytest.MonkeyPatch, fault: str, old: str, new: str) -> None:
    compiled, changed = ptx.compile_source, []

    def tampered(text: str, target: Target) -> str:
        found, count = re.subn(old, new, compiled(text, target))
        changed.append(count)
        return found

    monkeypatch.setattr(ptx, "compile_source", tampered)
    with pytest.raises((DriverError, AssertionError), match="of adam, step"):
        held("adam").steps(2)
    assert sum(changed)
