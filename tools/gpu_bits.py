"""Every rule × every storage through the machine that runs PTX, against the reference, and the slips of some rules.

Run by `make gpu-bits`, which puts tests/ on the path. Prints a line for each rule and puts it into a record; exits 1 if
a bit differs or a slip is not caught. No GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import llvmlite

import ravine
from equivalents import EQUIVALENT
from ptx.hold import STEPS, Held, storage_of
from ravine.engines.gpu.driver import DriverError
from ravine.trace.mutants import mutants

WRAPPED = [
    "weight_decay(adam)",
    "maximize(weight_decay(rmsprop))",
    "decoupled_weight_decay(lion)",
    "clip_value(adadelta)",
    "lr_decay(adagrad)",
    "heavy_ball(adam)",
    "nesterov_ball(rmsprop)",
    "stored_at_look_ahead(nesterov)",
    "stored_at_look_ahead(rmsprop_nesterov_centered)",
    "clip_value(maximize(weight_decay(momentum_torch)))",
]
WIDE = [("float32",), ("float64",), ("float64", "float32", "float64")]
NARROW = [("bfloat16",), ("float16",), ("bfloat16", "bfloat16", "float32"), ("float32", "float32", "bfloat16")]
MUTATED = ["adam", "rmsprop_momentum", "lion", "nadam", "momentum_torch"]
OLD = {"capability": (7, 5), "version": (11, 0)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Rules (all by default) whose results are put into the record.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    record = json.loads(given.out.read_text(encoding="utf-8")) if given.out and given.out.exists() else {}
    names = given.names or [*ravine.rules(), *WRAPPED]
    failed = False
    for number, name in enumerate(n for n in names if ravine.rule(n).graph.is_elementwise):
        record[name] = of_rule(name, number)
        failed |= bool(record[name]["failures"])
        print(name, json.dumps(record[name], ensure_ascii=False), flush=True)
        if given.out:
            given.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(failed)


def of_rule(name: str, number: int) -> dict[str, Any]:
    """What came of every case, and of the slips where the rule is one of those."""
    rule = ravine.rule(name)
    cases = [(types, has_counts, {}) for types in WIDE for has_counts in (False, True)]
    cases += [(types, bool((number + k) % 2), {}) for k, types in enumerate(NARROW)]
    cases += [(types, bool(number % 2), OLD) for types in (("float32",), ("bfloat16",))]
    failures, runs = [], 0
    for types, has_counts, card in cases:
        try:
            Held(rule, storage_of(rule, *types), has_counts=has_counts, **card).steps()
            runs += 1
        except (AssertionError, DriverError) as error:
            failures.append(f"{types} {'counts on the device' * has_counts} {card}: {error}")
    found: dict[str, Any] = {"equal_runs": runs, "steps_each": STEPS, "llvmlite": llvmlite.__version__}
    if name in MUTATED:
        slips = [m for m in mutants(rule) if (name, m.description) not in EQUIVALENT]
        missed = [m.description for m in slips if not is_caught(m.rule, rule)]
        found |= {"slips": len(slips), "slips_caught": len(slips) - len(missed)}
        failures += [f"not caught: {description}" for description in missed]
    return {**found, "failures": failures}


def is_caught(mutant: ravine.Rule, rule: ravine.Rule) -> bool:
    try:
        Held(mutant, storage_of(mutant, "float32"), sizes=((37, 0), (68, 0)), judge=rule).steps()
    except (AssertionError, DriverError, TypeError, ArithmeticError):  # a slip can leave no equation, or divide by zero
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
