"""Averages of the parameters that Keras keeps beside an optimizer's slots: carried, and gone on with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ravine import convert, dialects, recipe

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")

from recorded_files import FILES, RECORDER, STEPS, parameters, same, trained, values

NAMES = [n.replace("/", "_") for n in RECORDER.SHAPES]


def names(name: str) -> list[str]:
    """The file's names of the parameters, in the recorder's order."""
    found = list(convert.load(FILES / name, "keras", CALLS.get(name)).slots)
    return sorted(found, key=lambda n: next((i for i, own in enumerate(NAMES) if n.endswith(own)), 0))


CALLS = {"checkpoint-ema": "keras.Adafactor(0.3, use_ema=True, ema_momentum=0.7)"}


@pytest.mark.parametrize("name", ["ema.keras", "ema.h5", "ema-all.keras", "adafactor.keras", "checkpoint-ema"])
def test_the_average_goes_on_as_in_keras(name: str) -> None:
    """eval() puts the parameters where Keras's fit() leaves them."""
    params, call = parameters(name), CALLS.get(name)
    optimizer: Any = convert.resume(FILES / name, zip(names(name), params, strict=True), "keras", optimizer=call)
    same(trained(params, optimizer), name)
    optimizer.eval()
    same([p.detach().numpy() for p in params], name, "average")


def test_overwriting_with_the_average_is_done_as_the_refusal_says() -> None:
    """Keras does it where the number of finished steps is a multiple."""
    name = "ema-often.keras"
    with pytest.raises(ValueError, match="put the average in the parameters' place after every so many steps"):
        dialects.keras.SGD(use_ema=True, ema_overwrite_frequency=3)
    params = parameters(name)
    with pytest.warns(UserWarning, match="to be done beside the optimizer: ema_overwrite_frequency=3"):
        optimizer = convert.resume(FILES / name, zip(names(name), params, strict=True), "keras")
    for t in STEPS:
        for p, g in zip(params, RECORDER.gradients(t), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        if (t + 1) % 3 == 0:
            for p in params:
                p.data.copy_(optimizer.state[p]["average"])
    same([p.detach().numpy() for p in params], name)
    same([optimizer.state[p]["average"].numpy() for p in params], name, "average")


def test_an_average_of_every_call_is_none_of_ravines() -> None:
    """With sums of gradients Keras averages after every call, and starts anew as long as there was no update."""
    state = convert.load(FILES / "ema-sums.keras", "keras")
    assert state.recipe.rule.name == "momentum"
    assert state.left == ("average", "gradient_accumulator")
    with pytest.raises(ValueError, match="give it the mean of so many gradients"):
        dialects.keras.SGD(use_ema=True, gradient_accumulation_steps=2)


@pytest.mark.parametrize("name", ["ema-all.keras", "ema.h5"])
def test_there_and_back_is_bitwise(name: str) -> None:
    state = convert.load(FILES / name, "keras")
    there = convert.move(state, "ravine")
    assert there.grade == "exact"
    again = convert.move(convert.read(convert.write(there.state), there.state.call), "keras")
    assert (again.grade, again.state.recipe) == ("exact", state.recipe)
    for p, own in state.slots.items():
        assert own.keys() == again.state.slots[p].keys() >= {"average"}
        assert all(np.array_equal(again.state.slots[p][n], v) for n, v in own.items())


def test_who_averages_elsewhere_is_said_and_does() -> None:
    """torch's AveragedModel and optax's incremental_update, fed with the averages that a state for ravine keeps."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    name = "ema.keras"
    state = convert.load(FILES / name, "keras")
    outcome = convert.move(state, "torch")
    (note,) = (n for n in outcome.notes if "averaged" in n)
    assert "(ema_decay 0.9)" in note
    assert "AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))" in note
    assert "average" not in " ".join(convert.write(outcome.state))
    kept = convert.write(convert.move(state, "ravine").state)
    params = parameters(name)
    model = torch.nn.ParameterList(params)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    averaged.n_averaged.fill_(state.t)
    for k, p in enumerate(averaged.module):
        p.data.copy_(torch.tensor(kept[f"{k}.average"]))
    optimizer = convert.resume(FILES / name, zip("0123", params, strict=True), "keras")
    optimizer.register_step_post_hook(lambda *_: averaged.update_parameters(model))
    trained(params, optimizer)
    same([p.detach().numpy() for p in averaged.module], name, "average")
    assert "optax.incremental_update(parameters, average, 1 - 0.9)" in " ".join(convert.move(state, "optax").notes)
    assert "tf.train.ExponentialMovingAverage(0.99)" in " ".join(
        convert.move(convert.read(_averaged_adagrad(), "keras.Adagrad(0.1, use_ema=True)"), "tensorflow").notes
    )


def _averaged_adagrad() -> dict[str, np.ndarray]:
    return {"w_accumulator": np.ones(2, "f4"), "w_average": np.ones(2, "f4"), "iteration": np.array(3)}


def test_a_recipe_says_it_as_keras_does() -> None:
    chosen = dialects.keras.SGD(0.1, weight_decay=0.1, momentum=0.9, clipnorm=1.0, use_ema=True, ema_momentum=0.0)
    assert chosen.rule.name == "ema_weights(clip_norm(decoupled_weight_decay(momentum)))"
    assert chosen.to("keras").arguments["ema_momentum"] == 0.0
    assert dialects.keras.SGD(**chosen.to("keras").arguments) == chosen
    assert "has no average of the parameters" in " ".join(chosen.to("torch").reasons)
    inside = recipe("decoupled_weight_decay(ema_weights(momentum))", weight_decay=0.1)
    assert inside.to("keras").reasons == ("the average is of points without the decay, which is around it",)


def test_recorded_averages_are_other_points_than_the_parameters() -> None:
    assert not np.allclose(values("ema.keras", "average")[0], values("ema.keras", "after")[0], rtol=1e-3)
