"""The process in which one class is examined: `python -m ravine.doctor.worker`, a case as JSON on standard input.

It tells what it finds in lines of JSON on standard output. Whatever the class prints goes to standard error instead.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any


def main() -> None:
    """Keep standard output for the findings, and examine the case."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    sys.path.insert(0, str(Path.cwd()))
    examine(json.load(sys.stdin), tell)


def examine(case: dict[str, Any], tell: Callable[..., None]) -> None:
    """Tell each check that begins and each finding, or why there is nothing to examine."""
    from ravine.doctor.examination import begun, run
    from ravine.doctor.references import load_class, load_factory, value
    from ravine.doctor.subject import Subject
    from ravine.doctor.trials import brief

    try:
        construct = (load_factory if case["factory"] else load_class)(case["reference"])
        options, group = ({name: value(text) for name, text in case[key].items()} for key in ("options", "group"))
    except (ValueError, TypeError) as error:
        tell(error=str(error))
        return
    except (Exception, SystemExit) as error:  # whatever a module raises when it is imported
        tell(error=brief(error))
        return
    try:
        with begun(subject := Subject(construct, options, group)):
            for check in case["checks"]:
                tell(begun=check)
                tell(finding=asdict(run(check, subject)))
    except TypeError as error:
        tell(error=str(error))


if __name__ == "__main__":
    main()
