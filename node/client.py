"""Raise events from any Python program: one line of JSON to the node daemon's local socket, one line back.

Role: the event functions of spec 2.2 (`raise_event`) and 2.3 (`defer_event`, for what is not urgent), each also for
asyncio, and `Raiser` for a program that raises many over one connection.
Rules: the standard library alone, and even that imported at the first call, so that importing this costs nothing.
A function returns only once the event is safe on this node's disk; everything else is a RaiseError. Each call has a
connection of its own, so threads, forked children and signal handlers may call at any time.

Where the socket is: the argument, else NOROSHI_SOCKET, else `agent.sock` in the directory of the `run:` line of the
node file (NOROSHI_CONFIG, else /etc/noroshi/node.yaml), else /run/noroshi/agent.sock.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # typing's own is slow to import
if TYPE_CHECKING:
    import socket as sockets
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final, Self

    from noroshi.node.on_signal import Handler

DEFAULT_CONFIG: Final = "/etc/noroshi/node.yaml"
DEFAULT_SOCKET: Final = "/run/noroshi/agent.sock"
DEFAULT_STATE: Final = "/var/lib/noroshi"
MAX_LINE: Final = 1024 * 1024
"""Bytes of one request with its newline; the daemon closes on a longer one."""

_MAX_ANSWER: Final = 64 * 1024


class RaiseError(OSError):
    """The event is not known to be safe. str() says why and what to do.

    `refused`: the daemon answered no, and would again. `unconfirmed`: it was sent and no answer came, so it may be
    stored all the same; raising it again with the same `token` stores it once. Neither: it never left this program.
    """

    def __init__(self, message: str, *, hint: str = "", refused: bool = False, unconfirmed: bool = False) -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.message, self.hint, self.refused, self.unconfirmed = message, hint, refused, unconfirmed


def raise_event(
    event: str, state: str, supplement: object = "", *, socket: str | None = None, timeout: float = 5.0
) -> str:
    """Say that `event` is now in `state`; return its id once it is safe on this node's disk.

    `supplement` is text, or any object JSON can hold. `timeout` in seconds bounds the whole call. The id is "" where
    this node's rules leave the event out (`events:` in the node file). Raises RaiseError.
    """
    with Raiser(socket, timeout=timeout) as raiser:
        return raiser.raise_event(event, state, supplement)


def defer_event(
    event: str, state: str, supplement: object = "", *, socket: str | None = None, timeout: float = 5.0
) -> str:
    """As `raise_event`, for what is not urgent: it rides in the periodic packets and causes no message of its own."""
    with Raiser(socket, timeout=timeout) as raiser:
        return raiser.defer_event(event, state, supplement)


async def raise_event_async(
    event: str,
    state: str,
    supplement: object = "",
    *,
    socket: str | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109
) -> str:
    """`raise_event` for asyncio. A cancelled call may have raised the event."""
    return await _ask_async(request_line(event, state, supplement), socket or socket_path(), timeout)


async def defer_event_async(
    event: str,
    state: str,
    supplement: object = "",
    *,
    socket: str | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109
) -> str:
    """`defer_event` for asyncio."""
    return await _ask_async(request_line(event, state, supplement, deferred=True), socket or socket_path(), timeout)


def raise_on_signal(
    number: int,
    event: str,
    state: str,
    supplement: object = "",
    *,
    socket: str | None = None,
    timeout: float = 5.0,
    failed: Callable[[RaiseError], object] | None = None,
) -> Handler:
    """From now on the signal `number` raises this event; returns the handler it had before, as signal.signal does.

    Call it in the main thread. The handler itself only queues; a thread of its own raises, in the order of the signals,
    and calls `failed` with what went wrong (without it: a line on standard error). Raises TypeError or ValueError where
    JSON cannot hold the supplement or the signal cannot be caught.
    """
    from noroshi.node.on_signal import install

    return install(number, request_line(event, state, supplement), socket, timeout, failed)


class Raiser:
    """One connection for many events, for one thread: `with Raiser() as raiser: raiser.raise_event(...)`.

    After a RaiseError that is not `refused` the connection is closed and the next call opens another.
    """

    def __init__(self, socket: str | None = None, *, timeout: float = 5.0) -> None:
        self._path, self._timeout = socket or socket_path(), timeout
        self._socket: sockets.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def raise_event(self, event: str, state: str, supplement: object = "") -> str:
        return self.ask(request_line(event, state, supplement))

    def defer_event(self, event: str, state: str, supplement: object = "") -> str:
        return self.ask(request_line(event, state, supplement, deferred=True))

    def ask(self, line: bytes) -> str:
        """Send one request line, wait for its answer, return the id in it. Raises RaiseError."""
        return parse_answer(self.exchange(line))

    def exchange(self, line: bytes) -> bytes:
        """Send one request line, return the line that answers it. Raises RaiseError."""
        deadline = time.monotonic() + self._timeout
        if self._socket is not None and _ended(self._socket):  # the daemon was restarted between two calls
            self.close()
        if self._socket is None:
            self._socket = _connect(self._path, self._timeout)
        try:
            return _exchange(self._socket, line, deadline)
        except OSError as error:
            self.close()
            raise _unconfirmed(self._path, error) from error
        except BaseException:
            self.close()  # interrupted with an answer outstanding: the next one would be taken for ours
            raise


def request_line(event: str, state: str, supplement: object = "", *, deferred: bool = False, token: str = "") -> bytes:
    """The request as it goes over the socket. Raises TypeError or ValueError where JSON cannot hold the supplement."""
    import json
    from json.encoder import encode_basestring_ascii as quoted  # a dict through dumps: 50 us more where it is not warm

    if supplement is None:
        supplement = ""
    if not isinstance(supplement, str):
        supplement = json.dumps(supplement, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if not (isinstance(event, str) and isinstance(state, str)):
        quoted = json.dumps  # the daemon says what is wrong with it
    text = f'{{"event": {quoted(event)}, "state": {quoted(state)}, "supplement": {quoted(supplement)}, "deferred": '
    text += ("true" if deferred else "false") + (f', "token": {quoted(token)}}}\n' if token else "}\n")
    line = text.encode()
    if len(line) > MAX_LINE:
        raise RaiseError(f"an event of {len(line)} bytes, the limit is {MAX_LINE}", hint="shorten its supplement")
    return line


def parse_answer(line: bytes) -> str:
    """The id in the daemon's answer, "" for an event its rules leave out. Raises RaiseError."""
    return str(read_answer(line).get("id") or "")


def read_answer(line: bytes) -> dict[str, object]:
    """What the daemon answered, if it did what was asked. Raises RaiseError."""
    import json

    try:
        answer = json.loads(line)
        accepted = answer["ok"]
    except (ValueError, KeyError, TypeError) as error:
        raise RaiseError(f"no answer of a Noroshi node daemon: {line[:80]!r}", hint="check the socket path") from error
    if accepted is not True:
        why, again = str(answer.get("error", "refused")), answer.get("busy") is not True
        raise RaiseError(f"refused by the node daemon: {why}", hint=str(answer.get("hint", "")), refused=again)
    return dict(answer)


def socket_path(config: str | None = None) -> str:
    """Where the node daemon listens; `config` is a node file that goes before NOROSHI_SOCKET. Raises RaiseError."""
    if config is None and (named := os.environ.get("NOROSHI_SOCKET")):
        return named
    run = setting("run", config)
    return DEFAULT_SOCKET if run is None else os.path.join(run, "agent.sock")  # noqa: PTH118 - pathlib is slow to import


def setting(key: str, config: str | None = None) -> str | None:
    """The directory that a `key: value` line of the node file names; None without a node file that may be read.

    Not a YAML parser, which the standard library lacks: the line starts at the margin, the value is plain or quoted
    text on that line. Relative values count from the file's directory. Raises RaiseError for a file that was named
    and cannot be read, and for one without the line.
    """
    named = config or os.environ.get("NOROSHI_CONFIG")
    path = named or DEFAULT_CONFIG
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            value = next(filter(None, (_value(line, key) for line in file)), None)
    except OSError as error:
        if not named:
            return None
        raise RaiseError(f"cannot read the node file {path}: {error.strerror}", hint="check NOROSHI_CONFIG") from error
    if value is None:
        raise RaiseError(f"no `{key}:` line in {path}", hint="write it on a line of its own, or set NOROSHI_SOCKET")
    return os.path.join(os.path.dirname(os.path.abspath(path)), value)  # noqa: PTH100, PTH118, PTH120 - as above


def _value(line: str, key: str) -> str | None:
    head, colon, rest = line.partition(":")
    if not colon or head.strip(" \"'") != key or head[0].isspace() or not rest[:1].isspace():
        return None
    rest = rest.strip()
    if rest[:1] in ("'", '"'):
        return rest[1:].partition(rest[0])[0]
    return rest.partition(" #")[0].strip()


def _connect(path: str, timeout: float) -> sockets.socket:
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise _unreachable(path, error) from error
    return connection


def _ended(connection: sockets.socket) -> bool:
    """True when the other end has closed, or said something nobody asked for: no connection for a new request."""
    import socket

    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _exchange(connection: sockets.socket, line: bytes, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    connection.sendall(line)
    answer = b""
    while not answer.endswith(b"\n"):
        connection.settimeout(_left(deadline))
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError("it closed the connection without an answer")
        answer += piece
        if len(answer) > _MAX_ANSWER:
            raise ConnectionAbortedError("its answer does not end")
    return answer


def _left(deadline: float) -> float:
    """Seconds to the deadline; a passed one raises instead of turning the socket non-blocking."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


async def _ask_async(line: bytes, path: str, timeout: float) -> str:  # noqa: ASYNC109 - as the functions that call it
    import asyncio

    sent = False
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MAX_ANSWER)
            try:
                sent = True
                writer.write(line)
                answer = await reader.readuntil(b"\n")
            finally:
                writer.close()
    except asyncio.IncompleteReadError as error:
        raise _unconfirmed(path, ConnectionResetError("it closed the connection without an answer")) from error
    except asyncio.LimitOverrunError as error:
        raise _unconfirmed(path, ConnectionAbortedError("its answer does not end")) from error
    except OSError as error:
        raise (_unconfirmed if sent else _unreachable)(path, error) from error
    return parse_answer(answer)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error)


def _unreachable(path: str, error: OSError) -> RaiseError:
    hint = "is the node daemon running? NOROSHI_SOCKET or NOROSHI_CONFIG names another place"
    if isinstance(error, PermissionError):
        hint = "raising needs write permission on the socket: join its group"
    return RaiseError(f"cannot reach the node daemon at {path}: {_why(error)}", hint=hint)


def _unconfirmed(path: str, error: OSError) -> RaiseError:
    hint = "the event may be stored all the same; look at the node daemon and raise it again if it matters"
    return RaiseError(f"the node daemon at {path} did not confirm: {_why(error)}", hint=hint, unconfirmed=True)
