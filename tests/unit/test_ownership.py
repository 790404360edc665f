"""Who may change a program besides those it is trusted to."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from noroshi.store.ownership import others_who_may_change, user_of

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
ME = os.geteuid()
STRANGER = 54321


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "bin" / "page"
    file.parent.mkdir()
    file.touch(0o755)
    return file


def test_ones_own_and_roots_in_a_sticky_directory_are_trusted(program: Path) -> None:
    assert others_who_may_change(program, ME) == ""
    program.parent.chmod(0o1777)
    assert others_who_may_change(program, ME) == ""
    assert others_who_may_change(Path("/bin/sh"), STRANGER) == ""
    assert others_who_may_change(program.with_name("missing"), ME) == ""


def test_what_anybody_may_write(program: Path) -> None:
    program.chmod(0o757)
    assert others_who_may_change(program, ME) == f"anybody may write {program}"
    program.chmod(0o775)
    assert others_who_may_change(program, ME) == ""
    program.parent.parent.chmod(0o707)
    assert others_who_may_change(program, ME) == f"anybody may write {program.parent.parent}"


def test_a_link_is_as_good_as_where_it_lies_and_leads(program: Path) -> None:
    link = program.parent.parent / "open" / "link"
    link.parent.mkdir()
    link.symlink_to(program)
    assert others_who_may_change(link, ME) == ""
    link.parent.chmod(0o777)
    assert others_who_may_change(link, ME) == f"anybody may write {link.parent}"
    link.parent.chmod(0o755)
    program.chmod(0o757)
    assert others_who_may_change(link, ME) == f"anybody may write {program}"


@root
def test_a_strangers_program_and_directory(program: Path) -> None:
    os.chown(program, STRANGER, STRANGER)
    assert others_who_may_change(program, 0) == f"{program} belongs to user {STRANGER}"
    assert others_who_may_change(program, STRANGER) == ""
    os.chown(program, 0, 0)
    os.chown(program.parent, STRANGER, STRANGER)
    assert others_who_may_change(program, 0) == f"{program.parent} belongs to user {STRANGER}"


@root
def test_every_directory_and_link_between_the_name_and_the_file_counts(program: Path) -> None:
    """bin/page leads to between/current/page, and current to real: who has `between` says what current is."""
    between, real = program.with_name("between"), program.parent.parent / "real"
    between.mkdir()
    real.mkdir()
    (real / "page").touch(0o755)
    (between / "current").symlink_to("../../real/")
    program.unlink()
    program.symlink_to("between/current/page")
    assert others_who_may_change(program, 0) == ""
    os.chown(between, STRANGER, STRANGER)
    assert others_who_may_change(program, 0) == f"{between} belongs to user {STRANGER}"
    os.chown(between, 0, 0)
    between.chmod(0o1777)
    assert others_who_may_change(program, 0) == ""
    os.chown(between / "current", STRANGER, STRANGER, follow_symlinks=False)
    assert others_who_may_change(program, 0) == f"{between / 'current'} belongs to user {STRANGER}"


def test_links_in_a_circle_and_too_many_lead_nowhere(program: Path) -> None:
    circle = program.with_name("circle")
    circle.symlink_to("circle")
    assert others_who_may_change(circle, ME) == ""
    assert others_who_may_change(circle / "page", ME) == ""
    program.chmod(0o757)
    last = program
    for number in range(41):
        link = program.with_name(f"link{number}")
        link.symlink_to(last)
        last = link
    assert others_who_may_change(program.with_name("link39"), ME) == f"anybody may write {program}"
    assert others_who_may_change(last, ME) == ""


@root
def test_what_may_not_be_looked_at_is_not_taken_for_sound() -> None:
    with TemporaryDirectory() as closed:
        page = Path(closed) / "page"
        page.touch()
        os.seteuid(STRANGER)
        try:
            with pytest.raises(PermissionError) as refused:
                others_who_may_change(page, STRANGER)
        finally:
            os.seteuid(0)
        assert refused.value.filename == str(page)


def test_users() -> None:
    assert (user_of("root"), user_of("no-such-user")) == (0, None)
