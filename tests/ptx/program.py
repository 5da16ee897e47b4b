"""PTX text, read into instructions; words that would change a result's bits are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORBIDDEN = (r"\.ftz\b", r"\.approx\b", r"\bdiv\.full\b", r"\bfma\.", r"\bmad\.[\w.]*f(32|64)", r"\.sat\b")
"""Flushing of subnormals, approximations and contraction."""

TYPE = re.compile(r"(bf|[bfsu])(\d+)(x2)?$")
LABEL = re.compile(r"\$?[A-Za-z_$][\w$]*:")
OPERANDS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its guard (a predicate's name, or empty), its name, the words after that, and its operands."""

    text: str
    guard: str
    is_negated: bool
    name: str
    words: tuple[str, ...]
    operands: tuple[str, ...]

    @property
    def letter(self) -> str:
        """What the type that it ends with is of: b, f, s, u or bf; empty for a predicate."""
        found = TYPE.match(self.words[-1]) if self.words else None
        return found.group(1) if found else ""

    @property
    def width(self) -> int:
        """The bits of that type."""
        found = TYPE.match(self.words[-1]) if self.words else None
        return int(found.group(2)) if found else 0


class Program:
    """One entry of a PTX text. `parameters` has the names and sizes of what a launch gives it."""

    def __init__(self, text: str, entry: str) -> None:
        text = re.sub(r"//[^\n]*", "", text)
        head = re.search(rf"\.visible\s+\.entry\s+{entry}\((.*?)\)([^{{]*)\{{", text, re.S)
        assert head is not None, f"there is no entry {entry}"
        block = re.search(r"\.reqntid\s+(\d+)", head.group(2))
        self.block = int(block.group(1)) if block else 0
        body = text[head.end() : _closing(text, head.end())]
        for word in FORBIDDEN:
            found = re.search(rf"[^\n]*{word}[^\n]*", body)
            assert found is None, f"forbidden: {found.group(0).strip() if found else ''}"
        self.parameters: list[tuple[str, int]] = []
        for one in filter(str.strip, head.group(1).split(",")):
            kind, name, count = re.search(r"\.[bfu](\d+)\b.*?(\w+)(?:\[(\d+)\])?\s*$", one.strip(), re.S).groups()
            self.parameters.append((name, int(kind) // 8 * int(count or 1)))
        self.code: list[Instruction] = []
        self.labels: dict[str, int] = {}
        declared = re.findall(r"\.reg\s+\.[bfsu](\d+)\s+(%\w+)<", body)
        self.widths = {name: int(width) for width, name in declared}  # of registers, by the letters of their names
        body = re.sub(r"\.reg[^;]*;|\.(pragma|loc)[^\n]*", "", body)
        body = re.sub(r"^\s*\{(.*)\}\s*$", r"\1", body, flags=re.M)  # a block around a register of its own
        for raw in re.split(r"[;\n]", body):
            line = raw.strip()
            while label := LABEL.match(line):
                self.labels[label.group(0)[:-1]] = len(self.code)
                line = line[label.end() :].strip()
            if line:
                self.code.append(_instruction(line))


def _closing(text: str, at: int) -> int:
    """The place of the brace that closes what was opened before `at`."""
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at - 1


def _instruction(line: str) -> Instruction:
    found = re.match(r"(?:@(!?)(%p\d+)\s+)?([\w.]+)\s*(.*)$", line)
    assert found is not None, line
    negation, guard, name, operands = found.groups()
    root, *words = name.split(".")
    listed = tuple(o.strip() for o in OPERANDS.findall(operands))
    return Instruction(line, guard or "", bool(negation), root, tuple(words), listed)
