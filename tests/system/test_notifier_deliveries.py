"""The delivery socket of a real process: answers, bursts, bad input, kill -9 in the middle, shutdown."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from notifying import compile_receiver, deliver, is_running, node_config, program, public_folder, run
from waiting import Stopwatch, wait_until

from noroshi.node.daemon.deliveries import DeliveryServer
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.messages import MAX_MESSAGE, Answer, Deliver

HOST = """
import asyncio, logging, os, signal, sys
from pathlib import Path
import zmq.asyncio
from noroshi.node.daemon.deliveries import DeliveryServer
from noroshi.node.notifier.notifier import Notifier
from noroshi.store.config import NodeConfig, NotifierConfig

async def main(state, user, *programs):
    settings = NotifierConfig(programs=programs, user=user or None)
    config = NodeConfig(file=state, node="db1", shared=state, state=state, run=state, notifier=settings)
    context = zmq.asyncio.Context()
    server = DeliveryServer(context, "tcp://127.0.0.1:*", Notifier(config, "demo", device=state / "log"))
    print(server.endpoint, flush=True)
    serving, stop = asyncio.create_task(server.serve()), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    serving.cancel()
    await server.close()
    context.term()

os.umask(0o077)
logging.basicConfig(level=logging.INFO)
asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


class Host:
    """A process that hosts a notifier, as the daemon does, and a coordinator's socket to it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path, *programs: str, user: str = "") -> None:
        self.folder, self._context = folder, context
        self._errors = (folder / "stderr").open("ab")
        command = [sys.executable, "-c", HOST, str(folder / "state"), user, *programs]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        self.coordinator = self.connect()

    def connect(self) -> zmq.Socket[bytes]:
        dealer = sockets.dealer(self._context, self.endpoint)
        assert dealer.poll(20_000, zmq.POLLOUT)
        return dealer

    def keep_what_came(self) -> None:
        """From now on by a socket that keeps what has come when its connection ends: with IMMEDIATE it is dropped."""
        self.coordinator.close()
        self.coordinator = self._context.socket(zmq.DEALER)
        self.coordinator.setsockopt(zmq.LINGER, 0)
        self.coordinator.connect(self.endpoint)

    def send(self, *messages: Deliver) -> None:
        for message in messages:
            self.coordinator.send(codec.encode(message))

    def answers(self, count: int = 1, timeout: float = 20.0) -> list[Answer]:
        deadline = time.monotonic() + timeout
        found: list[Answer] = []
        while len(found) < count:
            left = deadline - time.monotonic()
            assert left > 0 and self.coordinator.poll(int(left * 1000)), f"{len(found)} of {count} answers"
            found.append(codec.answers.decode(self.coordinator.recv()))
        return found

    def ask(self, message: Deliver) -> Answer:
        self.send(message)
        return self.answers()[0]

    def end(self, number: int) -> int:
        """The exit status; 0 waits for what was asked to end already."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
        self.coordinator.close()
        return status

    def errors(self) -> str:
        return (self.folder / "stderr").read_text()


Start = Callable[..., Host]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    hosts: list[Host] = []
    with zmq.Context() as context:

        def begin(*programs: str, **options: Any) -> Host:
            (tmp_path / "state").mkdir(exist_ok=True)
            hosts.append(Host(context, tmp_path, *programs, **options))
            return hosts[-1]

        yield begin
        for host in hosts:
            if host.process.poll() is None or not host.coordinator.closed:
                host.end(signal.SIGKILL)


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_deliveries_are_answered_as_they_finish(start: Start, tmp_path: Path) -> None:
    slow = program(tmp_path / "slow", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    quick = program(tmp_path / "quick", "cat")
    host = start(slow, quick)
    first, second = deliver("process", [slow]), deliver("process", [quick])
    host.send(first, second)
    for message in (second, first):
        (answer,) = host.answers()
        assert (answer.delivery, answer.outcome) == (message.delivery, "delivered")
        (tmp_path / "go").touch()


def test_kill_9_in_the_middle_then_a_repeat(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", f"echo $$ >> {tmp_path}/ran; exec sleep 60")
    message = deliver("process", [page])
    host = start(page)
    host.send(message)
    wait_until("the program runs", lambda: text_of(tmp_path / "ran").endswith("\n"))
    host.end(signal.SIGKILL)
    again = start(page)
    answer = again.ask(msgspec.structs.replace(message, term=2))
    assert answer.outcome == "failed" and answer.reason.startswith("interrupted: the node daemon ended while it ran")
    assert again.ask(msgspec.structs.replace(message, term=2)) == answer
    (pid,) = (int(line) for line in text_of(tmp_path / "ran").splitlines())
    os.kill(pid, signal.SIGKILL)


def test_kill_9_at_any_moment_runs_each_delivery_at_most_once(start: Start, tmp_path: Path) -> None:
    """Killed three times in the middle of many: each delivery ran once, or its answer says that nobody can tell."""
    page = program(tmp_path / "page", f"echo $NOROSHI_ID >> {tmp_path}/ran")
    messages: list[Deliver] = []
    for _ in range(3):
        messages += [deliver("process", [page]) for _ in range(100)]
        before = text_of(tmp_path / "ran").count("\n")
        host = start(page)
        host.send(*messages)
        wait_until("a few of the new ones ran", lambda at=before: text_of(tmp_path / "ran").count("\n") > at + 5)
        host.end(signal.SIGKILL)
    host = start(page)
    host.send(*messages)
    answers = {each.delivery: each for each in host.answers(len(messages))}
    delivered = {name for name, answer in answers.items() if answer.outcome == "delivered"}
    wait_until("all that were delivered left their line", lambda: set(text_of(tmp_path / "ran").split()) >= delivered)
    ran = text_of(tmp_path / "ran").split()
    assert len(ran) == len(set(ran)), "a delivery ran twice"
    assert {each.reason.split(":")[0] for each in answers.values()} == {"exit status 0", "interrupted"}
    assert len(answers) == len(messages) and len(delivered) > 100


def test_answers_lost_with_the_coordinator_are_given_to_the_next(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", f"echo $NOROSHI_ID >> {tmp_path}/ran; echo paged; sleep 0.2")
    message = deliver("process", [page])
    host = start(page)
    host.send(message)
    wait_until("the program runs", lambda: text_of(tmp_path / "ran"))
    host.coordinator.close()
    host.coordinator = host.connect()
    answer = host.ask(msgspec.structs.replace(message, term=2))
    assert (answer.outcome, answer.output) == ("delivered", "paged\n")
    host.end(signal.SIGKILL)
    assert start(page).ask(msgspec.structs.replace(message, term=3)) == answer
    assert text_of(tmp_path / "ran").count("\n") == 1


def test_junk_of_every_kind_is_counted_named_and_harmless(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", "exit 0")
    host = start(page)
    good = codec.encode(deliver("process", [page]))
    wrong = msgspec.msgpack.encode({**msgspec.to_builtins(deliver("process", [page])), "procedure": "shell"})
    for junk in (b"", b"junk", b"\x00" * 1000, good[:-3], good + b"x", wrong, b"\x91" * 100_000, os.urandom(5000)):
        host.coordinator.send(junk)
    host.coordinator.send_multipart([b"one", b"two", b"three"])
    host.coordinator.send_multipart([b"not empty", good])
    assert host.ask(deliver("process", [page])).outcome == "delivered"
    wait_until("it is named", lambda: "no delivery, from 127.0.0.1 (" in host.errors())
    assert "Traceback" not in host.errors()


def test_an_oversized_message_costs_its_sender_the_connection(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", "exit 0")
    host = start(page)
    host.coordinator.send(b"x" * (MAX_MESSAGE + 1))
    other = host.connect()
    other.send(codec.encode(deliver("process", [page])))
    assert other.poll(20_000)
    assert codec.answers.decode(other.recv()).outcome == "delivered"
    other.close()


def test_raw_bytes_on_the_port(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", "exit 0")
    host = start(page)
    port = int(host.endpoint.rpartition(":")[2])
    for junk in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4000), b"\xff" + b"\0" * 8 + b"\x7f"):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(junk)
    assert host.ask(deliver("process", [page])).outcome == "delivered"


def test_a_req_socket_is_answered_too(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", "exit 0")
    host = start(page)
    with zmq.Context() as context, sockets.requester(context, host.endpoint) as requester:
        requester.send(codec.encode(deliver("process", [page])))
        assert requester.poll(20_000)
        assert codec.answers.decode(requester.recv()).outcome == "delivered"


def test_shutdown_answers_what_runs(start: Start, tmp_path: Path) -> None:
    page = program(tmp_path / "page", f"echo $$ > {tmp_path}/pid; sleep 60 & wait")
    host = start(page)
    message = deliver("process", [page])
    host.keep_what_came()
    host.send(message)
    wait_until("the program runs", lambda: text_of(tmp_path / "pid"))
    host.process.send_signal(signal.SIGTERM)
    (answer,) = host.answers()
    assert (answer.outcome, answer.reason) == ("failed", "interrupted by shutdown of this node's daemon")
    assert host.end(0) == 0
    assert not is_running(int(text_of(tmp_path / "pid")))
    assert start(page).ask(message) == answer


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change users")
def test_a_switched_user_gets_none_of_the_daemons_descriptors(start: Start) -> None:
    with public_folder() as folder:
        page = program(folder / "page", "id -u; ls -l /proc/$$/fd | grep -cE 'socket|record|epoll'; exit 0")
        host = start(page, user="nobody")
        assert host.ask(deliver("process", [page])).output.split() == ["65534", "0"]


def test_every_procedure_through_the_wire(start: Start, tmp_path: Path) -> None:
    key = 0x7E57_0000 + os.getpid() % 0xFFFF
    binary = compile_receiver(tmp_path)
    receiver = subprocess.Popen([binary, str(key), "1", "1", "seen"], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        (tmp_path / "state").mkdir()
        syslog.bind(str(tmp_path / "state" / "log"))
        host = start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        host.send(deliver("socket", address), deliver("message", {"key": key}, reply="required"), deliver("default"))
        answers = host.answers(3)
    assert {each.outcome for each in answers} == {"delivered"}
    assert {each.output for each in answers} == {"", "seen"}
    receiver.communicate(timeout=20)
    subprocess.run(["ipcrm", "-Q", hex(key)], check=True)


def test_a_burst_of_ten_thousand_starves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """In one process with the server, so that the event loop's longest pause can be seen."""
    import asyncio

    import zmq.asyncio

    count = 10_000

    async def burst() -> tuple[float, float, int]:
        context = zmq.asyncio.Context()
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(tmp_path / "s"))
        (tmp_path / "state").mkdir()
        server = DeliveryServer(context, "tcp://127.0.0.1:*", Notifier(node_config(tmp_path), "demo"))
        serving = asyncio.create_task(server.serve())
        messages = [deliver("socket", f"unix://{tmp_path}/s", timeout=60.0) for _ in range(count)]
        sending = asyncio.create_task(asyncio.to_thread(_send_all, server.endpoint, messages))
        reading = asyncio.create_task(asyncio.to_thread(_read_all, receiver, count))
        longest = last = 0.0
        with Stopwatch() as watch:
            while not sending.done():
                await asyncio.sleep(0.005)
                longest, last = max(longest, watch.seconds - last), watch.seconds
            took = watch.seconds
        answers = await sending
        assert await reading == count
        assert {each.outcome for each in answers} == {"delivered"}
        assert {each.delivery for each in answers} == {each.delivery for each in messages}
        assert server.counts.answered == count
        serving.cancel()
        await server.close()
        context.term()
        receiver.close()
        return longest, took, len(answers)

    longest, took, answered = run(burst(), timeout=60)
    print(f"{answered} answers in {took:.2f} s, longest pause of the event loop {longest * 1000:.0f} ms")
    assert longest < took / 4  # its share, not its length: machines are noisy


def _send_all(endpoint: str, messages: list[Deliver]) -> list[Answer]:
    """All at once, as a coordinator with many in flight; what the socket does not take yet waits its turn."""
    answers: list[Answer] = []
    with zmq.Context() as context, sockets.dealer(context, endpoint) as dealer:
        waiting = [codec.encode(each) for each in reversed(messages)]
        deadline = time.monotonic() + 50
        while len(answers) < len(messages) and time.monotonic() < deadline:
            events = dealer.poll(1000, zmq.POLLIN | (zmq.POLLOUT if waiting else 0))
            if events & zmq.POLLOUT:
                dealer.send(waiting.pop())
            if events & zmq.POLLIN:
                answers.append(codec.answers.decode(dealer.recv()))
    return answers


def _read_all(receiver: socket.socket, count: int) -> int:
    receiver.settimeout(50)
    for _ in range(count):
        receiver.recv(65536)
    return count
