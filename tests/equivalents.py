"""Slips that compute the same function, so that no evidence can catch them, with the reason."""

from __future__ import annotations

_SQUARE = "the corrected mean is squared"
_WHOLE = "t is a whole number, so t > 1.125 is t > 1"
_LENGTH = "the step's length is lr's alone, whatever the rule's own is"
_ZERO = "of a step of zero, whatever that is multiplied by"
_COLUMN = "of one column what is taken over its rows is taken over all"
_SQUARED = "only its square is read"


def _slips(rule: str, reason: str, *slips: str) -> dict[tuple[str, str], str]:
    return {(rule, slip): reason for slip in slips}


def _of_one(place: str) -> list[str]:
    return [f"in {place}, 1 → {other}" for other in ("neg(1)", "1.125", "2")]


_AVERAGE, _BELOW = "add(mul(beta1, m), mul(sub(…, …), g))", "sub(1, power(beta1, t))"
_RATIO, _SIDES = "maximum(1, div(r, c))", "div(r, c)"
_SEE_THE_FIRST = ("adan", "adopt", "asgd", "madgrad", "mars", "momentum_torch", "nesterov_torch_dampened")
_SEE_THE_FIRST += (
    "ema_weights(adam)",
    "novograd",
    "prodigy",
    "prodigy_optax",
    "rprop",
    "rprop_optax",
    "schedule_free_sgd",
    "schedule_free_adamw",
    "schedule_free_keras",
)
_FREE = ("schedule_free_sgd", "schedule_free_adamw")

EQUIVALENT = {
    **{
        (f"rmsprop_{kind}_centered", f"in div(add(a, mul(…, …)), sub(1, power(…, …))), {slip}"): _SQUARE
        for kind in ("debiased", "torch_debiased")
        for slip in (
            "add(a, mul(sub(…, …), sub(…, …))) → neg(add(a, mul(…, …)))",
            "sub(1, power(rho, t)) → neg(sub(1, power(…, …)))",
        )
    },
    (
        "yogi",
        "mul(mul(mul(…, …), g), sign(sub(…, …))) → div(mul(mul(…, …), g), sign(sub(…, …)))",
    ): "a sign that is not 0 is its own inverse",
    **{(name, "in gt(t, 1), 1 → 1.125"): _WHOLE for name in _SEE_THE_FIRST},
    **{
        (name, slip): reason
        for name in ("rprop", "rprop_optax")
        for slip, reason in {
            "in add(s, lr), s → prev": "both are zero in the first step",
            "in add(s, lr), s → neg(s)": "it is zero in the first step",
            "add(s, lr) → lr": "s is zero in the first step",
        }.items()
    },
    **_slips("adafactor", _COLUMN, "mean(add(add(…, …), mul(…, …)), axis=0) → mean(add(add(…, …), mul(…, …)))"),
    **_slips("adafactor_optax", _COLUMN, "mean(add(add(…, …), mul(…, …)), axis=0) → mean(add(add(…, …), mul(…, …)))"),
    **_slips("adafactor_torch", _COLUMN, "mean(add(mul(…, …), mul(…, …)), axis=0) → mean(add(mul(…, …), mul(…, …)))"),
    # torch keeps the whole average of a vector alone
    **_slips("adafactor_torch_whole", _COLUMN, "rms(x) → rms(x, axis=0)"),
    **_slips("adafactor_torch_whole", _COLUMN, "rms(div(g, sqrt(…))) → rms(div(g, sqrt(…)), axis=0)"),
    **_slips("lamb", _ZERO, *_of_one("where(gt(norm(…), 0), div(norm(…), norm(…)), 1)")),
    **_slips("lamb_keras", _ZERO, *_of_one("where(gt(norm(…), 0), div(norm(…), norm(…)), 1)")),
    **_slips("lamb_keras", "at t = 1 it is β₁, and later the ratio takes its length away", "power(beta1, t) → beta1"),
    **_slips("lars", _ZERO, *_of_one("where(gt(norm(…), 0), div(mul(…, …), add(…, …)), 1)")),
    **_slips(
        "stable_adamw",
        _SQUARED,
        "in div(g, maximum(sqrt(…), eps)), g → neg(g)",
        "in div(g, maximum(sqrt(…), eps)), maximum(sqrt(div(…, …)), eps) → neg(maximum(sqrt(…), eps))",
    ),
    **{
        (name, slip): "where all gradients were zero, so is what is divided"
        for name in ("prodigy", "prodigy_optax")
        for slip in _of_one("where(gt(total(…), 0), total(abs(…)), 1)")
    },
    **_slips("adamh", _ZERO, *_of_one("where(gt(norm(…), 0), norm(div(…, …)), 1)")),
    **_slips("adamh", _LENGTH, *(f"in neg(lr), lr → {other}" for other in ("beta1", "beta2", "eps"))),
    **_slips(
        "adamh",
        _LENGTH,
        "power(beta1, t) → beta1",
        *(f"in power(beta1, t), beta1 → {other}" for other in ("neg(beta1)", "lr", "beta2", "eps")),
        "in power(beta1, t), t → add(t, 1)",
        *(f"{_BELOW} → {other}" for other in ("add(1, power(beta1, t))", "1", "power(beta1, t)")),
        f"in {_BELOW}, 1 → 1.125",
        f"in {_BELOW}, 1 → 2",
        f"in {_BELOW}, power(beta1, t) → neg(power(beta1, t))",
        "div(add(mul(…, …), mul(…, …)), sub(1, power(…, …))) → mul(add(mul(…, …), mul(…, …)), sub(1, power(…, …)))",
        f"div(add(mul(…, …), mul(…, …)), sub(1, power(…, …))) → {_AVERAGE}",
    ),
    **_slips("normuon", _ZERO, *_of_one("where(gt(norm(…), 0), norm(div(…, …)), 1)")),
    **_slips("muonh", _ZERO, *_of_one("where(gt(norm(…), 0), norm(mul(…, …)), 1)")),
    **_slips("muonh", _LENGTH, *(f"in neg(lr), lr → {other}" for other in ("beta", "a", "c", "steps", "eps"))),
    **_slips("muonh", _LENGTH, *(f"{_SIDES} → {other}" for other in ("mul(r, c)", "r", "c"))),
    **_slips("muonh", _LENGTH, f"in {_SIDES}, r → neg(r)", f"in {_SIDES}, c → neg(c)", *_of_one(_RATIO)),
    **_slips("muonh", _LENGTH, *(f"{_RATIO} → {other}" for other in ("minimum(1, div(r, c))", "1", "div(r, c)"))),
    **_slips(
        "muonh",
        _LENGTH,
        f"in {_RATIO}, {_SIDES} → neg({_SIDES})",
        f"sqrt(maximum(1, div(…, …))) → {_RATIO}",
        "mul(neg(lr), sqrt(maximum(…, …))) → div(neg(lr), sqrt(maximum(…, …)))",
        "mul(neg(lr), sqrt(maximum(…, …))) → neg(lr)",
    ),
    **{
        (name, "in gt(t, 1), 1 → 2"): "the average after one step is z, and so is x"
        for name in (*_FREE, "schedule_free_keras")
    },
    **{
        (name, slip): "of a weight of zero, whatever that is divided by"
        for name in _FREE
        for slip in _of_one("where(gt(add(…, …), 0), add(total, power(…, …)), 1)")
    },
}
"""By the rule's name and the slip's description."""
