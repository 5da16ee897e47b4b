"""Every rule × every storage through the machine that runs PTX, against the reference, and the slips of some rules.

Run by `make gpu-bits`, which puts tests/ on the path. Prints a line for each rule and writes a summary; exits 1 if a
bit differs or a slip is not caught. No GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import llvmlite

import ravine
from evidence import EQUIVALENT
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    names = given.names or [*ravine.rules(), *WRAPPED]
    failures: list[str] = []
    runs = steps = 0
    instructions: set[str] = set()
    taken = [name for name in names if ravine.rule(name).graph.is_elementwise]
    for number, name in enumerate(taken):
        rule = ravine.rule(name)
        cases = [(types, has_counts, {}) for types in WIDE for has_counts in (False, True)]
        cases += [(types, bool((number + k) % 2), {}) for k, types in enumerate(NARROW)]
        cases += [(types, bool(number % 2), OLD) for types in (("float32",), ("bfloat16",))]
        for types, has_counts, card in cases:
            try:
                held = Held(rule, storage_of(rule, *types), has_counts=has_counts, **card).steps()
                instructions |= set(held.cuda.executed)
                runs, steps = runs + 1, steps + STEPS
            except (AssertionError, DriverError) as error:
                failures.append(f"{name} {types} {'counts on the device' * has_counts} {card}: {error}")
        print(f"{number + 1}/{len(taken)} {name}", flush=True)
    slips = caught = 0
    for name in MUTATED if not given.names else []:
        rule = ravine.rule(name)
        for mutant in mutants(rule):
            if (name, mutant.description) in EQUIVALENT:
                continue
            slips += 1
            if is_caught(mutant.rule, rule):
                caught += 1
            else:
                failures.append(f"a slip in {name} is not caught: {mutant.description}")
    summary = {
        "rules": len(taken),
        "left_out": [name for name in names if name not in taken],
        "runs": runs,
        "steps": steps,
        "slips": slips,
        "slips_caught": caught,
        "failures": failures,
        "instructions": sorted(instructions),
        "llvmlite": llvmlite.__version__,
    }
    print(json.dumps({**summary, "instructions": len(instructions)}, indent=1, ensure_ascii=False))
    if given.out:
        given.out.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failures else 0


def is_caught(mutant: ravine.Rule, rule: ravine.Rule) -> bool:
    try:
        Held(mutant, storage_of(mutant, "float32"), sizes=((37, 0), (68, 0)), judge=rule).steps()
    except (AssertionError, DriverError, TypeError, ArithmeticError):  # a slip can leave no equation, or divide by zero
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
