"""Minimize a function of a NumPy array: a loop around `Recipe.update` with SciPy's conventions."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.errors import missing
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

CONVERGED, FINISHED, NOT_FINITE, STOPPED = range(4)


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    method: Recipe | Rule | str = "adam",
    *,
    args: tuple[Any, ...] = (),
    jac: Callable[..., Any] | bool | None = None,
    steps: int = 1000,
    tol: float = 0.0,
    callback: Callable[[Any], Any] | None = None,
    **hyper: Any,
) -> OptimizeResult:
    """Minimize fun(x, *args) from x0 by `steps` steps of a recipe, a rule, or a rule's name with hyperparameters.

    x0 has shape (n,), or (k, n) for k starts at once; then fun maps (k, n) to (k,) and jac to (k, n). `jac` is the
    gradient as a function, True if fun returns (value, gradient), or None for forward differences (n + 1 values of fun
    a step). Rules that look ahead get their gradient at the look-ahead point; of those that evaluate another point than
    they train (Schedule-Free, averaged weights) x is the former, and the trajectory of the latter. float32 stays
    float32; integers become float64.

    Stops early when every component of the gradient is at most `tol` in magnitude (never, with the default 0, unless
    the gradient is exactly zero), or when `callback(x)` returns true or raises StopIteration.

    Returns SciPy's `OptimizeResult`: x, fun, jac (at x), nit, nfev, njev, success, status, message, and trajectory of
    shape (nit + 1, …) with x0 first. status: 0 the gradient is within tol; 1 all steps were done; 2 the value or
    gradient was not finite (the message says at which step; x is where that happened); 3 the callback stopped it.
    success is true for 0 and 1.

    Raises ValueError for an empty x0, a jac of another shape, or illegal steps or tol; TypeError for x0 not of
    numbers, and for fun, jac or callback that is no function.
    """
    try:
        from scipy.optimize import OptimizeResult
    except ImportError as error:
        raise missing("ravine.minimize", error) from error

    chosen = method.replace(**hyper) if isinstance(method, Recipe) else recipe(method, **hyper)
    x = _start(x0)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
        raise ValueError(f"steps must be a whole number of at least 0, got {steps!r}")
    if not (isinstance(tol, Real) and tol >= 0):
        raise ValueError(f"tol must be at least 0, got {tol!r}")

    if not (callback is None or callable(callback)):
        raise TypeError(f"callback must be a function of x, or None, got {callback!r}")

    objective = _Objective(fun, jac, args, x)
    state = chosen.init(x)
    trajectory = [x]
    status, message = FINISHED, f"all {steps} steps were done"
    value, gradient = objective(x)
    for t in range(steps + 1):
        if not (np.all(np.isfinite(value)) and np.all(np.isfinite(gradient))):
            status, message = NOT_FINITE, f"the value or the gradient was not finite at step {t}"
        elif np.max(np.abs(gradient)) <= tol:
            status, message = CONVERGED, f"the gradient was within tol after {t} steps"
        if t == steps or status != FINISHED:
            break
        offset = chosen.look_ahead(state)
        ahead = gradient if chosen.rule.look_ahead_function is None else objective((x + offset).astype(x.dtype))[1]
        if not np.all(np.isfinite(ahead)):
            status, message = NOT_FINITE, f"the gradient at the look-ahead point was not finite at step {t}"
            break
        x, state = chosen.update(ahead, state, x)
        trajectory.append(x)
        value, gradient = objective(x)
        if callback is not None and _asks_to_stop(callback, x):
            status, message = STOPPED, f"the callback stopped it after {t + 1} steps"
            break
    if chosen.rule.read_out_function is not None:
        x = chosen.read_out(state, x)
        value, gradient = objective(x)
    return OptimizeResult(
        x=x,
        fun=value,
        jac=gradient,
        nit=len(trajectory) - 1,
        nfev=objective.values,
        njev=objective.gradients,
        success=status in (CONVERGED, FINISHED),
        status=status,
        message=message,
        trajectory=np.stack(trajectory),
    )


class _Objective:
    """The value and gradient at a point, and how often each was asked for."""

    def __init__(self, fun: Callable[..., Any], jac: Callable[..., Any] | bool | None, args: tuple[Any, ...], x: Any):
        if not callable(fun):
            raise TypeError(f"fun must be a function of x, got {fun!r}")
        if not (jac is None or isinstance(jac, bool) or callable(jac)):
            raise TypeError(f"jac must be a function, True, or None, got {jac!r}")
        self.fun, self.jac, self.args = fun, jac, args
        self.shape, self.dtype = x.shape, x.dtype
        self.values = self.gradients = 0

    def __call__(self, x: Any) -> tuple[Any, Any]:
        if self.jac is True:
            both = self._value(x)
            if not (isinstance(both, (tuple, list)) and len(both) == 2):
                raise TypeError(f"with jac=True fun must return (value, gradient), got {both!r}")
            value, gradient = both
            self.gradients += 1
        else:
            value = self._value(x)
            gradient = self._difference(x, value) if not callable(self.jac) else self.jac(x.copy(), *self.args)
            self.gradients += callable(self.jac)
        value, gradient = _real("fun", value, float), _real("jac", gradient, self.dtype)
        if value.shape != self.shape[:-1] and value.size == np.prod(self.shape[:-1], dtype=int):
            value = value.reshape(self.shape[:-1])
        if value.shape != self.shape[:-1]:
            raise ValueError(
                f"fun must return values of shape {self.shape[:-1]} for x of shape {self.shape}, got {value.shape}"
            )
        if gradient.shape != self.shape:
            raise ValueError(f"jac must return a gradient of shape {self.shape}, the shape of x0; got {gradient.shape}")
        return (float(value) if value.ndim == 0 else value), gradient

    def _value(self, x: Any) -> Any:
        self.values += 1
        return self.fun(x.copy(), *self.args)  # a copy, so that fun can't change the trajectory

    def _difference(self, x: Any, value: Any) -> Any:
        """Forward differences, each step h a √epsilon of the coordinate's size."""
        wide = x.astype(float)
        gradient = np.empty_like(wide)
        h = np.sqrt(np.finfo(self.dtype).eps) * np.maximum(1.0, np.abs(wide))
        for i in range(x.shape[-1]):
            moved = wide.copy()
            moved[..., i] += h[..., i]
            gradient[..., i] = (np.asarray(self._value(moved), dtype=float) - value) / (moved - wide)[..., i]
        return gradient


def _real(name: str, returned: Any, dtype: Any) -> Any:
    """What the caller's function returned, as an array. NumPy would take None for NaN, and a complex number's part."""
    try:
        if returned is None or np.iscomplexobj(returned):
            raise TypeError("not real")
        return np.asarray(returned, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must return real numbers, got {returned!r}") from error


def _start(x0: Any) -> Any:
    x = np.array(x0)
    if x.dtype.kind in "iu":
        x = x.astype(float)
    if x.dtype.kind != "f":
        raise TypeError(f"x0 must be real numbers, got {x.dtype}")
    x = np.atleast_1d(x)
    if x.size == 0:
        raise ValueError(f"x0 is empty (shape {x.shape}): there is nothing to minimize")
    if not np.all(np.isfinite(x)):
        raise ValueError("x0 holds values that are not finite")
    return x


def _asks_to_stop(callback: Callable[[Any], Any], x: Any) -> bool:
    try:
        return bool(callback(x.copy()))
    except StopIteration:
        return True
