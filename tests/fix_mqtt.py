"""An MQTT client for the tests: publishes messages as a gateway does, and collects receipts."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import paho.mqtt.client as mqtt
from fix_edge import Edge, Message
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.core.wire.topics import Lane, Topic
from hanlu.ingest.config import BrokerConfig, IngestConfig

if TYPE_CHECKING:
    from fix_services import BrokerServer

_partitions = itertools.cycle(range(64))


def own_partition() -> int:
    """Return a partition no test before this one used, so that tests share the broker without hearing each other."""
    return next(_partitions)


def ingest_config(broker: BrokerServer, partition: int, **others: Any) -> IngestConfig:
    """Return the configuration of a worker with a session of its own, for one partition."""
    login = BrokerConfig.from_url(broker.url, client_id=f"ingest-{uuid4().hex[:12]}")
    return IngestConfig.model_validate({"broker": login, "partitions": (partition,)} | others)


def forget_session(broker: BrokerServer, config: IngestConfig) -> None:
    """End a session that outlives its connection, so that the broker keeps nothing for it."""
    with Client(broker, "platform", client_id=config.broker.client_id):
        pass


class Client:
    """A signed-in client; messages of QoS 1, receipts of one gateway collected when asked for."""

    def __init__(self, broker: BrokerServer, user: str = "gw-1", *, client_id: str = "") -> None:
        self.receipts: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.username_pw_set(user, broker.password(user))
        self._client.max_inflight_messages_set(1_000)
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._on_message
        self._connected = threading.Event()
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self._connected.wait(10), "the broker does not answer"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, *messages: Message) -> None:
        """Publish messages in order and wait until the broker has them."""
        infos = [self._client.publish(topic, payload, qos=1) for topic, payload in messages]
        for info in infos:
            info.wait_for_publish(30)
            assert info.is_published(), "the broker does not take the message"

    def stream(self, messages: Iterable[Message], per_second: float) -> None:
        """Publish messages one after the other at about this rate."""
        began = time.monotonic()
        for number, message in enumerate(messages):
            ahead = number / per_second - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
            self._client.publish(*message, qos=1)

    def listen(self, edge: Edge) -> None:
        """Collect the receipts of a gateway."""
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.subscribe(str(Topic(edge.partition, edge.code, Lane.RECEIPT)), qos=1)
        assert subscribed.wait(10)

    def await_receipt(self, committed: int, deadline_s: float = 20.0) -> dict[str, Any]:
        """Wait for a receipt up to this seq and return it."""
        with self._arrived:
            assert self._arrived.wait_for(
                lambda: any(each["committed"] >= committed for each in self.receipts), deadline_s
            ), f"no receipt up to {committed}, only {self.receipts[-1:]}"
            return next(each for each in self.receipts if each["committed"] >= committed)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.receipts.append(json.loads(message.payload))
            self._arrived.notify_all()
