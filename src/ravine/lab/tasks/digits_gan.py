"""A small adversarial game on the digits: two networks, two optimizers, each with a schedule of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ravine.lab.scheduler import OptimizerMaker
from ravine.lab.task import FunctionTask, Report
from ravine.lab.tasks import digits

SAMPLES = 512


def generator(width: int, noise: int) -> nn.Module:
    """From noise to an image of 64 pixels."""
    return nn.Sequential(
        nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64), nn.Sigmoid()
    )


def critic(width: int) -> nn.Module:
    """From an image to how real it is."""
    return nn.Sequential(
        nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
    )


def distance(a: Tensor, b: Tensor) -> float:
    """The energy distance of two samples (Székely & Rizzo 2013): 2·E|x − y| − E|x − x'| − E|y − y'|; at least 0, and 0
    where both come from one distribution, but for chance."""
    within = sum(float(torch.pdist(s).mean()) for s in (a, b))
    return 2 * float(torch.cdist(a, b).mean()) - within


def play(
    make_optimizer: OptimizerMaker,
    seed: int,
    report: Report,
    steps: int,
    *,
    batch_size: int,
    width: int,
    critic_steps: int,
    noise: int = 16,
) -> None:
    """A generator against a critic with hinge losses (Lim & Ye 2017, arXiv:1705.02894), `critic_steps` steps of the
    critic to one of the generator. The loss is the energy distance between generated and kept images."""
    data = digits.data()
    draw = torch.Generator().manual_seed(seed)
    makes, judges = generator(width, noise), critic(width)
    makes_optimizer, judges_optimizer = make_optimizer(makes), make_optimizer(judges)
    makes_falls = make_optimizer.scheduler(makes_optimizer)
    judges_falls = make_optimizer.scheduler(judges_optimizer, steps=critic_steps * steps)
    real = data.train[0]
    fixed = torch.randn(SAMPLES, noise, generator=torch.Generator().manual_seed(0))

    def measured(part: Any) -> float:
        with torch.no_grad(), make_optimizer.evaluation():
            return distance(makes(fixed), part[0])

    report(0, measured(data.validation), train_loss=measured(data.train))
    every = max(1, steps // 20)
    for step in range(1, steps + 1):
        for _ in range(critic_steps):
            chosen = real[torch.randint(len(real), (batch_size,), generator=draw)]
            made = makes(torch.randn(batch_size, noise, generator=draw)).detach()
            judges_optimizer.zero_grad()
            torch.autograd.backward(torch.relu(1 - judges(chosen)).mean() + torch.relu(1 + judges(made)).mean())
            judges_optimizer.step()
            judges_falls.step()
        makes_optimizer.zero_grad()
        torch.autograd.backward(-judges(makes(torch.randn(batch_size, noise, generator=draw))).mean())
        makes_optimizer.step()
        makes_falls.step()
        if step % every == 0 or step == steps:
            report(step, measured(data.validation), train_loss=measured(data.train))
    if report.wants_test:
        report.test(measured(data.test))


@dataclass(frozen=True)
class Game(FunctionTask):
    """The game with its sizes."""

    @property
    def title(self) -> str:
        """For people."""
        return "Handwritten digits, adversarial game"

    @property
    def about(self) -> str:
        """What is learnt."""
        return (
            "Images like scikit-learn's digits from noise: a generator against a critic, two perceptrons with hinge "
            "losses; scored by the energy distance to images that neither has seen."
        )

    @property
    def steps(self) -> int:
        """Of the generator."""
        return 300


def task(batch_size: int = 64, width: int = 64, critic_steps: int = 1) -> FunctionTask:
    """The task; `critic_steps` are those of the critic to one of the generator."""
    for name, value in {"batch_size": batch_size, "width": width, "critic_steps": critic_steps}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return Game(partial(play, batch_size=batch_size, width=width, critic_steps=critic_steps), "digits-gan")
