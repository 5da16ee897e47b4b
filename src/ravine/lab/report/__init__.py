"""The report: reads results, runs nothing."""

from __future__ import annotations

from pathlib import Path

from ravine.lab.results import Results, write


def write_all(results: Results, folder: Path, parquet: bool = False, tensorboard: bool = False) -> list[Path]:
    """Write report.html, results.json, table.md and the figures as PNG and SVG into `folder`, runs.parquet and event
    files if asked for; return the paths."""
    from ravine.lab.report import figures, formats, html

    made = results.summary
    page, table = folder / "report.html", folder / "table.md"
    written = [page, results.save(folder), table]
    write(page, html.page(results))
    write(table, formats.markdown(results, made))
    for name, figure in figures.figures(results).items():
        for kind in ("png", "svg"):
            path = folder / f"{name}.{kind}"
            figure.savefig(path, dpi=150)
            figure.set_layout_engine("none")  # found with the first file, and the same in the second
            written.append(path)
    if parquet:
        formats.parquet(results, folder / "runs.parquet")
        written.append(folder / "runs.parquet")
    if tensorboard:
        formats.tensorboard(results, folder / "tensorboard")
        written.append(folder / "tensorboard")
    return written
