"""The service manager's protocol, sd_notify(3): one datagram of KEY=VALUE lines; without systemd nothing happens."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


class ServiceManager:
    """Reads NOTIFY_SOCKET and WATCHDOG_USEC once; `watchdog` is half the time systemd gives, seconds, 0 for none."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")  # not for the programs this daemon starts
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wait = os.environ.pop("WATCHDOG_USEC", "0")
        self.watchdog = int(wait) / 2e6 if mine and wait.isdigit() else 0.0

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("systemd cannot be told %r: %s", text, error)
