"""One small real run each of the trainers that people hand an optimizer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import ravine.torch

pytestmark = pytest.mark.filterwarnings("default")  # these libraries warn of one another


def data() -> list[tuple[Any, Any]]:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=random)
    return list(zip(x, x @ torch.tensor([1.0, -2.0, 0.5, 3.0]), strict=True))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def error(net: nn.Module) -> float:
    x, y = (torch.stack(column) for column in zip(*data(), strict=True))
    return ((net(x).squeeze(-1) - y) ** 2).mean().item()


def test_lightning(tmp_path: Path) -> None:
    """Fit with a schedule and clipping, save, and resume from the checkpoint: the course of torch's own class."""
    lightning: Any = pytest.importorskip("lightning", reason="Lightning is not installed")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, kind: Any) -> None:
            super().__init__()
            self.net, self.kind = network(), kind

        def training_step(self, batch: Any, _: int) -> Any:
            x, y = batch
            return ((self.net(x).squeeze(-1) - y) ** 2).mean()

        def configure_optimizers(self) -> Any:
            optimizer = self.kind(self.parameters(), lr=0.05)
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=64)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def fit(kind: Any, epochs: int, checkpoint: str | None = None) -> tuple[Any, Any]:
        lightning.seed_everything(0, verbose=False)
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
            enable_model_summary=False, gradient_clip_val=1.0, accumulate_grad_batches=2, default_root_dir=tmp_path,
        )  # fmt: skip
        module = Module(kind)
        loader = torch.utils.data.DataLoader(data(), batch_size=8)
        trainer.fit(module, loader, ckpt_path=checkpoint)
        return trainer, module

    _, wanted = fit(torch.optim.NAdam, 4)
    trainer, _ = fit(ravine.torch.NAdam, 2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    _, got = fit(ravine.torch.NAdam, 4, str(tmp_path / "half.ckpt"))
    torch.testing.assert_close(list(got.parameters()), list(wanted.parameters()), rtol=1e-4, atol=1e-5)
    assert error(got.net) < error(network())


def test_accelerate(tmp_path: Path) -> None:
    """Gradient accumulation, clipping, a prepared scheduler, save_state and load_state."""
    accelerate: Any = pytest.importorskip("accelerate", reason="Accelerate is not installed")

    def train(kind: Any, folder: Path | None) -> Any:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        net = network()
        optimizer = kind(net.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
        loader = torch.utils.data.DataLoader(data(), batch_size=8)
        net, optimizer, loader, scheduler = accelerator.prepare(net, optimizer, loader, scheduler)
        for epoch in range(4):
            if folder is not None and epoch == 2:
                accelerator.save_state(str(folder))
                with torch.no_grad():
                    for p in net.parameters():
                        p.zero_()
                accelerator.load_state(str(folder))
            for x, y in loader:
                with accelerator.accumulate(net):
                    accelerator.backward(((net(x).squeeze(-1) - y) ** 2).mean())
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(net.parameters(), 1.0)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
        return net

    got, wanted = train(ravine.torch.AdamW, tmp_path / "state"), train(torch.optim.AdamW, None)
    torch.testing.assert_close(list(got.parameters()), list(wanted.parameters()), rtol=1e-4, atol=1e-5)
    assert error(got) < error(network())


def test_hugging_face_trainer(tmp_path: Path) -> None:
    """A tiny language model by `Trainer(optimizers=…)`, and resumed from its checkpoint."""
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="the Trainer needs Accelerate")
    random = torch.Generator().manual_seed(0)
    rows = [{"input_ids": t, "labels": t} for t in torch.randint(0, 50, (32, 12), generator=random)]

    def train(kind: Any, folder: Path, resume: bool) -> Any:
        def trainer(steps: int) -> Any:
            transformers.set_seed(0)
            shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 50}
            still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            net = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **still))
            optimizer = kind(net.parameters(), lr=0.01)
            scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=8)
            arguments = transformers.TrainingArguments(
                output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8, save_steps=4, report_to=[],
                disable_tqdm=True, use_cpu=True, seed=0, logging_strategy="no",
            )  # fmt: skip
            return transformers.Trainer(net, arguments, train_dataset=rows, optimizers=(optimizer, scheduler))

        if resume:
            trainer(4).train()
        whole = trainer(8)
        whole.train(resume_from_checkpoint=str(folder / "checkpoint-4") if resume else None)
        return whole.model

    got = train(ravine.torch.Adam, tmp_path / "ours", resume=True)
    wanted = train(torch.optim.Adam, tmp_path / "theirs", resume=False)
    torch.testing.assert_close(list(got.parameters()), list(wanted.parameters()), rtol=1e-3, atol=1e-4)
