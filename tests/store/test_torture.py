"""A short run of the torture program: killed writers, readers, nothing wrong let through, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "bench" / "torture.py"


def test_killed_writers_and_readers(tmp_path: Path) -> None:
    where = ["--writer-dir", str(tmp_path), "--reader-dir", str(tmp_path)]
    command = [sys.executable, str(PROGRAM), "--seconds", "4", "--readers", "2", "--kill", "--json", *where]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(ran.stdout)
    assert result["wrong let through"] == result["acknowledged and lost"] == result["gave up"] == 0, result
    for name in ("reads", "whole checks", "commits", "checkpoints"):
        assert result[name] > 0, result
    assert result["writers killed"] > 3
