"""Record the learning rates that the real frameworks' schedules give: the evidence for `ravine.dialects.schedules`.

Run by `make record-traces` in its environment. Of Ravine it uses nothing. Writes tests/recorded/schedules.json: each
call as text, and its values after 0, 1, … finished steps.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

OUT = Path(__file__).resolve().parent.parent / "tests" / "recorded" / "schedules.json"
COUNT, LR = 40, 0.05
KERAS = [
    "CosineDecay(0.1, 20)",
    "CosineDecay(0.1, decay_steps=20, alpha=0.05)",
    "CosineDecay(0.0, 20, alpha=0.1, warmup_target=0.3, warmup_steps=7)",
    "CosineDecayRestarts(0.1, 5, t_mul=1.0)",
    "CosineDecayRestarts(0.1, first_decay_steps=5, alpha=0.1)",
    "ExponentialDecay(0.1, 9, 0.5)",
    "ExponentialDecay(0.1, 9, 0.5, staircase=True)",
    "PiecewiseConstantDecay([5, 12], [0.1, 0.05, 0.01])",
    "PolynomialDecay(0.1, 15)",
    "PolynomialDecay(0.1, 15, end_learning_rate=0.01, power=2.0)",
    "InverseTimeDecay(0.1, 4, 0.5)",
    "InverseTimeDecay(0.1, 4, 0.5, staircase=True)",
]
OPTAX = [
    "constant_schedule(0.3)",
    "linear_schedule(0.1, 0.01, 12)",
    "linear_schedule(0.0, 0.1, transition_steps=12, transition_begin=3)",
    "polynomial_schedule(0.1, 0.01, 3, 12, 4)",
    "cosine_decay_schedule(0.1, 20)",
    "cosine_decay_schedule(0.1, 20, alpha=0.1, exponent=2.0)",
    "exponential_decay(0.1, 6, 0.7)",
    "exponential_decay(0.1, 6, 0.7, transition_begin=4, staircase=True, end_value=0.03)",
    "exponential_decay(0.1, 6, 1.5, end_value=0.4)",
    "piecewise_constant_schedule(0.1, {5: 0.5, 12: 0.1})",
    "warmup_constant_schedule(0.0, 0.1, 9)",
    "warmup_cosine_decay_schedule(0.0, 0.1, 5, 25)",
    "warmup_cosine_decay_schedule(0.01, 0.1, warmup_steps=5, decay_steps=25, end_value=0.001, exponent=1.5)",
    "warmup_exponential_decay_schedule(0.0, 0.1, 5, 10, 0.5)",
    "sgdr_schedule([dict(init_value=0.0, peak_value=0.1, warmup_steps=2, decay_steps=10), "
    "dict(init_value=0.0, peak_value=0.05, warmup_steps=3, decay_steps=20, end_value=0.001)])",
    "join_schedules([linear_schedule(0.0, 0.1, 5), cosine_decay_schedule(0.1, 10), constant_schedule(0.002)], [5, 18])",
]
TORCH = [
    "ConstantLR(optimizer)",
    "ConstantLR(optimizer, factor=0.5, total_iters=9)",
    "LinearLR(optimizer)",
    "LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=11)",
    "StepLR(optimizer, 7, gamma=0.5)",
    "MultiStepLR(optimizer, milestones=[5, 12, 20], gamma=0.3)",
    "ExponentialLR(optimizer, 0.9)",
    "PolynomialLR(optimizer, total_iters=15, power=2.0)",
    "CosineAnnealingLR(optimizer, T_max=12)",
    "CosineAnnealingLR(optimizer, 12, eta_min=0.004)",
    "CosineAnnealingWarmRestarts(optimizer, T_0=5)",
    "CosineAnnealingWarmRestarts(optimizer, 3, T_mult=2, eta_min=0.004)",
    "CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=3)",
    "OneCycleLR(optimizer, 0.2, total_steps=40, cycle_momentum=False)",
    "OneCycleLR(optimizer, max_lr=0.2, epochs=5, steps_per_epoch=8, anneal_strategy='linear', pct_start=0.25, "
    "div_factor=10.0, three_phase=True, cycle_momentum=False)",
    "SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=5), CosineAnnealingLR(optimizer, T_max=20)], [5])",
    "SequentialLR(optimizer, schedulers=[ConstantLR(optimizer, 0.1, 3), StepLR(optimizer, 4, 0.5)], milestones=[6])",
]
TRANSFORMERS = [
    "get_constant_schedule(optimizer)",
    "get_constant_schedule_with_warmup(optimizer, num_warmup_steps=7)",
    "get_linear_schedule_with_warmup(optimizer, 5, 25)",
    "get_linear_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=30)",
    "get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=5, num_training_steps=25)",
    "get_cosine_schedule_with_warmup(optimizer, 0, 40, num_cycles=1.5)",
    "get_cosine_with_min_lr_schedule_with_warmup(optimizer, 4, 24, min_lr=0.005)",
    "get_cosine_with_min_lr_schedule_with_warmup(optimizer, 4, 24, min_lr_rate=0.2)",
    "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 4, 34, num_cycles=3)",
    "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 1, 36, num_cycles=7)",
    "get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 0, 38, num_cycles=4)",
    "get_polynomial_decay_schedule_with_warmup(optimizer, 4, 24, lr_end=0.001, power=2.0)",
    "get_inverse_sqrt_schedule(optimizer, num_warmup_steps=6)",
    "get_inverse_sqrt_schedule(optimizer, num_warmup_steps=6, timescale=3)",
    "get_wsd_schedule(optimizer, 4, 10, num_training_steps=30)",
    "get_wsd_schedule(optimizer, 4, 10, num_stable_steps=8, warmup_type='cosine', decay_type='linear', "
    "min_lr_ratio=0.1)",
]


def main() -> None:
    import keras
    import optax
    import torch
    import transformers

    found: dict[str, list[float]] = {}
    for call in KERAS:
        schedule = eval(call, vars(keras.optimizers.schedules))
        found[f"keras.optimizers.schedules.{call}"] = [float(schedule(k)) for k in range(COUNT)]
    for call in OPTAX:
        schedule = eval(call, vars(optax))
        found[f"optax.{call}"] = [float(schedule(k)) for k in range(COUNT)]
    known = {**vars(torch.optim.lr_scheduler), **vars(transformers.optimization)}
    for call in [*TORCH, *TRANSFORMERS]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = eval(call, {**known, "optimizer": optimizer})
            values = []
            for k in range(COUNT):
                values.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                if k + 1 < COUNT:
                    scheduler.step()
        found[call] = [float(v) for v in values]
    OUT.write_text(json.dumps({"lr": LR, "values": found}, indent=0) + "\n")


if __name__ == "__main__":
    main()
