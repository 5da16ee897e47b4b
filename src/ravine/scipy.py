"""A method for `scipy.optimize.minimize`.

from scipy.optimize import minimize
minimize(fun, x0, method=ravine.scipy.method("adam", lr=0.01), jac=gradient, options={"maxiter": 500})
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ravine.errors import unknown
from ravine.minimize import minimize
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

OPTIONS = ("maxiter", "tol", "gtol", "disp")


def method(chosen: Recipe | Rule | str = "adam", **hyper: Any) -> Callable[..., OptimizeResult]:
    """What `scipy.optimize.minimize` takes as `method=`: a recipe, or a rule (or its name) with hyperparameters.

    SciPy's options: `maxiter`, the number of steps (default 1000); `gtol`, or minimize's own `tol`, for the largest
    component of the gradient at which to stop (default 0: never); `disp`, to print the outcome. The result is
    that of `ravine.minimize`, with the trajectory. Raises ValueError for bounds and constraints, which no first-order
    rule keeps, and for unknown options; hess and hessp must not be given.
    """
    fixed = chosen.replace(**hyper) if isinstance(chosen, Recipe) else recipe(chosen, **hyper)

    def run(
        fun: Callable[..., Any],
        x0: Any,
        args: tuple[Any, ...] = (),
        jac: Any = None,
        callback: Callable[[Any], Any] | None = None,
        maxiter: int = 1000,
        tol: float | None = None,
        gtol: float | None = None,
        disp: bool = False,
        **rest: Any,
    ) -> OptimizeResult:
        for name, value in rest.items():
            if name not in ("bounds", "constraints", "hess", "hessp"):
                raise unknown("option", name, OPTIONS)
            if value is not None and (not isinstance(value, (tuple, list)) or value):
                raise ValueError(f"method {fixed.rule.name} can't use {name}: it follows the gradient alone")
        bound = gtol if gtol is not None else tol
        result = minimize(
            fun, x0, fixed, args=args, jac=jac, steps=maxiter, tol=0.0 if bound is None else bound, callback=callback
        )
        if disp:
            print(f"{result.message}: f = {result.fun:g} after {result.nit} steps, {result.nfev} values")
        return result

    return run


__all__ = ["method"]
