"""From a scenario's picture to a file: stills, films and pages."""

from __future__ import annotations

import importlib
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ravine import palette
from ravine.errors import missing, require
from ravine.simulate.figures import INK, Moving, look
from ravine.simulate.outcome import Outcome
from ravine.simulate.page import Reel, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".gif", ".mp4", ".html")
FRAMES, FRAMES_A_SECOND, HOLD = 72, 18, 1.5
"""A film: how many frames it has, its speed, and for how many seconds the last frame stays."""
STILL_DPI, FILM_DPI = 120, 80
COLORS = 160
"""The colours of a gif: pictures of few colours, which so stay small."""


def figure(outcome: Outcome) -> tuple[Figure, Moving]:
    """The picture of an outcome at its last step, and its moving parts."""
    with look():
        from matplotlib.figure import Figure

        made = Figure(figsize=outcome.size)
        made.suptitle(outcome.title, x=0.008, ha="left", fontsize=15, fontweight="bold")
        moving: Moving = outcome.draw(made)
        moving(outcome.last)
    return made, moving


def check(path: str | Path) -> Path:
    """The path of a picture to write, checked before there is anything to draw.

    Raises ValueError for an ending that no picture has, and without a folder; ImportError, naming what to install,
    where Matplotlib or (for .mp4) ffmpeg is missing.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a picture's name must end in {', '.join(SUFFIXES)}; got {str(path)!r}")
    if not target.parent.is_dir():
        raise ValueError(f"can't write {str(path)!r}: there is no folder {str(target.parent)!r}")
    require("a picture", "matplotlib")
    if target.suffix.lower() == ".mp4":
        ffmpeg()
    return target


def save(outcome: Outcome, path: str | Path) -> Path:
    """Write the picture: .png or .svg a still, .gif or .mp4 a film, .html a page with the film and the tables.

    Raises ValueError for another ending or a folder that is not there; ImportError, naming what to install, where
    Matplotlib or (for .mp4) ffmpeg is missing.
    """
    target = check(path)
    suffix = target.suffix.lower()
    if suffix == ".html":
        target.write_text(page(outcome, svg(outcome), reel(frames(outcome), moments(outcome))), encoding="utf-8")
    elif suffix == ".svg":
        target.write_text(svg(outcome), encoding="utf-8")
    elif suffix == ".png":
        made, _ = figure(outcome)
        with look():
            made.savefig(target, dpi=STILL_DPI, metadata={"Software": None})
    else:
        {".gif": _gif, ".mp4": _mp4}[suffix](list(frames(outcome)), target)
    return target


def svg(outcome: Outcome) -> str:
    """The still as SVG text, without what would change from one writing to the next."""
    made, _ = figure(outcome)
    text = io.StringIO()
    with look():
        made.savefig(text, format="svg", dpi=STILL_DPI, metadata={"Date": None})
    return text.getvalue()


def moments(outcome: Outcome) -> list[int]:
    """The steps that a film shows."""
    even = np.linspace(0, outcome.last, FRAMES)
    steps = np.unique(np.round(np.expm1(even / outcome.last * np.log1p(outcome.last)) if outcome.slows else even))
    return [int(t) for t in steps]


def frames(outcome: Outcome) -> Iterator[Any]:
    """A film's pictures as arrays (height, width, 3) of bytes. What stands still is drawn once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made, moving = figure(outcome)
    made.set_dpi(FILM_DPI)
    canvas: Any = FigureCanvasAgg(made)
    with look():
        canvas.draw()
        made.set_layout_engine("none")  # laid out once, so that nothing jumps between frames
        for artist in moving.artists:
            artist.set_animated(True)
        canvas.draw()
        background = canvas.copy_from_bbox(made.bbox)
        for t in moments(outcome):
            canvas.restore_region(background)
            moving(t)
            for artist in moving.artists:
                artist.axes.draw_artist(artist)
            yield np.array(canvas.buffer_rgba())[..., :3]


def _gif(pictures: list[Any], target: Path) -> None:
    from PIL import Image

    images = [Image.fromarray(p) for p in pictures]
    few = Image.fromarray(_with_swatches(pictures[-1])).quantize(COLORS, dither=Image.Dither.NONE)
    first, *rest = [i.quantize(palette=few, dither=Image.Dither.NONE) for i in images]
    times = [1000 // FRAMES_A_SECOND] * len(rest) + [int(1000 * HOLD)]
    first.save(target, save_all=True, append_images=rest, duration=times, loop=0, optimize=True)


def reel(pictures: Iterator[Any], steps: list[int]) -> Reel:
    """A film for a page: each picture as what differs from the one before it, in the colours of a gif."""
    from PIL import Image

    every = list(pictures)
    few = Image.fromarray(_with_swatches(every[-1])).quantize(COLORS, dither=Image.Dither.NONE)
    colors = (few.getpalette() or [])[: 3 * COLORS]
    unchanged = len(colors) // 3  # one more colour, which is none
    before, changes = None, []
    for picture in every:
        now = np.asarray(Image.fromarray(picture).quantize(palette=few, dither=Image.Dither.NONE))
        differs = np.ones(now.shape, dtype=bool) if before is None else now != before
        rows, columns = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            patch = Image.fromarray(np.where(differs, now, unchanged).astype(np.uint8)[box])
            patch.putpalette([*colors, 0, 0, 0])
            data = io.BytesIO()
            patch.save(data, format="png", optimize=True, transparency=unchanged)
            changes.append((int(columns[0]), int(rows[0]), data.getvalue()))
        else:
            changes.append((0, 0, b""))
        before = now
    height, width = every[0].shape[:2]
    return Reel(width, height, FRAMES_A_SECOND, list(zip(steps, changes, strict=True)))


def _with_swatches(picture: Any) -> Any:
    """A picture with a stripe of every optimizer's colour below, so that a gif's few colours keep them apart."""
    width = picture.shape[1]
    colors = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in ("#FFFFFF", INK, *palette.COLORS.values())]
    stripes = np.repeat(np.array(colors, dtype=np.uint8), 24, axis=0)[:, None, :]
    return np.concatenate([picture, np.broadcast_to(stripes, (len(stripes), width, 3))])


def _mp4(pictures: list[Any], target: Path) -> None:
    even = [p[: p.shape[0] // 2 * 2, : p.shape[1] // 2 * 2] for p in pictures]  # as H.264 wants
    even += even[-1:] * int(HOLD * FRAMES_A_SECOND)
    height, width, _ = even[0].shape
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FRAMES_A_SECOND), "-i", "-"]
    made = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-y", str(target)]
    command = [ffmpeg(), "-loglevel", "error", *given, *made]
    done = subprocess.run(command, input=b"".join(p.tobytes() for p in even), capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"ffmpeg could not write {str(target)!r}: {done.stderr.decode(errors='replace').strip()}")


def ffmpeg() -> str:
    """The path of ffmpeg: on the PATH, or the one that imageio-ffmpeg brings."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except ImportError as error:
        raise missing("without ffmpeg on the PATH, .mp4", error) from error
