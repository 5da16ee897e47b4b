"""optax gradient transformations that follow a recipe.

    tx = ravine.recipe("rmsprop_momentum", lr=0.01).optax()
    state = tx.init(params)
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)

It composes as any other: jit, vmap, scan, `optax.chain`, `optax.multi_transform`, `optax.inject_hyperparams`. Extra
arguments of `update` (value, grad, value_fn, …), as flax's `nnx.Optimizer` and `optax.chain` pass on, are taken and not
used. `optax.tree.get(state, "v")` finds a slot in a state however deep, under the name that the equation gives it
(`ravine explain`), and `optax.tree.get(state, "count")` the number of finished steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from ravine.errors import missing

try:
    import jax
    import jax.numpy as jnp
    import optax
except ImportError as error:
    raise missing("ravine.optax", error) from error

from ravine.engines import reference
from ravine.recipe import Recipe, recipe
from ravine.rule import Rule
from ravine.trace.graph import Node, evaluate, node, substitute
from ravine.transforms import stored_at_look_ahead

Tree = Any


class RuleState(NamedTuple):
    """The number of finished steps (int32, saturating) and the slots by name: trees like the parameters, or one number.

    `state.slots["v"]` is Adam's average of squares; in a larger state, `optax.tree.get(state, "v")`.
    """

    count: Any  # named as in optax's own states, though a tuple has a method of that name
    slots: dict[str, Tree]


def from_recipe(chosen: Recipe | Rule | str, **hyper: Any) -> optax.GradientTransformationExtraArgs:
    """A gradient transformation for a recipe, or for a rule (or its name); `hyper` overrides hyperparameters.

    A value may be a number, a schedule (a function of the count of finished steps, as in optax), or a traced JAX
    value, as `optax.inject_hyperparams` passes. `update` gives the step Δ for `optax.apply_updates`, in the gradients'
    types; `params` is needed where the equation reads the parameter (weight decay). A rule that looks ahead works
    on the look-ahead point, where its gradients come from. `clip_global_norm` is `optax.clip_by_global_norm` before it.

    Arithmetic is float64 for float64 leaves and float32 for narrower ones. Coefficients (βᵗ, 1−β, lr/(1−β₁ᵗ)) are
    computed in float64 even under `jit` and rounded once, so 1−βᵗ keeps its digits. Raises ValueError as
    `ravine.recipe` does, TypeError for leaves that are not real floating arrays.
    """
    base = chosen if isinstance(chosen, Recipe) else recipe(chosen)
    fixed = {n: v for n, v in hyper.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    base.rule.check({**fixed, **{n: base.hyper.get(n, 0.0) for n in hyper if n not in fixed}})
    values = {**base.hyper, **{n: hyper[n] if n not in fixed else float(fixed[n]) for n in hyper}}
    clip = values.pop("clip_global_norm") if base.rule.unclipped else None
    rule = stored_at_look_ahead(base.rule.stepped)
    start = {n: base.start.get(n, slot.start) for n, slot in rule.slots.items()}
    program = _Program(rule)

    def init(params: Tree) -> RuleState:
        jax.tree.map(_real, params)
        slots = {
            n: jnp.asarray(start[n], float)
            if slot.is_scalar
            else jax.tree.map(partial(_filled, rule, n, start[n]), params)
            for n, slot in rule.slots.items()
        }
        return RuleState(jnp.zeros([], jnp.int32), slots)

    def update(grads: Tree, state: RuleState, params: Tree | None = None, **_unused: Any) -> tuple[Tree, RuleState]:
        if program.reads_x and params is None:
            raise ValueError(f"{rule.name} reads the parameter: call update(grads, state, params)")
        scalars = {n: state.slots[n] for n, slot in rule.slots.items() if slot.is_scalar}
        arrays = [n for n, slot in rule.slots.items() if not slot.is_scalar]
        count = optax.safe_increment(state.count)
        now = {n: v(state.count) if callable(v) else v for n, v in values.items()}
        if clip is not None:
            bound = clip(state.count) if callable(clip) else clip
            grads, _ = optax.clip_by_global_norm(bound).update(grads, optax.EmptyState())
        shared = {**now, **scalars, "t": count}
        leaves, structure = _flatten(grads)
        xs = structure.flatten_up_to(params) if program.reads_x else [None] * len(leaves)
        old = [structure.flatten_up_to(state.slots[n]) for n in arrays]
        inputs = [
            {"x": x, "g": g, **dict(zip(arrays, slots, strict=True))}
            for x, g, *slots in zip(xs, leaves, *old, strict=True)
        ]
        sizes = [program.sizes(g.shape) for g in leaves]
        numbers = {size: program.on_host_precision({**shared, **dict(size)}) for size in dict.fromkeys(sizes)}
        results = [program.on_arrays(numbers[size][0], row) for size, row in zip(sizes, inputs, strict=True)]
        new_scalars = numbers[sizes[0]][1] if sizes else program.on_host_precision(shared)[1]
        slots = {n: jax.tree.unflatten(structure, [r[n] for r in results]) for n in arrays}
        slots |= {n: new_scalars[n].astype(scalars[n].dtype) for n in scalars}
        updates = jax.tree.unflatten(structure, [r["g"] for r in results])
        return updates, RuleState(count, {n: slots[n] for n in rule.slots})

    return optax.GradientTransformationExtraArgs(init, update)


def read_out(chosen: Recipe | Rule | str, state: Any, params: Tree, **hyper: float) -> Tree:
    """The parameters to evaluate, as `optax.contrib.schedule_free_eval_params` gives them; works under `jit`.

    `chosen` and `hyper` are what `from_recipe` was given, and `state` is what `update` returned, or a larger state in
    which that is found, if it is there once. Of a rule that evaluates what it trains these are the parameters.
    Raises ValueError where the state is not there once.
    """
    base = chosen if isinstance(chosen, Recipe) else recipe(chosen)
    rule, values = base.rule, base.rule.check({**base.hyper, **hyper})
    if rule.read_out_function is None:
        return params
    arrays = [n for n, slot in rule.slots.items() if not slot.is_scalar]
    there = [
        s
        for s in jax.tree.leaves(state, is_leaf=lambda s: isinstance(s, RuleState))
        if isinstance(s, RuleState) and s.slots.keys() == rule.slots.keys()
    ]
    if len(there) != 1:
        raise ValueError(f"the state must have that of {rule.name} in it once; it is there {len(there)} times")
    (found,) = there
    scalars = {n: found.slots[n] for n in rule.slots if n not in arrays}

    def one(x: Any, *slots: Any) -> Any:
        given = {**scalars, **dict(zip(arrays, slots, strict=True))}
        value = reference.read_out(rule, x, {n: given[n] for n in rule.slots}, values)
        return jnp.where(found.count > 0, value, x)

    return jax.tree.map(one, params, *(found.slots[n] for n in arrays))


class _Program:
    """A rule's graph in two parts: the coefficients, and the arrays' arithmetic with each coefficient as an input."""

    def __init__(self, rule: Rule) -> None:
        self.rule, graph = rule, rule.graph
        self.scalars = {n: s for n, s in graph.slots.items() if not s.is_array}
        self.coefficients = tuple(c for c in graph.coefficients if c.op != "const")
        names: Mapping[Node, Node] = {c: node("scalar", name=f"c{i}") for i, c in enumerate(self.coefficients)}
        self.names = [n.name for n in names.values()]
        outputs = {"g": graph.step, **{n: s for n, s in graph.slots.items() if s.is_array}}
        self.outputs = dict(zip(outputs, substitute(outputs.values(), names), strict=True))
        self.reads_x = any(n.op == "array" and n.name == "x" for n in graph.nodes)

    def sizes(self, shape: tuple[int, ...]) -> tuple[tuple[str, float], ...]:
        """What the coefficients of a leaf depend on besides: nothing, where the rule is elementwise."""
        return () if self.rule.graph.is_elementwise else tuple(self.rule.sizes(shape).items())

    def on_host_precision(self, inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The coefficients and the new scalar slots in float64, also where JAX's default is float32."""
        with jax.enable_x64(True):
            wide = {n: v if isinstance(v, float) else jnp.asarray(v).astype(jnp.float64) for n, v in inputs.items()}
            wanted = (*self.coefficients, *self.scalars.values())
            values = [jnp.asarray(v) for v in evaluate(wanted, wide)]
        count = len(self.coefficients)
        return values[:count], dict(zip(self.scalars, values[count:], strict=True))

    def on_arrays(self, coefficients: list[Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """The step under "g" and the new slots, for one leaf; each rounded once to the type of what it replaces."""
        compute = jnp.float64 if _real(inputs["g"]).dtype == jnp.float64 else jnp.float32
        arrays = {n: self._seen(n, a.astype(compute), inputs["g"].shape) for n, a in inputs.items() if a is not None}
        known = {
            n: c if c.dtype == bool else _narrow(c, compute) for n, c in zip(self.names, coefficients, strict=True)
        }
        results = evaluate(self.outputs.values(), {**arrays, **known})
        return {n: self._stored(r, inputs[n]) for n, r in zip(self.outputs, results, strict=True)}

    def _seen(self, name: str, leaf: Any, shape: tuple[int, ...]) -> Any:
        return leaf if self.rule.graph.is_elementwise else leaf.reshape(self.rule.seen_as(name, shape))

    def _stored(self, result: Any, old: Any) -> Any:
        if self.rule.graph.is_elementwise:
            return result.astype(old.dtype)
        if result.size < old.size:  # a step that is the same for a whole row or column
            result = jnp.broadcast_to(result, self.rule.seen(old.shape))
        return result.reshape(old.shape).astype(old.dtype)


def _filled(rule: Rule, name: str, value: float, leaf: Any) -> Any:
    """A slot before the first step: with the leaf's placement where it has its shape."""
    shape = rule.slot_shape(name, leaf.shape)
    return jnp.full_like(leaf, value) if shape == leaf.shape else jnp.full(shape, value, leaf.dtype)


def _flatten(tree: Tree) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree)


def _narrow(coefficient: jax.Array, dtype: Any) -> jax.Array:
    with jax.enable_x64(True):
        return coefficient.astype(dtype)


def _real(leaf: Any) -> Any:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        raise TypeError(f"leaves must be real floating arrays, got {jnp.result_type(leaf)}")
    return leaf


__all__ = ["RuleState", "from_recipe", "read_out"]
