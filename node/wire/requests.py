"""One request to the coordinator and its answer, for commands and the console; blocks.

Rules: REQ with a time-out, a socket for each call, LINGER 0; no try is repeated, the person or the script does that.
"""

from __future__ import annotations

import zmq

from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import Reply, Request
from noroshi.store.errors import NoroshiError


def ask(endpoint: str, request: Request, timeout: float = 5.0, keys: Keyring | None = None) -> Reply:
    """The coordinator's reply, a Refused one included; `timeout` in seconds. Raises NoroshiError when none comes.

    An import that was not answered may have been made all the same.
    """
    with zmq.Context() as context, sockets.requester(context, endpoint, keys) as socket:
        socket.send(codec.encode(request), zmq.NOBLOCK)
        if not socket.poll(int(timeout * 1000)):
            why, hint = f"nothing within {timeout:g} s", "`noroshi status` shows who leads now; try again"
            raise NoroshiError("no answer from the coordinator at", on=endpoint, why=why, hint=hint)
        data = socket.recv()
    try:
        return codec.replies.decode(data)
    except BadMessage as error:
        hint = "does it run another version of Noroshi?"
        raise NoroshiError("no answer to be read from", on=endpoint, why=str(error), hint=hint) from error
