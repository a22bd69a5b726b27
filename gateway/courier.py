"""Between spool and link: what to say when connected, what to do with what is heard. No socket in here.

The order that makes it lossless: a message leaves the spool only in `settle`, after a receipt for this epoch moved the
window; nothing else (a write to a socket, a broker's acknowledgement) deletes anything.

Receipts also tell the platform's time, but only those for something this connection sent: a broker may hand out one
that waited there for days. The birth is new on every connection, so the first receipt that speaks of it is fresh, and
every later one.

A receipt can also show that one side was restored from a copy: the platform has numbers this spool never gave out, or
gave to another message, or it asks for some it once receipted. Either way the numbers of this epoch are of no more
use, and what waits goes into a new one (`Spool.begin_epoch`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError, TransientError
from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.observe import log
from hanlu.core.wire.documents import Birth, BirthChannel, Command, Receipt, Will
from hanlu.core.wire.envelope import ContentType
from hanlu.core.wire.topics import Lane, Topic
from hanlu.gateway.config import GatewayConfig, UplinkConfig
from hanlu.gateway.item import Item, Kind, Stored
from hanlu.gateway.spool import Spool
from hanlu.gateway.window import Flow, Window

__all__ = ["Courier", "Outgoing"]

_logger = logging.getLogger(__name__)

_MAX_HEARD: Final = MAX_MESSAGE_BYTES
"""Bytes of a receipt or command that are looked at."""

_SURE_AFTER_MS: Final = 10_000
"""How long the platform must go on asking for what it once receipted: a broker may hand on an old receipt again."""


_REBIRTH_EVERY_S: Final = 5.0
"""Least seconds between two births on command: they take room in the spool."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish."""

    topic: str
    payload: bytes


class Courier:
    """Decides what one gateway publishes; used by one thread."""

    def __init__(
        self,
        config: GatewayConfig,
        spool: Spool,
        clock: Clock,
        *,
        software: str,
        boot_ms: int,
        config_version: int = 0,
        config_error: str = "",
    ) -> None:
        """Start with everything in the spool unsent.

        Args:
            config: the gateway's settings.
            spool: what to deliver.
            clock: wall time for ages, monotonic time for rates and patience.
            software: what runs here, said at birth.
            boot_ms: when this process started, Unix milliseconds.
            config_version: of the remote configuration in `config`, said at birth; 0: none.
            config_error: why the last one was refused.
        """
        self._config, self._spool, self._clock = config, spool, clock
        self._birth = Birth(
            gateway=config.code, software=software, boot_ms=boot_ms, replay=config.replay, channels=config.channels,
            config_version=config_version, config_error=config_error[:500],
        )  # fmt: skip
        self._window = Window(config.uplink, spool.committed, in_order=config.replay)
        self._topics = {lane: str(Topic(config.partition, config.code, lane)) for lane in Lane}
        self._asked_again_ms: int | None = None
        self._fresh_from: int | None = None
        self._is_fresh = False
        self._born_on_command_s = float("-inf")
        self._new_uplink: UplinkConfig | None = None
        self.hears_time: Callable[[int], None] = lambda _: None
        """Told the platform's clock, Unix milliseconds, by each fresh receipt."""
        self.hears_configuration: Callable[[int, str], None] = lambda _version, _text: None
        """Told the version and the text of a configuration from the platform; must not wait."""
        self.last_receipt_ms: int | None = None
        """Wall time of the last receipt for this spool, Unix milliseconds."""

    @property
    def downward(self) -> tuple[str, str]:
        """Return the topics to subscribe to."""
        return self._topics[Lane.RECEIPT], self._topics[Lane.COMMAND]

    def will(self) -> Outgoing:
        """Return what the broker is to publish when the connection breaks."""
        document = Will(gateway=self._config.code, epoch=self._spool.epoch.hex())
        return Outgoing(self._topics[Lane.WILL], document.model_dump_json().encode())

    def connected(self) -> list[Outgoing]:
        """Begin a new connection; return its first message, the birth.

        With a spool that cannot be written (a full disk) the connection begins without one: draining what is there
        matters more than announcing it.
        """
        try:
            seq = self._append_birth()
        except TransientError as error:
            log(_logger, logging.ERROR, "gateway.birth.failed", f"{self._config.code}: no birth: {error}")
            self._window.connected(self._spool.head, None, self._clock.monotonic())
            self._fresh_from, self._is_fresh = self._spool.head + 1, False
            return []
        self._fresh_from, self._is_fresh = seq, False
        self._window.connected(self._spool.head, seq, self._clock.monotonic())
        (birth,) = self._spool.next_after(seq - 1, 1)
        return [Outgoing(self._topics[Lane.BIRTH], birth.raw)]

    def heard(self, topic: str, payload: bytes) -> None:
        """Take in a receipt or a command; anything else is logged and left."""
        handler = {self._topics[Lane.RECEIPT]: self._receipt, self._topics[Lane.COMMAND]: self._command}.get(topic)
        try:
            if handler is None or len(payload) > _MAX_HEARD:
                raise ValueError("not for us, or too long")
            handler(payload)
        except (ValidationError, ValueError, RecursionError) as error:
            log(_logger, logging.WARNING, "gateway.downlink.refused", f"{topic[:120]!r}: {str(error)[:300]}")

    def settle(self) -> None:
        """Delete what was receipted since the last time, in one go."""
        if self._window.committed > self._spool.committed:
            try:
                self._spool.delete_committed(self._window.committed)
            except TransientError as error:
                log(_logger, logging.ERROR, "gateway.spool.unwritable", f"{self._config.code}: {error}")

    def reborn(self, channels: tuple[BirthChannel, ...], version: int, error: str) -> None:
        """Say at this and every later birth which configuration is in force; from any thread.

        Args:
            channels: announced.
            version: of the remote configuration in force; 0: none.
            error: why the last one was refused; empty: it was not.
        """
        words = {"channels": channels, "config_version": version, "config_error": error[:500]}
        self._birth = self._birth.model_copy(update=words)
        self._try_birth()

    def change_uplink(self, config: UplinkConfig) -> None:
        """Go on with other rates and windows, from the next look on; from any thread."""
        self._new_uplink = config

    def outgoing(self, room: int) -> list[Outgoing]:
        """Return what may be published now, at most `room` messages, and count it as sent; empty: nothing now."""
        now = self._clock.monotonic()
        if self._new_uplink is not None:
            self._config, self._new_uplink = self._config.model_copy(update={"uplink": self._new_uplink}), None
            self._window.reconfigure(self._config.uplink)
        if self._window.overdue(now):
            log(_logger, logging.WARNING, "gateway.receipt.overdue", f"{self._config.code}: no receipt, sending again")
            self._window.resend_all(now)
        while (send := self._window.next_send(self._spool.head, now, room)) is not None:
            wanted = send.last - send.first + 1
            messages = self._spool.next_after(send.first - 1, wanted)
            if len(messages) != wanted or messages[0].seq != send.first:
                raise FatalError(f"the spool lacks messages between {send.first} and {send.last}")
            if send.flow is Flow.LIVE and self._is_old(messages[0]):
                self._window.demote(self._spool.head)
                continue
            self._window.sent(send, now)
            return [Outgoing(self._topics[self._lane(message, send.flow)], message.raw) for message in messages]
        return []

    def wait_s(self, room: int) -> float | None:
        """Return the seconds until `outgoing` may have something without anything else happening; None: never."""
        return self._window.wait_s(self._spool.head, self._clock.monotonic(), room)

    def _try_birth(self) -> None:
        try:
            self._append_birth()
        except TransientError as error:
            log(_logger, logging.ERROR, "gateway.birth.failed", f"{self._config.code}: no birth: {error}")

    def _append_birth(self) -> int:
        payload = self._birth.model_dump_json().encode()
        (seq,) = self._spool.append([Item(Kind.BIRTH, ContentType.BIRTH, payload, replayed=self._config.replay)])
        return seq

    def _lane(self, message: Stored, flow: Flow) -> Lane:
        """A replay is live in its own time; of the rest only what goes out as it happens is."""
        if message.kind is Kind.BIRTH:
            return Lane.BIRTH
        if message.kind is Kind.EVENT:
            return Lane.EVENT
        return Lane.LIVE if flow is Flow.LIVE or self._config.replay else Lane.BACKLOG

    def _is_old(self, message: Stored) -> bool:
        return self._clock.now_ms() - message.created_ms > self._config.uplink.live_age_s * 1000

    def _receipt(self, payload: bytes) -> None:
        receipt = Receipt.model_validate_json(payload)
        if receipt.epoch != self._spool.epoch.hex():
            log(_logger, logging.INFO, "gateway.receipt.foreign", f"{self._config.code}: receipt for another spool")
            return
        if receipt.committed > self._spool.head:
            message = f"receipt up to {receipt.committed}, but the last seq is {self._spool.head}"
            log(_logger, logging.ERROR, "gateway.receipt.ahead", f"{self._config.code}: {message}: an old copy?")
            self._begin_epoch()
            return
        if self._is_of_another(receipt):
            message = f"the platform's message {receipt.committed} is not the one here: an old copy?"
            log(_logger, logging.ERROR, "gateway.receipt.forked", f"{self._config.code}: {message}")
            self._begin_epoch()
            return
        if self._is_asked_again(receipt):
            message = f"the platform asks for what it receipted, up to {self._spool.committed}: was it restored?"
            log(_logger, logging.ERROR, "gateway.receipt.behind", f"{self._config.code}: {message}")
            self._begin_epoch()
            return
        if self._tells_the_time(receipt):
            self.hears_time(receipt.now_ms)
        self.last_receipt_ms = self._clock.now_ms()
        self._window.receipt(receipt.committed, receipt.missing, self._clock.monotonic())

    def _is_of_another(self, receipt: Receipt) -> bool:
        """Tell whether the last message it commits is known here under that number, and is another one."""
        if not receipt.digest or not receipt.committed:
            return False
        ours = self._spool.digest_of(receipt.committed)
        return ours is not None and ours.hex() != receipt.digest

    def _tells_the_time(self, receipt: Receipt) -> bool:
        """Tell whether it was written after this connection began: it knows of something sent on it."""
        if not self._is_fresh and self._fresh_from is not None:
            known = max(receipt.committed, *(last + 1 for _, last in receipt.missing), 0)
            self._is_fresh = known >= self._fresh_from
        return self._is_fresh

    def _is_asked_again(self, receipt: Receipt) -> bool:
        """Tell whether the platform has for some time missed messages that were deleted on its word."""
        if not any(first <= self._spool.committed for first, _ in receipt.missing):
            self._asked_again_ms = None
            return False
        if self._asked_again_ms is None:
            self._asked_again_ms = receipt.now_ms
        return receipt.now_ms - self._asked_again_ms >= _SURE_AFTER_MS

    def _begin_epoch(self) -> None:
        try:
            count = self._spool.begin_epoch()
        except TransientError as error:
            log(_logger, logging.ERROR, "gateway.spool.unwritable", f"{self._config.code}: {error}")
            return
        self._asked_again_ms = None
        self._fresh_from, self._is_fresh = 1, False
        self._window = Window(self._config.uplink, self._spool.committed, in_order=self._config.replay)
        self._window.connected(self._spool.head, None, self._clock.monotonic())
        words = f"{self._config.code}: new epoch {self._spool.epoch.hex()}, {count} messages go again"
        log(_logger, logging.ERROR, "gateway.epoch.begun", words)

    def _command(self, payload: bytes) -> None:
        command = Command.model_validate_json(payload)
        log(_logger, logging.INFO, "gateway.command.heard", f"{self._config.code}: {command.action}")
        if command.action == "rebirth":
            now = self._clock.monotonic()
            if now - self._born_on_command_s >= _REBIRTH_EVERY_S:
                self._born_on_command_s = now
                self._try_birth()
            return
        if command.action == "configure":
            if command.version is None or command.config is None:
                raise ValueError("a configuration needs its version and its text")
            self.hears_configuration(command.version, command.config)
            return
        first = command.from_seq if command.from_seq is not None else 1
        last = command.to_seq if command.to_seq is not None else self._spool.head
        if first < 1 or last < first:
            raise ValueError(f"no range: {first} to {last}")
        self._window.repeat(first, last)
