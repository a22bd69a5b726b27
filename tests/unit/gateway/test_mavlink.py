"""MAVLink frames, fields and logs, held against pymavlink; live drones on a socket."""

from __future__ import annotations

import math
import os
import random
import socket
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fix_intake import KeepingIntake, at_work, soon
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.clock import ManualClock, SystemClock
from hanlu.core.errors import RemoteError, UsageError
from hanlu.gateway.driver.folder import FileFacts
from hanlu.gateway.driver.mavlink import MavlinkConfig, TlogConfig, TlogImporter
from hanlu.gateway.driver.mavlink_channels import default_rules
from hanlu.gateway.driver.mavlink_frame import BadFrame, Frame, Incomplete, SequenceWatch, frames_in, parse
from hanlu.gateway.driver.mavlink_message import crc, messages

NOW_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def dialect() -> Any:
    """The reference implementation, told to speak version 2."""
    before = os.environ.get("MAVLINK20")
    os.environ["MAVLINK20"] = "1"
    from pymavlink.dialects.v20 import all as everything

    yield everything
    if before is None:
        del os.environ["MAVLINK20"]


def sender(dialect: Any, system: int = 1, component: int = 1) -> Any:
    link = dialect.MAVLink(None, srcSystem=system, srcComponent=component)
    link.robust_parsing = True
    return link


def position(dialect: Any, lat: int = 301_234_567, lon: int = 1_203_456_789, boot_ms: int = 60_000) -> Any:
    return dialect.MAVLink_global_position_int_message(boot_ms, lat, lon, 25_000, 12_500, 0, 0, 0, 9_000)


def test_checksum_is_the_standards() -> None:
    assert crc(b"123456789") == 0x6F91


def test_table_of_messages_is_the_reference_implementations(dialect: Any) -> None:
    for number, (message, extra) in messages().items():
        theirs = dialect.mavlink_map[number]
        assert message.name == theirs.msgname
        assert extra == theirs.crc_extra, message.name
        assert [each.name for each in message.fields + message.extensions] == list(theirs.ordered_fieldnames)
        layout = "<" + "".join(each.format for each in message.fields + message.extensions)
        assert struct.calcsize(layout) == theirs.unpacker.size
        assert [each.count for each in message.fields + message.extensions] == list(theirs.array_lengths)


def test_every_message_of_the_flight_equals_the_reference_decode(dialect: Any) -> None:
    from pymavlink import mavutil

    path = shared_dir("samples", "flight_logs", "eaics_flight.tlog")
    config = TlogConfig.model_validate(
        {"name": "logs", "systems": {"1": "drone-7"}, "folder": {"path": path.parent, "pattern": "*.tlog"}}
    )
    ours = [
        (stamp, frame) for stamp, frame in TlogImporter(config, ManualClock(NOW_MS)).records(FileFacts(path, "d" * 64))
    ]
    log = mavutil.mavlink_connection(str(path), dialect="all")
    theirs = []
    while (message := log.recv_msg()) is not None:
        theirs.append(message)
    log.close()
    assert len(ours) == len(theirs) == 8_164
    compared: Counter[str] = Counter()
    for (stamp, frame), message in zip(ours, theirs, strict=True):
        assert (frame.system, frame.component) == (message.get_srcSystem(), message.get_srcComponent())
        assert frame.sequence == message.get_seq()
        assert stamp / 1e6 == pytest.approx(message._timestamp, abs=1e-6)
        assert (frame.message is None) == (message.get_msgId() not in messages())
        if frame.message is None:
            continue
        compared[frame.message.name] += 1
        expected = message.to_dict()
        for name, value in frame.values().items():
            wanted = expected.get(name, 0)
            wanted = tuple(wanted) if isinstance(wanted, list) else wanted
            assert value == wanted or (math.isnan(value) and math.isnan(wanted)), (frame.message.name, name)
    assert compared["GLOBAL_POSITION_INT"] == 278
    assert compared["SCALED_PRESSURE2"] == 301
    assert compared == Counter(each.get_type() for each in theirs if each.get_msgId() in messages())


def test_flight_becomes_one_value_a_channel_and_period(intake: KeepingIntake) -> None:
    path = shared_dir("samples", "flight_logs", "eaics_flight.tlog")
    config = TlogConfig.model_validate({"name": "logs", "systems": {1: "drone-7"}, "folder": {"path": path.parent}})
    batches = list(TlogImporter(config, ManualClock(NOW_MS)).pieces(FileFacts(path, "d" * 64)))
    readings = [reading for batch in batches for reading in batch.readings]
    assert {batch.live for batch in batches} == {False}
    times: dict[str, list[int]] = {}
    for reading in readings:
        times.setdefault(reading.name, []).append(reading.observed_ms)
    assert set(times) <= {channel.name for channel in config.birth_channels()}
    assert "drone-7/latitude" not in times, "no fix: there is no position"
    assert len(times["drone-7/barometer_temperature"]) == 9
    for each in times.values():
        assert all(later - earlier >= 10_000 for earlier, later in pairwise(each))
    temperature = next(reading for reading in readings if reading.name == "drone-7/barometer_temperature")
    assert temperature.unit == "Cel"
    assert -20 < temperature.value < 60


def test_both_versions_signed_and_cut_payloads_are_read(dialect: Any) -> None:
    link = sender(dialect)
    message = position(dialect)
    second = message.pack(link)
    first = message.pack(link, force_mavlink1=True)
    link.signing.secret_key, link.signing.sign_outgoing = b"k" * 32, True
    signed = message.pack(link)
    assert [second[0], first[0], signed[2]] == [0xFD, 0xFE, 0x01]
    for data in (second, first, signed):
        frame = parse(data)
        assert isinstance(frame, Frame)
        assert frame.size == len(data)
        assert frame.values()["lat"] == 301_234_567
    level = parse(dialect.MAVLink_attitude_message(5, 0.5, 0, 0, 0, 0, 0).pack(sender(dialect)))
    assert isinstance(level, Frame)
    assert len(level.payload) == 8, "the zeros are not sent"
    assert level.values() == {"time_boot_ms": 5, "roll": 0.5} | dict.fromkeys(
        ("pitch", "yaw", "rollspeed", "pitchspeed", "yawspeed"), 0.0
    )


def test_frame_cut_anywhere_is_incomplete_and_bent_anywhere_is_no_other_message(dialect: Any) -> None:
    data = position(dialect).pack(sender(dialect))
    for end in range(len(data)):
        assert isinstance(parse(data[:end]), Incomplete), end
    whole = parse(data)
    for at in range(len(data)):
        bent = bytearray(data)
        bent[at] ^= 0x55
        found = parse(bent)
        assert not isinstance(found, Frame) or found.message is None or found.values() == whole.values(), at


def test_unknown_incompatibility_flag_is_refused(dialect: Any) -> None:
    data = bytearray(position(dialect).pack(sender(dialect)))
    data[2] |= 0x02
    assert parse(data) == BadFrame("unknown_flags")


def test_frames_between_rubbish_are_found(dialect: Any) -> None:
    link = sender(dialect)
    frame = position(dialect).pack(link)
    chance = random.Random(7)
    counts: Counter[str] = Counter()
    data = b"".join(chance.randbytes(20).replace(b"\xfd", b"x").replace(b"\xfe", b"x") + frame for _ in range(10))
    found, wrong = frames_in(data, counts)
    assert len(found) == 10
    assert wrong == "no_frame"
    assert counts["skipped_bytes"] == 200


@given(st.binary(max_size=600))
def test_any_datagram_is_frames_or_a_complaint(data: bytes) -> None:
    counts: Counter[str] = Counter()
    found, wrong = frames_in(data, counts)
    for frame in found:
        frame.values()
    assert sum(frame.size for frame in found) + counts["skipped_bytes"] == len(data)
    assert (wrong is None) == (counts["skipped_bytes"] == 0)


def test_gaps_in_the_sequence_are_counted_round_the_corner() -> None:
    watch = SequenceWatch()
    frames = [Frame(1, sequence, 1, 1, None, b"") for sequence in (253, 254, 2, 3)]
    assert [watch.missing(frame) for frame in frames] == [0, 0, 3, 0]


def live(**changes: Any) -> MavlinkConfig:
    return MavlinkConfig.model_validate(
        {"name": "field", "listen": "127.0.0.1:0", "systems": {7: "drone-7"}, "period_s": 1} | changes
    )


def speak(address: str, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, ("127.0.0.1", int(address.rpartition(":")[2])))


def test_drone_heard_live_becomes_readings_at_arrival(dialect: Any, intake: KeepingIntake) -> None:
    link = sender(dialect, system=7)
    weather = dialect.MAVLink_hygrometer_sensor_message(0, 2_150, 6_400)
    with at_work(live().build(intake, ManualClock(NOW_MS))) as driver:
        speak(driver.address, position(dialect).pack(link), weather.pack(link), position(dialect).pack(link))
        soon(lambda: driver.counts["messages"] == 3 and bool(intake.batches), "readings")
    values = intake.values()
    assert values["drone-7/latitude"] == pytest.approx(30.1234567)
    assert values["drone-7/longitude"] == pytest.approx(120.3456789)
    assert values["drone-7/altitude"] == pytest.approx(25.0)
    assert values["drone-7/heading"] == pytest.approx(90.0)
    assert values["drone-7/air_temperature"] == pytest.approx(21.5)
    assert values["drone-7/relative_humidity"] == pytest.approx(64.0)
    assert {reading.observed_ms for reading in intake.readings} == {NOW_MS}
    assert driver.counts["thinned"] == 5


def test_fields_without_a_value_give_no_reading(dialect: Any, intake: KeepingIntake) -> None:
    link = sender(dialect, system=7)
    power = dialect.MAVLink_sys_status_message(0, 0, 0, 500, 65_535, -1, -1, 0, 0, 0, 0, 0, 0)
    air = dialect.MAVLink_vfr_hud_message(float("nan"), 3.5, 0, 0, 0, 0.25)
    with at_work(live().build(intake, ManualClock(NOW_MS))) as driver:
        speak(driver.address, position(dialect, 0, 0).pack(link), power.pack(link), air.pack(link))
        soon(lambda: "drone-7/climb" in intake.values(), "readings")
    assert not {"latitude", "longitude", "battery", "battery_voltage", "battery_current", "airspeed"} & {
        name.partition("/")[2] for name in intake.values()
    }
    assert intake.values()["drone-7/processor_load"] == 0.5
    assert driver.counts["no_value"] == 6


def test_vehicle_clock_stamps_what_says_when_it_was_measured(dialect: Any, intake: KeepingIntake) -> None:
    link = sender(dialect, system=7)
    told = dialect.MAVLink_system_time_message((NOW_MS - 3_000) * 1000, 50_000)
    with at_work(live(clock="vehicle").build(intake, ManualClock(NOW_MS))) as driver:
        speak(driver.address, told.pack(link), position(dialect, boot_ms=51_500).pack(link))
        soon(lambda: bool(intake.readings), "readings")
    assert {reading.observed_ms for reading in intake.readings} == {NOW_MS - 1_500}


def test_own_channels_other_systems_and_strangers(dialect: Any, intake: KeepingIntake) -> None:
    own = {"source": "BATTERY_STATUS.voltages[2]", "metric": "cell_3", "unit": "mV", "absent": [65535]}
    battery = dialect.MAVLink_battery_status_message(
        0, 0, 0, 3_120, [4_100, 4_090, 4_080] + [65_535] * 7, -1, -1, -1, 55
    )
    with at_work(live(channels=[own], without=["battery_t*"]).build(intake, ManualClock(NOW_MS))) as driver:
        speak(driver.address, battery.pack(sender(dialect, 7)), battery.pack(sender(dialect, 8)))
        soon(lambda: driver.counts["other_system"] == 1 and bool(intake.readings), "both messages")
    assert intake.values() == {"drone-7/cell_3": pytest.approx(4.08)}
    with at_work(live(peers=["10.0.0.0/8"]).build(intake, ManualClock(NOW_MS))) as driver:
        speak(driver.address, battery.pack(sender(dialect, 7)))
        soon(lambda: driver.counts["stranger"] == 1, "the stranger")
    assert len(intake.readings) == 1


def test_flood_of_rubbish_is_rationed_and_the_drone_still_heard(dialect: Any, intake: KeepingIntake) -> None:
    with at_work(live().build(intake, ManualClock(NOW_MS))) as driver:
        for _ in range(10):
            speak(driver.address, *[b"\xfdrubbish %d" % number for number in range(20)])
        speak(driver.address, position(dialect).pack(sender(dialect, 7)))
        soon(lambda: bool(intake.readings), "the drone")
    assert len(intake.undecodable) == 20
    assert intake.undecodable[0].body == b"\xfdrubbish 0"
    assert driver.counts["undecodable_dropped"] > 0


def tlog(folder: Path, content: bytes) -> FileFacts:
    path = folder / "a.tlog"
    path.write_bytes(content)
    return FileFacts(path, "d" * 64)


def importer(folder: Path) -> TlogImporter:
    config = {"name": "logs", "systems": {1: "drone-7"}, "period_s": 0.1, "folder": {"path": folder}}
    return TlogImporter(TlogConfig.model_validate(config), ManualClock(NOW_MS))


def records(dialect: Any, count: int) -> list[bytes]:
    link = sender(dialect)
    found = []
    for number in range(count):
        stamp = (NOW_MS - 100_000 + number * 20) * 1000
        found.append(struct.pack(">Q", stamp) + position(dialect, boot_ms=number).pack(link))
        link.seq = (link.seq + 1) % 256
    return found


def test_log_cut_anywhere_gives_its_whole_records(dialect: Any, tmp_path: Path) -> None:
    each = records(dialect, 4)
    whole = b"".join(each)
    for end in range(len(whole) + 1):
        found = list(importer(tmp_path).records(tlog(tmp_path, whole[:end])))
        complete = sum(end >= sum(map(len, each[: number + 1])) for number in range(4))
        assert len(found) == complete, end


def test_damaged_stretch_of_a_log_costs_only_itself(dialect: Any, tmp_path: Path) -> None:
    each = records(dialect, 3_000)
    damaged = b"".join(each[:1_500]) + random.Random(3).randbytes(5_000) + b"".join(each[1_500:])
    found = list(importer(tmp_path).records(tlog(tmp_path, damaged)))
    assert sum(frame.message is not None for _, frame in found) == 3_000


def test_file_that_is_no_log_and_log_of_others_fail(dialect: Any, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"no \.tlog"):
        list(importer(tmp_path).pieces(tlog(tmp_path, b"GIF89a" * 1_000)))
    stamp = struct.pack(">Q", NOW_MS * 1000)
    with pytest.raises(RemoteError, match="none of its messages"):
        list(importer(tmp_path).pieces(tlog(tmp_path, stamp + position(dialect).pack(sender(dialect, 9)))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": {}}, "systems"),
        ({"systems": {0: "drone"}}, "an id is 1 to 255"),
        ({"systems": {1: "Drone 7"}}, "a code such as drone-7"),
        ({"systems": {1: "a", 2: "a"}}, "same device code"),
        ({"peers": ["10.0.0.1/8"]}, "host bits set"),
        ({"channels": [{"source": "VFR_HUD.speed", "metric": "m"}]}, "VFR_HUD has no field 'speed'"),
        ({"channels": [{"source": "NOISE.x", "metric": "m"}]}, "'NOISE' is not read"),
        ({"channels": [{"source": "BATTERY_STATUS.voltages", "metric": "m"}]}, "voltages has 10 elements"),
        ({"channels": [{"source": "BATTERY_STATUS.voltages[10]", "metric": "m"}]}, "voltages has 10 elements"),
        ({"channels": [{"source": "VFR_HUD.alt[0]", "metric": "m"}]}, "alt has no elements"),
    ],
)
def test_configuration_that_cannot_work_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        live(**changes)


def test_taken_port_is_a_mistake(intake: KeepingIntake) -> None:
    driver = live().build(intake, SystemClock())
    with pytest.raises(UsageError, match="cannot listen for MAVLink"):
        live(listen=driver.address.removeprefix("udp:")).build(intake, SystemClock())
    driver.close()


def test_every_default_channel_has_its_own_metric() -> None:
    metrics = [rule.metric for rule in default_rules()]
    assert len(set(metrics)) == len(metrics)
