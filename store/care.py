"""`python -m noroshi.store.care check DIR`, `… backup DIR KEEP`: the coordinator's helper, a process of its own.

Role: reads the live database as any reader does, so that neither intake nor the database's locks know of it; says what
came of it as one JSON object on standard output: {"damage": why}, {"failed": why} or {"done": what}.
Rules: low priority in CPU and disk, with a pause after each piece as long as the piece took; it ends when its standard
input does, so that no helper outlives its coordinator.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from noroshi.store.backup import DamagedCopy, write_automatic
from noroshi.store.checking import check
from noroshi.store.damage import verify
from noroshi.store.errors import DamagedRead, NoroshiError
from noroshi.store.layout import Layout


def main(arguments: list[str]) -> int:
    """0, also where damage was found."""
    what, directory, *rest = arguments
    os.umask(0o077)
    threading.Thread(target=_end_with_input, daemon=True).start()
    _be_modest()
    layout = Layout(Path(directory))
    found = _checked(layout) if what == "check" else _backed_up(layout, int(rest[0]))
    print(json.dumps(found), flush=True)
    return 0


def _checked(layout: Layout) -> dict[str, str]:
    begun = time.monotonic()
    try:
        damage = check(layout, pausing())
    except NoroshiError as error:
        return {"failed": str(error)}
    return {"damage": damage} if damage else {"done": f"the database is sound ({time.monotonic() - begun:.1f} s)"}


def _backed_up(layout: Layout, keep: int) -> dict[str, str]:
    begun = time.monotonic()
    try:
        done = write_automatic(layout, keep)
    except DamagedRead as error:
        return {"damage": error.why}
    except DamagedCopy as error:
        damage = verify(layout)
        return {"damage": damage} if damage else {"failed": str(error)}
    except NoroshiError as error:
        return {"failed": str(error)}
    seconds = time.monotonic() - begun
    return {"done": f"{done.path.name}: {done.size / 2**20:.1f} MiB ({seconds:.1f} s)"}


def pausing() -> Callable[[], None]:
    """A function that sleeps for as long as has passed since it last returned, a second at most."""
    last = time.monotonic()

    def pause() -> None:
        nonlocal last
        time.sleep(min(time.monotonic() - last, 1.0))
        last = time.monotonic()

    return pause


def _be_modest() -> None:
    with suppress(OSError, psutil.Error):
        os.nice(10)
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
