"""Checks of what a training program does between two steps."""

from __future__ import annotations

from typing import Any

import torch

from ravine.doctor.report import Outcome, Verdict
from ravine.doctor.state import changed, snapshot, state_tensors
from ravine.doctor.subject import Stopped, Subject, blame
from ravine.doctor.trials import gradients, identical, largest_difference, parameters, seed, set_gradients

UNREPEATABLE = "two runs from one seed differ, so courses can't be compared"


def grad_scaler(subject: Subject) -> Outcome:
    """Under `torch.amp.GradScaler` the course is the unscaled one, and a step with an infinite gradient is skipped."""
    if subject.needs_closure:
        return Verdict.NOT_APPLICABLE, "a step needs a closure, which torch.amp.GradScaler does not take"
    if not subject.repeatable:
        return Verdict.NOT_APPLICABLE, UNREPEATABLE
    protocols = []
    for more in [more for more in subject.implementations() if more in ({}, {"fused": True})]:
        plain, params = parameters(), parameters()
        try:
            subject.run(plain, 3, **more)
        except Stopped:
            continue  # the option is there, the implementation is not
        optimizer = subject.make(params, **more)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for number in range(3):
            seed(number)
            _scaled_step(scaler, optimizer, params, gradients(params, number))
        difference = largest_difference(plain, params)
        if not difference <= 1e-6:
            return Verdict.FAIL, f"{_words(more)}: scaled gradients lead {difference:.1e} away from the unscaled course"
        before = snapshot(optimizer)
        bad = gradients(params, 3)
        bad[0][0, 0] = torch.inf
        _scaled_step(scaler, optimizer, params, bad)
        if changed(before, snapshot(optimizer)):
            return Verdict.FAIL, f"{_words(more)}: a step with an infinite gradient changed parameters or state"
        if scaler.get_scale() != 512.0:
            return Verdict.FAIL, f"{_words(more)}: the scale did not fall after an infinite gradient"
        protocols.append("fused" if getattr(optimizer, "_step_supports_amp_scaling", False) else "plain")
    kinds = " and ".join(f"the {p} protocol" for p in dict.fromkeys(protocols))
    return Verdict.PASS, f"same course as unscaled, a step with an infinite gradient skipped, by {kinds}"


def _scaled_step(scaler: Any, optimizer: Any, params: list[Any], grads: list[Any]) -> None:
    optimizer.zero_grad()
    loss = sum((p * g).sum() for p, g in zip(params, grads, strict=True) if bool(g.isfinite().all()))
    scaler.scale(loss).backward()
    for p, g in zip(params, grads, strict=True):
        if p.grad is None:  # a product with infinity would make NaN
            p.grad = g * scaler.get_scale()
    with blame("GradScaler.step()"):
        scaler.step(optimizer)
    scaler.update()


def _words(more: dict[str, Any]) -> str:
    return ", ".join(f"{n}={v}" for n, v in more.items()) or "default"


def missing_gradients(subject: Subject) -> Outcome:
    """A parameter without gradient stays as it is; its first step, when it comes, is a first step."""
    params, alone = parameters(), parameters()[:1]  # the late one first: it draws the same random numbers as alone
    optimizer = subject.make(params)
    try:
        subject.step(optimizer)
    except Stopped as stop:
        return Verdict.FAIL, f"before any parameter has a gradient, {stop}"
    start = params[0].detach().clone()
    for number in range(3):
        params[0].grad, params[1].grad = None, gradients(params, number)[1]
        seed(number)
        subject.step(optimizer)
    if not torch.equal(params[0], start):
        return Verdict.FAIL, "a parameter without gradient was moved"
    for why, hinders in {
        UNREPEATABLE: not subject.repeatable,
        "the course of a parameter depends on the others' gradients even if all have one": subject.couples,
    }.items():
        if hinders:
            return Verdict.NOT_APPLICABLE, f"left alone without gradient; more can't be told, since {why}"
    late = subject.make(alone)
    for number in range(3, 5):
        set_gradients(params, number)
        assert params[0].grad is not None
        alone[0].grad = params[0].grad.clone()
        for optimizer_ in (optimizer, late):
            seed(number)
            subject.step(optimizer_)
    if identical(params[:1], alone):
        return Verdict.PASS, "left alone without gradient; its later steps are those of a fresh optimizer"
    if subject.draws:
        return (
            Verdict.NOT_APPLICABLE,
            "left alone without gradient; more can't be told, since steps draw random numbers",
        )
    gap = largest_difference(params[:1], alone)
    return Verdict.FAIL, f"its first steps, when a gradient came, were not those of a fresh optimizer ({gap:.1e} off)"


def determinism(subject: Subject) -> Outcome:
    """The same run gives the same bits, whatever the number of threads."""
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            results.append(snapshot(subject.run(parameters(shapes=((300, 301), (3, 5))), 3)))
    finally:
        torch.set_num_threads(threads)
    single, first, second = results
    if differing := changed(first, second):
        return Verdict.FAIL, f"two runs from the same seeds differ by {_gap(first, second, differing)}"
    if differing := changed(single, first):
        return Verdict.FAIL, f"a run with two threads differs from one with one by {_gap(single, first, differing)}"
    return Verdict.PASS, "parameters and state the same bit for bit in repeated runs, with one thread and with two"


def _gap(a: dict[str, Any], b: dict[str, Any], keys: list[str]) -> str:
    comparable = [k for k in keys if k in a and k in b and a[k].shape == b[k].shape]
    return f"{largest_difference([a[k] for k in comparable], [b[k] for k in comparable]):.1e} in {', '.join(keys[:3])}"


USUAL = {"weight_decay": 0.1, "maximize": True, "amsgrad": True, "momentum": 0.9, "centered": True}
"""Options under which implementations are compared, where a class has them."""


def implementations_agree(subject: Subject) -> Outcome:
    """foreach, fused and the loop give one trajectory, in float64, with each of the usual options."""
    ways = [more for more in subject.implementations() if more]
    if len(ways) < 2:
        return Verdict.NOT_APPLICABLE, "it has one implementation"
    if not subject.repeatable:
        return Verdict.NOT_APPLICABLE, UNREPEATABLE
    variants: list[dict[str, Any]] = [{}, *({name: value} for name, value in USUAL.items() if subject.accepts(name))]
    worst, settings, ran = 0.0, 0, dict[str, None]()
    for variant in variants:
        results = dict[str, list[Any]]()
        for more in ways:
            params = parameters(torch.float64)
            try:
                optimizer = subject.make(params, **variant, **more)
            except Stopped:  # it says that it does not have this one
                continue
            try:
                subject.advance(optimizer, params, range(10))
            except Stopped as stop:
                return Verdict.FAIL, f"{_words({**variant, **more})}: {stop}"
            results[_words(more)] = [*params, *state_tensors(optimizer).values()]
        settings += len(results) > 1
        for way, result in results.items() if len(results) > 1 else ():
            ran[way] = None
            worst = max(worst, largest_difference(result, next(iter(results.values()))))
            if not worst <= 1e-12:
                other = next(iter(results))
                return Verdict.FAIL, f"{way} differs from {other} by {worst:.1e}, options: {_words(variant)}"
    if not settings:
        return Verdict.NOT_APPLICABLE, "of its implementations, at most one can be had here"
    told = f"at most {worst:.0e} apart after 10 float64 steps in {settings} settings"
    return Verdict.PASS, f"{' ≡ '.join(ran)}: {told}"
