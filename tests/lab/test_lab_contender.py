"""Reading --optimizers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ravine.hyperparameter import Range
from ravine.lab.contender import DEFAULT, parse
from ravine.lab.space import COMPLEMENT, EVEN, LOG, Span, search_space
from ravine.registry import rule, rules


def test_the_nine_of_the_default():
    assert [c.name for c in parse(",".join(DEFAULT))] == list(DEFAULT)


def test_names_transforms_and_fixed_hyperparameters():
    first, second, third = parse("adam, clip_value(adam) ,slow = weight_decay(adam)[beta1=0.8,weight_decay=1e-4]")
    assert (first.name, first.rule, first.fixed) == ("adam", "adam", {})
    assert (second.name, second.rule) == ("clip_value(adam)", "clip_value(adam)")
    assert (third.name, third.rule) == ("slow", "weight_decay(adam)")
    assert third.fixed == {"beta1": 0.8, "weight_decay": 1e-4}


def test_a_rule_in_a_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("import ravine\n@ravine.rule()\ndef my_rule(g, *, lr=0.1):\n    return -lr * g\n")
    (mine,) = parse(f"{file}:my_rule")
    assert (mine.name, mine.rule) == ("my_rule", f"{file}:my_rule")
    assert "<math" in mine.describe()["mathml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adamm", "did you mean 'adam'"),
        ("adam[beta_1=0.9]", "did you mean 'beta1'"),
        ("adam[beta1=1.5]", "beta1 = 1.5 is not legal"),
        ("adam[beta1]", "NAME=NUMBER"),
        ("adam[beta1=0.9", "can't read optimizer"),
        ("adam,gd,adam", "'adam' is given twice"),
        (" , ", "no optimizers"),
        ("nowhere.py:mine", "no such file"),
        ("adam[beta1=0.5..1]", r"beta1 = 1.0 is not legal: it must be in [0, 1)"),
        ("adam[lr=-1..1]", "lr = -1.0 is not legal"),
        ("clip_value(gd)[clip_value=0..1]", "clip_value = 0.0 is not legal"),
        ("adam[lr=0.1..0.01]", "lr = 0.1..0.01 is no range"),
        ("adam[lr=0.1...0.2]", "'lr=0.1...0.2' is neither"),
        ("adam[lr=..1]", "is neither NAME=NUMBER nor NAME=LOW..HIGH"),
        ("adam[lr=1e-4..inf]", "lr = inf is not legal"),
        ("adam[bet=0.1..0.2]", "did you mean 'beta"),
    ],
)
def test_mistakes_are_named(text: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


def test_the_search_space_is_equally_wide_for_every_rule():
    for name, found in rules().items():
        low, high, scale = search_space(found, {})["lr"]
        assert scale == LOG
        default = found.hyperparameters["lr"].default
        assert low < default < high, name
        assert high / low == pytest.approx(1e4), name


def test_what_is_fixed_is_not_tuned():
    assert search_space(rule("adam"), {"lr": 0.1}) == {}


def test_ranges_in_brackets_and_their_scales():
    text = "adam[lr=1e-4..1e-1, beta1=0.5..0.99, eps=1e-6],weight_decay(gd)[weight_decay=0..0.1]"
    adam, decayed = parse(text)
    assert adam.name == "adam[lr=1e-4..1e-1,beta1=0.5..0.99,eps=1e-6]"
    assert adam.fixed == {"eps": 1e-6}
    assert adam.space == {"lr": Span(1e-4, 0.1, LOG), "beta1": Span(0.5, 0.99, COMPLEMENT)}
    assert decayed.space == {"lr": search_space(rule("gd"), {})["lr"], "weight_decay": Span(0.0, 0.1, EVEN)}


def test_what_is_tuned_applies_to_whoever_has_it_and_does_not_hold_it():
    gd, adam, held, given = parse("gd,adam,held=adam[beta1=0.8],given=adam[beta1=0.5..0.6]", ["lr", "beta1", "eps"])
    assert list(gd.space) == ["lr"]
    assert list(adam.space) == ["lr", "beta1", "eps"]
    assert list(held.space) == ["lr", "eps"]
    assert given.space["beta1"] == Span(0.5, 0.6, COMPLEMENT)
    assert parse("momentum[mu=0.5..1]", [])[0].space["mu"] == Span(0.5, 1.0, LOG)  # the complement of 1 has no decade
    assert parse("adam", ["eps"])[0].space == {"eps": Span(1e-10, 1e-6, LOG)}
    assert parse("adam", [])[0].space == {}


@pytest.mark.parametrize(
    ("name", "hyper", "expected"),
    [
        ("adam", "beta1", (0.0, 0.99, COMPLEMENT)),
        ("adam", "beta2", (0.99, 0.9999, COMPLEMENT)),
        ("momentum", "mu", (0.0, 0.99, COMPLEMENT)),
        ("adamw", "weight_decay", (1e-4, 1.0, LOG)),
        ("clip_value(gd)", "clip_value", (0.01, 100.0, LOG)),
    ],
)
def test_the_default_span_follows_from_the_default_and_what_is_legal(name, hyper, expected):
    span = search_space(rule(name), {}, [hyper])[hyper]
    assert span[2] == expected[2]
    assert span[:2] == pytest.approx(expected[:2], rel=1e-12)
    assert rule(name).check({hyper: span.low})
    assert rule(name).check({hyper: span.high})


def test_a_span_ends_where_the_legal_values_do():
    @rule(ranges={"lr": Range(0.0, 0.5), "sharp": Range(0.2, 3.0, low_open=True, high_open=True)})
    def narrow(g, *, lr=0.1, sharp=1.0):
        return -lr * g * sharp

    assert search_space(narrow, {})["lr"] == Span(0.1 * 10**-1.5, 0.5, LOG)
    low, high, _ = search_space(narrow, {}, ["sharp"])["sharp"]
    assert 0.2 < low < 0.2 + 1e-12
    assert 3.0 - 1e-12 < high < 3.0


@pytest.mark.parametrize(
    ("text", "tune", "message"),
    [
        ("gd,adam", ["beta_1"], "unknown hyperparameter to tune 'beta_1'; did you mean 'beta1'"),
        ("gd", ["beta1"], "unknown hyperparameter to tune 'beta1'"),
        ("weight_decay(gd)", ["weight_decay"], "give a range, as weight_decay=1e-4..1e-1"),
        ("momentum_torch", ["dampening"], "give a range, as dampening=1e-4..1e-1"),
    ],
)
def test_what_can_not_be_tuned_is_refused(text, tune, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text, tune)


@pytest.mark.parametrize("span", [Span(1e-4, 1.0), Span(0.0, 0.999, COMPLEMENT), Span(-1.0, 3.0, EVEN)])
def test_a_span_and_its_shares(span):
    shares = [0.0, 0.25, 0.5, 1.0]
    values = [span.at(u) for u in shares]
    assert values[0] == span.low
    assert values[-1] == pytest.approx(span.high)
    assert values == sorted(values)
    assert [span.share(v) for v in values] == pytest.approx(shares, abs=1e-12)
    assert span.middle(values[1:]) == pytest.approx(values[2])
    assert Span(*json.loads(json.dumps(span))) == span


def test_a_decay_is_spread_by_what_it_lacks_of_one():
    span = Span(0.9, 0.999, COMPLEMENT)
    assert span.at(0.5) == pytest.approx(0.99)
    assert span.middle([0.9, 0.999]) == pytest.approx(0.99)


def test_a_set_tunes_one_rate_and_keeps_the_ratio():
    (short, long, both) = parse("lion-set,duo=[hidden=lion[lr=1e-3],rest=adamw[weight_decay=0.2]],[gain=gd,rest=adam]")
    assert (short.name, list(short.space)) == ("lion-set", ["lr"])
    assert short.method.own["lr"].default == rule("lion").hyperparameters["lr"].default
    assert (long.name, list(long.space), long.rule[0]) == ("duo", ["lr"], "[")
    assert long.method.own["lr"].default == 0.001  # adamw's: lion's is written
    assert long.method.own["rest.weight_decay"].default == 0.2
    assert "hidden.lr" in long.method.own
    assert both.name == "gd+adam"
    assert parse("[hidden=lion[lr=1e-5..1e-2],rest=adamw[lr=0.01]]")[0].space == {"hidden.lr": Span(1e-5, 1e-2, LOG)}
    assert list(parse("lion-set", tune=("lr", "rest.beta1"))[0].space) == ["lr", "rest.beta1"]


def test_a_set_says_which_role_follows_what():
    described = parse("[hidden=lion,rest=adamw]")[0].describe()
    assert list(described["parts"]) == ["hidden matrices, convolutions", "everything else"]
    assert described["parts"]["everything else"].startswith("adamw(lr=0.001")
    assert described["parts"]["everything else"].endswith("its lr 10 × that of lion")
    json.dumps(described)


def test_a_part_is_a_framework_s_optimizer_or_a_rule_of_the_user_s(tmp_path: Path):
    ours, theirs = parse("[hidden=keras.Muon[weight_decay=0.1],rest=keras.AdamW(beta_1=0.8)],torch.Muon-set")
    assert "weight_decay=0.1" in ours.method.parts["hidden matrices, convolutions"]
    assert ours.method.own["rest.beta1"].default == 0.8
    assert theirs.method.own["hidden.weight_decay"].default == 0.1
    file = tmp_path / "mine.py"
    file.write_text("import ravine\n\n\n@ravine.rule\ndef own(g, *, lr=0.5):\n    return -lr * g\n")
    (mine,) = parse(f"{file}:own-set")
    assert (mine.name, mine.method.own["lr"].default) == ("own-set", 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hiden=lion,rest=adamw]", "did you mean 'hidden'"),
        (
            "[hidden=lion[lr=1..0.1],rest=adamw]",
            "part 'hidden' of '[hidden=lion[lr=1..0.1],rest=adamw]': lion: lr = 1..",
        ),
        ("[hidden=lion[bta1=0.1],rest=adamw]", "did you mean 'beta1'"),
        ("lino-set", "did you mean 'lion'"),
        ("torch.optim:Muon-set", "'torch.optim:Muon' is a torch optimizer, and the parts of a set are rules"),
        ("[hidden=keras.Moun,rest=adam]", "did you mean 'Muon'"),
    ],
)
def test_a_mistake_in_a_set_is_named(text: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


def test_a_set_steps_a_model_by_roles_and_refuses_bare_parameters():
    torch = pytest.importorskip("torch")
    from ravine.lab.making import build

    chosen = parse("lion-set")[0].method
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    optimizer = build(chosen, {"lr": 0.01, "rest.beta1": 0.5, "rest.weight_decay": 0.3}, model)
    rates = {g["rule"]: (g["lr"], g.get("beta1")) for g in optimizer.param_groups}
    ratio = rule("adamw").hyperparameters["lr"].default / rule("lion").hyperparameters["lr"].default
    assert rates["lion"] == (0.01, 0.9)
    assert rates["adamw"] == (pytest.approx(0.01 * ratio), 0.5)
    decays = {n: g["weight_decay"] for g in optimizer.param_groups if g["rule"] == "adamw" for n in g["param_names"]}
    assert decays == {"0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "2.bias": 0.0, "2.weight": 0.3}
    assert "hidden" in optimizer.table()
    with pytest.raises(ValueError, match=re.escape("make_optimizer(model)")):
        build(chosen, {}, model.parameters())
