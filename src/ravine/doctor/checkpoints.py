"""Checks of saving and loading."""

from __future__ import annotations

import io
from typing import Any

import torch

from ravine.doctor.report import Verdict
from ravine.doctor.subject import Subject, advance, brief, identical, names, parameters, state_tensors

Outcome = tuple[Verdict, str]


def aliasing_on_load(subject: Subject) -> Outcome:
    """Loading a state dict copies: the loaded optimizer and the source don't share memory."""
    params, others = parameters(), parameters()
    source, copy = subject.make(params), subject.make(others)
    advance(source, params, range(3))
    copy.load_state_dict(source.state_dict())
    before = {key: tensor.clone() for key, tensor in state_tensors(source).items()}
    if not before:
        return Verdict.NOT_APPLICABLE, "it keeps no tensors as state"
    advance(copy, others, range(3, 5))
    changed = [key for key, tensor in state_tensors(source).items() if not torch.equal(tensor, before[key])]
    if changed:
        return Verdict.FAIL, f"stepping the loaded optimizer changed {names(changed)} of the source"
    return Verdict.PASS, f"stepping the loaded optimizer left {names(list(before))} of the source alone"


def dtype_on_load(subject: Subject) -> Outcome:
    """Saved state comes back in its own types, and the run goes on as if it had not been interrupted."""
    variants: list[dict[str, Any]] = [{}]
    if subject.accepts("state_dtype"):
        variants.append({"state_dtype": torch.float32})
    count = 0
    for dtype in (torch.float32, torch.bfloat16):
        for more in variants:
            params = parameters(dtype)
            original = subject.make(params, **more)
            advance(original, params, range(3))
            others = parameters(dtype)
            with torch.no_grad():
                for p, q in zip(params, others, strict=True):
                    q.copy_(p)
            loaded = subject.make(others, **more)
            loaded.load_state_dict(_through_file(original.state_dict()))
            before, after = state_tensors(original), state_tensors(loaded)
            count += len(before)
            if lost := before.keys() - after.keys():
                return Verdict.FAIL, f"{names(sorted(lost))} did not come back"
            for key, tensor in before.items():
                if after[key].dtype != tensor.dtype:
                    was, now = (str(t).removeprefix("torch.") for t in (tensor.dtype, after[key].dtype))
                    kind = str(dtype).removeprefix("torch.")
                    return Verdict.FAIL, f"{names([key])} of a {kind} parameter was {was}, came back as {now}"
            advance(original, params, range(3, 6))
            advance(loaded, others, range(3, 6))
            if not identical(params, others):
                return Verdict.FAIL, f"after loading, {dtype} parameters took another course"
    if not count:
        return Verdict.NOT_APPLICABLE, "it keeps no tensors as state"
    return Verdict.PASS, "every type came back through a file, weights only; the resumed run is the same bit for bit"


def _through_file(state_dict: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def empty_group(subject: Subject) -> Outcome:
    """A parameter group without parameters keeps its hyperparameters through distributed checkpointing."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def program() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        model = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2, bias=False))
        return model, subject.make([{"params": []}, {"params": list(model.parameters())}])

    model, optimizer = program()
    empty = optimizer.param_groups[0]
    if "lr" in empty:
        empty["lr"] = 0.03125  # as a schedule would
    advance(optimizer, list(model.parameters()), range(2))
    saved = get_optimizer_state_dict(model, optimizer)
    other_model, other = program()
    try:
        set_optimizer_state_dict(other_model, other, saved)
    except Exception as error:
        return Verdict.FAIL, f"loading stopped with {brief(error)}"
    loaded = other.param_groups[0]
    if lost := [key for key in empty if key not in loaded]:
        return Verdict.FAIL, f"the empty group lost {', '.join(lost)}"
    if changed := [key for key in empty if str(loaded[key]) != str(empty[key])]:
        return Verdict.FAIL, "the empty group came back with " + ", ".join(f"{key}={loaded[key]}" for key in changed)
    return Verdict.PASS, f"all {len(empty) - 1} hyperparameters of the empty group came back"
