"""PX4 logs: the stream held against pyulog, times from the receiver, bounds and damage."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fix_intake import KeepingIntake, at_work, soon
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.clock import ManualClock
from hanlu.core.errors import RemoteError
from hanlu.core.reading import Quality
from hanlu.gateway.driver.folder import FileFacts
from hanlu.gateway.driver.ulog import TopicRule, UlogConfig, UlogImporter, default_rules
from hanlu.gateway.driver.ulog_read import Info, Sample, UlogReader

NOW_MS = 1_790_000_000_000
UUID = "000600000000383638393239510d0035002d"


def sample_log() -> Path:
    return shared_dir("samples", "flight_logs", "px4_sample_log_small.ulg")


def importer(folder: Path, **changes: Any) -> UlogImporter:
    config = {"name": "px4", "folder": {"path": folder}, "vehicles": {UUID: "drone-7"}} | changes
    return UlogImporter(UlogConfig.model_validate(config), ManualClock(NOW_MS))


def facts(path: Path) -> FileFacts:
    return FileFacts(path, "d" * 64)


def test_every_message_of_the_log_equals_the_reference_decode() -> None:
    from pyulog import ULog

    reference = ULog(str(sample_log()))
    wanted = {
        "airspeed": frozenset({"true_airspeed_m_s", "air_temperature_celsius"}),
        "battery_status": frozenset({"voltage_v", "remaining", "voltage_cell_v[3]", "cell_count"}),
        "sensor_baro": frozenset({"temperature", "pressure"}),
        "vehicle_gps_position": frozenset({"lat", "lon", "time_utc_usec", "fix_type"}),
        "vehicle_attitude": frozenset({"q[0]", "q[3]"}),
        "position_setpoint_triplet": frozenset({"previous.lat", "current.alt", "next.valid"}),
        "actuator_armed": frozenset({"armed"}),
    }
    ours: dict[tuple[str, int], list[Sample]] = {}
    with sample_log().open("rb") as source:
        reader = UlogReader(source, wanted)
        infos = []
        for found in reader.read():
            if isinstance(found, Info):
                infos.append(found)
            else:
                ours.setdefault((found.topic, found.instance), []).append(found)
    assert reader.skipped == 0
    assert Info("sys_uuid", UUID) in infos
    compared = 0
    for data in reference.data_list:
        if data.name not in wanted:
            continue
        mine = ours.pop((data.name, data.multi_id))
        assert [each.at_us for each in mine] == data.data["timestamp"].tolist()
        for field in wanted[data.name]:
            theirs = [float(value) for value in data.data[field]]
            assert [repr(each.values[field]) for each in mine] == [repr(value) for value in theirs], field
            compared += len(theirs)
    assert not ours
    assert compared > 3_000


def test_log_becomes_one_value_a_channel_and_period_at_the_receivers_time() -> None:
    batches = list(importer(sample_log().parent, period_s=1).pieces(facts(sample_log())))
    readings = [reading for batch in batches for reading in batch.readings]
    assert {batch.live for batch in batches} == {False}
    assert {reading.quality for reading in readings} == {Quality.GOOD}
    times: dict[str, list[int]] = {}
    for reading in readings:
        times.setdefault(reading.name, []).append(reading.observed_ms)
    assert all(later - earlier >= 1_000 for each in times.values() for earlier, later in pairwise(each))
    assert len(times["drone-7/air_temperature"]) == 7, "of 595 messages in 6.5 s"
    first = {reading.name: reading for reading in reversed(readings)}
    assert first["drone-7/battery_voltage"].value == pytest.approx(23.348753)
    assert (first["drone-7/battery"].unit, first["drone-7/battery"].value) == ("%EL", pytest.approx(74.015635))
    assert first["drone-7/air_temperature"].value == pytest.approx(23.224325)
    assert first["drone-7/barometer_temperature"].value == pytest.approx(36.42)
    assert "drone-7/battery_temperature" not in first, "the battery does not tell: NaN"
    began = 1_618_986_658_600
    assert all(began - 60_000 < reading.observed_ms < began + 1_300_000 for reading in readings)


def test_second_sensor_and_array_element_by_rules_of_ones_own(tmp_path: Path) -> None:
    own = [
        {"source": "sensor_baro.temperature", "instance": 1, "metric": "barometer_temperature", "unit": "°C"},
        {"source": "battery_status.voltage_cell_v[0]", "metric": "cell_1", "unit": "V"},
    ]
    found = importer(tmp_path, channels=own, without=["[!bc]*", "battery*"])
    readings = [reading for batch in found.pieces(facts(sample_log())) for reading in batch.readings]
    assert {reading.name for reading in readings} == {"drone-7/barometer_temperature", "drone-7/cell_1"}
    assert next(each for each in readings if each.name.endswith("ature")).value == pytest.approx(25.79)


def test_vehicle_that_is_not_named_fails_with_its_identity(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=UUID):
        list(importer(tmp_path, vehicles={"other": "drone-9"}).pieces(facts(sample_log())))
    readings = next(importer(tmp_path, vehicles={}, device="drone-1").pieces(facts(sample_log()))).readings
    assert {reading.name.partition("/")[0] for reading in readings} == {"drone-1"}


def message(kind: str, body: bytes) -> bytes:
    return struct.pack("<HB", len(body), ord(kind)) + body


HEADER = b"ULog\x01\x12\x35\x01" + struct.pack("<Q", 0)
SYNC = message("S", bytes.fromhex("2f731320250cbb12"))
FORMAT = message("F", b"cpuload:uint64_t timestamp;float load;float ram_usage;")
FORMAT_GPS = message("F", b"vehicle_gps_position:uint64_t timestamp;uint64_t time_utc_usec;uint8_t fix_type;")
TOPIC = message("A", struct.pack("<BH", 0, 7) + b"cpuload")
TOPIC_GPS = message("A", struct.pack("<BH", 0, 8) + b"vehicle_gps_position")


def load(at_us: int, value: float = 0.5) -> bytes:
    return message("D", struct.pack("<HQff", 7, at_us, value, 0.25))


def fix(at_us: int, utc_us: int, kind: int = 3) -> bytes:
    return message("D", struct.pack("<HQQB", 8, at_us, utc_us, kind))


def read(data: bytes) -> list[Sample]:
    reader = UlogReader(io.BytesIO(data), {"cpuload": frozenset({"load"})})
    return [found for found in reader.read() if isinstance(found, Sample)]


def test_log_cut_anywhere_gives_its_whole_messages() -> None:
    parts = [HEADER, FORMAT, TOPIC, load(1), load(2), load(3)]
    whole = b"".join(parts)
    for end in range(16, len(whole) + 1):
        complete = sum(end >= sum(map(len, parts[: number + 1])) for number in (3, 4, 5))
        assert len(read(whole[:end])) == complete, end
    for end in range(16):
        with pytest.raises(RemoteError, match="no ULog"):
            read(whole[:end])


def test_damaged_stretch_ends_at_the_next_synchronisation() -> None:
    damage = b"\x05\x00\xee" + random.Random(2).randbytes(200_000)
    data = HEADER + FORMAT + TOPIC + load(1) + damage + SYNC + load(2) + load(3)
    reader = UlogReader(io.BytesIO(data), {"cpuload": frozenset({"load"})})
    assert [found.at_us for found in reader.read() if isinstance(found, Sample)] == [1, 2, 3]
    assert reader.skipped == len(damage)


def test_data_appended_after_a_crash_is_read() -> None:
    begin = HEADER + message("B", bytes(8) + b"\x01" + bytes(7) + bytes(24)) + FORMAT + TOPIC
    cut = load(2)[:-6]
    offset = len(begin) + len(load(1)) + len(cut)
    flags = message("B", bytes(8) + b"\x01" + bytes(7) + struct.pack("<3Q", offset, 0, 0))
    data = HEADER + flags + FORMAT + TOPIC + load(1) + cut + load(3) + load(4)
    assert [each.at_us for each in read(data)] == [1, 3, 4]


def test_edition_that_is_not_known_is_refused() -> None:
    with pytest.raises(RemoteError, match="features that are not known"):
        read(HEADER + message("B", bytes(8) + b"\x02" + bytes(7) + bytes(24)))


def test_types_that_contain_themselves_and_short_messages_do_no_harm() -> None:
    circular = message("F", b"cpuload:uint64_t timestamp;cpuload inner;float load;")
    data = HEADER + circular + TOPIC + message("D", struct.pack("<HQ", 7, 1)) + message("D", b"\x07")
    assert read(data) == []


@given(st.binary(max_size=500))
def test_any_bytes_behind_a_header_are_samples_or_a_refusal(data: bytes) -> None:
    try:
        read(HEADER + FORMAT + TOPIC + data)
    except RemoteError:
        return


def test_log_bent_anywhere_is_read_or_refused() -> None:
    data = HEADER + FORMAT + FORMAT_GPS + TOPIC + TOPIC_GPS + load(1) + SYNC + load(2)
    for at in range(16, len(data)):
        bent = bytearray(data)
        bent[at] ^= 0x5A
        try:
            assert len(read(bytes(bent))) <= 2
        except RemoteError:
            continue


def log_file(folder: Path, *messages: bytes) -> Path:
    path = folder / "a.ulg"
    path.write_bytes(HEADER + FORMAT + FORMAT_GPS + TOPIC + TOPIC_GPS + b"".join(messages))
    return path


def only(folder: Path, path: Path) -> tuple[int, Quality]:
    found = importer(folder, vehicles={}, device="drone-1", without=["gps_fix"])
    (reading,) = [reading for batch in found.pieces(facts(path)) for reading in batch.readings]
    return reading.observed_ms, reading.quality


def test_time_is_the_receivers_with_a_fix_before_one_without(tmp_path: Path) -> None:
    start_us = (NOW_MS - 3_600_000) * 1000
    path = log_file(
        tmp_path,
        fix(500_000, 5),
        fix(1_000_000, start_us - 9_000_000_000, 0),
        load(2_000_000),
        fix(3_000_000, start_us),
    )
    assert only(tmp_path, path) == (NOW_MS - 3_601_000, Quality.GOOD)
    path = log_file(tmp_path, load(2_000_000), fix(3_000_000, start_us, 0))
    assert only(tmp_path, path) == (NOW_MS - 3_601_000, Quality.UNCERTAIN)


def test_time_without_a_receiver_ends_when_the_file_was_written(tmp_path: Path) -> None:
    path = log_file(tmp_path, load(2_000_000))
    os.utime(path, ns=(0, (NOW_MS - 60_000) * 1_000_000))
    assert only(tmp_path, path) == (NOW_MS - 60_000, Quality.UNCERTAIN)


def test_log_without_a_value_that_is_read_fails(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no value of any topic"):
        list(importer(tmp_path, vehicles={}, device="d").pieces(facts(log_file(tmp_path))))


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = log_file(tmp_path, *[load(number * 1_000) for number in range(count)])
        tracemalloc.start()
        for _ in importer(tmp_path, vehicles={}, device="d").samples(facts(path)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(1_000), peak(20_000)
    assert large < small + 50_000, "bytes"


def test_log_in_the_folder_is_kept_and_moved(tmp_path: Path, intake: KeepingIntake) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "flight.ulg").write_bytes(sample_log().read_bytes())
    (folder / "broken.ulg").write_bytes(b"no log")
    config = UlogConfig.model_validate(
        {
            "name": "px4",
            "device": "drone-7",
            "folder": {"path": folder, "pattern": "*.ulg", "poll_s": 0.05, "stable_s": 0},
        }
    )
    with at_work(config.build(intake, ManualClock(NOW_MS))):
        soon((folder / "done" / "flight.ulg").exists, "the move")
        soon((folder / "failed" / "broken.ulg").exists, "the other move")
    assert len(intake.readings) == 13
    assert intake.undecodable[0].body == b"no log"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vehicles": {}}, "whose logs these are"),
        ({"vehicles": {UUID: "Drone 7"}}, "no device code"),
        ({"channels": [{"source": "cpuload", "metric": "m"}]}, r"a source is topic\.field"),
    ],
)
def test_configuration_that_cannot_work_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        importer(tmp_path, **changes)


def test_every_default_channel_has_its_own_metric() -> None:
    metrics = [rule.metric for rule in default_rules()]
    assert len(set(metrics)) == len(metrics)


def test_mask_tells_a_bit() -> None:
    rule = TopicRule.model_validate({"source": "a.b", "metric": "m", "mask": 4})
    assert [rule.raw(Sample("a", 0, 0, {"b": value})) for value in (4.0, 3.0)] == [1.0, 0.0]
