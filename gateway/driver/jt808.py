"""The JT/T 808 driver: reefer terminals of trucks report over TCP.

One thread serves all connections. What has arrived on any of them goes to the intake together; a report is answered
when it is on this gateway's disk, so that a terminal keeps what it has not been answered for and sends it again.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import time
import tomllib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError, UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.observe import log
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Intake, Undecodable, Verdict
from hanlu.gateway.driver.jt808_channels import ReportRule, chosen_rules
from hanlu.gateway.driver.jt808_frame import FrameSplitter
from hanlu.gateway.driver.jt808_session import Owed, Session, Terminals
from hanlu.gateway.driver.listening import listen
from hanlu.gateway.driver.mapping import DriverConfig, Section
from hanlu.gateway.driver.offering import merged
from hanlu.gateway.driver.patience import Ration

__all__ = ["Jt808Config", "Jt808Driver", "Terminal"]

_logger = logging.getLogger(__name__)

_RECEIVE: Final = 16 * 1024
"""Bytes read from one connection in one round."""
_MAX_UNREAD: Final = 64 * 1024
"""Bytes of answers a terminal may leave unread before it is cut off."""
_MAX_WAITING: Final = 20_000
"""Readings that wait for the disk before nothing more is read from terminals."""
_MAX_MESSAGES: Final = 1_000
"""Messages that wait for the disk likewise."""
_AGAIN_S: Final = 1.0
"""Seconds before a batch the disk refused is offered again."""
_NO_FILES_S: Final = 0.05
"""Pause when the process has no file left for a caller, seconds."""
_TICK_S: Final = 1.0
"""Longest sleep, seconds: silent connections are looked for this often."""


class Terminal(Section):
    """One terminal. Its number is a telephone number: it is compared and never passed on."""

    number: SecretStr = Field(description="the terminal's number, digits; personal data, shown nowhere")
    device: str = Field(pattern=rf"^{CODE_PATTERN}$", description="device code of its channels")
    code: SecretStr | None = Field(
        default=None, min_length=4, max_length=60, description="code it signs in with; none: one is given to it"
    )


class Jt808Config(DriverConfig):
    """A port for terminals."""

    kind: Literal["jt808"] = "jt808"
    listen: str = Field(default="0.0.0.0:6808", description="host:port for TCP")
    key: SecretStr = Field(
        min_length=16, description="secret of this driver: sign-in codes and digests of numbers are made with it"
    )
    terminals: tuple[Terminal, ...] = Field(default=(), max_length=5_000, description="terminals that may report")
    terminals_file: Path | None = Field(
        default=None,
        description="TOML file on the gateway with further [[terminals]]: their numbers then stay out of settings that"
        " are sent from afar",
    )
    unknown: Literal["refuse", "digest"] = Field(
        default="refuse", description="terminals not in the table; digest: taken under a digest of their number"
    )
    period_s: float = Field(default=30.0, gt=0, le=86_400, description="seconds expected between reports")
    channels: tuple[ReportRule, ...] = Field(
        default=(), max_length=200, description="further channels; one with a known metric replaces it"
    )
    without: tuple[str, ...] = Field(default=(), description="metrics to leave out; * stands for anything")
    max_connections: int = Field(default=500, ge=1, le=10_000, description="terminals at a time; more are cut off")
    idle_s: float = Field(default=600.0, ge=1, le=86_400, description="a silent connection is closed after so long")

    @model_validator(mode="after")
    def _distinct(self) -> Jt808Config:
        _check(self.terminals)
        if not self.terminals and self.terminals_file is None and self.unknown == "refuse":
            raise ValueError('no terminal could report: name some, or say unknown = "digest"')
        return self

    def all_terminals(self) -> tuple[Terminal, ...]:
        """Return the terminals of the settings and of the file.

        Raises:
            UsageError: the file cannot be read, or says what cannot be; the message shows no number.
        """
        if self.terminals_file is None:
            return self.terminals
        try:
            listed = tomllib.loads(self.terminals_file.read_text(encoding="utf-8")).get("terminals", [])
            every = self.terminals + tuple(Terminal.model_validate(each) for each in listed)
            _check(every)
        except ValidationError as error:
            places = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
            raise UsageError(f"{self.terminals_file}: not a terminal: {', '.join(places)}") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{self.terminals_file}: {error}") from error
        return every

    def rules(self) -> tuple[ReportRule, ...]:
        """Return the rules in force."""
        return chosen_rules(self.channels, self.without, self.period_s)

    def table(self, terminals: tuple[Terminal, ...]) -> Terminals:
        """Return who may report."""
        known = {each.number.get_secret_value().lstrip("0"): each for each in terminals}
        return Terminals(
            {number: each.device for number, each in known.items()},
            {number: each.code.get_secret_value() for number, each in known.items() if each.code is not None},
            self.key.get_secret_value().encode(),
            self.unknown == "digest",
        )

    def build(self, intake: Intake, clock: Clock) -> Jt808Driver:
        """Return the driver, listening.

        Raises:
            UsageError: the address is taken or none, or the file of terminals is wrong.
        """
        return Jt808Driver(self, intake, clock)


def _check(terminals: tuple[Terminal, ...]) -> None:
    numbers = [each.number.get_secret_value() for each in terminals]
    if not all(number.isascii() and number.isdigit() and 1 <= len(number) <= 20 for number in numbers):
        raise ValueError("terminals: a number is 1 to 20 digits")
    if len({number.lstrip("0") for number in numbers}) < len(numbers):
        raise ValueError("terminals: a number stands twice")
    if len({each.device for each in terminals}) < len(numbers):
        raise ValueError("terminals: a device stands twice")


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    session: Session
    heard: float
    splitter: FrameSplitter = field(default_factory=FrameSplitter)
    out: bytearray = field(default_factory=bytearray)
    open: bool = True


@dataclass(slots=True)
class _Waiting:
    """A batch on its way to the disk and who is told."""

    batch: Batch
    connection: _Connection | None = None
    owed: Owed | None = None


class Jt808Driver:
    """Serves one port."""

    def __init__(self, config: Jt808Config, intake: Intake, clock: Clock) -> None:
        """Listen.

        Raises:
            UsageError: the address is taken or none, or the file of terminals is wrong.
        """
        self._config, self._intake, self._clock = config, intake, clock
        self._known, self._rules = config.all_terminals(), config.rules()
        self._terminals = config.table(self._known)
        self._listener, self.address = listen(config.listen)
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._connections: set[_Connection] = set()
        self._waiting: deque[_Waiting] = deque()
        self._retry_at = 0.0
        self._stopping = False
        self.beat: Callable[[], None] = lambda: None
        """Called in every round: the thread is alive."""
        self.counts: Counter[str] = Counter()
        """`messages`, `reports`, `readings`, `unknown_terminal`, `wrong_code`, broken frames by kind."""
        self._ration = Ration(clock)

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels of the terminals in the table."""
        return tuple(
            BirthChannel(name=rule.channel(terminal.device), unit=rule.senml_unit, period_s=rule.period_s)
            for terminal in self._known
            for rule in self._rules
        )

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

    def close(self) -> None:
        """Give the address back."""
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for sock in (self._listener, self._wake_read, self._wake_write):
            sock.close()

    def _round(self) -> None:
        self.beat()
        waiting = sum(len(each.batch.readings) for each in self._waiting)
        if waiting > _MAX_WAITING or len(self._waiting) > _MAX_MESSAGES:
            self._wait_for_the_disk()
            return
        pause = _TICK_S if not self._waiting else min(_TICK_S, max(0.0, self._retry_at - time.monotonic()))
        events = self._selector.select(pause)
        noise: list[Undecodable] = []
        for key, ready in events:
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(connection := key.data, _Connection):
                if ready & selectors.EVENT_READ:
                    self._receive(connection, noise)
                if ready & selectors.EVENT_WRITE and connection.open:
                    self._flush(connection)
        if noise and (bad := self._ration.take(self.counts, noise)):
            self._waiting.append(_Waiting(Batch(undecodable=bad)))
        if time.monotonic() >= self._retry_at:
            self._settle()
        self._look_after()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(_NO_FILES_S)  # the caller stays in the kernel's queue; do not spin meanwhile
            return
        if len(self._connections) >= self._config.max_connections:
            self.counts["too_many_connections"] += 1
            sock.close()
            return
        sock.setblocking(False)
        session = Session(self._config.name, self._terminals, self._rules, self.counts)
        connection = _Connection(sock, session, time.monotonic())
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        self.counts["connections"] += 1

    def _receive(self, connection: _Connection, noise: list[Undecodable]) -> None:
        try:
            data = connection.sock.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.heard = time.monotonic()
        now_ms = self._clock.now_ms()
        for frame in connection.splitter.feed(data):
            outcome = connection.session.hear(frame, now_ms)
            connection.out += outcome.answer
            if outcome.noise is not None:
                noise.append(outcome.noise)
            if outcome.batch is not None:
                self._waiting.append(_Waiting(outcome.batch, connection, outcome.owed))
        self._flush(connection)

    def _settle(self) -> None:
        """Offer what waits, those together that may share a batch, and answer what has ended."""
        while self._waiting:
            live = self._waiting[0].batch.live
            together = []
            for each in self._waiting:
                if each.batch.live != live:
                    break
                together.append(each)
            batch = merged(each.batch for each in together)
            try:
                verdict = self._intake.offer(batch)
            except TransientError as error:
                self.counts["not_written"] += 1
                if self._retry_at == 0.0:
                    words = f"{self._config.name}: {error}: terminals are not answered"
                    log(_logger, logging.ERROR, "gateway.driver.not_written", words)
                self._retry_at = time.monotonic() + _AGAIN_S
                return
            self._retry_at = 0.0
            self._count(batch, verdict)
            for _ in together:
                self._end(self._waiting.popleft(), kept=verdict is Verdict.KEPT)

    def _count(self, batch: Batch, verdict: Verdict) -> None:
        self.counts["readings" if verdict is Verdict.KEPT else "refused"] += len(batch.readings)
        self.counts["lost"] += sum(loss.count for loss in batch.losses)
        self.counts["undecodable"] += len(batch.undecodable)

    def _end(self, waiting: _Waiting, *, kept: bool) -> None:
        connection = waiting.connection
        if connection is not None and connection.open and waiting.owed is not None:
            connection.out += connection.session.settle(waiting.owed, kept=kept)
            self._flush(connection)

    def _look_after(self) -> None:
        """Close silent connections; ask to be woken where answers wait to be sent."""
        now = time.monotonic()
        for connection in [each for each in self._connections if now - each.heard > self._config.idle_s]:
            self.counts["idle"] += 1
            self._drop(connection)
        for connection in self._connections:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0)
            if self._selector.get_key(connection.sock).events != wanted:
                self._selector.modify(connection.sock, wanted, connection)

    def _wait_for_the_disk(self) -> None:
        """Read nothing more from anybody: TCP holds the terminals back."""
        time.sleep(max(0.0, min(_AGAIN_S, self._retry_at - time.monotonic())))
        self._settle()
        for connection in self._connections:
            connection.heard = time.monotonic()  # it was not they who were silent

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
        if len(connection.out) > _MAX_UNREAD:
            self.counts["unread"] += 1
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        if connection.open:
            connection.open = False
            self._selector.unregister(connection.sock)
            self._connections.discard(connection)
            connection.sock.close()
