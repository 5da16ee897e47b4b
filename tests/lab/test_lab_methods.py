"""Entering any optimizer: of a package, of a file, in a dialect's spelling; its groups, decay, clipping and modes."""

from __future__ import annotations

import sys
import textwrap
import types

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from torch import nn

from ravine.lab.compare import prepare
from ravine.lab.contender import parse
from ravine.lab.lookup import find
from ravine.lab.making import build
from ravine.lab.protocol import Protocol
from ravine.lab.records import FAILED, FINISHED, Settings
from ravine.lab.runner import run
from ravine.lab.schedule import Schedule
from ravine.lab.several import Several
from ravine.lab.task import Data, FunctionTask, Task


class Averaged(torch.optim.Optimizer):
    """Descends at a point that is not the one it evaluates, as schedule-free methods do. The mean of all iterates."""

    def __init__(self, params, lr=0.1, betas=(0.5, 0.9), every: int = 1, name="plain"):
        super().__init__(params, {"lr": lr, "betas": betas, "every": every, "name": name})
        self.is_training = False

    def train(self):
        if not self.is_training:
            self._swap()
        self.is_training = True

    def eval(self):
        if self.is_training:
            self._swap()
        self.is_training = False

    @torch.no_grad()
    def _swap(self):
        for p in (p for g in self.param_groups for p in g["params"]):
            other = self.state[p].setdefault("other", p.clone())
            kept = p.clone()
            p.copy_(other)
            other.copy_(kept)

    @torch.no_grad()
    def step(self, closure=None):
        assert self.is_training
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad
                self.state[p]["other"].lerp_(p, 0.5)


@pytest.fixture(autouse=True)
def package(monkeypatch):
    module = types.ModuleType("made_up_package")
    module.Averaged, module.__version__ = Averaged, "1.2"
    monkeypatch.setitem(sys.modules, "made_up_package", module)
    find.cache_clear()


def toy():
    def data():
        x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        y = x.sum(1, keepdim=True)
        return Data((x[:40], y[:40]), (x[40:], y[40:]))

    def model():
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    return Task("toy", "Toy", data, model, nn.functional.mse_loss, batch_size=20, evaluations=4)


def ran(text, steps=20, lr=0.05, task=None):
    (c,) = parse(text)
    schedule = c.schedule or "linear"
    settings = Settings("toy", c.name, c.rule, {"lr": lr, **c.fixed}, 0, steps, "final", 0, schedule=schedule)
    record = run(lambda: task or toy(), settings)
    assert record.status == FINISHED, record.message
    return record


def test_torchs_own_class_gives_the_curve_of_the_rule():
    rule, own = ran("adam"), ran("torch.optim:Adam")
    assert own.curve["loss"] == pytest.approx(rule.curve["loss"], rel=1e-5)
    assert ran("torch.optim:SGD[momentum=0.9]").curve != ran("torch.optim:SGD").curve
    assert ran("torch.optim:SGD[momentum=0.9,nesterov=True]").curve != ran("torch.optim:SGD[momentum=0.9]").curve


def test_betas_are_searched_one_by_one():
    (c,) = parse("torch.optim:AdamW", ["lr", "beta2", "weight_decay"])
    assert list(c.space) == ["lr", "beta2", "weight_decay"]
    assert c.space["beta2"] == find("adamw").span("beta2")
    optimizer = build(c.method, {"lr": 0.5, "beta2": 0.25}, [nn.Parameter(torch.ones(2, 2))])
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.25)


def test_muon_steps_the_hidden_matrices_and_adamw_the_rest():
    (c,) = parse("torch.optim:Muon")
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 5))
    optimizer = build(c.method, {"lr": 0.5}, model)
    muon, adamw = optimizer.parts
    assert isinstance(optimizer, Several)
    assert [p is model[1].weight for g in muon.param_groups for p in g["params"]] == [True]
    assert sum(len(g["params"]) for g in adamw.param_groups) == 6
    assert {g["lr"] for g in optimizer.param_groups} == {0.5}
    assert muon.param_groups[0]["adjust_lr_fn"] == "match_rms_adamw"
    assert "AdamW" in c.describe()["paper"]
    record = ran("torch.optim:Muon")
    assert record.loss < 0.5 * record.curve["loss"][0]
    assert record.rates[-1] == 0


def test_hidden_matrices_are_those_that_the_model_says_are():
    class Looked(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
            self.register_parameter(name, nn.Parameter(torch.ones(5, 4)))

    def hidden(model):
        muon = build(find("torch.optim:Muon"), {"lr": 0.5}, model).parts[0]
        return [tuple(p.shape) for g in muon.param_groups for p in g["params"]]

    assert hidden(Looked("pos_embed")) == [(4, 4)]
    assert hidden(Looked("what_is_it")) == [(5, 4), (4, 4), (2, 4)]  # it can't be told: all of two dimensions


@pytest.mark.parametrize(
    ("optimizers", "words"),
    [
        ("adam,[hidden=muon]", "muon can't step the model of digits: the set has no recipe for 3 parameters"),
        ("muon[lr=0.1]", "and parameter 1 of shape (64,) is none: .* that is muon-set"),
        ("keras.Muon", "is none: .* that is keras.Muon-set"),
    ],
)
def test_what_can_not_step_the_model_is_refused_before_anything_runs(optimizers, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        prepare("digits", parse(optimizers), Protocol(steps=1))


def test_state_is_what_the_task_s_model_has_of_it():
    """In bytes for each of its 4810 parameters, matrices of 64 × 64 and 10 × 64, and vectors of 64 and 10."""
    names = "adam,adafactor,[hidden=muon,rest=adamw],torch.optim:Adafactor,torch.optim:Muon,torch.optim:SGD"
    header = prepare("digits", parse(names), Protocol(steps=1))
    state = {c["rule"]: c["state_bytes"] * 4810 for c in header.contenders}
    factored = 4 * (64 + 64 + 10 + 64 + 64 + 10)
    assert state == pytest.approx(
        {
            "adam": 8 * 4810,
            "adafactor": factored + 4 * 2,  # a column has a mean of its own
            "[hidden=muon,rest=adamw]": 4 * 64 * 64 + 8 * (64 + 10 * 64 + 10),
            "torch.optim:Adafactor": factored,
            "torch.optim:Muon": 4 * 64 * 64 + 8 * (64 + 10 * 64 + 10),
            "torch.optim:SGD": 0,
        }
    )


def test_several_go_on_from_their_state():
    def make():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
        return model, build(find("torch.optim:Muon"), {"lr": 0.1}, model)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).sum().backward()
            optimizer.step()

    model, optimizer = make()
    steps(model, optimizer, 4)
    whole = [p.detach().clone() for p in model.parameters()]
    model, optimizer = make()
    steps(model, optimizer, 2)
    kept = optimizer.state_dict()
    optimizer = build(find("torch.optim:Muon"), {"lr": 0.7}, model)
    optimizer.load_state_dict(kept)
    assert {g["lr"] for g in optimizer.param_groups} == {0.1}
    steps(model, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, model.parameters(), strict=True))


def test_a_dialects_spelling_is_its_rule_with_its_values():
    first, second = parse("tensorflow.RMSPropOptimizer[momentum=0.9,epsilon=1.0,lr=0.01..1],keras.Adam(epsilon=1e-8)")
    assert first.method.own["mu"].default == 0.9
    assert first.space == {"lr": (0.01, 1.0, "log")}
    assert "s starts at 1" in first.method.equation
    assert second.method.own["eps"].default == 1e-8
    assert list(second.space) == ["lr"]
    assert ran("keras.Adam[epsilon=1e-7]").curve == ran("adam_eps_hat[eps=1e-7]").curve


def test_a_factory_of_a_file(tmp_path):
    file = tmp_path / "mine.py"
    body = """
        import torch

        def factory(params, lr=0.25, momentum=0.5):
            "Mine."
            return torch.optim.SGD(params, lr=lr, momentum=momentum)
        """
    file.write_text(textwrap.dedent(body))
    (c,) = parse(f"{file}:factory", ["lr", "momentum"])
    assert (c.name, c.method.title) == ("factory", "Mine")
    assert (c.space["lr"].low, c.space["lr"].high) == pytest.approx((0.25 * 10**-1.5, 0.25 * 10**2.5))
    assert tuple(c.space["momentum"]) == (0.0, 0.95, "log of 1 - value")
    before = c.method.equation
    assert ran(f"{file}:factory").curve == ran("torch.optim:SGD[momentum=0.5]").curve
    file.write_text(file.read_text() + "# changed\n")
    find.cache_clear()
    assert find(c.rule).equation != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torch.optim:Mun", "unknown torch optimizer in torch.optim: 'Mun'; did you mean 'Muon'"),
        ("torch.nn:Linear", "unknown torch optimizer in torch.nn"),
        ("not_installed:Adam", "is the package 'not_installed' installed?"),
        ("torch.optim:Adam[beta3=0.5]", "unknown hyperparameter of Adam 'beta3'; did you mean"),
        ("torch.optim:Adam[lr=-1]", "lr = -1.0 is not legal"),
        ("torch.optim:Adam(fusedd=True)", "unknown argument of Adam 'fusedd'; did you mean 'fused'"),
        ("torch.optim:Adam(True)", "arguments must be written as NAME=VALUE"),
        ("keras.Adan", "unknown optimizer of keras 'Adan'"),
        ("adam[schedule=cosin]", "unknown schedule of adam 'cosin'; did you mean 'cosine'"),
        ("adam[warmup=-1]", "warmup = -1.0 is not legal"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?").replace("[", r"\[")):
        parse(text)


def test_where_it_evaluates_is_where_it_is_measured():
    task = toy()
    record = ran("made_up_package:Averaged", task=task)
    torch.manual_seed(0)
    model, batches = task.model(), task.batches(0)
    slow = [p.detach().clone() for p in model.parameters()]
    for k in range(20):
        x, y = next(batches)
        grads = torch.autograd.grad(task.loss(model(x), y), list(model.parameters()))
        with torch.no_grad():
            for p, g, s in zip(model.parameters(), grads, slow, strict=True):
                p -= 0.05 * (1 - k / 20) * g
                s.lerp_(p, 0.5)
    with torch.no_grad():
        for p, s in zip(model.parameters(), slow, strict=True):
            p.copy_(s)
        loss = float(task.loss(model(task.loaded.validation[0]), task.loaded.validation[1]))
    assert record.loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("how", ["with", "by hand", "not at all"])
def test_a_loop_that_measures_where_it_trains_is_refused(how):
    def train(make_optimizer, seed, report):
        p = nn.Parameter(torch.ones(2))
        optimizer = make_optimizer([p])
        p.grad = torch.ones(2)
        optimizer.step()
        if how == "with":
            with make_optimizer.evaluation():
                report(1, p.sum())
        else:
            if how == "by hand":
                optimizer.eval()
            report(1, p.sum())

    settings = Settings("t", "a", "made_up_package:Averaged", {"lr": 0.5}, 0, 1, "final", 0, schedule="constant")
    record = run(lambda: FunctionTask(train, "t"), settings)
    if how == "not at all":
        assert record.status == FAILED
        assert "measure in `with make_optimizer.evaluation():`" in record.message
    else:
        assert record.loss == 1.5  # 1 and 0.5, halfway


def groups_of(text, params, **hyper):
    return build(find(text), hyper, params).param_groups


def test_gains_and_biases_do_not_decay_unless_told():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    for name in ("adamw", "torch.optim:AdamW"):
        decays = {p.ndim: g["weight_decay"] for g in groups_of(name, model, weight_decay=0.5) for p in g["params"]}
        assert decays == {2: 0.5, 1: 0.0}
        assert len(groups_of(name, model, weight_decay=0.5, decay_vectors=1)) == 1
        assert len(groups_of(name, model, weight_decay=0.0)) == 1
    assert len(groups_of("adam", model)) == 1


def test_keys_of_groups():
    a, b = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    first, second = groups_of("adam", [{"params": [a]}, {"params": b, "lr_scale": 0.1, "beta1": 0.5}], lr=0.5)
    assert (first["lr"], second["lr"], first["beta1"], second["beta1"]) == (0.5, 0.05, 0.9, 0.5)
    assert groups_of("gd", [{"params": [a], "weight_decay": 0.0}])  # none is what it has
    for key, message in {
        "lr_mult": "unknown key in a group of parameters for adam: 'lr_mult'",
        "bta1": "did you mean 'beta1'",
        "lr": "would not be tuned: write lr_scale=0.1",
        "weight_decay": "unknown key in a group of parameters for adam: 'weight_decay'",
    }.items():
        with pytest.raises(ValueError, match=message):
            groups_of("adam", [{"params": [a], key: 0.3}])
    with pytest.raises(ValueError, match="given no parameters"):
        groups_of("adam", [])


def test_gradients_are_clipped_together():
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = build(find("gd"), {"lr": 1.0, "clip_norm": 1.0}, [{"params": [a]}, {"params": [b]}])
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    assert (-a.item(), -b.item()) == pytest.approx((0.6, 0.8), rel=1e-5)


def test_what_any_optimizer_can_be_given_is_searched_as_well():
    first, second = parse("adam[schedule=wsd,cooldown=0.5],gd[clip_norm=1]", ["lr", "warmup", "clip_norm"])
    assert list(first.space) == ["lr", "warmup", "clip_norm"]
    assert list(second.space) == ["lr", "warmup"]
    assert (first.schedule, first.fixed) == ("wsd", {"cooldown": 0.5})
    assert ran("gd[warmup=0.5]").rates == pytest.approx([0.005, 0.03, 0.05, 0.025, 0.0])


def factors(steps=10, **given):
    return [Schedule(**given).factor(k, steps) for k in range(steps)]


def test_schedules():
    assert factors(shape="constant") == [1.0] * 10
    assert factors(shape="linear") == pytest.approx([1 - k / 10 for k in range(10)])
    assert factors(shape="cosine")[5] == pytest.approx(0.5)
    assert factors(shape="wsd", cooldown=0.2) == pytest.approx([1.0] * 9 + [0.5])
    for shape in ("constant", "linear", "cosine", "wsd"):
        for warmup in (0.2, 2):
            found = factors(shape=shape, warmup=warmup)
            assert found[:3] == pytest.approx([0.5, 1.0, 1.0])
            assert min(found) > 0
        assert Schedule(shape, warmup=50).factor(9, 10) > 0  # longer than the run
        assert Schedule(shape, cooldown=50).factor(10, 10) == (1.0 if shape == "constant" else 0.0)
        assert Schedule(shape, warmup=0.5).factor(0, 1) == 1.0
    assert str(Schedule("wsd", 0.1, 20)) == "wsd (warm-up 0.1 of the steps, decay over the last 20 steps)"
