"""The subscriber all drivers on MQTT share: one session with the devices' broker, one thread, nothing lost.

MQTT 3.1.1, QoS 1, a fixed client id and a kept session: the broker holds what comes while we are away. A message is
acknowledged after the intake is through with it and on the connection it came on, or not at all: packet ids are used
again, and a late acknowledgement would confirm another message. What waits here when a connection breaks is dropped
if the broker has it still (QoS 1), and kept if not (QoS 0).

Everything that has arrived is offered at once: while the disk flushes, the next batch collects. While the disk refuses,
the batch is offered again, reading goes on until memory for it is full, then the socket stays unread and the broker
waits. A message nobody can read is handed on as undecodable and acknowledged: poison never blocks.

Retained messages are old news with no time of their own, and come again on every connection: they are counted and left
out unless a driver asks for them. A reading stamped with our time of reception out of what the broker held back for us
is marked uncertain: it was taken earlier, nobody knows when.
Source: MQTT 3.1.1, 3.1.2.4 (session state), 3.3.1.3 (retain), 4.3.2 (QoS 1), 4.4 (redelivery).
"""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.observe import log
from hanlu.core.reading import Quality
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Intake, Undecodable
from hanlu.gateway.driver.mqtt_dialogue import Dialogue, Handled, MqttBroker, Publication, oversized
from hanlu.gateway.driver.mqtt_link import PROTOCOL_ERRORS, TICK_S, Delivery, Link
from hanlu.gateway.driver.offering import BATCH_READINGS, Offering

__all__ = ["MqttSource"]

_logger = logging.getLogger(__name__)

_STEADY_S: Final = 10.0
"""A connection that held this long was a good one: the next reconnection waits little again."""
_INBOX_BYTES: Final = 4 * 1024 * 1024
"""Payload and overhead of messages waiting here at most, understood or not; then the socket is left unread."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A message understood; without a delivery where time alone brought it about."""

    delivery: Delivery | None
    answers: tuple[Publication, ...]


class MqttSource:
    """A driver made of a dialogue and a broker. Satisfies `driver.contract.Driver`."""

    def __init__(
        self,
        name: str,
        broker: MqttBroker,
        filters: Sequence[str],
        dialogue: Dialogue,
        intake: Intake,
        clock: Clock,
        *,
        channels: tuple[BirthChannel, ...] = (),
        retained: frozenset[str] = frozenset(),
        keep_session: bool = True,
    ) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            name: of the driver, for logs and the client id.
            broker: where to connect.
            filters: topic filters to subscribe to, QoS 1.
            dialogue: what the messages mean; `mqtt_dialogue.Listener` makes one of a function.
            intake: where batches go.
            clock: gives the time of reception.
            channels: for the birth.
            retained: topics whose retained messages are taken.
            keep_session: whether the broker keeps messages while we are away; some protocols forbid it.
        """
        self._name, self._broker, self._filters, self._dialogue = name, broker, tuple(filters), dialogue
        self._intake, self._clock, self._channels, self._retained = intake, clock, channels, retained
        self._keep_session = keep_session
        self._stop = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)
        self._inbox: deque[Delivery] = deque()
        self._held = 0
        self.beat: Callable[[], None] = lambda: None
        """Called every few seconds by a driver that lives; while it connects, within the connection's time-out."""
        self.ready = False
        """Whether the broker has confirmed the subscriptions on the present connection."""
        self.counts: Counter[str] = dialogue.counts
        """`messages`, `readings`, `connections`, `retained` (left out), `refused` (readings there was no room for),
        `not_written` (offers the disk refused), and undecodable messages by reason."""
        self._offering: Offering[_Taken] = Offering(name, intake, self.counts)

    @property
    def address(self) -> str:
        """Return the broker and what is subscribed there."""
        return f"mqtt://{self._broker.host}:{self._broker.port} {' '.join(self._filters)}"

    @property
    def waiting_bytes(self) -> int:
        """Return the memory that messages take which have come and not ended, bytes, about."""
        return self._held

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels the configuration names."""
        return self._channels

    def run(self) -> None:
        """Connect and hear until `stop`, whatever the link does.

        Raises:
            FatalError: the spool is damaged.
        """
        attempt = 0
        try:
            while not self._stop.is_set():
                since = self._clock.monotonic()
                self._converse()
                attempt = 0 if self._clock.monotonic() - since > _STEADY_S else attempt + 1
                limit = min(self._broker.reconnect_max_s, self._broker.reconnect_min_s * 2 ** min(attempt, 16))
                self._rest(limit * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnections, guards nothing
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return soon; from any thread, and again without harm."""
        self._stop.set()
        try:
            self._wake_write.send(b"\0")
        except OSError:
            return  # awake already, or closed: run() has returned

    def close(self) -> None:
        """Give back what the constructor took; for a driver that never ran (`run` does it at its end)."""
        self._wake_read.close()
        self._wake_write.close()

    def _rest(self, seconds: float) -> None:
        """Wait between connections; what was taken at QoS 0 is still to be kept."""
        end = self._clock.monotonic() + seconds
        while not self._stop.is_set() and (left := end - self._clock.monotonic()) > 0:
            self.beat()
            self._settle()
            self._stop.wait(min(left, TICK_S, self._pause()))

    def _converse(self) -> None:
        """Hold one connection from the first byte to the last."""
        link = Link(
            self._broker,
            f"hanlu-{self._name}",
            self._filters,
            self._arrived,
            self._wake_read,
            self._clock,
            keep_session=self._keep_session,
        )
        try:
            if not link.open(self._stop, self._dialogue.will(self._clock.now_ms())):
                return
            while not self._stop.is_set() and link.alive:
                self.beat()
                self._work(link)
                link.turn(self._pause(), has_room=self._has_room)
            if self._stop.is_set() and link.alive:
                self._leave(link)
        except PROTOCOL_ERRORS as error:
            link.trouble = link.trouble or str(error)
        finally:
            self.ready = False
            link.close()
            self._forget()
            if link.trouble:
                log(_logger, logging.WARNING, "gateway.driver.link_down", f"{self._name}: {link.trouble}")

    def _work(self, link: Link) -> None:
        if link.subscribed and not self.ready:
            self.ready = True
            self.counts["connections"] += 1
            log(_logger, logging.INFO, "gateway.driver.link_up", f"{self._name}: connected to {self.address}")
            link.publish(self._dialogue.connected(self._clock.now_ms()))
        if (due := self._dialogue.due(self._clock.now_ms())) is not None:
            self._add(None, due)
        self._settle(link)

    def _leave(self, link: Link) -> None:
        self._settle(link)
        link.publish(self._dialogue.farewell(self._clock.now_ms()))
        link.disconnect()

    def _forget(self) -> None:
        """Drop what the broker will deliver again."""
        if self._keep_session:
            self._inbox = deque(each for each in self._inbox if each.qos == 0)
            self._offering.keep(lambda taken: taken.delivery is None or taken.delivery.qos == 0)
            taken = (each.delivery for each in self._offering.messages)
            self._held = sum(each.size for each in (*self._inbox, *taken) if each is not None)

    def _has_room(self) -> bool:
        return self._held < _INBOX_BYTES

    def _pause(self) -> float:
        if self._offering:
            return min(TICK_S, self._offering.pause_s)
        return 0.0 if self._inbox else TICK_S

    def _settle(self, link: Link | None = None) -> None:
        """Keep what has arrived, then acknowledge and answer, in the order of arrival."""
        self._understand()
        while ended := self._offering.offer():
            for taken in ended:
                if taken.delivery is not None:
                    self._held -= taken.delivery.size
                    taken.delivery.link.acknowledge(taken.delivery)
            if link is not None:
                link.publish(answer for taken in ended for answer in taken.answers)
            self._understand()

    def _understand(self) -> None:
        """Move messages from the inbox to the offering, as many as one batch should hold."""
        readings = self._offering.readings if self._inbox else 0
        while self._inbox and readings < BATCH_READINGS:
            delivery = self._inbox.popleft()
            self.counts["messages"] += 1
            handled = self._handled(delivery)
            readings += len(handled.batch.readings)
            self._add(delivery, handled)

    def _add(self, delivery: Delivery | None, handled: Handled) -> None:
        """Let it wait for the intake; the message ends with the last of its batches."""
        for batch in handled.earlier:
            self._offering.add(batch, _Taken(None, ()))
        self._offering.add(handled.batch, _Taken(delivery, handled.answers))

    def _handled(self, delivery: Delivery) -> Handled:
        if len(delivery.payload) > MAX_MESSAGE_BYTES:
            return oversized(delivery.topic, delivery.payload)
        try:
            handled = self._dialogue.heard(delivery.topic, delivery.payload, delivery.now_ms)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not stop every other device
            detail = f"the driver failed on it: {type(error).__name__}: {error}"
            log(_logger, logging.ERROR, "gateway.driver.failed", f"{self._name}: {delivery.topic}: {detail}")
            why = Rejected(Reason.MALFORMED, detail[:1_000])
            return Handled(Batch(undecodable=(Undecodable(delivery.topic[:200], why, delivery.payload),)))
        return _doubted(handled, delivery.now_ms) if delivery.held_back else handled

    def _arrived(self, delivery: Delivery) -> None:
        """Take a message off its link."""
        if delivery.retained and delivery.topic not in self._retained:
            self.counts["retained"] += 1
            delivery.link.acknowledge(delivery)
            return
        self._inbox.append(delivery)
        self._held += delivery.size


def _doubted(handled: Handled, now_ms: int) -> Handled:
    """Mark the readings whose time is only our time of reception, of a message the broker held back."""
    readings = tuple(
        each._replace(quality=Quality.UNCERTAIN)
        if each.observed_ms == now_ms and each.quality is Quality.GOOD
        else each
        for each in handled.batch.readings
    )
    return replace(handled, batch=replace(handled.batch, readings=readings))
