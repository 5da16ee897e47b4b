"""The loops of a stage over a matrix, as LLVM IR, around what `segment.py` does to neighbours.

Each stage is a function @stage… of a matrix's row in the table, and of where its share of the work begins and how long
it is: in elements, rows or columns, as `unit` says. One that reduces computes up to `BLOCK` values into a buffer and
adds them as `ravine.sums` defines: a share of elements ends as one row of lanes, which @join… adds up; a share of rows
or columns is finished at once.
"""

from __future__ import annotations

from string import Template

from ravine.engines.fused.layout import BLOCK, COEFFICIENTS, COLUMNS, LEVELS, PLACE, ROWS, SEED, SHARE, STRIP, Layout
from ravine.engines.fused.segment import COLUMN, ONE, ROW, WHOLE, Segment, is_of_squares
from ravine.engines.fused.storage import MEMORY
from ravine.engines.stages import ALL, ALONG, DOWN, MAP, Stage
from ravine.sums import LANES
from ravine.trace.graph import Node

ELEMENTS, BY_ROWS, BY_COLUMNS = "elements", "rows", "columns"
"""What a stage's work is cut into."""

STAGE = Template("""\
define void @stage$number(ptr %row, i64 %start, i64 %length) {
entry:
$cells
  %size = mul i64 %rows, %columns
  %first = mul i64 %place, %size
  %end = add i64 %start, %length
$loops
  ret void
}""")

MAP_ROWS = Template("""\
  br label %loop
loop:
  %i = phi i64 [ %start, %entry ], [ %i.next, %loop ]
  %flat = mul i64 %i, %columns
$call
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %end
  br i1 %i.more, label %loop, label %done
done:""")

# A share of all elements, block by block; a block lies in one row, or in several.
SUM_ALL = Template("""\
$clear
  br label %block
block:
  %b = phi i64 [ %start, %entry ], [ %b.next, %add ]
  %left = sub i64 %end, %b
  %n = call i64 @least(i64 %left, i64 $BLOCK)
$fill
add:
$add
  %b.next = add i64 %b, $BLOCK
  %b.more = icmp slt i64 %b.next, %end
  br i1 %b.more, label %block, label %done
done:
  %share = udiv i64 %start, $SHARE
$store""")

FILL_BY_ROWS = Template("""\
  %i.first = udiv i64 %b, %columns
  %j.first = urem i64 %b, %columns
  br label %run
run:
  %i = phi i64 [ %i.first, %block ], [ %i.next, %run ]
  %j = phi i64 [ %j.first, %block ], [ 0, %run ]
  %filled = phi i64 [ 0, %block ], [ %filled.next, %run ]
  %room = sub i64 %columns, %j
  %rest = sub i64 %n, %filled
  %m = call i64 @least(i64 %room, i64 %rest)
  %flat = add i64 %b, %filled
$call
  %filled.next = add i64 %filled, %m
  %i.next = add i64 %i, 1
  %is.more = icmp slt i64 %filled.next, %n
  br i1 %is.more, label %run, label %add""")

SUM_ALONG = Template("""\
  %is.long = icmp sgt i64 %columns, $BLOCK
  %used = select i1 %is.long, i64 $all, i64 $lanes
  %top = select i1 %is.long, i64 $last, i64 0
  br label %loop
loop:
  %i = phi i64 [ %start, %entry ], [ %i.next, %sum ]
  %row.at = mul i64 %i, %columns
$clear
  br label %block
block:
  %j = phi i64 [ 0, %loop ], [ %j.next, %next ]
  %left = sub i64 %columns, %j
  %n = call i64 @least(i64 %left, i64 $BLOCK)
  %flat = add i64 %row.at, %j
$call
$add
  br i1 %is.long, label %carry, label %next
carry:
$carry
  br label %next
next:
  %j.next = add i64 %j, $BLOCK
  %j.more = icmp slt i64 %j.next, %columns
  br i1 %j.more, label %block, label %finish
finish:
  br i1 %is.long, label %flush, label %sum
flush:
$flush
  br label %sum
sum:
$finish
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %end
  br i1 %i.more, label %loop, label %done
done:""")

SUM_DOWN = Template("""\
  %is.long = icmp sgt i64 %rows, $BLOCK
  %used = select i1 %is.long, i64 $all, i64 $lanes
  %top = select i1 %is.long, i64 $last, i64 0
$clear
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %row.at = mul i64 %i, %columns
  %flat = add i64 %row.at, %start
$call
  %lane = urem i64 %i, $LANES
  %lane.at = mul i64 %lane, $STRIP
$below
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %rows
  %in.block = urem i64 %i.next, $BLOCK
  %is.block = icmp eq i64 %in.block, 0
  %is.last = xor i1 %i.more, true
  %is.full = or i1 %is.block, %is.last
  %is.carried = and i1 %is.full, %is.long
  br i1 %is.carried, label %carry, label %next
carry:
$carry
  br label %next
next:
  br i1 %i.more, label %loop, label %finish
finish:
  br i1 %is.long, label %flush, label %sum
flush:
$flush
  br label %sum
sum:
  br label %column
column:
  %j = phi i64 [ 0, %sum ], [ %j.next, %column ]
  %j.top = add i64 %top, %j
  %j.at = add i64 %start, %j
$finish
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %length
  br i1 %j.more, label %column, label %done
done:""")

JOIN = Template("""\
define void @join$number(ptr %row, i64 %start, i64 %length) {
entry:
$cells
  %size = mul i64 %rows, %columns
  %levels = alloca [$all x double], align 64
  %counts = alloca [$LEVELS x i64]
  br label %begin0
$sums
  ret void
}""")

JOIN_ONE = Template("""\
  call void @clear(ptr %levels, i64 $all, ptr %counts)
  br label %share$k
share$k:
  %s$k = phi i64 [ 0, %begin$k ], [ %s$k.next, %share$k ]
  %s$k.at = getelementptr <$LANES x double>, ptr %shares$k, i64 %s$k
  %s$k.lanes = load <$LANES x double>, ptr %s$k.at, align 8
  store <$LANES x double> %s$k.lanes, ptr %levels, align 64
  call void @carry(ptr %levels, ptr %counts, i64 $LANES)
  %s$k.next = add i64 %s$k, 1
  %s$k.past = mul i64 %s$k.next, $SHARE
  %s$k.more = icmp slt i64 %s$k.past, %size
  br i1 %s$k.more, label %share$k, label %shared$k
shared$k:
  call void @flush(ptr %levels, i64 $LANES)
  %top$k = getelementptr double, ptr %levels, i64 $last
  %sum$k = call double @sum(ptr %top$k, i64 1)
$finish""")


class Pass:
    """The function of one stage."""

    def __init__(self, layout: Layout, stage: Stage, number: int) -> None:
        self.layout, self.stage, self.number = layout, stage, number
        self.segment = Segment(layout.made, stage, layout.storage, layout.work, number)
        self.float = MEMORY[layout.storage.compute]
        self.is_flat = not {a.place for a in self.segment.arguments} & {ROW, COLUMN}
        self.reduced = stage.reduced
        lanes = LANES * STRIP if stage.kind == DOWN else LANES
        self._sizes = {"lanes": lanes, "all": LEVELS * lanes, "last": (LEVELS - 1) * lanes, "number": number}
        self._sizes |= {"LANES": LANES, "BLOCK": BLOCK, "SHARE": SHARE, "STRIP": STRIP, "LEVELS": LEVELS}

    @property
    def unit(self) -> str:
        """What its work is cut into."""
        if self.stage.kind == MAP:
            return ELEMENTS if self.is_flat else BY_ROWS
        return {ALL: ELEMENTS, ALONG: BY_ROWS, DOWN: BY_COLUMNS}[self.stage.kind]

    def functions(self) -> list[str]:
        """The text of all that the stage needs."""
        loops = {MAP: self._map, ALL: self._all, ALONG: self._along, DOWN: self._down}[self.stage.kind]()
        whole = STAGE.substitute(self._sizes, cells="\n".join(self._cells()), loops=loops)
        own = self.segment.sums() if self.is_direct else self.segment.elements()
        return [own, whole, *([self._join()] if self.stage.kind == ALL else [])]

    @property
    def is_direct(self) -> bool:
        """Whether what is computed is added at once: where a block lies in one row, whose lanes are its own."""
        return self.stage.kind == ALONG or (self.stage.kind == ALL and self.is_flat)

    def _cells(self) -> list[str]:
        """Lines that read a row of the table, and make room for sums."""
        lines = [*_size("rows", self.stage.shape[0]), *_size("columns", self.stage.shape[1])]
        for name, column, kind in (("place", PLACE, "i64"), ("seed", SEED, "i64"), ("c", COEFFICIENTS, "ptr")):
            lines += _cell(name, column, kind)
        for a in self.segment.arguments:
            if not a.is_buffer:
                lines += _cell(a.register, self.layout.column(a.register), "ptr")
        for k, n in enumerate(self.reduced):
            lines.append(f"  %b{k} = alloca [{BLOCK + LANES} x {self.float}], align 64")
            lines.append(f"  %levels{k} = alloca [{self._sizes['all']} x double], align 64")
            lines.append(f"  %counts{k} = alloca [{LEVELS} x i64]")
            lines += _cell(f"out{k}", self._share(n) if self.stage.kind == ALL else self._result(n), "ptr")
        return lines

    def _share(self, n: Node) -> int:
        return self.layout.first_sum + self.layout.sums.index(n)

    def _result(self, n: Node) -> int:
        return self.layout.first_work + self.layout.work.index(n)

    def _call(self, i: str, j: str, flat: str, n: str, filled: str = "0") -> str:
        """A run of n elements from row i and column j on, whose number in the matrix is `flat`."""
        lines, given = [], []
        for a in self.segment.arguments:
            if a.is_buffer and self.is_direct:
                given.append(f"ptr %levels{a.register[1:]}")
                continue
            at = filled if a.is_buffer else {WHOLE: flat, ROW: i, COLUMN: j, ONE: "0"}[a.place]
            lines.append(f"  %{a.register}.p = getelementptr {MEMORY[a.kind]}, ptr %{a.register}, i64 {at}")
            given.append(f"ptr %{a.register}.p")
        lines.append(f"  %number = add i64 %first, {flat}")
        given.append(f"ptr %c, i64 {n}, i64 %number, i64 %seed")
        function = "sums" if self.is_direct else "elements"
        return "\n".join([*lines, f"  call void @{function}{self.number}({', '.join(given)})"])

    def _each(self, line: str) -> str:
        """A line for each reduction; $k stands for its number, $form for what is added."""
        texts = [Template(line).substitute(self._sizes, k=k, form=_form(n)) for k, n in enumerate(self.reduced)]
        return "\n".join(f"  {text}" for text in texts)

    def _clear(self, n: str) -> str:
        return self._each(f"call void @clear(ptr %levels$k, i64 {n}, ptr %counts$k)")

    def _add(self) -> str:
        if self.is_direct:
            return ""
        return self._each(f"call void @add.$form.{self.float}(ptr %b$k, i64 %n, ptr %levels$k)")

    def _levels(self) -> dict[str, str]:
        carry = self._each("call void @carry(ptr %levels$k, ptr %counts$k, i64 $lanes)")
        return {"carry": carry, "flush": self._each("call void @flush(ptr %levels$k, i64 $lanes)")}

    def _map(self) -> str:
        if self.is_flat:
            return self._call("0", "0", "%start", "%length")
        return MAP_ROWS.substitute(call=self._call("%i", "0", "%flat", "%columns"))

    def _all(self) -> str:
        fill = self._call("0", "0", "%b", "%n") + "\n  br label %add"
        if not self.is_flat:
            fill = FILL_BY_ROWS.substitute(call=self._call("%i", "%j", "%flat", "%m", "%filled"))
        store = [f"%lanes$k = load <{LANES} x double>, ptr %levels$k, align 64"]
        store += [f"%to$k = getelementptr <{LANES} x double>, ptr %out$k, i64 %share"]
        store += [f"store <{LANES} x double> %lanes$k, ptr %to$k, align 8"]
        return SUM_ALL.substitute(
            self._sizes, clear=self._clear("$all"), fill=fill, add=self._add(), store="\n".join(map(self._each, store))
        )

    def _along(self) -> str:
        call = self._call("%i", "%j", "%flat", "%n")
        finish = self._finish_each("%top", "1", "%columns", "%i")
        given = self._sizes | self._levels()
        return SUM_ALONG.substitute(given, clear=self._clear("%used"), call=call, add=self._add(), finish=finish)

    def _down(self) -> str:
        call = self._call("%i", "%start", "%flat", "%length")
        below = ["%lanes$k = getelementptr double, ptr %levels$k, i64 %lane.at"]
        below += [f"call void @below.$form.{self.float}(ptr %b$k, i64 %length, ptr %lanes$k)"]
        finish = self._finish_each("%j.top", str(STRIP), "%rows", "%j.at")
        given = self._sizes | self._levels() | {"below": "\n".join(map(self._each, below))}
        return SUM_DOWN.substitute(given, clear=self._clear("%used"), call=call, finish=finish)

    def _finish_each(self, top: str, stride: str, count: str, at: str) -> str:
        """Lines that add up each sum's lanes, which begin at `top`, and store what becomes of them."""
        lines = []
        for k, n in enumerate(self.reduced):
            lines.append(f"  %last{k} = getelementptr double, ptr %levels{k}, i64 {top}")
            lines.append(f"  %sum{k} = call double @sum(ptr %last{k}, i64 {stride})")
            lines += self._finish(k, n, count, at)
        return "\n".join(lines)

    def _finish(self, k: int, n: Node, count: str, at: str) -> list[str]:
        """Lines that make of %sum…, in float64, what a reduction is of `count` numbers, and store it."""
        lines, found = [], f"%sum{k}"
        if n.op in ("mean", "rms"):
            lines.append(f"  %count{k} = uitofp i64 {count} to double")
            lines.append(f"  %mean{k} = fdiv double {found}, %count{k}")
            found = f"%mean{k}"
        if _form(n) == "square":
            lines.append(f"  %root{k} = call double @llvm.sqrt.f64(double {found})")
            found = f"%root{k}"
        if self.float == "float":
            lines.append(f"  %single{k} = fptrunc double {found} to float")
            found = f"%single{k}"
        lines.append(f"  %to{k} = getelementptr {self.float}, ptr %out{k}, i64 {at}")
        return [*lines, f"  store {self.float} {found}, ptr %to{k}"]

    def _join(self) -> str:
        """`@join…`, once for a matrix: adds up the shares of its sums."""
        cells = [*_size("rows", self.stage.shape[0]), *_size("columns", self.stage.shape[1])]
        sums = []
        for k, n in enumerate(self.reduced):
            cells += [*_cell(f"shares{k}", self._share(n), "ptr"), *_cell(f"out{k}", self._result(n), "ptr")]
            finish = "\n".join(self._finish(k, n, "%size", "0"))
            sums.append(f"begin{k}:\n" + JOIN_ONE.substitute(self._sizes, k=k, finish=finish))
        text = "\n".join(f"{one}\n  br label %begin{k}" for k, one in enumerate(sums, 1))
        return JOIN.substitute(self._sizes, cells="\n".join(cells), sums=f"{text}\nbegin{len(sums)}:")


def _form(n: Node) -> str:
    """What is added of each number."""
    return "square" if is_of_squares(n) else "plain"


def _cell(name: str, column: int, kind: str) -> list[str]:
    """Lines that read a cell of %row."""
    return [f"  %{name}.cell = getelementptr i64, ptr %row, i64 {column}", f"  %{name} = load {kind}, ptr %{name}.cell"]


def _size(name: str, dim: str) -> list[str]:
    """Lines that read a size of the matrix by its symbol."""
    return [f"  %{name} = add i64 0, 1"] if dim == "1" else _cell(name, ROWS if dim == "r" else COLUMNS, "i64")
