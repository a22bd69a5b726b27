"""The line driver: newline-delimited JSON over TCP or a Unix socket, answered after the spool has committed.

    device  -> {"id":7,"senml":[{"bn":"room-1/","n":"air_temperature","u":"Cel","t":1750000000,"v":-18.2}]}
    gateway -> {"ok":7}

One thread serves all connections: it reads whatever has arrived on any of them, appends it in one spool transaction,
then answers in each connection's own order. The batch grows by itself with the load, without a timer: while the disk
flushes, the next batch collects in the sockets, and TCP holds the devices back.

What an answer means to the device:

- `ok`: on this gateway's disk; forget it.
- `error`: refused for good, with the reason; do not send it again. Readings refused because the spool is full are
  counted on disk before the answer and declared lost to the platform when there is room. Only an event refused for
  this reason may be offered again later: events are never declared lost.
- no answer (the connection breaks): unknown; send it again after reconnecting. A repetition is harmless.

There is no sign-in: the socket belongs on the loopback, or on a network of the gateway's own.
"""

from __future__ import annotations

import json
import logging
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.core.reading import Reading
from hanlu.core.rejected import Rejected
from hanlu.gateway.config import LineConfig
from hanlu.gateway.driver.decode import BadLine, Line, decode_line
from hanlu.gateway.driver.framing import LineSplitter
from hanlu.gateway.driver.listening import listen
from hanlu.gateway.item import Kind, Refused
from hanlu.gateway.packing import Packing
from hanlu.gateway.spool import Spool

__all__ = ["LineServer"]

_logger = logging.getLogger(__name__)

_RECEIVE: Final = 64 * 1024
"""Bytes read from one connection in one round: with the number of connections this bounds a batch."""
_MAX_UNREAD: Final = 64 * 1024
"""Bytes of answers a device may leave unread before its lines are left unread too."""
_SPOOL_FULL: Final = "spool_full"
"""Reason of the refusal when there is no room."""


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    splitter: LineSplitter = field(default_factory=LineSplitter)
    out: bytearray = field(default_factory=bytearray)
    open: bool = True


@dataclass(slots=True)
class _Batch:
    """What one round collected."""

    lines: list[Line] = field(default_factory=list)
    refused: Refused = field(default_factory=lambda: Refused(0))
    answers: list[tuple[_Connection, bytes]] = field(default_factory=list)
    depends_on_commit: set[_Connection] = field(default_factory=set)


class LineServer:
    """The southbound socket of one gateway."""

    def __init__(
        self, config: LineConfig, spool: Spool, packing: Packing, clock: Clock, appended: Callable[[], None]
    ) -> None:
        """Listen at once, so that a taken address is known before anything starts.

        Args:
            config: where to listen and for how many.
            spool: where lines go.
            packing: how they become messages.
            clock: for relative times in SenML.
            appended: called after each commit, from the driver's thread.

        Raises:
            UsageError: the address cannot be listened on.
        """
        self._config, self._spool, self._packing, self._clock, self._appended = config, spool, packing, clock, appended
        self._listener, self.address = listen(config.listen)
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._connections: set[_Connection] = set()
        self._stopping = False
        self.counts: Counter[str] = Counter()
        """`lines`, `readings`, `connections`, and refused lines by reason, since the start."""

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        try:
            while not self._stopping:
                self._round()
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return soon; from any thread, and again without harm."""
        self._stopping = True
        try:
            self._wake_write.send(b"\0")
        except OSError:
            return  # already closed: run() has returned

    def _round(self) -> None:
        batch = _Batch()
        for key, events in self._selector.select():
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(connection := key.data, _Connection):
                if events & selectors.EVENT_READ:
                    self._receive(connection, batch)
                if events & selectors.EVENT_WRITE:
                    self._flush(connection)
        self._settle(batch)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # the caller went away before we looked
        if len(self._connections) >= self._config.max_connections:
            self.counts["too_many_connections"] += 1
            sock.close()
            return
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            # Else a second answer waits until the device's kernel acknowledges the first: 40 ms and more.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(sock)
        self._connections.add(connection)
        self.counts["connections"] += 1
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _receive(self, connection: _Connection, batch: _Batch) -> None:
        try:
            data = connection.sock.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now_ms = self._clock.now_ms()
        for raw in connection.splitter.feed(data):
            line = BadLine(None, raw) if isinstance(raw, Rejected) else decode_line(raw, now_ms)
            self._take(line, connection, batch)
        if not data:
            self._drop(connection)

    def _take(self, line: Line | BadLine, connection: _Connection, batch: _Batch) -> None:
        self.counts["lines"] += 1
        if isinstance(line, BadLine):
            self._refuse(connection, batch, line.id, line.why.reason.value, line.why.detail)
            return
        batch.depends_on_commit.add(connection)
        kind = Kind.READING if line.event is None else Kind.EVENT
        if self._spool.accepts(kind, loss=not line.readings):
            batch.lines.append(line)
            batch.answers.append((connection, _encode({"ok": line.id})))
        else:
            batch.refused += Refused(line.count, *_range(line.readings))
            remedy = "the loss will be declared" if line.count else "try again later"
            self._refuse(connection, batch, line.id, _SPOOL_FULL, f"the gateway has no room; {remedy}")

    def _refuse(self, connection: _Connection, batch: _Batch, line_id: int | None, reason: str, detail: str) -> None:
        self.counts[reason] += 1
        batch.answers.append((connection, _encode({"error": reason, "id": line_id, "detail": detail})))

    def _settle(self, batch: _Batch) -> None:
        """Commit, then answer: in this order, because an answer is a promise."""
        try:
            if batch.lines or batch.refused.count:
                self._spool.append(self._packing.items(batch.lines), batch.refused)
                self.counts["readings"] += sum(len(line.readings) for line in batch.lines)
                self._appended()
        except TransientError as error:
            self.counts["not_written"] += 1
            log(_logger, logging.ERROR, "gateway.spool.unwritable", f"{error}: devices are cut off and will send again")
            for connection in batch.depends_on_commit:
                self._drop(connection)
        for connection, answer in batch.answers:
            connection.out += answer
        for connection in {connection for connection, _ in batch.answers}:
            self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        if not connection.open:
            return
        try:
            if connection.out:
                sent = connection.sock.send(connection.out)
                del connection.out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        wanted = selectors.EVENT_WRITE if connection.out else 0
        if len(connection.out) <= _MAX_UNREAD:
            wanted |= selectors.EVENT_READ
        self._selector.modify(connection.sock, wanted, connection)

    def _drop(self, connection: _Connection) -> None:
        if connection.open:
            connection.open = False
            self._selector.unregister(connection.sock)
            self._connections.discard(connection)
            connection.sock.close()

    def close(self) -> None:
        """Give the address back; for a server that never ran (`run` does it at its end)."""
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for sock in (self._listener, self._wake_read, self._wake_write):
            sock.close()
        if self.address.startswith("unix:"):
            Path(self.address.removeprefix("unix:")).unlink(missing_ok=True)


def _range(readings: tuple[Reading, ...]) -> tuple[int | None, int | None]:
    times = [reading.observed_ms for reading in readings]
    return min(times, default=None), max(times, default=None)


def _encode(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
