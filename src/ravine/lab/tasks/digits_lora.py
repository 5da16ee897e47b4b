"""Fine-tuning by low-rank adapters: a network that was trained on small digits learns turned ones."""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import Tensor, nn

from ravine.lab.task import Data, Task, share_correct
from ravine.lab.tasks import digits

PRETRAINING_STEPS = 400


class Adapted(nn.Module):
    """A frozen linear layer plus a product of two thin matrices, of which one starts at zero (Hu et al. 2021,
    arXiv:2106.09685)."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        adapted: Tensor = self.layer(x) + x @ self.down.T @ self.up.T
        return adapted


@cache
def pretrained(width: int) -> dict[str, Tensor]:
    """The weights of a perceptron trained on upright digits: always the same, whatever the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = digits.model(width, 2)
        found = digits.task(width=width, layers=2)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        batches = found.batches(0)
        for _ in range(PRETRAINING_STEPS):
            inputs, targets = next(batches)
            optimizer.zero_grad()
            found.loss(network(inputs), targets).backward()
            optimizer.step()
    return {name: value.detach() for name, value in network.state_dict().items()}


def data() -> Data:
    """The digits, turned by a quarter."""

    def turned(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return part[0].view(-1, 8, 8).rot90(1, (1, 2)).flatten(1), part[1]

    upright = digits.data()
    assert upright.test is not None
    return Data(turned(upright.train), turned(upright.validation), turned(upright.test))


def model(width: int, rank: int) -> nn.Module:
    """The trained network, frozen, with an adapter around each layer."""
    network = digits.model(width, 2)
    network.load_state_dict(pretrained(width))
    return nn.Sequential(*(Adapted(m, rank) if isinstance(m, nn.Linear) else m for m in network.children()))


def task(batch_size: int = 32, width: int = 64, rank: int = 4) -> Task:
    """The task; `rank` of the adapters."""
    if not 1 <= rank <= 10:
        raise ValueError(f"rank must be from 1 to 10, got {rank}")
    return Task(
        name="digits-lora",
        title="Turned digits, fine-tuning by adapters",
        about=f"A 64-{width}-{width}-10 perceptron, trained on scikit-learn's digits and frozen, learns digits "
        f"turned by a quarter through adapters of rank {rank}; cross-entropy.",
        data=data,
        model=partial(model, width, rank),
        loss=nn.functional.cross_entropy,
        accuracy=share_correct,
        batch_size=batch_size,
        steps=200,
    )
