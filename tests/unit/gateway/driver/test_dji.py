"""DJI Cloud API: the maker's own examples and property tables decide what is expected."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason
from hanlu.gateway.driver.dji import DjiConfig, DjiListener
from hanlu.gateway.driver.dji_message import properties
from hanlu.gateway.driver.mqtt_dialogue import Handled

NOW = 1_750_000_000_000

# The documented unit of a property to the SenML unit and factor expected; properties without one are not listed.
UNITS = {
    "Millivolts / mV": ("V", 0.001),
    "Milliamps / mA": ("A", 0.001),
    "Volts / V": ("V", 1.0),
    "Celsius / °C": ("Cel", 1.0),
    "Seconds / s": ("s", 1.0),
    "Hours / h": ("s", 3_600.0),
    "Meters / m": ("m", 1.0),
    "Meters per second / m/s": ("m/s", 1.0),
    "Relative humidity / %RH": ("%RH", 1.0),
    "Times / count": ("count", 1.0),
    "Kilobytes / KB": ("B", 1_000.0),
    "Kilobytes per second / KB/s": ("bit/s", 8_000.0),
    "Degrees / °": ("deg", 1.0),
}
# Numbers of the examples that are deliberately no channel: dates, cameras' pointing, identities, upkeep already told.
LEFT_OUT = {
    "activation_time", "first_power_on", "52-0-0", "index", "type", "sub_type", "high_voltage_storage_days",
    "last_maintain_type", "last_maintain_time", "last_maintain_work_sorties", "last_maintain_flight_time",
    "last_maintain_flight_sorties",
}  # fmt: skip


def examples() -> list[dict[str, Any]]:
    lines = shared_dir("samples", "dji_cloud_api", "examples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def telemetry() -> list[dict[str, Any]]:
    return [each for each in examples() if each["topic"].endswith(("/osd", "/state"))]


def documented_units() -> dict[str, str]:
    """Return path (without list places) to documented unit, for the properties of all products."""
    units: dict[str, str] = {}
    stack: list[str] = []
    with shared_dir("samples", "dji_cloud_api", "thing_model_properties.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["column"].lstrip("»")
            depth = len(row["column"]) - len(name)
            stack = [*stack[:depth], name]
            try:
                unit = json.loads(row["constraint"] or "{}").get("unit_name")
            except ValueError:
                unit = None
            if unit:
                units[".".join(stack)] = unit
    return units


def listener(**others: object) -> DjiListener:
    return DjiListener(DjiConfig.model_validate({"name": "dji"} | others))


def hear(topic: str, document: object, made: DjiListener | None = None) -> Handled:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return (made or listener()).heard(topic, raw, NOW)


def osd(data: dict[str, Any], sn: str = "1581F5BKD", **others: Any) -> dict[str, Reading]:
    handled = hear(f"thing/product/{sn}/osd", {"timestamp": NOW - 500, "data": data, **others})
    assert not handled.batch.undecodable
    return {reading.name.partition("/")[2]: reading for reading in handled.batch.readings}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, f"{path}[{place}]")
    elif isinstance(value, int | float):
        yield path, float(value)


def test_every_example_is_answered_without_an_exception() -> None:
    every = examples()
    assert len(every) == 284
    for example in every:
        topic = example["topic"].replace("_{gateway_sn}_", "SN").replace("{", "").replace("}", "")
        document = dict(example["example"]) if isinstance(example["example"], dict) else example["example"]
        handled = hear(topic, document)
        assert not handled.batch.undecodable or not isinstance(document, dict), (topic, handled)
        if isinstance(document, dict) and example["method"]:
            assert not hear(topic, {"method": example["method"]} | document).batch.undecodable


@pytest.mark.parametrize("place", range(9))
def test_osd_and_state_examples_give_what_the_tables_document(place: int) -> None:
    found = telemetry()
    assert len(found) == 9
    example = found[place]["example"]
    units, rules = documented_units(), {rule.source: rule for rule in properties() if not rule.method}
    handled = hear("thing/product/SN/osd", example)
    got = {reading.name: reading for reading in handled.batch.readings}
    expected = 0
    for path, value in leaves(example["data"]):
        rule = rules.get(path)
        if rule is None:
            assert LEFT_OUT & set(path.replace("[", ".[").split(".")), f"{path} is neither mapped nor left out"
            continue
        expected += 1
        reading = got[f"sn/{rule.metric}"]
        assert reading.observed_ms == example["timestamp"]
        unit, factor = UNITS.get(units.get(_without_places(path), ""), (None, None))
        if unit is not None:
            assert (reading.unit, reading.value) == (unit, pytest.approx(value * factor)), path
        elif rule.scale == 1.0 and rule.unit != "mV":
            assert reading.value == pytest.approx(value), path
    assert expected == len(got)
    assert not handled.batch.losses


def _without_places(path: str) -> str:
    return ".".join(part.partition("[")[0] for part in path.split("."))


def test_every_property_of_the_table_is_documented_by_the_maker() -> None:
    documented: set[str] = set()
    stack: list[str] = []
    with shared_dir("samples", "dji_cloud_api", "thing_model_properties.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["column"].lstrip("»")
            stack = [*stack[: len(row["column"]) - len(name)], name]
            documented.add(".".join(stack))
    units = documented_units()
    for rule in properties():
        if rule.method:
            continue
        path = _without_places(rule.source)
        assert path in documented, path
        unit, _ = UNITS.get(units.get(path, ""), (None, None))
        assert unit in {None, rule.senml_unit}, (path, unit, rule.senml_unit)


def test_aircraft_is_read_in_senml_units() -> None:
    got = osd(
        {
            "latitude": 22.9, "longitude": 113.6, "height": 61.5, "attitude_head": -41.7, "mode_code": 5,
            "battery": {"capacity_percent": 90, "batteries": [
                {"index": 1, "voltage": 24_311, "temperature": 32},
                {"index": 0, "voltage": 24_303, "temperature": 33.3},
            ]},
            "position_state": {"is_fixed": 2, "gps_number": 17},
        }
    )  # fmt: skip
    expected = {
        "latitude": ("lat", 22.9), "longitude": ("lon", 113.6), "height_ellipsoid": ("m", 61.5), "yaw": ("deg", -41.7),
        "mode_code": ("", 5.0), "battery": ("%EL", 90.0), "battery_0_voltage": ("V", 24.303),
        "battery_1_voltage": ("V", 24.311), "battery_0_temperature": ("Cel", 33.3),
        "battery_1_temperature": ("Cel", 32.0),
        "position_fix": ("", 2.0), "gps_satellites": ("count", 17.0),
    }  # fmt: skip
    assert {name: (each.unit, pytest.approx(each.value)) for name, each in got.items()} == expected
    assert {each.quality for each in got.values()} == {Quality.GOOD}
    assert {each.observed_ms for each in got.values()} == {NOW - 500}


def test_position_without_a_fix_is_bad() -> None:
    assert osd({"latitude": 0, "longitude": 0, "mode_code": 0})["latitude"].quality is Quality.BAD
    got = osd({"latitude": 22.9, "longitude": 113.6, "position_state": {"is_fixed": 0}})
    assert got["longitude"].quality is Quality.BAD
    assert got["position_fix"].quality is Quality.GOOD


def test_value_that_cannot_be_obtained_is_none() -> None:
    got = osd({"drone_battery_maintenance_info": {"batteries": [{"index": 0, "voltage": 32767, "temperature": 21.5}]}})
    assert set(got) == {"drone_battery_0_temperature"}


def test_value_that_is_no_number_is_a_declared_loss() -> None:
    handled = hear("thing/product/SN/osd", {"data": {"latitude": "north", "longitude": "113.6", "height": None}})
    assert [(each.name, each.observed_ms) for each in handled.batch.readings] == [("sn/longitude", NOW)]
    assert [(loss.reason, loss.channel) for loss in handled.batch.losses] == [("not_numeric", "sn/latitude")]


def event(**others: Any) -> dict[str, Any]:
    return {"tid": "t", "bid": "b", "timestamp": NOW, "method": "flighttask_progress", "gateway": "D"} | others


def test_event_that_waits_is_answered_and_its_numbers_are_read() -> None:
    data = {"output": {"progress": {"percent": 40, "current_step": 19}, "status": "in_progress"}, "result": 0}
    handled = hear("thing/product/DOCK1/events", event(need_reply=1, data=data))
    assert {(each.name, each.unit, each.value) for each in handled.batch.readings} == {
        ("dock1/flight_task_progress", "/", 0.4),
        ("dock1/flight_task_step_detail", "", 19.0),
        ("dock1/flight_task_result", "", 0.0),
    }
    (reply,) = handled.answers
    assert (reply.topic, reply.qos, reply.retain) == ("thing/product/DOCK1/events_reply", 1, False)
    assert json.loads(reply.payload) == {
        "tid": "t", "bid": "b", "gateway": "D", "method": "flighttask_progress", "timestamp": NOW,
        "data": {"result": 0},
    }  # fmt: skip


@pytest.mark.parametrize("need", [0, None, "no", {}])
def test_event_that_does_not_wait_is_not_answered(need: object) -> None:
    assert not hear("thing/product/D/events", event(need_reply=need, data={})).answers


def test_list_of_an_event_is_read_by_place() -> None:
    data = [{"warning_level": 3, "distance": 100}]
    handled = hear("thing/product/D/events", event(method="airsense_warning", data=data))
    assert [(each.name, each.value) for each in handled.batch.readings] == [
        ("d/air_traffic_warning", 3.0), ("d/air_traffic_distance", 100.0),
    ]  # fmt: skip


def test_topology_is_answered_and_counted() -> None:
    update = {"tid": "t", "bid": "b", "method": "update_topo", "timestamp": NOW, "data": {"sub_devices": [{"sn": "A"}]}}
    handled = hear("sys/product/DOCK1/status", update)
    assert handled.batch.readings == (Reading("dock1/sub_devices", "count", NOW, 1.0),)
    (reply,) = handled.answers
    assert reply.topic == "sys/product/DOCK1/status_reply"
    assert json.loads(reply.payload)["data"] == {"result": 0}


def test_requests_are_left_to_the_flight_platform() -> None:
    made = listener()
    handled = hear("thing/product/D/requests", {"method": "config", "data": {}, "need_reply": 1}, made)
    assert handled == Handled()
    assert made.counts["requests"] == 1


def test_replies_can_be_left_to_another() -> None:
    handled = hear("thing/product/D/events", event(need_reply=1, data={}), listener(reply=False))
    assert not handled.answers


def test_names_own_properties_and_a_choice_can_be_configured() -> None:
    made = listener(
        names={"1581F5BKD": "drone-1"},
        channels=[
            {"source": "psdk.tank", "metric": "tank", "unit": "ml"},
            {"source": "height", "metric": "altitude", "unit": "cm"},
        ],
        only=["tank", "altitude"],
    )
    document = {"need_reply": 1, "data": {"psdk": {"tank": 5_000}, "height": 200, "latitude": 1}}
    handled = hear("thing/product/1581F5BKD/osd", document, made)
    assert [(each.name, each.unit, each.value) for each in handled.batch.readings] == [
        ("drone-1/tank", "l", 5.0),
        ("drone-1/altitude", "m", 2.0),
    ]
    reply = hear("thing/product/1581F5BKD/events", event(need_reply=1, data={}), made).answers[0]
    assert reply.topic == "thing/product/1581F5BKD/events_reply", "the device listens by its serial number"


@pytest.mark.parametrize(
    ("topic", "raw", "reason"),
    [
        ("thing/product/D/osd", b"{", Reason.MALFORMED),
        ("thing/product/D/osd", b"[]", Reason.FOREIGN_SCHEMA),
        ("thing/product/D/osd", b"{}", Reason.FOREIGN_SCHEMA),
        ("thing/product/D/osd", b'{"data": NaN}', Reason.MALFORMED),
        ("thing/product/D/osd", b"\xff\x00", Reason.MALFORMED),
        ("thing/product/--/osd", b'{"data": {}}', Reason.UNKNOWN_CHANNEL),
        ("other/product/D/osd", b"{}", Reason.BAD_TOPIC),
    ],
)
def test_junk_is_kept_unread(topic: str, raw: bytes, reason: Reason) -> None:
    handled = hear(topic, raw)
    assert [(each.why.reason, each.body) for each in handled.batch.undecodable] == [(reason, raw)]
    assert not handled.answers


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "battery", "batteries", "index", "latitude", "timestamp", "need_reply", "method"]),
            inner,
        )
    ),
)


@given(st.sampled_from(["osd", "state", "events", "requests", "status"]), _JSON)
def test_any_document_is_answered_without_an_exception(kind: str, document: object) -> None:
    root = "sys" if kind == "status" else "thing"
    handled = hear(f"{root}/product/D/{kind}", document)
    assert all(abs(each.value) < float("inf") for each in handled.batch.readings)


@pytest.mark.parametrize(
    "mistake",
    [{"names": {"A": "--"}}, {"channels": [{"source": "a..b", "metric": "x"}]}, {"unknown": 1}],
)
def test_mistakes_in_the_configuration_are_told_at_once(mistake: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DjiConfig.model_validate({"name": "dji"} | mistake)
