"""Sums in the order that `ravine.sums` defines, as LLVM IR: what the passes of `passes.py` call.

Lanes are float64, `LANES` of them, or as many for each of some neighbouring columns. They stand in levels: level 0 has
the block that is being added, level 1 the sum of blocks, and a level of which `DEPTH` rows have been added is itself a
row of the next.
"""

from __future__ import annotations

from string import Template

from ravine.engines.fused.layout import LEVELS
from ravine.sums import DEPTH, LANES

SUMS = Template("""\
define internal i64 @least(i64 %a, i64 %b) {
  %is.first = icmp slt i64 %a, %b
  %least = select i1 %is.first, i64 %a, i64 %b
  ret i64 %least
}

define internal void @clear(ptr %to, i64 %n, ptr %counts) {
entry:
  store [$LEVELS x i64] zeroinitializer, ptr %counts
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %at = getelementptr double, ptr %to, i64 %i
  store double 0.0, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal void @onto(ptr noalias %from, ptr noalias %to, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %from.at = getelementptr double, ptr %from, i64 %i
  %to.at = getelementptr double, ptr %to, i64 %i
  %a = load double, ptr %to.at
  %b = load double, ptr %from.at
  %c = fadd double %a, %b
  store double %c, ptr %to.at
  store double 0.0, ptr %from.at
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal void @carry(ptr %levels, ptr %counts, i64 %lanes) {
entry:
  br label %loop
loop:
  %level = phi i64 [ 0, %entry ], [ %next, %full ]
  %next = add i64 %level, 1
  %from.word = mul i64 %level, %lanes
  %to.word = mul i64 %next, %lanes
  %from = getelementptr double, ptr %levels, i64 %from.word
  %to = getelementptr double, ptr %levels, i64 %to.word
  call void @onto(ptr %from, ptr %to, i64 %lanes)
  %count.at = getelementptr i64, ptr %counts, i64 %next
  %before = load i64, ptr %count.at
  %count = add i64 %before, 1
  store i64 %count, ptr %count.at
  %is.full = icmp eq i64 %count, $DEPTH
  br i1 %is.full, label %full, label %end
full:
  store i64 0, ptr %count.at
  br label %loop
end:
  ret void
}

define internal void @flush(ptr %levels, i64 %lanes) {
entry:
  br label %loop
loop:
  %level = phi i64 [ 0, %entry ], [ %next, %loop ]
  %next = add i64 %level, 1
  %from.word = mul i64 %level, %lanes
  %to.word = mul i64 %next, %lanes
  %from = getelementptr double, ptr %levels, i64 %from.word
  %to = getelementptr double, ptr %levels, i64 %to.word
  call void @onto(ptr %from, ptr %to, i64 %lanes)
  %more = icmp slt i64 %next, $LAST
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal double @sum(ptr %lanes, i64 %stride) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %sum = phi double [ 0.0, %entry ], [ %sum.next, %loop ]
  %word = mul i64 %i, %stride
  %at = getelementptr double, ptr %lanes, i64 %word
  %a = load double, ptr %at
  %sum.next = fadd double %sum, %a
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, $LANES
  br i1 %more, label %loop, label %end
end:
  ret double %sum.next
}""")

# Numbers of a buffer, in rows of lanes, and the zeros behind the last: the block's lanes are added to those given.
ADD = Template("""\
define internal void @add.$form.$type(ptr %buffer, i64 %n, ptr %lanes) {
entry:
  %behind = getelementptr $type, ptr %buffer, i64 %n
  store <$LANES x $type> zeroinitializer, ptr %behind, align 4
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %sum = phi <$LANES x double> [ zeroinitializer, %entry ], [ %sum.next, %loop ]
  %at = getelementptr $type, ptr %buffer, i64 %i
  %a = load <$LANES x $type>, ptr %at, align 4
  $widen
  $square
  %sum.next = fadd <$LANES x double> %sum, %term
  %i.next = add i64 %i, $LANES
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %end
end:
  %before = load <$LANES x double>, ptr %lanes, align 8
  %after = fadd <$LANES x double> %before, %sum.next
  store <$LANES x double> %after, ptr %lanes, align 8
  ret void
}

define internal void @below.$form.$type(ptr noalias %buffer, i64 %n, ptr noalias %lanes) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %at = getelementptr $type, ptr %buffer, i64 %i
  %a = load $type, ptr %at
  $widen_one
  $square_one
  %lane.at = getelementptr double, ptr %lanes, i64 %i
  %before = load double, ptr %lane.at
  %after = fadd double %before, %term
  store double %after, ptr %lane.at
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}""")


def functions(kind: str) -> list[str]:
    """The text of all, for numbers of a type in LLVM's words."""
    forms = [SUMS.substitute(DEPTH=DEPTH, LANES=LANES, LEVELS=LEVELS, LAST=LEVELS - 1)]
    for form in ("plain", "square"):
        many, word = f"<{LANES} x double>", "fpext" if kind == "float" else "bitcast"
        forms.append(
            ADD.substitute(
                form=form,
                type=kind,
                LANES=LANES,
                widen=f"%wide = {word} <{LANES} x {kind}> %a to {many}",
                widen_one=f"%wide = {word} {kind} %a to double",
                square=_term(form, many),
                square_one=_term(form, "double"),
            )
        )
    return forms


def _term(form: str, kind: str) -> str:
    return f"%term = fmul {kind} %wide, %wide" if form == "square" else f"%term = bitcast {kind} %wide to {kind}"
