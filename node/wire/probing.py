"""What `noroshi doctor` asks of a node daemon, on its delivery port (port+1): facts, and steps of a measurement.

Rules: nothing here names a path: a step works on files whose names are made, on the node, of the run's id and of node
names that stand in its cluster file. Sizes and times are bounded by the messages' own types. `AskFacts` touches no
disk; every other step is done on the shared disk by a process of its own (`node.probe`), never by the daemon.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Run = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Node = Annotated[str, Meta(min_length=1, max_length=255)]
OtherNode = Annotated[str, Meta(max_length=255)]
"""Empty: the node that is asked."""
Seconds = Annotated[float, Meta(ge=0, le=5)]
Text = Annotated[str, Meta(max_length=4096)]
Incarnation = Annotated[bytes, Meta(max_length=64)]
Count = Annotated[int, Meta(ge=0)]


# --- asked --------------------------------------------------------------------------------------------------------


class AskFacts(msgspec.Struct, frozen=True, tag="facts"):
    """Who are you, whom do you hear, what is your time."""


class Locate(msgspec.Struct, frozen=True, tag="locate"):
    """On which file system does your shared directory lie? The first step of a run."""


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Write version `number` of your file in place and fsync it; its size changes with the number.

    `of`: that of another node instead, which must be there, as its successor does.
    """

    number: Annotated[int, Meta(ge=1, le=1000)]
    of: OtherNode = ""


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Read a file of the node `of` by a fresh open."""

    of: Node
    file: Literal["data", "moved", "link"] = "data"


class Replace(msgspec.Struct, frozen=True, tag="replace"):
    """Replace your file `moved` by rename, over and over for so many seconds, at least once."""

    seconds: Seconds


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    """Read the file `moved` of the node `of` by fresh opens, over and over for so many seconds."""

    of: Node
    seconds: Seconds


class Lock(msgspec.Struct, frozen=True, tag="lock"):
    """Lock your lock files, each in its way (flock, fcntl), and keep them locked; `of`: those of another node."""

    of: OtherNode = ""


class Unlock(msgspec.Struct, frozen=True, tag="unlock"):
    """Release your locks."""


class TryLock(msgspec.Struct, frozen=True, tag="try-lock"):
    """Try to lock the lock files of `of` for so many seconds; release at once what was obtained."""

    of: Node
    seconds: Seconds = 0.0


class Link(msgspec.Struct, frozen=True, tag="link"):
    """Give your file `data` a second name; then see that a link does not replace what has the name already."""


class Sync(msgspec.Struct, frozen=True, tag="sync"):
    """Append 4 KiB and fsync, over and over for so many seconds."""

    seconds: Seconds


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """End the process that does these steps with SIGKILL, its locks held."""


class Stay(msgspec.Struct, frozen=True, tag="stay"):
    """Touch nothing; the run goes on."""


class Clear(msgspec.Struct, frozen=True, tag="clear"):
    """Remove every file of yours; the run is over."""


DiskStep = Locate | Write | Read | Replace | Watch | Lock | Unlock | TryLock | Link | Sync | Stay | Clear
Step = AskFacts | DiskStep | Kill


class Probe(msgspec.Struct, frozen=True, tag="probe"):
    """One step, asked by the doctor on `node`; all steps of one measurement have one `run`."""

    protocol: int
    cluster: str
    node: Node
    run: Run
    step: Step


# --- answered -----------------------------------------------------------------------------------------------------


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """What a node hears of a peer; `silent` seconds since its last packet, negative where none ever came."""

    node: Node
    state: Text
    incarnation: Incarnation
    sequence: int
    silent: float


class Facts(msgspec.Struct, frozen=True, tag="facts"):
    """`digest` is the SHA-256 of the cluster.yaml the daemon goes by, `keys` that of the public keys (Keyring.digest);
    `now` microseconds UTC; `leader` as it hears."""

    node: Node
    incarnation: Incarnation
    version: Text
    protocol: int
    cluster: Text
    digest: Text
    keys: Text
    now: int
    heard: list[Heard]
    leader: Text
    term: int


class Located(msgspec.Struct, frozen=True, tag="located"):
    """The mount of the shared directory; `machine` tells hosts apart; `lost_locks` is nfs.recover_lost_locks; `aside`:
    how many files are kept there of databases that were damaged, their bytes together, the newest one's name; `unfit`:
    how many items that no coordinator could work on, and the newest one's name."""

    kind: Text
    source: Text
    point: Text
    options: Text
    machine: Text
    free: int
    lost_locks: Text = ""
    aside: Count = 0
    aside_size: Count = 0
    aside_newest: Text = ""
    unfit: Count = 0
    unfit_newest: Text = ""


class Found(msgspec.Struct, frozen=True, tag="found"):
    """A file as it was read: -1 bytes where there is none; `whole`: all of it is of version `number`."""

    size: int
    number: int
    whole: bool


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    times: int


class Watched(msgspec.Struct, frozen=True, tag="watched"):
    """Readings; how many found no file, a file that was not whole, or got an error (the last one in `error`)."""

    reads: int
    missing: int
    torn: int
    errors: int
    error: Text = ""


class Tried(msgspec.Struct, frozen=True, tag="tried"):
    """Which locks were obtained, after how many seconds; `held`: a shared lock by a read-only open was refused."""

    flock: bool
    fcntl: bool
    held: bool
    seconds: float


class Synced(msgspec.Struct, frozen=True, tag="synced"):
    """How many fsyncs, and seconds of one."""

    times: int
    median: float
    longest: float


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done; there is nothing to tell."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It was not done. `hung`: the disk did not answer in time; `busy`: somebody else measures; `disk`: an error."""

    code: Literal["disk", "hung", "busy", "refused"]
    why: Text


DiskAnswer = Located | Found | Replaced | Watched | Tried | Synced | Done | Failed
Answer = Facts | DiskAnswer


class Probed(msgspec.Struct, frozen=True, tag="probed"):
    """The answer to a `Probe`."""

    protocol: int
    answer: Answer
