"""Who may connect: the keys of the cluster's nodes and no others (ZAP, RFC 27; pyzmq's authenticator does the work).

Rules: one gate a context that listens, started before its first socket is bound. Whoever is let in is known by the
node its key belongs to (`Frame.get("User-Id")`); who is not is counted by address and named in the log.
"""

from __future__ import annotations

import logging
from collections import Counter

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.sockets import ZAP_DOMAIN

log = logging.getLogger(__name__)


class Gate(ThreadAuthenticator):
    """`start` before, `stop` after the sockets it guards; `refused` counts connections by address."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keyring: Keyring) -> None:
        super().__init__(context)
        self._keyring = keyring
        self._address = ""
        self.refused: Counter[str] = Counter()
        self.configure_curve_callback(ZAP_DOMAIN, self)

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        self._address = msg[3].decode(errors="replace") if len(msg) > 3 else "an unknown address"
        await super().handle_zap_message(msg)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether the key is a node's."""
        del domain
        if self._keyring.owner(key) is not None:
            return True
        self.refused[self._address] += 1
        count = self.refused[self._address]
        if count & (count - 1) == 0:  # 1, 2, 4, 8 …: a flood does not fill the log
            log.warning("refused connection %d from %s: its key is no node's of this cluster", count, self._address)
        return False

    def curve_user_id(self, client_public_key: bytes) -> str:
        return self._keyring.owner(z85.encode(client_public_key)) or ""
