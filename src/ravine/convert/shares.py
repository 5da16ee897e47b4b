"""Means over rows, over columns or over all of a parameter, which frameworks keep in shapes of their own.

| | a matrix of r rows and c columns | a vector or a number |
|---|---|---|
| torch | `row_var` (r, 1), `col_var` (1, c) | `variance`, whole |
| keras | `r` (r,), `c` (c,), and `velocity`, made of them | `velocity`, whole; `r` and `c` zero |
| optax | `v_row` and `v_col`, the shorter side first; `v` (1,), zero | `v`, whole; `v_row` and `v_col` (1,), zero |
| ravine | (r, 1), (1, c) | (n, 1), (1, 1) |

On the way a matrix's are as ravine has them. Of a vector there are its squares, in its own shape, and their mean, (1,):
these are its rows' and its column's means, and by the equation they give the squares again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ravine.convert.kept import RAVINE, Kept
from ravine.rule import Rule
from ravine.trace.shapes import WHOLE, Shape

Arrays = dict[str, np.ndarray]

ROWS: Shape = ("r", "1")
COLUMNS: Shape = ("1", "c")
TURNED = {ROWS: COLUMNS, COLUMNS: ROWS}
"""What is kept of a matrix when it is turned round."""

DIMENSIONS = {"keras": 1, "optax": 1}
"""How many dimensions a mean over rows or columns has, if not the parameter's."""

EMPTY: dict[str, tuple[int, ...]] = {"keras": (), "optax": (1,)}
"""The shape of the zeros that stand for what an optimizer does not keep of a parameter."""


def shares(rule: Rule) -> dict[str, Shape]:
    """The array slots that have less than a parameter's shape, by what they keep of it."""
    arrays = [n for n, slot in rule.slots.items() if not slot.is_scalar and not rule.has_whole_slot(n)]
    return {n: rule.graph.input(n).shape or WHOLE for n in arrays}


def taken(source: Kept, param: str, stored: Mapping[str, np.ndarray]) -> Arrays:
    """The slots of a parameter that are among arrays by the framework's names.

    Raises ValueError for a parameter that no rule steps as this optimizer does.
    """
    form, less = source.form, shares(source.recipe.rule)
    names = {n: form.state[n] for n in source.recipe.rule.slots if form.state.get(n, "").lstrip("-") in stored}
    own = {n: -stored[key[1:]] if key[0] == "-" else stored[key] for n, key in names.items()}
    if any(stored[key].size > 1 for key in form.idle if key in stored):
        raise ValueError(
            f"{param!r} is factored, and {source} was said to factor none: where some matrices are factored and some "
            "are not, no one recipe goes on with both"
        )
    rows = next((n for n, share in less.items() if share == ROWS), "")
    if form.whole in stored and (rows not in own or (own[rows].size == 1 and not own[rows].any())):
        whole = stored[form.whole]
        if whole.ndim > 1:
            raise ValueError(
                f"{source} keeps {param!r}, of shape {whole.shape}, whole, and a recipe factors every matrix: where "
                "no matrix is factored give factored=False"
            )
        mean = np.mean(whole, dtype=np.float64).astype(whole.dtype).reshape(1)
        return own | {n: whole if share == ROWS else mean for n, share in less.items()}
    for slot in less.keys() & own.keys():
        own[slot] = _seen(source, param, own[slot], less[slot])
    return own


def given(target: Kept, own: Mapping[str, np.ndarray]) -> Arrays:
    """The slots of a parameter as arrays by the framework's names."""
    form, framework, less = target.form, target.framework, shares(target.recipe.rule)
    names = form.state_of(shape(target.recipe.rule, own))
    result = {n: np.zeros(EMPTY[framework], np.float32) for n in form.idle}
    means = {n: v for n, v in own.items() if n in less}
    for slot, value in own.items():
        if slot not in less:
            key = names[slot]
            result[key.lstrip("-")] = -value if key[0] == "-" else value
    vector = _vector({less[n]: v for n, v in means.items()}, framework) if form.whole else None
    for slot, value in means.items():
        if vector is not None:
            result |= {names[slot]: np.zeros(EMPTY[framework], value.dtype)} if framework in EMPTY else {}
        elif framework in DIMENSIONS:
            result[names[slot]] = value.reshape(value.size if less[slot] in TURNED else ())
        else:
            result[names[slot]] = value if value.ndim > 1 else value.reshape(-1, 1)  # a vector's, in ravine
    if form.whole and vector is not None:
        result[form.whole] = vector
    elif form.whole and framework == "optax":
        result[form.whole] = np.zeros(EMPTY[framework], np.float32)
    return result


def shape(rule: Rule, own: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The shape of a parameter, as its slots tell it."""
    less = shares(rule)
    whole = (v.shape for n, v in own.items() if n not in less and not rule.slots[n].is_scalar)
    return next(whole, None) or np.broadcast_shapes(*(own[n].shape for n in less if n in own))


def fits(rule: Rule, own: Mapping[str, np.ndarray]) -> bool:
    """Whether the means of a parameter are of the shape that the rule keeps, as far as that can be told."""
    less = shares(rule)
    whole = next((v for n, v in own.items() if n not in less and not rule.slots[n].is_scalar), None)
    if whole is None:
        return all(own[n].ndim < 2 or 1 in own[n].shape for n in less)
    vector = {ROWS: whole.shape, COLUMNS: (1,)}
    is_vector = whole.ndim < 2 and all(own[n].shape == vector.get(share) for n, share in less.items())
    return is_vector or all(own[n].shape == rule.slot_shape(n, whole.shape) for n in less)


def notes(source: Kept, slots: Mapping[str, Arrays], framework: str) -> tuple[str, ...]:
    """Sentences on what another framework can't be told of the means of some parameters."""
    if framework == source.framework or not source.form.whole:
        return ()
    rule, found = source.recipe.rule, []
    shapes = {param: shape(rule, own) for param, own in slots.items()}
    open_sides = [p for p, own in shapes.items() if len(own) == 2 and own[0] != own[1]]
    if source.form.tall and open_sides:
        found.append(
            f"{source} keeps the mean over a matrix's longer side first and does not say which side that is: "
            f"{', '.join(open_sides)} are taken to be wider than high. Turn the others round (transpose), unless it is "
            "resume that goes on, which sees their shapes."
        )
    if source.framework == "torch" and (vectors := [p for p, own in shapes.items() if len(own) < 2]):
        found.append(
            f"{source} keeps the squares of vectors ({', '.join(vectors)}) as they are: by the equation for matrices "
            f"these go on alike while their mean is at least ε = {source.recipe.hyper['eps']:g}."
        )
    return tuple(found)


def oriented(kept: Kept, own: Arrays, shape_there: tuple[int, ...]) -> Arrays:
    """The means of a matrix as its shape has them, where the framework names them by the longer side."""
    if not kept.form.tall or len(shape_there) != 2 or shape(kept.recipe.rule, own) != shape_there[::-1]:
        return own
    return own | turned(kept.recipe.rule, own)


def turned(rule: Rule, own: Mapping[str, np.ndarray]) -> Arrays:
    """The means of a matrix that is turned round. Raises ValueError where the rule keeps those of one side alone."""
    less = shares(rule)
    places = {share: n for n, share in less.items()}
    if odd := [n for n, share in less.items() if share in TURNED and TURNED[share] not in places]:
        raise ValueError(f"{rule.name} keeps {odd[0]}, a mean for each row alone, so no matrix can be turned round")
    return {n: own[places[TURNED.get(share, share)]].T for n, share in less.items()}


def _seen(source: Kept, param: str, value: np.ndarray, share: Shape) -> np.ndarray:
    """A mean in ravine's shape."""
    if value.ndim > DIMENSIONS.get(source.framework, value.ndim if source.framework == RAVINE else 2):
        raise ValueError(
            f"{source} keeps means of {param!r} for each matrix of a stack, in shape {value.shape}, and takes norms "
            "over all of it: no rule does both"
        )
    shaped = {ROWS: (-1, 1), COLUMNS: (1, -1), ("1", "1"): (1, 1)}
    return value.reshape(shaped[share]) if source.framework in DIMENSIONS else value


def _vector(means: Mapping[Shape, np.ndarray], framework: str) -> np.ndarray | None:
    """The squares of a vector, or of a matrix of one column, in the vector's shape; None for another matrix."""
    rows, columns = means[ROWS], means[COLUMNS]
    if framework == RAVINE or columns.size > 1:
        return None
    return rows if rows.ndim < 2 else rows.reshape(-1)
