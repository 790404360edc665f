"""Procedure socket against real TCP, UDP and Unix receivers."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from notifying import FIELDS, job, open_descriptors, run
from waiting import wait_until

from noroshi.node.notifier import stream
from noroshi.node.notifier.procedure import Job, Outcome
from noroshi.node.notifier.stream import Stream

LINE = json.dumps(FIELDS).encode() + b"\n"


def listening(family: int, kind: int, address: str | tuple[str, int]) -> socket.socket:
    receiver = socket.socket(family, kind)
    receiver.bind(address)
    if kind == socket.SOCK_STREAM:
        receiver.listen(16)
    receiver.setblocking(False)
    return receiver


def tcp() -> tuple[socket.socket, str]:
    receiver = listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    return receiver, f"tcp://127.0.0.1:{receiver.getsockname()[1]}"


def udp() -> tuple[socket.socket, str]:
    receiver = listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    return receiver, f"udp://127.0.0.1:{receiver.getsockname()[1]}"


async def read_all(receiver: socket.socket) -> bytes:
    """Everything one connection brings, up to its end."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(receiver)
    data = b""
    with connection:
        while piece := await loop.sock_recv(connection, 65536):
            data += piece
    return data


async def answer_with(receiver: socket.socket, answer: bytes, *, until: bytes = b"\n") -> bytes:
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(receiver)
    data = b""
    with connection:
        while not data.endswith(until):
            data += await loop.sock_recv(connection, 65536)
        await loop.sock_sendall(connection, answer)
    return data


async def written(this: Job) -> Outcome:
    procedure = Stream()
    procedure.check(this)
    return await procedure.run(this)


def test_tcp_gets_one_line_then_the_end() -> None:
    async def both() -> tuple[Outcome, bytes]:
        receiver, address = tcp()
        with receiver:
            reading = asyncio.create_task(read_all(receiver))
            outcome = await written(job(address))
            return outcome, await reading

    outcome, data = run(both())
    assert outcome.outcome == "delivered" and outcome.reason.startswith("written to tcp://127.0.0.1:")
    assert data == LINE


def test_a_payload_of_several_lines_becomes_one() -> None:
    async def both() -> bytes:
        receiver, address = tcp()
        with receiver:
            reading = asyncio.create_task(read_all(receiver))
            await written(job(address, payload=json.dumps({"line": "a\nb"}, indent=1).encode()))
            return await reading

    data = run(both())
    assert data.count(b"\n") == 1 and json.loads(data) == {"line": "a\nb"}


def test_a_name_is_looked_up() -> None:
    async def both() -> tuple[Outcome, bytes]:
        receiver, address = tcp()
        with receiver:
            reading = asyncio.create_task(read_all(receiver))
            return await written(job(address.replace("127.0.0.1", "localhost"))), await reading

    outcome, data = run(both())
    assert outcome.outcome == "delivered" and data == LINE


def test_several_megabytes_over_tcp_to_a_slow_reader() -> None:
    fields = {"line": "x" * 3_000_000}

    async def both() -> tuple[Outcome, bytes]:
        receiver, address = tcp()
        with receiver:
            writing = asyncio.create_task(written(job(address, fields=fields)))
            await asyncio.sleep(0.2)
            assert not writing.done()
            return (await asyncio.gather(writing, read_all(receiver)))[0], b""

    assert run(both())[0].outcome == "delivered"


def test_one_that_accepts_and_never_reads() -> None:
    async def attempt() -> Outcome:
        receiver, address = tcp()
        with receiver:
            return await written(job(address, fields={"line": "x" * 6_000_000}, timeout=0.3))

    outcome = run(attempt())
    assert outcome.outcome == "failed" and outcome.reason.endswith("writing not done within 0.3 s")


def test_an_answer_over_tcp() -> None:
    async def both(reply: bytes) -> Outcome:
        receiver, address = tcp()
        with receiver:
            answering = asyncio.create_task(answer_with(receiver, reply))
            outcome = await written(job(address, reply="required", timeout=20.0))
            assert await answering == LINE
            return outcome

    outcome = run(both(b"taken by desk 4\r\nmore\n"))
    assert (outcome.outcome, outcome.reason, outcome.output) == ("delivered", "answered", "taken by desk 4")
    assert run(both(b"without newline")).output == "without newline"
    assert run(both("é".encode() * 5000)).output == "é" * 2048
    closed = run(both(b""))
    assert closed.outcome == "failed" and closed.reason.endswith("the receiver closed without an answer")


def test_no_answer_in_time() -> None:
    async def attempt() -> Outcome:
        receiver, address = tcp()
        with receiver:
            return await written(job(address, reply="required", timeout=0.2))

    outcome = run(attempt())
    assert outcome.outcome == "failed" and outcome.reason.endswith("the answer not done within 0.2 s")


def test_nobody_listens(tmp_path: Path) -> None:
    receiver, address = tcp()
    receiver.close()
    dead = tmp_path / "dead.sock"
    listening(socket.AF_UNIX, socket.SOCK_STREAM, str(dead)).close()
    expected = {
        address: "the connection: nobody listens there",
        address.replace("tcp", "udp"): "nobody listens there",
        f"unix://{dead}": "the connection: nobody listens there",
        f"unix://{tmp_path}/absent": "the connection: there is no such socket: is the receiver running?",
        f"unix://{tmp_path}": "Connection refused",
        f"unix://{'/x' * 80}": "path too long",
        "tcp://no-such-host.invalid:1": "the connection: ",
        f"tcp://{'a' * 70}.example:1": "the connection: ",
    }
    before = open_descriptors()
    for each, reason in expected.items():
        outcome = run(written(job(each, timeout=20.0)))
        assert outcome.outcome == "failed"
        if reason != "Connection refused":
            assert reason in outcome.reason, outcome
    assert open_descriptors() == before


def test_a_peer_that_resets_is_no_delivery() -> None:
    async def both() -> Outcome:
        receiver, address = tcp()
        with receiver:
            writing = asyncio.create_task(written(job(address, fields={"line": "x" * 6_000_000})))
            connection, _ = await asyncio.get_running_loop().sock_accept(receiver)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return await writing

    outcome = run(both())
    assert outcome.outcome == "failed" and "closed the connection before it had all" in outcome.reason


def test_udp() -> None:
    async def both() -> tuple[Outcome, bytes]:
        receiver, address = udp()
        with receiver:
            outcome = await written(job(address))
            return outcome, await asyncio.get_running_loop().sock_recv(receiver, 65536)

    outcome, data = run(both())
    assert outcome.outcome == "delivered" and data == LINE


def test_an_answer_over_udp() -> None:
    async def both() -> Outcome:
        loop = asyncio.get_running_loop()
        receiver, address = udp()
        with receiver:
            writing = asyncio.create_task(written(job(address, reply="required")))
            _, sender = await loop.sock_recvfrom(receiver, 65536)
            await loop.sock_sendto(receiver, b"seen", sender)
            return await writing

    assert run(both()).output == "seen"


def test_too_big_for_a_datagram(tmp_path: Path) -> None:
    async def attempt(receiver: socket.socket, address: str) -> Outcome:
        with receiver:
            return await written(job(address, fields={"line": "x" * 1_000_000}))

    unix = listening(socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "s"))
    for receiver, address in (udp(), (unix, f"unix://{tmp_path}/s")):
        assert run(attempt(receiver, address)).reason.endswith("writing: too big for one datagram")


@pytest.mark.parametrize("reply", ["none", "required"])
def test_a_unix_stream(tmp_path: Path, reply: str) -> None:
    async def both() -> Outcome:
        with listening(socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "s")) as receiver:
            reading = asyncio.create_task(read_all(receiver) if reply == "none" else answer_with(receiver, b"ok\n"))
            outcome = await written(job(f"unix://{tmp_path}/s", reply=reply))
            assert await reading == LINE
            return outcome

    assert run(both()).output == ("" if reply == "none" else "ok")


def test_a_unix_datagram_socket_and_its_answer(tmp_path: Path) -> None:
    async def both() -> Outcome:
        loop = asyncio.get_running_loop()
        with listening(socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "s")) as receiver:
            address = f"unix://{tmp_path}/s"
            assert (await written(job(address))).outcome == "delivered"
            assert await loop.sock_recv(receiver, 65536) == LINE
            writing = asyncio.create_task(written(job(address, reply="required")))
            _, sender = await loop.sock_recvfrom(receiver, 65536)
            await loop.sock_sendto(receiver, b"ok", sender)
            return await writing

    assert run(both()).output == "ok"


def test_a_burst_on_a_unix_socket_with_a_short_backlog(tmp_path: Path) -> None:
    """A full backlog answers EAGAIN to connect; nothing may be lost, and nothing claimed that did not arrive."""

    async def both() -> tuple[list[Outcome], list[bytes]]:
        procedure = Stream()
        got: list[bytes] = []
        with listening(socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "s")) as receiver:
            receiver.listen(1)

            async def read() -> None:
                while len(got) < 300:
                    got.append(await read_all(receiver))

            reading = asyncio.create_task(read())
            jobs = [job(f"unix://{tmp_path}/s", fields={"n": number}) for number in range(300)]
            outcomes = await asyncio.gather(*(procedure.run(each) for each in jobs))
            await reading
            return outcomes, got

    outcomes, got = run(both())
    assert {each.outcome for each in outcomes} == {"delivered"}
    assert sorted(json.loads(each)["n"] for each in got) == list(range(300))


def test_a_full_backlog_fails_in_time(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "s")) as receiver:
        receiver.listen(0)
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(tmp_path / "s"))
        outcome = run(written(job(f"unix://{tmp_path}/s", timeout=0.3)))
        waiting.close()
    assert outcome.reason.endswith("the connection not done within 0.3 s")


def test_a_host_that_takes_no_connection_fails_in_time() -> None:
    """A full backlog over TCP: SYNs go unanswered, as with a host that is gone without a word."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.listen(0)
    place = receiver.getsockname()
    waiting = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(place)
    began = time.monotonic()
    outcome = run(written(job(f"tcp://127.0.0.1:{place[1]}", timeout=0.3)))
    assert outcome.outcome == "failed" and outcome.reason.endswith("the connection not done within 0.3 s")
    assert 0.3 <= time.monotonic() - began < 5
    for each in (*waiting, receiver):
        each.close()


def test_a_unix_receiver_that_never_reads_fails_in_time(tmp_path: Path) -> None:
    with listening(socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "s")):
        outcome = run(written(job(f"unix://{tmp_path}/s", fields={"line": "x" * 6_000_000}, timeout=0.3)))
    assert outcome.outcome == "failed" and outcome.reason.endswith("writing not done within 0.3 s")


def test_a_name_server_that_hangs_holds_up_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = stream._look_up
    asked: list[str] = []
    answers = threading.Event()

    def slow(host: str, port: int, flags: int = 0) -> list[stream.Place]:
        if host == "slow.example" and not flags:
            asked.append(host)
            answers.wait(20)
        return look_up(host, port, flags)

    monkeypatch.setattr(stream, "_look_up", slow)

    async def both() -> tuple[list[Outcome], Outcome]:
        procedure = Stream()
        receiver, address = tcp()
        with receiver:
            slow = [asyncio.create_task(procedure.run(job("tcp://slow.example:1", timeout=0.2))) for _ in range(10)]
            quick = await procedure.run(job(address))
            outcomes = list(await asyncio.gather(*slow))
            answers.set()
            return outcomes, quick

    outcomes, quick = run(both())
    assert quick.outcome == "delivered" and asked == ["slow.example"]
    assert {each.reason for each in outcomes} == {"tcp://slow.example:1: the connection not done within 0.2 s"}


@pytest.mark.parametrize("tool", ["nc", "socat"])
def test_the_tools_an_operator_has(tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    path = tmp_path / "s"
    command = {"nc": ["nc", "-lU", str(path)], "socat": ["socat", "-u", f"UNIX-LISTEN:{path}", "-"]}[tool]
    receiver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        wait_until("it listens", path.exists)
        outcome = wait_until("it takes the line", lambda: run(written(job(f"unix://{path}"))).outcome == "delivered")
        assert outcome
        data, _ = receiver.communicate(timeout=10)
        assert data == LINE
    finally:
        receiver.kill()
        receiver.wait()
