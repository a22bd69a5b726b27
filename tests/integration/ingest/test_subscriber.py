"""The MQTT session on a real broker: what is not acknowledged comes again, and memory stays bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from fix_edge import Edge
from fix_mqtt import Client, forget_session, ingest_config, own_partition
from fix_services import BrokerServer

from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.core.wire.topics import Lane, Topic
from hanlu.ingest.config import BrokerConfig, IngestConfig
from hanlu.ingest.message import Delivery
from hanlu.ingest.subscriber import Subscriber

pytestmark = pytest.mark.broker

RECEIVE_BYTES = 1 << 16


@pytest.fixture
def edge() -> Edge:
    return Edge(partition=own_partition())


@pytest.fixture
def config(broker: BrokerServer, edge: Edge) -> Iterator[IngestConfig]:
    config = ingest_config(broker, edge.partition, receive_bytes=RECEIVE_BYTES)
    yield config
    forget_session(broker, config)


def _settled(subscriber: Subscriber, count: int, deadline_s: float = 10.0) -> list[Delivery]:
    """Take `count` deliveries; a few more rounds show that no more come."""
    taken: list[Delivery] = []
    end = time.monotonic() + deadline_s
    while len(taken) < count and time.monotonic() < end:
        subscriber.turn(0.05)
        while subscriber.inbox:
            taken.append(subscriber.take())
    for _ in range(5):
        subscriber.turn(0.02)
    assert not subscriber.inbox
    return taken


def _ready(subscriber: Subscriber) -> Subscriber:
    end = time.monotonic() + 10
    while not subscriber.ready:
        assert time.monotonic() < end, "not subscribed"
        subscriber.turn(0.05)
    return subscriber


def _break_off(subscriber: Subscriber) -> None:
    """Cut the connection as a crash would: nothing is said to the broker."""
    current = subscriber._client.buffered_socket()
    assert current is not None
    current._inner.shutdown(socket.SHUT_RDWR)


def test_every_upward_lane_arrives_in_order_and_no_downward_one(
    broker: BrokerServer, config: IngestConfig, edge: Edge
) -> None:
    lanes = [lane for lane in Lane if lane.upward]
    with Subscriber(config, SystemClock()) as subscriber, Client(broker) as client:
        _ready(subscriber)
        assert subscriber.publish(Topic(edge.partition, edge.code, Lane.RECEIPT), b"{}")
        client.publish(*((edge.topic(lane), lane.value.encode()) for lane in lanes))
        taken = _settled(subscriber, len(lanes))
        assert [(each.topic, each.payload) for each in taken] == [
            (edge.topic(lane), lane.value.encode()) for lane in lanes
        ]
        subscriber.acknowledge(taken)


def test_what_was_not_acknowledged_comes_again_and_the_rest_does_not(
    broker: BrokerServer, config: IngestConfig, edge: Edge
) -> None:
    with Client(broker) as client:
        with Subscriber(config, SystemClock()) as subscriber:
            _ready(subscriber)
            client.publish(*((edge.topic(), bytes([n])) for n in range(15)))
            taken = _settled(subscriber, 15)
            subscriber.acknowledge(taken[:5])
        with Subscriber(config, SystemClock()) as subscriber:
            again = _settled(subscriber, 10)
            assert [each.payload for each in again] == [bytes([n]) for n in range(5, 15)]
            subscriber.acknowledge(again)
        with Subscriber(config, SystemClock()) as subscriber:
            _ready(subscriber)
            assert _settled(subscriber, 0) == []


def test_stale_packet_id_confirms_nothing_on_a_later_connection(
    broker: BrokerServer, config: IngestConfig, edge: Edge
) -> None:
    with Client(broker) as client:
        with Subscriber(config, SystemClock()) as subscriber:
            _ready(subscriber)
            client.publish(*((edge.topic(), bytes([n])) for n in range(5)))
            stale = _settled(subscriber, 5)
            _break_off(subscriber)
            again = _settled(subscriber, 5)
            assert [each.payload for each in again] == [each.payload for each in stale]
            subscriber.acknowledge(stale)
        with Subscriber(config, SystemClock()) as subscriber:
            still = _settled(subscriber, 5)
            assert [each.payload for each in still] == [each.payload for each in stale]
            subscriber.acknowledge(still)


def test_messages_of_an_absent_worker_wait_at_the_broker(
    broker: BrokerServer, config: IngestConfig, edge: Edge
) -> None:
    with Subscriber(config, SystemClock()) as subscriber:
        _ready(subscriber)
    with Client(broker) as client:
        client.publish(*((edge.topic(), f"{n:04}".encode()) for n in range(2_000)))
    with Subscriber(config, SystemClock()) as subscriber:
        taken: list[Delivery] = []
        end = time.monotonic() + 20
        while len(taken) < 2_000 and time.monotonic() < end:
            subscriber.turn(0.05)
            batch = [subscriber.take() for _ in range(len(subscriber.inbox))]
            subscriber.acknowledge(batch)
            taken += batch
        assert [each.payload for each in taken] == [f"{n:04}".encode() for n in range(2_000)]


def test_socket_is_not_read_while_memory_is_full(broker: BrokerServer, config: IngestConfig, edge: Edge) -> None:
    body = b"x" * 10_000
    with Subscriber(config, SystemClock()) as subscriber, Client(broker) as client:
        _ready(subscriber)
        client.publish(*((edge.topic(), body) for _ in range(60)))
        for _ in range(20):
            subscriber.turn(0.02)
        held = sum(len(each.payload) for each in subscriber.inbox)
        assert RECEIVE_BYTES - len(body) < held < RECEIVE_BYTES + len(body)
        assert subscriber.ready
        taken = 0
        end = time.monotonic() + 20
        while taken < 60 and time.monotonic() < end:
            batch = [subscriber.take() for _ in range(len(subscriber.inbox))]
            subscriber.acknowledge(batch)
            taken += len(batch)
            subscriber.turn(0.05)
        assert taken == 60


def test_wrong_password_is_a_clear_error_that_does_not_repeat_it(broker: BrokerServer, config: IngestConfig) -> None:
    login = config.broker.model_copy(update={"password": "open sesame"})
    wrong = config.model_copy(update={"broker": BrokerConfig.model_validate(login.model_dump())})
    with Subscriber(wrong, SystemClock()) as subscriber:
        with pytest.raises(UsageError, match="refuses the sign-in of platform") as refusal:
            _ready(subscriber)
        assert "sesame" not in str(refusal.value)


def test_absent_broker_is_tried_again_and_stops_nothing(config: IngestConfig) -> None:
    absent = config.broker.model_copy(update={"port": 1, "reconnect_max_s": 0.2})
    with Subscriber(config.model_copy(update={"broker": absent}), SystemClock()) as subscriber:
        for _ in range(10):
            subscriber.turn(0.05)
        assert not subscriber.ready
        assert not subscriber.publish(Topic(0, "gw-1", Lane.RECEIPT), b"{}")
