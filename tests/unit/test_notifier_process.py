"""Procedure process with real programs: what they are given, how they end, what they leave behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from notifying import FIELDS, is_running, job, open_descriptors, program, public_folder, run, size_of, until
from waiting import Stopwatch, wait_until

from noroshi.node.notifier import account, child
from noroshi.node.notifier.procedure import Job, Outcome, Refused
from noroshi.node.notifier.process import Process
from noroshi.node.notifier.spawn import surroundings
from noroshi.node.worker import Worker

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")


def test_the_thread_that_starts_programs_alone_has_their_surroundings(tmp_path: Path) -> None:
    """The daemon's own umask and directory are nobody else's."""
    before = Path.cwd(), _umask()
    worker = Worker("begins", surroundings)
    assert worker.submit(lambda: (Path.cwd(), _umask())).result(10) == (Path("/"), 0o022)
    worker.shutdown()
    assert (Path.cwd(), _umask()) == before


def test_a_thread_that_cannot_have_them_starts_programs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr("noroshi.node.notifier.spawn.os.chdir", no)
    outcome = result_of(tmp_path, "pwd; umask")
    assert outcome.output == "/\n0022\n"


def _umask() -> int:
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
    return int(status.partition("Umask:\t")[2].partition("\n")[0], 8)


async def checked(procedure: Process, this: Job) -> None:
    waiting = procedure.check(this)
    if waiting is not None:
        await waiting


First = Callable[[], None] | None
WAYS = pytest.mark.parametrize("first", [surroundings, None], ids=["posix_spawn", "popen"])
"""What is done first in the thread that starts programs: without surroundings of its own it has to take Popen."""


async def at_once(procedure: Process, this: Job, first: First = surroundings) -> Outcome:
    """Begun in another thread, as behind the record."""
    ready = procedure.prepare(this)
    if ready.begin is not None:
        worker = Worker("begins", first)
        await asyncio.get_running_loop().run_in_executor(worker, ready.begin)
        worker.shutdown()
    return await ready.run()


async def carried_out(this: Job, folder: Path, user: str | None = None, first: First = surroundings) -> Outcome:
    assert isinstance(this.application, list)
    procedure = Process("db1", [this.application[0]], account.resolve(user), folder)
    await checked(procedure, this)
    try:
        return await at_once(procedure, this, first)
    finally:
        procedure.close()


def result_of(
    tmp_path: Path,
    body: str,
    *arguments: str,
    user: str | None = None,
    first: First = surroundings,
    **changes: object,
) -> Outcome:
    this = job([program(tmp_path / "program", body), *arguments], **changes)  # type: ignore[arg-type]
    return run(carried_out(this, tmp_path, user, first))


@WAYS
def test_the_program_gets_arguments_input_and_variables(tmp_path: Path, first: First) -> None:
    body = f"""
    printf '%s|' "$@" > {tmp_path}/arguments
    cat > {tmp_path}/input
    env > {tmp_path}/environment
    pwd; umask"""
    before = os.umask(0o077)  # the daemon's own
    try:
        outcome = result_of(tmp_path, body, "--team", "", "a b;$(reboot)*\n", delivery="id-7", first=first)
    finally:
        os.umask(before)
    assert (outcome.outcome, outcome.reason, outcome.output) == ("delivered", "exit status 0", "/\n0022\n")
    assert (tmp_path / "arguments").read_text() == "--team||a b;$(reboot)*\n|"
    assert json.loads((tmp_path / "input").read_text()) == FIELDS
    variables = dict(line.partition("=")[::2] for line in (tmp_path / "environment").read_text().splitlines())
    assert variables["NOROSHI_EVENT"] == "raid/db1/md0" and variables["NOROSHI_ID"] == "id-7"
    assert "PYTEST_CURRENT_TEST" not in variables


def test_a_program_not_in_the_list_is_refused(tmp_path: Path) -> None:
    async def check(application: object) -> None:
        procedure = Process("db1", ["/usr/local/bin/page"], account.resolve(None), tmp_path)
        await checked(procedure, job(application))  # type: ignore[arg-type]

    for application, reason in [
        (["/bin/true"], "program /bin/true is not in notifier.programs of node db1: add it there and restart"),
        (["/usr/local/bin/../bin/page"], "is not in notifier.programs"),
        ([], r"is \[program, argument"),
        ("/usr/local/bin/page", r"is \[program, argument"),
        (None, r"is \[program, argument"),
        (["/usr/local/bin/page", "a\0b"], "NUL"),
    ]:
        with pytest.raises(Refused, match=reason):
            run(check(application))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "killed by signal 9 (SIGKILL)"),
        ("kill -40 $$", "killed by signal 40 (real-time)"),
    ],
)
def test_how_it_ended(tmp_path: Path, body: str, reason: str) -> None:
    outcome = result_of(tmp_path, f"echo why >&2; {body}")
    assert (outcome.outcome, outcome.reason, outcome.output) == ("failed", reason, "why\n")


def test_it_cannot_start(tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        outcome = run(carried_out(job([str(path)]), tmp_path))
        assert outcome.outcome == "failed"
        return outcome.reason

    before = open_descriptors()
    assert reason(tmp_path / "absent").startswith("cannot start: No such file or directory (the program or")
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert reason(plain).startswith("cannot start: Permission denied (it must be executable")
    plain.write_text("no program\n")
    plain.chmod(0o755)
    assert reason(plain).startswith("cannot start: Exec format error (a script needs a #! line")
    program(plain, "", interpreter="/no/such/interpreter")
    assert reason(plain).startswith("cannot start: No such file or directory")
    assert reason(tmp_path).startswith("cannot start: Permission denied")
    assert open_descriptors() == before


def test_arguments_too_long(tmp_path: Path) -> None:
    outcome = result_of(tmp_path, "exit 0", "x" * 200_000)
    assert outcome.reason == "cannot start: Argument list too long (the arguments are too long)"


def test_past_its_limit_the_group_gets_term(tmp_path: Path) -> None:
    body = f"sleep 60 & echo $! $$ > {tmp_path}/pids; echo working; wait"
    with Stopwatch() as watch:
        outcome = result_of(tmp_path, body, timeout=1.0)
        assert watch.seconds < 2.2
    assert (outcome.outcome, outcome.reason) == ("failed", "time limit of 1 s: ended by TERM")
    assert outcome.output.startswith("working\n")
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(f"process {pid} is gone", lambda pid=int(pid): not is_running(pid))


def test_one_that_ignores_term_gets_kill(tmp_path: Path) -> None:
    body = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    began = time.monotonic()
    with Stopwatch() as watch:
        outcome = result_of(tmp_path, body, timeout=1.0)
        assert watch.seconds < child.GRACE + 2.7
    assert time.monotonic() - began >= child.GRACE + 1.0
    assert outcome.reason == "time limit of 1 s: ended by KILL"
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_what_ignores_term_in_the_group_of_one_that_does_not(tmp_path: Path) -> None:
    stubborn = program(tmp_path / "stubborn", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done")
    outcome = result_of(tmp_path, f"{stubborn} & while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done; wait", timeout=1.0)
    assert outcome.reason == "time limit of 1 s: ended by TERM"
    pid = int((tmp_path / "pid").read_text())
    wait_until("the stubborn one is gone", lambda: not is_running(pid))


def test_a_grandchild_that_holds_the_output_open_delays_nothing(tmp_path: Path) -> None:
    body = f"sleep 30 & echo $! > {tmp_path}/pid; echo done"
    with Stopwatch() as watch:
        outcome = result_of(tmp_path, body)
        assert watch.seconds < 2
    assert (outcome.reason, outcome.output) == ("exit status 0", "done\n")
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_the_last_4_kib_of_much_output(tmp_path: Path) -> None:
    outcome = result_of(tmp_path, "i=0; head -c 1048576 /dev/zero | tr '\\0' 'x'; echo; echo last words")
    assert outcome.outcome == "delivered"
    assert len(outcome.output) == 4096 and outcome.output.endswith("xxx\nlast words\n")


def test_output_that_is_no_text(tmp_path: Path) -> None:
    assert result_of(tmp_path, r"printf 'caf\303\251 \377'").output == "café \ufffd"


def test_endless_output_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOOK", 0.01)
    sizes: list[int] = []
    trim = child.Output.trim

    def measured(self: child.Output) -> None:
        trim(self)
        sizes.append(os.fstat(self.descriptor).st_size)

    monkeypatch.setattr(child.Output, "trim", measured)
    outcome = result_of(
        tmp_path, "trap 'echo bye; exit 0' TERM; while :; do head -c 100000 /dev/zero; done", timeout=1.0
    )
    assert outcome.reason == "time limit of 1 s: ended by TERM" and outcome.output.endswith("bye\n")
    assert sizes and max(sizes) < 16 * child.MAX_PRINTED
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))


BIG = {"line": "x" * 1_000_000}


def test_one_that_never_reads_a_big_input(tmp_path: Path) -> None:
    before = open_descriptors()
    with Stopwatch() as watch:
        assert result_of(tmp_path, "exec sleep 0.2", fields=BIG).outcome == "delivered"
        assert watch.seconds < 2
    assert open_descriptors() == before


def test_one_that_closes_a_big_input(tmp_path: Path) -> None:
    assert result_of(tmp_path, "exec <&-; sleep 0.2", fields=BIG).outcome == "delivered"


def test_one_that_reads_a_big_input_slowly(tmp_path: Path) -> None:
    body = f"sleep 0.3; head -c 10 >/dev/null; sleep 0.1; cat > {tmp_path}/rest; printf '%s' \"$NOROSHI_LINE\" | wc -c"
    outcome = result_of(tmp_path, body, fields=BIG)
    assert outcome.output == "16384\n"
    assert (tmp_path / "rest").read_text() == json.dumps(BIG)[10:]


def test_other_work_goes_on_while_a_big_input_is_unread(tmp_path: Path) -> None:
    async def both() -> None:
        slow = job([program(tmp_path / "slow", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")], fields=BIG)
        waiting = asyncio.create_task(carried_out(slow, tmp_path))
        await asyncio.sleep(0)
        quick = await carried_out(job([program(tmp_path / "quick", "cat")]), tmp_path)
        assert quick.output == json.dumps(FIELDS)
        assert not waiting.done()
        (tmp_path / "go").touch()
        assert (await waiting).outcome == "delivered"

    run(both())


def test_wait_started(tmp_path: Path) -> None:
    async def start() -> tuple[Outcome, float]:
        this = job(
            [program(tmp_path / "page", f"cat > {tmp_path}/input; sleep 60")], wait="started", fields=BIG, timeout=2.0
        )
        procedure = Process("db1", this.application, account.resolve(None), tmp_path)  # type: ignore[arg-type]
        with Stopwatch() as watch:
            outcome = await at_once(procedure, this)
            took = watch.seconds
        await until("the whole input arrived", lambda: size_of(tmp_path / "input") >= 1_000_000)
        procedure.close()
        return outcome, took

    outcome, took = run(start())
    assert outcome.outcome == "delivered" and took < 0.5
    pid = int(outcome.reason.removeprefix("started as process "))
    assert is_running(pid)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_was_only_to_be_started_prints_into_nothing(tmp_path: Path) -> None:
    """Nobody would keep a file of it from growing."""

    async def start() -> str:
        look = f"ls -l /proc/$$/fd | sed -n 's/.* [12] -> //p' > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/where"
        this = job([program(tmp_path / "page", look)], wait="started")
        procedure = Process("db1", this.application, account.resolve(None), tmp_path)  # type: ignore[arg-type]
        await at_once(procedure, this)
        await until("it has looked", (tmp_path / "where").exists)
        procedure.close()
        return (tmp_path / "where").read_text()

    assert run(start()) == "/dev/null\n/dev/null\n"


def test_wait_started_is_reaped(tmp_path: Path) -> None:
    async def start() -> str:
        this = job([program(tmp_path / "page", "exit 1")], wait="started")
        procedure = Process("db1", this.application, account.resolve(None), tmp_path)  # type: ignore[arg-type]
        outcome = await at_once(procedure, this)
        pid = outcome.reason.removeprefix("started as process ")
        await until("it is reaped", lambda: not Path(f"/proc/{pid}").exists())
        procedure.close()
        return outcome.outcome

    assert run(start()) == "delivered"


@WAYS
def test_no_descriptor_of_the_daemon_leaks(tmp_path: Path, first: First) -> None:
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR, 0o600)
    os.set_inheritable(secret, True)
    outcome = result_of(tmp_path, "ls /proc/$$/fd; ps -o pid=,pgid=,sid= -p $$ | tr -s ' '", first=first)
    os.close(secret)
    *descriptors, ids = outcome.output.splitlines()
    assert [each for each in descriptors if each not in ("0", "1", "2")] in ([], ["10"])  # 10: dash's own script
    assert len(set(ids.split())) == 1


GLIBC = 1 << 31 | 1 << 32
"""Signals 32 and 33 belong to glibc, which leaves them ignored in what it spawned until the program needs them."""


@WAYS
def test_signals_are_as_at_login(tmp_path: Path, first: First) -> None:
    outcome = result_of(tmp_path, "exec grep -E 'Sig(Blk|Ign)' /proc/self/status", first=first)
    masks = {int(line.split()[1], 16) & ~GLIBC for line in outcome.output.splitlines()}
    assert masks == {0}


NOHUP = """
import signal, subprocess
from noroshi.node.__main__ import keep_ignored_signals_here
signal.signal(signal.SIGHUP, signal.SIG_IGN)
keep_ignored_signals_here()
signal.raise_signal(signal.SIGHUP)
subprocess.run(["grep", "SigIgn", "/proc/self/status"])
"""


def test_what_the_daemon_was_started_to_ignore_its_programs_do_not() -> None:
    done = subprocess.run([sys.executable, "-c", NOHUP], capture_output=True, text=True, check=True, timeout=30)
    assert int(done.stdout.split()[1], 16) == 0


def test_nothing_stays_behind(tmp_path: Path) -> None:
    folder = tmp_path / "deliveries"
    folder.mkdir()
    before = open_descriptors()
    for body in ("exit 0", "exit 1", "sleep 60"):
        this = job([program(tmp_path / "program", f"echo x; {body}")], timeout=0.3)
        run(carried_out(this, folder))
    assert list(folder.iterdir()) == []
    assert open_descriptors() == before


def test_an_output_file_is_kept_ready_for_the_next_program_alone(tmp_path: Path) -> None:
    async def story() -> None:
        procedure = Process("db1", [], account.resolve(None), tmp_path)
        before = open_descriptors()
        for word in ("one", "two"):
            outcome = await at_once(procedure, job([program(tmp_path / word, f"echo {word}")]))
            assert outcome.output == f"{word}\n"
            await until("one is ready", lambda: len(open_descriptors()) == len(before) + 1)
        procedure.close()
        assert open_descriptors() == before

    run(story())


def test_shutdown_ends_what_runs(tmp_path: Path) -> None:
    async def stop() -> None:
        this = job([program(tmp_path / "program", f"echo $$ > {tmp_path}/pid; sleep 60 & wait")])
        task = asyncio.create_task(carried_out(this, tmp_path))
        await until("it runs", lambda: size_of(tmp_path / "pid"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stop())
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_disk_that_hangs_holds_up_only_its_own_program(tmp_path: Path) -> None:
    """A FIFO in the program's place: opening it hangs, as a file on a dead server does."""

    async def both() -> tuple[str, Outcome, float]:
        stuck = tmp_path / "stuck"
        os.mkfifo(stuck)
        procedure = Process("db1", [str(stuck)], account.resolve(None), tmp_path)
        checks = [asyncio.create_task(checked(procedure, job([str(stuck)], timeout=0.5))) for _ in range(20)]
        with Stopwatch() as watch:
            quick = await carried_out(job(["/bin/true"]), tmp_path)
            took = watch.seconds
        reasons = await asyncio.gather(*checks, return_exceptions=True)
        os.close(os.open(stuck, os.O_WRONLY))  # lets the one thread go
        return str({str(each) for each in reasons}), quick, took

    reasons, quick, took = run(both())
    assert reasons == str({f"the disk that holds {tmp_path}/stuck does not answer"})
    assert quick.outcome == "delivered" and took < 0.4


@root
def test_as_another_user_with_its_groups_and_no_others() -> None:
    body = (
        "echo told > /dev/stderr; id -u; id -G; grep -E '^(Uid|Gid)' /proc/$$/status | tr '\\t' ' '; echo $HOME $USER"
    )
    with public_folder() as folder:
        outcome = result_of(folder, body, user="nobody")
    nobody = account.resolve("nobody")
    ids = f"{nobody.uid} {nobody.uid} {nobody.uid} {nobody.uid}"
    assert outcome.output.splitlines() == [
        "told",
        str(nobody.uid),
        " ".join(map(str, nobody.groups)),
        f"Uid: {ids}",
        f"Gid: {nobody.gid} {nobody.gid} {nobody.gid} {nobody.gid}",
        f"{nobody.home} nobody",
    ]


@root
def test_a_user_of_several_groups_and_a_daemon_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the name service says is what the program gets; the daemon's own groups do not pass."""
    monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, 4, 27])
    ours = os.getgroups()
    os.setgroups([0, 1, 6])
    try:
        with public_folder() as folder:
            outcome = result_of(folder, "grep ^Groups /proc/$$/status", user="nobody")
    finally:
        os.setgroups(ours)
    assert {int(each) for each in outcome.output.split()[1:]} == {pwd.getpwnam("nobody").pw_gid, 4, 27}


@root
def test_what_the_user_may_not_run() -> None:
    with public_folder() as folder:
        path = program(folder / "program", "exit 0")
        Path(path).chmod(0o700)
        outcome = run(carried_out(job([path]), folder, "nobody"))
    assert outcome.reason.startswith("cannot start: Permission denied")
