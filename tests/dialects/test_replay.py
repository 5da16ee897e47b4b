"""Every recorded run of the real frameworks, replayed by the recipe that its dialect makes of the call."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from inspect import Parameter

import numpy as np
import pytest

from ravine import State, dialects, recipe, rule, rules
from recorded import FRAMEWORKS, Trace, about, all_traces, traces

ULPS = {"float64": 2.0, "float32": 4.0}
DRIFT = {"float64": 1e-13, "float32": 3e-6}

LOOSER = {
    ("keras.Nadam", "float64"): (1e6, 3e-10),
    # Keras turns the schedule's 0.96 into float32 before it computes in float64.
    ("optax.contrib.madgrad", "float64"): (5e6, 1e-8),
    # optax computes lr·√t in float32: test_madgrad_is_followed_with_its_weight_in_float32.
    ("optax.contrib.schedule_free_sgd", "float64"): (4.0, 1e-13),
    # The average is found by a division and a subtraction, in two orders.
    ("keras.Ftrl", "float64"): (4.0, 3e-11),
    ("keras.Ftrl", "float32"): (4.0, 1e-3),
    # It forgets where a parameter started, here ten thousand times what it then is; that start's rounding, 6e-8 of it,
    # stays in the sum z. Each step is within 3 ulp.
}
"""Where a framework's own arithmetic is narrower than the parameter's: ulps of a step, and relative drift of a run."""


@pytest.mark.parametrize("trace", all_traces(), ids=str)
def test_a_recorded_run_is_followed(trace: Trace) -> None:
    if trace.narrow_products:
        assert follows_roughly(trace) <= BFLOAT16
        return
    name, _, _ = trace.call.partition("(")
    ulps, drift = LOOSER.get((name, trace.dtype), (ULPS[trace.dtype], DRIFT[trace.dtype]))
    replay = trace.replay()
    assert replay.worst_ulps <= ulps
    assert replay.worst_drift <= drift


BFLOAT16 = 0.03
"""How far steps may be from those whose matrices were multiplied in bfloat16, which has 8 bits, as a part of them."""


def follows_roughly(trace: Trace) -> float:
    """How far steps from the framework's own numbers are from its steps, as parts of them: root mean square."""
    recipe, parts = trace.recipe, []
    for t, (g, lr) in enumerate(zip(trace.gradients, trace.lrs, strict=True)):
        stepped, _ = recipe.update(g, State(t, trace.slots(t, recipe)), trace.x[t], lr=lr)
        wanted = trace.x[t + 1] - trace.x[t]
        parts.append(np.linalg.norm(stepped - trace.x[t] - wanted).item() / np.linalg.norm(wanted).item())
    return float(np.sqrt(np.mean(np.square(parts))))


def test_a_product_in_bfloat16_is_seen() -> None:
    """The bound is for rounding alone: another scaling, or four iterations for five, is not within it."""
    narrow = [t for t in all_traces() if t.narrow_products]
    assert len(narrow) == 4
    for trace in narrow:
        assert follows_roughly(trace) > 1e-4
        other = replace(trace, call=trace.call.replace("Muon(", "Muon(ns_steps=4, "))
        assert follows_roughly(other) > BFLOAT16


def test_madgrad_is_followed_with_its_weight_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its looser bound allows for is this one rounding: with it the steps are within the bound of all others."""

    class Root(float):
        def __rmul__(self, lr: float) -> float:
            return float(np.float32(lr) * np.float32(self))

    own = import_module("ravine.rules.madgrad")
    plain = own.sqrt
    monkeypatch.setattr(own, "sqrt", lambda a: Root(plain(np.float32(a))) if isinstance(a, (int, float)) else plain(a))
    concerned = [t for t in all_traces() if t.call.startswith("optax.contrib.madgrad(") and t.dtype == "float64"]
    assert concerned
    for trace in concerned:
        replay = trace.replay()
        assert replay.worst_ulps <= ULPS["float64"]
        assert replay.worst_drift <= DRIFT["float64"]


@pytest.mark.parametrize("name", sorted({n for n, _ in LOOSER}))
def test_looser_bounds_are_needed(name: str) -> None:
    """A bound that is no longer needed goes."""
    concerned = [t for t in all_traces() if t.call.startswith(name + "(") and t.dtype == "float64"]
    assert max(t.replay().worst_ulps for t in concerned) > ULPS["float64"]


def test_every_constructor_and_form_was_recorded() -> None:
    recorded = {(t.call.partition("(")[0], t.recipe.rule.name) for t in all_traces()}
    for framework in dialects.FRAMEWORKS:
        for name, constructor in dialects.constructors(framework).items():
            for form in constructor.forms:
                if name == "adamw" and form.rule != "adam":
                    continue  # with eps_root and nesterov: seen in adam and nadamw
                if name in ("nadam", "nadamw") and form.rule != "nadam_optax":
                    continue  # optax.nadam(nesterov=False) is adam
                names = {n for c, n in recorded if c == f"{framework}.{name}"}
                assert any(form.rule in n or n == "adamw" for n in names), f"{framework}.{name} as {form.rule}"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_arguments_and_defaults_are_the_frameworks_own(framework: str) -> None:
    for name, real in about(framework)["signatures"].items():
        ours = {n: "required" if d is Parameter.empty else d for n, d in dialects.find(name).defaults.items()}
        theirs = {n: tuple(d) if isinstance(d, list) else d for n, d in real.items()}
        if framework == "torch":  # whose first argument may be left out here
            ours, theirs = ours | {"params": "required"}, dict(sorted(theirs.items()))
            ours = dict(sorted(ours.items()))
        assert list(ours.items()) == list(theirs.items()), name


OTHERS = {  # a rule with the same slots that another framework takes for the same thing
    "rmsprop": "rmsprop_torch",
    "rmsprop_torch": "rmsprop",
    "rmsprop_momentum": "heavy_ball(rmsprop_torch)",
    "rmsprop_centered": "rmsprop_torch_centered",
    "adam": "adam_eps_hat",
    "adam_eps_hat": "adam",
    "amsgrad": "amsgrad_eps_hat",
    "amsgrad_eps_hat": "amsgrad",
    "amsgrad_optax": "amsgrad",
    "adagrad_keras": "adagrad",
    "adamax": "adamax_keras",
    "adamax_keras": "adamax",
    "nadam_optax": "adam",
    "momentum_torch": "nesterov_torch",
    "nesterov_torch": "momentum_torch",
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_evidence_tells_apart_what_frameworks_confuse(name: str) -> None:
    """With the other framework's equation in its place, the same values fail by a factor of 100 at least."""
    concerned = [t for t in all_traces() if t.recipe.rule.name == name and t.dtype == "float64"]
    assert concerned
    caught = 0
    for trace in concerned:
        other = recipe(OTHERS[name], start=trace.recipe.start, **_shared(trace, OTHERS[name]))
        caught += trace.replay(other).worst_ulps > 100 * ULPS["float64"]
    assert caught == len(concerned)


def _shared(trace: Trace, name: str) -> dict[str, float]:
    return {n: v for n, v in trace.recipe.hyper.items() if n in rule(name).hyperparameters}


def test_the_streams_have_zeros_reversals_and_all_scales() -> None:
    for trace in (traces("torch")[0], traces("keras")[0]):
        g = trace.gradients
        assert np.any(g == 0)
        assert np.any(g[1:] * g[:-1] < 0)
        assert np.abs(g[g != 0]).min() < 1e-4
        assert np.abs(g).max() > 1e2
        assert len(set(trace.lrs)) == 2


def test_every_rule_of_the_family_that_a_framework_has_is_in_evidence() -> None:
    seen = " ".join(t.recipe.rule.name for t in all_traces())
    alone = {"momentum_ema", "nesterov", "rmsprop_nesterov", "rmsprop_nesterov_centered"}  # no framework has these
    alone |= {"nesterov_torch_dampened"}  # no constructor makes it: torch does it in a group, and is followed live
    alone |= {"adam_mini", "adam_uncorrected", "adamh", "muonh", "normuon"}  # no framework has these
    alone |= {"laprop", "mars", "stable_adamw", "prodigy", "prodigy_optax"}  # their packages' runs are evidence
    alone |= {"adafactor_torch_whole"}  # no constructor chooses it: torch does for vectors
    built_in = {n for n, r in rules().items() if r.function.__module__.startswith("ravine.")}
    assert {n for n in built_in if n not in seen} <= alone
