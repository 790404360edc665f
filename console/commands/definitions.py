"""`noroshi definitions ACTION`: what the database holds of fig. 8, its YAML side, rehearsals of it (design section 5).

Reading (export, diff) works with the coordinator gone; an import goes through it, for there is one writer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from noroshi.console.commands import asking, explaining, testing, versions
from noroshi.console.commands.asking import action
from noroshi.console.output import Printer
from noroshi.console.sanitise import visible
from noroshi.store import changes, definitions, views
from noroshi.store.config import NodeConfig, load_cluster, load_node
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.model import Definition
from noroshi.store.reader import SharedReader
from noroshi.store.yamlfile import read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    importing = action(actions, "import", "take definitions from a file into the cluster")
    importing.add_argument("file", type=Path, help="YAML, like definitions.yaml")
    importing.add_argument("--dry-run", action="store_true", help="only show what would change")
    importing.add_argument("--prune", action="store_true", help="also remove the definitions that the file lacks")
    importing.add_argument("--yes", action="store_true", help="do not ask, also at a terminal")
    importing.add_argument("--json", action="store_true", help="one object")
    exporting = action(actions, "export", "print the cluster's definitions as YAML")
    exporting.add_argument(
        "--versions",
        action="store_true",
        help="begin with the versions, so that an import of the edited file meets conflicts",
    )
    exporting.add_argument("--json", action="store_true", help="JSON lines, one a definition")
    difference = action(actions, "diff", "show what an import of the file would change, from the database alone")
    difference.add_argument("file", type=Path, help="YAML, like definitions.yaml")
    difference.add_argument("--prune", action="store_true", help="count what the file lacks as removed")
    checking = action(actions, "check", "check a definitions file, or those in force against the cluster file")
    checking.add_argument("file", type=Path, nargs="?", help="left out: the definitions in force")
    versions.add_log_arguments(action(actions, "log", "show who changed what, when"))
    versions.add_rollback_arguments(action(actions, "rollback", "make an older version of a definition the newest"))
    versions.add_remove_arguments(action(actions, "remove", "remove definitions"))
    explaining.add_arguments(action(actions, "explain", "say who would be told now, in which order, and who not"))
    testing.add_arguments(action(actions, "test", "deliver a marked test to each destination of a definition"))


def run(arguments: argparse.Namespace) -> int:
    actions = {"import": _import, "export": _export, "diff": _diff, "check": _check}
    actions |= {"explain": explaining.run, "test": testing.run}
    actions |= {"log": versions.run_log, "rollback": versions.run_rollback, "remove": versions.run_remove}
    return actions[arguments.action](arguments)


def _import(arguments: argparse.Namespace) -> int:
    """The difference first; then, unless it is a dry run or refused at a terminal, the import of just that."""
    from noroshi.node.wire.messages import ImportDefinitions

    at, text = asking.place(arguments.config), read_text(arguments.file)
    wanted = definitions.parse(text, arguments.file, at.cluster.names)
    current, seen = at.reader.query(views.definitions_seen)
    changed = changes.between(current, wanted, prune=arguments.prune)
    if (named := changes.seen_in(text)) is not None:
        _refuse_conflicts(at, changed, seen := named, arguments.file)
    lines = changes.describe(changed)
    _print_changes(lines, arguments.json, arguments.dry_run)
    if arguments.dry_run or not lines:
        return 0
    sys.stdout.flush()
    if sys.stdin.isatty() and sys.stdout.isatty() and not arguments.yes and input("import this? [y/N] ") != "y":
        print("nothing was changed", file=sys.stderr)
        return 1
    body = ImportDefinitions(text, str(arguments.file), asking.author(), prune=arguments.prune, seen=seen)
    asking.ask_coordinator(at, body, "import")
    return 0


def _refuse_conflicts(at: asking.Place, changed: list[changes.Change], seen: dict[str, int], file: Path) -> None:
    """The file says which versions it was made from: what others changed since is told before anything is asked."""
    history = at.reader.query(lambda c: [row for one in changed for row in views.definition_versions(c, one.name)])
    if told := changes.conflicts(changed, seen, history):
        hint = "export anew and put your change into that; without its `# versions:` line the file overrules"
        raise NoroshiError(
            "somebody changed meanwhile what is changed in", on=str(file), why="\n".join(told), hint=hint
        )


def _print_changes(lines: list[str], as_json: bool, dry_run: bool) -> None:
    if as_json:
        Printer(sys.stdout).json([{"changed": lines, "dry_run": dry_run}])
        return
    print("\n".join(visible(line) for text in lines for line in text.splitlines()) if lines else "no change")


def _export(arguments: argparse.Namespace) -> int:
    node = load_node(Path(arguments.config))
    found, seen = SharedReader(Layout(node.shared)).query(views.definitions_seen)
    for line in _strangers(node, found):
        print(line, file=sys.stderr)
    if arguments.json:
        from noroshi.store.model import to_json

        Printer(sys.stdout).encoded(map(to_json, found))
        return 0
    if arguments.versions:
        print(changes.seen_line(seen))
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
        print(_unchecked(error), file=sys.stderr)
    if arguments.file is None:
        return _check_stored(load_node(Path(arguments.config)))
    found = definitions.load(arguments.file, names)
    print(f"{arguments.file}: {len(found)} definitions, no problem")
    return 0


def _unchecked(error: NoroshiError) -> str:
    return "the node names are not checked: " + "\n".join(map(visible, str(error).splitlines()))


def _check_stored(node: NodeConfig) -> int:
    found = _stored(node)
    lines = _strangers(node, found)
    print("\n".join(lines) if lines else f"{len(found)} definitions in force, no problem")
    return 1 if lines else 0


def _strangers(node: NodeConfig, found: Iterable[Definition]) -> list[str]:
    """Each definition that names a node which is not, or no longer, in the cluster file."""
    try:
        names = load_cluster(Layout(node.shared).cluster).names
    except NoroshiError as error:
        return [_unchecked(error)]
    left = [(one.name, ", ".join(changes.strangers(one, names))) for one in found]
    return [visible(f"definition {name} names {nodes}: not in cluster.yaml") for name, nodes in left if nodes]


def _stored(node: NodeConfig) -> list[Definition]:
    return list(SharedReader(Layout(node.shared)).query(views.definitions_seen)[0])
