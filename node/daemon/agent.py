"""The local event socket: newline-delimited JSON in, one line out for each, in order (design section 6).

Role: `run/agent.sock`, for programs in any language. `{"ok": true, "id": …}` means safe on this node's disk; an event
that the node's rules leave out is answered `"ignored": true`.
Rules: a request is an object; its `verb`, `raise` where it has none, is looked up in a table. What is wrong with a
request is answered in its place and counted. Who may raise is who may write to the socket: its owner and group, mode
0660. A lock beside it tells a dead daemon's socket, which is replaced, from a live one's, which is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.core import raising
from noroshi.node.daemon.connection import Listener
from noroshi.node.daemon.groups import SpoolFailed, Ticket
from noroshi.node.daemon.intake import Intake
from noroshi.node.daemon.lines import Answer, Client, Said, refusal
from noroshi.node.wire.raising import BadRequest
from noroshi.store.disk import RUN_MODE, make_own_directory
from noroshi.store.errors import NoroshiError

CLIENTS = 1000
"""Connections at once, and no more than half of the descriptors this process may have."""

_LISTEN_BACKLOG = 1024
_CLOSING_MOST = 5.0
_CROWDED = refusal("too many clients are connected", "close connections that are not used", busy=True)
_IGNORED = Said(b'{"ok": true, "id": null, "ignored": true}\n')

Verb = Callable[[dict[str, object]], Answer]
"""Takes a request without its `verb`. Raises BadRequest, NoroshiError."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to an event that was appended: decided with its group."""

    ticket: Ticket

    @property
    def decided(self) -> bool:
        return self.ticket.group.decided

    def call(self, waiter: Callable[[], None]) -> None:
        self.ticket.group.waiters[waiter] = None

    def line(self) -> bytes:
        try:
            return b'{"ok": true, "id": "%s"}\n' % self.ticket.id.encode()
        except SpoolFailed as error:
            return _failure(error)


class Agent:
    """The listening socket and its clients: `open`, then `close`."""

    def __init__(self, intake: Intake, verbs: Mapping[str, Verb], held: contextlib.ExitStack) -> None:
        self.refused = 0
        """Requests answered with an error, since the start."""
        self._intake, self._held = intake, held
        self._most = min(CLIENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._verbs: dict[str, Verb] = {"raise": self._raise, **verbs}
        self._clients: set[Client] = set()

    @classmethod
    async def open(
        cls, run: Path, intake: Intake, *, group: int | None = None, verbs: Mapping[str, Verb] | None = None
    ) -> Agent:
        """Listen on `run/agent.sock`; `group` is the id of the group that may raise. Raises NoroshiError."""
        path = run / "agent.sock"
        with contextlib.ExitStack() as held:
            agent = cls(intake, verbs or {}, held)
            try:
                held.callback(os.close, _claim(run, group))
                listening = held.enter_context(_bound(path, group))
                held.callback(path.unlink, missing_ok=True)
                listener = Listener(listening, agent._client, _LISTEN_BACKLOG)
            except OSError as error:
                why, hint = error.strerror or str(error), "look at `run` in the node file and at its permissions"
                raise NoroshiError("cannot listen on", on=str(path), why=why, hint=hint) from error
            held.callback(listener.close)
            agent._held = held.pop_all()
        return agent

    async def close(self) -> None:
        """Listen no more, answer what was taken within a bound, close every connection."""
        self._held.close()
        clients = list(self._clients)
        for client in clients:
            client.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_MOST):
                for client in clients:
                    await client.gone.wait()
        for client in self._clients:
            client.abort()

    @property
    def clients(self) -> int:
        """Connections now."""
        return len(self._clients)

    def _client(self) -> Client:
        return Client(self._handle, self._joined, self._clients.discard)

    def _joined(self, client: Client) -> bytes | None:
        if len(self._clients) >= self._most:
            return _CROWDED
        self._clients.add(client)
        return None

    def _handle(self, line: bytes) -> Answer:
        try:
            request = raising.read_object(line)
            return self._verb(request.pop("verb", "raise"))(request)
        except BadRequest as error:
            self.refused += 1
            return Said(refusal(str(error), error.hint))
        except NoroshiError as error:
            self.refused += 1
            return Said(_failure(error))

    def _verb(self, name: object) -> Verb:
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            raise BadRequest(f"unknown verb {name!r}", f"the verbs are {', '.join(sorted(self._verbs))}")
        return verb

    def _raise(self, request: dict[str, object]) -> Answer:
        ticket = self._intake.take(raising.read_raise(request))
        return _IGNORED if ticket is None else Stored(ticket)


def _failure(error: NoroshiError) -> bytes:
    return refusal(f"{error.what} {error.on}: {error.why}", error.hint)


def _claim(run: Path, group: int | None) -> int:
    """The lock of the run directory, which is made where there is none. Raises NoroshiError, OSError."""
    if not run.exists():
        make_own_directory(run, RUN_MODE)
        if group is not None:
            os.chown(run, -1, group)
    lock = os.open(run / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise _taken(run) from error
    return lock


def _bound(path: Path, group: int | None) -> socket.socket:
    """A socket bound to the path, not listening yet, so that nobody connects before its mode is set."""
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(0o660)
    except OSError:
        listening.close()
        raise
    return listening


def _clear(path: Path) -> None:
    """Remove what a dead daemon left; what somebody listens on, and what is no socket, stays and is an error."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise NoroshiError("cannot listen on", on=str(path), why="it is no socket", hint="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise _taken(path.parent)


def _taken(run: Path) -> NoroshiError:
    hint = "stop it first, or give this node another `run` directory"
    return NoroshiError("another node daemon uses", on=str(run), why="its event socket is alive", hint=hint)
