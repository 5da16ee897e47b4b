"""Between storage types and the compute type, in LLVM IR: widening, rounding to the nearest and by chance."""

from __future__ import annotations

from dataclasses import dataclass

from ravine.engines.fused.storage import MEMORY, NARROW, SIZES, Storage
from ravine.engines.storage.noise import MIX, PLACE, SLOT, WORD


def signed(word: int) -> int:
    """32 bits as LLVM writes them."""
    return word - (1 << 32) if word >= 1 << 31 else word


@dataclass(frozen=True)
class Shape:
    """How a body is written: for `lanes` neighbouring elements at a time, with arrays in LLVM's address space `space`.

    `is_aligned` says that arrays lie at multiples of what is read of them at once, or of 16 bytes where that is more.
    `has_bfloat` says that the processor rounds to bfloat16 by itself. `prefix` begins the names of the body's own
    registers, so that a function can hold two bodies.
    """

    lanes: int = 1
    space: int = 0
    is_aligned: bool = False
    has_bfloat: bool = False
    prefix: str = ""

    def many(self, kind: str) -> str:
        """The type of one value for each lane."""
        return kind if self.lanes == 1 else f"<{self.lanes} x {kind}>"

    @property
    def pointer(self) -> str:
        """The type of an array's address."""
        return f"ptr addrspace({self.space})" if self.space else "ptr"

    def alignment(self, kind: str) -> int:
        """What LLVM may take for granted of an array of a storage type."""
        return min(16, self.lanes * SIZES[kind]) if self.is_aligned else 1


class Rounding:
    """The part of a body that widens what was loaded and rounds what is stored."""

    def __init__(self, storage: Storage, shape: Shape) -> None:
        self.storage, self.shape = storage, shape
        self.narrow = [k for k, kind in enumerate(storage.slots) if kind in NARROW]
        self.hashes: dict[int, str] = {}
        self.places: dict[str, str] = {}
        self.begun = ""
        self.lines: list[str] = []

    def _emit(self, name: str, text: str) -> str:
        register = f"%{self.shape.prefix}{name}"
        self.lines.append(f"  {register} = {text}")
        return register

    def _taken(self) -> list[str]:
        """The lines so far, which are somebody else's now."""
        lines, self.lines = self.lines, []
        return lines

    def _same(self, kind: str, constant: str | int) -> str:
        """A constant for each lane."""
        return str(constant) if self.shape.lanes == 1 else f"splat ({kind} {constant})"

    def _spread(self, name: str, register: str, kind: str) -> str:
        """One value for each lane."""
        if self.shape.lanes == 1:
            return register
        many, places = self.shape.many(kind), self.shape.many("i32")
        one = self._emit(f"{name}.one", f"insertelement {many} poison, {kind} {register}, i32 0")
        return self._emit(f"{name}.all", f"shufflevector {many} {one}, {many} poison, {places} zeroinitializer")

    def _at(self, register: str, kind: str, index: str) -> str:
        """Where the elements from number `index` on lie, with the type of the address."""
        pointer = self.shape.pointer
        if register not in self.places:
            text = f"getelementptr {MEMORY[kind]}, {pointer} %{register}.base, i64 {index}"
            self.places[register] = f"{pointer} {self._emit(f'{register}.at', text)}"
        return self.places[register]

    def _widen(self, register: str, value: str, kind: str, index: str) -> str:
        """A stored value in the compute type."""
        if kind == "bfloat16":  # the upper half of a float
            i32, i16, single = map(self.shape.many, ("i32", "i16", "float"))
            bits = self._emit(f"{register}.bits", f"zext {i16} {value} to {i32}")
            high = self._emit(f"{register}.high", f"shl {i32} {bits}, {self._same('i32', 16)}")
            if register == "x" and self.storage.has_remainder:
                high = self._emit("x.whole", f"add {i32} {high}, {self._remainder(index)}")
            value, kind = self._emit(f"{register}.float", f"bitcast {i32} {high} to {single}"), "float32"
        return self._convert(f"{register}.old", value, kind, self.storage.compute)

    def _remainder(self, index: str) -> str:
        """What the upper half lacks, in units of the last place of a float."""
        i32, i8 = map(self.shape.many, ("i32", "i8"))
        load = f"load {i8}, {self._at('remainder', 'int8', index)}, align {self.shape.alignment('int8')}"
        wide = self._emit("remainder.wide", f"sext {i8} {self._emit('remainder.stored', load)} to {i32}")
        return self._emit("remainder.high", f"shl {i32} {wide}, {self._same('i32', 8)}")

    def _split(self, value: str, index: str) -> str:
        """A new parameter as float24: its last eight bits are stored as the remainder, its bfloat16 is returned."""
        i32, i16, i8, single, truth = map(self.shape.many, ("i32", "i16", "i8", "float", "i1"))
        same = self._same
        bits = self._emit("x.r0", f"bitcast {single} {value} to {i32}")
        moved = self._emit("x.r1", f"add {i32} {bits}, {self._draw('x', None, 8, index)}")
        whole = self._emit("x.r2", f"lshr {i32} {moved}, {same('i32', 8)}")
        nan = self._emit("x.r3", f"fcmp uno {single} {value}, {value}")
        whole = self._emit("x.r4", f"select {truth} {nan}, {i32} {same('i32', 0x7FC000)}, {i32} {whole}")
        lower = self._emit("x.r5", f"trunc {i32} {whole} to {i8}")  # modulo 256, what it lacks of the nearest
        at = self._at("remainder", "int8", index)
        self.lines.append(f"  store {i8} {lower}, {at}, align {self.shape.alignment('int8')}")
        nearer = self._emit("x.r6", f"add {i32} {whole}, {same('i32', 128)}")
        upper = self._emit("x.r7", f"lshr {i32} {nearer}, {same('i32', 8)}")
        return self._emit("x.rounded", f"trunc {i32} {upper} to {i16}")

    def _bias(self, register: str, index: str) -> str | None:
        """What is added to a number's bits before they are cut off, if that is left to chance."""
        if register == "x":
            return self._draw(register, None, 16, index) if self.storage.is_stochastic else None
        if register == "g" or not self.storage.is_state_stochastic:
            return None
        k = int(register.removeprefix("slot"))
        return self._draw(register, self.narrow.index(k), 16, index) if k in self.narrow else None

    def _narrow(self, register: str, value: str, kind: str, bias: str | None = None) -> str:
        """A computed value rounded to a storage type: the nearest, ties to even, or as the bias of bfloat16 has it."""
        if kind != "bfloat16":
            return self._convert(f"{register}.rounded", value, self.storage.compute, kind)
        i32, i16, single, short = map(self.shape.many, ("i32", "i16", "float", "bfloat"))
        value = self._convert(f"{register}.single", value, self.storage.compute, "float32")
        if bias is None and self.shape.has_bfloat:
            short_value = self._emit(f"{register}.short", f"fptrunc {single} {value} to {short}")
            return self._emit(f"{register}.rounded", f"bitcast {short} {short_value} to {i16}")
        same = self._same
        bits = self._emit(f"{register}.r0", f"bitcast {single} {value} to {i32}")
        if bias is None:
            upper = self._emit(f"{register}.r1", f"lshr {i32} {bits}, {same('i32', 16)}")
            odd = self._emit(f"{register}.r2", f"and {i32} {upper}, {same('i32', 1)}")
            bias = self._emit(f"{register}.r3", f"add {i32} {odd}, {same('i32', 32767)}")
        moved = self._emit(f"{register}.r4", f"add {i32} {bits}, {bias}")
        nearest = self._emit(f"{register}.r5", f"lshr {i32} {moved}, {same('i32', 16)}")
        nan = self._emit(f"{register}.r6", f"fcmp uno {single} {value}, {value}")
        truth = self.shape.many("i1")
        safe = self._emit(f"{register}.r7", f"select {truth} {nan}, {i32} {same('i32', 0x7FC0)}, {i32} {nearest}")
        return self._emit(f"{register}.rounded", f"trunc {i32} {safe} to {i16}")

    def _convert(self, out: str, value: str, old: str, new: str) -> str:
        if old == new:
            return value
        word = "fpext" if SIZES[new] > SIZES[old] else "fptrunc"
        return self._emit(out, f"{word} {self.shape.many(MEMORY[old])} {value} to {self.shape.many(MEMORY[new])}")

    def _draw(self, register: str, slot: int | None, bits: int, index: str) -> str:
        """So many random bits as an integer: for the parameter, or for a slot by its number among the narrow ones."""
        k = 0 if slot is None else slot // 2 + 1
        if k not in self.hashes:
            self.hashes[k] = self._mix(f"h{k}", self._beginning(k, index))
        return self._cut(register, self.hashes[k], is_lower=slot is not None and slot % 2 == 1, bits=bits)

    def _beginning(self, k: int, index: str) -> str:
        """Where the hash number k begins, as %begun has it where the loop counts that along, or from the place."""
        if self.begun:
            distance = self._same("i32", signed(k * SLOT & WORD))
            return self._emit(f"h{k}.start", f"add {self.shape.many('i32')} {self.begun}, {distance}")
        place = self._emit(f"h{k}.at", f"add i64 %start, {index}")
        low = self._numbered(f"h{k}", self._emit(f"h{k}.low", f"trunc i64 {place} to i32"))
        return self._start(f"h{k}", low, k * SLOT)

    def _numbered(self, name: str, first: str) -> str:
        """A number for each lane, in steps of one."""
        numbers = self._spread(f"{name}.low", first, "i32")
        if self.shape.lanes == 1:
            return numbers
        lanes = ", ".join(f"i32 {lane}" for lane in range(self.shape.lanes))
        return self._emit(f"{name}.places", f"add {self.shape.many('i32')} {numbers}, <{lanes}>")

    def _count_beginnings(self) -> tuple[list[str], list[str]]:
        """Lines before a loop over %i and at its top, by which a hash's beginning is counted along: what comes to it
        from one element to the next is always the same."""
        self.begun = "%begun"
        before = ["  %start.low = trunc i64 %start to i32", f"  %start.mixed = mul i32 %start.low, {signed(PLACE)}"]
        before += ["  %seed.low = trunc i64 %seed to i32", "  %begun.first = add i32 %start.mixed, %seed.low"]
        first, i32, same = self._along("begun", "%begun.first", str(signed(PLACE))), self.shape.many("i32"), self._same
        top = f"  %begun = phi {i32} [ {first}, %entry ], [ %begun.next, %loop ]"
        far = signed(PLACE * self.shape.lanes & WORD)
        return before + self._taken(), [top, f"  %begun.next = add {i32} %begun, {same('i32', far)}"]

    def _along(self, name: str, first: str, stride: str) -> str:
        """A number for the first lane, and for each other one a stride more."""
        if self.shape.lanes == 1:
            return first
        i32, numbers = self.shape.many("i32"), ", ".join(f"i32 {lane}" for lane in range(self.shape.lanes))
        far = self._spread(f"{name}.stride", stride, "i32")
        lanes = self._emit(f"{name}.strides", f"mul {i32} {far}, <{numbers}>")
        return self._emit(f"{name}.lanes", f"add {i32} {lanes}, {self._spread(f'{name}.start', first, 'i32')}")

    def _cut(self, register: str, h: str, *, is_lower: bool, bits: int) -> str:
        i32, same = self.shape.many("i32"), self._same
        text = f"and {i32} {h}, {same('i32', (1 << bits) - 1)}"
        return self._emit(f"{register}.noise", text if is_lower else f"lshr {i32} {h}, {same('i32', 32 - bits)}")

    def _hash(self, name: str, place: str, distance: int) -> str:
        """32 random bits for each lane: a place and the seed, mixed as `ravine.engines.storage.noise` has it."""
        return self._mix(name, self._start(name, place, distance))

    def _start(self, name: str, place: str, distance: int) -> str:
        i32, same = self.shape.many("i32"), self._same
        seed = self._emit(f"{name}.seed", "trunc i64 %seed to i32")
        if distance:
            seed = self._emit(f"{name}.own", f"add i32 {seed}, {signed(distance & WORD)}")
        seed = self._spread(f"{name}.seed", seed, "i32")
        mixed = self._emit(f"{name}.mixed", f"mul {i32} {place}, {same('i32', signed(PLACE))}")
        return self._emit(f"{name}.start", f"add {i32} {mixed}, {seed}")

    def _mix(self, name: str, h: str) -> str:
        i32, same = self.shape.many("i32"), self._same
        for step, (shift, factor) in enumerate(MIX):
            shifted = self._emit(f"{name}.shift{step}", f"lshr {i32} {h}, {same('i32', shift)}")
            h = self._emit(f"{name}.xor{step}", f"xor {i32} {h}, {shifted}")
            h = self._emit(f"{name}.mul{step}", f"mul {i32} {h}, {same('i32', signed(factor))}")
        return h
