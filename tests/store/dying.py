"""A process that dies by SIGKILL just before its n-th effect on the disk, and a way to try every n.

An effect is any system call that another process could see the result of: a write, an fsync, a truncation, a rename,
a link, a removal, by Python or by SQLite, database pages included.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from hooked import HookedVFS
from stores import Say, running

from noroshi.store import takeover_create, writer

_CALLS = ("pwrite", "fsync", "ftruncate", "rename", "link", "unlink", "fchmod")

_registered: list[HookedVFS] = []
"""SQLite knows a VFS as long as its object lives."""


class Countdown:
    """Kills the process at the n-th effect; never for n = 0. `effects` counts them."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.effects = fatal, 0

    def __call__(self, what: str, path: str) -> None:
        self.effects += 1
        if self.effects == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(countdown: Countdown) -> None:
    """Count every effect of this process from now on. For a child that ends soon: nothing is put back."""
    for name in _CALLS:
        setattr(os, name, _counted(name, getattr(os, name), countdown))
    _registered.append(HookedVFS("test-dying", "unix", before=countdown))
    writer.VFS = "test-dying"
    takeover_create.VFS = "test-dying"


def _counted(name: str, call: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        countdown(name, str(args[0]))
        return call(*args, **kwargs)

    return counted


def every_death(history: Callable[[Say], None], prepare: Callable[[], None]) -> Iterator[tuple[int, list[str]]]:
    """Play `history` in a child that dies at its first effect, at its second, … until one lives to the end.

    Yields what each dead one had said before; `prepare` sets the disk up for each.
    """
    for fatal in range(1, 10_000):
        prepare()
        with running(_dying(history, fatal)) as child:
            said = child.rest()
            status = child.wait()
        if status == 0:
            return
        assert status == -signal.SIGKILL, said
        yield fatal, said


def _dying(history: Callable[[Say], None], fatal: int) -> Callable[[Say], None]:
    def play(say: Say) -> None:
        arm(Countdown(fatal))
        history(say)

    return play
