"""The daemon's part in a doctor's round: tells what it knows, and has the steps on the shared disk done (design 6).

Rules: the loop never touches the shared disk. A process of its own does (`node.probe`), one at a time, for one run at
a time; where it gives no answer within the step's time it is killed and given up, and while the kernel does not let
it end no other is started, so that a hung disk costs one process. A run that nobody asks for any more ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from noroshi.node.core.membership import Membership
from noroshi.node.wire import codec
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.probing import (
    Answer,
    AskFacts,
    Clear,
    DiskAnswer,
    DiskStep,
    Done,
    Facts,
    Failed,
    Kill,
    Locate,
    Probe,
    Probed,
    TryLock,
)
from noroshi.store.clock import now_us
from noroshi.store.config import Cluster, NodeConfig

log = logging.getLogger(__name__)

LIMIT = 5.0
"""Seconds that a step may take beyond those it was asked for."""
IDLE = 30.0
"""Seconds without a step after which a run is over: its doctor was interrupted."""
MOST_WAITING = 16
"""Steps that wait for their turn; a doctor asks for one at a time."""
_ENDS_WITHIN = 2.0


@dataclass
class _Run:
    name: str
    process: asyncio.subprocess.Process
    splitter: Splitter
    idle: asyncio.TimerHandle | None = None


class Prober:
    """Answers every `Probe`; `close` when the daemon ends."""

    def __init__(
        self,
        node: NodeConfig,
        cluster: Cluster,
        incarnation: bytes,
        membership: Membership,
        keys: Keyring | None = None,
    ) -> None:
        """Reads the daemon's own copy of the cluster file."""
        self._node, self._cluster, self._incarnation = node, cluster, incarnation
        self._membership, self._keys = membership, keys
        self._digest = _digest(node.state / "cluster.yaml")
        self._version = _version()
        self._run: _Run | None = None
        self._stuck: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._expiring: set[asyncio.Task[None]] = set()

    async def answer(self, probe: Probe) -> Probed:
        """The step's answer; never raises for what was asked or what the disk did."""
        return Probed(PROTOCOL, self._refused(probe) or await self._answer(probe))

    async def close(self) -> None:
        if self._run is not None:
            await self._end(self._run)
        await asyncio.gather(*self._expiring, return_exceptions=True)

    def _refused(self, probe: Probe) -> Failed | None:
        if probe.protocol != PROTOCOL:
            return Failed("refused", f"protocol {probe.protocol}; node {self._node.node} speaks {PROTOCOL}")
        if probe.cluster != self._cluster.name:
            return Failed("refused", f"node {self._node.node} belongs to cluster {self._cluster.name!r}")
        of = getattr(probe.step, "of", "") or self._node.node
        if of not in self._cluster.names or (isinstance(probe.step, TryLock) and of == self._node.node):
            return Failed("refused", f"no other node {of[:64]!r} in the cluster file of {self._node.node}")
        return None

    async def _answer(self, probe: Probe) -> Answer:
        if isinstance(probe.step, AskFacts):
            return self._facts()
        if self._waiting >= MOST_WAITING:
            return Failed("busy", f"{self._waiting} steps wait already")
        self._waiting += 1
        try:
            async with self._turn:
                if isinstance(probe.step, Kill):
                    return await self._kill(probe.run)
                return await self._do(probe.run, probe.step)
        finally:
            self._waiting -= 1

    def _facts(self) -> Facts:
        now = time.monotonic()
        leader = self._membership.leader(now)
        return Facts(
            node=self._node.node,
            incarnation=self._incarnation,
            version=self._version,
            protocol=PROTOCOL,
            cluster=self._cluster.name,
            digest=self._digest,
            keys=self._keys.digest if self._keys else "",
            now=now_us(),
            heard=self._membership.hearing(now),
            leader=leader.node if leader else "",
            term=leader.term if leader else 0,
        )

    # --- on the disk ----------------------------------------------------------------------------------------------

    async def _do(self, name: str, step: DiskStep) -> DiskAnswer:
        run = self._run
        if run is None or run.name != name:
            if run is not None:
                return Failed("busy", "another doctor measures here; wait until it has ended")
            if not isinstance(step, Locate):
                return Failed("refused", "no such run is under way here: it was given up, or interrupted")
            if self._stuck is not None and self._stuck.returncode is None:
                return Failed("hung", f"an earlier probe, process {self._stuck.pid}, still waits for the disk")
            try:
                run = await self._begin(name)
            except OSError as error:
                return Failed("refused", f"cannot start the process that measures: {error.strerror or error}")
        try:
            return await self._step(run, step)
        finally:
            if self._run is run:
                self._postpone(run)

    async def _begin(self, name: str) -> _Run:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "noroshi.node.probe",
            *(str(self._node.shared), self._node.node, name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd="/",
        )
        log.info("a doctor measures the shared disk, by process %d", process.pid)
        self._run = _Run(name, process, Splitter())
        return self._run

    async def _step(self, run: _Run, step: DiskStep) -> DiskAnswer:
        if run.idle is not None:
            run.idle.cancel()
        limit = LIMIT + float(getattr(step, "seconds", 0.0))
        try:
            async with asyncio.timeout(limit):
                answer = await _exchange(run, step)
        except TimeoutError:
            await self._end(run)
            return Failed("hung", f"the shared disk gave no answer within {limit:g} s")
        except (OSError, BadMessage, asyncio.IncompleteReadError) as error:
            await self._end(run)
            return Failed("disk", f"the process that measures ended: {type(error).__name__}")
        if isinstance(step, Clear):
            await self._end(run)
        return answer

    async def _kill(self, name: str) -> DiskAnswer:
        run = self._run
        if run is None or run.name != name:
            return Failed("refused", "no such run is under way here")
        await self._end(run)
        return Done()

    async def _end(self, run: _Run) -> None:
        """Kill the process; one that the kernel holds back is remembered and given up."""
        if run.idle is not None:
            run.idle.cancel()
        self._run = None
        with contextlib.suppress(ProcessLookupError):
            run.process.kill()
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                await run.process.wait()
        except TimeoutError:
            self._stuck = run.process
            log.error("process %d, which measured the shared disk, cannot be ended: the disk hangs", run.process.pid)

    def _postpone(self, run: _Run) -> None:
        run.idle = asyncio.get_running_loop().call_later(IDLE, self._begin_expiring, run)

    def _begin_expiring(self, run: _Run) -> None:
        task = asyncio.create_task(self._expire(run))
        self._expiring.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._expiring.discard)

    async def _expire(self, run: _Run) -> None:
        async with self._turn:
            if self._run is run:
                await self._step(run, Clear())


async def _exchange(run: _Run, step: DiskStep) -> DiskAnswer:
    """Raises OSError, IncompleteReadError, BadMessage."""
    stdin, stdout = run.process.stdin, run.process.stdout
    if stdin is None or stdout is None:
        raise BrokenPipeError("no pipes to the process")
    stdin.write(frame(codec.encode(step)))
    await stdin.drain()
    while data := await stdout.read(65536):
        for message in run.splitter.feed(data):
            return codec.disk_answers.decode(message)
    raise asyncio.IncompleteReadError(b"", None)


def _digest(copy: Path) -> str:
    """Empty where there is none."""
    try:
        return hashlib.sha256(copy.read_bytes()).hexdigest()
    except OSError:
        return ""


def _version() -> str:
    try:
        return metadata.version("noroshi")
    except metadata.PackageNotFoundError:
        return "(not installed)"
