"""The loop over elements where some slots are in 8-bit codes (`ravine.engines.storage.codes`): block by block, each in
several passes while it is in the nearest cache.

New values are encoded in a later pass than the one that finds them, since a scale is known only when its whole block
is stepped. And in no pass do more than two divisions or roots wait for each other: a processor has some hundred
instructions under way, and among those that decode and encode too few iterations of a long chain find room. What later
passes need waits in buffers. (More passes, or a first pass ahead of the block before, gained nothing.)
"""

from __future__ import annotations

from collections.abc import Iterator

from ravine.engines.fused import jit
from ravine.engines.fused.encoding import BELOW, Encoding, declarations
from ravine.engines.fused.lower import ONE, array_slots, leaf
from ravine.engines.fused.rounding import Shape
from ravine.engines.fused.storage import CODED, MEMORY, SIZES, Storage
from ravine.engines.storage.codes import BLOCK
from ravine.trace.graph import CONDITIONS, Graph, Node

SLOW = ("div", "sqrt")
"""The operations that take long."""

HINT = """\
!0 = distinct !{!0, !1, !2}
!1 = !{!"llvm.loop.vectorize.width", i32 16}
!2 = !{!"llvm.loop.interleave.count", i32 1}"""
"""Sixteen elements at a time: two vectors of most processors, which share the packing of codes."""

WIDE = Shape(lanes=32)
"""Thirty-two, where one instruction shuffles two vectors of 64 bytes into one. Told of one element at a time, the
compiler would halve each vector's numbers alone; elsewhere so many elements need more registers than there are."""


class Blocks(Encoding):
    """The function that updates a run of elements of one tensor, from the first of a block on."""

    def __init__(self, graph: Graph, storage: Storage, shape: Shape = ONE) -> None:
        super().__init__(graph, storage, shape)
        slots = array_slots(graph)
        self._numbers = {n: k for k, n in enumerate(graph.array_nodes)}
        self._leaves = {leaf(name): name for name in self.registers}
        self._found = self._when_found()
        self._coded = {k: graph.slots[slots[k]] for k in storage.scales}
        self._encoded = self._when_encoded()
        self._stored = self._when_stored()
        self._last = max(*self._encoded.values(), *self._stored.values())
        self._kept = self._to_keep()
        self._now = 0

    def _when_found(self) -> dict[Node, int]:
        """The pass that finds each node's value: every second slow operation on the way to it begins another."""
        slow = dict.fromkeys(self._leaves, 0)
        for n in self.graph.array_nodes:
            slow[n] = max(slow[arg] for arg in n.args if arg.is_array) + (n.op in SLOW)
        return {n: count // 2 for n, count in slow.items()}

    def _when_encoded(self) -> dict[int, int]:
        """The pass that encodes each slot: of those between its new value and the step the one with the least to do."""
        found: dict[int, int] = {}
        for k, n in self._coded.items():
            first = self._found[n] + 1
            choice = range(first, max(first, self._found.get(self.graph.step, 0)) + 1)
            found[k] = min(choice, key=lambda now: list(found.values()).count(now))
        return found

    def _when_stored(self) -> dict[str, int]:
        """The pass that stores what is written without a code, by the array: none after it reads the old values."""
        slots = array_slots(self.graph)
        new = {"x": self.graph.step, **{name: self.graph.slots[name] for name in slots}}
        found = {name: self._found.get(n, 0) for name, n in new.items() if self.kinds[name] not in CODED}
        for n in self.graph.array_nodes:
            for name in found.keys() & {arg.name for arg in n.args if arg in self._leaves}:
                found[name] = max(found[name], self._read(n))
        return found | ({"g": 0} if self.storage.is_scaled else {})

    def _read(self, n: Node) -> int:
        """The last pass that may compute a node: conditions are not kept, but computed where they are needed."""
        return max(self._found.values()) if n.op in CONDITIONS else self._found[n]

    def _to_keep(self) -> dict[Node, str]:
        """The nodes that wait in buffers for later passes, and the buffers' names."""
        found: dict[Node, None] = {}

        def need(n: Node, now: int) -> None:
            if not n.is_array or self._is_at_hand(n):
                return
            if self._found[n] < now and n.op not in CONDITIONS:
                found[n] = None
            else:
                for arg in n.args:
                    need(arg, now)

        for now in range(self._last, -1, -1):
            for n in [*self._results(now), *(n for n in found if self._found[n] == now)]:
                need(n, now)
        return {n: f"kept{k}" for k, n in enumerate(found)}

    def _is_at_hand(self, n: Node) -> bool:
        """Whether each pass reads it anew: what lies in memory as it is needed."""
        name = self._leaves.get(n)
        return name is not None and self.kinds[name] not in CODED and not (name == "g" and self.storage.is_scaled)

    def _results(self, now: int) -> Iterator[Node]:
        """What a pass stores or finds the scale of."""
        yield from (n for n in self._coded.values() if self._found[n] == now)
        for name in (name for name, when in self._stored.items() if when == now):
            yield self.graph.step if name == "x" else self.graph.slots.get(name, leaf(name))

    def function(self) -> str:
        again = [self._encode_again(k) for k in self._coded]
        is_wide = self.storage.compute == "float32" and jit.has_wide_vectors()
        shapes = [ONE, WIDE] if is_wide else [ONE]
        bodies = [Blocks(self.graph, self.storage, shape) for shape in shapes]
        passes = [body._pass(now) for body in bodies for now in range(self._last + 1)]
        return "\n\n".join([*map(declarations, shapes), BELOW, *again, *passes, self._elements(shapes[-1]), HINT])

    def _pass(self, now: int) -> str:
        """A function that takes n elements of a block through one pass."""
        self._now, self.values, self.hashes, self.places = now, {}, {}, {}
        arguments = f"{self._parameters()}, {self._buffers()}"
        lines = [f"define internal void @pass{now}.{self.shape.lanes}({arguments}) alwaysinline {{", "entry:"]
        lines += self._load_coefficients()
        new = [k for k, n in self._coded.items() if self._found[n] == now]
        encoded = [k for k, when in self._encoded.items() if when == now]
        for k in self._coded:
            self._old_window(k)
        for k in encoded:
            self._low(k)
        lines += self._taken()
        before, top = self._count_beginnings() if self.storage.is_seeded else ([], [])
        noise_before, noise_top = self._count_noise(encoded)
        lines += [*before, *noise_before, "  br label %loop", "loop:"]
        lines += ["  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]"]
        lines += [self._until_now(f"slot{k}.top", "i32", 0) for k in new]
        lines += [self._until_now(f"slot{k}.least", "i16", -1) for k in encoded]
        lines += [*top[:1], *noise_top, *top[1:], *self._work(now, new, encoded)]
        lines += [f"  %i.next = add nuw nsw i64 %i, {self.shape.lanes}", "  %again = icmp slt i64 %i.next, %n"]
        lines += ["  br i1 %again, label %loop, label %end, !llvm.loop !0", "end:"]
        for k in new:
            scale = self._scale(k, self._of_all("umax", f"slot{k}.top", "i32"))
            self.lines.append(f"  store i32 {scale}, ptr %slot{k}.scale.at, align 4")
        for k in encoded:
            self._finish(k)
        return "\n".join([*lines, *self._taken(), "  ret void", "}"])

    def _until_now(self, register: str, kind: str, first: int) -> str:
        """A line at the loop's top: what each lane has found."""
        many, start = self.shape.many(kind), self._same(kind, first)
        return f"  %{register} = phi {many} [ {start}, %entry ], [ %{register}.next, %loop ]"

    def _work(self, now: int, new: list[int], encoded: list[int]) -> list[str]:
        """Lines for one element."""
        for n, name in self._kept.items():
            if self._found[n] == now:
                self._keep(name, self._value(n), self.storage.compute)
        for k in new:
            value = self._convert(f"slot{k}.single", self._value(self._coded[k]), self.storage.compute, "float32")
            self._keep(f"new{k}", value, "float32")
            size = self._size(k, value)
            self._emit(f"slot{k}.top.next", self._call("umax", size, f"%slot{k}.top"))
        stored = [name for name, when in self._stored.items() if when == now]
        written = {name: self._value(self.graph.slots.get(name, leaf(name))) for name in stored if name != "x"}
        self._store(({"x": self._new_x()} if "x" in stored else {}) | written, "%i")
        for k in encoded:
            self._encode(k, self._waiting(f"new{k}", "float32"), "%i")
        return self._taken()

    def _keep(self, name: str, value: str, kind: str) -> None:
        at = self._emit(f"{name}.to", f"getelementptr {MEMORY[kind]}, ptr %{name}, i64 %i")
        self.lines.append(f"  store {self.shape.many(MEMORY[kind])} {value}, ptr {at}, align {SIZES[kind]}")

    def _value(self, n: Node) -> str:
        """A node's value in the pass that is being written, found when it is first asked for."""
        if n not in self.values and n.op != "const":
            self.values[n] = self._find(n)
        return super()._value(n)

    def _find(self, n: Node) -> str:
        if n in self._kept and self._found[n] < self._now:
            return self._waiting(self._kept[n], self.storage.compute)
        if n not in self._leaves:
            return self._operation(f"v{self._numbers[n]}", n)
        name = self._leaves[n]
        value = self._load_one(name, "%i")
        return self._unscaled(value) if name == "g" and self.storage.is_scaled else value

    def _memory(self) -> dict[str, str]:
        """The buffers and what lies in them."""
        found = dict.fromkeys(self._kept.values(), f"[{BLOCK} x {self.scalar}]")
        for k in self._coded:
            found |= {f"new{k}": f"[{BLOCK} x float]", f"slot{k}.scale.at": "i32"}
        return found

    def _buffers(self) -> str:
        return ", ".join(f"ptr noalias %{name}" for name in self._memory())

    def _elements(self, shape: Shape) -> str:
        """Whole blocks, whose length is a constant to the compiler, in passes of a shape; then what is left."""
        lines = [f"define internal void @elements({self._parameters()}) noinline {{", "entry:"]
        lines += [f"  %{name} = alloca {kind}, align 64" for name, kind in self._memory().items()]
        lines += [f"  %whole = udiv i64 %n, {BLOCK}", f"  %rest = urem i64 %n, {BLOCK}"]
        lines += ["  %some = icmp sgt i64 %whole, 0", "  br i1 %some, label %loop, label %last"]
        lines += ["loop:", "  %b = phi i64 [ 0, %entry ], [ %b.next, %loop ]"]
        lines += self._block("next", "%b", str(BLOCK), shape)
        lines += ["  %b.next = add nuw nsw i64 %b, 1", "  %more = icmp slt i64 %b.next, %whole"]
        lines += ["  br i1 %more, label %loop, label %last"]
        lines += ["last:", "  %is.rest = icmp sgt i64 %rest, 0", "  br i1 %is.rest, label %short, label %end", "short:"]
        lines += self._block("short", "%whole", "%rest", ONE)
        return "\n".join([*lines, "  br label %end", "end:", "  ret void", "}"])

    def _block(self, name: str, block: str, n: str, shape: Shape) -> list[str]:
        """Lines that take a block of a number through all passes."""
        lines = [f"  %{name}.at = mul i64 {block}, {BLOCK}", f"  %{name}.place = add i64 %start, %{name}.at"]
        kinds = [MEMORY[kind] for kind in (*self.storage.arrays, *self.storage.beside)]
        registers = (*self.registers.values(), *self.beside)
        for register, kind in zip(registers, kinds, strict=True):
            at = block if register.startswith("scale") else f"%{name}.at"
            lines.append(f"  %{name}.{register} = getelementptr {kind}, ptr %{register}.base, i64 {at}")
        pointers = [f"ptr %{name}.{register}" for register in registers]
        buffers = [f"ptr %{buffer}" for buffer in self._memory()]
        arguments = ", ".join([*pointers, f"ptr %c, i64 {n}, i64 %{name}.place, i64 %seed", *buffers])
        return [*lines, *(f"  call void @pass{now}.{shape.lanes}({arguments})" for now in range(self._last + 1))]
