"""How deep in a model each parameter lies: the number of its block, counted from the input."""

from __future__ import annotations

from collections.abc import Container

from torch import nn

STACKS = nn.ModuleList, nn.Sequential, nn.ModuleDict


def depths(model: nn.Module, heads: Container[int]) -> dict[int, int]:
    """Depths by the ids of parameters: 0 before the first block, then the blocks' numbers from 1, then one for behind.

    A block is a member of a stack of alike modules; where the members are stages, which are stacks themselves, theirs.
    """
    found: list[nn.Module] = []
    _collect(model, found)
    count = len(found)
    numbers: dict[int, int] = {}
    for number, block in enumerate(found, 1):
        for p in block.parameters():
            numbers.setdefault(id(p), number)
    result: dict[int, int] = {}
    reached = 0
    for p in model.parameters():
        number = numbers.get(id(p), 0)
        reached = max(reached, number)
        result[id(p)] = number or (count + 1 if count and reached == count else reached)
        if id(p) in heads:
            result[id(p)] = count + 1
    return result


def _collect(module: nn.Module, found: list[nn.Module]) -> None:
    """The blocks in a module, in the order in which they are registered."""
    for name, child in module.named_children():
        if isinstance(child, STACKS) and _is_stack(child) and "expert" not in name:
            _unpack(child, found)
        else:
            _collect(child, found)


def _unpack(stack: nn.Module, found: list[nn.Module]) -> None:
    """The blocks of a stack: its members, or what is in them."""
    for member in stack.children():
        inner: list[nn.Module] = []
        if isinstance(member, STACKS) and _has_parts(member):
            _unpack(member, inner)
        else:
            _collect(member, inner)
        found += inner if _covers(inner, member) else [member]


def _is_stack(module: nn.Module) -> bool:
    """Whether its members are several of one kind, each with parts of its own."""
    kinds = [type(m) for m in module.children() if _is_trained(m)]
    return len(kinds) > 1 and len(set(kinds)) == 1 and _has_parts(module)


def _has_parts(module: nn.Module) -> bool:
    """Whether every member with parameters consists of modules itself."""
    return all(m._modules for m in module.children() if _is_trained(m))


def _is_trained(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _covers(blocks: list[nn.Module], stage: nn.Module) -> bool:
    """Whether a stage is little more than its blocks."""
    own = {id(p): p.numel() for p in stage.parameters()}
    inside = {id(p): p.numel() for block in blocks for p in block.parameters()}
    return 2 * sum(inside.values()) > sum(own.values())
