"""State from one framework to another: there and back bit by bit, and training that goes on as it would have."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ravine import State, convert, dialects
from ravine.cli.convert import convert as command
from ravine.convert import OptimizerState
from recorded import Trace, traces

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

NO_FORM = {
    *((f"torch.{name}", framework) for name in ("ASGD", "Muon", "Rprop") for framework in ("keras", "optax")),
    ("torch.RAdam", "keras"),
    ("torch.RAdam", "optax"),
    ("torch.NAdam", "optax"),
    ("torch.Adamax", "keras"),  # u has ε in it, or not
}


def recorded_state(trace: Trace, t: int) -> OptimizerState:
    """What the framework had after t steps of a recorded run."""
    slots = {n: np.asarray(v) for n, v in trace.slots(t, trace.recipe).items()}
    return OptimizerState(trace.call, t, {"x": slots}, {})


def same_slots(a: OptimizerState, b: OptimizerState) -> bool:
    return a.slots.keys() == b.slots.keys() and all(
        own.keys() == b.slots[p].keys()
        and all(v.dtype == b.slots[p][n].dtype and v.tobytes() == b.slots[p][n].tobytes() for n, v in own.items())
        for p, own in a.slots.items()
    )


TORCH = [t for t in traces("torch") if t.dtype == "float32" and t.recipe.rule.slots]


@pytest.mark.parametrize("framework", ["optax", "keras"])
@pytest.mark.parametrize("trace", TORCH, ids=str)
def test_there_and_back_is_bitwise(trace: Trace, framework: str, tmp_path: Path) -> None:
    name, _, _ = trace.call.partition("(")
    state = recorded_state(trace, 9)
    if (name, framework) in NO_FORM or ("amsgrad=True" in trace.call and framework == "optax"):
        with pytest.raises(ValueError, match="keeps no such state"):
            convert.move(state, framework)
        return
    first, there, back = tmp_path / "a.safetensors", tmp_path / "b.npz", tmp_path / "c.safetensors"
    convert.save(first, state)
    convert.convert(first, there, source_framework="torch", target_framework=framework)
    is_open = framework == "optax" and "Adafactor" in trace.call and trace.stream == "tall"
    turned = ["x"] if is_open else []  # optax's file does not say which side of a matrix is the longer
    convert.convert(there, back, source_framework=framework, target_framework="torch", transpose=turned)
    found = convert.load(back, "torch")
    assert same_slots(found, state)
    assert found.t == state.t
    assert found.recipe.rule.slots.keys() == state.recipe.rule.slots.keys()
    if convert.move(state, framework).grade != "not possible":
        assert found.recipe == state.recipe


def attempt(state: OptimizerState, target: str) -> convert.Outcome | str:
    """The converted state, or the reason why there is none."""
    try:
        return convert.move(state, target, allow_rounding=True)
    except ValueError as error:
        return str(error)


ELSEWHERE = [
    (t, f) for f in ("keras", "tensorflow", "optax") for t in traces(f) if t.recipe.rule.slots and not t.python_numbers
]


@pytest.mark.parametrize(
    ("trace", "target"), [(t, g) for t, f in ELSEWHERE[::3] for g in dialects.FRAMEWORKS if g != f]
)
def test_training_goes_on_as_in_the_source(trace: Trace, target: str) -> None:
    """From the real framework's own state after 6 steps, the target's arithmetic follows its next 6 steps."""
    outcome = attempt(recorded_state(trace, 6), target)
    if isinstance(outcome, str):
        assert "keeps no such state" in outcome
        return
    if outcome.grade == "not possible":
        assert outcome.reasons
        return
    chosen, x = outcome.state.recipe, trace.x[6]
    own = outcome.state.slots["x"]
    slots = {n: float(own[n]) if s.is_scalar else own[n].astype(x.dtype) for n, s in chosen.rule.slots.items()}
    state = State(6, slots)
    for t in range(6, 12):
        g = trace.gradients[t]
        if "with gradients that are clipped before" in outcome.reasons:  # all of these are by value
            bound = trace.recipe.hyper["clip_value"]
            g = g.clip(-bound, bound)
        x, state = chosen.update(g, state, x)
        limit = 1e-5 if trace.dtype == "float32" else 1e-9 if "Nadam" in trace.call else 1e-12  # see test_replay
        np.testing.assert_allclose(x, trace.x[t + 1], rtol=limit)


MODELS = [
    ("torch.Adam(lr=0.01)", "torch"),
    ("torch.RMSprop(lr=0.001, momentum=0.9)", "torch"),
    ("torch.SGD(lr=0.05, momentum=0.9)", "torch"),
]


@pytest.mark.parametrize("call", [c for c, _ in MODELS])
def test_half_in_torch_half_in_optax(call: str, tmp_path: Path) -> None:
    """A network on handwritten digits: the real torch, then the real optax, against torch all the way, and back."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax
    import jax.numpy as jnp

    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    pixels, labels = datasets.load_digits(return_X_y=True)
    pixels, labels = jnp.asarray(pixels[:256] / 16, jnp.float32), jnp.asarray(labels[:256])

    def loss(p: dict[str, Any]) -> Any:
        hidden = jnp.tanh(pixels @ p["one"].T + p["bias"])
        return optax.softmax_cross_entropy_with_integer_labels(hidden @ p["two"].T, labels).mean()

    gradient = jax.jit(jax.grad(loss))
    rng = np.random.default_rng(3)
    shapes = {"one": (32, 64), "bias": (32,), "two": (10, 32)}
    start = {n: rng.normal(0, 0.2, s).astype(np.float32) for n, s in shapes.items()}
    constructor, given = dialects.parse(call)

    def begin(values: dict[str, np.ndarray]) -> tuple[dict[str, Any], Any]:
        params = {n: torch.nn.Parameter(torch.tensor(v)) for n, v in values.items()}
        return params, getattr(torch.optim, constructor.name)(params.items(), **given)

    def train(params: dict[str, Any], optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            found = gradient({n: jnp.asarray(p.detach().numpy()) for n, p in params.items()})
            for n, p in params.items():
                p.grad = torch.tensor(np.asarray(found[n]))
            optimizer.step()

    whole, optimizer = begin(start)
    train(whole, optimizer, 40)

    half, optimizer = begin(start)
    train(half, optimizer, 20)
    torch.save(optimizer.state_dict(), tmp_path / "half.pt")
    outcome = convert.convert(
        tmp_path / "half.pt", tmp_path / "half.npz", source_framework="torch", target_framework="optax"
    )
    name, arguments = dialects.parse(outcome.state.call)
    tx = getattr(optax, name.name)(**arguments)
    moved = {n: jnp.asarray(p.detach().numpy()) for n, p in half.items()}
    tensors = convert.write(convert.load(tmp_path / "half.npz", "optax"))
    state = convert.into_optax(tensors, tx.init(moved))
    for _ in range(10):
        updates, state = tx.update(gradient(moved), state, moved)
        moved = optax.apply_updates(moved, updates)

    there = convert.read(convert.from_optax(state), outcome.state.call, step=30)
    again, optimizer = begin({n: np.asarray(v) for n, v in moved.items()})
    optimizer.load_state_dict(
        convert.into_torch(
            convert.write(convert.move(there, "torch", allow_rounding=True).state), optimizer.state_dict()
        )
    )
    train(again, optimizer, 10)
    for n, p in whole.items():
        np.testing.assert_allclose(again[n].detach().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "state.npz"
    convert.save(path, recorded_state(next(t for t in TORCH if t.call.startswith("torch.Adam(")), 9))
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_the_command(saved: Path) -> None:
    done = run(saved, "--from", "torch", "--to", "keras")
    assert done.exit_code == 0, done.output
    shown = " ".join(done.output.split())
    assert "was taken for torch.Adam(" in shown
    assert "state of keras.Adam(epsilon=1e-08)" in shown
    assert "Training goes on otherwise there: ε is outside the root" in shown
    with np.load(saved.with_name("state.keras.npz"), allow_pickle=False) as file:
        assert {"x_momentum", "x_velocity", "iteration", "learning_rate"} <= set(file.files)
        assert int(file["iteration"]) == 9


def test_what_slots_started_at_stands_in_no_way() -> None:
    trace = next(t for t in traces("tensorflow") if "RMSProp" in t.call and "momentum" in t.call)
    assert trace.recipe.to("keras").grade == "not possible"
    assert convert.move(recorded_state(trace, 6), "keras").grade == "exact"


def test_to_tensorflow_and_back(saved: Path, tmp_path: Path) -> None:
    for source, target, name, out in (
        ("torch", "tensorflow", saved, tmp_path / "tf.safetensors"),
        ("tensorflow", "torch", tmp_path / "tf.safetensors", tmp_path / "back.npz"),
    ):
        assert run(name, "--from", source, "--to", target, "--out", out).exit_code == 0
    assert same_slots(convert.load(tmp_path / "back.npz", "torch"), convert.load(saved, "torch"))
    tensors = convert.write(convert.load(tmp_path / "tf.safetensors", "tensorflow"))
    assert tensors["beta1_power"] == np.float32(0.9**10)  # TensorFlow has multiplied once before the first step
    assert tensors["beta2_power"] == np.float32(0.999**10)


def test_the_step_is_read_off_tensorflows_powers() -> None:
    arrays = {"x/m": np.ones(2, np.float32), "x/v": np.ones(2, np.float32)}
    power = np.float32(1)
    for _ in range(1001):
        power *= np.float32(0.999)
    found = convert.read({**arrays, "beta2_power": power}, "tensorflow.AdamOptimizer()")
    assert found.t == 1000


def test_names_and_layout_can_change(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    assert run(saved, "--from", "torch", "--to", "optax", "--rename", "x=layer.w", "--out", out).exit_code == 0
    with np.load(out, allow_pickle=False) as file:
        assert "0.mu.layer.w" in file.files
    state = OptimizerState("torch.Adam()", 1, {"w": {"m": np.ones((2, 3)), "v": np.ones((2, 3))}}, {})
    assert state.renamed({}, ["w"]).slots["w"]["m"].shape == (3, 2)


def _without(path: Path, name: str) -> None:
    with np.load(path, allow_pickle=False) as file:
        arrays = {n: file[n] for n in file.files if n != name}
    np.savez(path, **arrays)


def _with(path: Path, **more: np.ndarray) -> None:
    with np.load(path, allow_pickle=False) as file:
        arrays = {n: file[n] for n in file.files}
    np.savez(path, **{**arrays, **more})


DAMAGE = [
    (lambda p: p.write_bytes(p.read_bytes()[:200]), [], "damaged"),
    (lambda p: p.write_bytes(b""), [], "damaged"),
    (lambda p: p.write_bytes(b"PK" + bytes(500)), [], "damaged"),
    (lambda p: _without(p, "x.exp_avg"), [], "'x.exp_avg' is missing"),
    (lambda p: _without(p, "ravine"), [], "--optimizer"),
    (lambda p: _with(p, **{"x.exp_avg": np.ones(7)}), [], "must have one shape"),
    (lambda p: _with(p, **{"x.exp_avgs": np.ones(4)}), [], "did you mean 'PARAMETER.exp_avg_sq'"),
    (lambda p: _with(p, **{"x.exp_avg": np.ones(4, int)}), [], "must be floating"),
    (
        lambda p: _with(p, **{"y.exp_avg": np.ones(4), "y.exp_avg_sq": np.ones(4), "y.step": np.array(3.0)}),
        [],
        "different steps",
    ),
    (lambda p: _with(p, ravine=np.array("[]")), [], "damaged"),
    (lambda p: None, ["--optimizer", "keras.Adam()"], "is from keras.Adam, not from torch"),
    (lambda p: None, ["--optimizer", "torch.RAdam()"], "keeps no such state"),
    (lambda p: None, ["--out", "{folder}/out.txt"], "must end in"),
    (lambda p: None, ["--out", "{folder}/nowhere/out.npz"], "nowhere/out.npz': there is no folder"),
    (lambda p: None, ["--rename", "z=y"], "unknown parameter 'z'"),
    (lambda p: None, ["--rename", "z"], "expected OLD=NEW"),
    (lambda p: None, ["--transpose", "x"], "is no matrix"),
]


@pytest.mark.parametrize(("damage", "options", "words"), DAMAGE, ids=[d[2] for d in DAMAGE])
def test_wrong_input_leaves_no_file(saved: Path, damage: Any, options: list[str], words: str) -> None:
    damage(saved)
    before = sorted(p.name for p in saved.parent.iterdir())
    done = run(saved, "--from", "torch", "--to", "optax", *(o.format(folder=saved.parent) for o in options))
    assert done.exit_code != 0
    assert words in done.output + str(done.exception)
    assert isinstance(done.exception, (ValueError, SystemExit))
    assert sorted(p.name for p in saved.parent.iterdir()) == before


def test_a_truncated_safetensors_file_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    convert.save(path, convert.load(saved, "torch"))
    whole = path.read_bytes()
    for length in (0, 7, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            convert.load(path, "torch")


def test_an_interrupted_write_leaves_what_was_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def fail(path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        convert.save(saved, convert.load(saved, "torch"))
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("kept", [0, 1, 100, 500])
def test_a_truncated_file_of_torchs_is_refused(kept: int, tmp_path: Path) -> None:
    torch.save({"state": {}, "param_groups": []}, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"a\.pt is damaged"):
        convert.load(tmp_path / "a.pt", "torch")


def test_an_optimizer_that_no_dialect_has_is_not_taken_for_another() -> None:
    w = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.SparseAdam([w])
    with pytest.raises(
        ValueError, match=r"has the key '\w+', which no optimizer of the torch dialect has|these options: lr"
    ):
        convert.from_torch(optimizer.state_dict())


ONE_WAY = [
    ("adabelief", {}),
    ("adamaxw", {"weight_decay": 0.1}),
    ("adan", {"weight_decay": 0.1}),
    ("yogi", {}),
    ("radam", {}),
    ("signum", {}),
    ("rprop", {}),
    ("lamb", {"weight_decay": 0.1}),
    ("lars", {"momentum": 0.8}),
    ("contrib.ademamix", {}),
    ("contrib.adopt", {}),
]


@pytest.mark.parametrize(("name", "options"), ONE_WAY, ids=[n for n, _ in ONE_WAY])
def test_optax_s_own_state_comes_out_and_goes_in_again(name: str, options: dict[str, float]) -> None:
    """Training goes on in torch by the source's own arithmetic, and in optax from what came back."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    tx = attrgetter(name)(optax)(0.05, **options)
    rng = np.random.default_rng(4)
    x = {"w": rng.normal(size=(3, 2)).astype(np.float32), "b": rng.normal(size=2).astype(np.float32)}
    state, params = tx.init(x), {n: jnp.asarray(v) for n, v in x.items()}
    gradients = [{n: rng.normal(size=v.shape).astype(np.float32) for n, v in x.items()} for _ in range(8)]

    def stepped(params: Any, state: Any, g: Any) -> tuple[Any, Any]:
        step, state = tx.update({n: jnp.asarray(v) for n, v in g.items()}, state, params)
        return optax.apply_updates(params, step), state

    for g in gradients[:4]:
        params, state = stepped(params, state, g)
    call = dialects.find(f"optax.{name}").call({"learning_rate": 0.05, **options})
    found = convert.read(convert.from_optax(state), call, step=4)
    again = convert.into_optax(convert.write(found), tx.init(x))
    ours = {n: torch.nn.Parameter(torch.tensor(np.asarray(v))) for n, v in params.items()}
    optimizer = found.recipe.torch(ours.items())
    moved = convert.write(convert.move(found, "ravine").state)
    optimizer.load_state_dict(convert.into_torch(moved, optimizer.state_dict()))
    for g in gradients[4:]:
        before, (params, state) = params, stepped(params, state, g)
        resumed, again = stepped(before, again, g)
        assert all(bool((resumed[n] == params[n]).all()) for n in x)
        for n, p in ours.items():
            p.grad = torch.tensor(g[n])
        optimizer.step()
    for n, p in ours.items():
        # optax computes RAdam's ρ, near 2000, in float32.
        np.testing.assert_allclose(p.detach(), params[n], rtol=1e-5, atol=3e-5 if name == "radam" else 1e-6)


def test_keras_lamb_goes_to_optax_and_back() -> None:
    rng = np.random.default_rng(4)
    slots = {"w": {"m": rng.normal(size=(3, 2)), "v": rng.uniform(size=(3, 2))}}
    state = OptimizerState("keras.Lamb(learning_rate=0.01)", 7, slots, {})
    there = convert.move(state, "optax")
    assert there.grade == "exact"
    assert there.state.call == "optax.lamb(learning_rate=0.01, eps=1e-07)"
    assert same_slots(convert.move(there.state, "keras").state, state)
    decayed = convert.move(OptimizerState("optax.lamb(0.01, weight_decay=0.1)", 7, slots, {}), "keras")
    assert decayed.grade == "not possible"
    assert "decay is in the step whose norm is taken" in " ".join(decayed.reasons)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"state": Harm(), "param_groups": []}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match=r"bad\.pt holds an object of \w+, and more than tensors"):
        convert.load(tmp_path / "bad.pt", "torch")
    assert not (tmp_path / "harm").exists()


def test_float64_buffers_are_not_rounded_unasked() -> None:
    buffer = np.random.default_rng(1).normal(size=100)
    state = OptimizerState("torch.SGD(lr=0.1, momentum=0.9)", 9, {"x": {"b": buffer}}, {})
    with pytest.raises(ValueError, match="would be rounded"):
        convert.move(state, "keras")
    assert convert.move(state, "keras", allow_rounding=True).grade == "exact while lr is constant"
    assert convert.move(state, "optax").grade == "exact"


def test_parameters_with_other_options_are_no_single_state() -> None:
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([{"params": [a], "lr": 0.1}, {"params": [b]}])
    with pytest.raises(ValueError, match="different options"):
        convert.from_torch(optimizer.state_dict())


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_schedules_go_on_where_they_were(momentum: float | None) -> None:
    """Half of a run in torch, half in optax with the same schedule: every count of the tree has to follow."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    rates, gradients = [0.1 * 0.8**t for t in range(12)], np.random.default_rng(4).normal(size=(12, 3))
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=momentum) if momentum else torch.optim.Adam([p], lr=0.1)
    half = tensors = call = None
    for t, rate in enumerate(rates):
        if t == 6:
            half, (tensors, call) = p.detach().numpy().copy(), convert.from_torch(optimizer.state_dict())
        optimizer.param_groups[0]["lr"] = rate
        p.grad = torch.tensor(gradients[t], dtype=torch.float32)
        optimizer.step()
    assert tensors is not None
    assert call is not None

    schedule = optax.exponential_decay(0.1, 1, 0.8)
    tx = optax.sgd(schedule, momentum) if momentum else optax.adam(schedule)
    x = {"0": jnp.asarray(half)}
    outcome = convert.move(convert.read(tensors, call), "optax")
    moved = convert.write(outcome.state)
    if momentum:
        assert "a schedule of optax would begin anew" in outcome.notes[0]
        with pytest.raises(ValueError, match=r"'1.count' counts steps, and .* give it \(step\)"):
            convert.into_optax(moved, tx.init(x))
        told = convert.move(convert.read(tensors, call, step=6), "optax")
        assert not told.notes
        moved = convert.write(told.state)
    state = convert.into_optax(moved, tx.init(x))
    for g in gradients[6:]:
        updates, state = tx.update({"0": jnp.asarray(g, jnp.float32)}, state, x)
        x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(x["0"], p.detach().numpy(), rtol=5e-6)


@pytest.mark.parametrize("is_saved", [True, False])
def test_kerass_nadam_has_its_product_without_a_name_or_it_is_computed(is_saved: bool) -> None:
    for trace in (t for t in traces("keras") if t.call.startswith("keras.Nadam")):
        unnamed = next(n for n in trace.state if n.startswith("variable"))
        kept = {f"x_{n}": trace.state[n][8] for n in ("momentum", "velocity")} | {"iteration": np.array(9)}
        kept |= {unnamed: trace.state[unnamed][8]} if is_saved else {}
        found = convert.read(kept, trace.call).slots["x"]["product"]
        np.testing.assert_allclose(found, trace.state["u_product"][8], rtol=0 if is_saved else 1e-6)


def test_what_is_read_is_a_copy() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    tensors, _ = convert.from_torch(optimizer.state_dict())
    before = tensors["0.exp_avg"].copy()
    optimizer.step()
    np.testing.assert_array_equal(tensors["0.exp_avg"], before)


def test_tensorflows_idle_momentum_is_passed_over() -> None:
    arrays = {"x/rms": np.ones(2, np.float32), "x/momentum": np.ones(2, np.float32)}
    assert list(convert.read(arrays, "tensorflow.RMSPropOptimizer(0.1)").slots["x"]) == ["s"]
