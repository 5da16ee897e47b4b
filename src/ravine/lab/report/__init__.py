"""The report: reads results, runs nothing."""

from __future__ import annotations

from pathlib import Path

from ravine.lab.results import Results


def write_all(results: Results, folder: Path) -> list[Path]:
    """Write results.json, the figures as PNG and report.html into `folder`; return their paths."""
    from ravine.lab.report import figures, html

    written = [results.save(folder)]
    for name, figure in figures.figures(results).items():
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=150)
        written.append(path)
    page = folder / "report.html"
    page.write_text(html.page(results), encoding="utf-8")
    return [page, *written]
