"""What a service says to systemd: that it is ready, that it is alive, how it is, that it ends.

One datagram on the socket systemd named in the environment; without one, nothing is said.
Source: sd_notify(3), the protocol; systemd.service(5), WatchdogSec.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["Systemd"]

_MICROSECONDS: Final = 1_000_000


class Systemd:
    """The service manager that started this process, or nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Find it in the environment (`NOTIFY_SOCKET`, `WATCHDOG_USEC`)."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name  # @: Linux's abstract namespace
        limit = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s: float | None = int(limit) / _MICROSECONDS if limit.isdigit() and int(limit) else None
        """Seconds without a sign of life after which it restarts us; None: it does not watch."""

    def ready(self) -> None:
        """Say that the service serves."""
        self._say("READY=1")

    def alive(self, words: str) -> None:
        """Say that it is alive and, for `systemctl status`, how it is (one line)."""
        self._say(f"WATCHDOG=1\nSTATUS={' '.join(words.split())}")

    def stopping(self) -> None:
        """Say that it ends of itself."""
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.0)
            sock.sendto(text.encode(), self._address)
