"""What limits each rule's kernel on an H100, estimated from the code that NVIDIA's assembler makes of the PTX.

No GPU is needed: `ptxas` and `nvdisasm` are (of the CUDA toolkit, or of the Triton wheel: `--tools` names a folder).
Nothing here was run on a card; it is an estimate, with this method:

- Instructions are counted on the path that the aligned loop takes when no division or root leaves its fast path.
- Time per element and SM is the largest of: all instructions over four schedulers of 32 lanes; float32 arithmetic over
  128 lanes, whole numbers over 64, float64 over 64, MUFU and the checks of division over 16 (CUDA's table of
  throughputs for compute capability 9.0).
- Memory takes the bytes per element at 92 % of the peak, which is what a copy gets.
- `hidden` is the share of a copy's bandwidth if arithmetic and memory overlap wholly, `exposed` if not at all.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import ravine
from ptx.hold import storage_of
from ravine.engines.gpu import frame, ptx
from ravine.engines.gpu.target import LARGE, target

MACHINE = {"name": "H100 SXM5", "multiprocessors": 132, "hertz": 1.755e9, "bytes_per_second": 3.35e12}
COPY = 0.92
CARDS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
KINDS = ("float32", "bfloat16", "float64")
THROUGHPUT = {"all": 128, "float32": 128, "whole": 64, "float64": 64, "special": 16}
CLASSES = (
    ("special", r"MUFU|FCHK|F2F\."),
    ("float32", r"FADD|FMUL|FFMA|HFMA2"),
    ("float64", r"DADD|DMUL|DFMA|DSETP"),
    ("whole", r"IADD|IMAD|ISETP|LOP|SHF|LEA|SEL|PLOP|VIADD|PRMT|FSETP|FMNMX|FSEL|CSEL|SHL|SHR"),
)


@dataclass(frozen=True)
class Code:
    """The instructions of a kernel as nvdisasm lists them, (guard, name, operands), and where labels are."""

    instructions: list[tuple[str, str, str]]
    labels: dict[str, int]

    @classmethod
    def read(cls, text: str) -> Code:
        found, labels = [], {}
        for line in text.splitlines():
            if label := re.match(r"\s*(\.L_\w+|\$\S+):", line):
                labels[label.group(1)] = len(found)
            elif i := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?);", line):
                found.append((i.group(1) or "", i.group(2), i.group(3)))
        return cls(found, labels)

    def target(self, k: int) -> int | None:
        """Where a branch goes."""
        label = re.search(r"`\((\.L_\w+|\$\S+?)\)", self.instructions[k][2])
        return self.labels.get(label.group(1)) if label else None

    def loop(self) -> tuple[int, int]:
        """The ends of the loop with the most wide loads: the aligned one."""
        best = (-1, 0, 0)
        for k, (_, name, _) in enumerate(self.instructions):
            to = self.target(k)
            if name.startswith("BRA") and to is not None and to < k:
                loads = sum(bool(re.match(r"LDG\S*\.128", n)) for _, n, _ in self.instructions[to : k + 1])
                best = max(best, (loads, to, k))
        return best[1], best[2]

    def fast_path(self) -> list[str]:
        """The names of what the loop runs where no slow path of a division or root is taken."""
        k, last = self.loop()
        path = []
        while k <= last:
            guard, name, _ = self.instructions[k]
            path.append(name)
            to = self.target(k)
            if name.startswith("BRA") and k != last and to is not None and to > k:
                between = self.instructions[k + 1 : to]
                calls = sum(n.startswith("CALL") for _, n, _ in between)
                if not guard or (calls == 1 and len(between) < 40):
                    k = to
                    continue
            k += 1
        return path


def assembled(text: str, card: str, tools: Path | None) -> tuple[dict[str, int], bytes]:
    """(registers and bytes of spills, code) of a PTX text for a card, as the driver's own assembler would make it."""
    with tempfile.TemporaryDirectory() as folder:
        source, code = Path(folder) / "k.ptx", Path(folder) / "k.cubin"
        source.write_text(text, encoding="utf-8")
        command = [tool("ptxas", tools), f"--gpu-name={card}", "-v", str(source), "-o", str(code)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ptxas for {card}: {done.stderr}")
        spills = sum(map(int, re.findall(r"(\d+) bytes spill", done.stderr)))
        registers = int(re.search(r"Used (\d+) registers", done.stderr).group(1))  # type: ignore[union-attr]
        return {"registers": registers, "spilled_bytes": spills}, code.read_bytes()


def listed(code: bytes, tools: Path | None) -> Code:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        done = subprocess.run([tool("nvdisasm", tools), file.name], capture_output=True, text=True, check=True)
    return Code.read(done.stdout)


def tool(name: str, tools: Path | None) -> str:
    found = shutil.which(name) or (None if tools is None else shutil.which(name, path=str(tools)))
    if found is None:
        sys.exit(f"{name} is not on the path; --tools FOLDER says where it is (the Triton wheel has it)")
    return found


def estimate(code: Code, lanes: int, bytes_per_element: int) -> dict[str, float | int | str]:
    """The limits of a kernel's aligned loop."""
    path = code.fast_path()
    counts = Counter({"all": len(path)})
    for name in path:
        counts[next((kind for kind, pattern in CLASSES if re.match(pattern, name)), "other")] += 1
    cycles = {kind: counts[kind] / lanes / rate for kind, rate in THROUGHPUT.items()}
    per_cycle = MACHINE["bytes_per_second"] * COPY / MACHINE["multiprocessors"] / MACHINE["hertz"]  # type: ignore[operator]
    memory = bytes_per_element / per_cycle
    limit = max(cycles, key=lambda kind: cycles[kind])
    moved = [name for name in path if name.startswith(("LDG", "STG"))]
    return {
        "bytes_per_element": bytes_per_element,
        "instructions_per_element": round(len(path) / lanes, 2),
        "accesses": len(moved),
        "accesses_of_128_bits": sum(".128" in name for name in moved),
        "limit_of_arithmetic": limit,
        "arithmetic_over_memory": round(cycles[limit] / memory, 3),
        "share_of_copy_hidden": round(min(1.0, memory / cycles[limit]), 3),
        "share_of_copy_exposed": round(memory / (memory + cycles[limit]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tools", type=Path, help="a folder with ptxas and nvdisasm")
    parser.add_argument("--cards", default=",".join(CARDS), help="which to assemble for; sm_90 must be among them")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    goals = {card: target((7, 5) if card == "sm_75" else (9, 0), (12, 4)) for card in given.cards.split(",")}
    rows, cards = [], []
    for name in given.names or ravine.rules():
        rule = ravine.rule(name)
        if not rule.graph.is_elementwise:
            continue
        for kind in KINDS:
            storage = storage_of(rule, kind)
            room = frame.capacity(rule.graph, storage, LARGE)
            for card, goal in goals.items():
                text = ptx.compile_source(frame.source(rule.graph, storage, goal, room), goal)
                found, code = assembled(text, card, given.tools)
                cards.append({"rule": name, "storage": kind, "card": card, **found})
                if card == "sm_90":
                    limits = estimate(listed(code, given.tools), frame.lanes(storage), storage.bytes_per_element)
                    rows.append({"rule": name, "storage": kind, **found, **limits})
                    print(name, kind, limits["share_of_copy_exposed"], flush=True)
    spilled = [row for row in cards if row["spilled_bytes"]]
    worst = {k: min(r["share_of_copy_exposed"] for r in rows if r["storage"] == k) for k in KINDS}  # type: ignore[type-var]
    result = {
        "method": __doc__,
        "machine": MACHINE,
        "share_of_peak_that_a_copy_gets": COPY,
        "least_share_of_copy_exposed": worst,
        "cards": list(goals),
        "assembled": len(cards),
        "spilled": spilled,
        "all_accesses_of_128_bits": all(r["accesses"] == r["accesses_of_128_bits"] for r in rows),
        "rules": rows,
    }
    print(json.dumps({k: v for k, v in result.items() if k not in ("rules", "method")}, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
