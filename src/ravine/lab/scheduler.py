"""A schedule as a scheduler of torch's, and what a training loop makes its optimizers and schedulers with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from ravine.lab.schedule import CONSTANT, Schedule


class Scheduler(LRScheduler):
    """Multiplies the learning rates of an optimizer by a schedule's factor: call `step()` after the optimizer's.

    It counts its own steps, of which there are at most `total_steps`; one more raises ValueError. What it multiplies,
    and what it wrote, are in the groups themselves (`initial_lr`, `lr_by_schedule`). So it goes on rightly where groups
    are replaced, as `load_state_dict` and Accelerate's `prepare` do, or added; and where somebody else changes a
    group's rate, the change stays, as a factor.
    """

    def __init__(self, optimizer: Any, schedule: Schedule, total_steps: int) -> None:
        # Not torch's own, which wants a rate in every group and wraps the optimizer's step.
        self.optimizer, self.schedule, self.total_steps = optimizer, schedule, total_steps
        self.last_epoch, self._step_count = 0, 1
        for group in optimizer.param_groups:
            if "lr" in group:
                group["initial_lr"] = group["lr_by_schedule"] = group["lr"]
        self._set_rates()

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step."""
        if self.last_epoch >= self.total_steps:
            raise ValueError(
                f"this scheduler was made for {self.total_steps} steps and is stepped once more: give the number of "
                "steps that this optimizer takes, as in make_optimizer.scheduler(optimizer, steps=2000)"
            )
        self.last_epoch += 1
        self._step_count += 1
        self._set_rates()

    def _set_rates(self) -> None:
        factor = self.schedule.factor(self.last_epoch, self.total_steps)
        for group in self.optimizer.param_groups:
            if "lr" not in group:
                continue
            rate, written = group["lr"], group.get("lr_by_schedule")
            initial = group.setdefault("initial_lr", rate)
            if written is not None and rate != written:
                initial = group["initial_lr"] = initial * (rate / written) if written else rate
            group["lr"] = group["lr_by_schedule"] = initial * factor

    def get_last_lr(self) -> list[Any]:
        """The rates of the groups that have one."""
        return [group["lr"] for group in self.optimizer.param_groups if "lr" in group]

    def state_dict(self) -> dict[str, Any]:
        """The number of steps taken; the rates are in the optimizer's."""
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count}


class OptimizerMaker:
    """What a training loop is given as `make_optimizer`: called with parameters, as an optimizer of torch's is, it
    returns the optimizer that is compared. Its learning rate stays as it is but for what the loop does:

    - `scheduler(optimizer)` returns a scheduler that follows the comparison's schedule; the loop steps it after the
      optimizer. An optimizer that takes another number of steps than the run has needs that: `steps=`.
    - or it sets rates itself, by `factor(step)`;
    - or it brings a schedule of its own, and says so: `own_schedule("cosine to a tenth")`.

    `with evaluation():` puts optimizers that evaluate at another point than they train at (Schedule-Free) there.
    """

    def __init__(self, make: Callable[[Any], Any], schedule: Schedule, steps: int) -> None:
        self._make, self._schedule, self._steps = make, schedule, steps
        self._optimizers: list[Any] = []
        self._schedulers: list[Scheduler] = []
        self._own = ""
        self._asked = 0
        self._is_evaluated = False

    def __call__(self, params: Any) -> Any:
        """An optimizer over a model's parameters, or parameters, named parameters or groups of them.

        A group may hold the optimizer's own hyperparameters but for the rate, and `lr_scale`, by which the rate is
        multiplied. Raises ValueError for any other key.
        """
        optimizer = self._make(params)
        self._optimizers.append(optimizer)
        if _has_modes(optimizer):
            self._watch(optimizer)
        return optimizer

    def _watch(self, optimizer: Any) -> None:
        """See whether the loop ever puts it where it evaluates."""
        inner = optimizer.eval

        def watched() -> None:
            self._is_evaluated = True
            inner()

        optimizer.eval = watched

    def scheduler(self, optimizer: Any, steps: int | None = None) -> Scheduler:
        """A scheduler for an optimizer that takes `steps` steps; as many as the run has if not given."""
        # Accelerate and others wrap optimizers: the scheduler acts on what was made here.
        inner = next((o for o in self._optimizers if o is getattr(optimizer, "optimizer", optimizer)), optimizer)
        made = Scheduler(inner, self._schedule, self._steps if steps is None else steps)
        self._schedulers.append(made)
        return made

    def factor(self, step: int, steps: int | None = None) -> float:
        """What the learning rate is to be multiplied by in step `step` of `steps`, counted from 0."""
        total = self._steps if steps is None else steps
        if not 0 <= step <= total:
            raise ValueError(f"step must be from 0 to {total}, the number of steps, got {step}: give steps=…")
        self._asked = max(self._asked, step + 1)
        return self._schedule.factor(step, total)

    def own_schedule(self, text: str) -> None:
        """Say that this loop has a schedule of its own, and in a few words which: the report repeats them."""
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"own_schedule() takes a few words, such as 'cosine to a tenth', got {text!r}")
        self._own = " ".join(text.split())[:200]

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """In this block parameters are where the optimizers evaluate."""
        modes = [o for o in self._optimizers if _has_modes(o)]
        for optimizer in modes:
            optimizer.eval()
        try:
            yield
        finally:
            for optimizer in modes:
                optimizer.train()

    def at_report(self) -> float | None:
        """The learning rate now: that of the first group of the first optimizer that has one.

        Raises ValueError where an optimizer with modes was never put where it evaluates: the loss would be of another
        point.
        """
        if not self._is_evaluated and any(_has_modes(o) for o in self._optimizers):
            raise ValueError(
                "this optimizer evaluates at another point than it trains at: measure in "
                "`with make_optimizer.evaluation():`, or call optimizer.eval() before and optimizer.train() after"
            )
        rates = (g["lr"] for o in self._optimizers for g in o.param_groups if "lr" in g)
        return next((float(r) for r in rates), None)

    @property
    def departure(self) -> str:
        """In words, how a run that has ended departed from the comparison's schedule; empty if it followed it."""
        if self._own:
            return f"the task's own: {self._own}"
        if self._asked or self._schedule.shape == CONSTANT:
            return ""
        without = [o for o in self._optimizers if all(s.optimizer is not o for s in self._schedulers)]
        if without:
            all_of = len(self._optimizers)
            some = f" for {len(without)} of {all_of} optimizers" if all_of > 1 else ""
            return f"none: the training loop asked for no scheduler{some}"
        if short := [s for s in self._schedulers if s.last_epoch < s.total_steps]:
            return f"cut short: a scheduler was stepped {short[0].last_epoch} of {short[0].total_steps} times"
        return ""


def _has_modes(optimizer: Any) -> bool:
    return callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))
