"""The link to the broker: paho, and nothing but the way of the bytes. What is sent and when is the courier's business.

MQTT 3.1.1, QoS 1, a fixed client id and a kept session, so that receipts wait in the broker while we are away. Each
connection gets a new paho client: paho would re-send its own memory before the birth, and our spool remembers better.
A PUBACK only makes room for the next message; it deletes nothing. One thread does it all; no lock is needed.
"""

from __future__ import annotations

import logging
import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from hanlu.core.clock import Clock
from hanlu.core.observe import log
from hanlu.gateway.config import BrokerConfig, GatewayConfig
from hanlu.gateway.courier import Courier, Outgoing

__all__ = ["Uplink"]

_logger = logging.getLogger(__name__)

_TICK_S: Final = 1.0
"""Longest sleep: paho's keep-alive is looked at this often."""
_STEADY_S: Final = 10.0
"""A connection that held this long was a good one: the next reconnection waits little again."""
_FAREWELL_S: Final = 1.0
"""Time for the last acknowledgements on an orderly stop."""
_PROTOCOL_ERRORS: Final = (OSError, ValueError, IndexError, struct.error)
"""What paho lets through when the other side is gone or speaks no MQTT."""


class Uplink:
    """Keeps one gateway connected and delivers what its courier hands out."""

    def __init__(self, config: GatewayConfig, courier: Courier, clock: Clock) -> None:
        """Prepare; nothing is connected before `run`."""
        self._config, self._courier, self._clock = config, courier, clock
        self._stop = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self.connected = False
        """Whether the broker has accepted us just now."""
        self.beat: Callable[[], None] = lambda: None
        """Called at least every minute or two, a connection attempt's time."""

    def wake(self) -> None:
        """Say that the spool has something new; from any thread."""
        try:
            self._wake_write.send(b"\0")
        except OSError:
            return  # the pipe is full: the uplink is awake already; or closed: it has stopped

    def stop(self) -> None:
        """Make `run` say farewell and return; from any thread."""
        self._stop.set()
        self.wake()

    def run(self) -> None:
        """Connect and deliver until `stop`, whatever the link does.

        Raises:
            FatalError: the spool is damaged.
        """
        attempt = 0
        while not self._stop.is_set():
            since = self._clock.monotonic()
            self.beat()
            self._converse()
            self.beat()
            attempt = 0 if self._clock.monotonic() - since > _STEADY_S else attempt + 1
            limits = self._config.uplink
            pause = min(limits.reconnect_max_s, limits.reconnect_min_s * 2 ** min(attempt, 16))
            self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnections, guards nothing

    def close(self) -> None:
        """Release what `wake` uses; after `run` has returned."""
        self._wake_read.close()
        self._wake_write.close()

    def _converse(self) -> None:
        """Hold one connection from the first byte to the last."""
        link = _Link(self._config, self._courier.will(), self._wake_read)
        try:
            link.connect(self._courier.downward)
            if not self._await_acceptance(link):
                return
            self.connected = True
            log(_logger, logging.INFO, "gateway.link.up", f"{self._config.code}: connected")
            link.publish(self._courier.connected())
            while not self._stop.is_set() and link.alive:
                self.beat()
                self._deliver(link)
                link.turn(self._pause(link))
            if self._stop.is_set() and link.alive:
                self._say_farewell(link)
        except _PROTOCOL_ERRORS as error:
            link.trouble = link.trouble or str(error)
        finally:
            self.connected = False
            link.close()
            if link.trouble:
                log(_logger, logging.WARNING, "gateway.link.down", f"{self._config.code}: {link.trouble}")

    def _await_acceptance(self, link: _Link) -> bool:
        deadline = self._clock.monotonic() + self._config.broker.connect_timeout_s
        while link.alive and not link.accepted and not self._stop.is_set():
            left = deadline - self._clock.monotonic()
            if left <= 0:
                link.trouble = "the broker does not answer"
                return False
            link.turn(min(left, _TICK_S))
        return link.accepted and link.alive

    def _deliver(self, link: _Link) -> None:
        """Hear first, so that what was receipted is not sent again."""
        for topic, payload in link.heard():
            self._courier.heard(topic, payload)
        self._courier.settle()
        while link.alive and (messages := self._courier.outgoing(self._room(link))):
            link.publish(messages)

    def _room(self, link: _Link) -> int:
        return self._config.uplink.max_in_flight - link.in_flight

    def _pause(self, link: _Link) -> float:
        wait = self._courier.wait_s(self._room(link))
        return _TICK_S if wait is None else min(wait, _TICK_S)

    def _say_farewell(self, link: _Link) -> None:
        """Tell the platform ourselves, since an orderly DISCONNECT makes the broker forget the will."""
        link.publish([self._courier.will()])
        deadline = self._clock.monotonic() + _FAREWELL_S
        while link.alive and link.in_flight and (left := deadline - self._clock.monotonic()) > 0:
            link.turn(left)
        for topic, payload in link.heard():
            self._courier.heard(topic, payload)
        self._courier.settle()
        link.disconnect()


class _Link:
    """One connection: a paho client driven by hand, and what it said since."""

    def __init__(self, config: GatewayConfig, will: Outgoing, wake: socket.socket) -> None:
        self._broker = config.broker
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._inbox: list[tuple[str, bytes]] = []
        self._downward: tuple[str, ...] = ()
        self._socket: mqtt.SocketLike | None = None
        self.accepted, self.alive, self.in_flight, self.trouble = False, True, 0, ""
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"hanlu-{config.code}", clean_session=False, protocol=mqtt.MQTTv311
        )
        client.max_inflight_messages_set(0)  # the courier bounds it
        client.will_set(will.topic, will.payload, qos=1)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_publish = self._on_message, self._on_publish
        _sign_in(client, config.broker)
        self._client = client

    def connect(self, downward: tuple[str, ...]) -> None:
        """Open the connection; its acceptance comes with a later `turn`."""
        self._downward = downward
        self._client.connect(self._broker.host, self._broker.port, self._broker.keepalive_s)
        self._socket = self._client.socket()
        if self._socket is None:
            raise OSError("the connection was gone at once")
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def turn(self, timeout_s: float) -> None:
        """Move bytes both ways, sleeping up to `timeout_s` where there are none and nobody calls `wake`."""
        if self._socket is None or self._client.socket() is not self._socket:
            self.alive = False
            return
        writing = selectors.EVENT_WRITE if self._client.want_write() else 0
        self._selector.modify(self._socket, selectors.EVENT_READ | writing)
        for key, events in self._selector.select(timeout_s):
            if key.fileobj is self._wake:
                while self._drain_wake():
                    pass
                continue
            if events & selectors.EVENT_READ:
                self._client.loop_read()
                while self._buffered():
                    self._client.loop_read()
            if events & selectors.EVENT_WRITE:
                self._client.loop_write()
        self._client.loop_misc()

    def publish(self, messages: Iterable[Outgoing]) -> None:
        """Hand over messages, QoS 1; what a broken connection loses is sent again on the next."""
        for message in messages:
            info = self._client.publish(message.topic, message.payload, qos=1)
            if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                self.trouble, self.alive = self.trouble or f"publishing failed: {info.rc.name}", False
                return
            self.in_flight += 1

    def heard(self) -> list[tuple[str, bytes]]:
        """Return what came down since the last call."""
        heard, self._inbox = self._inbox, []
        return heard

    def disconnect(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        if self._client.want_write():
            self._client.loop_write()

    def close(self) -> None:
        """Drop the connection; an unsaid goodbye makes the broker publish the will."""
        self.alive = False
        self._selector.close()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _buffered(self) -> bool:
        """Tell whether TLS holds decrypted bytes that no selector will tell of."""
        pending = getattr(self._client.socket(), "pending", None)
        return bool(pending and pending())

    def _drain_wake(self) -> bytes:
        try:
            return self._wake.recv(4096)
        except BlockingIOError:
            return b""

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.trouble, self.alive = f"the broker refuses us: {reason}", False
            return
        self._client.subscribe([(topic, 1) for topic in self._downward])
        self.accepted = True

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.alive = False
        if reason.is_failure:
            # MQTT 3.1.1 gives no reason. Of two machines with one client id each ends the other's session.
            again = "if this repeats, another machine may be signed in as this gateway"
            self.trouble = self.trouble or f"connection lost: ended by the broker or the network; {again}"

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self._inbox.append((message.topic, bytes(message.payload)))
        except UnicodeDecodeError:
            return  # no topic of ours

    def _on_publish(self, _client: Any, _data: Any, _mid: Any, _reason: Any, _properties: Any) -> None:
        self.in_flight -= 1


def _sign_in(client: mqtt.Client, broker: BrokerConfig) -> None:
    client.connect_timeout = broker.connect_timeout_s
    if broker.username is not None:
        secret = broker.password.get_secret_value() if broker.password is not None else None
        client.username_pw_set(broker.username, secret)
    if broker.tls:
        client.tls_set(
            ca_certs=str(broker.ca_file) if broker.ca_file else None,
            certfile=str(broker.certificate_file) if broker.certificate_file else None,
            keyfile=str(broker.certificate_key_file) if broker.certificate_key_file else None,
        )
