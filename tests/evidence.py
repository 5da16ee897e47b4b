"""Independent evidence for each rule: what torch and optax do, worked examples, and identities between rules.

Each piece says what trajectory a rule must follow. The tests hold the rules to it, and the mutation run counts the
slips that it catches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import ravine
import recorded
from ravine.transforms import stored_at_look_ahead

STEPS, DROP = 24, 12  # the learning rate falls to a tenth for the steps after DROP


READ_OUT = "read-out"
"""In place of a slot's name, for the point to evaluate."""

Sizes = tuple[float, float]
"""What the gradients and the start are multiplied by: some terms of an equation show where these are small, or zero."""


def stream() -> np.ndarray:
    """Gradients with zeros, reversals, and scales from 0.01 to 100, fixed by a seed."""
    rng = np.random.default_rng(7)
    g = rng.standard_normal((STEPS, 6)) * np.array([1, 1, 0.01, 100, 1, 1])
    g[:, 4] = np.where(np.arange(STEPS) < 9, 1.0, -0.1)
    g[::3, 5] = 0.0
    return g


X0 = np.array([1.0, -2.0, 0.5, 3.0, -0.1, 0.7])


@dataclass(frozen=True)
class Trace:
    """The points visited, of shape (STEPS + 1, 6), and the last state by name."""

    points: np.ndarray
    state: dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The trajectory that a rule must follow with some hyperparameters on the stream, a matrix of some shape to it.

    `state` maps slots of the rule to those names of the expected state that they must equal at the end; `sizes` are
    what the gradients and the start are multiplied by.
    """

    rule: str
    source: str
    hyper: dict[str, float]
    expected: Callable[[], Trace]
    drop: float = 0.1
    state: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] = (6,)
    rtol: float = 1e-11
    sizes: Sizes = (1.0, 1.0)

    def agrees(self, rule: ravine.Rule) -> bool:
        """Whether a version of the rule follows, to rounding; it is followed as far as it does."""
        wanted, atol = self.expected(), 1e-13 * min(1.0, *(size or 1.0 for size in self.sizes))
        state: dict[str, Any] = {}
        found = walk(rule, self.hyper, self.drop, self.shape, self.sizes)
        for (x, after), there in zip(found, wanted.points, strict=True):
            if not np.isclose(x, there, rtol=self.rtol, atol=atol).all():
                return False
            state = dict(after)
        state[READ_OUT] = rule.read_out(x, state, self.hyper)
        pairs = [(state[slot], wanted.state[name]) for slot, name in self.state.items()]
        return all(np.isclose(np.ravel(a), np.ravel(b), rtol=1e-11, atol=1e-13).all() for a, b in pairs)


def follow(rule: ravine.Rule, hyper: dict[str, float], drop: float = 0.1, shape: tuple[int, ...] = (6,)) -> Trace:
    """The whole of `walk`."""
    found = list(walk(rule, hyper, drop, shape))
    return Trace(np.stack([x for x, _ in found]), found[-1][1])


def walk(
    rule: ravine.Rule,
    hyper: dict[str, float],
    drop: float = 0.1,
    shape: tuple[int, ...] = (6,),
    sizes: Sizes = (1.0, 1.0),
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """The points and states that a rule comes to, stored as torch stores it: at the look-ahead point for Nesterov's.

    `shape` is that of the parameter, whose six elements are a matrix to a rule that reads more than one at once.
    """
    rule = stored_at_look_ahead(rule)
    is_seen = not rule.graph.is_elementwise
    x = sizes[1] * (X0.reshape(rule.seen(shape)) if is_seen else X0)
    own = {n: rule.seen_as(n, shape) if is_seen else (6,) for n, s in rule.slots.items() if not s.is_scalar}
    slots = {n: s.start if s.is_scalar else np.full(own[n], s.start) for n, s in rule.slots.items()}
    hyper = {n: h.default for n, h in rule.hyperparameters.items()} | hyper
    yield x.ravel(), slots
    for t, g in enumerate(sizes[0] * stream(), 1):
        at = {**hyper, "lr": hyper["lr"] * (drop if t > DROP else 1)}
        with np.errstate(all="ignore"):
            step, *new = rule.apply(x, g.reshape(x.shape), tuple(slots.values()), t, at)
            x = x + step
        slots = dict(zip(slots, new, strict=True))
        yield x.ravel(), slots


def torch_follows(
    name: str,
    drop: float = 0.1,
    group: dict[str, Any] | None = None,
    shape: tuple[int, ...] = (6,),
    sizes: Sizes = (1.0, 1.0),
    **options: Any,
) -> Callable[[], Trace]:
    """The trajectory of an optimizer of torch.optim; its group may have what the constructor would refuse."""

    @cache
    def run() -> Trace:
        import torch

        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # or NAdam keeps its product in float32
        try:
            p = torch.nn.Parameter(torch.tensor(sizes[1] * X0).reshape(shape))
            loop = {} if name == "Muon" else {"foreach": False}
            optimizer = getattr(torch.optim, name)([p], **loop, **options)
            points, lr = [sizes[1] * X0], options["lr"]
            optimizer.param_groups[0] |= group or {}
            for t, g in enumerate(sizes[0] * stream(), 1):
                optimizer.param_groups[0]["lr"] = lr * (drop if t > DROP else 1)
                p.grad = torch.tensor(g).reshape(shape)
                optimizer.step()
                points.append(p.detach().numpy().copy().ravel())
        finally:
            torch.set_default_dtype(default)
        return Trace(np.stack(points), {n: v.numpy() for n, v in optimizer.state[p].items() if v is not None})

    return run


def optax_follows(
    name: str | Callable[..., Any],
    drop: float = 0.1,
    shape: tuple[int, ...] = (6,),
    fall: Callable[[Any], Any] | None = None,
    sizes: Sizes = (1.0, 1.0),
    **options: Any,
) -> Callable[[], Trace]:
    """The trajectory of an optimizer of optax (or optax.contrib, or one made of its parts), in float64.

    `fall` makes the learning rate of step t from (lr, t) in place of the drop.
    """

    @cache
    def run() -> Trace:
        import jax
        import jax.numpy as jnp
        import optax

        lr = options["learning_rate"]
        with jax.enable_x64(True):
            dropped: Callable[[Any], Any] = lambda count: lr * jnp.where(count >= DROP, drop, 1.0)  # noqa: E731
            rate = lr if drop == 1 else dropped if fall is None else lambda count: fall(dropped(count), count + 1.0)
            make = name if callable(name) else getattr(optax, name, None) or getattr(optax.contrib, name)
            optimizer = make(**{**options, "learning_rate": rate})
            x = jnp.asarray(sizes[1] * X0).reshape(shape)
            state, points = optimizer.init(x), [np.asarray(x).ravel()]
            for g in sizes[0] * stream():
                step, state = optimizer.update(jnp.asarray(g).reshape(shape), state, x)
                x = optax.apply_updates(x, step)
                points.append(np.asarray(x).ravel())
        return Trace(np.stack(points), {})

    return run


def rule_follows(name: str, drop: float = 0.1, shape: tuple[int, ...] = (6,), **hyper: float) -> Callable[[], Trace]:
    """The trajectory of another rule, for an identity between the two."""
    return cache(lambda: follow(ravine.rule(name), hyper, drop, shape))


def eps_hat_by_adam(lr: float, beta1: float, beta2: float, eps: float) -> Callable[[], Trace]:
    """Adam with the ε of each step chosen so that its ε after the correction is ε̂ before it."""

    @cache
    def run() -> Trace:
        x, state, points = X0, ravine.recipe("adam").init(X0), [X0]
        for t, g in enumerate(stream(), 1):
            at = {"lr": lr * (0.1 if t > DROP else 1), "eps": eps / np.sqrt(1 - beta2**t).item()}
            x, state = ravine.recipe("adam", beta1=beta1, beta2=beta2).update(g, state, x, **at)
            points.append(x)
        return Trace(np.stack(points), {})

    return run


def heavy_ball_by_hand(lr: float, mu: float) -> Callable[[], Trace]:
    """The closed form of heavy ball: step t is the sum over all gradients so far of −lrᵢ·μ^(t−i)·gᵢ."""

    @cache
    def run() -> Trace:
        g = stream()
        rates = lr * np.where(np.arange(STEPS) < DROP, 1.0, 0.1)
        steps = [-sum(rates[i] * mu ** (t - i) * g[i] for i in range(t + 1)) for t in range(STEPS)]
        return Trace(np.cumsum([X0, *steps], axis=0), {})

    return run


def evidence() -> list[Piece]:
    """All of it. Hyperparameters are unlike the defaults and unlike each other, so that none can pass for another."""
    import evidence_adam_kin
    import evidence_matrices
    import evidence_packages

    own = [*_descent(), *_rmsprop(), *_steady(), *_adam(), *_alone(), *_transforms(), *_recorded()]
    more = (evidence_adam_kin, evidence_matrices, evidence_packages)
    return [*own, *(e for module in more for e in module.evidence())]


@dataclass(frozen=True)
class Steady:
    """Under steady gradients a variance is a rounding error, and no step may be NaN."""

    rule: str
    hyper: dict[str, float]
    source: str = "steady gradients"

    def agrees(self, rule: ravine.Rule) -> bool:
        """Whether every step of a version of the rule is a number."""
        hyper = {n: h.default for n, h in rule.hyperparameters.items()} | self.hyper
        g = np.random.default_rng(0).standard_normal(50)
        slots = [np.full(g.shape, s.start) for s in rule.slots.values()]
        with np.errstate(all="ignore"):
            for t in range(1, 400):
                step, *slots = rule.apply(g, g, tuple(slots), t, hyper)
                if np.isnan(step).any():
                    return False
        return True


Piece = Evidence | Steady | recorded.Trace


def _descent() -> list[Evidence]:
    ball = {"lr": 0.3, "mu": 0.7}
    ema = {"lr": 0.3, "beta": 0.7}
    dampened = {**ball, "dampening": 0.2}
    nesterov = {"lr": 0.3, "momentum": 0.7, "nesterov": True}
    buffer = {"b": "momentum_buffer"}
    return [
        Evidence("gd", "torch SGD", {"lr": 0.3}, torch_follows("SGD", lr=0.3)),
        Evidence("momentum", "closed form", ball, heavy_ball_by_hand(0.3, 0.7)),
        Evidence("momentum", "torch SGD, lr constant", ball, torch_follows("SGD", 1.0, lr=0.3, momentum=0.7), 1.0),
        Evidence("momentum_ema", "heavy ball", ema, rule_follows("momentum", 1.0, lr=0.3 * (1 - 0.7), mu=0.7), 1.0),
        Evidence(
            "momentum_ema", "heavy ball, lr outside", ema, rule_follows("momentum_torch", lr=0.3 * (1 - 0.7), mu=0.7)
        ),
        Evidence(
            "momentum_torch",
            "torch SGD",
            dampened,
            torch_follows("SGD", lr=0.3, momentum=0.7, dampening=0.2),
            state=buffer,
        ),
        Evidence("nesterov_torch", "torch SGD", ball, torch_follows("SGD", **nesterov), state=buffer),
        Evidence(
            "nesterov_torch_dampened",
            "torch SGD",
            dampened,
            torch_follows("SGD", **nesterov, group={"dampening": 0.2}),
            state=buffer,
        ),
        Evidence("nesterov", "torch SGD, lr constant", ball, torch_follows("SGD", 1.0, **nesterov), 1.0),
        Evidence("lion", "optax", {"lr": 0.3, "beta1": 0.8, "beta2": 0.95}, optax_follows("lion", **_LION)),
    ]


_LION = {"learning_rate": 0.3, "b1": 0.8, "b2": 0.95, "weight_decay": 0.0}


def _rmsprop() -> list[Evidence]:
    """torch has ε outside the root and lr outside the buffer; optax, as used here, both inside."""
    rms = {"lr": 0.3, "rho": 0.85, "eps": 0.07}
    mu = {**rms, "mu": 0.7}
    inside = {"learning_rate": 0.3, "decay": 0.85, "eps": 0.07, "eps_in_sqrt": True}
    outside = {"lr": 0.3, "alpha": 0.85, "eps": 0.07}
    mean = rule_follows("momentum_ema", lr=1.0, beta=0.85)
    result = [
        Evidence("adagrad", "torch", {"lr": 0.3, "eps": 0.07}, torch_follows("Adagrad", lr=0.3, eps=0.07)),
        Evidence(
            "adadelta",
            "torch",
            rms,
            torch_follows("Adadelta", lr=0.3, rho=0.85, eps=0.07),
            state={"s": "square_avg", "u": "acc_delta"},
        ),
    ]
    for suffix, centered in {"": False, "_centered": True}.items():
        kept = {"s": "square_avg"} | ({"a": "grad_avg"} if centered else {})
        plain, ball = (torch_follows("RMSprop", **outside, centered=centered, momentum=m) for m in (0.0, 0.7))
        result += [
            Evidence("rmsprop_torch" + suffix, "torch", rms, plain, state=kept),
            Evidence("rmsprop_torch_momentum" + suffix, "torch", mu, ball, state={**kept, "b": "momentum_buffer"}),
        ]
        options = {**inside, "centered": centered}
        for name, more in {
            "rmsprop": {},
            "rmsprop_momentum": {"momentum": 0.7},
            "rmsprop_nesterov": {"momentum": 0.7, "nesterov": True},
        }.items():
            hyper = mu if more else rms
            result.append(Evidence(name + suffix, "optax", hyper, optax_follows("rmsprop", **options, **more)))
            if centered:  # the sign of the mean is seen in no step
                rule = ravine.rule(name + suffix)
                result.append(Evidence(rule.name, "the mean", hyper, _with_state(rule, hyper, mean), state={"a": "v"}))
    return result


def _steady() -> list[Steady]:
    hyper = {"lr": 0.3, "rho": 0.85, "eps": 0.0}
    return [Steady(name, hyper) for name in ravine.rules() if name.startswith("rmsprop") and name.endswith("centered")]


def _with_state(rule: ravine.Rule, hyper: dict[str, float], state_of: Callable[[], Trace]) -> Callable[[], Trace]:
    return cache(lambda: Trace(follow(rule, hyper).points, state_of().state))


def _adam() -> list[Evidence]:
    theirs = {"lr": 0.3, "betas": (0.8, 0.95), "eps": 0.07}
    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07}
    kept = {"m": "exp_avg", "v": "exp_avg_sq"}
    radam = [
        Evidence(
            "radam",
            f"torch, β₂ = {beta2}",  # 0.6: ρ∞ is 4, so it never turns adaptive; 0.83: ρ₇ is 5.55
            {**ours, "beta2": beta2},
            torch_follows("RAdam", **{**theirs, "betas": (0.8, beta2)}),
            state=kept,
        )
        for beta2 in (0.95, 0.6, 0.83)
    ]
    return [
        Evidence("adam", "torch", ours, torch_follows("Adam", **theirs), state=kept),
        Evidence("adam_eps_hat", "Adam with another ε each step", ours, eps_hat_by_adam(**ours)),
        Evidence(
            "amsgrad",
            "torch",
            ours,
            torch_follows("Adam", **theirs, amsgrad=True),
            state={**kept, "w": "max_exp_avg_sq"},
        ),
        Evidence("adamw", "torch", {**ours, "weight_decay": 0.25}, torch_follows("AdamW", **theirs, weight_decay=0.25)),
        Evidence(
            "nadam",
            "torch",
            {**ours, "momentum_decay": 0.11},
            torch_follows("NAdam", **theirs, momentum_decay=0.11),
            state={**kept, "product": "mu_product"},
        ),
        Evidence(
            "adamax",
            "torch",
            ours,
            torch_follows("Adamax", **theirs),
            state={"m": "exp_avg", "u": "exp_inf"},
        ),
        *radam,
    ]


def _alone() -> list[Evidence]:
    """Methods that torch has one form of."""
    asgd = {"lr": 0.3, "lambd": 0.04, "alpha": 0.6, "t0": 7.0}
    return [
        *(
            Evidence(
                "rprop",
                f"torch, at least {shortest}",
                {"lr": 0.3, "eta_minus": 0.6, "eta_plus": 1.3, "step_min": shortest, "step_max": 0.7},
                torch_follows("Rprop", lr=0.3, etas=(0.6, 1.3), step_sizes=(shortest, 0.7)),
                state={"prev": "prev", "s": "step_size"},
            )
            for shortest in (0.05, 0.4)  # the latter: above lr, so that the first step moves it
        ),
        *(
            Evidence(
                "rprop_optax",
                f"optax, at least {shortest}",
                {"lr": 0.3, "eta_minus": 0.6, "eta_plus": 1.3, "step_min": shortest, "step_max": longest},
                optax_follows(
                    *("rprop", 1.0),  # which takes no schedule
                    learning_rate=0.3,
                    eta_minus=0.6,
                    eta_plus=1.3,
                    min_step_size=shortest,
                    max_step_size=longest,
                ),
            )
            for shortest, longest in ((0.05, 0.7), (0.4, 0.7), (0.05, 0.15))  # lr within the bounds, below and above
        ),
        Evidence(
            "asgd",
            "torch",
            asgd,
            torch_follows("ASGD", **asgd),
            state={"a": "ax", "eta": "eta", "w": "mu"},
        ),
    ]


def _recorded() -> list[recorded.Trace]:
    """What Keras and optax did, for the rules that torch has no form of."""
    alone = ("adagrad_keras", "adam_eps_root", "adamax_keras", "amsgrad_eps_hat", "amsgrad_optax", "nadam_optax")
    alone += ("rmsprop_debiased", "rmsprop_debiased_centered", "lr_decay(adagrad)")
    alone += ("rmsprop_torch_debiased", "rmsprop_torch_debiased_centered")
    alone += ("heavy_ball(rmsprop_torch)", "nesterov_ball(rmsprop_torch)")
    alone += ("muon_rms_momentum", "muon_keras", "muon_optax", "muon_optax_rms")
    alone += ("sign_sgd", "fromage", "radam_optax", "rprop_optax", "adafactor_optax_whole", "lamb_keras")
    alone += ("schedule_free_keras",)
    return [t for t in recorded.all_traces() if t.dtype == "float64" and t.rule in alone]


def _transforms() -> list[Evidence]:
    theirs = {"lr": 0.3, "betas": (0.8, 0.95), "eps": 0.07, "weight_decay": 0.25}
    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07, "weight_decay": 0.25}
    clip = {"lr": 0.3, "clip_value": 0.4}
    return [
        Evidence("weight_decay(adam)", "torch", ours, torch_follows("Adam", **theirs)),
        Evidence("maximize(weight_decay(adam))", "torch", ours, torch_follows("Adam", **theirs, maximize=True)),
        Evidence("clip_value(gd)", "NumPy's clip", clip, _moved(0.3, np.clip(stream(), -0.4, 0.4))),
        *(
            Evidence(f"{clip}(gd)", "by hand", {"lr": 0.3, clip: 90.0}, _moved(0.3, _of_norm(90.0)), shape=(2, 3))
            for clip in ("clip_norm", "clip_global_norm")
        ),
        _averaged(),
        *(_clipped_by_rms(sizes) for sizes in ((1.0, 1.0), (0.01, 1.0))),
    ]


def _averaged() -> Evidence:
    """torch's Adam, and torch's average of its weights."""
    adam = torch_follows("Adam", lr=0.3, betas=(0.8, 0.95), eps=0.07)

    @cache
    def run() -> Trace:
        import torch
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        visited = adam().points
        model = torch.nn.ParameterList([torch.tensor(visited[0])])
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.6))
        for x in visited[1:]:
            model[0].data = torch.tensor(x)
            average.update_parameters(model)
        return Trace(visited, {"average": next(average.parameters()).detach().numpy()})

    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07, "ema_decay": 0.6}
    kept = {"average": "average", READ_OUT: "average"}
    return Evidence("ema_weights(adam)", "torch's AveragedModel", ours, run, state=kept)


def _clipped_by_rms(sizes: Sizes) -> Evidence:
    def make(learning_rate: Any) -> Any:
        import optax

        adam = optax.scale_by_adam(0.8, 0.95, 0.07)
        return optax.chain(adam, optax.clip_by_block_rms(0.4), optax.scale_by_learning_rate(learning_rate))

    follows = optax_follows(make, shape=(2, 3), sizes=sizes, learning_rate=0.3)
    ours = {"lr": 0.3, "beta1": 0.8, "beta2": 0.95, "eps": 0.07, "clip_update_rms": 0.4}
    return Evidence("clip_update_rms(adam)", f"optax {sizes}", ours, follows, shape=(2, 3), sizes=sizes)


def _of_norm(bound: float) -> np.ndarray:
    """The gradients, those that are longer cut to this length; of the stream some are."""
    lengths = np.linalg.norm(stream(), axis=1, keepdims=True)
    assert (lengths > bound).any()
    assert (lengths < bound).any()
    return np.where(lengths > bound, stream() / lengths * bound, stream())


def _moved(lr: float, gradients: np.ndarray) -> Callable[[], Trace]:
    @cache
    def run() -> Trace:
        rates = lr * np.where(np.arange(STEPS) < DROP, 1.0, 0.1)
        return Trace(np.cumsum([X0, *(-rates[:, None] * gradients)], axis=0), {})

    return run


def caught(mutant: ravine.Rule, pieces: list[Piece]) -> bool:
    try:
        return not all(e.agrees(mutant) for e in pieces)
    except (ZeroDivisionError, OverflowError, TypeError, ValueError):
        return True  # a slip that can't even be computed, such as a negative number to a fractional power
