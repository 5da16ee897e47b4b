"""The GPU's kernels, run by the machine in NumPy, against the reference: a sample; `make gpu-bits` runs everything."""

from __future__ import annotations

import re
from itertools import islice

import pytest

import ravine
from equivalents import EQUIVALENT
from ptx.hold import STEPS, Held, storage_of
from ravine.engines.gpu import ptx
from ravine.engines.gpu.driver import DriverError
from ravine.trace.mutants import mutants

SAMPLE = [
    ("adam", ("float32",), False),
    ("adam", ("bfloat16", "float16", "float32"), True),
    ("rmsprop_momentum_centered", ("float32", "float32", "bfloat16"), False),
    ("nadam", ("float32",), True),
    ("radam", ("float64",), True),
    ("madgrad", ("float32",), False),
    ("madgrad", ("float64",), False),
    ("lion", ("bfloat16",), False),
    ("momentum_torch", ("float16",), True),
    ("clip_value(maximize(weight_decay(adadelta)))", ("float32",), False),
    ("stored_at_look_ahead(rmsprop_nesterov)", ("float64", "float32", "float64"), False),
]


@pytest.mark.parametrize(("name", "types", "has_counts"), SAMPLE)
def test_bits_of_the_reference(name: str, types: tuple[str, ...], has_counts: bool) -> None:
    rule = ravine.rule(name)
    held = Held(rule, storage_of(rule, *types), has_counts=has_counts).steps()
    assert len(held.cuda.launches) == STEPS * (1 + has_counts)


@pytest.mark.parametrize("has_counts", [False, True])
def test_cards_before_ampere_round_bfloat16_by_whole_numbers(has_counts: bool) -> None:
    rule = ravine.rule("adamw")
    held = Held(rule, storage_of(rule, "bfloat16"), capability=(7, 5), version=(11, 8), has_counts=has_counts).steps()
    assert not any("bf16" in name for name in held.cuda.executed)


def test_a_tensor_of_many_chunks() -> None:
    rule = ravine.rule("momentum")
    held = Held(rule, storage_of(rule, "float32"), sizes=((3 * (1 << 14) + 5, 0), (1 << 14, 0), (7, 0)))
    held.steps(2)
    assert [launch.grid for launch in held.cuda.launches] == [6, 6]


def test_every_access_is_of_128_bits_where_addresses_allow() -> None:
    rule = ravine.rule("adam")
    for kind, words in (("float32", "v4.b32"), ("bfloat16", "v4.b32"), ("float64", "v2.b64")):
        held = Held(rule, storage_of(rule, kind), sizes=((1024, 0),)).steps(1)
        executed = (name.replace(".f", ".b") for name in held.cuda.executed)  # which of the two, LLVM 20 says by use
        wide = {name for name in executed if name.startswith(("ld.global.", "st.global."))}
        assert {f"ld.global.{words}", f"st.global.{words}"} <= wide
        assert not any(name.startswith("st.") and words not in name for name in wide)


FAULTS = [
    ("contraction", r"add\.rn\.f32", "fma.rn.f32", "forbidden"),
    ("division that is not rounded", r"div\.rn\.f32", "div.full.f32", "forbidden"),
    ("subnormals taken for zero", r"div\.rn\.f32", "div.rn.ftz.f32", "forbidden"),
    ("a fast root", r"sqrt\.rn\.f32", "sqrt.approx.f32", "forbidden"),
    ("a root toward zero", r"sqrt\.rn\.f32", "sqrt.rz.f32", "sqrt.rz"),
    ("alignment taken for granted", r"selp\.b64\s+(%rd\d+), (%rd\d+), 0, %p\d+;", r"mov.b64 \1, \2;", "misaligned"),
    ("a store further on", r"st\.global\.v4\.([bf]32) \t?\[(%rd\d+)\]", r"st.global.v4.\1 \t[\2+16]", "wanted|nobody"),
    ("the first gradient for all", r"sub\.s64 \t(%rd\d+), (%rd\d+), (%rd\d+);", r"mov.b64 \1, 0;", "wanted|nobody"),
    ("a loop one round too long", r"setp\.lt\.s32", "setp.le.s32", "nobody|wanted|two threads"),
    ("the rest one round too long", r"setp\.lt\.s64", "setp.le.s64", "nobody|wanted|two threads"),
    ("a slot's neighbour", r"\+32\]", "+40]", "wanted|nobody|two threads"),
]


@pytest.mark.parametrize(("fault", "old", "new", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_planted_faults_are_caught(monkeypatch: pytest.MonkeyPatch, fault: str, old: str, new: str, words: str) -> None:
    compile_source = ptx.compile_source

    def tampered(text: str, target: object) -> str:
        made = compile_source(text, target)
        if ".entry run(" not in made:
            return made
        changed, count = re.subn(old, new, made)
        assert count
        return changed

    monkeypatch.setattr(ptx, "compile_source", tampered)
    rule = ravine.rule("adam")
    with pytest.raises((DriverError, AssertionError), match=words):
        Held(rule, storage_of(rule, "float32")).steps()


@pytest.mark.parametrize(("name", "first", "by"), [("adam", 0, 12), ("rmsprop_momentum", 3, 12), ("lion", 5, 12)])
def test_slips_in_a_rule_are_caught_through_the_machine(name: str, first: int, by: int) -> None:
    rule = ravine.rule(name)
    survivors = []
    for mutant in islice(mutants(rule), first, None, by):
        if not is_caught(mutant.rule, rule) and (name, mutant.description) not in EQUIVALENT:
            survivors.append(mutant.description)
    assert survivors == []


def is_caught(mutant: ravine.Rule, rule: ravine.Rule) -> bool:
    try:
        Held(mutant, storage_of(mutant, "float32"), sizes=((37, 0), (68, 0)), judge=rule).steps()
    except (AssertionError, DriverError):
        return True
    return False
