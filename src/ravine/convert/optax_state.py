"""The state of optax's transformations: out of their trees, and into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ravine.convert import rule_state
from ravine.convert.names import Tensors
from ravine.convert.optax_tree import COUNT, ahead, constant, is_beside, own_leaf, place


def from_optax(state: Any) -> Tensors:
    """The arrays of an optax state by their paths, such as "0.mu.weight"; bfloat16 in float32."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): _array(leaf) for path, leaf in leaves}


def into_optax(tensors: Tensors, like: Any, step: int | None = None) -> Any:
    """An optax state like the given one (of `tx.init(params)`) with these arrays, and all its counts at their step.

    The optimizer may be one of optax's, or `recipe.optax()` with the tensors of a state for ravine. It may be inside a
    chain or a wrapper (`inject_hyperparams`, `masked`, `multi_transform`, `MultiSteps`, …); what these keep beside
    stays as in `like`. A schedule counts steps of its own, whatever the optimizer counts: it goes on from `step`, by
    default what the tensors say. Raises ValueError for an array that is missing, left over, or of another shape, and
    where the state counts steps but their number is not known.
    """
    import jax
    import jax.numpy as jnp

    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(like)[0]]
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]
    if rule_state.is_inside(names):
        return _into_rules(tensors, like, step)
    told = [int(np.asarray(value).item()) - ahead(n) for n, value in tensors.items() if COUNT.fullmatch(n)]
    left = {own_leaf(n) or n: value for n, value in tensors.items() if not COUNT.fullmatch(n)}
    if step is None:
        step = max(told, default=None)

    places = {place(n) for n in names if (own_leaf(n) or n) in left}

    def fill(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if COUNT.fullmatch(name):
            if step is None:
                raise ValueError(f"{name!r} counts steps, and the tensors don't say how many are done: give it (step)")
            return jnp.asarray(step + ahead(name), leaf.dtype)
        own = own_leaf(name)
        if (own or name) not in left:
            if (own is None and (is_beside(name) or (places and place(name) not in places))) or constant(name):
                return leaf
            raise ValueError(f"{name!r} is missing")
        value = left.pop(own or name)
        if value.shape != leaf.shape:
            raise ValueError(f"{name!r} has shape {value.shape}, but the state has {leaf.shape}")
        return jnp.asarray(value, leaf.dtype)

    result = jax.tree_util.tree_map_with_path(fill, like)
    if left:
        odd = next(iter(left))
        raise ValueError(f"the state has no place for {odd if isinstance(odd, str) else '.'.join(filter(None, odd))!r}")
    return result


def _into_rules(tensors: Tensors, like: Any, step: int | None) -> Any:
    """As `into_optax`, for a state of `recipe.optax()`."""
    import jax
    import jax.numpy as jnp

    def fill(path: Any, own: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        value = rule_state.leaf(name, tensors)
        if step is not None and COUNT.fullmatch(name):
            value = np.asarray(step)
        if value is not None and value.shape != own.shape and value.size + own.size > 2:
            raise ValueError(f"{name!r} has shape {value.shape}, but the state has {own.shape}")
        return own if value is None else jnp.asarray(value, own.dtype).reshape(own.shape)

    return jax.tree_util.tree_map_with_path(fill, like)


def _array(leaf: Any) -> np.ndarray:
    array = np.array(leaf)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
