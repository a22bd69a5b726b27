"""The subscriber all MQTT drivers share, on a real broker: acknowledged after it is kept, and nothing lost or stuck."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest
from fix_drivers import DeviceBroker, FakeIntake, running_driver
from fix_services import BrokerServer, free_port, temporary_folder, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from hanlu.core.clock import SystemClock
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.contract import Batch, Undecodable
from hanlu.gateway.driver.mqtt_dialogue import Handled, Listener, MqttBroker
from hanlu.gateway.driver.mqtt_link import Link
from hanlu.gateway.driver.mqtt_source import MqttSource

pytestmark = pytest.mark.broker

NOW = 1_750_000_000_000


def understand(topic: str, payload: bytes, now_ms: int) -> Batch:
    """`5`: a reading of 5 with no time; `5@<ms>`: with one; `bug`: a mistake in a driver; else: not to be read."""
    if payload == b"bug":
        raise KeyError("oops")
    value, _, at = payload.partition(b"@")
    if not value.isdigit():
        return Batch(undecodable=(Undecodable(topic, Rejected(Reason.MALFORMED, "no number"), payload),))
    return Batch((Reading("room-1/temp", "Cel", int(at or now_ms), float(value)),))


def source(port: int, intake: FakeIntake, **others: object) -> MqttSource:
    broker = MqttBroker(port=port, reconnect_min_s=0.05, reconnect_max_s=0.2, **others)
    return MqttSource("test", broker, ("dev/+/up",), Listener(understand), intake, SystemClock())


def values(intake: FakeIntake) -> list[float]:
    return [reading.value for reading in intake.readings]


def test_messages_arrive_in_order(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        for number in range(50):
            device.publish("dev/1/up", str(number))
        wait_until(lambda: len(intake.readings) == 50, "all readings")
    assert values(intake) == [float(number) for number in range(50)]
    assert driver.counts["messages"] == driver.counts["readings"] == 50


def test_messages_published_while_away_arrive_later_and_their_time_of_reception_is_doubted(
    device_broker: DeviceBroker,
) -> None:
    intake = FakeIntake()
    first = source(device_broker.port, intake)
    with running_driver(first):
        wait_until(lambda: first.ready, "subscribed")
    with device_broker.peer() as device:
        device.publish("dev/1/up", "1")
        device.publish("dev/1/up", f"2@{NOW}")
        second = source(device_broker.port, intake)
        with running_driver(second):
            wait_until(lambda: len(intake.readings) == 2, "what the broker kept")
            wait_until(lambda: second.ready, "subscribed")
    assert [(reading.value, reading.quality) for reading in intake.readings] == [
        (1.0, Quality.UNCERTAIN),
        (2.0, Quality.GOOD),
    ]


def test_messages_of_a_refusing_disk_are_not_acknowledged_and_not_lost(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    intake.failures = 1_000
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        device.publish("dev/1/up", "7")
        wait_until(lambda: driver.counts["not_written"] >= 2, "two offers")
    assert not intake.kept
    intake.failures = 0
    with running_driver(source(device_broker.port, intake)):
        wait_until(lambda: values(intake) == [7.0], "the message comes again, since nobody acknowledged it")


def test_disk_that_recovers_gets_the_batch_again(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    intake.failures = 2
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        device.publish("dev/1/up", "7")
        device.publish("dev/1/up", "8")
        wait_until(lambda: values(intake) == [7.0, 8.0], "both, once")
    with running_driver(again := source(device_broker.port, intake)):
        wait_until(lambda: again.ready, "subscribed")
    assert values(intake) == [7.0, 8.0], "acknowledged, so not delivered again"


def test_memory_is_bounded_while_the_disk_refuses_also_of_what_nobody_can_read(device_broker: DeviceBroker) -> None:
    """At QoS 0 no broker waits for an acknowledgement; messages without readings fill no batch."""
    intake, count, body = FakeIntake(), 60, b"x" * 200_000
    intake.failures = 1_000
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        for number in range(count):
            device.publish("dev/1/up", b"%02d" % number + body, qos=0)
        wait_until(lambda: driver.counts["not_written"] >= 5, "the disk refuses")
        assert 4_000_000 < driver.waiting_bytes < 4_500_000
        intake.failures = 0
        wait_until(lambda: len(intake.undecodable) == count, "all of it after all", 20)
        assert [int(bad.body[:2]) for bad in intake.undecodable] == list(range(count))
        wait_until(lambda: driver.waiting_bytes == 0, "nothing waits")


def test_refused_batch_is_over(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    intake.full = True
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        device.publish("dev/1/up", "7")
        wait_until(lambda: driver.counts["refused"] == 1, "refused")
        intake.full = False
        device.publish("dev/1/up", "8")
        wait_until(lambda: values(intake) == [8.0], "only the next")
    with running_driver(again := source(device_broker.port, intake)):
        wait_until(lambda: again.ready, "subscribed")
    assert values(intake) == [8.0]


@pytest.mark.parametrize("poison", [b"bug", b"\xff\x00", b"", b"x" * 1_000_000])
def test_poison_is_handed_on_and_blocks_nothing(device_broker: DeviceBroker, poison: bytes) -> None:
    intake = FakeIntake()
    driver = source(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as device:
        wait_until(lambda: driver.ready, "subscribed")
        device.publish("dev/1/up", poison)
        device.publish("dev/1/up", "8")
        wait_until(lambda: values(intake) == [8.0], "the next message")
    assert [bad.body for bad in intake.undecodable] == [poison]


def test_retained_messages_are_left_out(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    with device_broker.peer() as device:
        device.publish("dev/1/up", "1", retain=True)
        driver = source(device_broker.port, intake)
        with running_driver(driver):
            wait_until(lambda: driver.counts["retained"] == 1, "the old message")
            device.publish("dev/1/up", "2", retain=True)
            wait_until(lambda: values(intake) == [2.0], "only what is new")


def test_broker_that_dies_and_returns_is_found_again(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    driver = source(device_broker.port, intake)
    with running_driver(driver):
        wait_until(lambda: driver.ready, "subscribed")
        device_broker.kill()
        wait_until(lambda: not driver.ready, "the loss is seen")
        device_broker.start()
        wait_until(lambda: driver.ready, "subscribed again")
        with device_broker.peer() as device:
            device.publish("dev/1/up", "9")
        wait_until(lambda: values(intake) == [9.0], "the reading")
    assert driver.counts["connections"] == 2


def test_message_whose_connection_broke_before_it_was_kept_comes_once(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    intake.failures = 1_000
    driver = source(device_broker.port, intake)
    with running_driver(driver):
        wait_until(lambda: driver.ready, "subscribed")
        with device_broker.peer() as device:
            device.publish("dev/1/up", "7")
        wait_until(lambda: driver.counts["not_written"] >= 1, "an offer")
        device_broker.stop()
        wait_until(lambda: not driver.ready, "the loss is seen")
        intake.failures = 0
        device_broker.start()
        wait_until(lambda: bool(intake.readings), "the reading")
        wait_until(lambda: driver.ready, "subscribed again")
    assert values(intake) == [7.0]


def test_message_of_quality_0_survives_a_broken_connection(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    intake.failures = 1_000
    driver = source(device_broker.port, intake)
    with running_driver(driver):
        wait_until(lambda: driver.ready, "subscribed")
        with device_broker.peer() as device:
            device.publish("dev/1/up", "7", 0)
        wait_until(lambda: driver.counts["not_written"] >= 1, "an offer")
        device_broker.kill()
        intake.failures = 0
        wait_until(lambda: values(intake) == [7.0], "kept, for no broker has it any more")


def test_unreachable_broker_is_no_reason_to_hang() -> None:
    driver = source(free_port(), FakeIntake())
    with running_driver(driver):
        time.sleep(0.2)
    nowhere = source(1883, FakeIntake(), host="192.0.2.1", connect_timeout_s=30)
    with running_driver(nowhere):
        pass


def test_driver_that_never_ran_gives_its_sockets_back() -> None:
    driver = source(free_port(), FakeIntake())
    driver.close()
    driver.stop()


def test_answers_go_out_after_the_batch_is_kept(device_broker: DeviceBroker) -> None:
    from hanlu.gateway.driver.mqtt_dialogue import Publication

    class Answering(Listener):
        def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
            return Handled(understand(topic, payload, now_ms), (Publication("dev/1/reply", payload),))

    intake = FakeIntake()
    intake.failures = 3
    driver = MqttSource(
        "test", MqttBroker(port=device_broker.port), ("dev/+/up",), Answering(understand), intake, SystemClock()
    )
    with running_driver(driver), device_broker.peer("dev/1/reply") as device:
        wait_until(lambda: driver.ready, "subscribed")
        device.publish("dev/1/up", "7")
        wait_until(lambda: driver.counts["not_written"] >= 2, "two offers")
        assert not device.heard
        wait_until(lambda: device.heard == [("dev/1/reply", b"7")], "the answer")
    assert values(intake) == [7.0]


def test_sign_in_is_told_and_a_refused_one_is_tried_again_quietly(broker: BrokerServer, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(broker.password("platform") + "\nsecond line\n")
    right = source(broker.port, FakeIntake(), username="platform", password_file=secret, client_id="right")
    wrong = source(broker.port, FakeIntake(), username="platform", password="wrong", client_id="wrong")
    unreadable = source(broker.port, FakeIntake(), username="platform", password_file=tmp_path / "none")
    with running_driver(right), running_driver(wrong), running_driver(unreadable):
        wait_until(lambda: right.ready, "signed in")
        time.sleep(0.5)
        assert not wrong.ready
        assert not unreadable.ready


def test_refused_subscription_ends_the_connection_with_words() -> None:
    # Mosquitto grants what it will never deliver; brokers that say no answer with 0x80 (MQTT 3.1.1, 3.9.3).
    wake, other = socket.socketpair()
    link = Link(MqttBroker(), "id", ("a",), lambda _: None, wake, SystemClock(), keep_session=True)
    link._on_subscribe(None, None, 1, [ReasonCode(PacketTypes.SUBACK, identifier=0x80)], None)
    assert not link.alive
    assert not link.subscribed
    assert "access list" in link.trouble
    link.close()
    wake.close()
    other.close()


def test_tls_is_spoken_and_a_foreign_certificate_refused(tmp_path: Path) -> None:
    for name in ("own", "foreign"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    with temporary_folder() as folder:
        devices = DeviceBroker(folder)
        port = free_port()
        tls = f"listener {port} 127.0.0.1\ncertfile {tmp_path}/own.pem\nkeyfile {tmp_path}/own.key\n"
        (folder / "mosquitto.conf").write_text((folder / "mosquitto.conf").read_text() + tls)
        devices.start()
        try:
            intake = FakeIntake()
            trusting = source(port, intake, host="localhost", tls=True, ca_file=tmp_path / "own.pem")
            doubting = source(
                port, FakeIntake(), host="localhost", tls=True, ca_file=tmp_path / "foreign.pem", client_id="doubting"
            )
            with running_driver(trusting), running_driver(doubting), devices.peer() as device:
                wait_until(lambda: trusting.ready, "subscribed")
                device.publish("dev/1/up", "5")
                device.publish("dev/1/up", "6")
                wait_until(lambda: values(intake) == [5.0, 6.0], "both")
                assert not doubting.ready
        finally:
            devices.stop()
