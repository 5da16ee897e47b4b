"""Outputs and losses of many models of one kind at once, their parameters stacked along a first dimension.

`torch.func.vmap` takes any model, at the price of slow products of small matrices and of a loss that it takes apart in
Python. What small tasks spend their time in is done directly here: linear layers as one batched product each, what acts
element by element as it is, cross-entropy over the examples of all models. A model of other parts goes through vmap.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from ravine.lab.task import Task

Stack = Mapping[str, Tensor]
"""Parameters by name; the first dimension counts models."""

ELEMENTWISE_MODULES = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity)
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus")
ARITHMETIC = ("add", "sub", "mul", "truediv")
ELEMENTWISE = (
    *(getattr(functional, name) for name in ACTIVATIONS),
    *(getattr(operator, name) for name in ARITHMETIC),
    *(torch.relu, torch.tanh, torch.sigmoid, torch.add, torch.sub, torch.mul, torch.div),
)
IGNORED = -100
"""The target that cross-entropy leaves out."""


class Stacked:
    """The models of a task, as many as the stacks that it is given hold."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        graph = _graph(model)
        self._model, self._graph = model, None if graph is None else _stacked(graph)
        is_direct = graph is not None and task.loss is functional.cross_entropy
        self._losses: Any = _cross_entropies if is_direct else vmap(task.loss)

    def outputs(self, params: Stack, inputs: Tensor) -> Any:
        """The outputs of shape (models, …) for inputs of shape (models, examples, …)."""
        if self._graph is not None:
            return self._graph(inputs, params)
        return vmap(lambda own, its: functional_call(self._model, own, (its,)))(dict(params), inputs)

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """One for each model."""
        found: Tensor = self._losses(outputs, targets)
        return found


def _linear(inputs: Tensor, params: Stack, name: str) -> Tensor:
    """A linear layer with each model's own weights."""
    rows = inputs.flatten(1, -2)
    weight, bias = params[f"{name}.weight"].transpose(1, 2), params.get(f"{name}.bias")
    made = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight)
    return made.view(*inputs.shape[:-1], -1)


def _stacked(module: fx.GraphModule) -> fx.GraphModule:
    """A model's graph as a function of inputs and stacked parameters; what acts element by element stays as it is."""
    graph, modules = module.graph, dict(module.named_modules())
    given = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(given):
        params = graph.placeholder("params")
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Linear):
            with graph.inserting_after(node):
                made = graph.call_function(_linear, (node.args[0], params, node.target))
            node.replace_all_uses_with(made)
            graph.erase_node(node)
    module.recompile()
    return module


def _graph(model: nn.Module) -> fx.GraphModule | None:
    """The model's graph, if all of it is known to mean the same on stacked tensors."""
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return None
    was_training = model.training
    try:
        graphs = [fx.symbolic_trace(model.train(mode)) for mode in (False, True)]
    except Exception:  # it asks for the values of its tensors, or for what no graph has
        return None
    finally:
        model.train(was_training)
    modules, names = dict(model.named_modules()), {name for name, _ in model.named_parameters()}
    is_known = all(_is_known(node, modules, names) for node in graphs[0].graph.nodes)
    return graphs[0] if is_known and str(graphs[0].graph) == str(graphs[1].graph) else None


def _is_known(node: fx.Node, modules: Mapping[str, nn.Module], names: Collection[str]) -> bool:
    if node.op == "call_module":
        kind = type(modules[str(node.target)])
        return kind in ELEMENTWISE_MODULES or (kind is nn.Linear and f"{node.target}.weight" in names)
    if node.op == "call_function":
        return node.target in ELEMENTWISE
    return node.op in ("placeholder", "output")


def _cross_entropies(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over each model's examples, as torch takes it."""
    each = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(0, 1), reduction="none").view(
        len(outputs), -1
    )
    if targets.is_floating_point():
        return each.mean(1)
    return each.sum(1) / (targets != IGNORED).flatten(1).sum(1)
