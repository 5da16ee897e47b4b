"""Run the comparisons in examples/claims, record them, and put their tables into docs/claims.md.

python bench/lab_claims.py                 # runs what is missing in out/claims, then writes
python bench/lab_claims.py --from FOLDER   # only writes, from comparisons in FOLDER/NAME
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from ravine.lab.records import FINAL
from ravine.lab.report import words
from ravine.lab.report.formats import markdown
from ravine.lab.results import Results, plain
from ravine.lab.summary import summarise

ROOT = Path(__file__).parents[1]
MAIN = "from ravine.cli import main; main()"
CLAIMS, PAGE = ROOT / "examples" / "claims", ROOT / "docs" / "claims.md"


def block(results: Results) -> str:
    """What the page shows of a comparison: verdict, table, and the columns that the table lacks."""
    made = results.summary
    lines = [markdown(results, made)]
    for row in made.rows:
        lines.append(
            f"- {row.name}: loss with defaults {words.interval(row.defaults_loss)}; learning rates within 10% of the "
            f"best span a factor of {words.number(10**row.robust_decades)}; validation less training loss "
            f"{words.interval(row.gap)}"
        )
    return "\n".join(lines) + "\n"


def record(results: Results) -> str:
    """The comparison without its curves: settings, summary, and the loss of every scored run."""
    finals = {n: [r.loss for r in results.of(n, FINAL)] for n in results.names}
    header = {"task": results.task, "protocol": vars(results.protocol), "environment": results.environment}
    data = plain({**header, "final_losses": finals, "summary": summarise(results)})
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path)
    folder = parser.parse_args().folder
    page = PAGE.read_text(encoding="utf-8")
    for config in sorted(CLAIMS.glob("*.toml")):
        out = (folder or ROOT / "out" / "claims") / config.stem
        if folder is None:
            command = [sys.executable, "-c", MAIN, "compare", str(config), "--out", str(out)]
            subprocess.run(command, check=True)
        results = Results.load(out / "results.json")
        (CLAIMS / "recorded").mkdir(exist_ok=True)
        (CLAIMS / "recorded" / f"{config.stem}.json").write_text(record(results), encoding="utf-8")
        start, end = f"<!-- {config.stem} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(page):
            sys.exit(f"{PAGE} has no place for {config.stem}: {start.strip()} … {end}")
        text = start + block(results) + end
        page = pattern.sub(lambda _, text=text: text, page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
