"""How a program is started: with posix_spawn where that can do all of it, else with Popen (spec 4.7).

Role: the one call between a job and a process. Somebody waits for it, and Popen takes a third longer.
Rules: no shell; own session and so own process group; no descriptor of the daemon but the three standard ones; umask
022, current directory /. posix_spawn can set neither of the last two nor a user: it is taken by a thread that has them
of its own (`surroundings`), for programs of the daemon's user. That no other descriptor is inherited then hangs on all
of them being close-on-exec, as Python's own, ZeroMQ's and SQLite's are; `surroundings` marks what the daemon was given.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from noroshi.node.notifier.account import Account

UMASK = 0o022
_CLONE_FS = 0x200
_STANDARD = range(3)

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None)
_thread = threading.local()


def surroundings() -> None:
    """In the thread that starts programs, once: umask and current directory of its own, as the programs want them.

    Where they cannot be had (a container may forbid `unshare`), Popen goes on doing it. Never raises.
    """
    if _libc.unshare(_CLONE_FS):
        return
    try:
        os.umask(UMASK)
        os.chdir("/")
        for entry in Path("/proc/self/fd").iterdir():
            if int(entry.name) not in _STANDARD:
                with suppress(OSError):  # the one that lists them
                    os.set_inheritable(int(entry.name), False)
    except OSError as error:
        _log.warning("programs are started a little slower: %s", error)
    else:
        _thread.own = True


def spawn(
    arguments: Sequence[str], environment: Mapping[str, bytes], stdin: int, account: Account, output: int | None
) -> int:
    """Start it, for the caller to reap; its process id. Without `output` what it prints is thrown away.

    Raises OSError, ValueError.
    """
    if account.switch or not getattr(_thread, "own", False):
        return _popen(arguments, environment, stdin, account, output)
    return os.posix_spawn(
        arguments[0],
        [*arguments],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0), _printing(output), (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
    )


def _printing(output: int | None) -> tuple[int, int, int] | tuple[int, int, str, int, int]:
    if output is None:
        return (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    return (os.POSIX_SPAWN_DUP2, output, 1)


def _popen(
    arguments: Sequence[str], environment: Mapping[str, bytes], stdin: int, account: Account, output: int | None
) -> int:
    printed = subprocess.DEVNULL if output is None else output
    popen = subprocess.Popen(
        arguments,
        stdin=stdin,
        stdout=printed,
        stderr=printed,
        env=environment,
        cwd="/",
        umask=UMASK,
        close_fds=True,
        start_new_session=True,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=account.groups if account.switch else None,
    )
    popen.returncode = 0  # else Popen would complain at its own end that the program still runs, and reap it
    return popen.pid
