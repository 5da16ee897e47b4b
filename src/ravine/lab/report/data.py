"""What the page's script draws, computed from the records."""

from __future__ import annotations

import json
import math
from typing import Any

from ravine import palette
from ravine.lab.records import FINAL, FINISHED, Record
from ravine.lab.report.figures import is_loose, look, searched, space, tried
from ravine.lab.results import Results, plain
from ravine.lab.summary import Summary

METRICS = {"loss": "validation loss", "train_loss": "training loss", "accuracy": "validation accuracy"}


def for_script(results: Results, made: Summary) -> str:
    """JSON that can stand in a script element: no `<` in it, so nothing that ends the element or opens a comment."""
    rows = [_series(results, row.name, row) for row in made.rows]
    metrics = {n: title for n, title in METRICS.items() if any(n in r["curves"] for r in rows)}
    data = {"target": made.target, "metrics": metrics, "searched": searched(results), "rows": rows}
    return json.dumps(plain(data), allow_nan=False).replace("<", "\\u003c")


def _series(results: Results, name: str, row: Any) -> dict[str, Any]:
    finals = results.of(name, FINAL)
    finished = [r for r in finals if r.status == FINISHED]
    color, dash = look(results, name)
    return {
        "name": name,
        "color": color,
        "isLight": palette.contrast(color) < palette.LEAST_CONTRAST,
        "dash": [2 * d for d in dash],
        "curves": _curves(finished),
        "broken": [_broken(r) for r in finals if r.status != FINISHED and len(r.curve["step"]) > 1],
        "tried": {n: [[p.value, p.loss, p.is_stopped] for p in tried(results, name, n)] for n in space(results, name)},
        "isLoose": is_loose(results, name),
        "tuning": list(row.tuning_curve),
        "rank": list(row.rank) if math.isfinite(row.rank.value) else None,
    }


def _curves(finished: list[Record]) -> dict[str, Any]:
    """For each metric, columns over the measurements that all finished runs share: mean, lowest, highest."""
    if not finished:
        return {}
    count = min(len(r.curve["step"]) for r in finished)
    curves: dict[str, Any] = {
        "step": [_rounded(v) for v in finished[0].curve["step"][:count]],
        "seconds": [_rounded(sum(r.timing[i] for r in finished) / len(finished)) for i in range(count)],
    }
    for metric in METRICS:
        if all(metric in r.curve for r in finished):
            columns = [[r.curve[metric][i] for r in finished] for i in range(count)]
            curves[metric] = {
                "mean": [_rounded(sum(c) / len(c)) for c in columns],
                "low": [_rounded(min(c)) for c in columns],
                "high": [_rounded(max(c)) for c in columns],
            }
    return curves


def _broken(record: Record) -> dict[str, Any]:
    """The loss of a run that did not finish, as far as it is finite."""
    points = [
        (s, t, v)
        for s, t, v in zip(record.curve["step"], record.timing, record.curve["loss"], strict=True)
        if math.isfinite(v)
    ]
    steps, seconds, losses = ([_rounded(p[i]) for p in points] for i in range(3))
    return {"step": steps, "seconds": seconds, "loss": losses}


def _rounded(value: float) -> float:
    """Six digits: enough for a picture, and a third of the size."""
    return float(f"{value:.6g}")
