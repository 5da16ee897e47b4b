"""Declaring rules, finding them, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ravine
from ravine.math import ema, sqrt, where
from ravine.rule import declare

FAMILY = set(
    """gd momentum momentum_ema momentum_torch nesterov adagrad rmsprop rmsprop_torch rmsprop_momentum
rmsprop_nesterov rmsprop_centered rmsprop_torch_centered rmsprop_momentum_centered rmsprop_nesterov_centered adadelta
adam adam_eps_hat amsgrad nadam radam adamax lion adamw""".split()  # noqa: SIM905
)


def test_the_family_is_there_and_shows_itself() -> None:
    rules = {n: r for n, r in ravine.rules().items() if r.function.__module__.startswith("ravine.")}
    assert set(rules) >= FAMILY
    for name, rule in rules.items():
        assert rule.name == name
        assert rule.title
        assert rule.paper
        assert rule.summary
        assert rule.equation().startswith(r"\begin{aligned}")
        assert set(rule.kin) <= set(rules), name


def test_a_rule_shows_its_declaration() -> None:
    nadam = ravine.rule("nadam")
    assert list(nadam.slots) == ["m", "v", "product"]
    assert nadam.slots["product"].is_scalar
    assert nadam.slots["product"].start == 1.0
    assert nadam.state_bytes((3, 5)) == 2 * 15 * 4
    assert nadam.state_words == "8"
    assert nadam.hyperparameters["beta1"].default == 0.9
    assert str(nadam.hyperparameters["beta1"].range) == "in [0, 1)"
    assert ravine.rule("nesterov").look_ahead({"delta": 2.0}, {"mu": 0.5}) == 1.0
    assert ravine.rule("adam").look_ahead({}, {}) == 0.0


@pytest.mark.parametrize(
    ("name", "hint"),
    [("adamm", "adam"), ("rmsprob", "rmsprop"), ("wieght_decay(adam)", "weight_decay"), ("weight_decay(adm)", "adam")],
)
def test_an_unknown_name_is_told_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{hint}'"):
        ravine.rule(name)


def test_what_is_neither_a_name_nor_a_function_is_no_rule() -> None:
    with pytest.raises(TypeError, match="a rule's name or a function, got 3"):
        ravine.rule(3)  # type: ignore[call-overload]


def test_a_file_without_rules_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match="Known: none"):
        ravine.rule(f"{tmp_path / 'empty.py'}:adam")


def test_a_missing_bracket_is_told() -> None:
    with pytest.raises(ValueError, match=r"'weight_decay\(adam' has unequal brackets"):
        ravine.rule("weight_decay(adam")


def test_illegal_hyperparameters_are_refused_by_name() -> None:
    adam = ravine.rule("adam")
    with pytest.raises(ValueError, match=r"adam: lr = -0.1 is not legal: it must be ≥ 0"):
        adam.check({"lr": -0.1})
    with pytest.raises(ValueError, match=r"lr = inf is not legal: it must be finite and ≥ 0"):
        adam.check({"lr": math.inf})
    for name, value in {"lr": math.nan, "eps": math.inf, "beta1": 1.0, "beta2": -0.1}.items():
        with pytest.raises(ValueError, match=name):
            adam.check({name: value})
    with pytest.raises(ValueError, match=r"did you mean 'beta[12]'"):
        adam.check({"beta": 0.9})
    with pytest.raises(TypeError, match="lr must be a number"):
        adam.check({"lr": "0.1"})
    with pytest.raises(TypeError, match="lr must be a number"):
        adam.check({"lr": True})


def test_a_rule_of_ones_own_is_one_function() -> None:
    @ravine.rule(title="Sign descent")
    def own_sign(g, m, *, lr=0.01, beta=0.9):  # type: ignore[no-untyped-def]
        m = ema(m, g, beta)
        return -lr * m, m

    assert ravine.rule("own_sign") is own_sign
    assert own_sign(1.0, 0.0, lr=1.0, beta=0.5) == (-0.5, 0.5)
    assert ravine.recipe("own_sign", beta=0.5).rule is own_sign


def test_a_built_in_name_is_taken_also_in_a_program_that_has_used_no_rule_yet() -> None:
    program = "import ravine\n@ravine.rule\ndef adam(g, *, lr=0.1):\n    return -lr * g\n"
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)
    assert "'adam' is taken" in done.stderr


def test_a_rule_may_be_made_where_modules_have_no_name() -> None:
    scope: dict[str, object] = {"ravine": ravine, "__name__": None}
    exec("@ravine.rule\ndef nameless(g, *, lr=0.1):\n    return -lr * g\n", scope)
    exec("@ravine.rule\ndef nameless(g, *, lr=0.2):\n    return -lr * g\n", scope)
    assert ravine.rule("nameless").hyperparameters["lr"].default == 0.2


def test_a_built_in_name_is_taken() -> None:
    with pytest.raises(ValueError, match="'adam' is taken"):

        @ravine.rule
        def adam(g, *, lr=0.1):  # type: ignore[no-untyped-def]
            return -lr * g


def declared(source: str, **declaration: object) -> ravine.Rule:
    scope: dict[str, object] = {"sqrt": sqrt, "where": where, "np": np}
    exec("def broken" + source, scope)
    return declare(scope["broken"], **declaration)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(m, *, lr=1): return m", "first parameter must be the gradient g"),
        ("(g, *m, lr=1): return g", "no meaning in a rule"),
        ("(g, *, lr): return g", "hyperparameter lr needs a default"),
        ("(g, *, lr=-1): return g", "lr needs a default that is a number ≥ 0"),
        ("(g, x, *, lr=0.1): return -lr * g, x", "x is the parameter: .* before g"),
        ("(g, t, *, lr=0.1): return -lr * g, t", r"t is the step count: .* after a \*"),
        ("(g, *, x=0.1): return -x * g", "x is the parameter: .* before g"),
        ("(g, lr=0.1): return -lr * g", r"lr has a default: .* stand after a \*"),
        ("(g, m=1.0, *, lr=0.1): return -lr * g, m", r"start=\{'m': 1.0\}"),
    ],
)
def test_a_signature_that_declares_no_rule(source: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declared(source)


@pytest.mark.parametrize("argument", ["start", "scalar", "ranges"])
def test_a_declaration_of_something_that_is_not_there(argument: str) -> None:
    value = ("x9",) if argument == "scalar" else {"x9": 1.0}
    with pytest.raises(ValueError, match=f"{argument}= of rule broken"):
        declared("(g, m, *, lr=1): return g, m", **{argument: value})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(g, m, *, lr=1): return -lr * g", r"returns 1 values; its signature promises \(step, m\)"),
        ("(g, m, *, lr=1): return -lr, m", "the step depends on no array"),
        ("(g, m, *, lr=1): return -lr * g, lr", "slot m depends on no array"),
        ("(g, *, lr=1): return -lr * g if g > 0 else g", "can't branch"),
        ("(g, *, lr=1): return -lr * g ** 2", "g \\* g"),
        ("(g, *, lr=1): return -lr * (g == 0)", "can't use =="),
        ("(g, *, lr=1): return -lr * float(g)", "functions of ravine.math"),
        ("(g, *, lr=1): return -lr * np.sign(g)", "rule broken, .*functions of ravine.math"),
        ("(g, *, lr=1): return -lr * g.mean()", "rule broken, .*functions of ravine.math.*'mean'"),
        ("(g, *, lr=1): return -lr * (g + 'a')", "can't compute with 'a'"),
        ("(g, *, lr=1): return -lr * sqr(g)", r"rule broken, <string>, line 1: NameError: name 'sqr' is not defined"),
        ("(g, *, lr=1): return -lr * g * (1 / 0)", "rule broken, .*: ZeroDivisionError"),
        ("(g, *, lr=1):\n    y = g > 0\n    return lr if y else g", "rule broken, <string>, line 3: .*can't branch"),
        ("(g, *, lr=1): return -lr * g * (g > 0)", "condition is no number: write where"),
        ("(g, *, lr=1): return g > 0", "condition is no number"),
        ("(g, *, lr=1): return where(g, g, -g)", "where.* needs a comparison"),
        ("(g, *, lr=1): return -lr * g, None", r"returns 2 values; its signature promises \(step\)"),
        ("(g, m, *, lr=1): return -lr * g, None", "can't compute with None"),
        ("(g, m, *, lr=1): m *= lr; return -m, m", "can't change m in place: write m = m"),
    ],
)
def test_a_function_that_is_no_rule(source: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        _ = declared(source).graph


def test_a_number_made_in_place_is_no_change_of_an_argument() -> None:
    both = declared("(g, *, lr=1):\n    lr *= 0.5\n    d = -lr * g\n    d -= g\n    return d")
    plain = declared("(g, *, lr=1): return -(lr * 0.5) * g - g")
    assert both.graph.outputs == plain.graph.outputs


def test_a_rule_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import ravine\n@ravine.rule\ndef from_file(g, *, lr=0.5):\n    return -lr * g\n")
    rule = ravine.rule(f"{file}:from_file")
    assert rule(2.0, lr=0.5) == -1.0
    assert ravine.rule(f"{file}:from_file") is rule
    with pytest.raises(ValueError, match="did you mean 'from_file'"):
        ravine.rule(f"{file}:from_fil")
    file.with_name("bad.py").write_text("x = 1\ny = nothing\n")
    with pytest.raises(ValueError, match=r"bad\.py, line 2: NameError"):
        ravine.rule(f"{tmp_path / 'bad.py'}:a")
    with pytest.raises(ValueError, match="no such file"):
        ravine.rule(f"{tmp_path / 'other.py'}:a")
    with pytest.raises(ValueError, match=r"mine\.py' is no rule: one of your own is named FILE\.py:RULE"):
        ravine.rule(str(file))


def test_a_file_is_run_once_whatever_is_taken_from_it(tmp_path: Path) -> None:
    """A rule, a task and a surface in one file: a second run would declare other rules of the same names."""
    pytest.importorskip("torch")
    from ravine.lab import tasks
    from ravine.simulate.functions import find

    file = tmp_path / "all.py"
    file.write_text(
        "import pathlib, ravine\n"
        "with pathlib.Path(__file__).with_name('runs').open('a') as runs: runs.write('x')\n"
        "@ravine.rule\ndef mine(g, *, lr=0.5):\n    return -lr * g\n"
        "def train(make_optimizer, seed, report): pass\n"
        "def valley(x, y): return x * x + y * y\n"
    )
    ravine.rule(f"{file}:mine")
    find(f"{file}:valley")
    tasks.find(str(file))
    assert (tmp_path / "runs").read_text() == "x"


def test_two_files_of_the_family_have_no_rule_of_one_name() -> None:
    """A second equation under a known name would take the place of the first without a word."""
    known = ravine.rule("adam")

    def adam(g, *, lr=0.1):
        return -lr * g

    adam.__module__ = "ravine.rules.another"
    with pytest.raises(ValueError, match="the rule name 'adam' is taken"):
        ravine.rule(adam)
    assert ravine.rule("adam") is known
