"""A disk in memory that is rotated at random, and a reader that lives by the decisions of `position`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from noroshi.node.logs.position import HEAD, Begin, Continue, Decision, End, Fact, Position, digest, reconcile

LOG = "/var/log/app.log"
DEVICE = 7


@dataclass
class Inode:
    """A file; `modified` is the coarse clock of the disk."""

    number: int
    content: bytes = b""
    modified: int = 0


@dataclass
class Disk:
    """One directory. Inode numbers are used again as soon as they may be, as real file systems do."""

    names: dict[str, Inode] = field(default_factory=dict)
    held: list[Inode] = field(default_factory=list)
    """Open in the reader, so their numbers are not free."""
    clock: int = 1
    written: int = 0

    def create(self) -> Inode:
        taken = {inode.number for inode in [*self.names.values(), *self.held]}
        return Inode(next(number for number in range(1, 1000) if number not in taken), b"", self.clock)

    def append(self) -> None:
        inode = self.names.setdefault(LOG, self.create())
        self.written += 1
        inode.content += b"line %d\n" % self.written
        inode.modified = self.clock

    def _shift(self) -> None:
        for number in range(30, 0, -1):
            if f"{LOG}.{number}" in self.names:
                self.names[f"{LOG}.{number + 1}"] = self.names.pop(f"{LOG}.{number}")

    def rename(self) -> None:
        if LOG in self.names:
            self._shift()
            self.names[f"{LOG}.1"] = self.names.pop(LOG)

    def rename_and_create(self) -> None:
        self.rename()
        self.names.setdefault(LOG, self.create())

    def copy_and_truncate(self) -> None:
        if LOG in self.names:
            self._shift()
            copy = self.create()
            copy.content = self.names[LOG].content
            self.names[f"{LOG}.1"] = copy
            self.names[LOG].content, self.names[LOG].modified = b"", self.clock

    def truncate(self) -> None:
        if LOG in self.names:
            self.names[LOG].content, self.names[LOG].modified = b"", self.clock

    def remove_oldest(self) -> None:
        if len(self.names) > 1:
            del self.names[max(self.names, key=lambda path: (len(path), path))]

    def remove(self) -> None:
        self.names.pop(LOG, None)

    def tick(self) -> None:
        self.clock += 1


@dataclass
class Followed:
    """What the reader holds of one incarnation; `inode` while it is open."""

    position: Position
    read_to: int
    inode: Inode | None = None

    @property
    def is_read(self) -> bool:
        """Whether what it is open on holds nothing that was not read."""
        content = b"" if self.inode is None else self.inode.content
        return len(content) == self.read_to and digest(content[:HEAD]) == self.position.head


class Reader:
    """Reads as the monitor does: incarnations of the source in order, at most so many lines a look."""

    def __init__(self, disk: Disk, wildcard: bool) -> None:
        self.disk, self.wildcard = disk, wildcard
        self.followed: list[Followed] = []
        self.lines: list[bytes] = []
        self.ends: list[End] = []
        self.looked = False

    def facts(self) -> list[Fact]:
        return [
            Fact(
                path,
                DEVICE,
                inode.number,
                len(inode.content),
                inode.modified,
                inode.content[:HEAD],
                wanted=self.wildcard or path == LOG,
                first=not self.looked and (self.wildcard or path == LOG),
            )
            for path, inode in self.disk.names.items()
        ] + [_open(followed) for followed in self.followed if followed.inode not in [None, *self.disk.names.values()]]

    def remove_read(self) -> None:
        """The oldest file that is open and read to its end has no name any more, as one that was compressed."""
        read = [followed.inode for followed in self.followed if followed.is_read]
        rotated = [path for path, inode in self.disk.names.items() if path != LOG and inode in read]
        if rotated:
            del self.disk.names[max(rotated, key=lambda path: (len(path), path))]

    def look(self, most: int, resumed: bool = False) -> None:
        inodes = {inode.number: inode for inode in [*self.disk.held, *self.disk.names.values()]}
        known_now = [replace(f.position, offset=f.read_to) for f in self.followed]
        single = {} if self.wildcard else {LOG: not self.looked}
        for decision in reconcile(known_now, self.facts(), DEVICE, single, resumed=resumed):
            self._apply(decision, inodes)
        self.looked = True
        self.disk.held = [f.inode for f in self.followed if f.inode is not None]
        self._read(most)

    def _apply(self, decision: Decision, inodes: dict[int, Inode]) -> None:
        match decision:
            case Continue(position, found):
                followed = next(f for f in self.followed if f.position.stream == position.stream)
                followed.inode = inodes[found.inode]
                followed.position = replace(
                    position, path=found.path, inode=found.inode, size=found.size, modified=found.modified
                )
            case End(position):
                self.ends.append(decision)
                self.followed = [f for f in self.followed if f.position.stream != position.stream]
            case Begin(source, found, at_end):
                start = found.size if at_end else 0
                born = 1 + max((f.position.born for f in self.followed), default=0)
                position = Position(
                    stream=b"%d" % (1000 * self.disk.written + born),
                    source=source,
                    path=found.path,
                    device=DEVICE,
                    inode=found.inode,
                    head_length=min(found.size, HEAD),
                    head=digest(found.head or b""),
                    offset=start,
                    stored=start,
                    size=found.size,
                    modified=found.modified,
                    born=born,
                )
                self.followed.append(Followed(position, start, inodes[found.inode]))

    def _read(self, most: int) -> None:
        for followed in self.followed:
            if followed.inode is None:
                continue
            content = followed.inode.content
            while most and followed.read_to < len(content):
                end = content.index(b"\n", followed.read_to) + 1
                self.lines.append(content[followed.read_to : end - 1])
                followed.read_to = end
                most -= 1
            head = content[:HEAD]
            followed.position = replace(
                followed.position, head_length=len(head), head=digest(head), size=len(content), offset=followed.read_to
            )

    def restart(self) -> None:
        """Killed and started again: what is open is closed."""
        for followed in self.followed:
            followed.inode = None
        self.disk.held = []


def _open(followed: Followed) -> Fact:
    """What is open and has no name: under the last one that it was seen with."""
    inode, path = followed.inode, followed.position.path
    assert inode is not None
    size, head = len(inode.content), inode.content[:HEAD]
    return Fact(path, DEVICE, inode.number, size, inode.modified, head, named=False)


STEPS: dict[str, Callable[[Disk, Reader], None]] = {
    "append": lambda disk, reader: disk.append(),
    "rename": lambda disk, reader: disk.rename(),
    "rename and create": lambda disk, reader: disk.rename_and_create(),
    "copy and truncate": lambda disk, reader: disk.copy_and_truncate(),
    "tick": lambda disk, reader: disk.tick(),
    "remove what is read": lambda disk, reader: reader.remove_read(),
    "look": lambda disk, reader: reader.look(1000),
    "look and read little": lambda disk, reader: reader.look(1),
    "restart and look": lambda disk, reader: (reader.restart(), reader.look(1000, resumed=True))[1],
    "restart and read little": lambda disk, reader: (reader.restart(), reader.look(1, resumed=True))[1],
}


DESTROYING: dict[str, Callable[[Disk, Reader], None]] = {
    "truncate": lambda disk, reader: disk.truncate(),
    "remove oldest": lambda disk, reader: disk.remove_oldest(),
    "remove": lambda disk, reader: disk.remove(),
}


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=40), st.booleans())
@example(["append", "look", "append", "copy and truncate", "append", "copy and truncate", "append"], False)
@example(["append", "copy and truncate", "look", "append", "copy and truncate", "append", "look"], True)
@example(["look", "append", "rename", "rename", "append", "rename and create", "look"], False)
def test_every_line_that_stayed_on_disk_is_read_once_and_in_order(steps: list[str], wildcard: bool) -> None:
    disk = Disk()
    reader = Reader(disk, wildcard)
    reader.look(1000)
    for step in steps:
        STEPS[step](disk, reader)
    for _ in range(3):
        reader.look(1000)
    assert reader.lines == [b"line %d" % number for number in range(1, disk.written + 1)]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS | DESTROYING)), max_size=40), st.booleans())
def test_where_files_are_destroyed_no_line_is_read_twice_or_early(steps: list[str], wildcard: bool) -> None:
    disk = Disk()
    reader = Reader(disk, wildcard)
    reader.look(1000)
    for step in steps:
        (STEPS | DESTROYING)[step](disk, reader)
    for _ in range(3):
        reader.look(1000)
    numbers = [int(line.removeprefix(b"line ")) for line in reader.lines]
    assert numbers == sorted(set(numbers))
