"""A coordinator whose shared disk stops answering: `python hung_disk.py NODE_FILE GATE LIMIT`.

While the file GATE exists, SQLite's fsync of the log waits, as on a network disk whose server is away. LIMIT in
seconds takes the place of the watchdog's.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from hooked import HookedVFS

from noroshi.node.coordinator import app, watchdog
from noroshi.store import writer


def main() -> int:
    gate = Path(sys.argv[2])

    def before(what: str, path: str) -> None:
        while what == "sync" and path.endswith("-wal") and gate.exists():
            time.sleep(0.05)

    hooked = HookedVFS("test-hung", "unix", before=before)
    writer.VFS = hooked.name
    watchdog.DISK_LIMIT = float(sys.argv[3])
    return app.run(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
