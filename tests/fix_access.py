"""An MQTT client that tells what a broker lets it do, and a Mosquitto with TLS and certificates of the test's own."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from hanlu.app.certificates import Authority
    from hanlu.app.embedded.broker import EmbeddedBroker

WAIT_S = 5.0
QUIET_S = 0.4
"""How long a message that must not come is waited for; those that may come arrive within a few milliseconds."""


@dataclass(slots=True)
class Probe:
    """One connection as some user; `accepted` tells how the broker answered.

    Use as a context manager; entering connects.
    """

    port: int
    user: str | None
    password: str | None
    client_id: str = ""
    will: str | None = None
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    heard: list[str] = field(default_factory=list)
    refusal: str = ""
    accepted: bool = False
    lost: threading.Event = field(default_factory=threading.Event)
    _client: Any = None
    _answered: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self.client_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        if self.user is not None:
            client.username_pw_set(self.user, self.password)
        if self.will is not None:
            client.will_set(self.will, b"gone", qos=1)
        if self.tls is not None:
            client.tls_set_context(self.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: (self.lost.set(), self._answered.set())
        client.on_message = lambda _c, _d, message: self.heard.append(message.topic)
        self._client = client
        try:
            client.connect(self.host, self.port, keepalive=30)
        except OSError as error:  # TLS says no
            self.refusal = str(error)
            return self
        client.loop_start()
        self._answered.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str) -> bool:
        """Subscribe and return whether the broker granted it."""
        done, codes = threading.Event(), []

        def on_subscribe(_c: Any, _d: Any, _mid: int, reasons: list[Any], _p: Any) -> None:
            codes.extend(reasons)
            done.set()

        self._client.on_subscribe = on_subscribe
        self._client.subscribe(topic, qos=1)
        assert done.wait(WAIT_S), "no SUBACK"
        return not codes[0].is_failure

    def publish(self, *topics: str) -> None:
        """Publish to each and wait for the acknowledgement, which says nothing about rights in MQTT 3.1.1."""
        for topic in topics:
            self._client.publish(topic, b"x", qos=1).wait_for_publish(WAIT_S)

    def break_off(self) -> None:
        """Close the socket without a farewell, so that the broker publishes the will."""
        self._client.loop_stop()
        self._client.socket().close()

    def hears(self, topic: str) -> bool:
        """Wait for a message on a topic."""
        end = time.monotonic() + WAIT_S
        while topic not in self.heard and time.monotonic() < end:
            time.sleep(0.005)
        return topic in self.heard

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.accepted, self.refusal = not reason.is_failure, str(reason) if reason.is_failure else ""
        self._answered.set()


@contextmanager
def tls_broker(folder: Path, **settings: Any) -> Iterator[tuple[EmbeddedBroker, Authority]]:
    """Run the embedded Mosquitto with a TLS listener and an authority of its own, for gateways gw-a and gw-b."""
    from fix_services import free_port, prepared, running

    from hanlu.app.certificates import Authority
    from hanlu.app.embedded.broker import EmbeddedBroker
    from hanlu.app.settings import BrokerSettings

    authority = Authority(folder / "certificates", datetime.now(UTC))
    made = authority.server(["127.0.0.1", "localhost"], 30)
    values = {
        "port": free_port(),
        "kind": "mosquitto",
        "tls_port": free_port(),
        "tls_host": "127.0.0.1",
        "certificate_file": made.certificate,
        "key_file": made.key,
        "ca_file": authority.certificate,
    }
    service = EmbeddedBroker(folder / "broker", BrokerSettings(**values | settings), ("gw-a", "gw-b"))
    prepared(service)
    with running(service, folder / "broker.log"):
        yield service, authority


def trusting(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a client's context that trusts one authority and shows a certificate where one is named."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
