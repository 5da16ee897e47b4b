"""Step counts and scalar slots that the program keeps on the host, read and written in one call each."""

from __future__ import annotations

import ctypes
from functools import cache
from string import Template
from typing import Any

import numpy as np

from ravine.engines.fused import frame, jit
from ravine.engines.fused.storage import Storage

WRITE = Template("""\
define void @write(ptr %table, i64 %n, ptr %numbers) {
entry:
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]
  %row.word = mul i64 %k, $columns
  %row = getelementptr i64, ptr %table, i64 %row.word
  %scalars.word = mul i64 %k, $count
  %scalars.row = getelementptr double, ptr %numbers, i64 %scalars.word
$stores
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
        stores = "\n".join(frame.store(k, kind, storage) for k, kind in enumerate(storage.scalars))
        write = WRITE.substitute(columns=storage.columns, count=self._width, stores=stores)
        self._compiled = jit.compile_source(f"{frame.read(storage)}\n\n{write}\n")
        pointer, word = ctypes.c_void_p, ctypes.c_int64
        self._read = self._compiled.function("read", ctypes.c_bool, pointer, word, pointer)
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


@cache
def counts(storage: Storage) -> Counts:
    """The code for a storage."""
    return Counts(storage)
