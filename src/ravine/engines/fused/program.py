"""The stages of a rule compiled: for some storage types, and for matrices or for vectors."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ravine.engines.fused import adding, jit
from ravine.engines.fused.frame import DECLARATIONS, store
from ravine.engines.fused.layout import SCALARS, Layout
from ravine.engines.fused.lower import array_slots
from ravine.engines.fused.passes import Pass
from ravine.engines.fused.scalars import load, loaded
from ravine.engines.fused.storage import MEMORY, Storage
from ravine.engines.stages import ALL, MAP, cut, leaves
from ravine.rule import Rule
from ravine.sums import LANES

WIDE_DECLARATIONS = "\n".join(
    f"declare <{LANES} x {kind}> @llvm.{name}.v{LANES}{short}(<{LANES} x {kind}>)"
    for name in ("sqrt", "fabs")
    for kind, short in (("float", "f32"), ("double", "f64"))
)


class Program:
    """The machine code of a rule's stages for some storage types, and sizes that are 1."""

    def __init__(self, rule: Rule, storage: Storage, one: frozenset[str]) -> None:
        slots = zip(array_slots(rule.graph), storage.slots, strict=True)
        made = cut(rule.graph, one, frozenset(name for name, kind in slots if kind == storage.compute))
        self.layout = Layout(made, storage)
        self.passes: list[list[Pass]] = []
        for stages in made.stages:
            numbered = enumerate(stages, sum(map(len, self.passes)))
            self.passes.append([Pass(self.layout, stage, number) for number, stage in numbered])
        self.source = self._source()
        compiled = jit.compile_source(self.source)
        self.compiled = compiled
        self.read, self.keep = compiled.address("read"), compiled.address("keep")
        self.functions = {p.number: compiled.address(f"stage{p.number}") for ps in self.passes for p in ps}
        self.joins = {
            p.number: compiled.address(f"join{p.number}") for ps in self.passes for p in ps if p.stage.kind == ALL
        }

    def _source(self) -> str:
        storage = self.layout.storage
        counts, first = list(enumerate(storage.scalars)), self.layout.counts
        read = [load(k, kind, first) for k, kind in counts]
        read += [f"  %to{k} = getelementptr double, ptr %scalars.row, i64 {k}" for k, _ in counts]
        read += [f"  store double {loaded(k, kind)}, ptr %to{k}" for k, kind in counts]
        keep = [store(k, kind, first) for k, kind in counts]
        parts = [
            DECLARATIONS,
            WIDE_DECLARATIONS,
            *adding.functions(MEMORY[storage.compute]),
            _function("read", read),
            _function("keep", keep),
        ]
        parts += [text for ps in self.passes for p in ps for text in p.functions()]
        return "\n\n".join(parts) + "\n"

    def phases(self, time: int) -> list[list[Pass]]:
        """The stages of a time in the order in which threads have to wait for each other."""
        passes = self.passes[time]
        if time == len(self.passes) - 1:  # the larger ones read the smaller ones' old values
            counts = sorted({p.stage.shape.count("1") for p in passes})
            return [[p for p in passes if p.stage.shape.count("1") == n] for n in counts]
        kept = {n for p in passes if p.stage.kind == MAP for n in p.stage.targets.values()}
        behind = [p for p in passes if p.stage.kind != MAP and kept.intersection(leaves(self.layout.made, p.stage))]
        first = [p for p in passes if p not in behind]
        return [some for some in (first, behind) if some]


def _function(name: str, lines: list[str]) -> str:
    """One that is called once for a matrix, and knows where its scalars are prepared."""
    head = [f"define void @{name}(ptr %row, i64 %start, i64 %length) {{", "entry:"]
    head += [
        f"  %scalars.cell = getelementptr i64, ptr %row, i64 {SCALARS}",
        "  %scalars.row = load ptr, ptr %scalars.cell",
    ]
    return "\n".join([*head, *lines, "  ret void", "}"])


_programs: WeakKeyDictionary[Rule, dict[tuple[Storage, frozenset[str]], Program]] = WeakKeyDictionary()


def program(rule: Rule, storage: Storage, one: frozenset[str]) -> Program:
    """The rule's program, compiled when it is first asked for."""
    known = _programs.setdefault(rule, {})
    if (storage, one) not in known:
        known[storage, one] = Program(rule, storage, one)
    return known[storage, one]
