"""LLVM IR around the loop over elements: a loop over chunks of many tensors that several threads share."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from string import Template

from ravine.engines.fused import scalars
from ravine.engines.fused.blocks import Blocks
from ravine.engines.fused.lower import Elements, coefficients
from ravine.engines.fused.storage import (
    ADDRESSES,
    CHUNK_COLUMNS,
    COEFFICIENTS,
    CONTROL_SIZE,
    FINISHED,
    MEMORY,
    MODE,
    MORE,
    OPEN,
    Storage,
)
from ravine.engines.storage.codes import BLOCK
from ravine.rule import Rule
from ravine.trace.graph import Graph

YIELD = "sched_yield" if os.name == "posix" else "SwitchToThread"
"""The system's call that lets another thread go first."""

DECLARATIONS = f"""\
declare float @llvm.sqrt.f32(float)
declare double @llvm.sqrt.f64(double)
declare float @llvm.fabs.f32(float)
declare double @llvm.fabs.f64(double)
declare i32 @{YIELD}()"""

HAS_MODE = platform.machine() in ("x86_64", "AMD64")
"""Whether a thread has a mode (flushing of subnormals, rounding) that helpers take over from their caller."""

if HAS_MODE:
    DECLARATIONS += "\ndeclare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)"

# A helping thread that comes before the caller waits a moment and then gives up; the caller leaves only when every
# claimed chunk is finished. So nothing is ever written unless the caller is inside this function, whatever
# interrupts the program, and no thread waits in Python. The caller, which %leads, lets the others in at %open.at, and
# they take over its floating-point mode.
ARRIVE = Template("""\
  br i1 %leads, label %lead, label %wait
lead:
  $save_mode
  store atomic i64 1, ptr %open.at release, align 8
  br label %$work
wait:
  %tries = phi i64 [ 0, %entry ], [ %tries.next, %wait.more ]
  %open = load atomic i64, ptr %open.at acquire, align 8
  %is.open = icmp ne i64 %open, 0
  br i1 %is.open, label %helper, label %wait.more
wait.more:
  %ignored = call i32 @$YIELD()
  %tries.next = add i64 %tries, 1
  %is.patient = icmp slt i64 %tries.next, 1000
  br i1 %is.patient, label %wait, label %leave
helper:
  $save_own_mode
  $take_mode
  br label %$work""")

RUN = Template("""\
define void @run(ptr %table, ptr %chunks, i64 %count, ptr %control, ptr %c, ptr %scalars, i1 %leads) {
entry:
  %finished.at = getelementptr i64, ptr %control, i64 $FINISHED
  %open.at = getelementptr i64, ptr %control, i64 $OPEN
  %mode.at = getelementptr i64, ptr %control, i64 $MODE
  %own.mode.at = alloca i64
  %more.at = getelementptr i64, ptr %control, i64 $MORE
  %more = load i64, ptr %more.at
  %claim.size = add i64 %more, 1
$arrive
claim:
  %first = atomicrmw add ptr %control, i64 %claim.size monotonic
  %is.left = icmp slt i64 %first, %count
  br i1 %is.left, label %some, label %claimed
some:
  %last = add i64 %first, %more
  %is.whole = icmp slt i64 %last, %count
  %past = add i64 %last, 1
  %end = select i1 %is.whole, i64 %past, i64 %count
  br label %work
work:
  %k = phi i64 [ %first, %some ], [ %k.next, %done ]
  %k.word = mul i64 %k, $CHUNK_COLUMNS
  %tensor.at = getelementptr i64, ptr %chunks, i64 %k.word
  %start.at = getelementptr i64, ptr %tensor.at, i64 1
  %length.at = getelementptr i64, ptr %tensor.at, i64 2
  %tensor = load i64, ptr %tensor.at
  %start = load i64, ptr %start.at
  %length = load i64, ptr %length.at
  %row.word = mul i64 %tensor, $columns
  %row = getelementptr i64, ptr %table, i64 %row.word
  %which.at = getelementptr i64, ptr %row, i64 $COEFFICIENTS
  %which = load i64, ptr %which.at
  %is.left.out = icmp slt i64 %which, 0
  br i1 %is.left.out, label %done, label %update
update:
  %which.word = mul i64 %which, $coefficients
  %c.row = getelementptr $compute, ptr %c, i64 %which.word
  %start.block = udiv i64 %start, $BLOCK
$addresses
  %seed.at = getelementptr i64, ptr %row, i64 $seed_column
  %seed = load i64, ptr %seed.at
  call void @elements($arguments, ptr %c.row, i64 %length, i64 %start, i64 %seed)
  %is.first = icmp eq i64 %start, 0
  br i1 %is.first, label %keep, label %done
keep:
  %scalars.word = mul i64 %which, $scalars
  %scalars.row = getelementptr double, ptr %scalars, i64 %scalars.word
$stores
  br label %done
done:
  %k.next = add i64 %k, 1
  %is.more = icmp slt i64 %k.next, %end
  br i1 %is.more, label %work, label %finish
finish:
  %worked = sub i64 %end, %first
  %ignored.count = atomicrmw add ptr %finished.at, i64 %worked release
  br label %claim
claimed:
  br i1 %leads, label %join, label %restore
restore:
  $restore_mode
  br label %leave
join:
  %finished = load atomic i64, ptr %finished.at acquire, align 8
  %is.finished = icmp eq i64 %finished, %count
  br i1 %is.finished, label %leave, label %join.more
join.more:
  %ignored.too = call i32 @$YIELD()
  br label %join
leave:
  ret void
}""")

ADDRESS = Template("""\
  %a$k.at = getelementptr ptr, ptr %row, i64 $column
  %a$k.base = load ptr, ptr %a$k.at
  %a$k = getelementptr $type, ptr %a$k.base, i64 %$start""")

STORE = Template("""\
  %s$k.at = getelementptr double, ptr %scalars.row, i64 $k
  %s$k = load double, ptr %s$k.at
  %s$k.to.at = getelementptr ptr, ptr %row, i64 $column
  %s$k.to = load ptr, ptr %s$k.to.at
$convert
  store $type %s$k$rounded, ptr %s$k.to, align 1""")

# The same for one thread: what threads share is on its own stack.
RUN_ALONE = f"""\
define void @run_alone(ptr %table, ptr %chunks, i64 %count, ptr %c, ptr %scalars) {{
  %control = alloca [{CONTROL_SIZE} x i64]
  store [{CONTROL_SIZE} x i64] zeroinitializer, ptr %control
  call void @run(ptr %table, ptr %chunks, i64 %count, ptr %control, ptr %c, ptr %scalars, i1 true)
  ret void
}}"""


def team(name: str, function: str, kinds: Sequence[str]) -> str:
    """The function that each thread of an OpenMP team calls. It calls another with arguments of these types, and with
    whether the thread leads: the first does. The arguments are in a word each, then a function that gives the thread's
    number."""
    loads = "\n".join(
        f"  %a{k}.at = getelementptr i64, ptr %arguments, i64 {k}\n  %a{k} = load {kind}, ptr %a{k}.at"
        for k, kind in enumerate([*kinds, "ptr"])
    )
    given = ", ".join(f"{kind} %a{k}" for k, kind in enumerate(kinds))
    return f"""\
define void @{name}(ptr %arguments) {{
{loads}
  %number = call i32 %a{len(kinds)}()
  %leads = icmp eq i32 %number, 0
  call void @{function}({given}, i1 %leads)
  ret void
}}"""


TEAM = team("team", "run", ("ptr", "ptr", "i64", "ptr", "ptr", "ptr"))


def source(rule: Rule, storage: Storage) -> str:
    """The module's text: `prepare` computes what the elements of tensors have in common, `run` updates them."""
    elements = (Blocks if storage.scales else Elements)(rule.graph, storage).function()
    parts = [DECLARATIONS, elements, _run(rule.graph, storage), RUN_ALONE, TEAM, *scalars.functions(rule, storage)]
    return "\n\n".join(parts) + "\n"


def _run(graph: Graph, storage: Storage) -> str:
    arrays = (*storage.arrays, *storage.beside)
    addresses = [
        ADDRESS.substitute(k=k, column=ADDRESSES + k, type=MEMORY[kind], start=start)
        for k, (kind, start) in enumerate(zip(arrays, _starts(storage), strict=True))
    ]
    stores = [store(k, kind, storage.scalar_column) for k, kind in enumerate(storage.scalars)]
    return RUN.substitute(
        FINISHED=FINISHED,
        OPEN=OPEN,
        MODE=MODE,
        MORE=MORE,
        arrive=arrive("claim"),
        restore_mode=restore_mode(),
        CHUNK_COLUMNS=CHUNK_COLUMNS,
        COEFFICIENTS=COEFFICIENTS,
        YIELD=YIELD,
        columns=storage.columns,
        seed_column=storage.columns - 1,  # read in any case, used where there is a seed
        coefficients=len(coefficients(graph)) + storage.is_scaled,
        compute=MEMORY[storage.compute],
        scalars=len(storage.scalars),
        addresses="\n".join(addresses),
        arguments=", ".join(f"ptr %a{k}" for k in range(len(arrays))),
        BLOCK=BLOCK,
        stores="\n".join(stores),
    )


def _starts(storage: Storage) -> list[str]:
    """The register that says where a chunk begins in each array: in elements, of scales in blocks."""
    elements = len(storage.arrays) + storage.has_remainder
    return ["start"] * elements + ["start.block"] * len(storage.scales)


def store(k: int, kind: str, first: int) -> str:
    """Lines that write number k of a tensor from %scalars.row to where %row says: in column `first` for number 0."""
    is_narrow = kind == "float32"
    return STORE.substitute(
        k=k,
        column=first + k,
        type=MEMORY[kind],
        convert=f"  %s{k}.rounded = fptrunc double %s{k} to float" if is_narrow else "",
        rounded=".rounded" if is_narrow else "",
    )


def arrive(work: str) -> str:
    """Lines in which a thread comes to a function, and goes on at the block `work`, or leaves at the block `leave`."""
    return ARRIVE.substitute(
        work=work,
        YIELD=YIELD,
        save_mode=_mode("stmxcsr", "%mode.at"),
        save_own_mode=_mode("stmxcsr", "%own.mode.at"),
        take_mode=_mode("ldmxcsr", "%mode.at"),
    )


def restore_mode() -> str:
    """A line in which a helper gets its own floating-point mode back."""
    return _mode("ldmxcsr", "%own.mode.at")


def _mode(instruction: str, address: str) -> str:
    """A line that saves or takes a thread's floating-point mode, where the processor has one."""
    return f"call void @llvm.x86.sse.{instruction}(ptr {address})" if HAS_MODE else "; this processor has no such mode"
