"""`noroshi definitions import|export|diff|check`: the YAML side of what the database holds (design section 5).

Reading (export, diff) works with the coordinator gone; an import goes through it, for there is one writer.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path

from noroshi.store import changes, definitions
from noroshi.store.config import NodeConfig, load_cluster, load_node
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.model import Definition
from noroshi.store.reader import SharedReader
from noroshi.store.tables import definitions as table
from noroshi.store.yamlfile import read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    importing = _action(actions, "import", "take definitions from a file into the cluster")
    importing.add_argument("file", type=Path)
    importing.add_argument("--dry-run", action="store_true", help="only show what would change")
    importing.add_argument("--prune", action="store_true", help="also remove the definitions that the file lacks")
    importing.add_argument("--json", action="store_true", help="one object")
    exporting = _action(actions, "export", "print the cluster's definitions as YAML")
    exporting.add_argument("--json", action="store_true", help="JSON lines, one a definition")
    difference = _action(actions, "diff", "show what an import of the file would change, from the database alone")
    difference.add_argument("file", type=Path)
    difference.add_argument("--prune", action="store_true", help="count what the file lacks as removed")
    checking = _action(actions, "check", "check a definitions file, every problem at once")
    checking.add_argument("file", type=Path)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False)
    action.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the node file")
    return action


def run(arguments: argparse.Namespace) -> int:
    return {"import": _import, "export": _export, "diff": _diff, "check": _check}[arguments.action](arguments)


def _import(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.messages import PROTOCOL, Changed, ImportDefinitions, Refused, Request
    from noroshi.node.wire.requests import ask
    from noroshi.store.lock import is_held, read_lock

    node = load_node(Path(arguments.config))
    layout, text = Layout(node.shared), read_text(arguments.file)
    definitions.parse(text, arguments.file, load_cluster(layout.cluster).names)
    lock = read_lock(layout)
    if lock is None or not is_held(layout):
        raise NoroshiError("nobody holds the coordinator's role", on=str(layout.shared), hint=_NO_LEADER)
    body = ImportDefinitions(text, str(arguments.file), _author(), arguments.dry_run, arguments.prune)
    reply = ask(lock.endpoint, Request(PROTOCOL, load_cluster(layout.cluster).name, node.node, b"", body))
    if isinstance(reply, Refused):
        raise NoroshiError("the coordinator refused the import", why=reply.message, hint=reply.hint)
    lines = reply.lines if isinstance(reply, Changed) else []
    _print_changes(lines, arguments.json, arguments.dry_run)
    return 0


_NO_LEADER = "editing waits for a coordinator: is 'noroshi node' running on some node? 'noroshi status' shows it"


def _print_changes(lines: list[str], as_json: bool, dry_run: bool) -> None:
    if as_json:
        print(json.dumps({"changed": lines, "dry_run": dry_run}, ensure_ascii=False))
        return
    print("\n".join(lines) if lines else "no change")


def _export(arguments: argparse.Namespace) -> int:
    found = _stored(load_node(Path(arguments.config)))
    if arguments.json:
        from noroshi.store.model import to_json

        for definition in found:
            print(to_json(definition))
    else:
        print(definitions.export(found), end="")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    node = load_node(Path(arguments.config))
    names = load_cluster(Layout(node.shared).cluster).names
    new = definitions.load(arguments.file, names)
    _print_changes(changes.describe(changes.between(_stored(node), new, prune=arguments.prune)), False, True)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    """Without a readable cluster file the nodes named are not checked, and that is said."""
    names = None
    try:
        names = load_cluster(Layout(load_node(Path(arguments.config)).shared).cluster).names
    except NoroshiError as error:
        print(f"the node names are not checked: {error}", file=sys.stderr)
    found = definitions.load(arguments.file, names)
    print(f"{arguments.file}: {len(found)} definitions, no problem")
    return 0


def _stored(node: NodeConfig) -> list[Definition]:
    return SharedReader(Layout(node.shared)).query(table.current)


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in passwd: a container
        return "unknown"
