"""The users' own data between nodes, from any Python program (spec 5): put in on one node, taken out on the others.

It rides in the periodic packets and costs the network no message; it arrives within about one period. For what may be
lost when a node daemon ends: it is kept in memory only, in bounded buffers, at most some 3.9 KB a piece.

    put_data("db2", "queue: 17")            on db1; "*" instead of a name is for all other nodes
    take_data(wait=10)                      on db2: ("db1", "queue: 17"), or None where nothing has come

Rules: as in `client`, whose socket and errors are used: the standard library alone. Data that has come for a node is
given out once, to whoever takes it first; take it in one place of each node.
"""

from __future__ import annotations

from noroshi.node.client import RaiseError, Raiser, read_answer

__all__ = ["RaiseError", "put_data", "take_data"]


def put_data(to: str, data: str, *, socket: str | None = None, timeout: float = 5.0) -> None:
    """Buffer `data` for node `to`, "*" for all others. Returns once the daemon has it.

    Raises RaiseError; `refused` is set for a node the cluster does not have, a piece too big for a packet, and while
    too much waits for that node.
    """
    _ask({"verb": "put", "to": to, "data": data}, socket, timeout)


def take_data(wait: float = 0.0, *, socket: str | None = None, timeout: float = 5.0) -> tuple[str, str] | None:
    """The oldest data that has come for this node, and from where; None where none came within `wait` seconds.

    `timeout` bounds the call beyond that. Raises RaiseError.
    """
    answer = _ask({"verb": "take", "wait": wait}, socket, timeout + wait)
    sender, data = answer.get("from"), answer.get("data")
    return None if sender is None else (str(sender), str(data))


def _ask(request: dict[str, object], socket: str | None, timeout: float) -> dict[str, object]:
    import json

    with Raiser(socket, timeout=timeout) as raiser:
        return read_answer(raiser.exchange(json.dumps(request).encode() + b"\n"))
