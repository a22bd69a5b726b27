"""The link between a gateway and the broker, as a proxy that can be spoilt: cut, deaf, slow, noisy, without receipts.

One thread, one loop. Deaf is a link that is half open: both ends believe in the connection and nothing passes.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from hanlu.app.faults.packets import PUBLISH, Splitter, topic_of

__all__ = ["Link", "Weather"]

_CHUNK: Final = 64 * 1024
_RECORDED: Final = 2_000
"""Messages kept for a storm of duplicates."""


class Weather(Enum):
    """What the link does to what passes."""

    FAIR = "fair"
    CUT = "cut"
    """Connections are reset and new ones refused."""
    DEAF = "deaf"
    """Connections stay, nothing is read from either side."""
    SLOW = "slow"
    """Everything takes `delay_s` longer."""
    NOISY = "noisy"
    """A bit of every chunk is flipped on its way up, now and then."""
    UNRECEIPTED = "unreceipted"
    """Receipts of the platform do not get through."""


@dataclass(slots=True, eq=False)
class _Side:
    sock: socket.socket
    up: bool
    other: _Side | None = None
    splitter: Splitter = field(default_factory=Splitter)
    out: bytearray = field(default_factory=bytearray)
    later: deque[tuple[float, bytes]] = field(default_factory=deque)


class Link:
    """A proxy from a free port of `host` to the broker on the loopback."""

    def __init__(self, broker_port: int, chance: random.Random, host: str = "127.0.0.1") -> None:
        """Listen at once, in fair weather."""
        self._broker = ("127.0.0.1", broker_port)
        self._chance = chance
        self._listener = socket.create_server((host, 0))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._sides: set[_Side] = set()
        self._stop = threading.Event()
        self._weather = Weather.FAIR
        self.delay_s = 0.2
        self.recorded: deque[bytes] = deque(maxlen=_RECORDED)
        """The newest messages that went up, whole packets."""
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    @property
    def port(self) -> int:
        """The port to connect to instead of the broker's."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        """Begin to pass things on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self._stop.set()
        self._thread.join(5)

    def become(self, weather: Weather) -> None:
        """Change the weather, from any thread; obeyed within a few milliseconds."""
        self._weather = weather

    def _run(self) -> None:
        while not self._stop.is_set():
            weather = self._weather
            if weather is Weather.DEAF:
                time.sleep(0.005)
                continue
            for key, events in self._selector.select(0.005):
                if key.fileobj is self._listener:
                    self._accept(weather)
                elif events & selectors.EVENT_READ:
                    self._read(key.data, weather)
            if weather is Weather.CUT:
                for side in list(self._sides):
                    self._drop(side)
            for side in list(self._sides):
                self._write(side)
        for side in list(self._sides):
            self._drop(side)
        self._selector.close()
        self._listener.close()

    def _accept(self, weather: Weather) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            if weather is Weather.CUT:
                near.close()
                return
            try:
                far = socket.create_connection(self._broker, timeout=1.0)
            except OSError:
                near.close()  # the broker is away: the gateway shall see just that
                return
            pair = _Side(near, up=True), _Side(far, up=False)
            for side, other in (pair, pair[::-1]):
                side.other = other
                side.sock.setblocking(False)
                side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sides.add(side)
                self._selector.register(side.sock, selectors.EVENT_READ, side)

    def _read(self, side: _Side, weather: Weather) -> None:
        if side not in self._sides or side.other is None:
            return  # dropped a moment ago
        try:
            data = side.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(side)
            return
        passed = b"".join(packet for packet in side.splitter.feed(data) if self._passes(packet, side, weather))
        if weather is Weather.NOISY and side.up and passed and self._chance.random() < 0.3:
            place = self._chance.randrange(len(passed))
            passed = passed[:place] + bytes([passed[place] ^ 1 << self._chance.randrange(8)]) + passed[place + 1 :]
        due = time.monotonic() + (self.delay_s if weather is Weather.SLOW else 0.0)
        side.other.later.append((due, passed))

    def _passes(self, packet: bytes, side: _Side, weather: Weather) -> bool:
        if side.up and packet[0] & 0xF0 == PUBLISH:
            self.recorded.append(packet)
        if side.up or weather is not Weather.UNRECEIPTED:
            return True
        return not (topic_of(packet) or "").endswith("/receipt")

    def _write(self, side: _Side) -> None:
        while side.later and side.later[0][0] <= time.monotonic():
            side.out += side.later.popleft()[1]
        if side.out:
            try:
                del side.out[: side.sock.send(side.out)]
            except BlockingIOError:
                return
            except OSError:
                self._drop(side)

    def _drop(self, side: _Side) -> None:
        for each in (side, side.other):
            if each is not None and each in self._sides:
                self._sides.discard(each)
                self._selector.unregister(each.sock)
                # Reset, not closed: what a peer has not read is gone, as with a pulled cable.
                each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                each.sock.close()
