"""Runs a PTX program for all threads of a grid at once: those at the smallest program counter do the next instruction.

Floating arithmetic is NumPy's, which is IEEE 754's; anything that is not rounded to the nearest is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from ptx.memory import WORDS, Memory
from ptx.program import Instruction, Program

SIGNED = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}
FLOAT = {16: np.float16, 32: np.float32, 64: np.float64}
ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
BITS = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal}
COMPARE |= {"gt": np.greater, "ge": np.greater_equal}
ROUND = {"rmi": np.floor, "rni": np.rint, "rzi": np.trunc, "rpi": np.ceil}
WARP = 32
TOGETHER = ("shfl", "bar")
"""What all threads of a warp do at once."""
PARAMETER = 48
"""The address of parameter k is (k + 1) << PARAMETER: no memory lies there."""


def bfloat(values: np.ndarray) -> np.ndarray:
    """float32 to bfloat16's bits, to the nearest, ties to even; NaN is 0x7FFF."""
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16)


class Machine:
    """Registers hold unsigned words, predicates hold bools. `executed` counts the instructions by name."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.program, self.memory = program, memory
        self.executed: Counter[str] = Counter()

    def run(self, grid: int, block: int, parameters: list[bytes]) -> None:
        """One launch; `parameters` has the bytes of each of the program's parameters."""
        assert [len(p) for p in parameters] == [size for _, size in self.program.parameters], "sizes of parameters"
        assert block % WARP == 0, "the threads of a warp are counted through"
        self.size = grid * block
        zeros = np.zeros(self.size, np.uint32)
        self.registers: dict[str, np.ndarray] = {
            "%tid.x": np.tile(np.arange(block, dtype=np.uint32), grid),
            "%ctaid.x": np.repeat(np.arange(grid, dtype=np.uint32), block),
            **{f"%{name}.{axis}": zeros for name in ("tid", "ctaid") for axis in "yz"},
        }
        self.parameters = [np.frombuffer(p + bytes(8), np.uint8) for p in parameters]
        self.places = {name: (k + 1) << PARAMETER for k, (name, _) in enumerate(self.program.parameters)}
        at = np.zeros(self.size, np.int64)
        end = len(self.program.code)
        waiting = np.zeros(self.size, bool)  # for the other threads of their warp
        with np.errstate(all="ignore"):
            while (first := at[~waiting].min(initial=end)) < end:
                who = np.flatnonzero(at == first)
                instruction = self.program.code[first]
                if instruction.name in TOGETHER:
                    who = self._all_there(instruction, who, waiting)
                self.executed[".".join((instruction.name, *instruction.words))] += bool(len(who))
                at[who] = first + 1
                if instruction.guard:
                    holds = self.registers[instruction.guard][who]
                    who = who[holds != instruction.is_negated]
                if instruction.name == "bra":
                    at[who] = self.program.labels[instruction.operands[0]]
                elif instruction.name in ("ret", "exit"):
                    at[who] = end
                elif len(who):
                    self._do(instruction, who)
        assert not waiting.any(), "threads wait for ever for others of their warp"

    def _all_there(self, i: Instruction, who: np.ndarray, waiting: np.ndarray) -> np.ndarray:
        """Of the threads that are at an instruction which a warp does together those whose warp is whole; the others
        wait."""
        assert not i.guard, i.text
        assert int(i.operands[-1], 0) & 0xFFFFFFFF == 0xFFFFFFFF, f"a mask of some threads: {i.text}"
        is_whole = np.bincount(who // WARP, minlength=self.size // WARP)[who // WARP] == WARP
        waiting[who] = ~is_whole
        return who[is_whole]

    def _do(self, i: Instruction, who: np.ndarray) -> None:
        method: Callable[[Instruction, np.ndarray], None] | None = getattr(self, f"_{i.name}", None)
        if method is not None:
            method(i, who)
        elif i.name in ARITHMETIC:
            self._arithmetic(i, who)
        elif i.name in BITS:
            a, b = (self._read(o, who, i.width) for o in i.operands[1:])
            self._put(i.operands[0], who, BITS[i.name](a, b))
        else:
            raise NotImplementedError(i.text)

    def _read(self, operand: str, who: np.ndarray, width: int) -> np.ndarray:
        """An operand's bits; a predicate's truth where the width is 0."""
        if operand.startswith("%"):
            held = self.registers[operand][who]
            assert width == 0 or held.dtype.itemsize * 8 == width, (operand, held.dtype, width)
            return held
        if operand[:2] in ("0f", "0d"):
            return np.full(len(who), int(operand[2:], 16), WORDS[width])
        return np.full(len(who), int(operand.rstrip("U"), 0) & ((1 << width) - 1), WORDS[width])

    def _number(self, operand: str, who: np.ndarray, letter: str, width: int) -> np.ndarray:
        """An operand as the kind of number that an instruction's type says."""
        kinds = {"f": FLOAT, "s": SIGNED}.get(letter, WORDS)
        return self._read(operand, who, width).view(kinds[width])

    def _source(self, operand: str, who: np.ndarray, letter: str, width: int) -> np.ndarray:
        """What a conversion reads: of a whole number in a wider register its lower bits."""
        held = self.registers.get(operand)
        if letter == "f" or held is None or held.dtype == bool or held.dtype.itemsize * 8 <= width:
            return self._number(operand, who, letter, width)
        return held[who].astype(WORDS[width]).view((SIGNED if letter == "s" else WORDS)[width])

    def _put(self, register: str, who: np.ndarray, value: np.ndarray) -> None:
        if register == "_":
            return
        if value.dtype != bool:
            value = value.view(WORDS[value.dtype.itemsize * 8])
        if register not in self.registers:
            self.registers[register] = np.zeros(self.size, value.dtype)
        assert self.registers[register].dtype == value.dtype, register
        self.registers[register][who] = value

    def _address(self, operand: str, who: np.ndarray) -> np.ndarray:
        base, offset = re.fullmatch(r"\[\s*(%?[\w.$]+)\s*(?:\+\s*(-?\d+))?\s*\]", operand).groups()
        start = np.full(len(who), self.places[base], np.uint64) if base in self.places else self._read(base, who, 64)
        return start + np.uint64(int(offset or 0) % (1 << 64))

    def _ld(self, i: Instruction, who: np.ndarray) -> None:
        targets, addresses = _listed(i.operands[0]), self._address(i.operands[1], who)
        if i.words[0] == "param":
            values = self._of_parameter(addresses, i.width, len(targets), i.text)
        else:
            assert i.words[0] == "global", i.text
            values = self.memory.load(addresses, i.width, len(targets), i.text)
        for target, value in zip(targets, values, strict=True):  # a narrow word may go into a wider register
            width = max(self.program.widths.get(target.rstrip("0123456789"), i.width), i.width)
            kinds = SIGNED if i.letter == "s" else WORDS  # a signed one with its sign in all upper bits
            self._put(target, who, value.view(kinds[i.width]).astype(kinds[width]))

    def _of_parameter(self, addresses: np.ndarray, width: int, count: int, text: str) -> list[np.ndarray]:
        (which,) = np.unique(addresses >> np.uint64(PARAMETER))
        offsets = (addresses & np.uint64((1 << PARAMETER) - 1)).astype(np.int64)
        size = self.program.parameters[int(which) - 1][1]
        step = width // 8
        assert not np.any(offsets % (step * count)), f"misaligned: {text}"
        assert np.all(offsets + step * count <= size), f"outside of the parameter: {text}"
        data = self.parameters[int(which) - 1]
        return [data[(offsets + k * step)[:, None] + np.arange(step)].view(WORDS[width])[:, 0] for k in range(count)]

    def _st(self, i: Instruction, who: np.ndarray) -> None:
        assert i.words[0] == "global", i.text
        registers = [
            self.registers[o][who] if o[0] == "%" else self._read(o, who, i.width) for o in _listed(i.operands[1])
        ]
        assert all(r.dtype.itemsize * 8 >= i.width for r in registers), i.text
        values = [r.astype(WORDS[i.width]) for r in registers]
        self.memory.store(self._address(i.operands[0], who), i.width, values, i.text)

    def _mov(self, i: Instruction, who: np.ndarray) -> None:
        to, source = i.operands
        if to.startswith("{"):
            parts = _listed(to)
            width = i.width // len(parts)
            value = self._read(source, who, i.width)
            for k, part in enumerate(parts):
                self._put(part, who, (value >> WORDS[i.width](k * width)).astype(WORDS[width]))
        elif source.startswith("{"):
            parts = _listed(source)
            width = i.width // len(parts)
            halves = [self._read(part, who, width).astype(WORDS[i.width]) for part in parts]
            shifted = [half << WORDS[i.width](k * width) for k, half in enumerate(halves)]
            self._put(to, who, np.bitwise_or.reduce(shifted))
        elif source in self.places:
            self._put(to, who, np.full(len(who), self.places[source], np.uint64))
        else:
            self._put(to, who, self._read(source, who, i.width))

    def _arithmetic(self, i: Instruction, who: np.ndarray) -> None:
        assert i.letter != "f" or "rn" in i.words, i.text
        assert i.letter == "f" or i.name != "div", i.text
        a, b = (self._number(o, who, i.letter, i.width) for o in i.operands[1:3])
        if "wide" in i.words or "hi" in i.words:
            wide = (SIGNED if i.letter == "s" else WORDS)[2 * i.width]
            a, b = a.astype(wide), b.astype(wide)
        else:
            assert i.letter == "f" or i.name != "mul" or "lo" in i.words, i.text
        found = ARITHMETIC[i.name](a, b)
        self._put(i.operands[0], who, (found >> i.width).astype(WORDS[i.width]) if "hi" in i.words else found)

    def _rcp(self, i: Instruction, who: np.ndarray) -> None:
        assert (i.letter, i.words[0]) == ("f", "rn"), i.text  # rounded once, as a division of one is
        self._put(i.operands[0], who, FLOAT[i.width](1) / self._number(i.operands[1], who, "f", i.width))

    def _mad(self, i: Instruction, who: np.ndarray) -> None:
        assert "lo" in i.words, i.text
        assert i.letter != "f", i.text
        a, b, c = (self._read(o, who, i.width) for o in i.operands[1:])
        self._put(i.operands[0], who, a * b + c)

    def _sqrt(self, i: Instruction, who: np.ndarray) -> None:
        assert (i.letter, i.words[0]) == ("f", "rn"), i.text
        self._put(i.operands[0], who, np.sqrt(self._number(i.operands[1], who, "f", i.width)))

    def _abs(self, i: Instruction, who: np.ndarray) -> None:
        if i.letter == "f":
            mask = WORDS[i.width]((1 << i.width - 1) - 1)
            self._put(i.operands[0], who, self._read(i.operands[1], who, i.width) & mask)
        else:
            self._put(i.operands[0], who, np.abs(self._number(i.operands[1], who, "s", i.width)))

    def _neg(self, i: Instruction, who: np.ndarray) -> None:
        value = self._read(i.operands[1], who, i.width)
        top = WORDS[i.width](1 << i.width - 1)
        self._put(i.operands[0], who, value ^ top if i.letter == "f" else WORDS[i.width](0) - value)

    def _not(self, i: Instruction, who: np.ndarray) -> None:
        self._put(i.operands[0], who, ~self._read(i.operands[1], who, i.width))

    def _min(self, i: Instruction, who: np.ndarray) -> None:
        assert i.letter in ("s", "u"), i.text  # of floats it would lose NaN
        a, b = (self._number(o, who, i.letter, i.width) for o in i.operands[1:])
        self._put(i.operands[0], who, (np.minimum if i.name == "min" else np.maximum)(a, b))

    _max = _min

    def _setp(self, i: Instruction, who: np.ndarray) -> None:
        a, b = (self._number(o, who, i.letter, i.width) for o in i.operands[1:])
        word = i.words[0]
        if word in ("nan", "num"):
            self._put(i.operands[0], who, (np.isnan(a) | np.isnan(b)) == (word == "nan"))
            return
        holds = COMPARE[word[:2]](a, b)
        if i.letter == "f":
            unordered = np.isnan(a) | np.isnan(b)
            holds = holds | unordered if word.endswith("u") else holds & ~unordered
        self._put(i.operands[0], who, holds)

    def _selp(self, i: Instruction, who: np.ndarray) -> None:
        a, b = (self._read(o, who, i.width) for o in i.operands[1:3])
        self._put(i.operands[0], who, np.where(self.registers[i.operands[3]][who], a, b))

    def _shl(self, i: Instruction, who: np.ndarray) -> None:
        value, by = self._number(i.operands[1], who, i.letter, i.width), self._read(i.operands[2], who, 32)
        assert np.all(by < i.width), i.text
        shift = np.left_shift if i.name == "shl" else np.right_shift
        self._put(i.operands[0], who, shift(value, by.astype(value.dtype)))

    _shr = _shl

    def _bfe(self, i: Instruction, who: np.ndarray) -> None:
        word = WORDS[i.width]
        value = self._read(i.operands[1], who, i.width)
        start, length = (self._read(o, who, 32).astype(word) for o in i.operands[2:])
        assert np.all((length > 0) & (length < i.width) & (start + length <= i.width)), i.text
        field = (value >> start) & ((word(1) << length) - word(1))
        if i.letter == "s":
            sign = word(1) << (length - word(1))
            field = (field ^ sign) - sign
        self._put(i.operands[0], who, field)

    def _prmt(self, i: Instruction, who: np.ndarray) -> None:
        low, high, choice = (self._read(o, who, 32) for o in i.operands[1:])
        both = low.astype(np.uint64) | (high.astype(np.uint64) << np.uint64(32))
        result = np.zeros(len(who), np.uint32)
        for k in range(4):
            pick = (choice >> np.uint32(4 * k)) & np.uint32(15)
            byte = (both >> ((pick & np.uint32(7)).astype(np.uint64) * np.uint64(8))) & np.uint64(255)
            byte = np.where(pick > 7, (byte >> np.uint64(7)) * np.uint64(255), byte)  # the byte's sign in all its bits
            result |= byte.astype(np.uint32) << np.uint32(8 * k)
        self._put(i.operands[0], who, result)

    def _shfl(self, i: Instruction, who: np.ndarray) -> None:
        assert i.words == ("sync", "bfly", "b32"), i.text
        to, source, bits, clamp, _ = i.operands
        other = np.arange(WARP) ^ int(bits, 0)
        assert int(clamp, 0) == WARP - 1, i.text
        assert np.all(other < WARP), i.text
        self._put(to, who, self._read(source, who, 32).reshape(-1, WARP)[:, other].reshape(-1))

    def _bar(self, i: Instruction, who: np.ndarray) -> None:
        assert i.words == ("warp", "sync"), i.text

    def _cvt(self, i: Instruction, who: np.ndarray) -> None:
        to, source = i.words[-2:]
        if to in ("bf16x2", "f16x2"):
            assert (source, i.words[0]) == ("f32", "rn"), i.text
            high, low = (self._number(o, who, "f", 32) for o in i.operands[1:])
            halves = [bfloat(h) if to == "bf16x2" else h.astype(np.float16).view(np.uint16) for h in (low, high)]
            self._put(i.operands[0], who, halves[0] | (halves[1].astype(np.uint32) << np.uint32(16)))
            return
        if to == "bf16":
            assert (source, i.words[0]) == ("f32", "rn"), i.text
            self._put(i.operands[0], who, bfloat(self._number(i.operands[1], who, "f", 32)))
            return
        value = self._source(i.operands[1], who, source[0], int(source[1:]))
        rounding = next((ROUND[word] for word in i.words if word in ROUND), None)
        if rounding is not None:
            value = rounding(value)
        kinds = {"f": FLOAT, "s": SIGNED}.get(to[0], WORDS)
        width = int(to[1:])
        if to[0] == source[0] == "f" and rounding is None:
            assert width > int(source[1:]) or "rn" in i.words, i.text
        if to[0] != "f" and source[0] == "f":
            assert rounding is not None, i.text
            value = np.clip(np.nan_to_num(value), float(np.iinfo(kinds[width]).min), _largest(kinds[width]))
        self._put(i.operands[0], who, value.astype(kinds[width]))


def _listed(operand: str) -> list[str]:
    return [part.strip() for part in operand.strip("{} ").split(",")]


def _largest(kind: type) -> float:
    """The largest float64 that a whole number of some kind can hold."""
    return float(np.nextafter(float(np.iinfo(kind).max), 0.0)) if np.dtype(kind).itemsize == 8 else np.iinfo(kind).max
