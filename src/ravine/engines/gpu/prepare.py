"""The scalar part of a rule as a kernel, one thread a tensor: step counts and coefficients that never leave the device.

A thread reads its tensor's step count and scalar slots, advances them, and writes the row of coefficients that `run`
reads, in float64 rounded once, as the host does. Where `found` says that a gradient was infinite nothing is advanced.
"""

from __future__ import annotations

from string import Template

from ravine.engines.fused import power
from ravine.engines.fused.lower import coefficients, scalar_slots
from ravine.engines.fused.scalars import Scalars
from ravine.engines.fused.storage import MEMORY, SIZES, Storage
from ravine.engines.gpu import frame
from ravine.engines.gpu.target import THREADS
from ravine.trace.graph import Graph, node

PREPARE = Template("""\
%Numbers = type { [$hyper x double] }
%Places = type { [$hyper x i64] }

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare double @llvm.sqrt.f64(double)
declare double @llvm.fabs.f64(double)
$power
; A hyperparameter: its value, or, where it has a place, what lies there: a float, or a double if the lowest bit is 1.
define internal double @hyper(double %value, i64 %place) alwaysinline {
entry:
  %is.value = icmp eq i64 %place, 0
  br i1 %is.value, label %by.value, label %by.place
by.value:
  ret double %value
by.place:
  %bit = and i64 %place, 1
  %is.wide = icmp ne i64 %bit, 0
  %word = and i64 %place, -2
  %at = inttoptr i64 %word to ptr addrspace(1)
  br i1 %is.wide, label %wide, label %narrow
wide:
  %double = load double, ptr addrspace(1) %at, align 8
  ret double %double
narrow:
  %float = load float, ptr addrspace(1) %at, align 4
  %widened = fpext float %float to double
  ret double %widened
}

define ptx_kernel void @prepare(ptr addrspace(1) noalias readonly %table, i64 %count,
    ptr addrspace(1) noalias readonly %found, ptr addrspace(1) noalias readonly %scale, ptr addrspace(1) noalias %rows,
    double %t.given, ptr byval(%Numbers) align 8 readonly "nvvm.grid_constant" %numbers,
    ptr byval(%Places) align 8 readonly "nvvm.grid_constant" %places) #0 {
entry:
  %thread.word = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %block.word = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %thread = zext i32 %thread.word to i64
  %block = zext i32 %block.word to i64
  %before = mul i64 %block, $THREADS
  %i = add i64 %before, %thread
  %is.tensor = icmp slt i64 %i, %count
  br i1 %is.tensor, label %ask, label %end
ask:
  %has.found = icmp ne ptr addrspace(1) %found, null
  br i1 %has.found, label %look, label %go
look:
  %inf = load float, ptr addrspace(1) %found, align 4
  %is.inf = fcmp une float %inf, 0.0
  br i1 %is.inf, label %end, label %go
go:
  %row.word = mul i64 %i, $columns
  %row = getelementptr i64, ptr addrspace(1) %table, i64 %row.word
$counts
$values
$work
  %c.word = mul i64 %i, $row
  %c.row = getelementptr $compute, ptr addrspace(1) %rows, i64 %c.word
$stores
  br label %end
end:
  ret void
}

attributes #0 = { nounwind }
!nvvm.annotations = !{!0}
!0 = !{ptr @prepare, !"reqntidx", i32 $THREADS}
""")

COUNT = Template("""\
  %s$k.at.at = getelementptr i64, ptr addrspace(1) %row, i64 $column
  %s$k.word = load i64, ptr addrspace(1) %s$k.at.at, align 8
  %s$k.at = inttoptr i64 %s$k.word to ptr addrspace(1)
  %s$k.stored = load $type, ptr addrspace(1) %s$k.at, align $size
  %s$k = $convert""")

VALUE = Template("""\
  %h$k.at = getelementptr double, ptr %numbers, i64 $k
  %h$k.given = load double, ptr %h$k.at, align 8
  %h$k.place.at = getelementptr i64, ptr %places, i64 $k
  %h$k.place = load i64, ptr %h$k.place.at, align 8
  %h$k = call double @hyper(double %h$k.given, i64 %h$k.place)""")

SCALE = Template("""\
  %scale.stored = load float, ptr addrspace(1) %scale, align 4
  %scale.wide = fpext float %scale.stored to double""")


def source(graph: Graph, storage: Storage, hyperparameters: list[str]) -> str:
    """The text of a module whose function `prepare` writes a row of coefficients for each tensor.

    Where the storage has no counts, t is the kernel's parameter and nothing is advanced.
    """
    scalars = Scalars(graph)
    names = ["t", *scalar_slots(graph)] if storage.scalars else []
    counts = [_count(k, storage, scalars, name) for k, name in enumerate(names)]
    if not names:
        scalars.values[node("scalar", name="t")] = "%t.given"
    values = []
    for k, name in enumerate(hyperparameters):
        values.append(VALUE.substitute(k=k))
        scalars.values[node("scalar", name=name)] = f"%h{k}"
    wanted, kept = coefficients(graph), [graph.slots[name] for name in scalar_slots(graph)]
    work = scalars.write([*wanted, *kept])
    return PREPARE.substitute(
        hyper=max(len(hyperparameters), 1),
        power=power.function(),
        THREADS=THREADS,
        columns=storage.columns,
        row=frame.numbers(graph, storage),
        compute=MEMORY[storage.compute],
        counts="\n".join(counts),
        values="\n".join(values),
        work="\n".join(work),
        stores="\n".join(_stores(graph, storage, scalars)),
    )


def _count(k: int, storage: Storage, scalars: Scalars, name: str) -> str:
    """Lines that read one number of a tensor's; t is one more than what is stored."""
    kind = storage.scalars[k]
    wide = f"fpext float %s{k}.stored to double" if kind == "float32" else f"fadd double %s{k}.stored, -0.0"
    column = storage.scalar_column + k
    lines = COUNT.substitute(k=k, column=column, type=MEMORY[kind], size=SIZES[kind], convert=wide)
    if name == "t":
        lines += f"\n  %t = fadd double %s{k}, 1.0"
    scalars.values[node("scalar", name=name)] = "%t" if name == "t" else f"%s{k}"
    return lines


def _stores(graph: Graph, storage: Storage, scalars: Scalars) -> list[str]:
    """Lines that write the row of coefficients, then the new numbers of the tensor."""
    rows = [scalars.value(n) for n in coefficients(graph)]
    lines = scalars.taken()
    if storage.is_scaled:
        lines.append(SCALE.substitute())
        rows.append("%scale.wide")
    for k, register in enumerate(rows):
        lines.append(f"  %c{k}.at = getelementptr {MEMORY[storage.compute]}, ptr addrspace(1) %c.row, i64 {k}")
        lines += _store(f"c{k}", register, storage.compute)
    if storage.scalars:
        new = ["%t", *(scalars.value(graph.slots[name]) for name in scalar_slots(graph))]
        for k, register in enumerate(new):
            lines += _store(f"s{k}", register, storage.scalars[k])
    return lines


def _store(name: str, register: str, kind: str) -> list[str]:
    lines = []
    if kind == "float32":
        lines.append(f"  %{name}.rounded = fptrunc double {register} to float")
        register = f"%{name}.rounded"
    lines.append(f"  store {MEMORY[kind]} {register}, ptr addrspace(1) %{name}.at, align {SIZES[kind]}")
    return lines
