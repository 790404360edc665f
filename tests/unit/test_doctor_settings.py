"""The files the doctor goes by, where the shared disk gives nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from noroshi.console.doctor import settings
from noroshi.store.errors import ConfigError, NoroshiError

CLUSTER = "cluster: {}\nnodes:\n  a: {{address: 127.0.0.1, port: 7400}}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cluster.yaml").write_text(CLUSTER.format("copy"))
    (tmp_path / "node.yaml").write_text("node: a\nshared: shared\nstate: state\nrun: run\n")
    return tmp_path / "node.yaml"


def test_the_shared_file_counts(config: Path) -> None:
    (config.parent / "shared" / "cluster.yaml").write_text(CLUSTER.format("shared"))
    found = settings.load(config)
    assert (found.cluster.name, found.trouble) == ("shared", "")
    assert found.digest is not None
    assert len(found.digest) == 64


def test_the_shared_file_is_read_once_by_the_process_that_can_be_given_up(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk hangs between two readings, or the file is replaced: the digest is that of what is gone by."""
    monkeypatch.setattr(settings, "read_within", lambda file, limit: (CLUSTER.format("read").encode(), ""))
    found = settings.load(config)
    assert (found.cluster.name, found.digest is not None) == ("read", True)
    monkeypatch.setattr(settings, "read_within", lambda file, limit: (b"\xff", ""))
    with pytest.raises(ConfigError, match="UTF-8"):
        settings.load(config)


def test_a_disk_that_does_not_answer_is_given_up_for_the_copy(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(config.parent / "shared" / "cluster.yaml")  # whoever opens it waits for a writer
    monkeypatch.setattr(settings, "READ_LIMIT", 0.3)
    began = time.monotonic()
    found = settings.load(config)
    assert time.monotonic() - began < 5
    assert (found.cluster.name, found.digest, found.trouble) == ("copy", None, "no answer for 0.3 s")


def test_a_disk_that_is_not_mounted_is_said_with_its_reason(config: Path) -> None:
    found = settings.load(config)
    assert found.cluster.name == "copy"
    assert "No such file" in found.trouble
    (config.parent / "state" / "cluster.yaml").unlink()
    with pytest.raises(NoroshiError, match="mount the shared directory"):
        settings.load(config)
