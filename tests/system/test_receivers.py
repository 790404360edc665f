"""The recipes of sample_config/receivers, each with the real receiver it is for, as a new user would try them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sysv_ipc
from cluster import Cluster
from commands import noroshi
from ports import free_ports
from waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("cc", "nc", "socat")), reason="cc, nc and socat are wanted"
    ),
]

RECIPES = Path(__file__).parents[2] / "sample_config" / "receivers"

SENDMAIL = """#!/bin/sh
# Stands in for the local sendmail: takes a mail as `sendmail -t -i` does, and keeps it.
[ "$*" = "-t -i" ] || exit 64
cat >"$(dirname "$0")/mail.txt.new"
mv "$(dirname "$0")/mail.txt.new" "$(dirname "$0")/mail.txt"
"""


class Stand:
    """A node whose definitions are the recipes, their addresses replaced by ones that are free here."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.home = root / "receivers"
        shutil.copytree(RECIPES, self.home)
        self._stack = stack
        self.keys = [random.randrange(0x10000000, 0x7FFFFFFF) for _ in range(2)]
        for key in self.keys:
            stack.callback(_remove_queue, key)
        self.tcp, self.udp = free_ports(2)
        sendmail = self.home / "sendmail"
        sendmail.write_text(SENDMAIL)
        sendmail.chmod(0o755)
        programs = ", ".join(f'"{self.home / name}"' for name in ("page", "mail"))
        self.cluster = stack.enter_context(
            Cluster(root / "c", ("db1",), extra={"db1": f"notifier: {{programs: [{programs}]}}\n"})
        )
        self.unix = self.cluster.nodes["db1"].run / "pager.sock"
        self.cluster.layout.definitions.write_text(self._definitions())
        self.cluster.start()
        self.cluster.await_up()

    def _definitions(self) -> str:
        text = (RECIPES / "definitions-receivers.yaml").read_text()
        for old, new in {
            "/usr/local/lib/noroshi/": f"{self.home}/",
            "/var/log/pages.log": f"{self.home}/pages.log",
            "ops@example.org]": f'ops@example.org, "{self.home}/sendmail"]',
            "key: 0x4e4f524f": f"key: {self.keys[0]:#x}",
            "key: 0x4e4f5250": f"key: {self.keys[1]:#x}",
            "127.0.0.1:9000": f"127.0.0.1:{self.tcp}",
            "127.0.0.1:9001": f"127.0.0.1:{self.udp}",
            "unix:///run/pager.sock": f"unix://{self.unix}",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def receiver(self, *command: str | Path) -> Callable[[], str]:
        """Start one; what it has printed so far."""
        out = self.home / f"out-{len(list(self.home.glob('out-*')))}"
        with out.open("wb") as file:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=file)
        self._stack.callback(_end, process)
        return out.read_text

    def tell(self, recipe: str, supplement: str = "by hand") -> dict[str, str]:
        """Raise its event; the attempt that came of it."""
        name = f"recipe/{recipe}"
        before = len(self.attempts(name))
        self.cluster.raise_on("db1", name, "ERROR", supplement)
        wait_until(f"{name} is told", lambda: len(self.attempts(name)) > before)
        return self.attempts(name)[-1]

    def attempts(self, event: str) -> list[dict[str, str]]:
        ended = [row for row in self.cluster.history() if row.event == event and row.ended_at]
        return [{"outcome": a.outcome or "", "reason": a.reason, "output": a.output} for r in ended for a in r.attempts]


def _remove_queue(key: int) -> None:
    try:
        sysv_ipc.MessageQueue(key).remove()
    except sysv_ipc.ExistentialError:
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with ExitStack() as stack:
        yield Stand(tmp_path_factory.mktemp("recipes"), stack)


@pytest.fixture(scope="module")
def queue(stand: Stand) -> Path:
    program = stand.home / "queue"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, stand.home / "queue.c"], check=True)
    return program


def test_a_shell_script(stand: Stand) -> None:
    attempt = stand.tell("program", "disk 7\x1b[2J gone\nnow")
    assert (attempt["outcome"], attempt["output"].strip()) == ("delivered", "paged storage")
    (line,) = (stand.home / "pages.log").read_text().splitlines()
    assert line.endswith("storage recipe/program ERROR disk 7[2J gonenow ")


def test_a_shell_script_recognises_a_repeat(stand: Stand) -> None:
    words = {"NOROSHI_ID": "ab12", "NOROSHI_EVENT": "e", "NOROSHI_STATE": "s", "NOROSHI_TIME": "t"}
    words |= {"NOROSHI_SUPPLEMENT": "", "NOROSHI_LINE": "", "PATH": "/usr/bin:/bin"}
    command = [stand.home / "page", stand.home / "repeat.log", "ops"]
    said = [subprocess.run(command, env=words, input=b"{}", capture_output=True, check=True).stdout for _ in range(2)]
    assert said == [b"paged ops\n", b"told already\n"]


def test_mail_through_the_local_sendmail(stand: Stand) -> None:
    assert stand.tell("mail", "raid\nBcc: everybody@example.org")["outcome"] == "delivered"
    head, _, body = (stand.home / "mail.txt").read_text().partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    assert headers["To"] == "ops@example.org"
    assert headers["Subject"] == "[noroshi] recipe/mail ERROR"
    assert "Bcc" not in headers
    assert "supplement: raidBcc: everybody@example.org\n" in body
    told = json.loads(body.splitlines()[-1])
    assert headers["Message-ID"].startswith(f"<{told['id']}@")


def test_a_queue_reader_in_c(stand: Stand, queue: Path) -> None:
    missing = stand.tell("queue", "nobody there")
    assert missing["outcome"] == "failed" and "does not exist" in missing["reason"]
    printed = stand.receiver(queue, hex(stand.keys[0]))
    wait_until("it has made the queue", lambda: _has_queue(stand.keys[0]))
    assert stand.tell("queue", "now there")["outcome"] == "delivered"
    told = json.loads(wait_until("printed", printed))
    assert (told["event"], told["supplement"]) == ("recipe/queue", "now there")


def test_a_queue_reader_that_answers(stand: Stand, queue: Path) -> None:
    stand.receiver(queue, hex(stand.keys[1]), "taken by the night shift")
    wait_until("it has made the queue", lambda: _has_queue(stand.keys[1]))
    attempt = stand.tell("answering-queue")
    assert (attempt["outcome"], attempt["output"]) == ("delivered", "taken by the night shift")


def _has_queue(key: int) -> bool:
    try:
        sysv_ipc.MessageQueue(key)
    except sysv_ipc.ExistentialError:
        return False
    return True


def test_nc_on_tcp(stand: Stand) -> None:
    printed = stand.receiver("nc", "-lk", "127.0.0.1", str(stand.tcp))
    _told_in_the_end(stand, "tcp", printed)


def test_socat_on_udp(stand: Stand) -> None:
    printed = stand.receiver("socat", "-u", f"UDP-RECV:{stand.udp},bind=127.0.0.1", "-")
    _told_in_the_end(stand, "udp", printed)


def test_socat_on_a_unix_socket(stand: Stand) -> None:
    printed = stand.receiver("socat", "-u", f"UNIX-LISTEN:{stand.unix},fork", "-")
    wait_until("it listens", stand.unix.exists)
    _told_in_the_end(stand, "unix", printed)


def _told_in_the_end(stand: Stand, recipe: str, printed: Callable[[], str]) -> None:
    """A receiver that has only just been started may not listen yet: raised again until it is told."""
    numbers = iter(range(1000))

    def told() -> str:
        stand.tell(recipe, f"try {next(numbers)}")
        return printed()

    line = wait_until(f"{recipe} is told", told, 20).splitlines()[0]
    assert json.loads(line)["event"] == f"recipe/{recipe}"


def test_each_recipe_can_be_tried_by_command(stand: Stand) -> None:
    said = noroshi(stand.cluster, "db1", "definitions", "test", "to-a-program")
    assert "delivered" in said
    assert "test/to-a-program" in (stand.home / "pages.log").read_text()
