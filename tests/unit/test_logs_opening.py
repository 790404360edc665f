"""Which symbolic links among the logs are followed: none by which somebody has others' files read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noroshi.node.logs.opening import StrangersLink, open_log
from noroshi.node.logs.unpackers import BROKEN, unpack

STRANGER, OTHER = 54321, 54322

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make others' files")


def made(path: Path, owner: int, *, to: str = "") -> Path:
    """A file, or a link, of that user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if to:
        path.symlink_to(to)
    else:
        path.write_text("secret\n")
    os.lchown(path, owner, owner)
    return path


def opens(path: Path) -> bool:
    try:
        os.close(open_log(str(path)))
    except StrangersLink:
        return False
    return True


@pytest.mark.parametrize("link_of", [0, STRANGER])
@pytest.mark.parametrize("file_of", [0, STRANGER, OTHER])
def test_a_link_of_root_and_one_to_its_makers_own_file_are_followed(tmp_path: Path, link_of: int, file_of: int) -> None:
    made(tmp_path / "file", file_of)
    assert opens(tmp_path / "file")
    assert opens(made(tmp_path / "link", link_of, to="file")) == (link_of in (0, file_of))


def test_wherever_on_the_way_it_lies(tmp_path: Path) -> None:
    secret = made(tmp_path / "root" / "secret.log", 0)
    made(tmp_path / "app" / "directory", STRANGER, to=str(secret.parent))
    assert not opens(tmp_path / "app" / "directory" / "secret.log")
    made(tmp_path / "app" / "one", STRANGER, to="../root/secret.log")
    made(tmp_path / "app" / "two", 0, to=str(tmp_path / "app" / "one"))
    assert not opens(tmp_path / "app" / "two")
    made(tmp_path / "app" / "honest", 0, to="../app/./../root")
    assert opens(tmp_path / "app" / "honest" / "secret.log")


def test_a_link_that_is_swapped_for_an_honest_file_while_it_is_opened_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, log = made(tmp_path / "secret", 0), tmp_path / "app" / "app.log"
    made(log, STRANGER, to=str(secret))
    real = os.open

    def swapped(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        descriptor = real(path, flags, dir_fd=dir_fd)
        if path == str(log):
            log.unlink()
            made(log, STRANGER)
        return descriptor

    monkeypatch.setattr("noroshi.node.logs.opening.os.open", swapped)
    with pytest.raises(FileNotFoundError, match="moved while"):
        open_log(str(log))


@contextmanager
def elsewhere(directory: Path, *, owner: int = 0) -> Iterator[Path]:
    """The directory as a process of that user sees it, which has another disk mounted there with one file."""
    mount = 'mount -t tmpfs none "$1" && echo hello > "$1"/app.log && exec setpriv --reuid "$2" sh -c "echo ready; cat"'
    asked = ["unshare", "--mount", "sh", "-c", mount, "sh", str(directory), str(owner)]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Path(f"/proc/{process.pid}/root{directory}")
        process.stdin.close()


def test_what_only_another_mount_namespace_has_is_read_and_looked_at_alike(tmp_path: Path) -> None:
    with elsewhere(tmp_path) as there:
        assert not (tmp_path / "app.log").exists()
        assert opens(there / "app.log")
        (there / "relative").symlink_to("../" + tmp_path.name + "/app.log")
        assert opens(there / "relative")
        assert opens(made(tmp_path / "into", 0, to=str(there)) / "app.log")
        assert not opens(made(there / "strange", STRANGER, to="app.log"))
    with elsewhere(tmp_path, owner=STRANGER) as there:
        assert not opens(there / "app.log"), "its user may have mounted there what it likes"


def test_what_a_process_has_open_is_read_though_its_name_is_gone(tmp_path: Path) -> None:
    log = made(tmp_path / "app.log", 0)
    with log.open() as file:
        log.unlink()
        assert opens(Path(f"/proc/self/fd/{file.fileno()}"))


def test_what_is_compressed_is_no_exception(tmp_path: Path) -> None:
    made(tmp_path / "secret.gz", 0)
    with pytest.raises(BROKEN, match=f"link of user {STRANGER}"):
        unpack(str(made(tmp_path / "app.log.1.gz", STRANGER, to="secret.gz")))
