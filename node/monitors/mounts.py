"""The mounted file systems that live on block devices, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

from dataclasses import dataclass

_READ_ONLY_KINDS = frozenset({"iso9660", "squashfs", "erofs"})


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo, as far as it matters. `number` is the device's major:minor."""

    point: str
    kind: str
    device: str
    number: str
    read_only: bool
    emergency: bool


def parse(text: str) -> list[Mount]:
    """mountinfo's text -> the mounts of block devices, each mount point once (the last mount covers the others)."""
    found: dict[str, Mount] = {}
    devices: set[str] = set()
    for line in text.splitlines():
        mount = _parse_line(line)
        if mount is None or not mount.device.startswith("/dev/") or mount.kind in _READ_ONLY_KINDS:
            continue
        if mount.device in devices and mount.point not in found:
            continue  # a bind mount of a file system already seen
        devices.add(mount.device)
        found[mount.point] = mount
    return list(found.values())


def _parse_line(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not separator or len(left) < 6 or len(right) < 3:
        return None
    options, super_options = left[5].split(","), right[2].split(",")
    return Mount(
        point=unescape(left[4]),
        kind=right[0],
        device=unescape(right[1]),
        number=left[2],
        read_only="ro" in options or "ro" in super_options,
        emergency="emergency_ro" in super_options or "emergency_ro" in options,
    )


def unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal escapes."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
