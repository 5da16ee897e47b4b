"""Which weights are a model's output layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

OUTPUT = re.compile(
    r"^(lm_|cls_|class_|box_|bbox_|token_|aux_|proj_)?(heads?\d?|classifiers?|fc|logits|predictor|output(_layer|_proj)?"
    r"|score|scorer|out|qa_outputs|embed_out|decoder|unembed|projection|labels_classifier|head_dist|last_linear)$"
    r"|^head_\w+$|_(head|classifier|predictor)$|^proj_out$"
)
"""What output layers are called, among the parts that a model consists of."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel's and torch.compile's wrappers."""
    for key in ("module", "_orig_mod"):
        inner = model._modules.get(key)
        if isinstance(inner, nn.Module) and len(model._modules) == 1:
            return unwrapped(inner)
    return model


def weights(model: nn.Module) -> dict[int, str]:
    """The output layers' weights, by their ids, and how each was told.

    By transformers' `get_output_embeddings` and what it puts around its base model, by timm's `get_classifier`, by the
    names of the model's parts; and where none of these says a word, the linear layer with nothing behind it.
    """
    inner = unwrapped(model)
    for find in (_of_transformers, _of_timm, _by_name):
        if layers := list(find(inner)):
            return {id(layer.weight): "" for layer in layers}
    if _names_its_output(inner):
        return {}
    leaves = [m for m in inner.modules() if not m._modules and any(p is not None for p in m._parameters.values())]
    if leaves and isinstance(leaves[-1], nn.Linear):
        return {id(leaves[-1].weight): "the last layer"}
    return {}


def _names_its_output(model: Any) -> bool:
    """Whether a model's class would say what its output layer is, if it had one."""
    return hasattr(model, "get_output_embeddings") or hasattr(model, "get_classifier")


def _last(module: nn.Module) -> Iterator[Any]:
    """The last layer with a matrix of weights in a module, which may be that layer."""
    found: list[Any] = [m for m in module.modules() if getattr(m, "weight", None) is not None]
    yield from [m for m in found if m.weight.ndim >= 2][-1:]


def _of_transformers(model: Any) -> Iterator[Any]:
    if not hasattr(model, "get_output_embeddings"):
        return
    try:
        output = model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        output = None
    if isinstance(output, nn.Module) and getattr(output, "weight", None) is not None:
        yield output
        return
    base = getattr(model, "base_model", model)
    if base is model:
        return
    for name, child in model._modules.items():
        if child is not None and child is not base and not re.search("pool|projector|dropout|embed", name):
            yield from _last(child)


def _of_timm(model: Any) -> Iterator[Any]:
    if not hasattr(model, "get_classifier"):
        return
    found = model.get_classifier()
    for part in found if isinstance(found, tuple | list) else (found,):
        if isinstance(part, nn.Module):
            yield from _last(part)


def _by_name(model: nn.Module) -> Iterator[Any]:
    if _names_its_output(model):
        return
    for name, child in model._modules.items():
        if child is not None and OUTPUT.search(name):
            yield from _last(child)
