"""Threads that work through phases together: in each they take chunks until none is left, and wait for each other.

A chunk is a function's share of one matrix. Who helps and who waits for whom is as in `frame.py`.
"""

from __future__ import annotations

import ctypes
from functools import cache
from string import Template
from typing import Any

from ravine.engines.fused import jit, openmp, pool
from ravine.engines.fused.frame import DECLARATIONS, YIELD, arrive, restore_mode, team

# A row of the phases: its chunks, how many, and how many more than one a thread claims at once.
CHUNKS, COUNT, MORE = range(3)
PHASE_COLUMNS = 3
# A row of the chunks: a function, the address of a row of the table, and a share of the matrix: where it begins, how
# much it is.
FUNCTION, ROW, START, LENGTH = range(4)
CHUNK_COLUMNS = 4
# What the threads share: whether the caller has come, and its floating-point mode; then chunks claimed and finished of
# each phase.
OPEN, MODE, FIRST = range(3)

DRIVE = Template("""\
define void @drive(ptr %phases, i64 %count, ptr %control, i1 %leads) {
entry:
  %open.at = getelementptr i64, ptr %control, i64 $OPEN
  %mode.at = getelementptr i64, ptr %control, i64 $MODE
  %own.mode.at = alloca i64
$arrive
phase:
  %p = phi i64 [ 0, %lead ], [ 0, %helper ], [ %p.next, %joined ]
  %p.word = mul i64 %p, $PHASE_COLUMNS
  %chunks.at = getelementptr i64, ptr %phases, i64 %p.word
  %size.at = getelementptr i64, ptr %chunks.at, i64 $COUNT
  %more.at = getelementptr i64, ptr %chunks.at, i64 $MORE
  %chunks = load ptr, ptr %chunks.at
  %size = load i64, ptr %size.at
  %more = load i64, ptr %more.at
  %claim.size = add i64 %more, 1
  %twice = mul i64 %p, 2
  %claimed.word = add i64 %twice, $FIRST
  %claimed.at = getelementptr i64, ptr %control, i64 %claimed.word
  %finished.at = getelementptr i64, ptr %claimed.at, i64 1
  br label %claim
claim:
  %first = atomicrmw add ptr %claimed.at, i64 %claim.size monotonic
  %is.left = icmp slt i64 %first, %size
  br i1 %is.left, label %some, label %join
some:
  %past = add i64 %first, %claim.size
  %is.whole = icmp slt i64 %past, %size
  %end = select i1 %is.whole, i64 %past, i64 %size
  br label %work
work:
  %k = phi i64 [ %first, %some ], [ %k.next, %done ]
  %k.word = mul i64 %k, $CHUNK_COLUMNS
  %function.at = getelementptr i64, ptr %chunks, i64 %k.word
  %row.at = getelementptr i64, ptr %function.at, i64 $ROW
  %start.at = getelementptr i64, ptr %function.at, i64 $START
  %length.at = getelementptr i64, ptr %function.at, i64 $LENGTH
  %row = load ptr, ptr %row.at
  %active = load i64, ptr %row
  %is.active = icmp ne i64 %active, 0
  br i1 %is.active, label %call, label %done
call:
  %function = load ptr, ptr %function.at
  %start = load i64, ptr %start.at
  %length = load i64, ptr %length.at
  call void %function(ptr %row, i64 %start, i64 %length)
  br label %done
done:
  %k.next = add i64 %k, 1
  %is.more = icmp slt i64 %k.next, %end
  br i1 %is.more, label %work, label %finish
finish:
  %worked = sub i64 %end, %first
  %ignored.count = atomicrmw add ptr %finished.at, i64 %worked release
  br label %claim
join:
  %finished = load atomic i64, ptr %finished.at acquire, align 8
  %is.finished = icmp eq i64 %finished, %size
  br i1 %is.finished, label %joined, label %join.more
join.more:
  %ignored.too = call i32 @$YIELD()
  br label %join
joined:
  %p.next = add i64 %p, 1
  %is.phase = icmp slt i64 %p.next, %count
  br i1 %is.phase, label %phase, label %last
last:
  br i1 %leads, label %leave, label %restore
restore:
  $restore_mode
  br label %leave
leave:
  ret void
}""")

TEAM = team("drive_team", "drive", ("ptr", "i64", "ptr"))


def source() -> str:
    """The module's text; it is the same for all rules."""
    drive = DRIVE.substitute(
        OPEN=OPEN,
        MODE=MODE,
        FIRST=FIRST,
        ROW=ROW,
        START=START,
        LENGTH=LENGTH,
        COUNT=COUNT,
        MORE=MORE,
        PHASE_COLUMNS=PHASE_COLUMNS,
        CHUNK_COLUMNS=CHUNK_COLUMNS,
        YIELD=YIELD,
        arrive=arrive("phase"),
        restore_mode=restore_mode(),
    )
    return "\n\n".join([DECLARATIONS, drive, TEAM]) + "\n"


@cache
def _drive() -> tuple[Any, Any, int]:
    """The machine code, `drive`, and the address of `drive_team`."""
    compiled = jit.compile_source(source())
    pointer, word = ctypes.c_void_p, ctypes.c_int64
    drive = compiled.function("drive", None, pointer, word, pointer, ctypes.c_bool)
    return compiled, drive, compiled.address("drive_team")


def run(phases: Any, alive: Any, threads: int) -> None:
    """Work through phases, rows of an array, with so many threads; `alive` is what must live meanwhile."""
    _, drive, in_team = _drive()
    control = (ctypes.c_int64 * (FIRST + 2 * len(phases)))()
    address = phases.ctypes.data
    found = openmp.team() if threads > 1 else None
    if found is not None:
        parallel, thread_number = found
        arguments = (ctypes.c_int64 * 4)(address, len(phases), ctypes.addressof(control), thread_number)
        parallel(in_team, ctypes.addressof(arguments), threads, 0)
        return
    if threads > 1:
        pool.help(drive, (address, len(phases), control, False), (phases, alive), threads - 1)
    drive(address, len(phases), control, True)
