"""What the tests of the monitors share: options, file trees that stand for hardware, programs that stand for others."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from noroshi.node.monitors.observation import Monitor
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Finished
from noroshi.store.config.monitors import defaults


def options(monitor: str, root: Path = Path("/nowhere"), **changes: object) -> Options:
    """The defaults of one monitor, changed."""
    values = defaults()[monitor]
    if "root" in values:
        values["root"] = root
    assert changes.keys() <= values.keys(), "an option that the node file does not know"
    return Options({**values, **changes})


def tree(root: Path, files: Mapping[str, str | int | None]) -> Path:
    """Write files below `root`; None makes a directory, a text that begins with -> a link."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
        else:
            path.write_text(f"{content}\n")
    return root


def without(root: Path, *names: str) -> None:
    """Take away what `tree` made."""
    for name in names:
        shutil.rmtree(root / name)


def seen(monitor: Monitor, now: float = 0.0) -> dict[str, tuple[str, str]]:
    """One look: name -> state and supplement."""
    return {each.name: (each.state, each.supplement) for each in monitor.observe(now)}


class FakeRun:
    """Stands for `Programs.run`: gives what was put into `answers` by a word of the arguments, notes the calls."""

    def __init__(self, answers: Mapping[str, Finished | Exception] | None = None) -> None:
        self.answers = dict(answers or {})
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str], limit: float) -> Finished:
        assert limit > 0
        self.calls.append(list(arguments))
        for word in reversed(arguments):
            if word in self.answers:
                answer = self.answers[word]
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return Finished(0, "")
