"""The loop over blocks of 256 elements where some slots are in 8-bit codes (`ravine.engines.storage.codes`): a warp
updates a block, each of its threads eight neighbouring elements.

New values wait in registers for their block's scale, which the warp finds together. Where arrays are not aligned or the
block is shorter, threads take one element at a time and compute it twice: for the scale, then for its code.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

from ravine.engines.fused.coding import Coding, declarations
from ravine.engines.fused.lower import array_slots, coefficients, functions
from ravine.engines.fused.rounding import Shape
from ravine.engines.fused.storage import CODED, MEMORY, Storage
from ravine.engines.gpu.target import SPACE, THREADS, Target
from ravine.engines.storage.codes import BLOCK, NAN, TOP
from ravine.trace.graph import Graph

WARP = 32
"""Threads that go together."""

LANES = BLOCK // WARP
"""Neighbouring elements that a thread updates at once."""

LARGEST = Template("""\
declare i32 @llvm.nvvm.shfl.sync.bfly.i32(i32, i32, i32, i32)
declare void @llvm.nvvm.bar.warp.sync(i32)
declare i32 @llvm.vector.reduce.umax.v${LANES}i32(<$LANES x i32>)

; The largest number of a warp's threads. Each asks one whose place differs in one bit, until all know it.
define internal i32 @largest(i32 %m$WARP) convergent alwaysinline {
entry:
$rounds
  ret i32 %m1
}""")

ROUND = """\
  %o{0} = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %m{1}, i32 {0}, i32 31)
  %m{0} = call i32 @llvm.umax.i32(i32 %m{1}, i32 %o{0})"""

LOOP = Template("""\
  %warp = udiv i64 %thread, $WARP
  %lane = urem i64 %thread, $WARP
  %count.above = add i64 %count, $most
  %blocks = udiv i64 %count.above, $BLOCK
  %some = icmp slt i64 %warp, %blocks
  br i1 %some, label %loop, label %end
loop:
  %b = phi i64 [ %warp, %known ], [ %b.next, %next ]
  %b.first = mul i64 %b, $BLOCK
  %b.start = add i64 %start, %b.first
  %b.left = sub i64 %count, %b.first
  %b.n = call i64 @llvm.smin.i64(i64 %b.left, i64 $BLOCK)
$pointers
  %b.is.full = icmp eq i64 %b.n, $BLOCK
  %b.is.whole = and i1 %b.is.full, %is.aligned
  br i1 %b.is.whole, label %b.whole, label %b.short
b.whole:
  call void @whole($given)
  br label %next
b.short:
  call void @short($given)
  br label %next
next:
  %b.next = add nuw nsw i64 %b, $warps
  %more = icmp slt i64 %b.next, %blocks
  br i1 %more, label %loop, label %end, !llvm.loop !1""")


class Warp(Coding):
    """What a thread does to its elements of a block. Its functions have the block's arrays, the coefficients, how many
    elements the block has (%n), its first (%start), the seed, and the thread's number in the warp (%lane)."""

    def __init__(self, graph: Graph, storage: Storage, shape: Shape) -> None:
        super().__init__(graph, storage, shape)
        slots = array_slots(graph)
        self.coded = {k: slots[k] for k in storage.scales}
        self.fresh: dict[int, str] = {}
        numbers = [*(f"c{k}" for k in range(len(coefficients(graph)))), *["scale"] * storage.is_scaled]
        words = ("n", "start", "seed", "lane")
        self.given = {f"{r}.base": shape.pointer for r in (*self.registers.values(), *self.beside)}
        self.given |= dict.fromkeys(numbers, self.scalar) | dict.fromkeys(words, "i64")

    def whole(self) -> str:
        """The function that updates a whole block whose arrays are aligned."""
        self._begin()
        self._emit("i", f"mul i64 %lane, {LANES}")
        self._update("%i")
        for k in self.coded:
            size = self._size(k, self.fresh[k])
            reduce = f"call i32 @llvm.vector.reduce.umax.v{LANES}i32({self.shape.many('i32')} {size})"
            self._rescale(k, self._emit(f"slot{k}.own", reduce))
        self._encode("%i")
        self._keep_scales()
        return self._function("void @whole")

    def short(self) -> str:
        """The function that updates any block, by the two that follow."""
        found = self._emit("found", f"call {self._tops} @find({self._arguments})")
        for number, k in enumerate(self.coded):
            self._rescale(k, self._emit(f"slot{k}.own", f"extractvalue {self._tops} {found}, {number}"))
        scales = "".join(f", i32 {self.windows[k].scale}" for k in self.coded)
        self.lines.append(f"  call void @keep({self._arguments}{scales})")
        self._keep_scales()
        return self._function("void @short")

    def find(self) -> str:
        """The function that computes a thread's elements, and returns the largest magnitude of each coded slot."""
        self._begin()
        self._loop(f"%slot{k}.top = phi i32 [ 0, %entry ], [ %slot{k}.top.next, %loop ]" for k in self.coded)
        self._load("%i")
        self._compute()
        for k in self.coded:
            size = self._size(k, self.fresh[k])
            self._emit(f"slot{k}.top.next", self._call("umax", size, f"%slot{k}.top"))
        self._again()
        for k in self.coded:
            self._emit(f"slot{k}.largest", f"phi i32 [ 0, %entry ], [ %slot{k}.top.next, %loop ]")
        found = "poison"
        for number, k in enumerate(self.coded):
            found = self._emit(f"found{number}", f"insertvalue {self._tops} {found}, i32 %slot{k}.largest, {number}")
        return self._function(f"{self._tops} @find", returned=f"{self._tops} {found}")

    def keep(self) -> str:
        """The function that computes them again, and stores what is new."""
        self._begin()
        for k in self.coded:
            self._new_window(k, f"%slot{k}.new.scale")
        self._loop()
        self._update("%i")
        self._encode("%i")
        self._again()
        return self._function("void @keep", "".join(f", i32 %slot{k}.new.scale" for k in self.coded))

    @property
    def _tops(self) -> str:
        """The type of a number for each coded slot."""
        return f"{{ {', '.join('i32' for _ in self.coded)} }}"

    @property
    def _arguments(self) -> str:
        """What a function hands on, which is what it has."""
        return ", ".join(f"{kind} %{name}" for name, kind in self.given.items())

    def _function(self, head: str, more: str = "", returned: str = "void") -> str:
        start = f"define internal {head}({self._arguments}{more}) convergent alwaysinline {{"
        return "\n".join([start, "entry:", *self._taken(), f"  ret {returned}", "}"])

    def _begin(self) -> None:
        """Before any element."""
        self.lines = self.take_coefficients()
        for k in self.coded:
            self._old_window(k)

    def _loop(self, running: Iterable[str] = ()) -> None:
        """The head of a loop in which a warp's threads take neighbouring elements, one each."""
        self.lines += ["  %some = icmp slt i64 %lane, %n", "  br i1 %some, label %loop, label %end", "loop:"]
        self.lines += ["  %i = phi i64 [ %lane, %entry ], [ %i.next, %loop ]", *(f"  {line}" for line in running)]

    def _again(self) -> None:
        """Its end."""
        self.lines += [f"  %i.next = add nuw nsw i64 %i, {WARP}", "  %again = icmp slt i64 %i.next, %n"]
        self.lines += ["  br i1 %again, label %loop, label %end, !llvm.loop !2", "end:"]

    def _update(self, index: str) -> None:
        """All but the codes of some elements."""
        self.hashes, self.places = {}, {}
        self._load(index)
        self._compute()
        new = self._new()
        self._store({name: value for name, value in new.items() if self.kinds[name] not in CODED}, index)

    def _compute(self) -> None:
        super()._compute()
        for k, name in self.coded.items():
            value = self._value(self.graph.slots[name])
            self.fresh[k] = self._convert(f"slot{k}.single", value, self.storage.compute, "float32")

    def _rescale(self, k: int, own: str) -> None:
        """A block's new scale, from the largest magnitude that each thread knows."""
        top = self._emit(f"slot{k}.top", f"call i32 @largest(i32 {own})")
        self._new_window(k, self._scale(k, top))

    def _encode(self, index: str) -> None:
        """The codes of some elements. A NaN makes its block NaN."""
        i32 = self.shape.many("i32")
        for pair in self._pairs(list(self.coded)):
            self._noise(pair, index)
        for k in self.coded:
            code = self._code(k, self.fresh[k])
            is_nan = self._emit(f"slot{k}.is.nan", f"icmp eq i32 {self.windows[k].scale}, {NAN}")
            last = self._same("i32", TOP[self.storage.slots[k]])
            code = self._emit(f"slot{k}.chosen", f"select i1 {is_nan}, {i32} {last}, {i32} {code}")
            self._store_code(k, code, index)

    def _noise(self, pair: int, index: str) -> None:
        """The random numbers of two slots: a block's go in equal strides."""
        i32 = self.shape.many("i32")
        stride, offset = self._strides(pair)
        stride, offset = self._spread(f"noise{pair}.far", stride, "i32"), self._spread(f"noise{pair}.at", offset, "i32")
        place = self._numbered(f"noise{pair}.place", self._emit(f"noise{pair}.low", f"trunc i64 {index} to i32"))
        far = self._emit(f"noise{pair}.far", f"mul {i32} {place}, {stride}")
        self._emit(f"noise{pair}", f"add {i32} {far}, {offset}")

    def _keep_scales(self) -> None:
        """One thread stores the new scales, when all have read the old ones."""
        self.lines += ["  call void @llvm.nvvm.bar.warp.sync(i32 -1)", "  %is.first = icmp eq i64 %lane, 0"]
        self.lines += ["  br i1 %is.first, label %keep.scales, label %kept", "keep.scales:"]
        for k in self.coded:
            at = f"{self.shape.pointer} %scale{k}.base"
            self.lines.append(f"  store i32 {self.windows[k].scale}, {at}, align 4")
        self.lines += ["  br label %kept", "kept:"]


def loops(graph: Graph, storage: Storage, target: Target) -> tuple[str, str]:
    """What a kernel calls, and its loop over a chunk's blocks."""
    many, one = (Warp(graph, storage, Shape(n, SPACE, True, target.has_bfloat)) for n in (LANES, 1))
    rounds = [WARP >> k for k in range(1, WARP.bit_length())]
    called = [functions(many), functions(one), declarations(many.shape), declarations(one.shape)]
    called.append(LARGEST.substitute(LANES=LANES, WARP=WARP, rounds="\n".join(ROUND.format(n, 2 * n) for n in rounds)))
    called += [many.whole(), one.find(), one.keep(), one.short()]
    pointers = []
    kinds = dict(zip([*one.registers.values(), *one.beside], [*storage.arrays, *storage.beside], strict=True))
    for register, kind in kinds.items():
        at = "%b" if register.startswith("scale") else "%b.first"
        pointers.append(
            f"  %b.{register}.base = getelementptr {MEMORY[kind]}, {one.shape.pointer} %{register}.base, i64 {at}"
        )
    own = {f"{register}.base" for register in kinds} | {"n", "start"}
    given = [f"{kind} %{'b.' if name in own else ''}{name}" for name, kind in one.given.items()]
    loop = LOOP.substitute(
        WARP=WARP,
        BLOCK=BLOCK,
        most=BLOCK - 1,
        warps=THREADS // WARP,
        pointers="\n".join(pointers),
        given=", ".join(given),
    )
    return "\n\n".join(called), loop
