"""Step counts and scalar slots that the program keeps on the host, read and written in one call each."""

from __future__ import annotations

import ctypes
from functools import cache
from string import Template
from typing import Any

import numpy as np

from ravine.engines.fused import frame, jit, scalars
from ravine.engines.fused.storage import Storage

EACH = Template("""\
define void @$name(ptr %table, i64 %n, ptr %numbers) {
entry:
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]
  %row.word = mul i64 %k, $columns
  %row = getelementptr i64, ptr %table, i64 %row.word
  %scalars.word = mul i64 %k, $count
  %scalars.row = getelementptr double, ptr %numbers, i64 %scalars.word
$lines
  %k.next = add i64 %k, 1
  %is.more = icmp slt i64 %k.next, %n
  br i1 %is.more, label %loop, label %end
end:
  ret void
}""")


class Counts:
    """Machine code for the numbers that a storage keeps per tensor."""

    def __init__(self, storage: Storage) -> None:
        self._width = len(storage.scalars)
        numbers = list(enumerate(storage.scalars))
        reading = "\n".join(f"{scalars.load(k, kind, storage.scalar_column)}\n{_keep(k, kind)}" for k, kind in numbers)
        writing = "\n".join(frame.store(k, kind, storage.scalar_column) for k, kind in numbers)
        each = {"columns": storage.columns, "count": self._width}
        functions = [
            EACH.substitute(each, name=name, lines=lines) for name, lines in (("read", reading), ("write", writing))
        ]
        self._compiled = jit.compile_source("\n\n".join(functions))
        pointer, word = ctypes.c_void_p, ctypes.c_int64
        self._read = self._compiled.function("read", None, pointer, word, pointer)
        self._write = self._compiled.function("write", None, pointer, word, pointer)

    def read(self, rows: Any) -> Any:
        """The numbers of each row of a table, as float64."""
        found = np.empty((len(rows), self._width), np.float64)
        if len(rows):
            self._read(rows.ctypes.data, len(rows), found.ctypes.data)
        return found

    def write(self, rows: Any, numbers: Any) -> None:
        """New numbers for each row of a table."""
        if len(rows):
            self._write(rows.ctypes.data, len(rows), np.ascontiguousarray(numbers).ctypes.data)


def _keep(k: int, kind: str) -> str:
    """Lines that put number k of a tensor, once loaded, into %scalars.row."""
    at = f"%o{k}.at"
    return (
        f"  {at} = getelementptr double, ptr %scalars.row, i64 {k}\n  store double {scalars.loaded(k, kind)}, ptr {at}"
    )


@cache
def counts(storage: Storage) -> Counts:
    """The code for a storage."""
    return Counts(storage)
