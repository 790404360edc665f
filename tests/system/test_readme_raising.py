"""The examples of the README's section on raising events, run as they stand there against a real node."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from raisers import NodeThread, short_directory

README = Path(__file__).parents[2] / "README.md"
SOCKET = "/run/noroshi/agent.sock"


@pytest.fixture
def node() -> Iterator[NodeThread]:
    with short_directory() as directory, NodeThread(directory) as node:
        yield node


def examples(language: str) -> list[str]:
    """The code of that language in the section."""
    section = README.read_text().partition("\n## Raising events\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found, f"the README has no example in {language}"
    return found


def run(node: NodeThread, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "NOROSHI_SOCKET": node.socket, "PATH": path}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


def raised(node: NodeThread, *, deferred: bool = False) -> list[tuple[str, str, str]]:
    return [(each.event, each.state, each.supplement) for each in node.stored(deferred)]


@pytest.mark.skipif(not shutil.which("nc"), reason="needs nc")
def test_the_shell_examples(node: NodeThread) -> None:
    command, direct = examples("sh")
    run(node, "sh", "-ec", command)
    assert raised(node) == [("app/orders", "ERROR", "queue is full")]
    assert raised(node, deferred=True) == [("app/printer", "OK", "")]
    assert json.loads(run(node, "sh", "-ec", direct.replace(SOCKET, node.socket)))["ok"] is True
    assert raised(node)[1:] == [("app/orders", "ERROR", "")]


def test_the_python_example(node: NodeThread) -> None:
    for example in examples("python"):
        run(node, sys.executable, "-c", example)
    assert raised(node) == [("app/orders", "ERROR", "queue is full")]


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_c_example(node: NodeThread, tmp_path: Path) -> None:
    (example,) = examples("c")
    (tmp_path / "raise.c").write_text(example.replace(SOCKET, node.socket))
    program = str(tmp_path / "raise")
    run(node, "cc", "-Wall", "-Wextra", "-Werror", "-o", program, f"{program}.c")
    run(node, program)
    assert raised(node) == [("app/orders", "ERROR", "queue is full")]
