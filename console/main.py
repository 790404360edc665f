"""The `noroshi` command: finds the subcommand, imports that one alone, turns errors into one clear line.

Exit status: 0 the command did its work, 1 it failed, 2 it was called wrongly (design section 6).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import ModuleType

COMMANDS = {
    "node": "run the node daemon of this server",
    "coordinator": "run the coordinator (normally the node daemon does; a cluster manager may)",
    "raise": "raise an event",
    "console": "open the console",
    "status": "who leads, the nodes, every state",
    "events": "the history of events",
    "log": "the shared log",
    "history": "notifications, each with its attempts",
    "definitions": "import, export, diff, check, explain, test the definitions",
    "ack": "acknowledge an event: who looks after it, until when",
    "repaired": "declare that something is in order again",
    "silence": "silences: add, list, remove",
    "maintenance": "begin or end the maintenance of a node",
    "backup": "write a consistent copy of the database",
    "keygen": "make this node's keys for `security: curve`",
    "check": "check the configuration of this node",
    "doctor": "measure the shared disk, the nodes, their clocks and keys, and say what to do",
    "demo": "start a three-node cluster on loopback and look at it",
}
_MODULES = {"node": "daemon", "coordinator": "daemon", "raise": "raise_", "console": "console_"}
DEFAULT_CONFIG = "/etc/noroshi/node.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(_command_in(words)).parse_args(words)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from noroshi.console.sanitise import visible
    from noroshi.store.errors import NoroshiError

    if isinstance(sys.stdout, TextIOWrapper):  # a sign the terminal's encoding lacks is escaped, never an error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(_module(arguments.command).run(arguments))
    except NoroshiError as error:
        # An error may quote what stands in a file or came from a peer; each problem of a file has a line of its own.
        print(f"noroshi {arguments.command}: " + "\n".join(map(visible, str(error).splitlines())), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader went away (| head): nothing more to say, and Python's own flush at exit must not say it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _command_in(words: Sequence[str]) -> str | None:
    """The subcommand among the words, so that only its module is imported; argparse judges the rest."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--config":
            skip = True
        elif not word.startswith("-"):
            return word if word in COMMANDS else None
    return None


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"noroshi.console.commands.{_MODULES.get(command, command)}")


def _parser(asked: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="noroshi", description="Cluster events, a shared log and proven notification.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _add_config(parser, os.environ.get("NOROSHI_CONFIG", DEFAULT_CONFIG))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False)
        _add_config(command, argparse.SUPPRESS)
        if name == asked:
            _module(name).add_arguments(command)
    return parser


def _add_config(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--config", metavar="FILE", default=default, help=f"the node file (NOROSHI_CONFIG; else {DEFAULT_CONFIG})"
    )


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: the look-up costs more than the rest of a start."""

    def __call__(self, parser: argparse.ArgumentParser, *ignored: object) -> None:
        print(f"noroshi {_version()}")
        parser.exit()


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("noroshi")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
