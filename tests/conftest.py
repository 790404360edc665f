"""What every test shares: the helpers beside it are importable, and the machine's own configuration is hidden."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_local_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOROSHI_CONFIG", raising=False)
