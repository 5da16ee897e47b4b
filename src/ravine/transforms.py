"""Functions from rule to rule. A chain of them around a rule still traces into one graph, so into one kernel.

The outermost transform sees the gradient first: `maximize(weight_decay(adam))` negates g, then adds the decay, as in
torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ravine.hyperparameter import FRACTION, NON_NEGATIVE, POSITIVE, Hyperparameter, Range
from ravine.math import columns, ema, maximum, minimum, norm, power, rms, rows, total, where
from ravine.rule import STACK, Rule, Slot

Apply = Callable[..., tuple[Any, ...]]


def weight_decay(base: Rule) -> Rule:
    """Coupled (L2) weight decay: g + λx goes in for g. λ is the hyperparameter `weight_decay`, default 0."""

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        decay = hyper.pop("weight_decay")
        return inner.apply(x, g + decay * x, slots, t, hyper)

    return _transform("weight_decay", base, apply, {"weight_decay": Hyperparameter(0.0, NON_NEGATIVE)})


def decoupled_weight_decay(base: Rule) -> Rule:
    """Decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101): Δ − lr·λ·x goes out for Δ.

    λ is the hyperparameter `weight_decay`, default 0. The rule must have a hyperparameter `lr`.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        decay = hyper.pop("weight_decay")
        step, *new = inner.apply(x, g, slots, t, hyper)
        return (step - hyper["lr"] * decay * x, *new)

    _needs_lr("decoupled_weight_decay", base)
    decay = {"weight_decay": Hyperparameter(0.0, NON_NEGATIVE)}
    return _transform("decoupled_weight_decay", base, apply, decay)


def weight_decay_first(base: Rule) -> Rule:
    """Decoupled weight decay that is done before the step: the rule sees y = x − lr·λ·x, and Δ − lr·λ·x goes out.

    Keras's optimizers. It is `decoupled_weight_decay` for a rule that does not read x. The rule must have a
    hyperparameter `lr`.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        shrinkage = hyper["lr"] * hyper.pop("weight_decay") * x
        step, *new = inner.apply(x - shrinkage, g, slots, t, hyper)
        return (step - shrinkage, *new)

    _needs_lr("weight_decay_first", base)
    return _transform("weight_decay_first", base, apply, {"weight_decay": Hyperparameter(0.0, NON_NEGATIVE)})


def lr_decay(base: Rule) -> Rule:
    """A learning rate that falls with time, lr / (1 + (t−1)·d), as torch's Adagrad has it. d is `lr_decay`, default 0.

    The rule must have a hyperparameter `lr`.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        decay = hyper.pop("lr_decay")
        return inner.apply(x, g, slots, t, {**hyper, "lr": hyper["lr"] / (1 + (t - 1) * decay)})

    _needs_lr("lr_decay", base)
    return _transform("lr_decay", base, apply, {"lr_decay": Hyperparameter(0.0, NON_NEGATIVE)})


def maximize(base: Rule) -> Rule:
    """Go uphill: −g goes in for g."""

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        return inner.apply(x, -g, slots, t, hyper)

    return _transform("maximize", base, apply, {})


def clip_value(base: Rule) -> Rule:
    """Clip each gradient component to [−c, c]. c is the hyperparameter `clip_value`, default 1."""

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        bound = hyper.pop("clip_value")
        return inner.apply(x, maximum(minimum(g, bound), -bound), slots, t, hyper)

    return _transform("clip_value", base, apply, {"clip_value": Hyperparameter(1.0, POSITIVE)})


def clip_norm(base: Rule) -> Rule:
    """Clip the gradient of each parameter to the norm c: g·c/max(‖g‖, c). c is `clip_norm`, default 1.

    Keras's `clipnorm`, TensorFlow's `clip_by_norm`. Of a stack of matrices each is clipped by itself.
    """
    return _transform("clip_norm", base, _clipped("clip_norm"), {"clip_norm": Hyperparameter(1.0, POSITIVE)})


def clip_global_norm(base: Rule) -> Rule:
    """Clip the gradients of all parameters together to the norm c, which is `clip_global_norm`, default 1.

    An equation has one parameter in sight, which may be all there are: to it this is `clip_norm`. Front ends that step
    many find the norm over all of them, and step by the rule that is `unclipped`. So it must be outermost, but for what
    leaves the norm of g as it is. Keras's `global_clipnorm`, optax's `clip_by_global_norm`; torch's `clip_grad_norm_`
    adds 1e-6 to the norm.
    """
    apply = _clipped("clip_global_norm")
    made = _transform("clip_global_norm", base, apply, {"clip_global_norm": Hyperparameter(1.0, POSITIVE)})
    return replace(made, unclipped=base)


def _clipped(bound: str) -> Apply:
    """The rule on a gradient of at most this norm."""

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        c = hyper.pop(bound)
        return inner.apply(x, g * (c / maximum(norm(g), c)), slots, t, hyper)

    return apply


def clip_update_rms(base: Rule) -> Rule:
    """Shorten a step whose root mean square is over lr times a threshold to that (Adafactor's clipping of updates).

    The threshold is the hyperparameter `clip_update_rms`, default 1; the mean is over the whole parameter. The rule
    must have a hyperparameter `lr`. `stable_adamw` clips by the gradient in place of its average.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        bound = hyper.pop("clip_update_rms")
        step, *new = inner.apply(x, g, slots, t, hyper)
        return (step / maximum(1, rms(step) / (hyper["lr"] * bound)), *new)

    _needs_lr("clip_update_rms", base)
    return _transform("clip_update_rms", base, apply, {"clip_update_rms": Hyperparameter(1.0, POSITIVE)})


def cautious(base: Rule) -> Rule:
    """Only go where the gradient goes down too (Liang et al. 2024, arXiv:2411.16085).

    The elements of the step that have the gradient's own sign become 0, and the others longer in proportion: times
    n / (k + 1), where k of the parameter's n elements are left. Decay that the mask should not meet goes around it:
    `decoupled_weight_decay(cautious(adam))`.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        step, *new = inner.apply(x, g, slots, t, hyper)
        agree = where(step * g < 0, 1, 0)
        return (agree * step * (rows(g) * columns(g) / (total(agree) + 1)), *new)

    return _transform("cautious", base, apply, {})


def stored_at_look_ahead(base: Rule) -> Rule:
    """The same method for a program in which the stored parameter is y = x + o, the look-ahead point itself.

    Where only gradients arrive (torch), they arrive at the stored parameter. With Δ and the look-ahead offset o of the
    base rule, y moves by Δ + o(new state) − o(old state). A rule that does not look ahead is returned as it is.
    """
    base = _checked("stored_at_look_ahead", base)
    if base.look_ahead_function is None:
        return base

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        step, *new = inner.apply(x, g, slots, t, hyper)
        before = inner.look_ahead(dict(zip(inner.slots, slots, strict=True)), hyper)
        after = inner.look_ahead(dict(zip(inner.slots, new, strict=True)), hyper)
        return (step + after - before, *new)

    return replace(_transform("stored_at_look_ahead", base, apply, {}), look_ahead_function=None)


def heavy_ball(base: Rule) -> Rule:
    """Momentum on the rule's own step, whatever it is: Δₜ = μ·Δₜ₋₁ + step; lr is inside the buffer.

    Around `rmsprop` it is `rmsprop_momentum`. optax's chain of a scaling, a learning rate and a trace. Adds the slot
    `delta` and the hyperparameter `mu`, default 0.9.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        mu = hyper.pop("mu")
        step, *new = inner.apply(x, g, slots[:-1], t, hyper)
        delta = mu * slots[-1] + step
        return (delta, *new, delta)

    return _with_momentum("heavy_ball", base, apply)


def nesterov_ball(base: Rule) -> Rule:
    """Nesterov's momentum on the rule's own step, for gradients taken at the stored parameter.

    Δₜ = μ·Δₜ₋₁ + step is remembered and x moves by μ·Δₜ + step. Adds slot and hyperparameter as `heavy_ball` does.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        mu = hyper.pop("mu")
        step, *new = inner.apply(x, g, slots[:-1], t, hyper)
        delta = mu * slots[-1] + step
        return (mu * delta + step, *new, delta)

    return _with_momentum("nesterov_ball", base, apply)


def hyperball(base: Rule) -> Rule:
    """Steps on the sphere of parameters of one norm, each lr times that norm long, whatever the rule's own length is.

    y = x + lr·‖x‖·Δ/‖Δ‖ goes to ‖x‖·y/‖y‖ (Wen et al. 2025). The rule must have a hyperparameter `lr`. A step of zero
    leaves the parameter where it is, and a parameter of zeros stays one.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        step, *new = inner.apply(x, g, slots, t, hyper)
        length = norm(step)
        y = x + hyper["lr"] * norm(x) * (step / where(length > 0, length, 1))
        return (where(norm(x) > 0, norm(x) / norm(y) * y - x, 0), *new)

    _needs_lr("hyperball", base)
    return _transform("hyperball", base, apply, {})


def ema_weights(base: Rule) -> Rule:
    """The same steps, and an average of the points that they lead to, which is what is evaluated.

    a = β·a + (1−β)·x, from the first step's x on, as torch's AveragedModel has it with get_ema_multi_avg_fn. β is the
    hyperparameter `ema_decay`, default 0.999; a is the slot `average`, never in less than float32 where state is
    narrow. Put it around all else: what a transform outside of it adds to a step is not in the average.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        decay = hyper.pop("ema_decay")
        step, *new = inner.apply(x, g, slots[:-1], t, hyper)
        return (step, *new, where(t > 1, ema(slots[-1], x + step, decay), x + step))

    inner = _with_slots("ema_weights", base, {"average": Slot(is_wide=True)})
    made = _transform("ema_weights", base, apply, {"ema_decay": Hyperparameter(0.999, FRACTION)})
    return replace(made, slots=inner, read_out_function=lambda x, at: at["average"])


def schedule_free(base: Rule) -> Rule:
    """An average in place of a schedule of learning rates (Defazio et al. 2024, arXiv:2405.15682).

    The rule moves z, by its step for the gradient at x, which lies between z and the average: x = β·average + (1−β)·z.
    x is stored and trained; the average, (x − (1−β)·z) / β, is evaluated (a read-out). Its weights are the largest lr
    so far to the power `weight_lr_power`, default 2, so that a warm-up counts for less. β is the hyperparameter
    `interpolation`, default 0.9, and takes the place of momentum: give the rule none. It must have a hyperparameter
    `lr`. Adds the slot `z`, never in less than float32 where state is narrow, and the numbers `lr_max` and `total`.
    """

    def apply(inner: Rule, x: Any, g: Any, slots: tuple[Any, ...], t: Any, hyper: dict[str, Any]) -> tuple[Any, ...]:
        beta, exponent = hyper.pop("interpolation"), hyper.pop("weight_lr_power")
        *own, z, lr_max, total = slots
        step, *new = inner.apply(x, g, tuple(own), t, hyper)
        z = where(t > 1, z, x)
        average = behind(x, z, beta)
        lr_max = maximum(lr_max, hyper["lr"])
        weight = power(lr_max, exponent)
        total = total + weight
        share = weight / where(total > 0, total, 1)
        z = z + step
        average = (1 - share) * average + share * z
        return (beta * average + (1 - beta) * z - x, *new, z, lr_max, total)

    added = {"z": Slot(is_wide=True), "lr_max": Slot(is_scalar=True), "total": Slot(is_scalar=True)}
    hyper = {
        "interpolation": Hyperparameter(0.9, Range(low=0.0, high=1.0, low_open=True)),
        "weight_lr_power": Hyperparameter(2.0, NON_NEGATIVE),
    }
    _needs_lr("schedule_free", base)
    slots = _with_slots("schedule_free", base, added)
    made = _transform("schedule_free", base, apply, hyper)
    read_out = lambda x, at: behind(x, at["z"], at["interpolation"])  # noqa: E731
    return replace(made, slots=slots, read_out_function=read_out)


def behind(x: Any, z: Any, beta: Any) -> Any:
    """What Schedule-Free's x lies β of the way from z to."""
    return (x - (1 - beta) * z) / beta


def stacked(base: Rule) -> Rule:
    """The same rule for a parameter that is a stack of matrices, as a layer of experts is: each is stepped alone.

    The last two dimensions are a matrix's. A rule that works on each element alone does the same either way.
    """
    inner = _checked("stacked", base)
    unclipped = None if inner.unclipped is None else stacked(inner.unclipped)
    name, outer = f"stacked({inner.name})", ("stacked", *inner.transforms)
    return replace(inner, name=name, view=STACK, transforms=outer, unclipped=unclipped)


TRANSFORMS: Mapping[str, Callable[[Rule], Rule]] = MappingProxyType(
    {
        t.__name__: t
        for t in (
            weight_decay,
            decoupled_weight_decay,
            weight_decay_first,
            maximize,
            clip_value,
            clip_norm,
            clip_global_norm,
            clip_update_rms,
            cautious,
            lr_decay,
            heavy_ball,
            nesterov_ball,
            stored_at_look_ahead,
            hyperball,
            ema_weights,
            schedule_free,
            stacked,
        )
    }
)
"""Every transform by name."""

KEEP_NORM = frozenset({"maximize", "decoupled_weight_decay", "lr_decay", "stored_at_look_ahead", "stacked"})
KEEP_NORM |= {"cautious", "clip_update_rms", "ema_weights", "schedule_free"}
"""Transforms that may be around `clip_global_norm`: the norm of g is the same inside them."""


def named(
    base: Rule,
    *,
    name: str,
    title: str,
    paper: str,
    defaults: Mapping[str, float],
    kin: tuple[str, ...] = (),
    called: Mapping[str, str] | None = None,
    summary: str | None = None,
    family: str | None = None,
) -> Rule:
    """A transformed rule under a name and defaults of its own, as AdamW is Adam with decoupled decay.

    `called` gives its hyperparameters other names, `summary` says something else of it than of the rule inside, and
    `family` is the module whose rules it is one of, where not those of the rule inside.
    """
    new = {n: (called or {}).get(n, n) for n in base.hyperparameters}
    hyper = {new[n]: Hyperparameter(defaults.get(new[n], h.default), h.range) for n, h in base.hyperparameters.items()}

    def function(x: Any, g: Any, *slots: Any, t: Any, **given: Any) -> tuple[Any, ...]:
        return base.apply(x, g, slots, t, {n: given[new[n]] for n in new})

    def read_out(x: Any, at: Mapping[str, Any]) -> Any:
        return base.read_out(x, at, {n: at[new[n]] for n in new})

    function.__module__ = family or function.__module__
    renamed: dict[str, Any] = {"function": function, "needs_x": True, "needs_t": True} if called else {}
    if called and base.read_out_function is not None:
        renamed["read_out_function"] = read_out
    return replace(
        base,
        name=name,
        title=title,
        paper=paper,
        summary=base.summary if summary is None else summary.strip(),
        hyperparameters=MappingProxyType(hyper),
        kin=kin,
        transforms=(),
        **renamed,
    )


def _checked(name: str, base: Rule) -> Rule:
    if isinstance(base, Rule):
        return base
    hint = f": ravine.rule({f'{name}({base})'!r}) finds one by name" if isinstance(base, str) else ""
    raise TypeError(f"{name} wraps a rule, got {base!r}{hint}")


def _needs_lr(name: str, base: Rule) -> None:
    if "lr" not in _checked(name, base).hyperparameters:
        raise ValueError(f"{name} needs a rule with a hyperparameter lr; {base.name} has none")


def _with_slots(name: str, base: Rule, added: Mapping[str, Slot]) -> Mapping[str, Slot]:
    """The slots of a rule and some more, for a transform that evaluates another point than it trains."""
    inner = _checked(name, base)
    if taken := [slot for slot in added if slot in inner.slots]:
        raise ValueError(f"{name} can't wrap {inner.name}: it already has a slot {taken[0]}")
    if inner.look_ahead_function is not None or inner.read_out_function is not None:
        where_else = "takes the gradient" if inner.look_ahead_function is not None else "is evaluated"
        raise ValueError(f"{name} can't wrap {inner.name}, which {where_else} at another point than it stores")
    return MappingProxyType({**inner.slots, **added})


def _with_momentum(name: str, base: Rule, apply: Apply) -> Rule:
    inner = _checked(name, base)
    if "delta" in inner.slots or inner.look_ahead_function is not None:
        raise ValueError(f"{name} can't wrap {inner.name}: it already has a momentum of that kind")
    wrapped = _transform(name, inner, apply, {"mu": Hyperparameter(0.9, FRACTION)})
    return replace(wrapped, slots=MappingProxyType({**inner.slots, "delta": Slot()}))


def _transform(name: str, base: Rule, apply: Apply, added: Mapping[str, Hyperparameter]) -> Rule:
    inner = _checked(name, base)
    for key in added:
        if key in inner.hyperparameters:
            raise ValueError(f"{name} can't wrap {inner.name}: it already has a hyperparameter {key}")
    if inner.unclipped is not None and name not in KEEP_NORM:
        raise ValueError(
            f"{name} can't wrap {inner.name}: clip_global_norm takes the norm of all gradients as they come, before "
            "anything else is done to them, so it must be outermost"
        )

    def function(x: Any, g: Any, *slots: Any, t: Any, **hyper: Any) -> tuple[Any, ...]:
        return apply(inner, x, g, slots, t, hyper)

    return replace(
        inner,
        function=function,
        name=f"{name}({inner.name})",
        hyperparameters=MappingProxyType({**inner.hyperparameters, **added}),
        needs_x=True,  # of this function: what the equation reads is seen in its graph
        needs_t=True,
        transforms=(name, *inner.transforms),
        unclipped=None if inner.unclipped is None else TRANSFORMS[name](inner.unclipped),
    )
