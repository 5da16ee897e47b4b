"""State in 8-bit codes on a GPU, in the machine that runs PTX, against the reference in NumPy: parameters, codes and
scales."""

from __future__ import annotations

import re
from typing import Any

import pytest

import ravine
from ptx.narrow import HeldNarrow, coded
from ravine.engines.gpu import ptx
from ravine.engines.gpu.driver import DriverError
from ravine.engines.gpu.target import Target

MIXED = ("int8", "float32", "uint8", "bfloat16")

SAMPLE: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("adam", ("float32",), {"is_random": False}),
    ("adam", ("bfloat16", "float32"), {"rounding": "remainder"}),
    ("adamw", ("bfloat16",), {"rounding": "stochastic", "capability": (7, 5), "version": (11, 0)}),
    ("lion", ("float16",), {"has_counts": True}),
    ("nadam", ("float32", "bfloat16"), {"has_counts": True}),
    ("rmsprop_momentum_centered", ("float64",), {}),
    ("clip_value(maximize(weight_decay(adadelta)))", ("bfloat16",), {"is_random": False}),
]


@pytest.mark.parametrize(("name", "types", "more"), SAMPLE)
def test_bits_of_the_reference(name: str, types: tuple[str, ...], more: dict[str, Any]) -> None:
    rule = ravine.rule(name)
    held = HeldNarrow(rule, coded(rule), *types, **more).steps(8)
    assert [launch.name for launch in held.cuda.launches] == [*["prepare"] * held.table.has_counts, "run"] * 8


@pytest.mark.parametrize("is_random", [False, True])
def test_codes_beside_other_types(is_random: bool) -> None:
    """Slots in 8 bits, in 16 and in 32, the pairs that share random numbers in all ways."""
    rule = ravine.rule("adan")
    for turn in range(2):
        kinds = {name: MIXED[(k + turn) % 4] for k, name in enumerate(rule.slots)}
        HeldNarrow(rule, kinds, is_random=is_random, sizes=((1030, 0), (515, 3))).steps(4)


def test_whole_blocks_move_in_wide_words() -> None:
    """Eight elements of a float32 in two accesses of 128 bits, eight codes in one of 64; one thread stores a scale."""
    rule = ravine.rule("adam")
    held = HeldNarrow(rule, coded(rule), sizes=((1024, 0),)).steps(1)
    executed = {
        name.replace(".f", ".b") for name in held.cuda.executed if name.startswith(("ld.global.", "st.global."))
    }
    stored = {name for name in executed if name.startswith("st.")}
    assert stored == {"st.global.v4.b32", "st.global.v2.b32", "st.global.b32"}
    assert {"ld.global.v4.b32", "ld.global.v2.b32"} <= executed


LEAVES = "mov.u32 %r9999, %tid.x;\n\tsetp.eq.u32 %p999, %r9999, 5;\n\t@%p999 ret;\n\t"
ROUND = r"(shfl\.sync\.bfly\.b32\s+%r\d+, %r\d+, )"
IN_PTX = [
    ("the wrong thread of the warp", ROUND + "16, ", r"\g<1>8, ", "of adam"),
    ("a round that asks nobody", ROUND + "1, ", r"\g<1>0, ", "of adam"),
    ("a mask of some threads", ROUND + "4, 31, -1", r"\g<1>4, 31, 65535", "a mask of some"),
    ("a thread that leaves before the others", ROUND + "16, ", LEAVES + r"\g<1>16, ", "wait for ever"),
    (
        "a scale that two threads write",
        r"bar\.warp\.sync \t-1;[^@]*@",
        "bar.warp.sync -1;\n\tmov.b32 %r9, 0;\n\t//",
        "two threads",
    ),
]
IN_IR = [
    ("the scale of another block", r"%scale1\.base, i64 %b$", "%scale1.base, i64 0"),
    ("the scale of another slot", r"(store i32 .*) %scale1\.base", r"\1 %scale0.base"),
    ("a thread's own scale", "ret i32 %m1$", "ret i32 %m32"),
    ("the noise of the element after", r"(%noise0\.place\.places = .*) <i32 0, i32 1,", r"\1 <i32 1, i32 1,"),
    ("one noise for all of a thread", r"(%noise0\.low = trunc i64) %i ", r"\1 %lane "),
    ("the noise of another block", "udiv i64 %start, 256$", "udiv i64 %start, 512"),
    (
        "the noise of the other slot",
        r"and (<8 x i32>) %noise0, splat \(i32 1048575\)",
        r"lshr \1 %noise0, splat (i32 12)",
    ),
    ("a NaN that stays alone", "icmp eq i32 (%.*), 2143289344$", r"icmp eq i32 \1, 1"),
]


def planted(monkeypatch: pytest.MonkeyPatch, old: str, new: str, *, is_in_ptx: bool) -> list[int]:
    """Change what is compiled or what comes of it; the list has how often."""
    compiled, changed = ptx.compile_source, []

    def tampered(text: str, target: Target) -> str:
        if not is_in_ptx:
            text, count = re.subn(old, new, text, flags=re.M)
        made = compiled(text, target)
        if is_in_ptx:
            made, count = re.subn(old, new, made)
        changed.append(count)
        return made

    monkeypatch.setattr(ptx, "compile_source", tampered)
    return changed


@pytest.mark.parametrize(("fault", "old", "new", "words"), IN_PTX, ids=[f[0] for f in IN_PTX])
def test_faults_of_warps_are_caught(
    monkeypatch: pytest.MonkeyPatch, fault: str, old: str, new: str, words: str
) -> None:
    changed = planted(monkeypatch, old, new, is_in_ptx=True)
    with pytest.raises((DriverError, AssertionError), match=words):
        of_adam()
    assert sum(changed)


@pytest.mark.parametrize(("fault", "old", "new"), IN_IR, ids=[f[0] for f in IN_IR])
def test_faults_of_codes_are_caught(monkeypatch: pytest.MonkeyPatch, fault: str, old: str, new: str) -> None:
    changed = planted(monkeypatch, old, new, is_in_ptx=False)
    with pytest.raises((DriverError, AssertionError), match=r"of adam, step|two threads"):
        of_adam()
    assert sum(changed)


def of_adam() -> None:
    rule = ravine.rule("adam")
    HeldNarrow(rule, coded(rule), sizes=((1030, 0), (515, 3), (256, 0))).steps(8)
