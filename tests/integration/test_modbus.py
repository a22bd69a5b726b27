"""The Modbus driver against real servers: TCP, RTU frames over TCP, RTU on a line."""

from __future__ import annotations

import struct

import pytest
from fix_intake import KeepingIntake, at_work, soon
from fix_modbus import Bus

from hanlu.core.clock import SystemClock
from hanlu.core.reading import Quality
from hanlu.gateway.driver.modbus import ModbusConfig


def driver(bus: Bus, intake: KeepingIntake, *devices: dict, **link):
    config = {"name": "bus", "link": {"url": bus.url, "timeout_s": 0.3, "baud": 115_200} | link, "devices": devices}
    return ModbusConfig.model_validate(config).build(intake, SystemClock())


SIEMENS = {"unit_id": 1, "device": "room-1", "map": "siemens-qfa3150", "period_s": 0.1}


def test_room_sensor_is_read_over_any_link(any_bus: Bus, intake: KeepingIntake) -> None:
    any_bus.slaves[1].put(3, 0, 0x10000 - 1825, 0, 8150, 0)
    with at_work(driver(any_bus, intake, SIEMENS)) as working:
        soon(lambda: len(intake.readings) >= 4, "two rounds")
    assert intake.values() == pytest.approx({"room-1/air_temperature": -18.25, "room-1/relative_humidity": 81.5})
    assert {reading.unit for reading in intake.readings} == {"Cel", "%RH"}
    assert {reading.quality for reading in intake.readings} == {Quality.GOOD}
    assert set(any_bus.slaves[1].asked) == {(3, 0, 4)}, "value and reliability come in one request"
    assert working.counts["readings"] == len(intake.readings)


def test_reliability_register_marks_its_value_bad(bus: Bus, intake: KeepingIntake) -> None:
    bus.slaves[1].put(3, 0, 500, 1, 8150, 0)
    with at_work(driver(bus, intake, SIEMENS)):
        soon(lambda: len(intake.readings) >= 2, "a round")
    assert [(each.name, each.quality) for each in intake.readings[:2]] == [
        ("room-1/air_temperature", Quality.BAD),
        ("room-1/relative_humidity", Quality.GOOD),
    ]


def test_silent_device_does_not_hold_up_its_neighbour(bus: Bus, intake: KeepingIntake) -> None:
    bus.slaves[1].deaf = True
    bus.slaves[2].put(3, 0, 100, 0, 5000, 0)
    dead = SIEMENS | {"device": "room-9"}
    alive = SIEMENS | {"unit_id": 2, "device": "room-2"}
    with at_work(driver(bus, intake, dead, alive, timeout_s=0.1)) as working:
        soon(lambda: len(intake.readings) >= 30, "fifteen rounds of the one that answers", 8)
    assert {reading.name.split("/")[0] for reading in intake.readings} == {"room-2"}
    assert 1 <= working.counts["silences"] <= 4, "asked less and less often"


def test_device_that_comes_back_is_read_again(bus: Bus, intake: KeepingIntake, caplog) -> None:
    slave = bus.slaves[1]
    slave.put(3, 0, 100, 0, 5000, 0)
    slave.deaf = True
    with at_work(driver(bus, intake, SIEMENS, timeout_s=0.1)) as working:
        soon(lambda: working.counts["silences"] >= 2, "two silences")
        slave.deaf = False
        soon(lambda: len(intake.readings) >= 4, "readings")
    actions = [record.action for record in caplog.records if hasattr(record, "action")]
    assert actions.count("gateway.modbus.silent") == 1


def test_range_with_a_hole_is_read_in_pieces_from_then_on(bus: Bus, intake: KeepingIntake) -> None:
    slave = bus.slaves[1]
    slave.put(3, 0, 215)
    slave.put(3, 5, 640)
    registers = [
        {"source": "t", "address": 0, "metric": "air_temperature", "unit": "°C", "scale": 0.1},
        {"source": "h", "address": 5, "metric": "relative_humidity", "unit": "%", "to": "%RH", "scale": 0.1},
    ]
    device = {"device": "room-1", "registers": registers, "period_s": 0.1}
    with at_work(driver(bus, intake, device)) as working:
        soon(lambda: len(intake.readings) >= 6, "three rounds")
    assert working.counts["exception_2"] == 1
    assert slave.asked[3, 0, 6] == 1
    assert intake.values() == pytest.approx({"room-1/air_temperature": 21.5, "room-1/relative_humidity": 64.0})


def test_value_the_device_refuses_is_no_reading_and_logged_once(bus: Bus, intake: KeepingIntake, caplog) -> None:
    slave = bus.slaves[1]
    slave.put(3, 0, 215)
    slave.busy = True
    registers = [{"source": "t", "address": 0, "metric": "air_temperature", "unit": "°C", "scale": 0.1}]
    with at_work(driver(bus, intake, {"device": "room-1", "registers": registers, "period_s": 0.1})) as working:
        soon(lambda: working.counts["exception_6"] >= 3, "three refusals")
        assert not intake.offered
        slave.busy = False
        soon(lambda: len(intake.readings) >= 2, "readings")
    actions = [record.action for record in caplog.records if hasattr(record, "action")]
    assert actions.count("gateway.modbus.no_value") == 1


def test_sensor_that_broke_is_no_reading_and_a_number_that_is_none_is_lost(bus: Bus, intake: KeepingIntake) -> None:
    nan = struct.unpack(">HH", struct.pack(">f", float("nan")))
    bus.slaves[1].put(3, 0, *nan, 2, *nan)
    registers = [
        {"source": "known", "address": 0, "type": "float32", "metric": "a", "unit": "°C", "sentinels": ["nan"]},
        {"source": "state", "address": 2, "metric": "state"},
        {"source": "unknown", "address": 3, "type": "float32", "metric": "b", "unit": "°C"},
    ]
    with at_work(driver(bus, intake, {"device": "room-1", "registers": registers, "period_s": 0.1})) as working:
        soon(lambda: len(intake.batches) >= 2, "two rounds")
    assert {reading.name for reading in intake.readings} == {"room-1/state"}
    assert {(loss.channel, loss.reason, loss.count) for loss in intake.losses} == {("room-1/b", "not_finite", 1)}
    assert working.counts["no_value"] >= 2


def test_values_wait_while_the_disk_refuses(bus: Bus, intake: KeepingIntake) -> None:
    bus.slaves[1].put(3, 0, 100, 0, 5000, 0)
    intake.broken = True
    with at_work(driver(bus, intake, SIEMENS)) as working:
        soon(lambda: working.counts["not_written"] >= 1, "a refusal")
        asked = working.counts["requests"]
        intake.broken = False
        soon(lambda: bool(intake.batches), "the batch")
        assert asked == 1, "nothing more is read meanwhile"
    assert intake.batches[0] == intake.offered[0]


def test_inputs_and_registers_of_a_climate_monitor_come_together(bus: Bus, intake: KeepingIntake) -> None:
    slave = bus.slaves[1]
    slave.put(2, 0, 1, 0)
    slave.put(3, 0, *(word for value in (4.5, 87.5, 2.5) for word in struct.unpack(">HH", struct.pack(">f", value))))
    device = {"device": "hall", "map": "controlbox-rm408", "without": ["remote_*"], "period_s": 0.1}
    with at_work(driver(bus, intake, device)):
        soon(lambda: len(intake.readings) >= 5, "a round")
    assert intake.values() == {
        "hall/door_1": 1.0,
        "hall/door_2": 0.0,
        "hall/air_temperature": 4.5,
        "hall/relative_humidity": 87.5,
        "hall/dew_point": 2.5,
    }


def test_server_that_is_not_there_is_asked_again(intake: KeepingIntake) -> None:
    config = {"name": "bus", "link": {"url": "tcp://127.0.0.1:9", "timeout_s": 0.1}, "devices": [SIEMENS]}
    with at_work(ModbusConfig.model_validate(config).build(intake, SystemClock())) as working:
        soon(lambda: working.counts["silences"] >= 2, "two attempts")
    assert not intake.offered
