"""Measuring the shared disk from the nodes that run: each writes, locks and renames in turn, the others look.

Role: `measure` has the nodes do the steps (`node.wire.probing`) and says what they show: a `Check` for each promise
of design section 3, What the disk must give.
Rules: what needs two nodes and has one is not measured, never OK. A node whose disk does not answer is named once and
left out of the rest. Whatever happens, the nodes are asked to remove their files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from noroshi.console.doctor.asking import Round
from noroshi.console.doctor.check import Check, failed, listed, not_measured, ok, warning
from noroshi.console.doctor.filesystems import EXTERNAL, bad_options, doubts, family_of, late_writes
from noroshi.node.wire.panel import Panel
from noroshi.node.wire.probing import (
    Clear,
    Done,
    Found,
    Kill,
    Link,
    Locate,
    Located,
    Lock,
    Read,
    Replace,
    Replaced,
    Step,
    Sync,
    Synced,
    Tried,
    TryLock,
    Unlock,
    Watch,
    Watched,
    Write,
)
from noroshi.store.config import NodeAddress

VERSIONS = 8
"""Versions of a file that each node writes and the others read."""
RENAMING, SYNCING = 0.6, 0.4
"""Seconds for all nodes together."""
ACTORS, RENAMERS = 8, 3
"""Nodes that write and lock, and that rename, however many there are; the others look."""
FREED_WITHIN = 5.0
"""Seconds a lock may take to come free; longer, and a take-over waits longer than that too."""
SLOW = 0.05
"""Seconds: with a slower median fsync everything waits, for each acknowledgement stands behind one."""
LITTLE = 64 * 1024 * 1024
"""Bytes of free space that are too few."""

_SHOWN = 3
_HUNG = "see the kernel's messages (dmesg) and the disk's server; while it hangs the node can neither lead nor read"


def measure(panel: Panel, nodes: Sequence[NodeAddress]) -> list[Check]:
    """Every check of the disk, by those of `nodes` whose disk answers."""
    if not nodes:
        return [not_measured("disk", "no node daemon answers", "start 'noroshi node' and ask again")]
    around = Round(panel, nodes)
    try:
        return list(Disk(around).checks())
    finally:
        around.all(Locate(), Located)  # one that was killed removes at its next beginning what it left
        around.all(Clear(), Done)


class Disk:
    """One measurement."""

    def __init__(self, around: Round) -> None:
        self._round = around
        self._located: dict[str, Located] = {}

    def checks(self) -> Iterator[Check]:
        """In this order: later ones use the files of earlier ones."""
        self._located = self._round.all(Locate(), Located)
        troubles = self._round.troubles()
        if troubles:
            hint = "the shared directory must be there, and belong to the user the daemons run as, on every node"
            yield failed("disk usable", _some(troubles), hint)
        self._round.nodes = [node for node in self._round.nodes if node.name in self._located]
        if self._round.nodes:
            yield self._file_system()
            yield from self._aside()
            yield from self._unfit()
            yield self._fresh_open()
            yield self._links()
            yield self._rename()
            yield self._fsync()
            yield self._locks()
            yield self._freed()
            yield self._fencing()
        yield from (failed(f"disk of {name}", why, _HUNG) for name, why in self._round.hung.items())
        for name in self._round.busy:
            yield not_measured(f"disk of {name}", "another doctor measures there", "wait until it has ended")

    # --- what it is -----------------------------------------------------------------------------------------------

    def _file_system(self) -> Check:
        kinds = {f"{at.kind} {at.source}" for at in self._located.values()}
        free = min(at.free for at in self._located.values())
        where = f"{listed(sorted(kinds))}, {free / 1e9:.1f} GB free, seen from {self._hosts()}"
        figures = {"nodes": {name: _figures(at) for name, at in self._located.items()}}
        bad = [f"{name}: {option}" for name, at in self._located.items() for option in bad_options(at)]
        if not self._one_host and any(family_of(at.kind).local for at in self._located.values()):
            bad.append("a local file system is not shared by several hosts")
        if bad:
            return failed("file system", f"{where}; {_some(bad)}", self._cure(), **figures)
        unsure = [f"{name}: {doubt}" for name, at in self._located.items() for doubt in doubts(at)]
        if unsure:
            return warning("file system", f"{where}; {_some(unsure)}", self._cure(), **figures)
        if free < LITTLE:
            return warning("file system", where, "make room: nothing is acknowledged on a full disk", **figures)
        return ok("file system", where, **figures)

    def _aside(self) -> Iterator[Check]:
        """What was kept when a database was damaged takes room until somebody removes it."""
        most = max(self._located.values(), key=lambda at: at.aside)
        if most.aside:
            files = "1 file" if most.aside == 1 else f"{most.aside} files"
            what = f"{files} of {most.aside_size / 2**20:.1f} MiB together, the newest {most.aside_newest}"
            hint = "`sqlite3 FILE .recover` reads a database; nobody else removes them: do it once none is wanted"
            yield warning("kept after damage", what, hint, files=most.aside, bytes=most.aside_size)

    def _unfit(self) -> Iterator[Check]:
        """What nodes said and no coordinator could work on stays until somebody has looked at it."""
        most = max(self._located.values(), key=lambda at: at.unfit)
        if most.unfit:
            items = "1 item" if most.unfit == 1 else f"{most.unfit} items"
            what = f"{items} that no coordinator could work on, the newest aside/{most.unfit_newest}"
            hint = "each file says why, and what it was: tell it who maintains this program, then remove it"
            yield warning("set aside", what, hint, items=most.unfit)

    def _hosts(self) -> str:
        nodes, hosts = len(self._located), len({at.machine for at in self._located.values()})
        return f"{nodes} node{'s' * (nodes != 1)} on {hosts} host{'s' * (hosts != 1)}"

    def _cure(self) -> str:
        return "; ".join(dict.fromkeys(family_of(at.kind).cure for at in self._located.values()))

    @property
    def _actors(self) -> list[NodeAddress]:
        """With nobody to look on there is nothing to show."""
        return self._round.nodes[:ACTORS] if len(self._round.nodes) > 1 else []

    def _alone(self, subject: str) -> Check | None:
        if len(self._round.nodes) > 1:
            return None
        if self._round.hung or self._round.busy:
            if not self._round.nodes:
                return self._nobody(subject)
            return not_measured(subject, "the disk of one node alone answers", "see to the others and ask again")
        return not_measured(subject, "only one node runs", "start another node and ask again")

    def _nobody(self, subject: str) -> Check:
        return not_measured(subject, "no node's disk answers any more", "see to the disks and ask again")

    # --- between nodes --------------------------------------------------------------------------------------------

    def _fresh_open(self) -> Check:
        """Each node's file is looked for before it is there, then written in growing and shrinking versions."""
        wrong, reads = list[str](), 0
        for writer in self._actors:
            self._round.others(writer, Read(writer.name), Found)
            for number in range(1, VERSIONS + 1):
                if not self._round.one(writer, Write(number), Done):
                    break
                found = self._round.others(writer, Read(writer.name), Found)
                reads += len(found)
                wrong += [
                    f"{name} {_saw(at, number)} of {writer.name}" for name, at in found.items() if _is_not(at, number)
                ]
        alone = self._alone("fresh open")
        troubles = self._round.troubles()
        figures = {"reads": reads, "wrong": len(wrong)}
        if wrong or troubles:
            what = f"{len(wrong)} of {reads} reads wrong: " if wrong else ""
            return failed("fresh open", what + _some(wrong + troubles), f"{self._one_disk()}{self._cure()}", **figures)
        return alone or ok("fresh open", f"{reads} reads between nodes, each what another had fsynced", **figures)

    def _one_disk(self) -> str:
        same = len({at.source for at in self._located.values()}) == 1
        return "" if same else "see first that 'shared' is one and the same disk on every node; "

    def _links(self) -> Check:
        self._round.all(Write(1), Done)
        linked = self._round.all(Link(), Done)
        wrong, seen = list[str](), 0
        for node in [node for node in self._actors if node.name in linked]:
            found = self._round.others(node, Read(node.name, "link"), Found)
            seen += len(found)
            wrong += [f"{name} {_saw(at, 1)} of {node.name}" for name, at in found.items() if _is_not(at, 1)]
        troubles = self._round.troubles()
        figures = {"links": len(linked), "seen": seen, "wrong": len(wrong)}
        if wrong or troubles:
            hint = "a take-over needs hard links: choose a file system that has them"
            return failed("hard links", _some(wrong + troubles), hint, **figures)
        seen_by = f", {seen} times seen from another node" if seen else ""
        return ok("hard links", f"{len(linked)} made{seen_by}; a name that was taken stayed", **figures)

    def _rename(self) -> Check:
        """Each of some nodes replaces a file all the time while the others read it."""
        renamers = self._actors[:RENAMERS]
        seconds = RENAMING / max(1, len(renamers))
        counts, wrong = {"renames": 0, "reads": 0, "missing": 0, "torn": 0, "errors": 0}, list[str]()
        last = ""
        for node in renamers:
            if not self._round.one(node, Replace(0.0), Replaced):
                continue
            steps: dict[NodeAddress, Step] = dict.fromkeys(self._round.nodes, Watch(node.name, seconds))
            steps[node] = Replace(seconds)
            answers: dict[str, Replaced | Watched] = self._round.ask(steps, (Replaced, Watched))
            for name, seen in answers.items():
                _count(counts, seen)
                if isinstance(seen, Watched):
                    last = seen.error or last
                    wrong += [f"{name} reading {node.name}'s: {found}" for found in _misread(seen)]
        return self._renamed(counts, wrong, last)

    def _renamed(self, counts: dict[str, int], wrong: list[str], last: str) -> Check:
        alone, troubles = self._alone("rename"), self._round.troubles()
        if wrong or troubles:
            return failed("rename", _some(wrong + troubles), self._cure(), **counts)
        what = f"{counts['renames']} renames, {counts['reads']} reads meanwhile, none found nothing or half a file"
        if counts["errors"]:
            hint = "a stale handle is read again, so this costs time only; " + self._cure()
            return warning("rename", f"{what}; {counts['errors']} got an error ({last})", hint, **counts)
        return alone or ok("rename", what, **counts)

    def _locks(self) -> Check:
        """Each node holds its locks while the others try, gives them up, and the others obtain them in turn."""
        wrong, refused, slowest = list[str](), 0, 0.0
        for holder in self._actors:
            if not self._round.one(holder, Lock(), Done):
                continue
            for name, tried in self._round.others(holder, TryLock(holder.name), Tried).items():
                wrong += [f"{name} obtained the {kind} that {holder.name} holds" for kind in _obtained(tried)]
                if not tried.flock and not tried.held:
                    wrong.append(f"{name}, opening to read, takes the flock that {holder.name} holds for free")
                refused += not _obtained(tried)
            self._round.one(holder, Unlock(), Done)
            for node in [node for node in self._round.nodes if node is not holder]:
                again = self._round.one(node, TryLock(holder.name, 2.0), Tried)
                if again is not None:
                    slowest = max(slowest, again.seconds)
                    wrong += [f"{node.name} was refused what {holder.name} had released"] * (len(_obtained(again)) < 2)
        alone, troubles = self._alone("locks"), self._round.troubles()
        figures = {"refused": refused, "slowest": round(slowest, 4)}
        if wrong or troubles:
            return failed("locks", _some(wrong + troubles), f"{self._one_disk()}{self._cure()}", **figures)
        what = f"{refused} tries of others refused while held, free to each {slowest * 1000:.1f} ms after the release"
        return alone or ok("locks", f"flock and fcntl: {what}", **figures)

    def _freed(self) -> Check:
        """The process that holds them is killed; when does another node obtain its locks?"""
        alone = self._alone("lock of a killed holder")
        if alone:
            return alone
        holder, other = self._round.nodes[:2]
        locked = self._round.one(holder, Lock(), Done)
        killed = None if locked is None else self._round.one(holder, Kill(), Done)
        tried = None if killed is None else self._round.one(other, TryLock(holder.name, FREED_WITHIN), Tried)
        troubles = self._round.troubles()
        if tried is None and not troubles:  # one of them hangs, which is told of its disk
            return not_measured("lock of a killed holder", f"{holder.name} or {other.name} gave no answer")
        if tried is None or troubles or len(_obtained(tried)) < 2:
            why = _some(troubles) or f"{other.name} did not obtain it within {FREED_WITHIN:g} s"
            return failed("lock of a killed holder", why, "nobody could take the role over; " + self._cure())
        took = f"free to {other.name} {tried.seconds * 1000:.1f} ms after {holder.name}'s process was killed"
        return ok("lock of a killed holder", took, seconds=round(tried.seconds, 4))

    # --- what one node can tell -----------------------------------------------------------------------------------

    def _fencing(self) -> Check:
        """A replaced holder's late writes show only when a node is cut off from its disk: see fencing.py."""
        family = family_of(next(iter(self._located.values())).kind)
        if family.local:
            why = "a local file system fences nobody; on one host a leader that ended is known by its process"
            return not_measured("fencing", why, "" if self._one_host else EXTERNAL)
        known, hint = family.fence
        unsafe = [word for at in self._located.values() for word in late_writes(at)]
        if unsafe:
            return warning("fencing", f"not given: {unsafe[0]}", EXTERNAL)
        why = f"it shows only when a node is cut off from its disk: `noroshi doctor --fence NODE`; {known}"
        return not_measured("fencing", why, hint)

    @property
    def _one_host(self) -> bool:
        return len({at.machine for at in self._located.values()}) == 1

    def _fsync(self) -> Check:
        if not self._round.nodes:
            return self._nobody("fsync")
        seconds = SYNCING / len(self._round.nodes)
        synced = {node.name: self._round.one(node, Sync(seconds), Synced) for node in list(self._round.nodes)}
        medians = {name: each for name, each in synced.items() if each is not None and each.times}
        troubles = self._round.troubles()
        if troubles:
            return failed("fsync", _some(troubles), "see the disk's and the daemons' messages")
        if not medians:
            return self._nobody("fsync")
        rates = [f"{name} {1 / max(each.median, 1e-6):.0f} a second" for name, each in medians.items()]
        figures = {name: {"median": each.median, "longest": each.longest} for name, each in medians.items()}
        longest = max(each.longest for each in medians.values())
        what = f"{listed(rates)} of 4 KiB by the median, the longest took {longest * 1000:.0f} ms"
        if max(each.median for each in medians.values()) > SLOW:
            return warning("fsync", what, "each acknowledgement waits for one: use a faster disk", nodes=figures)
        return ok("fsync", what, nodes=figures)


def _figures(at: Located) -> dict[str, object]:
    return {"type": at.kind, "source": at.source, "mount": at.point, "options": at.options, "free": at.free}


def _is_not(found: Found, number: int) -> bool:
    return not found.whole or found.number != number


def _saw(found: Found, number: int) -> str:
    if found.size < 0:
        return "finds no file"
    what = f"version {found.number}" if found.whole else f"no whole version ({found.size} bytes)"
    return f"read {what} instead of {number}"


def _misread(seen: Watched) -> list[str]:
    """What one watcher found wrong. Errors now and then are stale handles; most of the time they are none."""
    wrong = []
    if seen.missing or seen.torn:
        wrong.append(f"{seen.missing} times nothing, {seen.torn} half, of {seen.reads}")
    if seen.errors * 2 > seen.reads:
        wrong.append(f"{seen.errors} of {seen.reads} readings failed ({seen.error})")
    return wrong


def _obtained(tried: Tried) -> list[str]:
    """The kinds of lock that were obtained."""
    return [kind for kind, obtained in (("flock", tried.flock), ("fcntl lock", tried.fcntl)) if obtained]


def _count(counts: dict[str, int], seen: Replaced | Watched) -> None:
    if isinstance(seen, Replaced):
        counts["renames"] += seen.times
        return
    for name in ("reads", "missing", "torn", "errors"):
        counts[name] += getattr(seen, name)


def _some(troubles: list[str]) -> str:
    more = f"; and {len(troubles) - _SHOWN} more" if len(troubles) > _SHOWN else ""
    return "; ".join(troubles[:_SHOWN]) + more
