"""`ravine.math.power` as an LLVM function: repeated squaring, or the steps of `ravine.powers`."""

from __future__ import annotations

import struct
from string import Template

from ravine import powers

FUNCTION = Template("""\
declare double @llvm.floor.f64(double)

define internal double @power(double %base, double %exponent) alwaysinline {
entry:
  %is.positive = fcmp oge double %exponent, 0.0
  %floor = call double @llvm.floor.f64(double %exponent)
  %is.floor = fcmp oeq double %floor, %exponent
  %is.small = fcmp olt double %exponent, 0x43E0000000000000
  %is.natural = and i1 %is.positive, %is.floor
  %is.whole = and i1 %is.natural, %is.small
  br i1 %is.whole, label %whole, label %other
whole:
  %count = fptoui double %exponent to i64
  br label %square
square:
  %n = phi i64 [ %count, %whole ], [ %n.next, %squared ]
  %b = phi double [ %base, %whole ], [ %b.next, %squared ]
  %product = phi double [ 1.0, %whole ], [ %product.next, %squared ]
  %is.done = icmp eq i64 %n, 0
  br i1 %is.done, label %done, label %squared
squared:
  %bit = and i64 %n, 1
  %is.odd = icmp ne i64 %bit, 0
  %more = fmul double %product, %b
  %product.next = select i1 %is.odd, double %more, double %product
  %b.next = fmul double %b, %b
  %n.next = lshr i64 %n, 1
  br label %square
done:
  ret double %product
other:
  %is.subnormal = fcmp olt double %base, 0x0010000000000000
  %raised = fmul double %base, 0x4350000000000000
  %normal = select i1 %is.subnormal, double %raised, double %base
  %lowered = select i1 %is.subnormal, i64 54, i64 0
  %bits = bitcast double %normal to i64
  %above = sub i64 %bits, $MIDDLE
  %binary = ashr i64 %above, 52
  %shift = shl i64 %binary, 52
  %fraction = sub i64 %bits, %shift
  %mantissa = bitcast i64 %fraction to double
  %characteristic.whole = sub i64 %binary, %lowered
  %characteristic = sitofp i64 %characteristic.whole to double
$steps
  %is.end = fcmp one double %base, 0.0
  %is.finite = fcmp olt double %base, 0x7FF0000000000000
  %is.inner = and i1 %is.end, %is.finite
  %is.not.negative = fcmp oge double %base, 0.0
  %is.large = fcmp ogt double %base, 0.0
  %is.growing = fcmp ogt double %exponent, 0.0
  %is.shrunk = xor i1 %is.large, %is.growing
  %end = select i1 %is.shrunk, double 0.0, double 0x7FF0000000000000
  %outer = select i1 %is.inner, double %result, double %end
  %known = select i1 %is.not.negative, double %outer, double 0x7FF8000000000000
  ret double %known
}
""")

MIDDLE = struct.unpack("<q", struct.pack("<d", 0.5**0.5))[0]


def literal(value: float) -> str:
    """A double as LLVM reads it."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def function() -> str:
    """`double @power(double base, double exponent)`, and what it declares."""
    names: list[str] = []
    lines: list[str] = []
    instructions = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
    last = len(powers.STEPS) - 1
    for number, step in enumerate(powers.STEPS):
        args = [names[a] for a in step.args]
        name = "%result" if number == last else f"%v{number}"
        match step.op:
            case "base" | "exponent" | "characteristic" | "mantissa":
                name = f"%{step.op}"
            case "const":
                name = literal(step.value)
            case "add" | "sub" | "mul" | "div":
                lines.append(f"{name} = {instructions[step.op]} double {args[0]}, {args[1]}")
            case "floor":
                lines.append(f"{name} = call double @llvm.floor.f64(double {args[0]})")
            case "clamp":
                lines += _clamp(name, args[0])
            case "scale":
                lines += _scale(name, *args)
            case op:
                raise NotImplementedError(f"there is no code for the step {op!r} of a power")
        names.append(name)
    return FUNCTION.substitute(MIDDLE=MIDDLE, steps="\n".join(f"  {line}" for line in lines))


def _clamp(name: str, value: str) -> list[str]:
    low, high = literal(-2000.0), literal(2000.0)
    return [
        f"{name}.is.low = fcmp olt double {value}, {low}",
        f"{name}.raised = select i1 {name}.is.low, double {low}, double {value}",
        f"{name}.is.high = fcmp ogt double {value}, {high}",
        f"{name} = select i1 {name}.is.high, double {high}, double {name}.raised",
    ]


def _scale(name: str, value: str, k: str) -> list[str]:
    """value · 2ᵏ: a factor made of its bits, as no processor's own function is the same everywhere."""
    return [
        f"{name}.is.small = fcmp olt double {k}, {literal(powers.SMALLEST)}",
        f"{name}.is.large = fcmp ogt double {k}, {literal(powers.LARGEST)}",
        f"{name}.is.number = fcmp ord double {k}, {k}",
        f"{name}.k.low = select i1 {name}.is.small, double 0.0, double {k}",
        f"{name}.k.high = select i1 {name}.is.large, double 0.0, double {name}.k.low",
        f"{name}.k.known = select i1 {name}.is.number, double {name}.k.high, double 0.0",
        f"{name}.whole = fptosi double {name}.k.known to i64",
        f"{name}.biased = add i64 {name}.whole, 1023",
        f"{name}.bits = shl i64 {name}.biased, 52",
        f"{name}.factor = bitcast i64 {name}.bits to double",
        f"{name}.inner = fmul double {value}, {name}.factor",
        f"{name}.above = select i1 {name}.is.large, double 0x7FF0000000000000, double {name}.inner",
        f"{name}.below = select i1 {name}.is.small, double 0.0, double {name}.above",
        f"{name} = select i1 {name}.is.number, double {name}.below, double 0x7FF8000000000000",
    ]
