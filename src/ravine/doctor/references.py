"""What a user names in text: a class, a function that makes optimizers, the value of an option."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ravine import userfile
from ravine.errors import unknown, with_article

NAMED = re.compile(r"(.+\.py|[A-Za-z_]\w*(\.\w+)*):[A-Za-z_]\w*")
"""FILE.py:NAME or MODULE:NAME."""


def load_class(reference: str) -> type[torch.optim.Optimizer]:
    """The optimizer class that `MODULE:CLASS` or `FILE.py:CLASS` names.

    Raises ImportError for a module that can't be imported, ValueError for a malformed or unknown name, TypeError for
    something that is no optimizer class.
    """
    found = _named(reference, "class")
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        hint = " (a function that makes one is named with --factory)" if callable(found) else ""
        raise TypeError(f"{reference} is not a subclass of torch.optim.Optimizer{hint}")
    return found


def load_factory(reference: str) -> Callable[..., torch.optim.Optimizer]:
    """The function that `FILE.py:NAME` or `MODULE:NAME` names: from parameters, or a list of groups, to an optimizer.

    Raises what `load_class` raises.
    """
    found = _named(reference, "function")
    if not callable(found):
        raise TypeError(f"{reference} is no function but {with_article(type(found).__name__)}")
    made: Callable[..., torch.optim.Optimizer] = found
    return made


def value(text: str) -> Any:
    """A Python literal, something in torch (`torch.float32`), an object by `FILE.py:NAME` or `MODULE:NAME`, or text.

    Text that looks like one of those is given in quotes. Raises ValueError or ImportError for a name of nothing.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    if text.startswith("torch.") and ":" not in text:
        return _in_torch(text)
    if not NAMED.fullmatch(text):
        return text
    try:
        return _named(text, "object")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error} for {text!r}; text with a colon is given in quotes of its own: \"'{text}'\""
        ) from error


def _in_torch(text: str) -> Any:
    found: Any = torch
    for name in text.split(".")[1:]:
        if not hasattr(found, name):
            raise unknown("name in torch:", text, [f"torch.{n}" for n in dir(torch)])
        found = getattr(found, name)
    return found


def _named(reference: str, kind: str) -> Any:
    module_name, _, attribute = reference.rpartition(":")
    if not module_name or not attribute:
        raise ValueError(
            f"name the {kind} as MODULE:NAME, for instance torch.optim:Adam, or as FILE.py:NAME; got {reference!r}"
        )
    if module_name.endswith(".py"):
        sys.path.insert(0, str(Path(module_name).resolve().parent))  # the file may import its neighbours
        module = userfile.look_up(reference, kind)[2]
    else:
        module = importlib.import_module(module_name)
    if not hasattr(module, attribute):
        sought = type if kind == "class" else object
        known = [n for n in dir(module) if isinstance(getattr(module, n), sought) and not n.startswith("_")]
        raise unknown(f"{kind} in {module_name}:", attribute, known)
    return getattr(module, attribute)
