"""Learning-rate maps: the loss at the end over lr × μ, for rules with momentum."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine.registry import rule
from ravine.simulate import figures
from ravine.simulate.functions import find
from ravine.simulate.noise import Noise
from ravine.simulate.outcome import Claim, Outcome, Table
from ravine.simulate.runs import values_at
from ravine.simulate.surface import Surface
from ravine.trace.text import TextPrinter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPPED = ("momentum", "nesterov", "rmsprop_momentum", "adam")
GOOD = 1e-3
MOMENTS = 24
"""The steps of a film at which the loss is kept."""


def maps(
    *,
    rules: tuple[str, ...] = MAPPED,
    surface: str = "oblong_bowl",
    size: int = 200,
    steps: int = 500,
    sigma: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Learning-rate maps: the loss over lr × momentum (μ, or β₁ for Adam's kin), `size` values of each.

    lr goes from 10⁻⁴ to 10 in equal ratios, 1 − momentum from 1 to 0.01 in equal ratios. A film shows the loss as the
    steps go on. `sigma` adds Gaussian noise. Raises
    ValueError for a rule without momentum, or fewer than 2 values.
    """
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size!r}")
    ground = find(surface)
    lr, mu = np.geomspace(1e-4, 10, size), 1 - np.geomspace(1, 0.01, size)
    noise = Noise("gaussian", sigma, seed) if sigma else None
    start_loss = float(ground.value(ground.start))
    low = ground.minimum if ground.minimum is not None else 0.0
    moments = sorted({*np.geomspace(1, max(1, steps), MOMENTS).astype(int).tolist(), steps})
    films = {}
    for name in rules:
        settings = {"lr": lr[None, :], momentum_of(name): mu[:, None]}
        values = values_at(name, ground, at=moments, noise=noise, **settings)
        films[name] = [(value - low) / (start_loss - low) for value in values]
    losses = {name: film[-1] for name, film in films.items()}
    return Outcome(
        name="maps",
        title=f"Loss after {steps} steps, over lr × momentum: {ground.title.lower()}",
        story="Dark is good, white is worse than the start. Without rescaling there is a cliff, at a learning rate "
        "that the curvature sets. On rescaled gradients there is none: too large an lr hovers about the minimum.",
        settings={"rules": list(rules), "surface": surface, "size": size, "steps": steps, "sigma": sigma, "seed": seed},
        tables=[_table(losses, lr, mu)],
        claims=_claims(losses, ground, lr, mu),
        draw=lambda figure: _draw(figure, films, moments, ground, lr, mu),
        last=steps,
        slows=True,
        size=(11.0, 8.0) if len(rules) > 2 else (11.0, 4.6),
    )


def momentum_of(name: str) -> str:
    """The hyperparameter that is a rule's momentum."""
    for wanted in ("mu", "beta1", "beta"):
        if wanted in rule(name).hyperparameters:
            return wanted
    raise ValueError(f"rule {name} has no momentum (mu, beta1 or beta), so there is nothing to map against lr")


def symbol(name: str) -> str:
    """How a rule's equation calls its momentum."""
    return TextPrinter().name(momentum_of(name))


def _table(losses: dict[str, Any], lr: Any, mu: Any) -> Table:
    rows = []
    for name, loss in losses.items():
        usable = np.where(np.isfinite(loss), loss, np.inf)
        i, j = np.unravel_index(np.argmin(usable), usable.shape)
        good = usable < GOOD
        widths = np.sum(good, axis=1) * np.log10(lr[1] / lr[0])
        bad = float(np.mean(~(loss < 1)))
        at = int(np.argmax(widths))
        rows.append(
            (
                f"{name}, {symbol(name)}",
                float(usable[i, j]),
                float(lr[j]),
                float(mu[i]),
                float(np.mean(good)),
                float(widths[at]),
                float(mu[at]),
                bad,
            )
        )
    columns = (
        "rule",
        "best",
        "at lr",
        "at momentum",
        "share that is good",
        "widest band, decades of lr",
        "at momentum ",
        "share worse than the start",
    )
    return Table("maps", columns, rows, f"Loss relative to the start's; good: below {GOOD:g}. Momentum: μ or β₁.")


def _claims(losses: dict[str, Any], ground: Surface, lr: Any, mu: Any) -> list[Claim]:
    """On the oblong bowl, momentum's edge is known: lr = 2(1+μ)/h with the larger curvature h."""
    if ground.name != "oblong_bowl" or "momentum" not in losses:
        return []
    bound = _bound(ground, mu)
    grew = ~(losses["momentum"] < 1)
    inside, outside = lr[None, :] < 0.9 * bound[:, None], lr[None, :] > 1.1 * bound[:, None]
    slow = mu[:, None] < 0.97  # closer to one, 500 steps don't tell
    right = (~grew & inside | grew & outside)[(inside | outside) & slow]
    return [
        Claim(
            "momentum diverges where lr > 2(1+μ)/h, and not below",
            bool(np.all(right)),
            f"{int(np.sum(right))} of {right.size} settings with μ < 0.97 and lr off the bound by more than a tenth",
        )
    ]


def _bound(ground: Surface, mu: Any) -> Any:
    return 2 * (1 + mu) / max(1.0, ground.parameters["condition"])


def _shown(loss: Any) -> Any:
    return np.ma.masked_where(~(loss < 1), np.where(np.isfinite(loss), np.clip(loss, 1e-8, 1), 1))


def _film(mesh: Any, panel: Any, film: Sequence[Any], moments: Sequence[int]) -> figures.Moving:
    """A map as of a step: of the last moment that was kept, and which that is."""
    note = panel.annotate("", (0.02, 0.03), xycoords="axes fraction", fontsize=10, color=figures.INK)

    def show(t: int) -> None:
        k = max(0, bisect_right(moments, t) - 1)
        mesh.set_array(_shown(film[k]))
        note.set_text("" if k == len(moments) - 1 else f"after {moments[k]} step{'s' * (moments[k] > 1)}")

    return figures.Moving((mesh, note), show)


def _draw(
    figure: Figure, films: dict[str, list[Any]], moments: Sequence[int], ground: Surface, lr: Any, mu: Any
) -> figures.Moving:
    from matplotlib.colors import LogNorm

    columns = min(2, len(films))
    grid: Any = figure.subplots(-(-len(films) // columns), columns, sharex=True, sharey=True, squeeze=False)
    mesh, updates = None, []
    for panel, (name, film) in zip(grid.flat, films.items(), strict=False):
        loss = film[-1]
        panel.set_facecolor("white")
        mesh = panel.pcolormesh(lr, 1 - mu, _shown(loss), norm=LogNorm(1e-8, 1), cmap="cividis", rasterized=True)
        updates.append(_film(mesh, panel, film, moments))
        panel.set(title=rule(name).title, xscale="log", yscale="log", ylim=(1, 0.01))
        panel.set_yticks([1, 0.5, 0.1, 0.05, 0.01], ["0", "0.5", "0.9", "0.95", "0.99"])
        panel.set_ylabel(symbol(name))
        panel.minorticks_off()
        panel.grid(visible=False)
        if name == "momentum" and ground.name == "oblong_bowl":
            look = {"color": figures.style("rmsprop_momentum")["color"], "linewidth": 2.4}
            (line,) = panel.plot(_bound(ground, mu), 1 - mu, **look)
            note = panel.annotate(
                "lr = 2(1+μ)/h",
                (_bound(ground, mu)[len(mu) // 3], 1 - mu[len(mu) // 3]),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
            )
            updates.append(figures.Moving((line, note), lambda t: None))  # drawn anew above each map
        if np.mean(~(loss < 1)) > 0.1:
            panel.annotate(
                "worse than\nthe start",
                (0.98, 0.97),
                xycoords="axes fraction",
                ha="right",
                va="top",
                fontsize=10,
                color=figures.FAINT,
            )
    for panel in grid[-1]:
        panel.set_xlabel("lr")
    if mesh is not None:
        figure.colorbar(mesh, ax=grid, label="loss / loss at the start", shrink=0.8, pad=0.02)
    for panel in list(grid.flat)[len(films) :]:
        panel.set_visible(False)
    return figures.together(updates)
