"""What every test shares: the helpers beside it are importable, and the machine's own configuration is hidden."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines that test are noisy: no property is judged by the time it takes. Every run tries the same examples, so that a
# change is judged by what it changes; `NOROSHI_EXPLORE=1` looks for new ones.
explore = bool(os.environ.get("NOROSHI_EXPLORE"))
settings.register_profile(
    "noroshi", deadline=None, derandomize=not explore, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("noroshi")

# A shell's background job ignores the keyboard's signals, nohup the terminal's end, and so would everything the tests
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_local_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOROSHI_CONFIG", raising=False)
