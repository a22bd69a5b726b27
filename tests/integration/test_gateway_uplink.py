"""A whole gateway against a real Mosquitto: lanes, receipts, broken links."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fix_gateway import START_MS, Device, EdgeBroker, Platform, patiently, quick_uplink

from hanlu.core.errors import ConflictError
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import Birth, Command
from hanlu.core.wire.envelope import ContentType, public_bytes
from hanlu.gateway.config import BrokerConfig, GatewayConfig
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.service import Gateway, run_many

pytestmark = pytest.mark.broker


def readings(count: int, start: int = 0, name: str = "room-1/air_temperature") -> list[Reading]:
    return [Reading(name, "Cel", START_MS + 1000 * step, step / 8 - 18) for step in range(start, start + count)]


def stream(address: str, sent: list[Reading], per_line: int = 1) -> None:
    device = Device(address)
    for start in range(0, len(sent), per_line):
        device.send_readings(sent[start : start + per_line])
    device.settle()
    assert device.errors == {}


@contextmanager
def started(config: GatewayConfig) -> Iterator[Gateway]:
    with Gateway(config) as gateway:
        gateway.start()
        yield gateway
        gateway.check()


def drained(gateway: Gateway) -> bool:
    return gateway.status().spool.pending == 0


def public_key(config: GatewayConfig) -> bytes:
    return public_bytes(load_or_create_key(config.key_path))


def test_readings_reach_the_platform_and_leave_the_spool_on_its_receipt(gateway_config, edge_platform):
    sent = readings(2_000)
    with started(gateway_config) as gateway:
        patiently(lambda: gateway.status().connected, "link")
        stream(gateway.address, sent)
        patiently(lambda: drained(gateway), "receipts")
        assert gateway.status().last_receipt_ms is not None
    assert edge_platform.readings() == dict.fromkeys(sent, 1)
    edge_platform.assert_whole(public_key(gateway_config))
    assert edge_platform.topics[0] == "birth:1"
    assert {topic.partition(":")[0] for topic in edge_platform.topics[1:]} == {"live"}
    assert edge_platform.repeated == 0


def test_orderly_stop_tells_the_platform_and_a_restart_continues_the_chain(gateway_config, edge_platform):
    for run in range(3):
        with started(gateway_config) as gateway:
            stream(gateway.address, readings(50, start=run * 50))
            patiently(lambda gateway=gateway: gateway.status().connected and drained(gateway), "receipts")
        patiently(lambda run=run: edge_platform.wills == run + 1, "will")
    edge_platform.assert_whole(public_key(gateway_config))
    assert edge_platform.readings() == dict.fromkeys(readings(150), 1)
    births = [e for e in edge_platform.envelopes() if e.header.content_type is ContentType.BIRTH]
    assert len({Birth.model_validate_json(envelope.payload).boot_ms for envelope in births}) == 3


def test_devices_are_served_without_a_link_and_the_backlog_comes_oldest_first_after_the_birth(
    gateway_config, edge_broker: EdgeBroker, edge_platform: Platform
):
    edge_broker.stop()
    config = gateway_config.model_copy(update={"uplink": quick_uplink(backlog_rate=100.0, receipt_timeout_s=20.0)})
    with started(config) as gateway:
        for start in range(0, 3_000, 200):  # one message each
            stream(gateway.address, readings(200, start), per_line=200)
        assert gateway.status().spool.pending == 15
        edge_broker.start()
        patiently(lambda: gateway.status().connected, "link")
        stream(gateway.address, readings(10, 3_000))
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(config))
    assert edge_platform.readings() == dict.fromkeys(readings(3_010), 1)
    assert edge_platform.topics[0] == "birth:16"
    backlog = [topic for topic in edge_platform.topics if topic.startswith("backlog:")]
    assert backlog == [f"backlog:{seq}" for seq in range(1, 16)]


def test_live_readings_overtake_a_slow_backlog(gateway_config, edge_broker: EdgeBroker, edge_platform: Platform):
    edge_broker.stop()
    config = gateway_config.model_copy(update={"uplink": quick_uplink(backlog_rate=5.0)})
    with started(config) as gateway:
        for start in range(20):
            stream(gateway.address, readings(1, start))
        edge_broker.start()
        patiently(lambda: gateway.status().connected, "link")
        stream(gateway.address, readings(1, 999))
        patiently(lambda: any(t.startswith("live:") for t in edge_platform.topics), "live reading", 2.0)
        assert sum(t.startswith("backlog:") for t in edge_platform.topics) < 20
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(config))


def test_replaying_gateway_says_so_and_keeps_the_order_across_an_outage(
    gateway_config, edge_broker: EdgeBroker, edge_platform: Platform
):
    config = gateway_config.model_copy(update={"replay": True, "uplink": quick_uplink(receipt_timeout_s=20.0)})
    edge_broker.stop()
    with started(config) as gateway:
        for start in range(0, 100, 10):
            stream(gateway.address, readings(10, start), per_line=10)
        edge_broker.start()
        patiently(lambda: gateway.status().connected, "link")
        for start in range(100, 200, 10):
            stream(gateway.address, readings(10, start), per_line=10)
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(config))
    assert all(envelope.header.replayed for envelope in edge_platform.envelopes())
    live = [int(topic.partition(":")[2]) for topic in edge_platform.topics if topic.startswith("live:")]
    assert live == sorted(live)
    assert not any(topic.startswith("backlog:") for topic in edge_platform.topics)


def test_lost_receipts_lead_to_repetition_and_no_deletion(gateway_config, edge_platform):
    edge_platform.mute = lambda: True
    sent = readings(300)
    with started(gateway_config) as gateway:
        patiently(lambda: gateway.status().connected, "link")
        stream(gateway.address, sent)
        patiently(lambda: edge_platform.repeated > 0, "repetition")
        assert gateway.status().spool.committed == 0
        edge_platform.mute = lambda: False
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(gateway_config))
    assert edge_platform.readings() == dict.fromkeys(sent, 1)


def test_messages_lost_behind_the_broker_are_repeated_until_committed(gateway_config, edge_platform):
    chance = random.Random(3)  # not every third: three messages sent again would lose the same one for ever
    edge_platform.deaf = lambda: chance.random() < 1 / 3
    sent = readings(500)
    with started(gateway_config) as gateway:
        patiently(lambda: gateway.status().connected, "link")
        for start in range(0, 500, 10):
            stream(gateway.address, sent[start : start + 10], per_line=10)
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(gateway_config))
    assert edge_platform.readings() == dict.fromkeys(sent, 1)


def test_broker_killed_and_restarted_while_a_device_streams_loses_nothing(
    gateway_config, edge_broker: EdgeBroker, edge_platform: Platform
):
    sent = readings(6_000)
    with started(gateway_config) as gateway:
        patiently(lambda: gateway.status().connected, "link")
        streamer = threading.Thread(target=stream, args=(gateway.address, sent, 3))
        streamer.start()
        for _ in range(3):
            time.sleep(0.2)
            edge_broker.kill()
            time.sleep(0.2)
            edge_broker.start()
        streamer.join()
        patiently(lambda: drained(gateway), "receipts")
    edge_platform.assert_whole(public_key(gateway_config))
    assert edge_platform.readings() == dict.fromkeys(sent, 1)


def test_commands_bring_a_birth_and_a_repetition(gateway_config, edge_platform):
    edge_platform.mute = lambda: True
    config = gateway_config.model_copy(update={"uplink": quick_uplink(receipt_timeout_s=60.0)})
    with started(config) as gateway:
        patiently(lambda: gateway.status().connected, "link")
        stream(gateway.address, readings(1))
        patiently(lambda: "live:2" in edge_platform.topics, "reading")
        edge_platform.command("gw-1", Command(action="rebirth"))
        patiently(lambda: "birth:3" in edge_platform.topics, "rebirth")
        edge_platform.command("gw-1", Command(action="resend", from_seq=2, to_seq=2))
        patiently(lambda: "backlog:2" in edge_platform.topics, "repetition")
        edge_platform.mute = lambda: False
        stream(gateway.address, readings(1, start=9))
        patiently(lambda: drained(gateway), "receipts")


def test_wrong_password_is_no_reason_to_refuse_devices(gateway_config):
    broker = gateway_config.broker.model_copy(update={"username": "nobody"})
    with started(gateway_config.model_copy(update={"broker": broker})) as gateway:
        stream(gateway.address, readings(10))
        time.sleep(0.3)
        status = gateway.status()
        assert not status.connected
        assert status.spool.pending > 0


def test_broker_that_accepts_and_says_nothing_does_not_hold_the_gateway_up(gateway_config):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = BrokerConfig(port=silent.getsockname()[1], connect_timeout_s=0.3)
        begin = time.monotonic()
        with started(gateway_config.model_copy(update={"broker": broker})) as gateway:
            stream(gateway.address, readings(10))
            time.sleep(0.5)
            assert not gateway.status().connected
        assert time.monotonic() - begin < 3


def test_garbage_from_the_broker_does_not_end_the_gateway(gateway_config):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as garbage:
        stop = threading.Event()

        def answer() -> None:
            garbage.settimeout(0.1)
            while not stop.is_set():
                try:
                    sock, _ = garbage.accept()
                    with sock:
                        sock.sendall(b"\x20\x02\x00\x00" + b"\x30\x05\x00\x09\xff\xff\xff" + b"\xf7" * 50)
                except OSError:
                    continue

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            broker = BrokerConfig(port=garbage.getsockname()[1], connect_timeout_s=0.3)
            with started(gateway_config.model_copy(update={"broker": broker})) as gateway:
                time.sleep(0.6)
                stream(gateway.address, readings(10))
        finally:
            stop.set()
            thread.join()


def test_several_gateways_in_one_process_serve_their_own_devices(gateway_config, edge_broker, edge_platform, tmp_path):
    configs = [
        gateway_config.model_copy(
            update={
                "code": code,
                "data_dir": tmp_path / code,
                "broker": edge_broker.login(code),
                "line": gateway_config.line.model_copy(update={"listen": f"unix:{tmp_path}/{code}.sock"}),
            }
        )
        for code in ("gw-1", "gw-2", "gw-3")
    ]
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run_many, args=(configs, stop, ready.set))
    thread.start()
    assert ready.wait(10)
    for number, config in enumerate(configs):
        stream(config.line.listen, readings(100, start=1_000 * number))
    expected = [r for number in range(3) for r in readings(100, start=1_000 * number)]
    patiently(lambda: edge_platform.readings() == dict.fromkeys(expected, 1), "readings")
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(edge_platform.raw) == 3


def test_second_gateway_on_the_same_data_folder_is_refused_with_its_name(gateway_config):
    with Gateway(gateway_config), pytest.raises(ConflictError, match="gw-1"):
        run_many([gateway_config], threading.Event(), lambda: None)
