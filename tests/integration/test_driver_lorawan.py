"""LoRaWAN uplinks over a real broker: kept before they are acknowledged, events of other kinds only counted."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fix_drivers import DeviceBroker, FakeIntake, running_driver
from fix_services import wait_until

from hanlu.core.clock import SystemClock
from hanlu.core.rejected import Reason
from hanlu.gateway.driver.lorawan.driver import LorawanConfig
from hanlu.gateway.driver.mqtt_source import MqttSource

pytestmark = pytest.mark.broker

EUI = "24e124136b502217"
TOPIC = f"application/5d08/device/{EUI}/event"


def uplink(count: int, payload: str) -> dict[str, Any]:
    return {
        "time": f"2026-11-20T08:00:{count:02}.000Z",
        "deviceInfo": {"devEui": EUI, "deviceProfileName": "cold rooms"},
        "fCnt": count,
        "fPort": 85,
        "data": base64.b64encode(bytes.fromhex(payload)).decode(),
        "rxInfo": [{"rssi": -80, "snr": 7}],
    }


def driver_of(port: int, intake: FakeIntake, **others: object) -> MqttSource:
    said = {
        "name": "lora",
        "broker": {"port": port, "reconnect_min_s": 0.05},
        "profiles": [{"name": "cold rooms", "codec": "milesight-em300-th"}],
    }
    driver = LorawanConfig.model_validate(said | others).build(intake, SystemClock())
    assert isinstance(driver, MqttSource)
    return driver


def test_uplinks_are_kept_others_counted_and_garbage_does_not_stop_them(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    driver = driver_of(device_broker.port, intake)
    with running_driver(driver), device_broker.peer() as server:
        wait_until(lambda: driver.ready, "subscribed")
        server.publish(f"{TOPIC}/join", {"devAddr": "01"})
        server.publish(f"{TOPIC}/up", uplink(1, "03672aff"))
        server.publish(f"{TOPIC}/up", b"\xff no JSON")
        server.publish(f"{TOPIC}/up", uplink(2, "036734ff"))
        server.publish("application/5d08/device/x/command/down", {"data": ""})
        wait_until(lambda: driver.counts["event_up"] == 2, "both uplinks")
    temperatures = [each for each in intake.readings if each.name == f"{EUI}/air_temperature"]
    assert [(each.value, each.unit) for each in temperatures] == [(-21.4, "Cel"), (-20.4, "Cel")]
    assert [bad.why.reason for bad in intake.undecodable] == [Reason.MALFORMED]
    assert driver.counts["event_join"] == driver.counts["unreadable"] == 1
    assert driver.counts["messages"] == 4


def test_uplinks_sent_while_the_gateway_was_away_keep_the_network_servers_time(device_broker: DeviceBroker) -> None:
    first = driver_of(device_broker.port, FakeIntake())
    with running_driver(first):
        wait_until(lambda: first.ready, "subscribed")
    with device_broker.peer() as server:
        server.publish(f"{TOPIC}/up", uplink(7, "03672aff"))
    intake = FakeIntake()
    second = driver_of(device_broker.port, intake)
    with running_driver(second):
        wait_until(lambda: intake.readings, "what the broker kept")
    assert {(each.observed_ms, each.quality.name) for each in intake.readings} == {(1_795_161_607_000, "GOOD")}


def test_things_stack_hears_its_own_topics(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    driver = driver_of(device_broker.port, intake, network="things_stack", application="cold@coop")
    body = {
        "end_device_ids": {"device_id": "room-3", "dev_eui": EUI},
        "uplink_message": {
            "f_port": 85,
            "frm_payload": "A2cq/w==",
            "version_ids": {"model_id": "cold rooms"},
            "received_at": "2026-11-20T08:00:00Z",
        },
    }
    with running_driver(driver), device_broker.peer() as server:
        wait_until(lambda: driver.ready, "subscribed")
        server.publish("v3/other@coop/devices/room-3/up", body)
        server.publish("v3/cold@coop/devices/room-3/up", body)
        wait_until(lambda: intake.readings, "the uplink")
    assert [(each.name, each.value) for each in intake.readings] == [(f"{EUI}/air_temperature", -21.4)]
    assert driver.counts["messages"] == 1
