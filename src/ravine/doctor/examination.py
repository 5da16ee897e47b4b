"""The list of checks, and running them."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ravine.doctor import checkpoints, cost, distributed, numbers, programs
from ravine.doctor.report import Finding, Report, Verdict
from ravine.doctor.subject import Subject, advance, brief, parameters
from ravine.errors import unknown

CHECKS: Mapping[str, Callable[[Subject], tuple[Verdict, str]]] = {
    "aliasing on load": checkpoints.aliasing_on_load,
    "dtype on load": checkpoints.dtype_on_load,
    "empty group": checkpoints.empty_group,
    "plain and DTensor": distributed.mixed_tensors,
    "GradScaler": programs.grad_scaler,
    "NaN": numbers.one_nan,
    "bfloat16 stall": numbers.bfloat16_stall,
    "extra memory": cost.extra_memory,
    "recompiles": cost.recompiles,
    "no gradient": programs.missing_gradients,
    "determinism": programs.determinism,
    "foreach ≡ loop ≡ fused": programs.implementations_agree,
}
"""Every check by its name in the report."""


def load_class(reference: str) -> type[torch.optim.Optimizer]:
    """The optimizer class that `module:Class` names.

    Raises ImportError for a module that can't be imported, ValueError for a malformed or unknown name, TypeError for
    something that is no optimizer class.
    """
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise ValueError(f"name the class as MODULE:CLASS, for instance torch.optim:Adam; got {reference!r}")
    module = importlib.import_module(module_name)
    if not hasattr(module, attribute):
        classes = [n for n in dir(module) if isinstance(getattr(module, n), type)]
        raise unknown(f"class in {module_name}:", attribute, classes)
    found = getattr(module, attribute)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise TypeError(f"{reference} is not a subclass of torch.optim.Optimizer")
    return found


def examine(kind: type[torch.optim.Optimizer], **options: Any) -> Report:
    """Run every check on a class that is constructed with `options`. Takes some seconds.

    A check that raises has failed; its exception is the evidence. Raises TypeError where the class can't even be
    constructed with these options, or can't take one step on two float32 matrices.
    """
    subject = Subject(kind, options)
    try:
        params = parameters()
        advance(subject.make(params), params, range(1))
    except Exception as error:
        raise TypeError(f"{kind.__name__} took no step, so there is nothing to examine: {brief(error)}") from error
    findings = tuple(_run(name, check, subject) for name, check in CHECKS.items())
    return Report(f"{kind.__module__}:{kind.__qualname__}", options, torch.__version__, findings)


def _run(name: str, check: Callable[[Subject], tuple[Verdict, str]], subject: Subject) -> Finding:
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # its advice on recompiling is the evidence here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict, evidence = check(subject)
        except Exception as error:
            verdict, evidence = Verdict.FAIL, brief(error)
    return Finding(name, verdict, evidence)
