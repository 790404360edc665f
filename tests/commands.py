"""The `noroshi` command as a person types it, against a real cluster."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from typing import Any

from cluster import Cluster

from noroshi.console.main import main


def noroshi(cluster: Cluster, node: str, *words: str, status: int = 0) -> str:
    """Standard output of a command on `node`; it must end with `status`."""
    done = subprocess.run(
        [sys.executable, "-m", "noroshi.console.main", "--config", str(cluster.nodes[node].config), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stdout + done.stderr


def noroshi_here(cluster: Cluster, node: str, *words: str) -> str:
    """Likewise, but in this process: where time counts, for another Python takes long to start and to end."""
    with redirect_stdout(io.StringIO()) as said:
        assert main(["--config", str(cluster.nodes[node].config), *words]) == 0
    return said.getvalue()


def at_a_terminal(words: list[str], answer: bytes) -> tuple[str, int]:
    """What a terminal shows of a command that is answered with `answer`, and its exit status."""
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "noroshi.console.main", *words], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # a terminal whose other side is closed
                break
            if not data:
                break
            shown += data
        return shown.decode(errors="replace"), process.wait(30)
    finally:
        os.close(ours)


def noroshi_json(cluster: Cluster, node: str, *words: str, status: int = 0) -> Any:
    """As `noroshi`, with --json: the object, or the list of them where there are several lines."""
    lines = noroshi(cluster, node, *words, "--json", status=status).splitlines()
    values = [json.loads(line) for line in lines]
    return values[0] if len(values) == 1 else values
