"""Folders that orbax writes: an optimizer's state by itself, and a train state with parameters and step beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

Keep = Callable[[str, str, list[Any]], None]


def record(out: Path, keep: Keep, gradients: Any, shapes: dict[str, Any], before: int, after: int) -> None:
    """Write the folders to `out`, and the parameters at and some steps after saving to `keep`."""
    tx = optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(0.05))
    rng = np.random.default_rng(7)
    names = [n.replace("/", "_") for n in shapes]
    params = {n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in zip(names, shapes.values(), strict=True)}
    state = tx.init(params)
    for t in range(before + after):
        if t == before:
            with ocp.StandardCheckpointer() as writer:
                writer.save((out / "orbax").absolute(), state)
            with ocp.CheckpointManager((out / "orbax-steps").absolute()) as manager:
                whole = {"params": params, "opt_state": state, "step": np.array(t)}
                manager.save(t, args=ocp.args.StandardSave(whole))
            for name in ("orbax", "orbax-steps"):
                keep(name, "saved", [params[n] for n in names])
        grads = dict(zip(names, map(jnp.asarray, gradients(t)), strict=True))
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    for name in ("orbax", "orbax-steps"):
        keep(name, "after", [params[n] for n in names])
        for said in (out / name).rglob("commit_success.txt"):  # names the folder that it was written to
            said.unlink()
