"""One connection to the devices' broker; in the drivers, the only file that knows the MQTT client.

A new client for each connection: packet ids and the client's own memory end with it. It speaks MQTT 3.1.1 and
acknowledges by hand.
Source: MQTT 3.1.1, 3.1.2.4 (session state), 3.2.2.2 (session present), 4.3.2 (QoS 1).
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from hanlu.core.clock import Clock
from hanlu.gateway.driver.mqtt_dialogue import MqttBroker, Publication

__all__ = ["PROTOCOL_ERRORS", "TICK_S", "Delivery", "Link"]

TICK_S: Final = 0.5
"""Longest sleep: keep-alive and the dialogue's own times are looked at this often."""
_OVERHEAD: Final = 200
"""Bytes a waiting message takes besides its payload, about."""
_QUIET_S: Final = 0.25
"""Silence after which what comes is new, not held back by the broker."""
_CATCH_UP_S: Final = 30.0
"""Seconds after a connection from which everything counts as new, however busy the broker is."""
_FAREWELL_S: Final = 1.0
"""Time for the last acknowledgements on an orderly stop, seconds."""
_PACKETS: Final = 1_000
"""Packets read in one turn at most."""
PROTOCOL_ERRORS: Final = (OSError, ValueError, IndexError, struct.error)
"""What the client lets through when the other side is gone or speaks no MQTT, or a file of the sign-in is wrong."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message and how it came.

    Attributes:
        link: the connection it came on, the only one it can be acknowledged on.
        topic: U+FFFD where it was no UTF-8.
        payload: its bytes.
        now_ms: Unix milliseconds at reception.
        mid: packet id.
        qos: it was delivered at; at 0 the broker has forgotten it.
        retained: whether the broker had kept it for whoever subscribes.
        held_back: whether it probably waited at the broker while we were away.
    """

    link: Link
    topic: str
    payload: bytes
    now_ms: int
    mid: int
    qos: int
    retained: bool
    held_back: bool

    @property
    def size(self) -> int:
        """Return the memory it takes, bytes, about."""
        return len(self.payload) + _OVERHEAD


class Link:
    """One connection: a client driven by hand.

    Attributes:
        alive: false from the moment it is known to have ended.
        subscribed: whether the broker has confirmed the subscriptions.
        trouble: why it ended, in words; empty: in order.
    """

    def __init__(
        self,
        broker: MqttBroker,
        client_id: str,
        filters: tuple[str, ...],
        arrived: Callable[[Delivery], None],
        wake: socket.socket,
        clock: Clock,
        *,
        keep_session: bool,
    ) -> None:
        """Prepare; nothing is connected before `open`.

        Args:
            broker: where and how.
            client_id: unless the broker's section names one.
            filters: to subscribe to at QoS 1.
            arrived: called during `turn` for every message.
            wake: a socket that ends a turn's sleep when something comes on it.
            clock: gives the time of reception.
            keep_session: whether the broker shall keep messages for us between connections.
        """
        self._keep_session = keep_session
        self._broker, self._client_id, self._filters = broker, broker.client_id or client_id, filters
        self._arrived, self._wake, self._clock = arrived, wake, clock
        self._selector = selectors.DefaultSelector()
        self._client: mqtt.Client | None = None
        self._socket: mqtt.SocketLike | None = None
        self.alive, self.subscribed, self.trouble = True, False, ""
        self._catching_up, self._watched, self._in_flight = False, 0, 0
        self._opened = self._last = 0.0

    def open(self, stop: threading.Event, will: Publication | None) -> bool:
        """Open the connection; sign-in and subscriptions are confirmed during later turns. False: stopped, or none.

        Name resolution, TCP and TLS block, so they have a thread of their own, which is left behind on a stop.

        Raises:
            OSError, ValueError: a file of the sign-in cannot be read or holds no key or certificate.
        """
        client = self._client = self._made(will)
        failure: list[Exception] = []

        def connect() -> None:
            try:
                client.connect(self._broker.host, self._broker.port, self._broker.keepalive_s)
            except PROTOCOL_ERRORS as error:
                failure.append(error)
            if not self.alive and (left := client.socket()) is not None:
                left.close()

        thread = threading.Thread(target=connect, name="mqtt-connect", daemon=True)
        thread.start()
        while thread.is_alive() and not stop.is_set():
            thread.join(0.05)
        if stop.is_set():
            return False
        if failure or client.socket() is None:
            self.trouble = str(failure[0]) if failure else "the connection was gone at once"
            return False
        self._socket = client.socket()
        assert self._socket is not None
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._opened = self._last = time.monotonic()
        return True

    def _made(self, will: Publication | None) -> mqtt.Client:
        broker = self._broker
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=not self._keep_session,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.connect_timeout = broker.connect_timeout_s
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.secret())
        if broker.tls:
            client.tls_set_context(_tls(broker))
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        client.on_publish = self._on_publish
        return client

    def turn(self, timeout_s: float, *, has_room: Callable[[], bool]) -> None:
        """Move bytes both ways, sleeping up to `timeout_s` where there are none.

        Args:
            timeout_s: seconds.
            has_room: asked before each packet is read; False leaves the rest in the socket.
        """
        client = self._client
        if client is None or self._socket is None or client.socket() is not self._socket:
            self.alive = False
            return
        wanted = selectors.EVENT_WRITE if client.want_write() else 0
        if has_room():
            wanted |= selectors.EVENT_READ
        # What was left for want of room may lie in TLS's own memory, of which no selector tells.
        readable = bool(wanted & selectors.EVENT_READ) and _decrypted(self._socket)
        self._watch(self._socket, wanted)
        for key, events in self._selector.select(0.0 if readable else timeout_s):
            if key.fileobj is self._wake:
                self._wake.recv(4096)
                continue
            if events & selectors.EVENT_WRITE:
                client.loop_write()
            if events & selectors.EVENT_READ:
                readable = True
        if readable:
            self._read(client, has_room)
        client.loop_misc()
        if not self.subscribed and time.monotonic() - self._opened > client.connect_timeout + TICK_S:
            self.trouble, self.alive = self.trouble or "the broker does not answer", False

    def _watch(self, sock: mqtt.SocketLike, wanted: int) -> None:
        """Wait for these events; for none, the socket must leave the selector."""
        if wanted == self._watched:
            return
        if not wanted:
            self._selector.unregister(sock)
        elif self._watched:
            self._selector.modify(sock, wanted)
        else:
            self._selector.register(sock, wanted)
        self._watched = wanted

    def _read(self, client: mqtt.Client, has_room: Callable[[], bool]) -> None:
        """Read what is there, so that one offer serves it all; no more than a batch's worth."""
        now = time.monotonic()
        if now - self._last > _QUIET_S or now - self._opened > _CATCH_UP_S:
            self._catching_up = False
        for _ in range(_PACKETS):
            if client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS or not (has_room() and self._readable(client)):
                break
        self._last = time.monotonic()

    def _readable(self, client: mqtt.Client) -> bool:
        sock = client.socket()
        if sock is None or sock is not self._socket:
            return False
        if _decrypted(sock):
            return True
        return any(key.fileobj is sock and events & selectors.EVENT_READ for key, events in self._selector.select(0))

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that this message is ours; nothing where its connection is over."""
        if self.alive and self._client is not None and delivery.qos:
            self._client.ack(delivery.mid, delivery.qos)

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over messages; what a broken connection loses, the dialogue says again or its devices ask again."""
        for each in publications:
            if not self.alive or self._client is None:
                return
            info = self._client.publish(each.topic, each.payload, each.qos, each.retain)
            if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                self.trouble = self.trouble or f"publishing failed: {info.rc.name}"
            else:
                self._in_flight += 1

    def disconnect(self) -> None:
        """Wait a little until the broker has what we published, then say goodbye.

        Gone before it has answered, it would find the connection broken first, and publish the will.
        """
        end = time.monotonic() + _FAREWELL_S
        while self.alive and self._in_flight and (left := end - time.monotonic()) > 0:
            self.turn(left, has_room=lambda: True)
        if self._client is None or not self.alive:
            return
        self._client.disconnect()
        while self._client.socket() is not None and self._client.want_write() and time.monotonic() < end:
            self._client.loop_write()

    def close(self) -> None:
        """Drop the connection; an unsaid goodbye makes the broker publish the will."""
        self.alive = False
        self._selector.close()
        if self._client is not None and (sock := self._client.socket()) is not None:
            sock.close()

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.trouble, self.alive = f"the broker refuses us: {reason}", False
            return
        self._catching_up = bool(flags.session_present)
        client.subscribe([(each, 1) for each in self._filters])

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.trouble, self.alive = "the broker refuses a subscription: see its access list", False
        self.subscribed = self.alive

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.alive = False
        if reason.is_failure:
            self.trouble = self.trouble or f"connection lost: {reason}"

    def _on_publish(self, _client: Any, _data: Any, _mid: Any, _reason: Any, _properties: Any) -> None:
        self._in_flight -= 1

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker must not pass it on (MQTT 3.1.1, 1.5.3), but then it is only a bad topic
            topic = "\N{REPLACEMENT CHARACTER}"
        now_ms = self._clock.now_ms()
        self._arrived(
            Delivery(
                self, topic, bytes(message.payload), now_ms, message.mid, message.qos, message.retain, self._catching_up
            )
        )


def _decrypted(sock: mqtt.SocketLike) -> bool:
    """Tell whether TLS holds bytes ready to be read."""
    pending = getattr(sock, "pending", None)
    return bool(pending and pending())


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; nobody else holds it then."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls(broker: MqttBroker) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=broker.ca_file)
    context.sslsocket_class = _TlsSocket
    if broker.cert_file is not None:
        context.load_cert_chain(broker.cert_file, broker.key_file)
    return context
