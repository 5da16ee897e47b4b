"""The results for other programs: a Markdown table to paste, Parquet for data frames, event files for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ravine.errors import require
from ravine.lab.report import words
from ravine.lab.report.verdict import verdict
from ravine.lab.results import Results
from ravine.lab.summary import Summary


def markdown(results: Results, made: Summary) -> str:
    """The verdict and the table, in Markdown."""
    lines = [" ".join(verdict(results, made)), "", _line(words.HEADINGS), _line(["---"] * len(words.HEADINGS))]
    lines += [_line(words.cells(row)) for row in made.rows]
    return "\n".join([*lines, "", words.notes(results, made), ""])


def _line(cells: Any) -> str:
    return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"


def parquet(results: Results, file: Path) -> None:
    """One row a measurement: the run's settings and status, then step, seconds, metrics (null where not given)."""
    require("--parquet", "pyarrow")
    import pyarrow
    import pyarrow.parquet

    rows = [
        {
            "task": results.task["name"],
            "contender": s.contender,
            "rule": s.rule,
            "hyper": json.dumps(dict(s.hyper), sort_keys=True),
            **{n: getattr(s, n) for n in ("stage", "repetition", "trial", "seed")},
            "status": record.status,
            "seconds": record.timing[i],
            **{n: record.curve[n][i] if n in record.curve else None for n in _COLUMNS},
        }
        for record in results.records
        for s in (record.settings,)
        for i in range(len(record.curve["step"]))
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)


_COLUMNS = ("step", "loss", "train_loss", "accuracy")


def tensorboard(results: Results, folder: Path) -> None:
    """Event files, one run each: a scalar for each metric, at the time of training at which it was measured."""
    require("--tensorboard", "tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary as Scalars
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for record in results.records:
        s = record.settings
        safe = "".join(c if c.isalnum() or c in "_-." else "_" for c in s.contender)
        name = f"{safe}-{s.stage}-{s.repetition}" + (f"-{s.trial}" if s.trial >= 0 else "")
        writer = EventFileWriter(str(folder / name))
        for i, step in enumerate(record.curve["step"]):
            values = [Scalars.Value(tag=n, simple_value=c[i]) for n, c in record.curve.items() if n != "step"]
            writer.add_event(Event(step=int(step), wall_time=record.timing[i], summary=Scalars(value=values)))
        writer.close()
