"""What every command that changes something shares: find the leader, ask, say clearly when it refuses.

There is one writer, so these commands wait for a coordinator; the reading ones never do.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noroshi.store.config import Cluster, NodeConfig, load_cluster, load_node
from noroshi.store.errors import NoroshiError
from noroshi.store.kinds import UNITS
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held, read_lock
from noroshi.store.reader import SharedReader

if TYPE_CHECKING:
    from noroshi.node.wire.messages import Reply, RequestBody

MAX_SECONDS = 3650 * 86400
"""Ten years: what the coordinator takes."""

MOST = 2**31 - 1
"""The highest number that an argument may name."""

_DURATION = re.compile("([1-9][0-9]{0,8})(ms|s|m|h|d)")


@dataclass(frozen=True)
class Place:
    """A node file and what it belongs to."""

    node: NodeConfig
    layout: Layout
    cluster: Cluster

    @property
    def reader(self) -> SharedReader:
        return SharedReader(self.layout)


def place(config: str) -> Place:
    """Read the files. Raises ConfigError."""
    node = load_node(Path(config))
    layout = Layout(node.shared)
    return Place(node, layout, load_cluster(layout.cluster))


def ask_coordinator(at: Place, body: RequestBody, what: str) -> Reply:
    """The reply of whoever leads. Raises NoroshiError where nobody does, none comes, or `what` was refused."""
    from noroshi.node.wire.messages import Refused

    reply = reply_of_coordinator(at, body)
    if isinstance(reply, Refused):
        raise NoroshiError(f"the coordinator refused the {what}", why=reply.message, hint=reply.hint)
    return reply


def reply_of_coordinator(at: Place, body: RequestBody) -> Reply:
    """Likewise, a refusal included."""
    from noroshi.node.wire.keyring import keyring_of
    from noroshi.node.wire.messages import PROTOCOL, Request
    from noroshi.node.wire.requests import ask

    lock = read_lock(at.layout)
    if lock is None or not is_held(at.layout):
        hint = "this waits for a coordinator: is 'noroshi node' running on some node? 'noroshi status' shows it"
        raise NoroshiError("nobody holds the coordinator's role in", on=str(at.layout.shared), hint=hint)
    request = Request(PROTOCOL, at.cluster.name, at.node.node, b"", body)
    return ask(lock.endpoint, request, keys=keyring_of(at.node, at.cluster))


def lines_of(reply: Reply) -> list[str]:
    """What was done, where the reply says it in lines."""
    from noroshi.node.wire.messages import Changed

    return reply.lines if isinstance(reply, Changed) else []


def action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    """The parser of one of a command's actions."""
    made = actions.add_parser(name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False)
    made.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the node file")
    return made


def author() -> str:
    """The user who asks, as this node knows them; behind sudo the one who typed it, not root."""
    behind_sudo = os.environ.get("SUDO_USER")
    if behind_sudo and os.geteuid() == 0:
        return behind_sudo
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in passwd: a container
        return "unknown"


def number(text: str) -> int:
    """An argument that is the number of something kept, from 1 up."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of anything: 1, 2, ...")
    return int(text)


def duration(text: str) -> float:
    """Seconds of an argument like 90s, 10m, 2h, 1d."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: whole numbers, like 30s, 10m, 2h or 1d")
    seconds: float = int(found[1]) * UNITS[found[2]] / 1000
    if seconds > MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is too long: at most {MAX_SECONDS // 86400}d")
    return seconds
