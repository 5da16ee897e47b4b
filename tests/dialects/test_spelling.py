"""Constructors under the frameworks' names: what they take, and what they refuse by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

from ravine import Recipe, dialects, recipe
from ravine.dialects import keras, optax, tensorflow, torch


def test_a_line_from_a_config_pastes_as_it_stands() -> None:
    assert tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0) == recipe(
        "rmsprop_momentum", lr=0.045, rho=0.9, mu=0.9, eps=1.0, start={"s": 1.0}
    )
    assert torch.AdamW([], 1e-3, (0.9, 0.95), weight_decay=0.1) == recipe("adamw", beta2=0.95, weight_decay=0.1)
    assert optax.rmsprop(0.1, 0.95, momentum=0.9, eps_in_sqrt=False).rule.name == "heavy_ball(rmsprop_torch)"
    assert keras.SGD(np.float32(0.5)).hyper["lr"] == 0.5


def test_signatures_can_be_asked_for() -> None:
    parameters = inspect.signature(keras.RMSprop).parameters
    assert list(parameters)[:5] == ["learning_rate", "rho", "momentum", "epsilon", "centered"]
    assert parameters["epsilon"].default == 1e-7
    assert keras.RMSprop.__doc__
    assert repr(keras.RMSprop) == "<keras.RMSprop>"


@pytest.mark.parametrize(
    "constructor", [c for f in dialects.FRAMEWORKS for c in dialects.constructors(f).values()], ids=str
)
def test_every_constructor_is_documented_and_its_recipe_survives_json(constructor: dialects.Constructor) -> None:
    assert constructor.__doc__
    required = {n: 0.5 for n in constructor.defaults if constructor.is_required(n)}
    required |= {"learning_rate": 0.5} if str(constructor) in ("optax.adadelta", "optax.adafactor") else {}
    made = constructor(**required)
    assert Recipe.from_json(made.to_json()) == made


REFUSED: list[tuple[Callable[[], Recipe], str]] = [
    (lambda: keras.SGD(use_ema=True, ema_overwrite_frequency=9), "put the average in the parameters' place"),
    (lambda: keras.ScheduleFreeAdamW(use_ema=True), "use_ema=True is not supported: its own average is what is"),
    (lambda: keras.SGD(use_ema=True, ema_momentum=2.0), r"ema_momentum=2.0 is not legal: it must be in \[0, 1\]"),
    (lambda: keras.SGD(gradient_accumulation_steps=4), "gradient_accumulation_steps=4"),
    (lambda: optax.adam(0.1, mu_dtype="bfloat16"), "mu_dtype='bfloat16' is not supported"),
    (lambda: optax.adamw(0.1, mask={}), "Make a set of two"),
    (lambda: keras.Adam(decay=0.01), r"there is no decay: .* is the transform lr_decay"),
    (lambda: keras.Adam(lr=0.01), "unknown argument of keras.Adam 'lr'; did you mean 'learning_rate'"),
    (lambda: keras.RMSprop(alpha=0.9), "did you mean 'rho'"),
    (lambda: optax.adam(0.1, betas=(0.9, 0.99)), "unknown argument of optax.adam 'betas'; did you mean 'b1' or 'b2'"),
    (lambda: torch.RMSprop(decay=0.9), "did you mean 'alpha'"),
    (lambda: optax.adadelta(), "goes uphill"),
    (lambda: optax.adafactor(), "takes steps of lr = 1"),
    (lambda: optax.adafactor(0.1, clipping_threshold=None), "clipping_threshold must be a number"),
    (lambda: optax.adafactor(0.1, momentum=0.9), "momentum=0.9 is not supported"),
    (lambda: optax.lamb(0.1, eps_root=1e-6), "eps_root=1e-06 is not supported"),
    (lambda: optax.lars(0.1, trust_ratio_mask={}), "Make a set of two"),
    (lambda: optax.radam(0.1, threshold=4.0), "threshold=4.0 is not legal"),
    (lambda: optax.contrib.schedule_free_sgd(0.1, warmup_steps=9), "a schedule goes where it runs"),
    (lambda: keras.Ftrl(learning_rate_power=-0.4), "learning_rate_power=-0.4 is not supported"),
    (lambda: optax.contrib.adopt(0.1, use_clipping=False), "use_clipping=False is not supported"),
    (lambda: optax.amsgrad(0.1, bias_correction_mu=False), "bias_correction_mu=False"),
    (lambda: optax.adam(lambda step: 0.1), "a recipe holds numbers"),
    (lambda: optax.sgd(), "learning_rate"),
    (lambda: torch.SGD(0.1), "name lr, as lr="),
    (lambda: torch.SGD([{"params": [], "lr": 0.1}]), "groups"),
    (lambda: torch.SGD(nesterov=True), "nesterov=True needs a momentum"),
    (lambda: torch.Adam(betas=0.9), "betas must be a pair"),
    (lambda: torch.Adam(betas=(0.9, 1.0)), r"torch.Adam: betas\[1\]=1.0 is not legal"),
    (lambda: torch.Adam(epsilon=1e-8), "unknown argument of torch.Adam 'epsilon'; did you mean 'eps'"),
    (lambda: tensorflow.AdamOptimizer(beta_1=0.9), "did you mean 'beta1'"),
    (lambda: tensorflow.AdagradOptimizer(0.1, 0.0), "initial_accumulator_value must be > 0"),
    (lambda: torch.SGD(lr="0.1"), "torch.SGD: lr must be a number"),
    (lambda: torch.SGD(lr=True), "must be a number"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[w for _, w in REFUSED])
def test_what_is_refused_is_named(make: Callable[[], Recipe], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("torch.Adam(**{'lr': 1})", "not unpacked"),
        ("torch.Adam(0.1, lr=0.1)", "given twice"),
        ("torch.Adam(lr=0.1, lr=0.2)", "lr is given twice"),
        ("pytorch.Adam()", "unknown framework 'pytorch'; did you mean 'torch'"),
        ("torch.optim.Adan(params)", "did you mean 'Adam'"),
        ("keras.SGD(params, 0.1)", "takes no parameters, got params: torch.SGD does"),
        ("torch.Adadelta(1, 2, 3, 4, 5, 6, 7, 8, 9)", "too many"),
        ("torch.Adam(lr=x)", "must be a literal, got x"),
        ("jax.Adam()", "unknown framework 'jax'"),
        ("1 +", "not a constructor's call"),
    ],
)
def test_text_that_is_no_call_is_refused(call: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dialects.parse(call)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)", torch.SGD(lr=0.1, momentum=0.9)),
        ("torch.optim.Adam(params=params, betas=(0.8, 0.9))", torch.Adam(betas=(0.8, 0.9))),
        ("tf.compat.v1.train.RMSPropOptimizer(0.1, momentum=0.5)", tensorflow.RMSPropOptimizer(0.1, momentum=0.5)),
        ("keras.optimizers.Adam(0.1)", keras.Adam(0.1)),
        ("tf.keras.optimizers.Adam(0.1)", keras.Adam(0.1)),
        ("optax.sgd(0.1)", optax.sgd(0.1)),
    ],
)
def test_a_line_of_a_program_is_read_as_it_stands(line: str, meant: Recipe) -> None:
    constructor, given = dialects.parse(line)
    assert constructor(**given) == meant


@pytest.mark.parametrize("framework", dialects.FRAMEWORKS)
def test_the_call_that_a_spelling_gives_is_read_again(framework: str) -> None:
    spelled = torch.SGD(lr=0.1, momentum=0.9).to(framework)
    constructor, given = dialects.parse(spelled.call)
    assert (constructor, given) == (spelled.constructor, spelled.arguments)


AT_ONE = [
    "keras.SGD(0.5, momentum=1.0)",
    "keras.SGD(0.5, momentum=1.0, nesterov=True)",
    "keras.RMSprop(0.5, rho=1.0)",
    "keras.RMSprop(0.5, momentum=1.0, centered=True)",
    "keras.Adadelta(0.5, rho=1.0)",
    "keras.Adam(0.5, beta_2=1.0)",
    "keras.Adam(0.5, beta_2=1.0, amsgrad=True)",
    "keras.Adamax(0.5, beta_2=1.0)",
    "keras.Lion(0.5, beta_1=1.0)",
    "keras.Lion(0.5, beta_2=1.0)",
    "tensorflow.MomentumOptimizer(0.5, 1.0)",
    "tensorflow.RMSPropOptimizer(0.5, 1.0, 1.0)",
    "tensorflow.AdadeltaOptimizer(0.5, 1.0)",
    "tensorflow.AdamOptimizer(0.5, 0.9, 1.0)",
    "torch.SGD(lr=0.5, momentum=1.0, nesterov=True)",
    "torch.RMSprop(lr=0.5, alpha=1.0, momentum=1.0)",
    "torch.Adadelta(lr=0.5, rho=1.0)",
    "optax.sgd(0.5, 1.0)",
    "optax.rmsprop(0.5, 1.0, momentum=1.0)",
    "optax.adadelta(0.5, 1.0)",
    "optax.lion(0.5, 1.0, 1.0)",
]


@pytest.mark.parametrize("call", AT_ONE)
def test_a_momentum_or_decay_of_one_is_taken_where_the_framework_takes_it(call: str) -> None:
    constructor, given = dialects.parse(call)
    chosen = constructor(**given)
    assert 1.0 in chosen.hyper.values()
    x = np.zeros(2)
    state = chosen.init(x)
    for g in ([1.0, -2.0], [0.5, 3.0]):
        x, state = chosen.update(np.array(g), state, x)
    assert np.isfinite(x).all()
    for framework in dialects.FRAMEWORKS:
        assert str(chosen.to(framework))


@pytest.mark.parametrize(
    "call",
    [
        "torch.Adam(betas=(0.9, 1.0))",
        "torch.Adamax(betas=(0.9, 1.0))",
        "keras.Adam(beta_1=1.0)",
        "optax.adam(0.1, 1.0)",
    ],
)
def test_a_decay_of_one_is_refused_where_the_framework_does_or_gives_nan(call: str) -> None:
    constructor, given = dialects.parse(call)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        constructor(**given)


def test_a_factor_between_an_argument_and_a_hyperparameter_goes_both_ways() -> None:
    made = keras.Ftrl(0.1, l2_regularization_strength=0.25)
    assert made.hyper["l2"] == 0.5
    assert made.start == {"n": 0.1}
    assert made.to("keras").call == "keras.optimizers.Ftrl(learning_rate=0.1, l2_regularization_strength=0.25)"
    assert keras.Adafactor(beta_2_decay=-0.7).hyper["decay"] == 0.7
    assert keras.Adafactor(beta_2_decay=-0.7).to("torch").constructor is torch.Adafactor


def test_keras_adamw_wants_a_number_for_its_decay() -> None:
    with pytest.raises(ValueError, match=r"keras\.AdamW: weight_decay must be a number"):
        keras.AdamW(0.1, weight_decay=None)
    assert keras.Adam(0.1, weight_decay=None) == keras.Adam(0.1)
    assert keras.AdamW(0.1, weight_decay=0.0) == keras.Adam(0.1)
