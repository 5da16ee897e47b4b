"""Hold `ravine.torch.roles` to what real models do with their parameters: `make check-roles`.

Architectures of timm and transformers are built from their default configurations without weights (on torch's meta
device). A forward pass is watched: what a parameter is multiplied, looked up, convolved or added with says what it is
for, whatever it is called. The judgement has nothing in common with what it judges. For timm's models, depths and the
parameters without decay are held to timm's own. What was found goes to tests/recorded/roles.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ravine.torch import Roles, roles

TORCHVISION = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):  # torchvision from the package index is a CUDA build: without one its import fails
    with contextlib.suppress(RuntimeError):
        TORCHVISION.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

OUT = Path(__file__).resolve().parent.parent / "tests" / "recorded" / "roles.json"

TIMM = (
    "vit_base_patch16_224",
    "deit_base_distilled_patch16_224",
    "beit_base_patch16_224",
    "beitv2_base_patch16_224",
    "eva02_base_patch14_224",
    "cait_s24_224",
    "xcit_small_12_p16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "convnext_tiny",
    "convnextv2_tiny",
    "maxvit_tiny_tf_224",
    "coatnet_0_rw_224",
    "mixer_b16_224",
    "resmlp_12_224",
    "poolformer_s12",
    "resnet50",
    "resnetv2_50",
    "densenet121",
    "vgg16",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "regnety_016",
    "inception_v3",
    "nfnet_f0",
    "levit_128",
    "pvt_v2_b1",
    "hiera_tiny_224",
    "mvitv2_tiny",
    "crossvit_15_240",
    "volo_d1_224",
    "vit_so400m_patch14_siglip_224",
    "xception41",
    "fastvit_t8",
    "efficientformer_l1",
    "focalnet_tiny_srf",
)
CAUSAL = (
    "gpt2",
    "gpt_neo",
    "gptj",
    "gpt_neox",
    "opt",
    "bloom",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "phi",
    "phi3",
    "falcon",
    "stablelm",
    "olmo2",
    "cohere",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "gpt_oss",
    "deepseek_v3",
    "olmoe",
    "granitemoe",
    "mamba",
    "rwkv",
)
MASKED = ["bert", "roberta", "distilbert", "electra", "albert", "deberta-v2", "modernbert", "xlm-roberta"]
SEQUENCES = ["t5", "bart"]

MATRIX, LOOKED_UP, CONVOLVED, GAIN, ADDED = "matrix", "looked up", "convolved", "gain", "added"
USES: dict[str, dict[int, str]] = {
    "linear": {1: MATRIX, 2: ADDED},
    "embedding": {1: LOOKED_UP},
    "conv1d": {1: CONVOLVED, 2: ADDED},
    "conv2d": {1: CONVOLVED, 2: ADDED},
    "conv3d": {1: CONVOLVED, 2: ADDED},
    "conv_transpose2d": {1: CONVOLVED, 2: ADDED},
    "layer_norm": {2: GAIN, 3: ADDED},
    "rms_norm": {2: GAIN},
    "group_norm": {2: GAIN, 3: ADDED},
    "batch_norm": {3: GAIN, 4: ADDED},
    "matmul": {0: MATRIX, 1: MATRIX},
    "__matmul__": {0: MATRIX, 1: MATRIX},
    "bmm": {0: MATRIX, 1: MATRIX},
    "addmm": {0: ADDED, 2: MATRIX},
    "_grouped_mm": {1: MATRIX},
    "grouped_mm": {1: MATRIX},
    "mul": {0: GAIN, 1: GAIN},
    "__mul__": {0: GAIN, 1: GAIN},
    "__rmul__": {0: GAIN, 1: GAIN},
    "add": {0: ADDED, 1: ADDED},
    "__add__": {0: ADDED, 1: ADDED},
    "__iadd__": {0: ADDED, 1: ADDED},
    "prelu": {1: GAIN},
}
"""What the arguments of torch's functions are for, by their places."""
NAMES = {
    "weight": {"linear": 1, "embedding": 1, "layer_norm": 2, "rms_norm": 2, "group_norm": 2, "batch_norm": 3},
    "bias": {"linear": 2, "layer_norm": 3, "group_norm": 3, "batch_norm": 4},
}
VIEWS = (
    "__getitem__",
    "t",
    "T",
    "transpose",
    "permute",
    "view",
    "reshape",
    "chunk",
    "split",
    "unbind",
    "expand",
    "contiguous",
    "to",
    "type_as",
    "unsqueeze",
    "squeeze",
    "flatten",
    "float",
    "index_select",
    "transpose_",
    "mT",
    "__get__",
    "clone",
)

ALLOWED = {
    MATRIX: {"matrix", "head"},
    LOOKED_UP: {"embedding"},
    CONVOLVED: {"convolution", "depthwise", "head"},
    GAIN: {"gain", "bias"},
    ADDED: {"bias", "embedding", "gain"},
}
"""Which roles a use allows: ones that are scaled or shifted by may be called either."""


TABLES = ("rel_pos", "relative_position_bias_table")
"""Tables whose rows are looked up by a product with what interpolates them."""


class Watch(TorchFunctionMode):
    """Notes what each parameter of a model is used for in a forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.uses: dict[str, set[str]] = {name: set() for name in self.names.values()}
        self.kept: list[Any] = []  # so that no id comes again

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.__name__
        for place, use in USES.get(name, {}).items():
            value = args[place] if place < len(args) else None
            self._note(value, use)
        for key, value in kwargs.items():
            if key in NAMES and name in NAMES[key]:
                self._note(value, USES[name][NAMES[key][name]])
        if name == "einsum":
            for value in args[1:]:
                self._note(value, MATRIX)
        if name in VIEWS and args and id(args[0]) in self.names:
            for value in out if isinstance(out, tuple | list) else (out,):
                self.names[id(value)] = self.names[id(args[0])]
                self.kept.append(value)
        return out

    def _note(self, value: Any, use: str) -> None:
        if id(value) in self.names:
            self.uses[self.names[id(value)]].add(use)


def problems(found: Roles, uses: dict[str, set[str]]) -> list[str]:
    """Where a role and what a parameter was used for don't go together."""
    result = []
    for name, p in found.items():
        seen = uses.get(name, set())
        if p.also and p.role == "embedding":  # tied: an output layer too
            seen = seen - {MATRIX}
        if p.role == "embedding" and any(table in name for table in TABLES):
            seen = seen - {MATRIX}
        strong = seen & {MATRIX, LOOKED_UP, CONVOLVED} or seen
        if strong and not any(p.role in ALLOWED[use] for use in strong):
            result.append(f"{name} {p.shape} is {', '.join(sorted(seen))}, and its role is {p.role}")
        if p.role in ("matrix", "convolution") and seen and not seen & {MATRIX, CONVOLVED}:
            result.append(f"{name} {p.shape} is only {', '.join(sorted(seen))}, and its role is {p.role}")
    return sorted(set(result))


def of_timm(model: nn.Module, found: Roles) -> list[str]:
    """Where timm's own order of a model's layers is another one; it may be coarser or finer."""
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(model, layer_decay=0.5)
    scales = {id(p): g["lr_scale"] for g in groups for p in g["params"]}
    # Embeddings are where they are registered; CaiT's last blocks timm counts as deep as those before them.
    of_blocks = [p for p in found.values() if p.role != "embedding" and not p.name.startswith("blocks_token_only.")]
    placed = sorted(of_blocks, key=lambda p: (p.depth, scales[id(p.tensor)]))
    result = []
    for p in placed:
        before = max((scales[id(q.tensor)] for q in placed if q.depth < p.depth), default=0.0)
        if scales[id(p.tensor)] < before:
            result.append(f"{p.name}: depth {p.depth} of {found.depths}, and timm has it before what is shallower here")
    return result


def examined(name: str, make: Callable[[], nn.Module], feed: Callable[[nn.Module], Any]) -> dict[str, Any]:
    """What is found of a model: counts of roles, what is notable, whether a pass could be watched, and problems."""
    with torch.device("meta"):
        model = make().eval()
        found = roles(model)
        watch, seen = Watch(model), ""
        try:
            with watch:
                feed(model)
        except Exception as error:
            seen = f"{type(error).__name__}: {error}".partition("\n")[0][:100]
    wrong = problems(found, watch.uses)
    used = sum(bool(u) for u in watch.uses.values())
    if name in TIMM:
        wrong += of_timm(model, found)
    return {
        "roles": dict(sorted(Counter(p.role for p in found.values()).items())),
        "heads": [p.name for p in found.values() if p.role == "head"],
        "tied": [p.name for p in found.values() if p.also and p.role == "embedding"],
        "fused": sum(bool(p.parts) for p in found.values()),
        "experts": sum(p.matrices > 1 for p in found.values()),
        "depths": found.depths,
        "watched": f"{used} of {len(found)}" + (f"; {seen}" if seen else ""),
        "problems": wrong,
    }


def cases() -> dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Any]]]:
    """Each architecture by name: how it is made, and how it is called."""
    import timm
    import transformers

    def image(model: Any) -> Any:
        return model(torch.zeros(2, *model.default_cfg["input_size"]))

    def text(model: Any) -> Any:
        ids = torch.zeros(1, 16, dtype=torch.long)
        more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
        try:
            return model(input_ids=ids, **more)
        except RuntimeError:  # a mask that is made looks at numbers, which there are none of
            return model(input_ids=ids, attention_mask=torch.ones_like(ids), **more)

    def configured(kind: str, name: str) -> Callable[[], nn.Module]:
        return lambda: getattr(transformers, kind).from_config(
            transformers.AutoConfig.for_model(name), dtype=torch.bfloat16
        )

    found: dict[str, Any] = {name: (lambda name=name: timm.create_model(name), image) for name in TIMM}
    for kind, names in (
        ("AutoModelForCausalLM", CAUSAL),
        ("AutoModelForMaskedLM", MASKED),
        ("AutoModelForSeq2SeqLM", SEQUENCES),
    ):
        found |= {f"transformers {name}": (configured(kind, name), text) for name in names}
    found["transformers vit"] = (
        configured("AutoModelForImageClassification", "vit"),
        lambda m: m(pixel_values=torch.zeros(1, 3, 224, 224, dtype=torch.bfloat16)),
    )
    pixels = torch.zeros(1, 3, 224, 224, dtype=torch.bfloat16, device="meta")
    found["transformers clip"] = (
        configured("AutoModel", "clip"),
        lambda m: m(input_ids=torch.zeros(1, 16, dtype=torch.long), pixel_values=pixels),
    )
    return found


def main() -> int:
    """Examine the models that are named, or all of them. Exit status 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    known = cases()
    result: dict[str, Any] = {}
    for name in options.models or known:
        try:
            result[name] = examined(name, *known[name])
        except Exception as error:
            if "can't be told" not in str(error):
                traceback.print_exc()
            result[name] = {"problems": [str(error)]}
        about = result[name]
        print(f"{name}: {about.get('roles')} heads {about.get('heads')}; watched {about.get('watched')}", flush=True)
        for line in about["problems"]:
            print(f"    {line}", flush=True)
    wrong = {n: a["problems"] for n, a in result.items() if a["problems"]}
    print(f"{len(result)} models, {len(wrong)} with problems")
    if not options.models:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
