"""Checks of what a training program does between two steps."""

from __future__ import annotations

from typing import Any

import torch

from ravine.doctor.report import Verdict
from ravine.doctor.subject import (
    Subject,
    advance,
    brief,
    gradients,
    identical,
    largest_difference,
    parameters,
    set_gradients,
    state_tensors,
    step,
)

Outcome = tuple[Verdict, str]


def grad_scaler(subject: Subject) -> Outcome:
    """Under `torch.amp.GradScaler` the course is the unscaled one, and a step with an infinite gradient is skipped."""
    ways = [more for more in subject.implementations() if more in ({}, {"fused": True})]
    protocols = []
    for more in ways:
        plain, params = parameters(), parameters()
        try:
            reference, optimizer = subject.make(plain, **more), subject.make(params, **more)
        except (TypeError, ValueError, RuntimeError):
            continue  # the option is there, the implementation is not
        advance(reference, plain, range(3))
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for number in range(3):
            _scaled_step(scaler, optimizer, params, gradients(params, number))
        difference = largest_difference(plain, params)
        if not difference <= 1e-6:
            return Verdict.FAIL, f"{_words(more)}: scaled gradients lead {difference:.1e} away from the unscaled course"
        before = [t.clone() for t in (*params, *state_tensors(optimizer).values())]
        bad = gradients(params, 3)
        bad[0][0, 0] = torch.inf
        _scaled_step(scaler, optimizer, params, bad)
        if not identical([*params, *state_tensors(optimizer).values()], before):
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
    scaler.step(optimizer)
    scaler.update()


def _words(more: dict[str, Any]) -> str:
    return ", ".join(f"{n}={v}" for n, v in more.items()) or "default"


def missing_gradients(subject: Subject) -> Outcome:
    """A parameter without gradient stays as it is; its first step, when it comes, is a first step."""
    params, alone = parameters(), parameters()
    optimizer = subject.make(params)
    step(optimizer)  # no gradient at all yet
    start = params[1].detach().clone()
    for number in range(3):
        params[0].grad = gradients(params, number)[0]
        params[1].grad = None
        step(optimizer)
    if not torch.equal(params[1], start):
        return Verdict.FAIL, "a parameter without gradient was moved"
    late = subject.make(alone[1:])
    for number in range(3, 5):
        set_gradients(params, number)
        alone[1].grad = params[1].grad
        step(optimizer)
        step(late)
    if not identical(params[1:], alone[1:]):
        gap = largest_difference(params[1:], alone[1:])
        return (
            Verdict.FAIL,
            f"its first steps, when a gradient came, were not those of a fresh optimizer ({gap:.1e} off)",
        )
    return Verdict.PASS, "left alone without gradient; its later steps are those of a fresh optimizer"


def determinism(subject: Subject) -> Outcome:
    """The same run gives the same bits, whatever the number of threads."""
    threads = torch.get_num_threads()
    results = []
    counts = (1, 2, 2)
    try:
        for count in counts:
            torch.set_num_threads(count)
            params = parameters(shapes=((300, 301), (3, 5)))
            optimizer = subject.make(params)
            advance(optimizer, params, range(3))
            results.append([*params, *state_tensors(optimizer).values()])
    finally:
        torch.set_num_threads(threads)
    if not identical(results[1], results[2]):
        return Verdict.FAIL, f"two runs differ by {largest_difference(results[1], results[2]):.1e}"
    if not identical(results[0], results[1]):
        gap = largest_difference(results[0], results[1])
        return Verdict.FAIL, f"a run with two threads differs from a run with one by {gap:.1e}"
    return Verdict.PASS, "parameters and state the same bit for bit in repeated runs, with one thread and with two"


def implementations_agree(subject: Subject) -> Outcome:
    """foreach, fused and the loop give one trajectory, in float64, with each of the usual options."""
    ways = [more for more in subject.implementations() if more]
    variants: list[dict[str, Any]] = [{}]
    for name, value in {
        "weight_decay": 0.1,
        "maximize": True,
        "amsgrad": True,
        "momentum": 0.9,
        "centered": True,
    }.items():
        if subject.accepts(name):
            variants.append({name: value})
    worst, ran = 0.0, dict[str, None]()
    for variant in variants:
        results = {}
        for more in ways:
            params = parameters(torch.float64)
            try:
                optimizer = subject.make(params, **variant, **more)
                advance(optimizer, params, range(10))
            except (RuntimeError, ValueError, TypeError) as error:
                return Verdict.FAIL, f"{_words({**variant, **more})}: {brief(error)}"
            results[_words(more)] = [*params, *state_tensors(optimizer).values()]
        for way, result in results.items():
            ran[way] = None
            worst = max(worst, largest_difference(result, next(iter(results.values()))))
            if not worst <= 1e-12:
                return (
                    Verdict.FAIL,
                    f"{way} differs from {next(iter(results))} by {worst:.1e}, options: {_words(variant)}",
                )
    if len(ran) < 2:
        return Verdict.NOT_APPLICABLE, "it has one implementation"
    return (
        Verdict.PASS,
        f"{' ≡ '.join(ran)}: at most {worst:.0e} apart after 10 float64 steps in {len(variants)} settings",
    )
