"""SparseAdam: a rule on those rows alone that a sparse gradient touches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ravine.dialects import torch as dialect
from ravine.dialects.table import Form, Table
from ravine.engines import eager
from ravine.torch.classes import TorchStepper


class SparseAdam(TorchStepper, torch.optim.SparseAdam):
    """`torch.optim.SparseAdam`: Adam with ε̂ on the rows that a sparse gradient names; no other row moves or decays.

    Whatever the gradient has stored is a row that is touched, also where it is zero. The step count is the parameter's,
    not the row's, as in torch, so a row that is touched late is corrected as if it had been there from the start. The
    rows are copied out, stepped and written back: a step costs what the touched rows cost. A dense gradient is a
    RuntimeError, as in torch.
    """

    table = Table((Form("adam_eps_hat", dialect.ADAM, state=dialect.MOMENTS),), (dialect.MAXIMIZE,))

    def _step_elsewhere(self, group: dict[str, Any], *, is_divided: bool) -> None:
        method = self._method(group)
        hyper = dict(zip(method.rule.hyperparameters, method.values(group), strict=True))
        touched = [p for p in group["params"] if p.grad is not None]
        if not all(p.grad.is_sparse for p in touched):
            raise RuntimeError(DENSE)
        with torch.no_grad():
            for p in touched:
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    for key in method.arrays.values():
                        state[key] = torch.zeros_like(p, memory_format=torch.preserve_format)
                state["step"] += 1
                g = p.grad.coalesce()  # what one row is given twice is added up first: the update is not linear
                if g._nnz() and g._values().numel():
                    where = tuple(g._indices())
                    arrays = {"x": p, **{slot: state[key] for slot, key in method.arrays.items()}}
                    rows: dict[str, Tensor] = {name: a[where] for name, a in arrays.items()}
                    slots = {name: rows[name] for name in method.arrays}
                    eager.step(method.rule, rows["x"], g._values(), slots, float(state["step"]), hyper)
                    for name, a in arrays.items():
                        a[where] = rows[name]

    def _plan(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(DENSE)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for own in self.state.values():  # torch counts these steps in a plain number
            if isinstance(own.get("step"), Tensor):
                own["step"] = int(own["step"])


DENSE = "SparseAdam does not support dense gradients, please consider Adam instead"
"""torch's words."""
