"""Whoever starts a daemon may stand in a directory that others write to: no program of ours takes its modules there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import noroshi.store

ROOT = Path(noroshi.store.__file__).resolve().parent.parent


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    for name in ("noroshi/__init__.py", "json.py", "logging.py", "yaml.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("print('planted', flush=True)\nraise SystemExit(9)\n")
    return tmp_path


def test_a_daemon_started_there(planted: Path) -> None:
    code = "import sys; from noroshi.console.main import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, "node", "--config", "none.yaml"]
    done = subprocess.run(command, cwd=planted, capture_output=True, text=True, timeout=30)
    assert "planted" not in done.stdout
    assert "none.yaml" in done.stderr


def test_every_program_that_is_started_by_its_module() -> None:
    found = [
        (file.name, arguments)
        for folder in ("node", "console", "store")
        for file in (ROOT / folder).rglob("*.py")
        for arguments in re.findall(r'sys\.executable,\s*(.*?"-m")', file.read_text(), re.DOTALL)
    ]
    assert len(found) >= 7
    assert {arguments.replace("\n", "").replace(" ", "") for _, arguments in found} == {'"-P","-m"'}
