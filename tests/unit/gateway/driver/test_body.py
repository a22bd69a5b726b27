"""What plain devices send: every claimed value becomes a reading or a declared loss, every foreign body is kept."""

from __future__ import annotations

import json

import cbor2
import pytest
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason
from hanlu.core.senml import decode_json
from hanlu.gateway.driver.body import BodyRule, decode_body, metric_of
from hanlu.gateway.driver.contract import Batch

NOW = 1_750_000_000_000
RULES = (
    {"source": "temp", "metric": "air_temperature", "unit": "°C"},
    {"source": "hum", "metric": "humidity", "unit": "%", "to": "%RH"},
    {"source": "sensors[0].f", "metric": "probe", "unit": "°F"},
    {"source": "door", "metric": "door_open", "unit": "bool"},
    {"source": "mv", "device": "store-7", "metric": "battery", "unit": "mV"},
)


def mapped(**others: object) -> BodyRule:
    return BodyRule.model_validate({"channels": RULES} | others)


def decode(rule: BodyRule, body: object, device: str = "A1") -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_body(rule, device, "src", raw, NOW)


def test_cheap_sensor_becomes_channels_in_senml_units() -> None:
    batch = decode(mapped(), {"temp": -18.2, "hum": 80, "sensors": [{"f": 50}], "door": True, "mv": 3605})
    assert [(each.name, each.unit, round(each.value, 9)) for each in batch.readings] == [
        ("a1/air_temperature", "Cel", -18.2),
        ("a1/humidity", "%RH", 80.0),
        ("a1/probe", "Cel", 10.0),
        ("a1/door_open", "", 1.0),
        ("store-7/battery", "V", 3.605),
    ]
    assert {each.observed_ms for each in batch.readings} == {NOW}
    assert batch.live
    assert not batch.losses


def test_absent_and_null_values_are_nothing_and_others_count() -> None:
    batch = decode(mapped(), {"temp": None, "hum": "80.5"})
    assert [each.value for each in batch.readings] == [80.5]
    assert not batch.losses


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("offline", "not_numeric"),
        ([1], "not_numeric"),
        ({}, "not_numeric"),
        ("1e999", "not_finite"),
        ("0x10", "not_numeric"),
    ],
)
def test_value_that_is_no_number_is_a_declared_loss(value: object, reason: str) -> None:
    batch = decode(mapped(), {"temp": value, "hum": 80})
    assert [each.value for each in batch.readings] == [80.0]
    assert [(each.reason, each.channel, each.count) for each in batch.losses] == [(reason, "a1/air_temperature", 1)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"temp": NaN}', Reason.MALFORMED),
        (b'{"temp": ', Reason.MALFORMED),
        (b"\xff\xfe", Reason.MALFORMED),
        (b"", Reason.MALFORMED),
        (b'{"other": 1}', Reason.FOREIGN_SCHEMA),
        (b"{}", Reason.FOREIGN_SCHEMA),
        (b'{"temp":' + b"[" * 100_000, Reason.MALFORMED),
        (b'[{"n":"t","v":1}', Reason.MALFORMED),
        (b'[{"bn":"x/","bt":1750000000}]', Reason.FOREIGN_SCHEMA),
        (b"\x81\xa1", Reason.MALFORMED),
        (b"hello", Reason.MALFORMED),
        (b"17.5", Reason.FOREIGN_SCHEMA),
    ],
)
def test_body_nobody_can_read_is_kept_with_its_bytes(body: bytes, reason: Reason) -> None:
    batch = decode(mapped(), body)
    assert not batch.readings
    assert [(each.body, each.why.reason) for each in batch.undecodable] == [(body, reason)]


@pytest.mark.parametrize(
    ("rule", "value", "observed_ms", "quality"),
    [
        ({"form": "s"}, 1_749_999_999.5, 1_749_999_999_500, Quality.GOOD),
        ({"form": "s"}, "1749999999", 1_749_999_999_000, Quality.GOOD),
        ({"form": "ms"}, 1_749_999_999_123, 1_749_999_999_123, Quality.GOOD),
        ({"form": "iso"}, "2025-06-15T15:06:39Z", 1_749_999_999_000, Quality.GOOD),
        ({"form": "iso"}, "2025-06-15T23:06:39+08:00", 1_749_999_999_000, Quality.GOOD),
        ({"form": "iso", "zone": "Asia/Shanghai"}, "2025-06-15 23:06:39", 1_749_999_999_000, Quality.GOOD),
        ({"form": "iso"}, "2025-06-15 23:06:39", NOW, Quality.UNCERTAIN),
        ({"form": "iso"}, 17, NOW, Quality.UNCERTAIN),
        ({"form": "s"}, "yesterday", NOW, Quality.UNCERTAIN),
        ({"form": "s"}, 1e300, NOW, Quality.UNCERTAIN),
        ({"form": "ms"}, None, NOW, Quality.UNCERTAIN),
        ({"form": "ms"}, True, 1, Quality.GOOD),
    ],
)
def test_time_is_the_devices_own_or_doubted(
    rule: dict[str, str], value: object, observed_ms: int, quality: Quality
) -> None:
    batch = decode(mapped(time={"source": "at"} | rule), {"temp": 1, "at": value})
    assert [(each.observed_ms, each.quality) for each in batch.readings] == [(observed_ms, quality)]


def test_device_may_stand_in_the_body() -> None:
    rule = mapped(device_source="id")
    assert decode(rule, {"id": "AA:BB", "temp": 1}, "").readings[0].name == "aa-bb/air_temperature"
    assert decode(rule, {"id": 17, "temp": 1}, "").readings[0].name == "17/air_temperature"
    assert decode(rule, {"temp": 1}, "").undecodable[0].why.reason is Reason.FOREIGN_SCHEMA
    assert decode(rule, {"id": "--", "temp": 1}, "").undecodable[0].why.reason is Reason.UNKNOWN_CHANNEL


@pytest.mark.parametrize(
    ("name", "device", "channel"),
    [
        ("room-1/air_temperature", "", "room-1/air_temperature"),
        ("room-1/air_temperature", "other", "room-1/air_temperature"),
        ("temp", "Cold Room 3", "cold-room-3/temp"),
        ("urn:dev:ow:10e2073a01080063:temp", "", "urn-dev-ow-10e2073a01080063/temp"),
        ("urn:dev:ow:10e2073a01080063:Temp.In", "urn:dev:ow:10e2073a01080063", "urn-dev-ow-10e2073a01080063/temp_in"),
        ("A1:1", "A1", "a1/m_1"),
    ],
)
def test_senml_name_becomes_a_channel(name: str, device: str, channel: str) -> None:
    body = [{"bn": name, "bt": 1_749_999_999, "u": "Cel", "v": -18.2}]
    assert decode(BodyRule(), body, device).readings == (Reading(channel, "Cel", 1_749_999_999_000, -18.2),)
    labels = {"bn": -2, "bt": -3, "u": 1, "v": 2}
    raw = cbor2.dumps([{labels[key]: value for key, value in body[0].items()}])
    assert decode(BodyRule(), raw, device).readings == decode(BodyRule(), body, device).readings


def test_senml_record_without_a_device_is_a_loss_beside_the_others() -> None:
    batch = decode(BodyRule(), [{"n": "temp", "v": 1}, {"n": "room-1/temp", "v": 2}, {"n": "room-1/x", "vs": "a"}], "")
    assert [each.name for each in batch.readings] == ["room-1/temp"]
    assert sorted(each.reason for each in batch.losses) == ["not_numeric", "unknown_channel"]


def test_senml_name_with_a_rule_is_scaled_and_renamed() -> None:
    rule = BodyRule.model_validate(
        {"channels": [{"source": "t", "metric": "air_temperature", "unit": "°C", "scale": 0.1}]}
    )
    batch = decode(rule, [{"bn": "dev:", "n": "t", "v": -182, "t": -5}], "dev")
    assert batch.readings == (Reading("dev/air_temperature", "Cel", NOW - 5_000, -18.2),)


def test_worked_examples_of_the_standard_lose_nothing() -> None:
    seen = 0
    for path in sorted(shared_dir("samples", "senml").glob("ex*.gen.json")):
        raw = path.read_bytes()
        pack, batch = decode_json(raw, NOW), decode(BodyRule(), raw, "dev")
        if batch.undecodable:
            continue
        seen += 1
        assert len(batch.readings) + len(batch.losses) == len(pack.readings) + len(pack.rejected), path.name
        assert [each.value for each in batch.readings] == [each.value for each in pack.readings], path.name
    assert seen >= 8


@pytest.mark.parametrize(
    "rule",
    [
        {"format": "json"},
        {"channels": [{"source": "a..b", "metric": "x"}]},
        {"channels": [{"source": "a", "metric": "x", "unit": "furlong"}]},
        {"device_source": "a["},
        {"time": {"source": "t", "form": "iso", "zone": "Mars/Base"}},
        {"time": {"source": "t", "form": "days"}},
    ],
)
def test_mistakes_in_the_configuration_are_told_at_once(rule: dict[str, object]) -> None:
    with pytest.raises((ValidationError, UsageError)):
        BodyRule.model_validate(rule)


@given(st.binary(max_size=200))
def test_junk_never_raises_and_is_never_lost(raw: bytes) -> None:
    batch = decode_body(mapped(), "dev", "src", raw, NOW)
    assert batch.readings or batch.losses or batch.undecodable


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["temp", "hum", "sensors", "f", "at", "id"]), inner)
        ),
    )
)
def test_any_document_is_answered(document: object) -> None:
    raw = json.dumps(document).encode()
    batch = decode_body(mapped(time={"source": "at", "form": "ms"}, device_source="id"), "", "src", raw, NOW)
    assert batch.readings or batch.losses or batch.undecodable


def test_metric_is_made_safe() -> None:
    assert metric_of("Temp (°C)") == "temp_c"
    assert metric_of("2nd probe") == "m_2nd_probe"
    assert len(metric_of("x" * 200)) == 60
    with pytest.raises(ValueError, match="letter"):
        metric_of("温度")
