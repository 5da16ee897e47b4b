"""`ravine explain A B`: the differences that people trip over, as verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import ravine
from ravine import Recipe, recipe
from ravine.cli.difference import is_foreign
from ravine.cli.family import explain
from ravine.dialects import keras, optax, tensorflow, torch
from ravine.dialects.compare import DROP, compare
from ravine.dialects.order import order

RMS = {"epsilon": 1e-7}
PLAIN = {"learning_rate": 0.01, "momentum": 0.9}

DECAYED, DECAY = recipe("decoupled_weight_decay(adafactor)", weight_decay=2.0, lr=0.2), {"weight decay"}

VERDICTS = [
    ("TensorFlow 1 starts s at one", tensorflow.RMSPropOptimizer(0.01, **RMS), keras.RMSprop(0.01), {"start of s"}, 1),
    (
        "lr in RMSprop's momentum buffer: torch outside, Keras inside",
        keras.RMSprop(0.01, rho=0.99, momentum=0.9, epsilon=0.0),
        torch.RMSprop(momentum=0.9, eps=0.0),
        {"ε", "lr"},
        DROP + 1,
    ),
    (
        "lr in RMSprop's momentum buffer: torch outside, optax inside",
        optax.rmsprop(0.01, decay=0.99, momentum=0.9, eps_in_sqrt=False),
        torch.RMSprop(momentum=0.9),
        {"lr"},
        DROP + 1,
    ),
    ("plain momentum: Keras against torch", keras.SGD(**PLAIN), torch.SGD(lr=0.01, momentum=0.9), {"lr"}, DROP + 1),
    ("… against TensorFlow 1", keras.SGD(**PLAIN), tensorflow.MomentumOptimizer(0.01, 0.9), {"lr"}, DROP + 1),
    ("… against optax", keras.SGD(**PLAIN), optax.sgd(0.01, 0.9), {"lr"}, DROP + 1),
    (
        "Nesterov's method, stored at the look-ahead point",
        recipe("nesterov"),
        torch.SGD(lr=0.01, momentum=0.9, nesterov=True),
        {"lr"},
        DROP + 1,
    ),
    (
        "Nesterov's momentum, too",
        keras.SGD(0.01, 0.9, nesterov=True),
        torch.SGD(lr=0.01, momentum=0.9, nesterov=True),
        {"lr"},
        DROP + 1,
    ),
    ("ε in or out of RMSprop's root", keras.RMSprop(0.01, rho=0.99, epsilon=1e-8), torch.RMSprop(), {"ε"}, 1),
    ("ε̂ in Keras's Adam", keras.Adam(epsilon=1e-8), torch.Adam(), {"ε"}, 1),
    ("… in TensorFlow 1's", tensorflow.AdamOptimizer(), optax.adam(0.001), {"ε"}, 1),
    ("ε in Adagrad", keras.Adagrad(0.01), torch.Adagrad(initial_accumulator_value=0.1, eps=1e-7), {"ε"}, 1),
    ("the start of Adagrad's sum", optax.adagrad(0.01, 0.5), optax.adagrad(0.01), {"start of s"}, 1),
    ("Adadelta's lr", keras.Adadelta(rho=0.9, epsilon=1e-6), torch.Adadelta(), {"value of lr"}, 1),
    ("decay coupled or not", torch.Adam(weight_decay=0.01), torch.AdamW(), {"weight decay"}, 1),
    ("optax's and torch's decay", optax.adamw(0.001), torch.AdamW(), {"weight decay"}, 1),
    ("what AMSGrad remembers", optax.amsgrad(0.001), torch.Adam(amsgrad=True), {"maximum"}, 2),
    ("clipping", keras.SGD(), keras.SGD(clipvalue=1.0), {"clipping"}, 1),
    ("up or down", torch.SGD(), torch.SGD(maximize=True), {"maximize"}, 1),
    ("centring", keras.RMSprop(), keras.RMSprop(centered=True), {"mean"}, 1),
    ("momentum", keras.RMSprop(), keras.RMSprop(momentum=0.9), {"momentum"}, 2),
    ("ε in RAdam", optax.radam(0.001), torch.RAdam(), {"ε"}, 6),
    ("Rprop's steps come late", optax.rprop(0.01), torch.Rprop(), {"equation"}, 1),
    (
        "one average of squares, or rows and columns",
        optax.adafactor(0.01),
        optax.adafactor(0.01, factored=False),
        {"averages of squares"},
        1,
    ),
    ("Adafactor's ε", keras.Adafactor(0.01, epsilon_1=0.1), torch.Adafactor(eps=(0.1, 0.001)), {"ε"}, 1),
    (
        "Adafactor's ε and lr",
        torch.Adafactor(lr=0.5, eps=(0.1, 0.001)),
        optax.adafactor(0.5, eps=0.1),
        {"ε", "lr over time"},
        1,
    ),
    (
        "where LAMB decays",
        keras.Lamb(epsilon=1e-6, weight_decay=0.1),
        optax.lamb(0.001, weight_decay=0.1),
        {"decay", "weight decay"},
        1,
    ),
    ("a decay that is seen", recipe("weight_decay_first(adafactor)", weight_decay=2.0, lr=0.2), DECAYED, DECAY, 1),
    (
        "Adafactor's lr",
        recipe("adafactor", lr=0.5),
        optax.adafactor(0.5),
        {"lr over time"},
        5,  # 1/√t < 0.5 from there on
    ),
    ("a matrix against its elements", optax.lamb(0.001, eps=1e-8), torch.Adam(), {"length of a step"}, 1),
    ("bias correction", optax.rmsprop(0.1), optax.rmsprop(0.1, bias_correction=True), {"bias correction"}, 1),
]


@pytest.mark.parametrize(("a", "b", "terms", "first"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS])
def test_verdict(a: Recipe, b: Recipe, terms: set[str], first: int) -> None:
    found = compare(a, b)
    assert {d.term for d in found.differences if d.term != "all of the equation"} == terms
    assert found.effect.first == first
    assert found.responsible is not None
    assert found.responsible.effect.worst == pytest.approx(found.effect.worst, rel=0.5)


SAME = [
    (tensorflow.MomentumOptimizer(0.01, 0.9), torch.SGD(lr=0.01, momentum=0.9)),
    (optax.sgd(0.01, 0.9), torch.SGD(lr=0.01, momentum=0.9)),
    (
        tensorflow.RMSPropOptimizer(0.01, epsilon=1e-8, momentum=0.9),
        optax.rmsprop(0.01, initial_scale=1.0, momentum=0.9),
    ),
    (keras.RMSprop(0.01, momentum=0.9), optax.rmsprop(0.01, eps=1e-7, momentum=0.9)),
    (keras.Adam(), tensorflow.AdamOptimizer(epsilon=1e-7)),
    (torch.Adam(), optax.adam(0.001)),
    (recipe("nesterov"), keras.SGD(0.01, 0.9, nesterov=True)),
    (keras.Adagrad(), optax.adagrad(0.001)),
    (torch.Adamax(lr=0.001), optax.adamax(0.001)),
    (keras.Lion(), optax.lion(0.001, weight_decay=0.0)),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_what_is_the_same_is_called_so(a: Recipe, b: Recipe) -> None:
    assert compare(a, b).same
    assert compare(a, b).responsible is None


def test_after_a_drop_of_lr_the_next_step_differs_ninefold() -> None:
    inside = keras.RMSprop(0.01, rho=0.99, momentum=0.9, epsilon=0.0)
    outside = torch.RMSprop(momentum=0.9, eps=0.0)
    steps = []
    for chosen in (inside, outside):
        x, state = np.zeros(1), chosen.init(np.zeros(1))
        for _ in range(2000):
            before, (x, state) = x, chosen.update(np.ones(1), state, x)
        before, (x, state) = x, chosen.update(np.ones(1), state, x, lr=0.001)
        steps.append((x - before).item())
    assert steps[0] / steps[1] == pytest.approx(9.1)


def test_terms_are_switched_one_at_a_time() -> None:
    """From TensorFlow 1 to torch: the start weighs most, lr's place only after the drop, ε hardly."""
    found = compare(tensorflow.RMSPropOptimizer(0.01, 0.99, 0.9), torch.RMSprop(momentum=0.9))
    by_term = {d.term: d.effect for d in found.differences}
    assert list(by_term) == ["start of s", "lr", "value of eps", "ε"]
    assert by_term["lr"].first == DROP + 1
    assert by_term["ε"].worst < 1e-6


def run(*arguments: str) -> str:
    result = CliRunner().invoke(explain, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_two_are_shown_side_by_side() -> None:
    shown = run("tensorflow.RMSPropOptimizer(momentum=0.9)", "torch.RMSprop(momentum=0.9)", "--lr", "0.01")
    assert "≠ Δₜ = μ·Δₜ₋₁ − lr·gₜ / √(sₜ + ε)" in shown
    assert "≠ bₜ = μ·bₜ₋₁ + gₜ / (√sₜ + ε)" in shown
    assert "  sₜ = ρ·sₜ₋₁ + (1 − ρ)·gₜ²" in shown
    assert "decay = 0.9 (default)" in shown
    assert "alpha = 0.99 (default)" in shown
    assert "What matters most: start of s (1 against 0)." in shown


def test_momentum_of_rescaled_steps_is_told_from_rescaling_of_an_average() -> None:
    shown = " ".join(run("adam", "rmsprop_momentum").split())
    assert (
        "adam rescales an average of gradients: its momentum comes before rescaling; rmsprop_momentum adds up "
        "rescaled gradients: its momentum is of rescaled steps." in shown
    )
    assert "adam: g ─► average (m) ─► rescale (÷ √v) ─► step" in shown
    assert "rmsprop_momentum: g ─► rescale (÷ √s) ─► add up (Δ) ─► step" in shown
    shown = run("optax.adam(0.1)", "torch.RMSprop(momentum=0.9)")
    assert "torch.RMSprop: g ─► rescale (÷ √s) ─► add up (b) ─► step" in shown
    assert "─►" not in run("adam", "nadam")
    assert "─►" not in run("adam", "rmsprop")


@pytest.mark.parametrize(
    "name", ["gd", "momentum", "rmsprop", "adagrad", "adadelta", "momentum_ema", "rmsprop_centered"]
)
def test_a_rule_that_does_not_both_remember_and_rescale_has_no_order(name: str) -> None:
    assert order(recipe(name)) is None


def test_one_alone_and_rules_of_the_family() -> None:
    assert "optax.adam(learning_rate=0.001)  (exact)" in run("torch.Adam")
    clipped = run("keras.SGD(0.1, clipnorm=1.0)", "keras.SGD(0.1, global_clipnorm=1.0)")
    assert "They move alike" in clipped
    assert "of several the global norm is that of all together" in clipped
    assert "They move alike" in run("adam", "torch.Adam")
    assert "Adam" in run("adam")
    assert compare(recipe("adam"), torch.Adam()).same
    assert "torch.optim.SGD(params, lr=0.25)" in run("gd", "--lr", "0.25")
    assert "torch.optim.SGD(params, lr=0.25)" in run("gd[lr=0.25]", "--lr", "0.5")  # --lr is for names without one
    assert "torch.optim.Adam(params, betas=(0.8, 0.999))" in run("mine=adam[beta1=0.8]")
    assert "They move alike" in run("mine=adam[lr=0.25]", "torch.Adam(lr=0.25)")
    assert not is_foreign("torch.py:mine")
    assert is_foreign("torch.SGD (lr=0.1)")
    assert is_foreign("tf.compat.v1.train.AdamOptimizer")
    assert is_foreign("pytorch.Adam()")
    assert not is_foreign("mine.py")
    assert not is_foreign("weight_decay(adam)")


def test_rules_without_a_learning_rate_are_compared() -> None:
    @ravine.rule
    def of_fixed_length(g, m, *, mu=0.5):  # type: ignore[no-untyped-def]
        return -0.01 * m, mu * m + g

    found = compare(recipe(of_fixed_length), recipe("gd"))
    assert found.responsible is not None
    assert compare(recipe(of_fixed_length), recipe(of_fixed_length)).same


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tensorflow.AdagradOptimizer", "adagrad"], "give it with --lr"),
        (["adam[beta_1=0.8]"], "did you mean 'beta1'"),
        (["adam[lr=fast]"], "'lr=fast' is not NAME=NUMBER"),
        (["torch.Adm", "adam"], "did you mean 'Adam'"),
        (["torch.Adam(lr=)", "adam"], "not a constructor's call"),
        (["torch.Adam(lr=__import__('os'))", "adam"], "literal"),
        (["adam", "adamw", "gd"], "unexpected extra argument"),
    ],
)
def test_mistakes(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(explain, arguments)
    assert result.exit_code != 0
    assert words in result.output + str(result.exception)
