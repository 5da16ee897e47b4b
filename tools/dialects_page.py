"""Write docs/dialects.md from the dialects' tables. Run by `make docs`."""

from __future__ import annotations

from ravine import Recipe, dialects, rule
from ravine.dialects import torch
from ravine.dialects.compare import Effect, compare
from ravine.dialects.spelling import Constructor
from ravine.dialects.table import Form
from ravine.dialects.terms import describe
from ravine.trace import text

HEAD = """# Dialects

<!-- Written by `make docs` from src/ravine/dialects/. Do not edit; the words are in tools/dialects_page.py. -->

"RMSprop" and "Adam" mean other arithmetic in each framework. A dialect is that knowledge: every constructor of
TensorFlow 1 (`tf.compat.v1.train`), Keras 3, Keras's legacy classes, torch and optax, under its own name, with its own
arguments and defaults, returns a recipe, and the recipe runs everywhere.

```python
from ravine import dialects

recipe = dialects.tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)
optimizer = recipe.torch(model.parameters())  # trains in torch as TensorFlow 1 did
transformation = recipe.optax()  # the same in JAX
x, state = recipe.update(gradient, state, x)  # the same in NumPy
print(recipe.to("optax"))  # optax.rmsprop(learning_rate=0.045, …) (exact)
```

A line of a program is read as it stands, wherever an optimizer is named in text: `ravine explain 'opt =
optim.SGD(model.parameters(), lr=args.lr * 2, momentum=0.9)' --let args.lr=0.05` knows the modules' usual names,
arithmetic of numbers and the libraries' scalars. It is parsed and never run.

Unknown and unsupported arguments are refused by name. Of what Keras does around every equation `clipvalue`, `clipnorm`
and `global_clipnorm` are transforms of the recipe, and so is `use_ema` (`ema_weights`, whose read-out is the average that
Keras's `fit` leaves in the model; `optimizer.eval()` puts it there in torch). `ema_overwrite_frequency`,
`loss_scale_factor` and `gradient_accumulation_steps` are not in it, nor are optax's types of slots (`mu_dtype`,
`accumulator_dtype`). `ravine convert` takes Keras's all the same and says what is to be done beside it.

**Clipping.** `clip_value` and `clip_norm` clip each gradient, `clip_global_norm` all of them together: where one array
is all there is, that array, in torch the gradients of all groups (`recipe.torch(params)`, or any class of
`ravine.torch` with `clip_global_norm=1.0`), in optax what `optax.clip_by_global_norm` does, in a set of recipes all its
parts, which must agree. It stands outside of other transforms, since it takes gradients as they come. torch's
`clip_grad_norm_` adds 1e-6 to the norm. A conversion to torch or TensorFlow, whose optimizers don't clip, names the
function that does.

**Chains.** `optax.chain(optax.clip(1.0), optax.add_decayed_weights(0.1), optax.sgd(0.1))` is a recipe with transforms
around it, `chain(scale_by_adam(), scale(-0.01))` is `adam(0.01)`, and wrappers (`inject_hyperparams`, `MultiSteps`,
`apply_if_finite`) are looked through. Links that no recipe does, such as `adaptive_grad_clip`, are named.
`recipe.to("optax")` writes a chain where decay is coupled, the gradient clipped, or the sign changed.

**Schedules.** A schedule of Keras's (`CosineDecay`, `CosineDecayRestarts`, `ExponentialDecay`, `PiecewiseConstantDecay`,
`PolynomialDecay`, `InverseTimeDecay`), optax's (`cosine_decay_schedule`, `warmup_cosine_decay_schedule`,
`linear_schedule`, `exponential_decay`, `piecewise_constant_schedule`, `sgdr_schedule`, `join_schedules`, …), torch's
(`CosineAnnealingLR`, `CosineAnnealingWarmRestarts`, `LinearLR`, `StepLR`, `MultiStepLR`, `ExponentialLR`, `OneCycleLR`,
`SequentialLR`, …) or transformers' (`get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup`, …) becomes
data, a `ravine.schedules.Schedule`: printed in words, called with the number of finished steps, held to the frameworks'
own values. Refused by name: peaks that change from restart to restart (`m_mul`), `OneCycleLR` that changes the momentum
too, `CyclicLR`, `ChainedScheduler`, and `ReduceLROnPlateau`, which follows the losses.

```python
from ravine.dialects.lines import read_schedule

schedule = read_schedule("optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)", {})
print(schedule)  # 0 to 0.001 along a line over 100 steps; from step 100 on 0.001 to 0 along a cosine over 900 steps
transformation = recipe.optax(lr=schedule)
scheduler = schedule.torch(optimizer)  # a torch LambdaLR: scheduler.step() after each optimizer.step()
```

`ravine explain 'optax.adamw(sched)' --let 'sched=optax.cosine_decay_schedule(0.1, 1000)'` says it, and how it is
spelled elsewhere. torch's `CosineAnnealingLR` rises again after `T_max`, Keras's and optax's cosines end there.

## How it is known to be right

`make record-traces` runs the real frameworks over chosen and random settings, in float32 and float64, on gradients with
zeros, reversals and scales from 1e-4 to 1e2, and a tenfold drop of the learning rate midway; parameters and state after
every step are kept in `tests/recorded/` with the versions. The tests replay each run: from the framework's own state a
step is within 2 units in the last place of its parameter in float64 and 4 in float32, and the whole run from the start
within 1e-12 and 1e-5. torch and optax are also run live. One framework computes more narrowly than its parameters:

- Keras's Nadam casts the schedule's 0.96 to float32 before it computes in float64. Its steps are off by up to 2e-7 of
  themselves, the parameters of the recorded runs by 1e-9.

More that the runs showed:

- TensorFlow rounds hyperparameters given as Python numbers to float32, for float64 variables too; Keras does so for
  some of them, and keeps the learning rate in `floatx`. The recorded float64 runs pass numbers of the right type; two
  of TensorFlow's are recorded with Python numbers as well, and are followed by the rounded ones.
- torch keeps NAdam's product in the default type, float32 unless set, for float64 parameters too.
- Keras's legacy optimizers keep their hyperparameters in float32. Their Nadam keeps its product for float32 variables
  alone; with others each step is taken as the first, and float64 runs of it are not recorded.
- optax computes 1 − βᵗ in float32 for float32 parameters, which is off by 1.3e-5 at β₂ = 0.999 and t = 1;
  `recipe.optax()` is not.
- optax's RMSprop, centred and bias-corrected, divides by the root of a rounding error at the first step unless
  `initial_scale` is given; its adadelta without a learning rate goes uphill, which is refused.
- optax computes MADGRAD's √t in float32, for float64 parameters too: its steps are off by up to 1e-8 of themselves.
- Keras's ScheduleFreeAdamW (3.15.1) takes its average from where z was, as it means to, with the JAX backend alone: the
  dialect is that one's, and so are the recorded runs. With TensorFlow and torch the variable that it remembers has moved by
  then, and what it trains is the plain average of z, whatever β₁ is. A file doesn't say which it was.
- optax's Rprop takes each step one gradient late, unless that gradient has turned: its first step is zero.
- optax computes Adafactor's β in float32, for float64 parameters too, which is off by up to 6e-8 of itself. The recorded
  float64 runs are its own lines with that one in the parameter's type.
- Keras lets a parameter decay before the step, which LAMB and Adafactor see, as they read it; its Adafactor bounds lr by 1/√t
  whatever `relative_step` says. torch's Adafactor keeps vectors whole, and takes the ε of a group's first parameter for all.
- optax factors Adafactor's average only where both sides have `min_dim_size_to_factor` (128) or more, and calls the mean
  over the longer side `v_row`. A recipe has no threshold: `factored=False` is the other equation.

## Where numbers overflow or cancel

Here the dialects don't follow their frameworks to the end. A gradient beyond 1.8e19 has a square that float32 can't
hold. Measured with one gradient of 3e19 to 1.5e20 among ones: torch weighs before it squares, so Adam goes on as if
nothing had been; Keras's Adam and Nadam and TensorFlow's Adam and RMSProp are NaN from the second step on; optax's
optimizers, Keras's RMSprop and every Adadelta but torch's have an infinite average and take no step any more. All rules
weigh first, as torch does. (A sum of squares, as Adagrad's, overflows everywhere.)

Centred RMSprop takes the root of s − a², which vanishes under a steady gradient, so that rounding decides its sign. Of
10,000 steady gradients in float32 these became NaN within 1,500 steps (`make check-extremes`):

| | ρ = 0.9 | ρ = 0.99 |
|---|---|---|
| torch | 4,651 | 353 |
| optax | 1,323 | 3,253 |
| Keras | 506 | 2,767 |
| TensorFlow 1 | 0 | 0 |
| the rules, with s − a² below zero taken for zero | 0 | 0 |

a is averaged as a + (1 − ρ)(g − a), torch's and TensorFlow's way: at ρ = 0.99 s − a² then ends within 1.3e-5 g² of
zero, by ρ a + (1 − ρ) g within 2.1e-5 g².

## Half precision

A recipe computes in float32 for bfloat16 and float16 parameters, coefficients in float64, and rounds once when it
stores; so does optax's Adam in effect. Keras computes in the parameters' type: in bfloat16 β₂ = 0.999 rounds to 1, so
1 − β₂ᵗ is zero and its Adam never moves (measured with 50 steady gradients: 1.0 stays 1.0, where a recipe and optax 0.2.8
reach 0.4297; in float16 all three agree). A state converted from there is what Keras kept; going on from it by a recipe
trains, and is another run. (`make check-extremes`)

## What differs, measured

`ravine explain A B` shows two equations side by side and finds what matters by switching one term at a time on a stream
of gradients whose learning rate drops after step 30. Distances are parts of the longest step so far.

| first | second | what matters most | they part at | by | at worst by |
|---|---|---|---|---|---|
"""

PAIRS: list[tuple[str, str]] = [
    ("tensorflow.RMSPropOptimizer(0.01, epsilon=1e-7)", "keras.RMSprop(0.01)"),
    ("keras.RMSprop(0.01, rho=0.99, epsilon=1e-8)", "torch.RMSprop()"),
    ("optax.rmsprop(0.01, decay=0.99, momentum=0.9, eps_in_sqrt=False)", "torch.RMSprop(momentum=0.9)"),
    ("tensorflow.RMSPropOptimizer(0.01, 0.99, 0.9)", "torch.RMSprop(momentum=0.9)"),
    ("keras.SGD(0.01, momentum=0.9)", "torch.SGD(0.01, momentum=0.9)"),
    ("tensorflow.MomentumOptimizer(0.01, 0.9)", "torch.SGD(0.01, momentum=0.9)"),
    ("optax.sgd(0.01, 0.9)", "torch.SGD(0.01, momentum=0.9)"),
    ("keras.Adam(epsilon=1e-8)", "torch.Adam()"),
    ("tensorflow.AdamOptimizer()", "keras.Adam()"),
    ("optax.adam(0.001)", "torch.Adam()"),
    ("optax.adamw(0.001)", "torch.AdamW()"),
    ("keras.Adagrad()", "torch.Adagrad()"),
    ("keras.Adadelta()", "torch.Adadelta()"),
    ("keras.Nadam()", "torch.NAdam(0.001, eps=1e-7)"),
    ("keras.Nadam()", "optax.nadam(0.001, eps=1e-7)"),
    ("keras.Adamax()", "torch.Adamax(0.001, eps=1e-7)"),
    ("optax.amsgrad(0.001)", "torch.Adam(amsgrad=True)"),
    ("keras.Lion()", "optax.lion(0.001)"),
    ("optax.radam(0.001)", "torch.RAdam(0.001)"),
    ("optax.rprop(0.01)", "torch.Rprop(0.01)"),
    ("optax.signum(0.001)", "optax.lion(0.001, weight_decay=0.0)"),
    ("optax.adafactor(0.01)", "optax.adafactor(0.01, factored=False)"),
    ("optax.lamb(0.001)", "optax.adam(0.001, eps=1e-6)"),
    ("keras.Lamb(weight_decay=0.1)", "optax.lamb(0.001, eps=1e-7, weight_decay=0.1)"),
    ("torch.Adafactor(lr=0.5)", "optax.adafactor(0.5)"),
    ("keras.Adafactor(0.01, epsilon_1=0.1)", "torch.Adafactor(eps=(0.1, 0.001))"),
    ("keras.Adafactor(0.5)", "optax.adafactor(0.5)"),
]

TAIL = """
## Another spelling

`recipe.to("keras")` gives the constructor's call as text (`.call`) and as `.arguments`, and whether it is exact, exact
while lr is constant, or not possible, with the term in the way:

```console
$ python -c 'from ravine import dialects as d; print(d.torch.RMSprop(momentum=0.9).to("optax"))'
{optax}
$ python -c 'from ravine import dialects as d; print(d.torch.Adam().to("keras"))'
{keras}
```

lr inside and outside of a momentum buffer are the same until lr changes; an averaged gradient is heavy ball with
lr·(1−β) for lr; with ε = 0 all places for ε are one.

## Some parameters otherwise than the rest

A recipe treats all parameters alike; `ravine.recipes` names several, each for a part:

```python
parts = ravine.recipes(decayed=dialects.optax.adamw(1e-3), rest=dialects.optax.adamw(1e-3, weight_decay=0.0))
tx = parts.optax(mask)  # optax.multi_transform; leaves of the mask are true for the first part, or name the part
optimizer = parts.torch({"decayed": matrices, "rest": vectors})  # one optimizer with a group for each part
```

In torch the parts follow one rule, of which a part may lack the decay.

## optax and SciPy

`recipe.optax(lr=None)` is a real `optax.GradientTransformation` for `jit`, `vmap`, `scan`, `optax.chain`,
`optax.multi_transform` and `optax.inject_hyperparams(recipe.optax)(lr=schedule)`; `ravine.optax.from_recipe` takes any
hyperparameter as a schedule or a traced value. Its `update` gives the step in the gradients' type. Coefficients such as
1 − βᵗ are computed in float64 under `jit` too. `ravine.scipy.method("adam", lr=0.01)` is a `method` for
`scipy.optimize.minimize`, with the options `maxiter`, `gtol` (or `tol`) and `disp`.

## State: `ravine convert`

```console
$ ravine convert half.pt --from torch --to optax --out half.npz
$ ravine convert keras.npz --from keras --to torch --optimizer 'keras.Adam(0.01)'
$ ravine convert last.ckpt --from torch --to keras --optimizer torch.AdamW --key optimizer_states.0
```

STATE is a file or a folder:

| from | what is read |
|---|---|
| any framework | `.safetensors` and `.npz` under the framework's own names (also written) |
| torch | `.pt`, `.pth`, `.bin`, `.ckpt`, `.tar` with an optimizer's state dict anywhere inside, Lightning's among them; the folders of Accelerate, transformers' Trainer and `torch.distributed.checkpoint`; state dicts by name, flattened ones too |
| Keras | `.keras`, `.h5`, `.weights.h5` (h5py); in `.keras` and `.weights.h5` parameters have numbers, in the order of `model.trainable_variables` |
| TensorFlow | checkpoints of TensorFlow 1's Saver (partitioned variables too), of `tf.train.Checkpoint`, and saved models, by folder, prefix or index, without TensorFlow: Keras's optimizers (`--from keras`), the legacy ones (`--from keras_legacy`) and TensorFlow 1's |
| optax | flax's `.msgpack` and orbax's folders (tensorstore), a state by itself or a train state's `opt_state`; the optimizer is found inside chains, `inject_hyperparams`, `masked`, `multi_transform`, `MultiSteps` and `apply_if_finite`, and what these keep beside is named as left behind |

Nothing that could run code is unpickled: torch's files are read as tensors and plain values, a distributed checkpoint's
`.metadata` by an unpickler that knows descriptions of tensors alone, TensorFlow's tables and torch's archives with their
checksums. HDF5 files whose numbers lie in other files are refused, and a name that is there twice. What a
file doesn't say is asked for by name. bfloat16 is held in float32. The optimizer's call and the step go into the
metadata. Groups with settings of their own become files of their own. The command first says what it took the file
for. A parameter group is a torch class's only if it has just the keys that the class gives it from torch 2.7 on: an
older checkpoint's, which does not tell AdamW from Adam with L2, and another library's are refused by name, and
`--optimizer torch.AdamW` says what they are, with the values of the group. timm's RMSpropTF is known for what it is,
TensorFlow's. Conversions are exact or refused, with the reason; nothing is written half. A momentum buffer that
differs by the factor lr is kept in float64 on the way, so that float32 comes back bit by bit. The command says how
training goes on there: exactly, exactly while lr is constant, or otherwise and why; and if the source counts no
steps, that a schedule would begin anew unless `--step` tells. Parameters without state (frozen, or plain gradient
descent's) stay without; those at steps of their own keep them in torch and Ravine, and go elsewhere only if the
equation counts no steps. `make check-conversion` lets the real Keras and TensorFlow go on from converted torch states.

**Averages and means.** Averages of the parameters come along from Keras to Ravine and back; for torch, optax and
TensorFlow, which keep them beside the optimizer, the command names what does. Means over rows and columns (Adafactor's)
come in each framework's shapes: torch's squares of vectors become such means and the other way round, Keras's two means
have one name and are assigned by `optimizer._r` and `optimizer._c`, and of optax's the file does not say which side of a
matrix is the longer: `resume` sees it, elsewhere `--transpose` or `--like` tell. Where optax factors some matrices and
others not, no one recipe goes on.

**Names and layouts.** torch numbers parameters group by group, those with weight decay first in many programs. Where a
model's state dict is in the same file or folder, the numbers get its names, if order and shape tell them in just one
way (for transformers' models `config.json` tells the order); `resume` takes the live model's. `--rename` takes `OLD=NEW`, `'encoder.*=enc.*'`, or a file of such lines or of
JSON. `--like MODEL.pt` (or .safetensors, .npz) takes a model's names by shape, name and order, shows them in a table and asks
(`--yes`). `--transpose NAME` turns matrices and kernels round: torch has (out, in, height, width), Keras and most JAX
libraries (height, width, in, out).


**Schedules.** A schedule in Keras's file, in the optimizer's call (a chain's too), in a torch checkpoint, or given by
`--schedule 'CosineAnnealingLR(optimizer, T_max=1000)'` goes along as data: the learning rate is set to what it is after the
finished steps, and the command spells the schedule for the target. `resume_scheduled` is `resume` with a torch scheduler
that goes on with it. What a torch scheduler has counted must be the optimizer's steps. Lightning steps one once an epoch
unless told otherwise: then `--steps-per-epoch` says of how many steps. torch's SGD counts none (`--step`). Of functions
torch saves nothing, so transformers' schedules in the Trainer's checkpoints, all of which are functions, are given, as
`--schedule 'get_linear_schedule_with_warmup(optimizer, 0, 1000)'`; what is given is held to the rate in the file.

**Going on by the source's own arithmetic.** torch.optim has no Keras RMSprop. `--to ravine` keeps the equation and
changes the names alone, and in a program two lines go on where another framework stopped:

```python
optimizer = ravine.convert.resume(
    "keras.npz", model.named_parameters(), "keras", optimizer="keras.RMSprop(0.01, momentum=0.9)"
)
```

`--from ravine` and `resume(…, "ravine")` take the files of Ravine's own optimizers as well: `ravine.torch.Lion`, and
any rule's with `--optimizer rmsprop_momentum`, written by torch or, for `recipe.optax()`, by flax or orbax.

In Python, `ravine.convert` has `from_torch`, `groups`, `into_torch`, `from_optax`, `into_optax`, `read`, `move`,
`write`, `load`, `load_groups`, `save`, `resume` and `resume_scheduled`. `into_optax` sets every count of the tree, a
schedule's too. For Keras and TensorFlow the tensors are plain arrays by name:

```python
for variable in optimizer.variables:  # Keras, after optimizer.build(…)
    variable.assign(tensors[variable.path.rpartition("/")[2]])
for slot in optimizer.get_slot_names():  # TensorFlow 1
    optimizer.get_slot(w, slot).assign(tensors[f"w/{slot}"])
```
"""


def page() -> str:
    """The page as Markdown."""
    differences = "".join(difference(a, b) for a, b in PAIRS)
    frameworks = "".join(section(framework) for framework in dialects.FRAMEWORKS)
    tail = TAIL.replace("{optax}", str(torch.RMSprop(momentum=0.9).to("optax")))
    tail = tail.replace("{keras}", str(torch.Adam().to("keras")))
    return HEAD + differences + frameworks + tail


def difference(a: str, b: str) -> str:
    """A row of measured differences."""
    found = compare(made(a), made(b))
    if found.same:
        return f"| `{a}` | `{b}` | nothing: they move alike | | | |\n"
    effect: Effect = found.effect
    most = found.responsible
    words = "" if most is None else f"{most.term} ({most.a} against {most.b})".replace("|", "\\|")
    return f"| `{a}` | `{b}` | {words} | step {effect.first} | {effect.part:.2g} | {effect.worst:.3g} steps |\n"


def made(call: str) -> Recipe:
    """The recipe of a call as text."""
    constructor, arguments = dialects.parse(call)
    return constructor(**arguments)


def section(framework: str) -> str:
    """A framework: each form of each optimizer, and the defaults."""
    module = dialects.FRAMEWORKS[framework]
    about = (module.__doc__ or "").partition("\n\n")[2].strip()
    rows = "".join(row(c, f) for c in dialects.constructors(framework).values() for f in c.forms)
    defaults = "".join(default_row(c) for c in dialects.constructors(framework).values())
    return (
        f"\n## {framework}\n\n{about}\n\n"
        "| optimizer | with | rule | equation | ε | lr | starts |\n|---|---|---|---|---|---|---|\n"
        f"{rows}\n| optimizer | defaults |\n|---|---|\n{defaults}"
    )


def row(constructor: Constructor, form: Form) -> str:
    """A row for one arithmetic."""
    words = describe(form.rule)
    on = [
        f"`{n}={wanted!r}`" if isinstance(wanted, str) else f"`{n}`"
        for n, wanted in form.when.items()
        if wanted and constructor.defaults[n] is not True
    ]
    off = [f"`{n}` off" for n, wanted in form.when.items() if not wanted and constructor.defaults[n] is True]
    lines = "<br>".join(f"`{line}`" for line in text.equation(rule(form.rule)).replace("|", "\\|").split("\n"))
    starts = ", ".join(f"{slot} at {start(form, slot)}" for slot in rule(form.rule).slots)
    name = f"[`{form.rule}`](rules.md#{form.rule})" if "(" not in form.rule else f"`{form.rule}`"
    epsilon = words.get("ε", "none") if form.fixed.get("eps") != 0 else "none"
    return (
        f"| `{constructor.name}` | {', '.join(on + off)} | {name} | {lines} | {epsilon} | {words.get('lr', '–')} "
        f"| {starts or '–'} |\n"
    )


def start(form: Form, slot: str) -> str:
    """What a slot starts at: a number, or the argument that says so."""
    found = form.start.get(slot, rule(form.rule).slots[slot].start)
    return f"`{found}`" if isinstance(found, str) else f"{found:g}"


def default_row(constructor: Constructor) -> str:
    """The arguments that matter, with their defaults."""
    used = {a.partition("[")[0] for f in constructor.forms for a in f.names.values()}
    used |= {a for f in constructor.forms for a in (*f.when, *(v for v in f.start.values() if isinstance(v, str)))}
    used |= {n for w in constructor.wraps for n in (w.argument, w.gives)}
    shown = [n if constructor.is_required(n) else f"{n}={d!r}" for n, d in constructor.defaults.items() if n in used]
    return f"| `{constructor.name}` | `{', '.join(shown)}` |\n"
