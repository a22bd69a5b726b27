"""The MQTT session of an ingest worker; the only file that knows the MQTT client.

MQTT 3.1.1 with a fixed client id and a session that outlives the connection, QoS 1, and acknowledgement by hand: what
is not acknowledged, the broker delivers again. One thread, no callbacks to others: `turn` does all the work there is
to do at the moment, `inbox` holds what came.

Memory is bounded by not reading the socket, because brokers do not keep to their in-flight windows. Every delivery
carries the generation of its connection, and an acknowledgement goes out on that connection or not at all: packet ids
are used again, and an old one would confirm another message and lose it. For the same reason what waits in the inbox
when a connection breaks is dropped; the broker has it still.
Source: MQTT 3.1.1, 3.1.2.4 (session state), 4.3.2 (QoS 1), 4.4 (redelivery), 4.6 (order of acknowledgements).
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from hanlu.core.clock import Clock
from hanlu.core.errors import UsageError
from hanlu.core.limits import PARTITIONS
from hanlu.core.observe import log
from hanlu.core.wire.topics import Lane, Topic, subscription, subscription_to_all
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.message import Delivery
from hanlu.ingest.socket_buffer import BufferedSocket

__all__ = ["Subscriber"]

_log = logging.getLogger(__name__)

_QOS: Final = 1
_OVERHEAD: Final = 200
"""Bytes a delivery takes in memory besides its payload, about."""

_MAINTENANCE_S: Final = 1.0
_IN_FLIGHT: Final = 100
"""Receipts on their way to the broker at once; as many again may wait in line."""

_SIGN_IN_REFUSED: Final = frozenset({"Bad user name or password", "Not authorized", "Client identifier not valid"})


class _Client(mqtt.Client):
    """The client on a buffered socket."""

    # The one private name used: there is no public place to put a socket of one's own beneath the protocol.
    def _create_socket(self) -> BufferedSocket:
        return BufferedSocket(super()._create_socket())  # type: ignore[arg-type]

    def buffered_socket(self) -> BufferedSocket | None:
        """Return the socket in use."""
        current = self.socket()
        assert current is None or isinstance(current, BufferedSocket)
        return current


class Subscriber:
    """One MQTT session. Use as a context manager; leaving it signs off and leaves the session with the broker."""

    def __init__(self, config: IngestConfig, clock: Clock, *, clean: bool = False) -> None:
        """Prepare the session; the first `turn` connects.

        Args:
            config: of the worker.
            clock: gives the time of reception.
            clean: have the broker forget what it holds for the session, and forget the session when this ends.
        """
        self._clean = clean
        self._config = config
        self._clock = clock
        self._filters = [(each, _QOS) for each in _filters(config.partitions)]
        self._generation = 0
        self._held = 0
        self._now_ms = 0
        self._subscribed = False
        self._fault: Exception | None = None
        self._retry_at = 0.0
        self._retry_s = config.broker.reconnect_min_s
        self._maintained_at = 0.0
        self.inbox: deque[Delivery] = deque()
        self._heard, self._bell = socket.socketpair()
        self._heard.setblocking(False)
        self._bell.setblocking(False)
        self._client = self._made()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Sign off."""
        self.close()

    @property
    def ready(self) -> bool:
        """Tell whether the broker has confirmed the subscription on the present connection."""
        return self._subscribed

    def take(self) -> Delivery:
        """Return the oldest delivery of the inbox, which must not be empty, and forget it."""
        delivery = self.inbox.popleft()
        self._held -= len(delivery.payload) + _OVERHEAD
        return delivery

    def turn(self, timeout_s: float, *, connect: bool = True) -> None:
        """Read what has come, send what is held back, keep the connection alive; wait at most for something to do.

        Args:
            timeout_s: seconds to wait when there is nothing.
            connect: connect where there is no connection.

        Raises:
            UsageError: the broker refuses the sign-in or the subscription.
        """
        current = self._client.buffered_socket()
        if current is None and connect and self._connect():
            current = self._client.buffered_socket()
        if current is None:
            self._sleep(min(timeout_s, max(0.0, self._retry_at - time.monotonic())) if connect else timeout_s)
            return
        if self._wait(current, timeout_s) and not self._full:
            self._read(current)
        now = time.monotonic()
        if now - self._maintained_at >= _MAINTENANCE_S:
            self._maintained_at = now
            self._client.loop_misc()
        self._client.loop_write()
        current.flush()
        self._raise_fault()

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that these are durably ours, as far as they came on the present connection."""
        current = self._client.buffered_socket()
        if current is None:
            return
        generation = self._generation
        current.acknowledge([each.mid for each in deliveries if each.qos and each.generation == generation])
        current.flush()

    def wake(self) -> None:
        """Let a `turn` that waits return at once; the only thing another thread may call."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake already; closed: nobody waits
            self._bell.send(b"\0")

    def publish(self, topic: Topic, payload: bytes) -> bool:
        """Publish a receipt or command at QoS 1; False when there is no connection or too many are on their way."""
        if not self._subscribed:
            return False
        return self._client.publish(str(topic), payload, qos=_QOS).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what is held back, sign off and close; the session stays with the broker."""
        end = time.monotonic() + timeout_s
        while (current := self._client.buffered_socket()) is not None and time.monotonic() < end:
            self._client.loop_write()
            current.flush()
            if not current.unsent and not self._client.want_write():
                break
            select.select([], [current], [], 0.05)
        self._subscribed = False
        if (current := self._client.buffered_socket()) is not None:
            current.linger_s = max(0.1, end - time.monotonic())
            self._client.disconnect()  # closes the socket as soon as the farewell is written
        self._bell.close()
        self._heard.close()

    @property
    def _full(self) -> bool:
        return self._held >= self._config.receive_bytes

    def _made(self) -> _Client:
        broker = self._config.broker
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=self._clean,
            protocol=mqtt.MQTTv311,
        )
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if broker.tls:
            client.tls_set(
                ca_certs=str(broker.ca_file) if broker.ca_file else None,
                certfile=str(broker.certificate_file) if broker.certificate_file else None,
                keyfile=str(broker.certificate_key_file) if broker.certificate_key_file else None,
            )
        client.connect_timeout = broker.connect_timeout_s
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(2 * _IN_FLIGHT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    def _connect(self) -> bool:
        """Open a connection when it is time to, and tell whether there is one."""
        if time.monotonic() < self._retry_at:
            return False
        self._new_generation()
        broker = self._config.broker
        try:
            self._client.connect(broker.host, broker.port, broker.keepalive_s)
        except OSError as error:
            log(_log, logging.WARNING, "ingest.broker.away", f"the broker does not answer: {error}", host=broker.host)
            self._back_off()
            return False
        return True

    def _back_off(self) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, self._config.broker.reconnect_max_s)

    def _new_generation(self) -> None:
        """Forget what the last connection brought and nobody took; the broker delivers it again, except at QoS 0."""
        self._generation += 1
        self.inbox = deque(each for each in self.inbox if each.qos == 0)
        self._held = sum(len(each.payload) + _OVERHEAD for each in self.inbox)

    def _wait(self, current: BufferedSocket, timeout_s: float) -> bool:
        """Wait until there is something to read, or to send, or the time is over; tell whether reading makes sense."""
        if current.readable_now and not self._full:
            return True
        readers: list[BufferedSocket | socket.socket] = [self._heard] if self._full else [self._heard, current]
        writers = [current] if current.unsent else []
        readable, _, _ = select.select(readers, writers, [], timeout_s)
        self._quiet(readable)
        return current in readable

    def _sleep(self, timeout_s: float) -> None:
        """Wait for time to pass or for `wake`."""
        readable, _, _ = select.select([self._heard], [], [], timeout_s)
        self._quiet(readable)

    def _quiet(self, readable: list[Any]) -> None:
        if self._heard in readable:
            self._heard.recv(4096)

    def _read(self, current: BufferedSocket) -> None:
        """Take in packets until the kernel has no more or memory is full."""
        self._now_ms = now_ms = self._clock.now_ms()
        generation, inbox, room = self._generation, self.inbox, self._config.receive_bytes
        more = True
        while more and self._held < room:
            more = current.fill()
            other = True
            while other and self._held < room:
                packets, other = current.split(room - self._held, _OVERHEAD)
                for topic, payload, mid, qos, retained in packets:
                    inbox.append(Delivery(_text(topic), payload, now_ms, generation, mid, qos, retained))
                    self._held += len(payload) + _OVERHEAD
                # The client reads one packet of another kind, or finds the connection ended.
                if other and (self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._is(current)):
                    return

    def _is(self, current: BufferedSocket) -> bool:
        return self._client.buffered_socket() is current

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            if str(reason) in _SIGN_IN_REFUSED:
                self._fault = UsageError(f"the broker refuses the sign-in of {self._config.broker.username}: {reason}")
            return
        self._retry_s = self._config.broker.reconnect_min_s
        client.subscribe(self._filters)
        log(
            _log,
            logging.INFO,
            "ingest.broker.connected",
            "connected to the broker",
            session_kept=bool(flags.session_present),
        )

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            user = self._config.broker.username
            self._fault = UsageError(
                f"the broker refuses {user} the subscription of the partitions: see its access list"
            )
        else:
            self._subscribed = True

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._subscribed = False
        self._generation += 1
        self._back_off()
        log(_log, logging.WARNING, "ingest.broker.lost", "the connection to the broker ended", reason=str(reason))


def _filters(partitions: Iterable[int]) -> list[str]:
    """Return the subscriptions for all upward lanes of these partitions: one a lane where they are all there are."""
    lanes = [lane for lane in Lane if lane.upward]
    if set(partitions) == set(range(PARTITIONS)):
        return [subscription_to_all(lane) for lane in lanes]
    return [subscription(partition, lane) for lane in lanes for partition in sorted(partitions)]


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:  # a broker must not pass it on (MQTT 3.1.1, 1.5.3), but then it is only a bad topic
        return "\N{REPLACEMENT CHARACTER}"
