"""A Sparkplug host on a real broker: what it says first and last, and what an edge node sees of it."""

from __future__ import annotations

import json

import pytest
from fix_drivers import DeviceBroker, FakeIntake, running_driver
from fix_services import wait_until
from fix_sparkplug import DOUBLE, EdgeNode, metric

from hanlu.core.clock import SystemClock
from hanlu.gateway.driver.mqtt_source import MqttSource
from hanlu.gateway.driver.sparkplug import SparkplugConfig
from hanlu.gateway.driver.sparkplug_payload import Payload, decode_payload

pytestmark = pytest.mark.broker


def made(broker: DeviceBroker, intake: FakeIntake) -> MqttSource:
    login = {"port": broker.port, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2}
    driver = SparkplugConfig.model_validate({"name": "sp", "broker": login, "host_id": "H"}).build(
        intake, SystemClock()
    )
    assert isinstance(driver, MqttSource)
    return driver


def states(heard: list[tuple[str, bytes]]) -> list[bool]:
    return [json.loads(raw)["online"] for topic, raw in heard if topic == "spBv1.0/STATE/H"]


def test_host_is_online_from_its_first_word_and_offline_by_its_last(device_broker: DeviceBroker) -> None:
    driver = made(device_broker, FakeIntake())
    with device_broker.peer("spBv1.0/#") as edge:
        with running_driver(driver):
            wait_until(lambda: states(edge.heard) == [True], "the birth")
        wait_until(lambda: states(edge.heard) == [True, False], "the death")
        assert [topic for topic, _ in edge.heard] == ["spBv1.0/STATE/H"] * 2
    with device_broker.peer("spBv1.0/STATE/H") as late:
        wait_until(lambda: states(late.heard) == [False], "the death is retained")


def test_broker_tells_of_a_host_that_vanishes_with_the_time_of_its_birth(device_broker: DeviceBroker) -> None:
    driver = made(device_broker, FakeIntake())
    with device_broker.peer("spBv1.0/STATE/H") as edge, running_driver(driver):
        wait_until(lambda: states(edge.heard) == [True], "the birth")
        with device_broker.peer() as thief:  # the same client id: the broker cuts the older connection off
            thief._client.reinitialise(client_id="hanlu-sp")
            thief._client.connect("127.0.0.1", device_broker.port)
            thief._client.loop_start()
            wait_until(lambda: False in states(edge.heard), "the will")
        death = next(json.loads(raw) for _, raw in edge.heard if not json.loads(raw)["online"])
        assert death["timestamp"] == json.loads(edge.heard[0][1])["timestamp"]
        wait_until(lambda: states(edge.heard)[-1], "online again")


def test_host_contradicts_a_death_while_it_lives(device_broker: DeviceBroker) -> None:
    driver = made(device_broker, FakeIntake())
    with device_broker.peer("spBv1.0/STATE/H") as edge, running_driver(driver):
        wait_until(lambda: states(edge.heard) == [True], "the birth")
        edge.publish("spBv1.0/STATE/H", {"online": False, "timestamp": 1}, retain=True)
        wait_until(lambda: states(edge.heard) == [True, False, True], "the contradiction")


def test_edge_node_is_asked_for_its_births_and_its_values_come(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    driver = made(device_broker, intake)
    node = EdgeNode(metrics=(metric("Temp", 4.0, DOUBLE, alias=1),))
    with device_broker.peer("spBv1.0/G/NCMD/E") as edge, running_driver(driver):
        wait_until(lambda: driver.ready, "subscribed")
        edge.publish(*node.ndata(metric(alias=1, value=3.0)), 0)
        wait_until(lambda: bool(edge.heard), "the request")
        command = decode_payload(edge.heard[0][1])
        assert isinstance(command, Payload)
        assert command.timestamp_ms is not None
        assert [(each.name, each.boolean) for each in command.metrics] == [("Node Control/Rebirth", True)]
        edge.publish(*node.nbirth(), 0)
        edge.publish(*node.ndata(metric(alias=1, value=5.0)), 0)
        wait_until(lambda: [each.value for each in intake.readings] == [4.0, 5.0], "the values")


def test_session_is_clean(device_broker: DeviceBroker) -> None:
    intake = FakeIntake()
    first = made(device_broker, intake)
    with running_driver(first):
        wait_until(lambda: first.ready, "subscribed")
    with device_broker.peer() as edge:
        edge.publish(*EdgeNode().nbirth(), 1)
    second = made(device_broker, intake)
    with running_driver(second), device_broker.peer() as edge:
        wait_until(lambda: second.ready, "subscribed")
        edge.publish(*EdgeNode(edge="F").nbirth(), 1)
        wait_until(lambda: bool(intake.readings), "what came now")
    assert {each.name for each in intake.readings} == {"f/temp"}
