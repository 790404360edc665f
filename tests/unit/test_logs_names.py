"""What names say: wildcards, and the marks that rotation leaves."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.directory import directories_of, last_line_start
from noroshi.node.logs.globs import Glob
from noroshi.node.logs.rotation import compressed, mark_of, readings


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        ("/var/log/a.log", ["/var/log/a.log"], ["/var/log/b.log", "/var/log/a.log.1", "/a.log"]),
        ("/var/log/*.log", ["/var/log/a.log"], ["/var/log/x/a.log", "/var/log/.a.log", "/var/log/a.log.1"]),
        ("/var/*/a.log", ["/var/x/a.log"], ["/var/a.log", "/var/x/y/a.log", "/var/.x/a.log"]),
        ("/var/**/a.log", ["/var/a.log", "/var/x/a.log", "/var/x/y/a.log"], ["/var/.x/a.log", "/a.log"]),
        ("/var/**", ["/var/a", "/var/x/y"], ["/var/.a", "/var", "/var/x.gz"]),
        ("/var/log/app*", ["/var/log/app.log", "/var/log/app.log.1"], ["/var/log/app.log.1.gz", "/var/log/app.xz"]),
        ("/var/log/a.gz", ["/var/log/a.gz"], []),
        ("/var/log/app?.[0-9]", ["/var/log/appx.1"], ["/var/log/app.1", "/var/log/appx.a"]),
        ("/var/log/[!a]*", ["/var/log/b.log"], ["/var/log/a.log"]),
        ("/var/log/[z-a]x", ["/var/log/[z-a]x"], ["/var/log/zx"]),
        ("/var/log/a+b(c).*", ["/var/log/a+b(c).log"], ["/var/log/aab(c).log"]),
        ("/var/log/.h*", ["/var/log/.hidden"], ["/var/log/hidden"]),
        ("/*.log", ["/a.log"], ["/x/a.log"]),
    ],
)
def test_wildcards(pattern: str, found: list[str], not_found: list[str]) -> None:
    glob = Glob(pattern)
    assert [path for path in found if not glob.matches(path)] == []
    assert [path for path in not_found if glob.matches(path)] == []


@given(st.text("ab*?.", min_size=1, max_size=6), st.text("ab.", min_size=1, max_size=6))
def test_within_a_segment_they_are_the_shells(pattern: str, name: str) -> None:
    hidden = name.startswith(".") and not pattern.startswith(".")
    assert Glob(f"/x/{pattern}").matches(f"/x/{name}") == (fnmatch.fnmatchcase(name, pattern) and not hidden)


def test_directories(tmp_path: Path) -> None:
    for name in ("a/b/c", "d", ".hidden/e"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)

    def found(pattern: str) -> list[str]:
        directories = directories_of(Glob(f"{tmp_path}/{pattern}"))
        return sorted({str(Path(directory).relative_to(tmp_path)) for directory in directories})

    assert found("*.log") == ["."]
    assert found("**/x.log") == [".", "a", "a/b", "a/b/c", "d"]
    assert found("*/x.log") == ["a", "d", "loop"]
    assert found("a/**/c/x.log") == ["a/b/c"]
    assert found("missing/x.log") == ["missing"]
    assert list(directories_of(Glob("/*.log"))) == ["/"]


@pytest.mark.parametrize(
    ("name", "base", "kind", "text"),
    [
        ("app.log.1", "app.log", "counter", "1"),
        ("app.1.log", "app.log", "counter", "1"),
        ("messages-20261122", "messages", "date", "20261122"),
        ("app.log-2026-11-22", "app.log", "date", "2026-11-22"),
        ("app.log.2026-11-22", "app.log", "date", "2026-11-22"),
        ("app-2026-11-22.3.log", "app.log", "date", "2026-11-22.3"),
        ("app.log-20261122-1766000000", "app.log", "date", "20261122-1766000000"),
        ("app.log.old", "app.log", "old", "old"),
    ],
)
def test_marks(name: str, base: str, kind: str, text: str) -> None:
    mark = mark_of(base, name)
    assert mark is not None and (mark.kind, mark.text) == (kind, text)


@pytest.mark.parametrize("name", ["app.log", "app.log.1.gz", "app.log.tmp", "1", "", "app"])
def test_names_without_a_mark(name: str) -> None:
    assert readings(name) == ()


def test_ages() -> None:
    def older(first: str, second: str) -> bool | None:
        one, other = mark_of("app.log", first), mark_of("app.log", second)
        assert one is not None and other is not None
        return one.older_than(other)

    assert older("app.log.10", "app.log.9") is True
    assert older("app.log.1", "app.log.2") is False
    assert older("app.log-20261121", "app.log-20261122") is True
    assert older("app.log.1", "app.log-20261122") is None
    assert compressed("app.log.2.gz") and not compressed("app.log.2")


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", 0),
        (b"one\n", 4),
        (b"one\ntwo", 4),
        (b"unfinished", 0),
        (b"x" * 70_000, 70_000),
        (b"a\n" + b"x" * 70_000, 70_002),
    ],
)
def test_the_unfinished_last_line(tmp_path: Path, content: bytes, start: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    assert last_line_start(str(path), len(content)) == start
