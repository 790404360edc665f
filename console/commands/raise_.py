"""`noroshi raise EVENT STATE [SUPPLEMENT] [--deferred]`: for shells, cron, and the hooks of other packages.

Rules: exit 0 only once the event is on this node's disk. When the daemon does not answer within a moment the event is
left in `state/drop`, and the daemon takes it in, once, when it is back. Starts fast: the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass

from noroshi.node import client
from noroshi.node.client import RaiseError
from noroshi.node.wire import drop
from noroshi.node.wire.raising import BadRequest, Raise

PATIENCE = 5.0
SHORT_PATIENCE = 0.7
"""Seconds to wait for the daemon: the short one where the event can be left for it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("event", metavar="EVENT", help="what it is about, such as app/orders")
    parser.add_argument("state", metavar="STATE", help="what it is now, such as OK or ERROR")
    parser.add_argument("supplement", metavar="SUPPLEMENT", nargs="?", default="", help="the cause, the place")
    parser.add_argument("--deferred", action="store_true", help="not urgent: let it ride in a periodic packet")


def run(arguments: argparse.Namespace) -> int:
    """0: safe (its id on standard output), left for the daemon, or left out by the node's rules; 1: not; 2: usage."""
    try:
        said = Raise(
            _text(arguments.event), _text(arguments.state), _text(arguments.supplement), arguments.deferred, _token()
        )
        return _raise(said, _place(getattr(arguments, "config", None)))
    except BadRequest as error:
        return _fail(f"{error} ({error.hint})", 2)
    except RaiseError as error:
        return _fail(str(error))


@dataclass(frozen=True)
class Place:
    """Where this node's daemon listens, and where events are left for it (None: nowhere this user may)."""

    socket: str
    drop: str | None


def _raise(said: Raise, place: Place) -> int:
    line = client.request_line(said.event, said.state, said.supplement, deferred=said.deferred, token=said.token)
    try:
        with client.Raiser(place.socket, timeout=SHORT_PATIENCE if place.drop else PATIENCE) as raiser:
            raised = raiser.ask(line)
    except RaiseError as error:
        if error.refused or place.drop is None:
            raise
        return _leave(line, said.token, place.drop, error)
    print(raised) if raised else _say("left out by this node's rules (`events:` in the node file)")
    return 0


def _leave(line: bytes, token: str, directory: str, error: RaiseError) -> int:
    try:
        path = drop.leave(directory, line, time.time_ns() // 1000, token)
    except OSError as failure:
        return _fail(f"{error}; nor can it be kept in {directory}: {failure.strerror or failure}")
    _say(f"{error.message}; kept in {path}, the node daemon takes it in when it is back")
    return 0


def _place(config: str | None) -> Place:
    """`config` counts only where it was named on the command line: NOROSHI_SOCKET goes before NOROSHI_CONFIG."""
    if config in (os.environ.get("NOROSHI_CONFIG"), client.DEFAULT_CONFIG):
        config = None
    return Place(client.socket_path(config), _drop_directory(config))


def _drop_directory(config: str | None) -> str | None:
    try:
        state = client.setting("state", config)
    except RaiseError:
        return None
    directory = f"{state or client.DEFAULT_STATE}/drop"
    return directory if os.access(directory, os.W_OK | os.X_OK) else None


def _token() -> str:
    return os.urandom(8).hex()


def _text(argument: str) -> str:
    """Bytes of an argument that are no UTF-8 become replacement characters; the event matters more."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _say(text: str) -> None:
    print(f"noroshi raise: {text}", file=sys.stderr)


def _fail(text: str, status: int = 1) -> int:
    _say(text)
    return status
