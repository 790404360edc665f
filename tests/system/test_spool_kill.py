"""A raiser's process killed with SIGKILL at any moment: what was confirmed is there, once, under its own number."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from raisers import next_batch

from noroshi.node.daemon.spool import Spool

CHILD = """
import asyncio, os, sys
from pathlib import Path
from noroshi.node.daemon.spool import Spool

async def raiser(spool, name):
    for count in range(10**9):
        body = f"{name}-{count}-".encode().ljust(2000 + count * 37 % 9000, b".")
        confirmed = await spool.append(body).safe()
        os.write(1, f"{confirmed} {name}-{count}\\n".encode())

async def main():
    spool = await Spool.open(Path(sys.argv[1]), urgent=True)
    await asyncio.gather(*[raiser(spool, f"{sys.argv[2]}.{index}") for index in range(8)])

asyncio.run(main())
"""
ROUNDS = 8


def killed_raiser(directory: Path, name: str, seconds: float) -> list[tuple[str, str]]:
    """(id, name of the item) of everything a child was told is safe before it was killed."""
    command = [sys.executable, "-c", CHILD, str(directory), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(16)]
        time.sleep(seconds)  # how far it comes is the very thing that varies
        child.kill()
        lines += child.stdout.readlines()
    return [(line.split()[0].decode(), line.split()[1].decode()) for line in lines if line.endswith(b"\n")]


async def collect(directory: Path, most: int | None) -> dict[str, str]:
    """Take and acknowledge up to so many batches: id -> name of the item."""
    spool = await Spool.open(directory, urgent=True)
    taken: dict[str, str] = {}
    batches = 0
    while (most is None or batches < most) and (batch := await next_batch(spool)):
        for item in batch.items:
            taken[f"{batch.stream.hex()}-{item.sequence}"] = item.body.rstrip(b".").decode().rstrip("-")
        spool.acknowledge(batch.stream, batch.last)
        batches += 1
    await spool.close()
    return taken


def test_what_was_confirmed_survives_sigkill(tmp_path: Path) -> None:
    chance = random.Random(4)
    confirmed: dict[str, str] = {}
    taken: dict[str, str] = {}
    for number in range(ROUNDS):
        for key, name in killed_raiser(tmp_path / "s", str(number), chance.uniform(0.0, 0.25)):
            assert key not in confirmed, "a number was given twice"
            confirmed[key] = name
        last_round = number == ROUNDS - 1
        for key, name in asyncio.run(collect(tmp_path / "s", None if last_round else chance.randrange(3))).items():
            assert taken.setdefault(key, name) == name, "a number stands for two items"
    assert len(confirmed) > 100
    assert {key: taken.get(key) for key in confirmed} == confirmed
    assert len(set(taken.values())) == len(taken), "an item has two numbers"
