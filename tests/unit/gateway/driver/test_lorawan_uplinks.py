"""Events of network servers to batches: chosen codec, time, radio, and whatever is wrong with them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.catalogue import AnyDriver
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver.lorawan.driver import LorawanConfig, Reader
from hanlu.gateway.driver.lorawan.envelope import NETWORKS, Ignored, Status, Uplink

NOW = 1_790_000_000_000
AT = 1_684_741_625_404
EUI = "24e124136b502217"
TOPIC = f"application/5d08/device/{EUI}/event/up"
TTS_TOPIC = "v3/cold@coop/devices/room-3/up"


def config(**others: Any) -> LorawanConfig:
    return LorawanConfig.model_validate(
        {"name": "lora", "profiles": [{"name": "EM300", "codec": "milesight-em300-th"}]} | others
    )


def test_kind_leads_to_this_configuration() -> None:
    section = {"kind": "lorawan", "name": "lora", "profiles": [{"name": "x", "codec": "elsys"}]}
    assert isinstance(TypeAdapter(AnyDriver).validate_python(section), LorawanConfig)


def event(payload: str | None = "0175640367 2aff 046864", **others: Any) -> dict[str, Any]:
    data = {} if payload is None else {"data": base64.b64encode(bytes.fromhex(payload)).decode()}
    return {
        "deduplicationId": "57433366",
        "time": "2023-05-22T07:47:05.404859+00:00",
        "deviceInfo": {"devEui": EUI, "deviceName": "room 3", "deviceProfileName": "EM300", "tags": {}},
        "fCnt": 4,
        "fPort": 85,
        "rxInfo": [{"rssi": -97, "snr": 3.5}, {"rssi": -61, "snr": 9.25}, {"rssi": -110, "snr": 12}],
    } | data | others  # fmt: skip


def heard(said: LorawanConfig, body: object, topic: str = TOPIC) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reader(said).batch(topic, raw, NOW)[0]


def told(batch: Batch) -> dict[str, tuple[float, str]]:
    return {each.name: (each.value, each.unit) for each in batch.readings}


def test_cold_room_sensor_by_chirpstack_becomes_readings() -> None:
    batch = heard(config(), event())
    assert told(batch) == {
        f"{EUI}/rssi": (-61.0, "dBm"),
        f"{EUI}/snr": (9.25, "dB"),
        f"{EUI}/battery": (100.0, "%EL"),
        f"{EUI}/air_temperature": (-21.4, "Cel"),
        f"{EUI}/air_humidity": (50.0, "%RH"),
    }
    assert {each.observed_ms for each in batch.readings} == {AT}
    assert batch.live
    assert not batch.undecodable


def test_same_uplink_again_gives_the_same_readings_and_losses() -> None:
    lossy = config(profiles=[{"name": "EM300", "codec": "milesight-gs301"}])
    body = event("047dffff 057d0100")
    assert heard(lossy, body) == heard(lossy, body)
    loss = heard(lossy, body).losses[0]
    assert (loss.reason, loss.channel, loss.source) == ("no_value", f"{EUI}/ammonia", f"lorawan:{EUI}:4:{AT}")


def test_records_of_the_device_keep_their_times_and_are_not_live() -> None:
    batch = heard(config(), event("0367 1801  20ce 9e744663 1001 5d"))
    temperatures = [(each.observed_ms, each.value) for each in batch.readings if each.name.endswith("air_temperature")]
    assert temperatures == [(AT, 28.0), (1_665_561_758_000, 27.2)]
    assert not batch.live


def test_two_values_for_one_channel_and_instant_are_one_reading_and_one_declared_loss() -> None:
    batch = heard(config(), event("0367 1801  0367 1901  0367 1901"))
    assert told(batch)[f"{EUI}/air_temperature"] == (28.1, "Cel")
    assert [(loss.reason, loss.count) for loss in batch.losses] == [("superseded", 1)]


@pytest.mark.parametrize(
    ("body", "at_ms"),
    [
        (event(time="2023-05-19T05:33:35.641841782Z"), 1_684_474_415_641),
        (event(time="2023-05-19T13:33:35.6+08:00"), 1_684_474_415_600),
        (event(time="2023-05-19T05:33:35"), 1_684_474_415_000),
        (event(time=None, rxInfo=[{"rssi": -5, "nsTime": "2023-05-19T05:33:35Z"}]), 1_684_474_415_000),
        (event(time=None), NOW),
        (event(time="yesterday"), NOW),
        (event(time="0001-01-01T00:00:00+23:59"), -62_135_683_140_000),
        (event(time=5), NOW),
    ],
)
def test_time_is_the_network_servers(body: dict[str, Any], at_ms: int) -> None:
    assert {each.observed_ms for each in heard(config(), body).readings} == {at_ms}


@pytest.mark.parametrize(
    ("others", "info", "metric"),
    [
        ({}, {"deviceProfileName": "EM300"}, "air_temperature"),
        ({}, {"deviceProfileName": "em300", "tags": {}}, None),
        ({}, {"deviceProfileName": "x", "tags": {"codec": "milesight-em300-th"}}, "air_temperature"),
        ({"codec_tag": "type"}, {"deviceProfileName": "x", "tags": {"type": "EM300"}}, "air_temperature"),
        ({"devices": [{"dev_eui": EUI.upper(), "codec": "milesight-em500-pt100"}]}, {}, "air_temperature"),
        ({"profiles": []}, {"deviceProfileName": "milesight-em300-th"}, "air_temperature"),
    ],
)  # fmt: skip
def test_codec_is_chosen_by_device_tag_or_profile(others: Any, info: dict[str, Any], metric: str | None) -> None:
    batch = heard(config(**others), event("03671801", deviceInfo={"devEui": EUI, **info}))
    assert (f"{EUI}/{metric}" in told(batch)) == (metric is not None)
    assert bool(batch.undecodable) == (metric is None)


def test_device_gets_the_code_and_parameters_of_the_configuration() -> None:
    said = config(
        devices=[{"dev_eui": EUI, "device": "tank-1", "codec": "decentlab-dl-pr26", "parameters": {"Pmax": 10}}]
    )
    batch = heard(said, event("02016700033e8060170c7f"))
    assert told(batch)["tank-1/pressure"] == (pytest.approx(-11_718.75), "Pa")
    names = {each.name: each.unit for each in Reader(said).channels}
    assert names == {
        "tank-1/rssi": "dBm", "tank-1/snr": "dB",
        "tank-1/pressure": "Pa", "tank-1/temperature": "Cel", "tank-1/battery": "V",
    }  # fmt: skip


def test_what_the_network_server_decoded_can_be_taken_instead() -> None:
    rules = [
        {"source": "temp.value", "metric": "air_temperature", "unit": "°F"},
        {"source": "door", "metric": "door_open"},
        {"source": "word", "metric": "word"},
    ]
    batch = heard(
        config(profiles=[{"name": "EM300", "channels": rules}]),
        event("ff", object={"temp": {"value": 14}, "door": True, "word": "closed"}),
    )
    values = told(batch)
    assert values[f"{EUI}/air_temperature"] == (pytest.approx(-10), "Cel")
    assert values[f"{EUI}/door_open"] == (1.0, "")
    assert [(loss.reason, loss.channel) for loss in batch.losses] == [("not_numeric", f"{EUI}/word")]
    assert not batch.undecodable


def test_unknown_type_keeps_what_came_before_and_the_bytes_of_all() -> None:
    batch = heard(config(), event("03671801 9999"))
    assert told(batch)[f"{EUI}/air_temperature"] == (28.0, "Cel")
    (bad,) = batch.undecodable
    assert bad.body == bytes.fromhex("036718019999")
    assert bad.source == f"lora {EUI} port 85"
    assert bad.why == Rejected(Reason.MALFORMED, "milesight-em300-th: type 99 99 at byte 4 is unknown")


def test_device_without_a_codec_keeps_radio_and_bytes_and_says_what_to_do() -> None:
    batch = heard(config(profiles=[]), event())
    assert set(told(batch)) == {f"{EUI}/rssi", f"{EUI}/snr"}
    assert batch.undecodable[0].why.reason is Reason.FOREIGN_SCHEMA
    assert "it goes by room 3, EM300" in batch.undecodable[0].why.detail


def test_uplink_without_data_is_radio_alone() -> None:
    for body in (event(None), event(None, fPort=0), event("")):
        batch = heard(config(), body)
        assert set(told(batch)) == {f"{EUI}/rssi", f"{EUI}/snr"}
        assert not batch.undecodable


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"{", Reason.MALFORMED),
        (b"\xff", Reason.MALFORMED),
        (b"[" * 100_000, Reason.MALFORMED),
        (b"[]", Reason.FOREIGN_SCHEMA),
        (b"{}", Reason.FOREIGN_SCHEMA),
        (b'{"deviceInfo": 5}', Reason.FOREIGN_SCHEMA),
        (json.dumps(event(deviceInfo={"devEui": "short"})).encode(), Reason.FOREIGN_SCHEMA),
        (json.dumps(event(data="%%%")).encode(), Reason.MALFORMED),
        (json.dumps(event(data="A")).encode(), Reason.MALFORMED),
        (json.dumps(event(data=5)).encode(), Reason.FOREIGN_SCHEMA),
    ],
)
def test_event_that_cannot_be_read_is_kept_with_its_bytes(body: bytes, reason: Reason) -> None:
    batch = heard(config(), body)
    assert not batch.readings
    (bad,) = batch.undecodable
    assert (bad.why.reason, bad.body) == (reason, body)


def test_base64_without_its_padding_is_read() -> None:
    body = event(data="A2cYAQ")
    assert told(heard(config(), body))[f"{EUI}/air_temperature"] == (28.0, "Cel")


def test_device_status_becomes_battery_and_margin() -> None:
    topic = TOPIC.replace("/up", "/status")
    body = {
        "time": "2023-05-22T07:47:05.404Z",
        "deviceInfo": {"devEui": EUI, "deviceProfileName": "EM300"},
        "margin": 8,
    }
    status = heard(config(), body | {"batteryLevel": 87.4}, topic)
    assert told(status) == {f"{EUI}/battery": (87.4, "%EL"), f"{EUI}/link_margin": (8.0, "dB")}
    for mains in ({"externalPowerSource": True}, {"batteryLevelUnavailable": True}):
        assert f"{EUI}/battery" not in told(heard(config(), body | {"batteryLevel": 0} | mains, topic))


def test_battery_level_does_not_mix_with_a_codecs_volts() -> None:
    topic = TOPIC.replace("/up", "/status")
    said = config(profiles=[{"name": "EM300", "codec": "decentlab-dl-pr26"}])
    body = {"deviceInfo": {"devEui": EUI, "deviceProfileName": "EM300"}, "batteryLevel": 87.0}
    assert told(heard(said, body, topic)) == {f"{EUI}/battery_level": (87.0, "%EL")}


@pytest.mark.parametrize("name", ["join", "ack", "txack", "log", "location", "integration", "x" * 50, "Ünfug"])
def test_other_events_say_nothing_and_are_counted(name: str) -> None:
    batch, counted = Reader(config()).batch(TOPIC.replace("/up", f"/{name}"), b"anything", NOW)
    assert batch == Batch()
    assert counted == (f"event_{name}" if name.isascii() and len(name) < 20 else "event_other")


def test_chirpstack_3_is_read_as_well() -> None:
    body = event(txInfo={"loRaModulationInfo": {"spreadingFactor": 11}}, rxInfo=[{"rssi": -48, "loRaSNR": 9}])
    del body["deviceInfo"]
    body |= {"devEUI": base64.b64encode(bytes.fromhex(EUI)).decode(), "deviceProfileName": "EM300"}
    uplink = NETWORKS["chirpstack"].read(TOPIC, json.dumps(body).encode(), "codec")
    assert isinstance(uplink, Uplink)
    assert (uplink.dev_eui, uplink.snr, uplink.spreading_factor) == (EUI, 9.0, 11)


def things_stack(**others: Any) -> dict[str, Any]:
    return {
        "end_device_ids": {
            "device_id": "room-3",
            "dev_eui": EUI.upper(),
            "application_ids": {"application_id": "cold"},
        },
        "received_at": "2023-05-19T05:33:35.848446463Z",
        "uplink_message": {
            "f_port": 85,
            "f_cnt": 7,
            "frm_payload": base64.b64encode(bytes.fromhex("03672aff")).decode(),
            "rx_metadata": [{"rssi": -35, "snr": 13.2}],
            "settings": {"frequency": "867100000", "data_rate": {"lora": {"spreading_factor": 7}}},
            "received_at": "2023-05-19T05:33:35.641841782Z",
            "version_ids": {"model_id": "em300-th"},
            "last_battery_percentage": {"value": 97.6, "received_at": "2023-05-19T05:00:00Z"},
        }
        | others,
    }


@pytest.mark.parametrize("name", ["room-3", "em300-th", "cold"])
def test_things_stack_device_becomes_readings_by_name_model_or_application(name: str) -> None:
    said = config(network="things_stack", profiles=[{"name": name, "codec": "milesight-em300-th"}])
    batch = heard(said, things_stack(), TTS_TOPIC)
    assert told(batch) == {
        f"{EUI}/rssi": (-35.0, "dBm"),
        f"{EUI}/snr": (13.2, "dB"),
        f"{EUI}/air_temperature": (-21.4, "Cel"),
        f"{EUI}/battery": (97.6, "%EL"),
    }
    assert {each.observed_ms for each in batch.readings if "battery" not in each.name} == {1_684_474_415_641}


def test_things_stack_events_other_than_uplinks_are_ignored() -> None:
    for topic, name in (("v3/a@b/devices/d/join", "join"), ("v3/a@b/devices/d/down/sent", "down_sent")):
        assert NETWORKS["things_stack"].read(topic, b"", "codec") == Ignored(name)


@pytest.mark.parametrize("body", [{}, {"end_device_ids": {"device_id": "x"}}, {"uplink_message": {}}])
def test_things_stack_message_without_device_or_uplink_is_refused(body: dict[str, Any]) -> None:
    assert heard(config(network="things_stack"), body, TTS_TOPIC).undecodable[0].why.reason is Reason.FOREIGN_SCHEMA


def test_mains_powered_device_has_no_battery_reading_and_loses_none() -> None:
    batch = heard(config(), event("0175ff"))
    assert f"{EUI}/battery" not in told(batch)
    assert not batch.losses


def test_value_beyond_the_device_is_bad() -> None:
    batch = heard(config(), event("0468ff"))
    assert [each.quality for each in batch.readings if each.name.endswith("humidity")] == [Quality.BAD]


@pytest.mark.parametrize(
    "said",
    [
        {"profiles": [{"name": "a"}]},
        {"profiles": [{"name": "a", "codec": "elsys"}, {"name": "a", "codec": "elsys"}]},
        {"devices": [{"dev_eui": "12", "codec": "elsys"}]},
        {"devices": [{"dev_eui": EUI, "codec": "elsys"}, {"dev_eui": EUI.upper(), "codec": "elsys"}]},
        {"application": "a/b"},
        {"network": "loriot"},
    ],
)
def test_configuration_that_cannot_be_right_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**said)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"codec": "nothing"}, "there is no codec 'nothing'"),
        ({"codec": "elsys", "parameters": {"R": 1}}, "has no parameter 'R'; it has none"),
    ],
)
def test_codec_or_parameter_that_is_not_there_is_named(profile: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Reader(config(profiles=[{"name": "a", **profile}]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*sorted(event()), "object", "txInfo", "dr"]), JSON)
def test_any_value_anywhere_in_an_event_is_read_or_refused(key: str, value: Any) -> None:
    batch = heard(config(), event(**{key: value}))
    assert batch.readings or batch.undecodable or value in (None, [], {})


@given(st.sampled_from(sorted(things_stack()["uplink_message"])), JSON)
def test_any_value_anywhere_in_a_things_stack_uplink_is_read_or_refused(key: str, value: Any) -> None:
    heard(config(network="things_stack"), things_stack(**{key: value}), TTS_TOPIC)


@given(st.sampled_from(sorted(NETWORKS)), st.text(max_size=40), st.binary(max_size=200))
def test_any_message_is_read_or_refused(network: str, topic: str, body: bytes) -> None:
    assert isinstance(NETWORKS[network].read(topic, body, "codec"), Uplink | Status | Ignored | Rejected)
