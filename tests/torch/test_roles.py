"""Roles told from models, and one optimizer with a rule for each role."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

import ravine
from ravine import recipe, recipes
from ravine.torch import SetOptimizer, roles


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return x + self.out_proj(nn.functional.scaled_dot_product_attention(q, k, v))


class Model(nn.Module):
    def __init__(self, is_tied: bool = False, blocks: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens = nn.Embedding(11, 8)
        self.pos_embed = nn.Parameter(torch.randn(5, 8))
        self.blocks = nn.ModuleList(Block(8) for _ in range(blocks))
        self.scale = nn.Parameter(torch.ones(8))
        self.lm_head = nn.Linear(8, 11, bias=False)
        if is_tied:
            self.lm_head.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x) + self.pos_embed
        for block in self.blocks:
            h = block(h)
        return self.lm_head(self.scale * h)


SET = recipes(hidden=recipe("lion", lr=0.01), rest=recipe("adamw", lr=0.02, weight_decay=0.1))


def train(model: nn.Module, optimizer: Any, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        x = torch.randint(11, (4, 5), generator=torch.Generator().manual_seed(step))
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), x.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_a_model_says_what_its_parameters_are_for() -> None:
    found = roles(Model())
    assert {n: p.role for n, p in found.items() if "blocks.1" not in n and "blocks.2" not in n} == {
        "pos_embed": "embedding",
        "scale": "gain",
        "tokens.weight": "embedding",
        "blocks.0.norm.weight": "gain",
        "blocks.0.norm.bias": "bias",
        "blocks.0.qkv.weight": "matrix",
        "blocks.0.qkv.bias": "bias",
        "blocks.0.out_proj.weight": "matrix",
        "lm_head.weight": "head",
    }
    assert found["blocks.2.qkv.weight"].parts == ("q", "k", "v")
    assert "blocks.0…2.qkv.weight" in str(found)


def test_a_tied_weight_is_there_once_and_is_an_embedding() -> None:
    found = roles(Model(is_tied=True))
    assert "lm_head.weight" not in found
    assert found["tokens.weight"].also == ("lm_head.weight",)
    assert found["tokens.weight"].role == "embedding"


class HeadFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(4, 7, bias=False)
        self.words = nn.Embedding(7, 4)
        self.words.weight = self.decoder.weight


def test_a_tied_weight_is_an_embedding_though_its_other_layer_comes_first() -> None:
    found = roles(HeadFirst())
    assert list(found) == ["words.weight"]
    assert (found["words.weight"].role, found["words.weight"].also) == ("embedding", ("decoder.weight",))
    assert roles(HeadFirst(), told={"decoder.*": "head"})["words.weight"].role == "head"


@pytest.mark.parametrize(
    ("layer", "key", "role", "matrices"),
    [
        (nn.Conv2d(3, 4, 2), "weight", "convolution", 1),
        (nn.Conv2d(4, 4, 2, groups=4), "weight", "depthwise", 1),
        (nn.ConvTranspose1d(3, 4, 2), "weight", "convolution", 1),
        (nn.Bilinear(3, 4, 2), "weight", "matrix", 2),
        (nn.LSTM(3, 4), "weight_ih_l0", "matrix", 1),
        (nn.LSTM(3, 4), "bias_hh_l0", "bias", 1),
        (nn.MultiheadAttention(4, 2), "in_proj_weight", "matrix", 1),
        (nn.EmbeddingBag(3, 4), "weight", "embedding", 1),
        (nn.BatchNorm1d(3), "weight", "gain", 1),
        (nn.PReLU(), "weight", "gain", 1),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), "parametrizations.weight.original0", "gain", 1),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), "parametrizations.weight.original1", "matrix", 1),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_layers_of_torch(layer: nn.Module, key: str, role: str, matrices: int) -> None:
    model = nn.Sequential(layer, nn.Linear(4, 3))
    found = roles(model)[f"0.{key}"]
    assert (found.role, found.matrices) == (role, matrices)
    assert roles(model)["1.weight"].role == "head"


class MoE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Module()
        self.experts.gate_up_proj = nn.Parameter(torch.ones(4, 6, 3))
        self.experts.gate_up_proj_bias = nn.Parameter(torch.ones(4, 6))
        self.mystery = nn.Parameter(torch.ones(4, 6))


def test_experts_are_one_matrix_each_and_what_cant_be_told_is_refused() -> None:
    with pytest.raises(ValueError, match=r"role of 1 parameters can't be told.*\n  mystery  4×6\nsay what") as error:
        roles(MoE())
    assert "told={'mystery': 'matrix'}" in str(error.value)
    found = roles(MoE(), told={"myst*": "matrix"})
    assert found["mystery"].role == "matrix"
    assert (found["experts.gate_up_proj"].matrices, found["experts.gate_up_proj"].parts) == (4, ("gate", "up"))
    assert found["experts.gate_up_proj_bias"].role == "bias"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: roles(Model().parameters()), TypeError, "must be a torch.nn.Module, got generator"),
        (lambda: roles(Model(), {"nobody*": "matrix"}), ValueError, "unknown parameter in told: 'nobody"),
        (lambda: roles(Model(), {"scale": "gian"}), ValueError, "did you mean 'gain'"),
        (lambda: roles(nn.LazyLinear(3)), ValueError, "has no shape yet: call the model once"),
        (lambda: roles(Model()).of("matrices"), ValueError, "did you mean 'matrix'"),
        (lambda: recipes(hiden=recipe("adam")).torch(Model()), ValueError, "did you mean 'hidden'"),
        (lambda: recipes(hidden=recipe("adam")).torch(Model()), ValueError, "such as pos_embed .embedding.*rest="),
        (lambda: SET.torch(Model(), no_decay="biases"), ValueError, "did you mean 'bias'"),
        (lambda: SET.torch(Model(), layer_decay=0.0), ValueError, "layer_decay must be a factor above 0"),
        (lambda: SET.torch({"hidden": [], "rest": []}, no_decay=True), ValueError, "are for a model"),
        (lambda: SetOptimizer([{"params": [torch.ones(2)]}]), ValueError, "a group needs a recipe"),
        (lambda: SetOptimizer([{"params": [torch.ones(2)], "recipe": "adam"}]), TypeError, "must be a Recipe"),
        (lambda: SET.torch(Model()).add_param_group({"params": [], "rule": "gd"}), ValueError, "unknown rule of this"),
        (lambda: SET.torch(Model()).add_param_group({"params": []}), ValueError, "a group needs a recipe"),
    ],
)
def test_misuse_raises(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_each_group_is_stepped_by_its_own_rule() -> None:
    """As two optimizers would, bit for bit."""
    model, twin = Model(), Model()
    optimizer = SET.torch(model)
    found = roles(twin)
    lion = SET["hidden"].torch(found.of("matrix", "convolution"))
    adamw = SET["rest"].torch(found.of("embedding", "head", "gain", "bias"))

    class Both:
        def zero_grad(self) -> None:
            lion.zero_grad()
            adamw.zero_grad()

        def step(self) -> None:
            lion.step()
            adamw.step()

    train(model, optimizer, 5)
    train(twin, Both(), 5)
    assert equal(model, twin)
    assert [g["rule"] for g in optimizer.param_groups] == ["adamw", "lion"]


def test_decay_and_rates_by_role_and_depth() -> None:
    assigned = SET.assign(Model(), no_decay=True, layer_decay=0.5)
    by_name = {a.place.name: a for a in assigned.assigned}
    assert by_name["lm_head.weight"].recipe == SET["rest"]
    assert by_name["scale"].recipe.hyper["weight_decay"] == 0.0
    assert by_name["scale"].remarks == "weight_decay 0 for gain, not 0.1; lr × 0.5^4"
    rates = {n: a.recipe.hyper["lr"] for n, a in by_name.items()}
    assert rates["blocks.0.qkv.weight"] == 0.01 * 0.5**3
    assert rates["blocks.2.qkv.weight"] == 0.01 * 0.5
    assert rates["tokens.weight"] == 0.02 * 0.5**4
    line = next(row for row in str(assigned).splitlines() if row.startswith("lm_head"))
    assert line.split() == ["lm_head.weight", "11×8", "head", "rest", "adamw", *line.split()[5:]]


def test_the_optimizer_prints_what_each_parameter_follows_now() -> None:
    optimizer = SET.torch(Model())
    optimizer.param_groups[1]["lr"] = 0.125
    lines = optimizer.table().splitlines()
    assert any(row.startswith("blocks.0…2.qkv.weight") and "lion" in row and "lr=0.125" in row for row in lines)
    assert any("pos_embed" in row and "embedding" in row and "adamw" in row for row in lines)


def test_checkpoints_pickles_and_copies_go_on_alike() -> None:
    model = Model()
    optimizer = SET.torch(model, no_decay=True)
    train(model, optimizer, 3)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = Model()
    again.load_state_dict(saved["model"])
    restored = SET.torch(again, no_decay=True)
    restored.load_state_dict(saved["optimizer"])
    both = copy.deepcopy((model, optimizer))
    third = pickle.loads(pickle.dumps((model, optimizer)))
    train(model, optimizer, 3, 3)
    for other, its_optimizer in ((again, restored), both, third):
        train(other, its_optimizer, 3, 3)
        assert equal(model, other)
    assert both[1].table() == optimizer.table()


def test_a_checkpoint_of_another_set_is_refused() -> None:
    other = recipes(hidden=recipe("momentum"), rest=recipe("adamw")).torch(Model())
    with pytest.raises(ValueError, match="'hidden' follows lion here, and momentum in what"):
        SET.torch(Model()).load_state_dict(other.state_dict())


def test_schedulers_and_new_groups() -> None:
    model = Model()
    optimizer = SET.torch(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    extra = nn.Linear(3, 3)
    train(model, optimizer, 1)
    scheduler.step()
    assert [g["lr"] for g in optimizer.param_groups] == [0.01, 0.005]
    optimizer.add_param_group({"params": extra.named_parameters(), "recipe": recipe("momentum", lr=0.5)})
    optimizer.add_param_group({"params": [("new", nn.Parameter(torch.ones(2)))], "rule": "lion", "lr": 0.25})
    for p in extra.parameters():
        p.grad = torch.ones_like(p)
    before = extra.bias.clone()
    optimizer.step()
    assert torch.equal(extra.bias, before - 0.5)
    assert [g["rule"] for g in optimizer.param_groups] == ["adamw", "lion", "momentum", "lion"]
    assert optimizer.param_groups[3]["beta2"] == 0.99


def test_a_start_is_kept_apart_from_the_rule_s_own() -> None:
    started = recipe("rmsprop", start={"s": 1.0}, lr=0.1)
    a, b = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = recipes(a=started, b=recipe("rmsprop", lr=0.1)).torch({"a": [a], "b": [b]})
    for p in (a, b):
        p.grad = torch.full((3,), 0.5)
    optimizer.step()
    assert optimizer.state[a]["s"][0] > 0.9 > optimizer.state[b]["s"][0]
    assert ravine.RecipeSet.from_json(recipes(a=started).to_json())["a"] == started


def test_a_method_of_matrices_steps_each_expert_alone_and_refuses_vectors() -> None:
    model = MoE()
    del model.mystery
    with torch.no_grad():
        model.experts.gate_up_proj.copy_(torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0)))
    twins = [nn.Parameter(one.clone()) for one in model.experts.gate_up_proj.detach()]
    optimizer = recipes(hidden=recipe("muon", lr=0.1), rest=recipe("adamw")).torch(model)
    alone = recipe("muon", lr=0.1).torch(twins)
    for step in range(3):
        g = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(step + 1))
        model.experts.gate_up_proj.grad = g
        for p, own in zip(twins, g, strict=True):
            p.grad = own.clone()
        optimizer.step()
        alone.step()
    torch.testing.assert_close(model.experts.gate_up_proj.detach(), torch.stack([p.detach() for p in twins]))
    assert "stacked(muon)" in optimizer.table()
    with pytest.raises(ValueError, match=r"muon works on matrices, and scale of shape \(8,\) is none: give gains"):
        recipes(rest=recipe("muon")).torch(Model())


def test_vectors_are_refused_where_matrices_are_multiplied() -> None:
    vector, row = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"muon works on matrices, and bias of shape \(3,\) is none"):
        recipe("muon").torch([("weight", row), ("bias", vector)])
    whole = recipe("muon").torch([row])
    with pytest.raises(ValueError, match=r"parameter 0 of shape \(3,\)"):
        whole.add_param_group({"params": vector})
    assert len(whole.param_groups) == 1
    with pytest.raises(ValueError, match=r"parameter 0 of shape \(3,\)"):
        recipes(hidden=recipe("muon"), rest=recipe("adamw")).torch({"hidden": [vector], "rest": [row]})
    with pytest.raises(TypeError, match=r"a mapping from parts to parameters.* got list"):
        recipes(hidden=recipe("muon"), rest=recipe("adamw")).torch([row, vector])


def test_a_matrix_of_one_row_or_column_is_a_matrix() -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 4), nn.Linear(4, 3))
    optimizer = recipes(hidden=recipe("muon"), rest=recipe("adamw")).torch(model)
    assert optimizer.param_groups[0]["param_names"] == ["0.weight", "1.weight"]


LAB = ["digits", "digits-cnn", "digits-resnet", "denoise", "stdlib-lm", "stdlib-gpt"]


@pytest.mark.parametrize("name", LAB)
def test_the_lab_s_own_models_say_what_their_parameters_are_for(name: str) -> None:
    from ravine.lab.tasks import find

    found = roles(find(name).model())
    assert any(p.role in ("head", "embedding") for p in found.values())  # stdlib-gpt multiplies by its embedding
    assert any(p.role in ("matrix", "convolution") for p in found.values())
