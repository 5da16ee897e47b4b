"""Lines as programs have them: read as they stand, or refused with the right reason. Nothing of them is run."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import ravine
from ravine import Recipe, dialects
from ravine.cli.family import explain
from ravine.dialects import keras, keras_legacy, optax, tensorflow, torch
from ravine.dialects.lines import given_names


def made(line: str) -> Recipe:
    constructor, given = dialects.parse(line)
    return constructor(**given)


LINES: list[tuple[str, Recipe]] = [
    # torch
    (
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)",
        torch.SGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
    ),
    ("optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)", torch.SGD(lr=0.001, momentum=0.9)),
    ("self.optimizer = optim.Adam(self.net.parameters(), 3e-4, eps=1e-5)", torch.Adam(lr=3e-4, eps=1e-5)),
    (
        "opt = AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=1e-1)",
        torch.AdamW(lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1),
    ),
    (
        "return torch.optim.RMSprop(self.parameters(), lr=0.016 / 16, alpha=0.9, momentum=0.9, eps=1e-3)",
        torch.RMSprop(lr=0.001, alpha=0.9, momentum=0.9, eps=1e-3),
    ),
    ("optimizer: torch.optim.Optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)", torch.Adadelta()),
    (
        "torch.optim.SGD(params, lr=0.1 * 256 / 256, momentum=0.9, nesterov=True),",
        torch.SGD(lr=0.1, momentum=0.9, nesterov=True),
    ),
    ("optim.Adam([p for p in net.parameters() if p.requires_grad], lr=5 * 10 ** -4)", torch.Adam(lr=5e-4)),
    (
        "optimizer = torch.optim.adamw.AdamW(params=model.parameters(), lr=2e-5, betas=[0.9, 0.98])",
        torch.AdamW(lr=2e-5, betas=(0.9, 0.98)),
    ),
    ("optim.RMSprop(policy_net.parameters())  # defaults", torch.RMSprop()),
    (
        "optimizer = torch.optim.NAdam(filter(lambda p: p.requires_grad, m.parameters()), lr=float('2e-3'))",
        torch.NAdam(),
    ),
    (
        "optimizer_D = torch.optim.Adam(D.parameters(), lr=0.0002, betas=(0.5, 0.999))",
        torch.Adam(lr=0.0002, betas=(0.5, 0.999)),
    ),
    (
        "torch.optim.Adagrad(model.parameters(), lr=0.01, lr_decay=0, initial_accumulator_value=0.1, eps=1e-10)",
        torch.Adagrad(initial_accumulator_value=0.1),
    ),
    ("optimizer = RAdam(model.parameters(), lr=1e-3)", torch.RAdam()),
    ("opt = optim.Adamax(model.parameters(), 2e-3, (0.9, 0.999), 1e-8, 0)", torch.Adamax()),
    ("optimizer = ravine.torch.Adam(model.parameters(), lr=1e-3)", torch.Adam()),
    ("optim.AdamW(model.parameters(), torch.tensor(0.125), foreach=True)", torch.AdamW(lr=0.125)),
    ("optimizer = optim.SGD(model.parameters(), lr=0.1, maximize=True)", torch.SGD(lr=0.1, maximize=True)),
    ("torch.optim.Adam(model.parameters(), lr=+1e-3, weight_decay=-0.0)", torch.Adam()),
    ("optimizer = torch.optim.Adam(itertools.chain(G.parameters(), F.parameters()), lr=2e-4)", torch.Adam(lr=2e-4)),
    # Keras
    ("model.opt = tf.keras.optimizers.Adam(1e-4, beta_1=0.5)", keras.Adam(1e-4, beta_1=0.5)),
    ("opt = keras.optimizers.RMSprop(learning_rate=0.0001)", keras.RMSprop(0.0001)),
    ("optimizer = tf.optimizers.Adam()", keras.Adam()),
    ("optimizer=keras.optimizers.SGD(0.01, 0.9, True)", keras.SGD(0.01, 0.9, True)),
    ("optimizer = optimizers.Adagrad(np.float64(0.05))", keras.Adagrad(0.05)),
    ("tf.keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4)", keras.AdamW(1e-3, weight_decay=1e-4)),
    ("generator_optimizer = tf.keras.optimizers.Adam(1e-4)", keras.Adam(1e-4)),
    ("tensorflow.keras.optimizers.Adadelta(learning_rate=1.0, rho=0.95)", keras.Adadelta(1.0)),
    ("opt = tf.keras.optimizers.Nadam(learning_rate=0.002, beta_1=0.9, beta_2=0.999)", keras.Nadam(0.002)),
    ("keras.optimizers.Adam(learning_rate=1e-3, clipvalue=0.5)", keras.Adam(clipvalue=0.5)),
    ("opt = Adam(1e-3, clipvalue=0.5)", keras.Adam(clipvalue=0.5)),
    ("opt = tf.keras.optimizers.legacy.Adam(1e-3, decay=1e-4)", keras_legacy.Adam(decay=1e-4)),
    (
        "optimizer = tf.keras.optimizers.legacy.SGD(lr, 0.9, nesterov=True)".replace("lr", "0.1"),
        keras_legacy.SGD(0.1, 0.9, nesterov=True),
    ),
    ("model.compile(optimizer=keras.optimizers.Adam(learning_rate=3e-4), loss='mse')", keras.Adam(3e-4)),
    ("net.compile(loss=loss, optimizer=SGD(learning_rate=0.5, clipnorm=1.0))", keras.SGD(0.5, clipnorm=1.0)),
    # TensorFlow 1
    ("train_op = tf.train.AdamOptimizer(1e-4).minimize(loss)", tensorflow.AdamOptimizer(1e-4)),
    (
        "optimizer = tf.train.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)",
        tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0),
    ),
    (
        "opt = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True)",
        tensorflow.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    ),
    ("tf1.train.GradientDescentOptimizer(learning_rate=0.5)", tensorflow.GradientDescentOptimizer(0.5)),
    ("optimizer = tf.train.AdagradOptimizer(0.01)", tensorflow.AdagradOptimizer(0.01)),
    (
        "opt = tf.train.AdamOptimizer(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08)",
        tensorflow.AdamOptimizer(),
    ),
    # optax
    ("tx = optax.adam(1e-3)", optax.adam(1e-3)),
    (
        "optimizer = optax.adamw(learning_rate=3e-4, b1=0.9, b2=0.95, weight_decay=0.1)",
        optax.adamw(3e-4, b2=0.95, weight_decay=0.1),
    ),
    ("solver = optax.sgd(learning_rate=0.1, momentum=0.9, nesterov=True)", optax.sgd(0.1, 0.9, True)),
    ("optax.rmsprop(0.01, decay=0.99, eps=1e-8, centered=False)", optax.rmsprop(0.01, decay=0.99)),
    ("tx = optax.lion(jnp.float32(0.5))", optax.lion(0.5)),
    ("tx = optax.lion(jnp.float32(0.1))", optax.lion(float(np.float32(0.1)))),
    ("opt = optax.adagrad(learning_rate=1.0)", optax.adagrad(1.0)),
    ("state = TrainState.create(apply_fn=f, params=params, tx=optax.adam(1e-3))", optax.adam(1e-3)),
    ("optimizer = nnx.Optimizer(model, optax.adamw(1e-3, 0.8), wrt=nnx.Param)", optax.adamw(1e-3, 0.8)),
]


@pytest.mark.parametrize(("line", "meant"), LINES, ids=[line[:40] for line, _ in LINES])
def test_a_line_is_read_as_it_stands(line: str, meant: Recipe) -> None:
    constructor, given = dialects.parse(line)
    assert constructor(**given) == meant
    assert dialects.is_line(line)
    again, same = dialects.parse(dialects.canonical(line))
    assert again(**same) == meant


NAMED = [
    ("optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)", {"args.lr": 0.2, "args.momentum": 0.5},
     torch.SGD(lr=0.2, momentum=0.5)),
    ("opt = keras.optimizers.Adam(learning_rate)", {"learning_rate": 0.01}, keras.Adam(0.01)),
    ("optax.adam(peak_lr * batch_size / 256)", {"peak_lr": 0.1, "batch_size": 512}, optax.adam(0.2)),
    ("optim.Adam(p, lr=config['lr'], betas=(beta1, 0.999))", {"config['lr']": 0.3, "beta1": 0.5},
     torch.Adam(lr=0.3, betas=(0.5, 0.999))),
    ("tf.train.MomentumOptimizer(FLAGS.lr, 1 - 1 / decay_steps)", {"FLAGS.lr": 0.1, "decay_steps": 10},
     tensorflow.MomentumOptimizer(0.1, 0.9)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "let", "meant"), NAMED, ids=[n[0][:40] for n in NAMED])
def test_names_of_numbers_are_given_beside(line: str, let: dict[str, float], meant: Recipe) -> None:
    constructor, given = dialects.parse(line, let)
    assert constructor(**given) == meant


REFUSED = [
    ("optim.SGD(model.parameters(), lr=args.lr)", "must be a literal, got args.lr: give its value, as args.lr=NUMBER"),
    ("opt = keras.optimizers.Adam(keras.optimizers.schedules.MyDecay(1))", "unknown schedule 'MyDecay'"),
    ("opt = AdamWScheduleFree(0.1)", "unknown optimizer 'AdamWScheduleFree'"),
    ("opt = Adadelta(0.1)", "Adadelta may be keras.Adadelta or torch.Adadelta: write which"),
    ("opt = tf.keras.optimizers.LossScaleOptimizer(0.1)", "unknown optimizer of keras 'LossScaleOptimizer'"),
    ("opt = torch.optim.LBFGS(model.parameters())", "unknown optimizer of torch 'LBFGS'"),
    ("opt = apex.optimizers.FusedAdam(model.parameters())", "unknown framework 'apex.optimizers'"),
    ("opt = optim.Adam(**config)", "must be written out, not unpacked"),
    ("opt = optim.Adam(*args)", "must be written out, not unpacked"),
    ("optim.Adam(model.parameters(), lr=10 ** 10 ** 10)", "exponent .* too large"),
    ("model.compile(optimizer='adam', loss='mse')", "'adam' is an optimizer with its defaults: write it as a call"),
    ("model.compile(loss='mse')", "unknown framework 'model'"),
    ("optim.Adam(model.parameters(), lr=1 / 0)", "has no value: division by zero"),
    ("optim.Adam(model.parameters(), lr=(-8) ** 0.5)", "no real number"),
    ("optim.Adam(model.parameters(), lr='a' * 3)", "'a' must be a number"),
    ("optim.Adam(model.parameters(), lr=True + 1)", "True must be a number"),
    ("optim.Adam(model.parameters(), lr=float('x'))", "is no number"),
    ("optim.Adam(model.parameters(), lr=__import__('os').getpid())", "must be a literal"),
    ("for p in model.parameters(): p", "not a constructor's call"),
    ("import torch", "not a constructor's call"),
    ("a = 1; b = 2", "not a constructor's call"),
    ("", "not a constructor's call"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line[:40] for line, _ in REFUSED])
def test_what_can_not_be_read_is_said(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dialects.parse(line)


PASSED_OVER = [
    ("optim.AdamW(model.parameters(), lr=6e-4, fused=torch.cuda.is_available())", torch.AdamW(lr=6e-4)),
    ("optim.SGD(model.parameters(), 0.1, foreach=not args.slow)", torch.SGD(lr=0.1)),
    ("keras.optimizers.Adam(1e-3, name=f'adam_{k}')", keras.Adam(1e-3)),
    ("optimizer = torch.optim.SGD([{'params': a, 'name': 'a'}, {'params': b}], lr=0.1)", torch.SGD(lr=0.1)),
    ("keras.optimizers.Adam(3e-4, clipnorm=1.0)", keras.Adam(3e-4, clipnorm=1.0)),
    ("opt = tf.keras.optimizers.RMSprop(1e-3, global_clipnorm=5)", keras.RMSprop(1e-3, global_clipnorm=5)),
    (
        "tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(3e-4, b2=0.95))",
        ravine.recipe("clip_global_norm(decoupled_weight_decay(adam))", lr=3e-4, beta2=0.95, weight_decay=1e-4),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "meant"), PASSED_OVER, ids=[line[:40] for line, _ in PASSED_OVER])
def test_what_touches_no_arithmetic_need_not_be_read(line: str, meant: Recipe) -> None:
    constructor, given = dialects.parse(line)
    assert constructor(**given) == meant


REASONS = [
    ("optax.adamw(1e-3, mu_dtype=jnp.bfloat16)", "mu_dtype=jnp.bfloat16 is not supported: a slot has its parameter's"),
    ("optax.sgd(0.1, accumulator_dtype=jnp.float32)", "accumulator_dtype=jnp.float32 is not supported: a slot has"),
    ("optax.contrib.muon(0.1, mu_dtype=jnp.float32)", "mu_dtype=jnp.float32 is not supported"),
    ("optax.adamw(1e-3, mask=lambda p: jax.tree.map(is_matrix, p))", "mask=lambda p: .* Make a set of two"),
    ("tx = optax.multi_transform({'a': optax.adam(1e-3)}, labels)", "an optimizer for a part of the parameters"),
    ("optax.masked(optax.adam(1e-3), mask)", "an optimizer for a part of the parameters"),
    ("AdamW(model.parameters(), lr=5e-5, correct_bias=False)", "no AdamW has an argument correct_bias"),
    ("Lion(model.parameters(), lr=1e-4)", r"torch has no Lion; a rule of Ravine's is written lion\[lr=0.1\]"),
    ("SGD([{'params': a}, {'params': b, 'lr': 1e-3}], lr=0.1)", "a group of parameters has lr of its own"),
    ("optim.Adam(params=[{'params': a, 'weight_decay': 0.0}])", "a group of parameters has weight_decay of its own"),
    (
        "keras.optimizers.Adam(1e-3, use_ema=True, ema_overwrite_frequency=100)",
        "ema_overwrite_frequency=100 is not supported: put the average in the parameters' place",
    ),
    ("keras.optimizers.Adam(1e-3, loss_scale_factor=scale)", "loss_scale_factor=scale is not supported: unscale the"),
    (
        "keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)",
        "give it the mean of so many gradients, and step once",
    ),
]


@pytest.mark.parametrize(("line", "words"), REASONS, ids=[line[:40] for line, _ in REASONS])
def test_it_is_refused_for_the_right_reason(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(line)


def test_another_type_for_all_slots_is_given_as_the_refusal_says() -> None:
    torch_ = pytest.importorskip("torch", reason="torch is not installed")
    p = torch_.nn.Parameter(torch_.ones(3))
    optimizer = optax.adamw(1e-3).torch([p], state_dtype=torch_.bfloat16)
    p.grad = torch_.ones(3)
    optimizer.step()
    assert {v.dtype for v in optimizer.state[p].values() if v.ndim} == {torch_.bfloat16}


def test_pairs_are_given_beside_too() -> None:
    names = given_names(("betas=(0.9, 0.95)", "lr=0.1"))
    constructor, given = dialects.parse("optim.Adam(p, lr, betas=betas)", names)
    assert constructor(**given) == torch.Adam(lr=0.1, betas=(0.9, 0.95))
    for text in ("betas=(a, 1)", "betas=(1,"):
        with pytest.raises(ValueError, match=r"expected NAME=|malformed"):
            given_names((text,))


def test_a_comparison_refuses_what_it_would_leave_out() -> None:
    from ravine.lab import lookup

    with pytest.raises(ValueError, match=r"optax\.zero_nans\(\) is in no recipe, and would be left out"):
        lookup.find("optax.chain(optax.zero_nans(), optax.adam(0.1))")


@pytest.mark.parametrize(
    "name", ["adam", "weight_decay(adam)", "slow=adam[lr=1e-4]", "mine.py:rule", "mine.py", "adamw"]
)
def test_a_rule_of_ravines_is_no_line(name: str) -> None:
    assert not dialects.is_line(name)


def test_explain_takes_lines_and_their_numbers() -> None:
    line = "opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)"
    done = CliRunner().invoke(explain, [line, "keras.SGD(0.5, 0.9)", "--let", "args.lr=0.5"])
    assert done.exit_code == 0, done.output
    assert "lr (inside" in done.output or "lr (outside" in done.output
    wrong = CliRunner().invoke(explain, [line, "--let", "args.lr"])
    assert "expected NAME=NUMBER, got 'args.lr'" in str(wrong.exception)
