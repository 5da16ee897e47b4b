"""Checks of saving and loading."""

from __future__ import annotations

import io
from typing import Any

import torch

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.state import changed, names, snapshot, state_tensors
from ravine.doctor.subject import Stopped, Subject, blame
from ravine.doctor.trials import identical, parameters


def aliasing_on_load(subject: Subject) -> Outcome:
    """Loading a state dict copies: the loaded optimizer and the source don't share memory."""
    params, others = parameters(), parameters()
    source, copy = subject.run(params, 3), subject.make(others)
    with blame("load_state_dict()"):
        copy.load_state_dict(source.state_dict())
    before, loaded = snapshot(source), snapshot(copy)
    kept = list(state_tensors(source))
    if not kept:
        return Verdict.NOT_APPLICABLE, "it keeps no tensors as state"
    subject.advance(copy, others, range(3, 5))
    if shared := [key for key in changed(before, snapshot(source)) if key in kept]:
        return Verdict.FAIL, f"stepping the loaded optimizer changed {names(shared)} of the source"
    if not set(changed(loaded, snapshot(copy))) & state_tensors(copy).keys():
        return Verdict.NOT_APPLICABLE, "two steps did not change its own state, so nothing of the source's could change"
    return Verdict.PASS, f"stepping the loaded optimizer left {names(kept)} of the source alone"


def dtype_on_load(subject: Subject) -> Outcome:
    """Saved state comes back in its own types, and the run goes on as if it had not been interrupted."""
    refused = subject.refuses(torch.bfloat16)
    variants: list[dict[str, Any]] = [{}]
    if subject.accepts("state_dtype"):
        variants.append({"state_dtype": torch.float32})
    count = 0
    for dtype in (torch.float32,) if refused else (torch.float32, torch.bfloat16):
        kind = str(dtype).removeprefix("torch.")
        for more in variants:
            fault, tensors = _resume(subject, dtype, more)
            if fault:
                return Verdict.FAIL, f"{kind} parameters: {fault}"
            count += tensors
    limits = "" if not refused else f"; float32 parameters alone, since bfloat16 ones stop it ({refused})"
    if not subject.repeatable:
        limits += "; whether the resumed run is the same can't be told, since two runs from one seed differ"
    if not count:
        return Verdict.NOT_APPLICABLE, "it keeps no tensors as state"
    same = "; the resumed run is the same bit for bit" if subject.repeatable else ""
    return Verdict.PASS, f"every type came back through a file, weights only{same}{limits}"


def _resume(subject: Subject, dtype: torch.dtype, more: dict[str, Any]) -> tuple[str, int]:
    """What is wrong with a run that was saved and loaded, and the number of tensors in its state."""
    params, others = parameters(dtype), parameters(dtype)
    original = subject.run(params, 3, **more)
    with torch.no_grad():
        for p, q in zip(params, others, strict=True):
            q.copy_(p)
    loaded = subject.make(others, **more)
    with blame("state_dict() to a file and back"):
        saved = _through_file(original.state_dict())
    with blame("load_state_dict()"):
        loaded.load_state_dict(saved)
    before, after = state_tensors(original), state_tensors(loaded)
    if lost := before.keys() - after.keys():
        return f"{names(sorted(lost))} did not come back", len(before)
    for key, tensor in before.items():
        if after[key].dtype != tensor.dtype:
            was, now = (str(t).removeprefix("torch.") for t in (tensor.dtype, after[key].dtype))
            return f"{names([key])} was {was}, came back as {now}", len(before)
    if subject.repeatable:
        subject.advance(original, params, range(3, 6))
        subject.advance(loaded, others, range(3, 6))
        if not identical(params, others):
            return "after loading, they took another course", len(before)
    return "", len(before)


def _through_file(state_dict: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def empty_group(subject: Subject) -> Outcome:
    """A parameter group without parameters keeps its hyperparameters through distributed checkpointing."""
    if subject.needs_closure:
        return Verdict.NOT_APPLICABLE, "a step needs a closure, and torch's distributed checkpointing steps without"
    try:
        _program(subject, empty=True)
    except Stopped as stop:
        return Verdict.NOT_APPLICABLE, f"it takes no empty group ({stop})"
    try:
        _through_distributed_checkpoint(subject, empty=False)
    except Stopped as stop:
        return Verdict.FAIL, f"even without an empty group, {stop}"
    saved, loaded = _through_distributed_checkpoint(subject, empty=True)
    if lost := [key for key in saved if key not in loaded]:
        return Verdict.FAIL, f"the empty group lost {', '.join(lost)}"
    if altered := [key for key in saved if str(loaded[key]) != str(saved[key])]:
        told = ", ".join(f"{key}={loaded[key]} for {saved[key]}" for key in altered)
        return Verdict.FAIL, f"the empty group came back with {told}"
    return Verdict.PASS, f"all {len(saved) - 1} hyperparameters of the empty group came back"


def _program(subject: Subject, *, empty: bool) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2, bias=False))
    groups: list[dict[str, Any]] = [{"params": []}] * empty + [{"params": list(model.parameters())}]
    return model, subject.make([dict(g) for g in groups])


def _through_distributed_checkpoint(subject: Subject, *, empty: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first group when it was saved, and as it was loaded into another program."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    model, optimizer = _program(subject, empty=empty)
    for group in optimizer.param_groups:  # as a schedule would: in all groups, since some classes want them alike
        if isinstance(group.get("lr"), float):
            group["lr"] *= 0.5
    subject.advance(optimizer, list(model.parameters()), range(2))
    with blame("get_optimizer_state_dict()"):
        saved = get_optimizer_state_dict(model, optimizer)
    first = dict(optimizer.param_groups[0])
    other_model, other = _program(subject, empty=empty)
    with blame("set_optimizer_state_dict()"):
        set_optimizer_state_dict(other_model, other, saved)
    return first, dict(other.param_groups[0])
