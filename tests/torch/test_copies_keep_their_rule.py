"""A copy of an optimizer follows the original's rule, though another of the same name may have been defined since."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import ravine
import ravine.torch


def defined(factor: float) -> Any:
    """A rule of one name, as an edited cell of a notebook defines it again."""

    def edited(g: Any, m: Any, *, lr: float = 0.1) -> Any:
        """An average that grows."""
        return -lr * factor * (m + g), m + g

    return ravine.rule(title="Edited")(edited)


def stepped(optimizer: Any) -> list[float]:
    (p,) = optimizer.param_groups[0]["params"]
    p.grad = torch.ones_like(p)
    optimizer.step()
    return p.tolist()  # type: ignore[no-any-return]


def made() -> Any:
    return ravine.torch.from_recipe([nn.Parameter(torch.zeros(2))], "edited")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy])
def test_a_copy_follows_the_rule_of_the_original(duplicate: Any) -> None:
    defined(1.0)
    optimizer = made()
    wanted = stepped(made())
    defined(5.0)
    twin = duplicate(optimizer)
    assert stepped(twin) == wanted
    assert twin.recipe == optimizer.recipe
    assert stepped(made()) != wanted, "the name means the new rule"


def test_a_pickle_is_refused_if_the_rule_is_another_now() -> None:
    defined(1.0)
    saved = pickle.dumps(made())
    defined(5.0)
    with pytest.raises(ValueError, match="'edited' has changed since this optimizer was pickled"):
        pickle.loads(saved)
    defined(1.0)
    assert stepped(pickle.loads(saved)) == stepped(made())


@pytest.mark.parametrize("name", ["adam", "nesterov", "weight_decay(nadam)", "maximize(rmsprop_momentum)"])
def test_pickles_of_built_in_rules_load(name: str) -> None:
    optimizer = ravine.torch.from_recipe([nn.Parameter(torch.zeros(2))], name)
    twin = pickle.loads(pickle.dumps(optimizer))
    assert twin.recipe == optimizer.recipe
    assert stepped(twin) == stepped(optimizer)
