"""The whole worker between a real broker and a real database."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import Edge, Message, temperature
from fix_ingest import Platform, working
from fix_mqtt import Client, forget_session, ingest_config, own_partition
from fix_services import BrokerServer, free_port, prepared, running, temporary_folder, wait_until

from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.settings import BrokerSettings
from hanlu.core.senml import encode_json
from hanlu.ingest.config import BrokerConfig, IngestConfig

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


@pytest.fixture
def edge() -> Edge:
    return Edge(partition=own_partition())


@pytest.fixture
def config(broker: BrokerServer, edge: Edge) -> Iterator[IngestConfig]:
    config = ingest_config(broker, edge.partition)
    yield config
    forget_session(broker, config)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _series(edge: Edge, count: int) -> list[Message]:
    now = _now()
    return [edge.readings([temperature(-18, now - i)]) for i in range(count)]


def test_readings_reach_the_database_and_the_gateway_gets_its_receipt(
    broker: BrokerServer, config: IngestConfig, edge: Edge, platform: Platform
) -> None:
    platform.register(edge)
    messages = [edge.birth(), *_series(edge, 200)]
    with working(config, platform), Client(broker) as client:
        client.listen(edge)
        client.publish(*messages)
        receipt = client.await_receipt(201)
    assert receipt["epoch"] == edge.epoch.hex()
    assert receipt["missing"] == []
    assert abs(receipt["now_ms"] - _now()) < 60_000
    assert platform.account(edge)["stored"] == 200
    platform.check()


def test_receipt_names_what_is_missing(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    messages = _series(edge, 10)
    with working(config, one_platform), Client(broker) as client:
        client.listen(edge)
        client.publish(messages[0], *messages[4:6], messages[8])
        wait_until(lambda: bool(client.receipts) and len(client.receipts[-1]["missing"]) == 2, "receipt with two gaps")
        assert client.receipts[-1]["missing"] == [[2, 4], [7, 8]]
        client.publish(*messages)
        assert client.await_receipt(10)["missing"] == []
    one_platform.check()


def test_one_bad_message_among_a_thousand_delays_and_loses_nothing(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    stranger, thief = Edge("gw-2", edge.partition), Edge(partition=edge.partition, key=Ed25519PrivateKey.generate())
    messages = _series(edge, 1_000)
    bad = [
        (edge.topic(), b"\xff\x00garbage"),
        (edge.topic(), b"[" + b" " * (300 * 1024)),
        (edge.topic(), encode_json([temperature(-18)])),
        thief.readings([temperature(-18)]),
    ]
    with working(config, one_platform), Client(broker) as client, Client(broker, "gw-2") as other:
        client.listen(edge)
        client.publish(*messages[:500], *bad, *messages[500:])
        other.publish(stranger.readings([temperature(-18)]))
        client.await_receipt(1_000)
        wait_until(lambda: len(one_platform.dead_letters()) == 5, "dead letters")
    assert one_platform.dead_letters() == {
        "malformed": 1,
        "oversized": 1,
        "bad_signature": 1,
        "unknown_key": 1,
        "unknown_gateway": 1,
    }
    assert one_platform.account(edge)["stored"] == 1_000
    one_platform.check()


def test_device_registered_a_moment_ago_is_known_within_seconds_and_its_first_reading_too(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    patient = config.model_copy(update={"directory_refresh_s": 3_600.0, "directory_miss_s": 0.5})
    with working(patient, one_platform), Client(broker) as client:
        client.listen(edge)
        gateway_id = one_platform.register(edge, ())
        time.sleep(0.6)
        client.publish(edge.readings([temperature(-18, _now())]))
        client.await_receipt(1)
        assert one_platform.dead_letters() == {"unknown_channel": 1}
        one_platform.add_device(gateway_id, "room-1")
        time.sleep(0.6)
        client.publish(edge.readings([temperature(-18, _now())]))
        client.await_receipt(2)
        wait_until(lambda: one_platform.account(edge)["stored"] == 2, "the dead letter replayed")
    assert one_platform.account(edge)["dead"] == 0
    one_platform.check()


@pytest.mark.parametrize("signed", [True, False])
def test_gateway_registered_after_its_first_message_loses_nothing(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform, signed: bool
) -> None:
    patient = config.model_copy(update={"directory_refresh_s": 3_600.0, "directory_miss_s": 0.5})
    reading = temperature(-18, _now())
    message = edge.readings([reading]) if signed else (edge.topic(), encode_json([reading]))
    with working(patient, one_platform), Client(broker) as client:
        client.publish(message)
        wait_until(lambda: one_platform.dead_letters() == {"unknown_gateway": 1}, "dead letter")
        one_platform.register(edge, unsigned=not signed)
        wait_until(lambda: one_platform.one("SELECT count(*) FROM telemetry.reading") == 1, "the dead letter replayed")
        if signed:  # without a receipt the gateway sends it again, and is told that it has arrived
            client.listen(edge)
            client.publish(message)
            client.await_receipt(1)
    assert one_platform.one("SELECT count(*) FROM telemetry.reading") == 1
    one_platform.check()


def test_revoked_key_stops_working_at_the_next_refresh(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    hasty = config.model_copy(update={"directory_refresh_s": 0.2})
    with working(hasty, one_platform), Client(broker) as client:
        client.listen(edge)
        client.publish(edge.readings([temperature(-18, _now())]))
        client.await_receipt(1)
        one_platform.execute("UPDATE registry.gateway_key SET revoked_at = now() - INTERVAL '1 second'")
        time.sleep(1.0)
        client.publish(edge.readings([temperature(-18, _now())]))
        wait_until(lambda: bool(one_platform.dead_letters()), "dead letter")
    assert one_platform.dead_letters() == {"unknown_key": 1}
    assert one_platform.account(edge)["highest"] == 1


def test_worker_takes_only_its_own_partitions(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    elsewhere = Edge("gw-2", own_partition())
    one_platform.execute("DELETE FROM registry.gateway_key")
    one_platform.register(elsewhere)
    with working(config, one_platform), Client(broker) as client, Client(broker, "gw-2") as other:
        other.publish(elsewhere.readings([temperature(-18, _now())]))
        client.publish((edge.topic(), b"garbage"))
        wait_until(lambda: bool(one_platform.dead_letters()), "dead letter")
    assert one_platform.one("SELECT count(*) FROM telemetry.arrival") == 0


def test_will_turns_the_link_off(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    with working(config, one_platform), Client(broker) as client:
        client.publish(edge.birth(), edge.will())
        wait_until(
            lambda: one_platform.rows("SELECT online FROM telemetry.gateway_link") == [(False,)], "gateway offline"
        )


def test_trial_broker_carries_readings_to_their_receipt_as_well(edge: Edge, one_platform: Platform) -> None:
    one_platform.register(edge)
    with temporary_folder() as folder:
        settings = BrokerSettings(port=free_port(), kind="amqtt")
        service = EmbeddedBroker(folder / "broker", settings, gateways=(edge.code,))
        prepared(service)
        with running(service, folder / "broker.log"):
            trial = BrokerServer("127.0.0.1", settings.port, service.url, service)
            everything = IngestConfig(broker=BrokerConfig.from_url(service.url))
            with working(everything, one_platform), Client(trial) as client:
                client.listen(edge)
                client.publish(*_series(edge, 100))
                client.await_receipt(100)
    assert one_platform.account(edge)["stored"] == 100
