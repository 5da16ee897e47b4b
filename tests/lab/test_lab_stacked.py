"""Many models at once give what each gives by itself, whether their graph is known or vmap takes them."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")

from torch import nn
from torch.nn import functional

from ravine.lab.batched import _stack
from ravine.lab.stacked import Stacked
from ravine.lab.task import Data, Task

MODELS = 3


class Made(nn.Module):
    """A network whose pass is the given function of two linear layers."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.a, self.b, self.gain = nn.Linear(4, 4), nn.Linear(4, 3, bias=False), nn.Parameter(torch.ones(4))
        self.does = forward

    def forward(self, x):
        return self.does(self, x)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.head(torch.tanh(self.b(torch.relu(self.a(x)))))


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 3))
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def layers(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 3))


KNOWN = {
    "perceptron": lambda: layers(nn.ReLU(), nn.Linear(4, 4), nn.LeakyReLU(0.3), nn.Identity()),
    "smooth": lambda: layers(nn.GELU(), nn.Linear(4, 4), nn.Softplus(beta=2), nn.SiLU()),
    "residual": lambda: Made(lambda m, x: m.b(x + 0.5 * functional.relu(m.a(x)))),
}
OTHER = {
    "one layer": lambda: nn.Linear(4, 3),  # its graph is of functions of its weights
    "normalised": lambda: layers(nn.LayerNorm(4)),
    "a gain": lambda: Made(lambda m, x: m.b(m.gain * m.a(x))),
    "over examples": lambda: Made(lambda m, x: m.b(m.a(x) - x.mean(0))),
    "over features": lambda: layers(nn.Softmax(dim=1)),
    "tied": Tied,
    "hooked": hooked,
    "as it trains": lambda: Made(lambda m, x: m.b(m.a(x) * 2 if m.training else m.a(x))),
    "by shape": lambda: Made(lambda m, x: m.b(m.a(x)) if x.shape[0] > 1 else m.b(x)),
}
LOSSES = {
    "cross-entropy": (functional.cross_entropy, torch.tensor([0, 2, 1, 1, 0])),
    "of some": (functional.cross_entropy, torch.tensor([0, -100, 1, 1, -100])),
    "of shares": (functional.cross_entropy, torch.full((5, 3), 1 / 3)),
    "own": (lambda outputs, targets: (outputs.sum(-1) - targets).abs().mean(), torch.arange(5.0)),
}


def task(model, loss) -> Task:
    nothing = torch.zeros(1)
    return Task("made", "", lambda: Data((nothing, nothing), (nothing, nothing)), model, loss)


def agree(make, loss, targets, inputs) -> Stacked:
    """Outputs, losses and gradients of a stack are those of its models one by one, within a few ulp."""
    torch.manual_seed(0)
    models = [make() for _ in range(MODELS)]
    expected = []
    for k, model in enumerate(models):
        own = loss(model(inputs + k), targets)
        grads = torch.autograd.grad(own, list(model.parameters()), allow_unused=True)
        expected.append((model.eval()(inputs + k), own, [torch.zeros(1) if g is None else g for g in grads]))
        model.train()
    stacked, stack = Stacked(task(make, loss), models[0]), _stack(models)
    batches, wanted = torch.stack([inputs + k for k in range(MODELS)]), torch.stack([targets] * MODELS)
    losses = stacked.losses(stacked.outputs(stack, batches), wanted)
    torch.autograd.backward(losses.sum())
    models[0].eval()
    outputs = stacked.outputs(stack, batches)
    for k, (output, own, grads) in enumerate(expected):
        torch.testing.assert_close(outputs[k], output, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(losses[k], own, rtol=1e-6, atol=1e-6)
        for grad, p in zip(grads, stack.values(), strict=True):
            torch.testing.assert_close(p.grad[k], grad.expand(p.grad[k].shape), rtol=1e-6, atol=1e-6)
    return stacked


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_model_goes_without_vmap(name):
    assert agree(KNOWN[name], *LOSSES["cross-entropy"], torch.linspace(-1, 1, 20).view(5, 4))._graph is not None


def test_a_pass_makes_nothing_that_processes_share():
    """A worker is killed at the end, and Python would tell its users of locks that are left over."""
    script = """if True:
        import multiprocessing.synchronize, torch
        from ravine.lab import tasks
        from ravine.lab.batched import _stack
        from ravine.lab.stacked import Stacked
        task = tasks.find("digits")
        models = [task.model() for _ in range(2)]
        multiprocessing.synchronize.SemLock.__init__ = None
        inputs, _ = next(task.batches(0))
        print(*Stacked(task, models[0]).outputs(_stack(models), torch.stack([inputs] * 2)).shape)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 ")


@pytest.mark.parametrize("name", OTHER)
def test_any_other_model_goes_through_vmap(name):
    assert agree(OTHER[name], *LOSSES["cross-entropy"], torch.linspace(-1, 1, 20).view(5, 4))._graph is None


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_each_model(name):
    agree(KNOWN["perceptron"], *LOSSES[name], torch.linspace(-1, 1, 20).view(5, 4))


def test_examples_may_have_several_dimensions():
    found = agree(KNOWN["perceptron"], lambda outputs, _: outputs.square().mean(), torch.zeros(2), torch.randn(2, 5, 4))
    assert found._graph is not None
