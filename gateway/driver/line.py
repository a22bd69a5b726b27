"""The line driver: newline-delimited JSON over TCP or a Unix socket, answered after the spool has committed.

    device  -> {"id":7,"senml":[{"bn":"room-1/","n":"air_temperature","u":"Cel","t":1750000000,"v":-18.2}]}
    gateway -> {"ok":7}

One thread serves all connections: it reads whatever has arrived on any of them, appends it in one spool transaction,
then answers in each connection's own order. The batch grows by itself with the load, without a timer: while the disk
flushes, the next batch collects in the sockets, and TCP holds the devices back.

What an answer means to the device:

- `ok`: on this gateway's disk, or counted there where the spool is so full that readings are thinned; forget it.
- `error`: refused for good, with the reason; do not send it again. Readings refused because the spool is full are
  counted on disk before the answer and declared lost to the platform when there is room. Only an event refused for
  this reason may be offered again later: events are never declared lost.
- no answer (the connection breaks): unknown; send it again after reconnecting. A repetition is harmless.

There is no sign-in: the socket belongs on the loopback, or on a network of the gateway's own.
"""

from __future__ import annotations

import errno
import json
import logging
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.core.rejected import Rejected
from hanlu.gateway.config import LineConfig
from hanlu.gateway.driver.contract import Batch, Verdict
from hanlu.gateway.driver.decode import BadLine, Line, decode_line
from hanlu.gateway.driver.framing import LineSplitter
from hanlu.gateway.driver.listening import listen

__all__ = ["LineIntake", "LineServer"]

_logger = logging.getLogger(__name__)

_RECEIVE: Final = 64 * 1024
"""Bytes read from one connection in one round: with the number of connections this bounds a batch."""
_MAX_UNREAD: Final = 64 * 1024
"""Bytes of answers a device may leave unread before its lines are left unread too."""
_TICK_S: Final = 1.0
"""Longest sleep: whoever watches this thread hears of it this often."""
_ACCEPT_PAUSE_S: Final = 1.0
"""Seconds without accepting once there is no file descriptor left."""
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SPOOL_FULL: Final = "spool_full"
"""Reason of the refusal when there is no room."""


class LineIntake(Protocol):
    """Takes the lines of one round at once (`gateway.intake.SpoolIntake`)."""

    def offer_all(self, batches: Sequence[Batch]) -> list[Verdict]:
        """Keep batches in their order and in one transaction; a verdict for each."""
        ...


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    splitter: LineSplitter = field(default_factory=LineSplitter)
    out: bytearray = field(default_factory=bytearray)
    open: bool = True


@dataclass(slots=True)
class _Round:
    """What one round collected: an answer for each line, its words for a good one not known before the commit."""

    lines: list[Line] = field(default_factory=list)
    answers: list[tuple[_Connection, bytes | Line]] = field(default_factory=list)


class LineServer:
    """The southbound socket of one gateway."""

    def __init__(self, config: LineConfig, intake: LineIntake, clock: Clock) -> None:
        """Listen at once, so that a taken address is known before anything starts.

        Args:
            config: where to listen and for how many.
            intake: where lines go.
            clock: for relative times in SenML.

        Raises:
            UsageError: the address cannot be listened on.
        """
        self._config, self._intake, self._clock = config, intake, clock
        self._listener, self.address = listen(config.listen)
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._connections: set[_Connection] = set()
        self._stopping = False
        self._accept_again: float | None = None
        self.beat: Callable[[], None] = lambda: None
        """Called at least every second while it serves."""
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
        heard = _Round()
        self.beat()
        self._resume_accepting()
        for key, events in self._selector.select(_TICK_S):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(connection := key.data, _Connection):
                if events & selectors.EVENT_READ:
                    self._receive(connection, heard)
                if events & selectors.EVENT_WRITE:
                    self._flush(connection)
        self._settle(heard)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._rest_from_accepting()
            return  # else the caller went away before we looked
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

    def _rest_from_accepting(self) -> None:
        """Leave callers in the kernel's queue for a while: it would go on telling us of them without a pause."""
        self.counts["no_descriptor"] += 1
        log(_logger, logging.ERROR, "gateway.line.crowded", "no file descriptor is left for another device")
        self._selector.unregister(self._listener)
        self._accept_again = self._clock.monotonic() + _ACCEPT_PAUSE_S

    def _resume_accepting(self) -> None:
        if self._accept_again is not None and self._clock.monotonic() >= self._accept_again:
            self._accept_again = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _receive(self, connection: _Connection, heard: _Round) -> None:
        try:
            data = connection.sock.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now_ms = self._clock.now_ms()
        for raw in connection.splitter.feed(data):
            self.counts["lines"] += 1
            line = BadLine(None, raw) if isinstance(raw, Rejected) else decode_line(raw, now_ms)
            if isinstance(line, BadLine):
                heard.answers.append((connection, self._refusal(line.id, line.why.reason.value, line.why.detail)))
            else:
                heard.lines.append(line)
                heard.answers.append((connection, line))
        if not data:
            self._drop(connection)

    def _settle(self, heard: _Round) -> None:
        """Commit, then answer: in this order, because an answer is a promise."""
        verdicts: list[Verdict] = []
        try:
            if heard.lines:
                verdicts = self._intake.offer_all([_batch(line) for line in heard.lines])
        except TransientError as error:
            self.counts["not_written"] += 1
            log(_logger, logging.ERROR, "gateway.spool.unwritable", f"{error}: devices are cut off and will send again")
            for connection in {connection for connection, answer in heard.answers if isinstance(answer, Line)}:
                self._drop(connection)
        verdict = iter(verdicts)
        for connection, answer in heard.answers:
            if not isinstance(answer, Line):
                connection.out += answer
            elif verdicts:
                connection.out += self._answer(answer, next(verdict))
        for connection in {connection for connection, _ in heard.answers}:
            self._flush(connection)

    def _answer(self, line: Line, verdict: Verdict) -> bytes:
        if verdict is Verdict.KEPT:
            self.counts["readings"] += len(line.readings)
            return _encode({"ok": line.id})
        remedy = "the loss will be declared" if line.count else "try again later"
        return self._refusal(line.id, _SPOOL_FULL, f"the gateway has no room; {remedy}")

    def _refusal(self, line_id: int | None, reason: str, detail: str) -> bytes:
        self.counts[reason] += 1
        return _encode({"error": reason, "id": line_id, "detail": detail})

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


def _batch(line: Line) -> Batch:
    return Batch(
        readings=line.readings,
        losses=line.losses,
        events=() if line.event is None else (line.event,),
        live=not line.replayed,
        replayed=line.replayed,
    )


def _encode(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
