"""The `ravine` command. Each subcommand is a module of this package, imported when it is first named."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from difflib import get_close_matches
from typing import Any

import click

import ravine
from ravine.cli.encoding import never_abort
from ravine.errors import missing

COMMANDS = {
    "bench": "ravine.cli.bench:bench",
    "list": "ravine.cli.family:list_rules",
    "explain": "ravine.cli.family:explain",
    "convert": "ravine.cli.convert:convert",
    "compare": "ravine.cli.compare:compare",
    "worker": "ravine.cli.worker:worker",
    "report": "ravine.cli.report:report",
    "new-task": "ravine.cli.new_task:new_task",
    "doctor": "ravine.cli.doctor:doctor",
    "playground": "ravine.cli.playground:playground",
    "simulate": "ravine.cli.simulate:simulate",
    "memory": "ravine.cli.memory:memory",
}
"""Every subcommand, and where it is."""


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is named, so that `ravine --help` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint} Commands: {', '.join(COMMANDS)}.", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ravine.__version__)
def group() -> None:
    """First-order optimizers, each written once as its equation."""


def main() -> None:
    """Run the command line; a user's mistake becomes one line on stderr and exit status 2, not a traceback.

    With RAVINE_DEBUG=1 in the environment the traceback is shown.
    """
    for stream in (sys.stdout, sys.stderr):
        never_abort(stream)
    atexit.register(gc.freeze)  # or Python looks through all that was imported once more: more than half a second
    try:
        group(prog_name="ravine", standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("RAVINE_DEBUG"):
            raise
        print(f"Error: {_in_words(error)}", file=sys.stderr)
        sys.exit(2)


def _in_words(error: Exception) -> str:
    """What the user is told: without the system's error numbers, and with the extra that brings a missing package."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"can't open {str(error.filename)!r}: {error.strerror}"
    return str(missing("this command", error) if isinstance(error, ImportError) else error)
