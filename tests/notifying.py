"""Helpers for the notifier's tests: jobs, messages, programs, and the C receiver of a System V queue."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from waiting import Patience

from noroshi.node.notifier.procedure import Job, to_job
from noroshi.node.wire.messages import PROTOCOL, Deliver
from noroshi.store.config import NodeConfig, NotifierConfig
from noroshi.store.model import Application, Procedure

T = TypeVar("T")

CLUSTER = "demo"
FIELDS = {
    "event": "raid/db1/md0",
    "state": "DEGRADED",
    "supplement": "sdb1 lost",
    "category": "maintenance",
    "node": "db1",
    "observed_at": "2026-11-22T03:04:05.000006Z",
    "definition": "disk-trouble",
}


def run(work: Coroutine[Any, Any, T], timeout: float = 30.0) -> T:
    """Run on an event loop of its own, bounded."""
    return asyncio.run(asyncio.wait_for(work, timeout))


async def until(describe: str, predicate: Callable[[], T], limit: float = 20.0) -> T:
    """As waiting.wait_until, for a test that is on the event loop itself."""
    patience = Patience(limit)
    while not (seen := predicate()):
        assert not patience.over, f"not within {limit} s: {describe}"
        await asyncio.sleep(0.01)
    return seen


def deliver(
    procedure: Procedure, application: Application = None, *, fields: dict[str, Any] | None = None, **changes: Any
) -> Deliver:
    """A delivery with a new random id; `changes` replace members."""
    message = Deliver(
        protocol=PROTOCOL,
        cluster=CLUSTER,
        term=1,
        delivery=uuid.uuid4().hex,
        procedure=procedure,
        application=application,
        wait="exited",
        reply="none",
        timeout=10.0,
        payload=json.dumps(FIELDS if fields is None else fields).encode(),
    )
    return msgspec.structs.replace(message, **changes)


def job(application: Application, *, fields: dict[str, Any] | None = None, **changes: Any) -> Job:
    """A job as a procedure gets it."""
    message = deliver("process", application, fields=fields, **changes)
    return to_job(message, application)


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no such file yet."""
    return path.stat().st_size if path.exists() else 0


def program(path: Path, body: str, interpreter: str = "/bin/sh") -> str:
    """An executable script; its path."""
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o755)
    return str(path)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that other users may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def node_config(tmp_path: Path, *programs: str, **changes: Any) -> NodeConfig:
    """The configuration of a node db1 whose directories lie under tmp_path; `changes` are the notifier's."""
    return NodeConfig(
        file=tmp_path / "node.yaml",
        node="db1",
        shared=tmp_path / "shared",
        state=tmp_path / "state",
        run=tmp_path / "run",
        notifier=NotifierConfig(programs=programs, **changes),
    )


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def open_descriptors() -> set[str]:
    """This process's own descriptors, but for the one that lists them."""
    return {each.name for each in list(Path("/proc/self/fd").iterdir()) if each.is_symlink()}


RECEIVER_C = r"""
/* receiver KEY TYPE COUNT [ANSWER]: creates the queue, prints COUNT messages of TYPE, one a line, answers each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>

struct message { long type; char text[8192]; };

int main(int argc, char **argv)
{
    static struct message in, out;
    key_t key = (key_t)strtoul(argv[1], NULL, 0);
    int queue = msgget(key, IPC_CREAT | 0600), left = atoi(argv[3]);
    if (queue < 0) { perror("msgget"); return 1; }
    printf("ready\n");
    fflush(stdout);
    while (left--) {
        ssize_t size = msgrcv(queue, &in, sizeof in.text, atol(argv[2]), 0);
        if (size < 0) { perror("msgrcv"); return 1; }
        printf("%.*s\n", (int)size, in.text);
        fflush(stdout);
        if (argc > 4) {
            in.text[size < (ssize_t)sizeof in.text ? size : size - 1] = 0;
            const char *found = strstr(in.text, "\"reply_type\":");
            if (!found) { fprintf(stderr, "no reply_type\n"); return 1; }
            out.type = atol(found + strlen("\"reply_type\":"));
            strcpy(out.text, argv[4]);
            if (msgsnd(queue, &out, strlen(out.text), 0) < 0) { perror("msgsnd"); return 1; }
        }
    }
    return 0;
}
"""


def compile_receiver(folder: Path) -> str:
    """The C receiver, compiled; its path."""
    source, binary = folder / "receiver.c", folder / "receiver"
    source.write_text(RECEIVER_C)
    subprocess.run(["gcc", "-O1", "-Wall", "-o", binary, source], check=True)
    return str(binary)
