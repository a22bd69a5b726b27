"""Sockets for `LineSession`: one loop serves the devices of any number of gateways.

A connection that breaks is made again with growing pauses; the session knows what to send again. Nothing here blocks
longer than it is told to, except a connection attempt, which is bounded by `CONNECT_S`.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from collections.abc import Callable
from typing import Final

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import RemoteError
from hanlu.core.observe import log
from hanlu.firmware_sim.line_session import Answer, LineSession

__all__ = ["Connect", "LineClient", "LineHub", "tcp"]

CONNECT_S: Final = 2.0
"""Most seconds a connection attempt may take."""
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before the next attempt, by how many failed in a row; the last repeats."""
_CHUNK: Final = 64 * 1024

_logger = logging.getLogger(__name__)

Connect = Callable[[], socket.socket]
"""Makes a connected stream socket, or raises OSError."""


def tcp(host: str, port: int) -> Connect:
    """Return what connects to a gateway's line driver at `host` and `port`."""

    def connect() -> socket.socket:
        sock = socket.create_connection((host, port), timeout=CONNECT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    return connect


class LineClient:
    """One gateway's devices: a session and, most of the time, a connection."""

    def __init__(self, name: str, connect: Connect, session: LineSession, clock: Clock | None = None) -> None:
        """Prepare; nothing is connected before the first `LineHub.pump`."""
        self.name = name
        self.session = session
        self._connect = connect
        self._clock = clock or SystemClock()
        self._sock: socket.socket | None = None
        self._failures = 0
        self._next_try = 0.0

    @property
    def connected(self) -> bool:
        """Tell whether there is a connection."""
        return self._sock is not None

    def ensure(self, selector: selectors.BaseSelector) -> float | None:
        """Connect if that is due; return seconds until the next attempt, or None when connected."""
        if self._sock is not None:
            return None
        wait = self._next_try - self._clock.monotonic()
        if wait > 0:
            return wait
        try:
            sock = self._connect()
        except OSError as error:
            return self._later(f"no connection: {error}")
        sock.setblocking(False)
        self._sock = sock
        selector.register(sock, selectors.EVENT_READ, self)
        return None

    def serve(self, selector: selectors.BaseSelector, *, readable: bool) -> list[Answer]:
        """Read and write what is possible now; a break is noted, never raised."""
        answers: list[Answer] = []
        if self._sock is not None:
            try:
                if readable:
                    answers = self._read()
                self._write(selector)
            except (OSError, RemoteError) as error:
                self.drop(selector, str(error))
        return answers  # also those read just before the break: the session has settled them

    def drop(self, selector: selectors.BaseSelector, why: str) -> None:
        """Give up the connection; what has no answer will be sent again."""
        self.close(selector)
        self._later(why)

    def close(self, selector: selectors.BaseSelector) -> None:
        """Close the connection if there is one."""
        if self._sock is not None:
            selector.unregister(self._sock)
            self._sock.close()
            self._sock = None
            self.session.broken()

    def _read(self) -> list[Answer]:
        assert self._sock is not None
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise RemoteError("the gateway closed the connection")
        answers = self.session.incoming(data)
        self._failures = 0  # a peer that accepts and hangs up is no gateway: only an answer shows one
        return answers

    def _write(self, selector: selectors.BaseSelector) -> None:
        assert self._sock is not None
        out = self.session.outgoing()
        if out:
            with contextlib.suppress(BlockingIOError):  # the gateway holds us back: wait until it reads again
                self.session.written(self._sock.send(out))
        more = selectors.EVENT_WRITE if self.session.outgoing() else 0
        selector.modify(self._sock, selectors.EVENT_READ | more, self)

    def _later(self, why: str) -> float:
        pause = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        self._next_try = self._clock.monotonic() + pause
        level = logging.DEBUG if self._failures <= 3 else logging.INFO
        log(_logger, level, "firmware_sim.line.broken", f"{self.name}: {why}", gateway=self.name, again_s=pause)
        return pause


class LineHub:
    """The loop around the clients of a fleet."""

    def __init__(self, clients: dict[str, LineClient]) -> None:
        """Serve `clients`, by name."""
        self.clients = clients
        self._selector = selectors.DefaultSelector()

    def pump(self, timeout_s: float) -> list[tuple[str, Answer]]:
        """Connect, send and receive once, waiting at most `timeout_s` seconds for something to happen."""
        waits = [timeout_s]
        for client in self.clients.values():
            wait = client.ensure(self._selector)
            if wait is not None:
                waits.append(wait)
            else:
                client.serve(self._selector, readable=False)
        ready = self._selector.select(max(0.0, min(waits)))
        return [
            (key.data.name, answer)
            for key, events in ready
            for answer in key.data.serve(self._selector, readable=bool(events & selectors.EVENT_READ))
        ]

    def close(self) -> None:
        """Close every connection; what has no answer stays with its session."""
        for client in self.clients.values():
            client.close(self._selector)
        self._selector.close()
