"""LLVM IR around the loop over elements: a grid of blocks, each of which updates one chunk of one tensor.

What stays from step to step (the addresses of parameters and state, lengths, chunks) lies in tables on the device. What
moves (the gradients, seeds of rounding) and one row of coefficients come by value with the launch: nothing is copied,
and a captured graph finds nothing overwritten.
"""

from __future__ import annotations

from string import Template

from ravine.engines.fused.lower import Elements, coefficients, functions
from ravine.engines.fused.rounding import Shape
from ravine.engines.fused.storage import ADDRESSES, LENGTH, MEMORY, SIZES, Storage
from ravine.engines.gpu import warps
from ravine.engines.gpu.target import SPACE, THREADS, Target
from ravine.engines.storage.codes import BLOCK
from ravine.trace.graph import Graph

CHUNK = 1 << 14
"""Elements that a block updates."""

CHUNK_COLUMNS = 2
"""A row of the chunks: which tensor, and its first element."""

FIXED = 6 * 8
"""Bytes of the parameters whose number does not depend on the tensors'."""

RUN = Template("""\
%Values = type { [$row x $compute] }
%Moving = type { [$tensors x i64], [$seeds x i32] }

declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i64 @llvm.smin.i64(i64, i64)
$functions

define ptx_kernel void @run(ptr addrspace(1) noalias readonly %table, ptr addrspace(1) noalias readonly %chunks,
    i64 %tensor.first, i64 %chunk.first, ptr addrspace(1) noalias readonly %found,
    ptr addrspace(1) noalias readonly %rows, ptr byval(%Values) align 8 readonly "nvvm.grid_constant" %values,
    ptr byval(%Moving) align 8 readonly "nvvm.grid_constant" %moving) #0 {
entry:
  %has.found = icmp ne ptr addrspace(1) %found, null
  br i1 %has.found, label %look, label %go
look:
  %inf = load float, ptr addrspace(1) %found, align 4
  %is.inf = fcmp une float %inf, 0.0
  br i1 %is.inf, label %end, label %go
go:
  %thread.word = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %block.word = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %thread = zext i32 %thread.word to i64
  %block = zext i32 %block.word to i64
  %chunk.number = add i64 %block, %chunk.first
  %chunk.word = mul i64 %chunk.number, $CHUNK_COLUMNS
  %tensor.at = getelementptr i64, ptr addrspace(1) %chunks, i64 %chunk.word
  %tensor = load i64, ptr addrspace(1) %tensor.at, align 8, !invariant.load !0
  %start.at = getelementptr i64, ptr addrspace(1) %tensor.at, i64 1
  %start = load i64, ptr addrspace(1) %start.at, align 8, !invariant.load !0
  %row.word = mul i64 %tensor, $columns
  %row = getelementptr i64, ptr addrspace(1) %table, i64 %row.word
  %length.at = getelementptr i64, ptr addrspace(1) %row, i64 $LENGTH
  %length = load i64, ptr addrspace(1) %length.at, align 8, !invariant.load !0
  %left = sub i64 %length, %start
  %count = call i64 @llvm.smin.i64(i64 %left, i64 $CHUNK)
  %place.own = sub i64 %tensor, %tensor.first
$seed
$addresses
  %low.bits = and i64 $together, 15
  %is.aligned = icmp eq i64 %low.bits, 0
  %is.by.value = icmp eq ptr addrspace(1) %rows, null
  br i1 %is.by.value, label %value, label %device
value:
$by_value
  br label %known
device:
  %c.word = mul i64 %tensor, $numbers
  %c = getelementptr $compute, ptr addrspace(1) %rows, i64 %c.word
$by_row
  br label %known
known:
$chosen
$loops
end:
  ret void
}

attributes #0 = { nounwind }
!nvvm.annotations = !{!4}  ; which LLVM 20 reads as it is, and a later one makes attributes of
!0 = !{}
!1 = distinct !{!1, !3}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.unroll.disable"}
!4 = !{ptr @run, !"reqntidx", i32 $THREADS, !"minctasm", i32 $resident}
""")

# Each thread updates some neighbouring elements at a time where arrays are aligned, and one at a time what is left.
ELEMENTS = Template("""\
$taken
  %count.whole = and i64 %count, -$lanes
  %whole = select i1 %is.aligned, i64 %count.whole, i64 0
  %first = mul i64 %thread, $lanes
  %some = icmp slt i64 %first, %whole
  %k.first = trunc i64 %first to i32
  %k.end = trunc i64 %whole to i32
  br i1 %some, label %loop, label %rest
loop:
  %k = phi i32 [ %k.first, %known ], [ %k.next, %loop ]
  ; If LLVM saw that k advances evenly, it would keep and move a pointer for each array, by several instructions each;
  ; from a number that it knows nothing about, every address is one instruction.
  %k.hidden = call i32 asm "mov.b32 $$0, $$1;", "=r,r"(i32 %k)
  %i = zext i32 %k.hidden to i64
$wide
  %k.next = add nuw nsw i32 %k, $stride
  %more = icmp slt i32 %k.next, %k.end
  br i1 %more, label %loop, label %rest, !llvm.loop !1
rest:
  %from = add i64 %whole, %thread
  %some.rest = icmp slt i64 %from, %count
  br i1 %some.rest, label %tail, label %end
tail:
  %j = phi i64 [ %from, %rest ], [ %j.next, %tail ]
$single
  %j.next = add nuw nsw i64 %j, $THREADS
  %more.rest = icmp slt i64 %j.next, %count
  br i1 %more.rest, label %tail, label %end, !llvm.loop !2""")

# The place of an array: in the table, or by value for the gradient, whose address moves.
STANDING = Template("""\
  %$name.at.at = getelementptr i64, ptr addrspace(1) %row, i64 $column
  %$name.word = load i64, ptr addrspace(1) %$name.at.at, align 8, !invariant.load !0""")

MOVING = Template("""\
  %$name.at.at = getelementptr %Moving, ptr %moving, i64 0, i32 0, i64 %place.own
  %$name.word = load i64, ptr %$name.at.at, align 8""")

BASE = Template("""\
  %$name.pointer = inttoptr i64 %$name.word to ptr addrspace(1)
  %$name.base = getelementptr $type, ptr addrspace(1) %$name.pointer, i64 $start""")

SEED = """\
  %seed.at = getelementptr %Moving, ptr %moving, i64 0, i32 1, i64 %place.own
  %seed.narrow = load i32, ptr %seed.at, align 4
  %seed = zext i32 %seed.narrow to i64"""


def lanes(storage: Storage) -> int:
    """How many neighbouring elements a thread updates at once: as many as of the narrowest array make 16 bytes; where
    there are codes, its share of the block that a warp updates."""
    return warps.LANES if storage.scales else 16 // min(SIZES[kind] for kind in storage.arrays)


def numbers(graph: Graph, storage: Storage) -> int:
    """The length of a row of coefficients, with the scale if there is one."""
    return len(coefficients(graph)) + storage.is_scaled


def capacity(graph: Graph, storage: Storage, limit: int) -> int:
    """How many tensors one launch can take whose parameters have at most `limit` bytes."""
    values = -(-max(numbers(graph, storage), 1) * SIZES[storage.compute] // 8) * 8
    return (limit - FIXED - values - 4) // (8 + 4 * storage.is_seeded)


def source(graph: Graph, storage: Storage, target: Target, tensors: int) -> str:
    """The text of a module whose function `run` updates up to `tensors` tensors."""
    addresses, together = _addresses(graph, storage)
    called, loops = (warps.loops if storage.scales else _elements)(graph, storage, target)
    return RUN.substitute(
        LENGTH=LENGTH,
        CHUNK=CHUNK,
        CHUNK_COLUMNS=CHUNK_COLUMNS,
        THREADS=THREADS,
        columns=storage.columns,
        tensors=tensors,
        seeds=tensors if storage.is_seeded else 0,
        numbers=numbers(graph, storage),
        row=max(numbers(graph, storage), 1),
        compute=MEMORY[storage.compute],
        functions=called,
        seed=SEED if storage.is_seeded else "  %seed = add i64 0, 0",
        addresses=addresses,
        together=together,
        **_coefficients(graph, storage, MEMORY[storage.compute]),
        loops=loops,
        resident=_resident(storage),
    )


def _resident(storage: Storage) -> int:
    """The least number of blocks on a multiprocessor, which have 65,536 registers; for more ptxas would spill some."""
    if not storage.scales:
        return 4
    return 2 if storage.compute == "float64" else 3


def _elements(graph: Graph, storage: Storage, target: Target) -> tuple[str, str]:
    """What a kernel calls, and its loops, where each element is for itself."""
    many = lanes(storage)
    wide = Elements(graph, storage, Shape(many, SPACE, True, target.has_bfloat, "w."))
    single = Elements(graph, storage, Shape(1, SPACE, True, target.has_bfloat, "o."))
    loops = ELEMENTS.substitute(
        THREADS=THREADS,
        lanes=many,
        stride=many * THREADS,
        taken="\n".join(wide.take_coefficients() + single.take_coefficients()),
        wide="\n".join(wide.body("%i")),
        single="\n".join(single.body("%j")),
    )
    return "\n".join(functions(body) for body in (wide, single)), loops


def _addresses(graph: Graph, storage: Storage) -> tuple[str, str]:
    """Lines that find where arrays begin, and the register that has the bits of all those together that a thread reads
    several elements of at once."""
    body = Elements(graph, storage)
    lines, together = [f"  %start.block = udiv i64 %start, {BLOCK}"] * bool(storage.scales), "0"
    kinds = dict(zip([*body.registers.values(), *body.beside], [*storage.arrays, *storage.beside], strict=True))
    for k, (register, kind) in enumerate(kinds.items()):
        is_scale = register.startswith("scale")
        lines.append((MOVING if register == "g" else STANDING).substitute(name=register, column=ADDRESSES + k))
        start = "%start.block" if is_scale else "%start"
        lines.append(BASE.substitute(name=register, type=MEMORY[kind], start=start))
        if not is_scale:
            lines.append(f"  %{register}.together = or i64 {together}, %{register}.word")
            together = f"%{register}.together"
    return "\n".join(lines), together


def _coefficients(graph: Graph, storage: Storage, kind: str) -> dict[str, str]:
    """Lines that read %c0, %c1, … and %scale by value or from the tensor's row, and that choose between the two."""
    names = [f"c{k}" for k in range(len(coefficients(graph)))] + ["scale"] * storage.is_scaled
    size = SIZES[storage.compute]
    by_value, by_row, chosen = [], [], []
    for k, name in enumerate(names):
        by_value.append(f"  %{name}.value.at = getelementptr {kind}, ptr %values, i64 {k}")
        by_value.append(f"  %{name}.value = load {kind}, ptr %{name}.value.at, align {size}")
        by_row.append(f"  %{name}.row.at = getelementptr {kind}, ptr addrspace(1) %c, i64 {k}")
        by_row.append(f"  %{name}.row = load {kind}, ptr addrspace(1) %{name}.row.at, align {size}, !invariant.load !0")
        chosen.append(f"  %{name} = phi {kind} [ %{name}.value, %value ], [ %{name}.row, %device ]")
    lines = {"by_value": by_value, "by_row": by_row, "chosen": chosen}
    return {name: "\n".join(text) for name, text in lines.items()}
