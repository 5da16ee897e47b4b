"""Random training programs: class, options, types, layouts, gradients, checkpoints, groups, modes, state set by hand.

After every step parameters and state are compared, then torch's numbers are copied into ours, so that errors of the
last place can't grow into differences that mean nothing. `make fuzz` runs thousands of programs.
"""

from __future__ import annotations

import copy
import io
import os
from contextlib import nullcontext
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from steplock import NAMES, copy_into, default_dtype, gaps, ours, snapshot, takes_late_parameters, theirs
from torch.utils._python_dispatch import TorchDispatchMode

PROGRAMS = int(os.environ.get("RAVINE_FUZZ", "0"))
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")

ULPS = {torch.float64: 2000.0, torch.float32: 64.0, torch.complex128: 2000.0, torch.complex64: 64.0}
"""A wrong term is off by billions of units in the last place, a power of β that was rounded otherwise by hundreds."""

COUNTERPART = {
    torch.float64: torch.complex128,
    torch.float32: torch.complex64,
    torch.complex128: torch.float64,
    torch.complex64: torch.float32,
}
"""The complex type of a real one's parts, and back: the fused engine stores both alike."""

RATES = st.sampled_from([0.001, 0.03, 1.0])
BETAS = st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.5, 0.9)])
DECAYS = st.sampled_from([0.0, 0.0, 0.01, 0.3])
COMMON = {"lr": RATES, "weight_decay": DECAYS, "maximize": st.booleans()}
OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "dampening": st.sampled_from([0.0, 0.3]),
        "nesterov": st.booleans(),
    },
    "RMSprop": {
        "alpha": st.sampled_from([0.5, 0.99]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "centered": st.booleans(),
        "eps": st.sampled_from([1e-8, 1e-3]),
    },
    "Adagrad": {
        "lr_decay": st.sampled_from([0.0, 0.1]),
        "initial_accumulator_value": st.sampled_from([0.0, 0.1]),
        "eps": st.sampled_from([1e-10, 1e-3]),
    },
    "Adadelta": {"rho": st.sampled_from([0.5, 0.9]), "eps": st.sampled_from([1e-6, 1e-2])},
    "Adam": {"betas": BETAS, "amsgrad": st.booleans(), "decoupled_weight_decay": st.booleans()},
    "AdamW": {"betas": BETAS, "amsgrad": st.booleans()},
    "NAdam": {"betas": BETAS, "momentum_decay": st.sampled_from([0.0, 0.004]), "decoupled_weight_decay": st.booleans()},
    "RAdam": {"betas": BETAS, "decoupled_weight_decay": st.booleans()},
    "Adamax": {"betas": BETAS},
    "Rprop": {
        "etas": st.sampled_from([(0.5, 1.2), (0.25, 2.0)]),
        "step_sizes": st.sampled_from([(1e-6, 50), (1e-3, 0.1)]),
    },
    "ASGD": {
        "lambd": st.sampled_from([0.0, 1e-4, 0.1]),
        "alpha": st.sampled_from([0.5, 0.75]),
        "t0": st.sampled_from([0.0, 2.0]),
    },
}
WITHOUT_DECAY = ("Rprop",)
FIXED = {
    "SGD": ("nesterov", "momentum", "dampening"),
    "RMSprop": ("centered", "momentum"),
    "Adagrad": ("initial_accumulator_value",),
    "Adam": ("amsgrad",),
    "AdamW": ("amsgrad",),
}
"""Options that a program does not change once there is state: torch itself trips over them."""


def draw_options(draw: Any, name: str, *, in_group: bool) -> dict[str, Any]:
    known = {n: s for n, s in {**COMMON, **OPTIONS[name]}.items() if n != "weight_decay" or name not in WITHOUT_DECAY}
    options = {n: draw(s) for n, s in known.items() if not in_group or draw(st.booleans())}
    if options.get("nesterov") and (not options.get("momentum") or options.get("dampening")):
        options["nesterov"] = False
    if in_group:
        return {n: v for n, v in options.items() if n not in FIXED.get(name, ())}
    return options


def tensor(draw: Any, dtype: Any) -> Any:
    """A parameter in one of the layouts that models have."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    shape = draw(st.sampled_from([(), (0,), (1,), (7,), (65,), (3, 5), (2, 3, 4, 5)]))
    values = torch.randn(shape, generator=random, dtype=dtype)
    layout = draw(st.sampled_from(["plain", "plain", "transposed", "channels_last", "strided"]))
    if layout == "transposed" and values.dim() == 2:
        values = values.t()
    if layout == "channels_last" and values.dim() == 4:
        values = values.to(memory_format=torch.channels_last)
    if layout == "strided" and values.dim():
        values = torch.stack([values, values], -1)[..., 0]
    return values


def gradient(draw: Any, p: Any, group: dict[str, Any]) -> Any:
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    g = torch.randn(p.shape, generator=random, dtype=p.dtype)
    if group.get("weight_decay"):  # g + λx must not cancel: the last bit would become the first
        a, x = (torch.view_as_real(t) if t.is_complex() else t for t in (g, p.detach()))
        a.copy_(a.abs() * x.sign() * (-1 if group["maximize"] else 1))
    layout = draw(st.sampled_from(["plain", "plain", "like the parameter", "expanded"]))
    if layout == "like the parameter":
        return torch.empty_like(p).copy_(g)
    if layout == "expanded" and p.dim() == 2 and not group.get("weight_decay"):
        return g[:1].expand(p.shape)
    return g


def through_file(state_dict: Any) -> Any:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def reordered(_: Any, state_dict: Any) -> Any:
    """The parameters' numbers backwards in each group."""
    groups = [{**group, "params": group["params"][::-1]} for group in state_dict["param_groups"]]
    return {**state_dict, "param_groups": groups}


class Pass(TorchDispatchMode):
    """Sees every operation and changes none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Pair:
    """torch's optimizer and ours over equal parameters."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.name = draw, draw(st.sampled_from(NAMES))
        self.dtype = draw(st.sampled_from(list(ULPS)))
        options = draw_options(draw, self.name, in_group=False)
        self.ways = [{}, {"foreach": True}, {"foreach": False}]
        if self.name in FUSED and not self.dtype.is_complex and torch.get_default_dtype() is torch.float32:
            self.ways.append({"fused": True})
        way = draw(st.sampled_from(self.ways))
        self.types = [self.dtype] if "fused" in way else [self.dtype, self.dtype, COUNTERPART[self.dtype]]
        if "foreach" in way and way["foreach"] is not True and draw(st.booleans()):
            options["lr"] = torch.tensor(
                options["lr"], dtype=torch.float64
            )  # with float32 torch rounds lr/(1-βᵗ) to it
        note(f"{self.name} {self.dtype} {options} {way}")
        first = self.new_parameters()
        self.theirs = theirs(self.name)(first[0], **copy.deepcopy(options), foreach=False)
        self.make = lambda params: ours(self.name)(params, **copy.deepcopy(options), **way)
        self.ours = self.make(first[1])

    def new_parameters(self) -> tuple[list[Any], list[Any]]:
        types = [self.draw(st.sampled_from(self.types)) for _ in range(self.draw(st.integers(1, 3)))]
        values = [tensor(self.draw, dtype) for dtype in types]
        both = [[v.detach().clone(memory_format=torch.preserve_format) for v in values] for _ in range(2)]
        return [v.requires_grad_() for v in both[0]], [v.requires_grad_() for v in both[1]]

    def parameters(self, optimizer: Any) -> list[Any]:
        return [p for group in optimizer.param_groups for p in group["params"]]

    def step(self) -> None:
        """Some parameters have no gradient."""
        a, b = self.parameters(self.theirs), self.parameters(self.ours)
        before = snapshot(self.theirs, a)
        for group, mine in zip(self.theirs.param_groups, self.ours.param_groups, strict=True):
            for p, q in zip(group["params"], mine["params"], strict=True):
                if self.draw(st.integers(0, 4)):
                    p.grad = gradient(self.draw, p, group)
                    q.grad = p.grad if self.draw(st.booleans()) else p.grad.clone()
                elif group.get("weight_decay"):  # an old gradient might cancel
                    p.grad = q.grad = None
        self.theirs.step()
        with Pass() if self.draw(st.integers(0, 5)) == 0 else nullcontext():
            self.ours.step()
        found = gaps(snapshot(self.theirs, a), snapshot(self.ours, b), before)
        allowed = ULPS[self.dtype] * {"RAdam": 10, "ASGD": 16}.get(self.name, 1)  # an average near zero cancels
        if self.name in ("NAdam", "ASGD") and torch.get_default_dtype() is torch.float32:
            # NAdam's product of momenta and ASGD's first rate are float32 then: torch goes on with the rounded number,
            # we round what is stored.
            allowed *= torch.finfo(torch.float32).eps / torch.finfo(self.dtype).eps
        assert max(found.values(), default=0.0) <= allowed, found
        copy_into(self.ours, b, self.theirs, a)

    def forget_gradients(self) -> None:
        to_none = self.draw(st.booleans())
        for optimizer in (self.ours, self.theirs):
            for p in self.parameters(optimizer):
                if p.grad is not None and p.grad.layout is torch.strided:
                    p.grad = p.grad.contiguous()
            optimizer.zero_grad(set_to_none=to_none)

    def add_group(self) -> None:
        if not takes_late_parameters(self.name):
            return
        options = draw_options(self.draw, self.name, in_group=True)
        for optimizer, params in zip((self.theirs, self.ours), self.new_parameters(), strict=True):
            optimizer.add_param_group({"params": params, **options})

    def change_options(self) -> None:
        number = self.draw(st.integers(0, len(self.theirs.param_groups) - 1))
        changes = draw_options(self.draw, self.name, in_group=True)
        for optimizer in (self.theirs, self.ours):
            if not isinstance(optimizer.param_groups[number]["lr"], torch.Tensor):
                optimizer.param_groups[number].update(changes)

    def change_hands(self) -> None:
        """Our next optimizer loads what torch's saved, or what ours did."""
        source = self.draw(st.sampled_from([self.ours, self.theirs]))
        saved = source.state_dict()
        if self.draw(st.booleans()):
            saved = through_file(saved)
        groups = [{"params": group["params"]} for group in self.ours.param_groups]
        self.ours = self.make(groups)
        if self.draw(st.booleans()):  # a hook puts right what is in another order
            saved = reordered(self.ours, saved)
            self.ours.register_load_state_dict_pre_hook(reordered)
        self.ours.load_state_dict(saved)

    def copy(self) -> None:
        self.theirs, self.ours = copy.deepcopy(self.theirs), copy.deepcopy(self.ours)

    def move(self) -> None:
        """Parameters get other memory, as `model.to` gives them."""
        for p in self.parameters(self.ours):
            p.data = p.data.clone()

    def replace_state(self) -> None:
        """Equal numbers in other memory, which may be what was free a moment ago, and in another layout."""
        for p in self.parameters(self.ours):
            state = self.ours.state.get(p, {})
            for key in [k for k, v in state.items() if isinstance(v, torch.Tensor) and self.draw(st.booleans())]:
                old = state.pop(key)
                dtype, shape, numbers = old.dtype, old.shape, old.tolist()
                del old
                value = torch.tensor(numbers, dtype=dtype).reshape(shape)
                state[key] = value.t().contiguous().t() if value.dim() == 2 and self.draw(st.booleans()) else value

    def forget_state(self) -> None:
        """Of all parameters, or of some."""
        if self.name == "Adagrad":
            return  # torch makes its state with the optimizer, and only then
        pairs = list(zip(self.parameters(self.theirs), self.parameters(self.ours), strict=True))
        for p, q in pairs if self.draw(st.booleans()) else pairs[:1]:
            self.theirs.state.pop(p, None)
            self.ours.state.pop(q, None)

    def drop_group(self) -> None:
        if len(self.ours.param_groups) == 1:
            return
        number = self.draw(st.integers(0, len(self.ours.param_groups) - 1))
        for optimizer in (self.theirs, self.ours):
            for p in optimizer.param_groups.pop(number)["params"]:
                optimizer.state.pop(p, None)


ACTIONS = ["step", "step", "step", "forget_gradients", "add_group", "change_options", "change_hands", "copy", "move"]
ACTIONS += ["replace_state", "forget_state", "drop_group"]


@settings(
    max_examples=PROGRAMS or 60,
    derandomize=not PROGRAMS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, *([Phase.shrink] if PROGRAMS else [])],
)
@given(data=st.data())
def test_random_programs_go_as_with_torch(data: Any) -> None:
    wide = data.draw(st.booleans())
    with default_dtype(torch.float64 if wide else torch.float32):
        pair = Pair(data.draw)
        for action in data.draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=8)):
            note(action)
            getattr(pair, action)()
        pair.step()
