"""What a walk will read, asked of memory before it is needed.

After a forward and a backward pass little of what a step goes through is in the processor's caches: some thirty lines a
parameter, each of which a walk would wait for in turn, since each says where the next one is. So a plan notes where
they were, and the walk has them fetched a few parameters ahead, many at a time. These are hints: the addresses are
prefetched and never read, and one at which something else lies by now, or nothing, changes nothing but the time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

import numpy as np
from torch import Tensor

from ravine.torch.abi import IMPL_SIZE, WORD

LINE = 64
"""Bytes of a line of the caches."""

BLOCK = 8
"""Parameters that are fetched at a time, a power of two."""

LIKELY = range(1 << 16, 1 << 47)
"""Where a program's memory can be: a word of an object that is in it may say where a part of the object lies."""

DICT_ENTRIES = 192
"""Bytes of a small dictionary's table, with its head."""

SOURCE = Template("""\
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

; Have fetched what was noted of the parameters from %start on, then the tensors that are their gradients now.
define internal void @fetch(ptr %params, ptr %rows, i64 %start, i64 %n) {
entry:
  %end.block = add i64 %start, $BLOCK
  %is.last = icmp slt i64 %n, %end.block
  %end = select i1 %is.last, i64 %n, i64 %end.block
  br label %row
row:
  %i = phi i64 [ %start, %entry ], [ %i.next, %row.end ]
  %is.row = icmp slt i64 %i, %end
  br i1 %is.row, label %noted, label %gradient.row
noted:
  %row.word = mul i64 %i, $COLUMNS
  %row.at = getelementptr i64, ptr %rows, i64 %row.word
  %hint.count = load i64, ptr %row.at[$HINTS]
  %hints = load ptr, ptr %row.at[$HINT]
  br label %hint
hint:
  %h = phi i64 [ 0, %noted ], [ %h.next, %one ]
  %is.hint = icmp slt i64 %h, %hint.count
  br i1 %is.hint, label %one, label %row.end
one:
  %h.at = getelementptr ptr, ptr %hints, i64 %h
  %line = load ptr, ptr %h.at
  call void @llvm.prefetch.p0(ptr %line, i32 0, i32 3, i32 1)
  %h.next = add i64 %h, 1
  br label %hint
row.end:
  %i.next = add i64 %i, 1
  br label %row
gradient.row:
  %j = phi i64 [ %start, %row ], [ %j.next, %gradient.next ]
  %is.gradient = icmp slt i64 %j, %end
  br i1 %is.gradient, label %known, label %done
known:
  %j.word = mul i64 %j, $COLUMNS
  %j.row = getelementptr i64, ptr %rows, i64 %j.word
  %p = call ptr @PyList_GetItem(ptr %params, i64 %j)
  %known.p = load ptr, ptr %j.row
  %same.p = icmp eq ptr %p, %known.p
  br i1 %same.p, label %gradient, label %done
gradient:
  %p.tensor = getelementptr i8, ptr %p, i64 $tensor_offset
  %p.impl = load ptr, ptr %p.tensor
  %g = call ptr @$grad(ptr %p.impl)
  %g.impl = load ptr, ptr %g
$gradient_lines
  br label %gradient.next
gradient.next:
  %j.next = add i64 %j, 1
  br label %gradient.row
done:
  ret void
}
""")

GRADIENT_LINE = """\
  %g.line.{0} = getelementptr i8, ptr %g.impl, i64 {0}
  call void @llvm.prefetch.p0(ptr %g.line.{0}, i32 0, i32 3, i32 1)"""

GRADIENT_LINES = "\n".join(GRADIENT_LINE.format(at) for at in range(0, IMPL_SIZE, LINE))

CONSTANTS = {"BLOCK": BLOCK, "BLOCK_MASK": BLOCK - 1, "gradient_lines": GRADIENT_LINES}
"""What the code of a walk takes from here."""


def hints(params: Sequence[Tensor], states: Iterable[Mapping[str, Any]]) -> tuple[Any, Any]:
    """The addresses of lines that a walk over some parameters and their states will read, one parameter's behind the
    other's, and how many each has."""
    found: list[int] = []
    counts = []
    for p, own in zip(params, states, strict=True):
        before = len(found)
        tensors = [p, *(value for value in own.values() if isinstance(value, Tensor))]
        found += map(id, tensors)
        if own:
            found.append(id(own))
            for table in _words(id(own), dict.__basicsize__):
                found += range(table, table + DICT_ENTRIES, LINE)
        for tensor in tensors:
            impl = tensor._cdata
            found += range(impl, impl + IMPL_SIZE, LINE)
            found += _words(impl, IMPL_SIZE)  # its storage, what autograd keeps of it, its count of changes
            found.append(tensor.data_ptr())
        counts.append(len(found) - before)
    addresses = np.array(found, np.uint64)
    owners = np.repeat(np.arange(len(counts)), counts)
    is_likely = (addresses >= LIKELY.start) & (addresses < LIKELY.stop)
    lines, owners = addresses[is_likely] // LINE * LINE, owners[is_likely]
    _, first = np.unique(lines, return_index=True)
    first.sort()
    return lines[first], np.bincount(owners[first], minlength=len(counts))


def _words(address: int, size: int) -> list[int]:
    """The words of an object that is alive."""
    return (ctypes.c_uint64 * (size // WORD)).from_address(address)[:]
