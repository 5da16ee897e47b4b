"""Checkpoints of Lightning, Accelerate, transformers' Trainer and torch.distributed.

Every model's loss is linear in its parameters, so that the gradients are those that the tests make too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
Keep = Callable[[str, str, list[Any]], None]


class Model(torch.nn.Module):
    """Two layers with a normalisation between them: buffers among the parameters, and two of one shape."""

    def __init__(self, gradients: Callable[[int], list[np.ndarray]]) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.one = torch.nn.Linear(4, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.two = torch.nn.Linear(3, 2)
        self.gradients = gradients

    def forward(self, t: Any = 0, **_: Any) -> dict[str, Any]:
        gs = self.gradients(int(torch.as_tensor(t).reshape(-1)[0]))
        terms = zip(self.parameters(), gs, strict=True)
        return {"loss": sum((p * torch.tensor(g)).sum() for p, g in terms)}

    def values(self) -> list[np.ndarray]:
        return [p.detach().numpy().copy() for p in self.parameters()]


def grouped(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Weight decay for matrices alone."""
    own = list(model.parameters())
    return [
        {"params": [p for p in own if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in own if p.ndim == 1], "weight_decay": 0.0},
    ]


def record(out: Path, keep: Keep, gradients: Callable[[int], list[np.ndarray]], before: int, after: int) -> None:
    """Write the files to `out`, and the parameters at and some steps after saving to `keep`."""
    steps = before + after
    lightning(out, keep, gradients, before, steps, "lightning.ckpt")
    lightning(out, keep, gradients, before, steps, "lightning-epochs.ckpt", epoch=3)
    accelerate(out, keep, gradients, before, steps)
    trainer(out, keep, gradients, before, steps, "trainer", lr_scheduler_type="constant", max_grad_norm=0.0)
    trainer(out, keep, gradients, before, steps, "trainer-linear", warmup_steps=3, max_grad_norm=0.0)
    trainer(out, keep, gradients, before, steps, "trainer-cosine", lr_scheduler_type="cosine", max_grad_norm=1.0)
    plain(out, keep, gradients, before, steps)
    distributed(out, keep, gradients, before, steps)


def lightning(
    out: Path, keep: Keep, gradients: Any, before: int, steps: int, name: str, epoch: int | None = None
) -> None:
    """With a scheduler that counts steps, or epochs of so many of them, which is what Lightning does unless told."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"rate": 0.05})
            self.net = Model(gradients)

        def training_step(self, batch: Any, index: int) -> Any:
            if self.global_step == before:
                self.trainer.save_checkpoint(out / name)
                keep(name, "saved", self.net.values())
            return self.net(self.global_step)["loss"]

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(grouped(self.net), lr=0.05)
            if epoch is not None:
                return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)]
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.001)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = Module()
    options = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning.Trainer(max_steps=steps, accelerator="cpu", default_root_dir=out, **options).fit(
            module, torch.utils.data.DataLoader(torch.arange(epoch or steps), batch_size=1)
        )
    keep(name, "after", module.net.values())


def accelerate(out: Path, keep: Keep, gradients: Any, before: int, steps: int) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = Model(gradients)
    model, optimizer = accelerator.prepare(model, torch.optim.NAdam(grouped(model), lr=0.02))
    for t in range(steps):
        if t == before:
            accelerator.save_state(str(out / "accelerate"), safe_serialization=False)
            keep("accelerate", "saved", model.values())
        optimizer.zero_grad()
        accelerator.backward(model(t)["loss"])
        optimizer.step()
    keep("accelerate", "after", model.values())
    (out / "accelerate" / "random_states_0.pkl").unlink()


def trainer(out: Path, keep: Keep, gradients: Any, before: int, steps: int, name: str, **how: Any) -> None:
    import transformers

    class Saved(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step == before:
                keep(name, "saved", model.values())

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    folder = out / "trainer-runs"
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_steps=before, per_device_train_batch_size=1,
        learning_rate=0.03, weight_decay=0.1, use_cpu=True, report_to=[], disable_tqdm=True, optim="adamw_torch", **how,
    )  # fmt: skip
    model = Model(gradients)
    InOrder(model, arguments, train_dataset=[{"t": t} for t in range(steps)], callbacks=[Saved()]).train()
    keep(name, "after", model.values())
    shutil.rmtree(out / name, ignore_errors=True)
    shutil.move(folder / f"checkpoint-{before}", out / name)
    shutil.rmtree(folder)
    for own in (out / name).iterdir():
        if own.name not in ("optimizer.pt", "model.safetensors", "trainer_state.json", "scheduler.pt"):
            own.unlink()


def plain(out: Path, keep: Keep, gradients: Any, before: int, steps: int) -> None:
    """What most programs save: a dictionary of the three state dicts."""
    model = Model(gradients)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedulers = torch.optim.lr_scheduler
    warm = schedulers.LinearLR(optimizer, start_factor=0.1, total_iters=2)
    restarts = schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=0.001)
    scheduler = schedulers.SequentialLR(optimizer, [warm, restarts], milestones=[2])
    for t in range(steps):
        if t == before:
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
            torch.save({**saved, "scheduler": scheduler.state_dict()}, out / "restarts.pt")
            keep("restarts.pt", "saved", model.values())
        optimizer.zero_grad()
        model(t)["loss"].backward()
        optimizer.step()
        scheduler.step()
    keep("restarts.pt", "after", model.values())


def distributed(out: Path, keep: Keep, gradients: Any, before: int, steps: int) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint._extension import ZStandard
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    model = Model(gradients)
    optimizer = torch.optim.RMSprop(grouped(model), lr=0.01, momentum=0.9, centered=True)
    names = ("sharded", "sharded-flat", "sharded-numbers", "fqn.pt", "flattened.pt")
    for t in range(steps):
        if t == before:
            state = get_optimizer_state_dict(model, optimizer)
            flat = get_optimizer_state_dict(
                model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.chdir(out):  # the folder's name goes into the file
                    dcp.save({"model": model.state_dict(), "optimizer": state}, checkpoint_id=names[0])
                    dcp.save({"model": model.state_dict(), "optimizer": flat}, checkpoint_id=names[1])
                    dcp.save({"net": model.state_dict(), "opt": optimizer.state_dict()}, checkpoint_id=names[2])
                    writer = dcp.FileSystemWriter("sharded-compressed", _extensions=[ZStandard()])
                    dcp.save({"optimizer": state}, storage_writer=writer)
            torch.save({"optimizer": state}, out / names[3])
            torch.save(flat, out / names[4])
            for name in names:
                keep(name, "saved", model.values())
        optimizer.zero_grad()
        model(t)["loss"].backward()
        optimizer.step()
    for name in names:
        keep(name, "after", model.values())
