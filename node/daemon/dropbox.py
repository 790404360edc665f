"""Takes in what was left in the drop directory while the daemon did not answer (`node.wire.drop`).

Rules: an event is removed only once it is safe in the spool; its token makes sure that one taken in just before a
crash, or answered late over the socket, is not stored again. What cannot be taken is renamed and logged, not deleted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
from pathlib import Path

from noroshi.node.core import raising
from noroshi.node.daemon.groups import SpoolFailed, Ticket
from noroshi.node.daemon.intake import Intake
from noroshi.node.wire import drop
from noroshi.node.wire.raising import BadRequest
from noroshi.store.errors import NoroshiError

PERIOD = 1.0
"""Seconds between two looks."""

_AT_ONCE = 500

_FOR_A_WHILE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

_log = logging.getLogger(__name__)


class DropBox:
    """`directory` is `state/drop`; `group` the id of the group that may leave events besides the daemon's user."""

    def __init__(self, directory: Path, intake: Intake, group: int | None = None) -> None:
        self._directory, self._intake = directory, intake
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if group is not None:
                os.chown(directory, -1, group)
            directory.chmod(drop.MODE)
        except OSError as error:
            why, hint = error.strerror or str(error), "look at the owner and permissions of the state directory"
            raise NoroshiError("cannot make the drop directory", on=str(directory), why=why, hint=hint) from error

    async def run(self) -> None:
        """Look again and again, until cancelled. A trouble is logged when it begins or changes."""
        trouble = ""
        while True:
            try:
                while await self.collect() == _AT_ONCE:
                    continue
                trouble = ""
            except (OSError, SpoolFailed) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    _log.error("what is left in %s has to wait: %s", self._directory, trouble)
            await asyncio.sleep(PERIOD)

    async def collect(self) -> int:
        """Take in the oldest events left there; how many were looked at. Raises OSError, SpoolFailed."""
        paths = await asyncio.to_thread(drop.look, str(self._directory), _AT_ONCE)
        contents = await asyncio.to_thread(_read_all, paths) if paths else {}
        tickets = {path: self._take(path, content) for path, content in contents.items()}
        failures = await asyncio.gather(*map(_settled, tickets.values()))
        safe = [path for path, failure in zip(tickets, failures, strict=True) if failure is None]
        if safe:
            await asyncio.to_thread(self._remove, safe)
        for failure in filter(None, failures):
            raise failure
        return len(paths)

    def _take(self, path: str, content: bytes) -> Ticket | SpoolFailed | None:
        try:
            request = raising.read_object(content)
            observed_at = request.pop("observed_at", None)
            if not isinstance(observed_at, int):
                raise BadRequest("observed_at must be there, in microseconds UTC")
            return self._intake.take_left(raising.read_raise(request), observed_at)
        except BadRequest as error:
            _set_aside(path, f"no event in {path}: {error}")
            return None
        except SpoolFailed as error:
            return error

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            Path(path).unlink(missing_ok=True)
        drop.sync_directory(str(self._directory))


async def _settled(ticket: Ticket | SpoolFailed | None) -> SpoolFailed | None:
    """Why the file has to stay; None when it may go."""
    try:
        if isinstance(ticket, Ticket):
            await ticket.safe()
    except SpoolFailed as error:
        return error
    return ticket if isinstance(ticket, SpoolFailed) else None


def _set_aside(path: str, why: str) -> None:
    """Out of the way, whoever took the name for that: what stayed would hold up all that is behind it.

    Raises OSError.
    """
    kept = f"{path}.refused"
    try:
        Path(path).rename(kept)
    except OSError:
        kept = f"{path}.{secrets.token_hex(4)}.refused"
        Path(path).rename(kept)
    _log.error("%s; kept as %s", why, kept)


def _read_all(paths: list[str]) -> dict[str, bytes]:
    """What can be read. Raises OSError where nothing can for a while."""
    contents = {}
    for path in paths:
        try:
            contents[path] = drop.read(path)
        except OSError as error:
            if error.errno in _FOR_A_WHILE:
                raise
            _set_aside(path, f"cannot read {path}: {error}")
    return contents
