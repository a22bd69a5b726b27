"""JT/T 808: frames and reports round-trip; terminals are answered when the disk has what they said."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fix_intake import KeepingIntake, at_work, soon
from fix_jt808 import TerminalClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.clock import ManualClock, SystemClock
from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.jt808 import Jt808Config
from hanlu.gateway.driver.jt808_frame import (
    Assembly,
    BadFrame,
    Frame,
    FrameSplitter,
    Header,
    encode_frames,
    parse_frame,
)
from hanlu.gateway.driver.jt808_message import (
    BATCH,
    HEARTBEAT,
    LOCATION,
    LOGOUT,
    Location,
    auth_code_in,
    decode_batch,
    decode_location,
    encode_batch,
    encode_location,
)

NOW_MS = 1_790_000_000_000
KEY = "a key of this test's own"
HERE = Location(
    status=0x3,
    latitude=30.123456,
    longitude=120.345678,
    altitude=25,
    speed=655,
    direction=90,
    observed_ms=NOW_MS - 4_000,
    items={0x01: (123_456).to_bytes(4, "big"), 0x06: (0x8012).to_bytes(2, "big"), 0x30: b"\x19", 0x31: b"\x0b"},
)

numbers = st.binary(min_size=6, max_size=6) | st.binary(min_size=10, max_size=10)
degrees = st.integers(-89_999_999, 89_999_999).filter(bool).map(lambda value: value / 1e6)
locations = st.builds(
    Location,
    alarm=st.integers(0, 2**32 - 1),
    status=st.integers(0, 2**32 - 1).map(lambda bits: bits & ~0xE),
    altitude=st.integers(0, 65_535),
    speed=st.integers(0, 65_535),
    direction=st.integers(0, 359),
    observed_ms=st.none() | st.integers(1_262_304_000, 4_000_000_000).map(lambda seconds: seconds * 1000),
    items=st.dictionaries(st.integers(0, 255), st.binary(max_size=255), max_size=5),
)


@given(
    message=st.integers(0, 0xFFFF),
    serial=st.integers(0, 0xFFFF),
    number=numbers,
    body=st.binary(max_size=300) | st.binary(min_size=1_020, max_size=3_000),
    data=st.data(),
)
def test_message_comes_back_from_the_wire_in_any_pieces(
    message: int, serial: int, number: bytes, body: bytes, data: Any
) -> None:
    header = Header(message, serial, number, 1 if len(number) == 10 else None)
    wire = encode_frames(header, body)
    splitter, assembly = FrameSplitter(), Assembly()
    found: list[tuple[Frame, ...]] = []
    at = 0
    while at < len(wire):
        size = data.draw(st.integers(1, 700))
        for frame in splitter.feed(wire[at : at + size]):
            assert isinstance(frame, Frame)
            if whole := assembly.add(frame):
                found.append(whole)
        at += size
    ((*frames,),) = found
    assert b"".join(frame.body for frame in frames) == body
    assert [frame.header.serial for frame in frames] == [(serial + step) & 0xFFFF for step in range(len(frames))]
    assert {(each.header.message, each.header.number, each.header.version) for each in frames} == {
        (message, number, header.version)
    }


@given(locations, degrees, degrees)
def test_report_comes_back_from_its_bytes(location: Location, latitude: float, longitude: float) -> None:
    from dataclasses import replace

    placed = replace(location, latitude=latitude, longitude=longitude)
    found = decode_location(encode_location(placed))
    assert isinstance(found, Location)
    flags = 0x2 | (0x4 if latitude < 0 else 0) | (0x8 if longitude < 0 else 0)
    assert found == replace(placed, status=placed.status | flags, items=dict(placed.items))


def test_report_of_the_standard_is_read_byte_by_byte() -> None:
    """The layout by hand, so that encoder and decoder cannot agree on a mistake."""
    body = bytes.fromhex(
        "00000001 00000003 01cba440 072c3e0e 0019 028f 005a 2609221719200104 0001e240 0602 8012 300119 31010b".replace(
            " ", ""
        )
    )
    assert decode_location(body) == Location(
        alarm=1,
        status=3,
        latitude=30.123072,
        longitude=120.339982,
        altitude=25,
        speed=655,
        direction=90,
        observed_ms=1_790_068_760_000,
        items={1: b"\0\x01\xe2\x40", 6: b"\x80\x12", 0x30: b"\x19", 0x31: b"\x0b"},
    )


def test_escapes_are_the_standards() -> None:
    wire = encode_frames(Header(0x0002, 0x7D7E, bytes(6)), b"\x30\x7e\x08\x7d\x55")
    assert wire[1:-1].count(b"\x7e") == 0
    assert b"\x7d\x01\x7d\x02" in wire
    assert b"\x30\x7d\x02\x08\x7d\x01\x55" in wire


def test_frame_cut_or_bent_anywhere_is_bad() -> None:
    wire = encode_frames(Header(LOCATION, 7, bytes.fromhex("013800138000")), encode_location(HERE))
    raw = wire[1:-1]
    for end in range(len(raw)):
        assert isinstance(parse_frame(raw[:end]), BadFrame), end
    for at in range(len(raw)):
        bent = bytearray(raw)
        bent[at] ^= 0x11
        assert isinstance(parse_frame(bytes(bent)), BadFrame), at


def test_bad_frame_does_not_show_the_terminals_number() -> None:
    for number in ("013800138000", "00000000013800138000"):
        header = Header(LOCATION, 7, bytes.fromhex(number), 1 if len(number) == 20 else None)
        bent = bytearray(encode_frames(header, encode_location(HERE))[1:-1])
        bent[-1] ^= 1
        found = parse_frame(bytes(bent))
        assert isinstance(found, BadFrame)
        assert bytes.fromhex("3800138000") not in found.raw
        assert len(found.raw) == len(bent)


@given(st.binary(max_size=3_000))
def test_any_stream_is_frames_or_bad_ones_and_stays_bounded(data: bytes) -> None:
    splitter = FrameSplitter()
    for at in range(0, len(data), 100):
        for frame in splitter.feed(data[at : at + 100]):
            assert isinstance(frame, Frame | BadFrame)
    for _ in range(10):
        assert all(isinstance(each, BadFrame) for each in splitter.feed(b"x" * 1_000))
        assert len(splitter._rest) < 3_200


@given(st.binary(max_size=200))
def test_any_body_is_reports_or_a_refusal(body: bytes) -> None:
    assert isinstance(decode_location(body), Location | Rejected)
    assert isinstance(decode_batch(body), list | Rejected)
    auth_code_in(body, None)
    auth_code_in(body, 1)


def test_report_cut_in_its_items_keeps_the_whole_ones() -> None:
    body = encode_location(HERE)
    for end in range(28, len(body)):
        found = decode_location(body[:end])
        assert isinstance(found, Location)
        assert all(found.items[key] == HERE.items[key] for key in found.items)
        assert sum(len(value) + 2 for value in found.items.values()) + found.cut == end - 28


def test_batch_comes_back_and_one_that_lies_about_its_count_is_refused() -> None:
    reports = [encode_location(HERE), b"", b"abc"]
    whole = encode_batch(reports)
    assert decode_batch(whole) == reports
    for end in range(len(whole)):
        assert isinstance(decode_batch(whole[:end]), Rejected)


def test_parts_wait_within_bounds() -> None:
    assembly = Assembly(max_messages=2, max_parts=3)
    number = bytes(6)

    def part(serial: int, index: int, total: int) -> Frame:
        return Frame(Header(BATCH, serial, number, None, 0, total, index), b"")

    assert assembly.add(part(0, 1, 4)) == ()
    for first in (10, 20, 30):
        assert assembly.add(part(first, 1, 2)) is None
    assert assembly.add(part(11, 2, 2)) is None, "its other half was dropped for newer ones"
    assert assembly.add(part(31, 2, 2)) == (part(30, 1, 2), part(31, 2, 2))
    assert assembly.add(part(0xFFFF, 1, 2)) is None
    assert assembly.add(part(0, 2, 2)) is not None, "serials run round"


TRUCK = {"number": "13800138000", "device": "truck-7"}


def config(**changes: Any) -> Jt808Config:
    return Jt808Config.model_validate(
        {"name": "trucks", "listen": "127.0.0.1:0", "key": KEY, "terminals": [TRUCK]} | changes
    )


@pytest.mark.parametrize("modern", [True, False])
def test_truck_registers_signs_in_and_reports(intake: KeepingIntake, modern: bool) -> None:
    with (
        at_work(config().build(intake, ManualClock(NOW_MS))) as driver,
        TerminalClient(driver.address, modern=modern) as truck,
    ):
        assert truck.sign_in() == 0
        assert truck.ask(HEARTBEAT)[2] == 0
        serial = truck.serial
        assert truck.ask(LOCATION, encode_location(HERE)) == (serial, LOCATION, 0)
    (batch,) = intake.batches
    assert batch.live
    assert {(each.name, each.unit): each.value for each in batch.readings} == {
        ("truck-7/latitude", "lat"): 30.123456,
        ("truck-7/longitude", "lon"): 120.345678,
        ("truck-7/altitude", "m"): 25.0,
        ("truck-7/speed", "m/s"): pytest.approx(65.5 / 3.6),
        ("truck-7/heading", "deg"): 90.0,
        ("truck-7/ignition", ""): 1.0,
        ("truck-7/mileage", "m"): pytest.approx(12_345_600),
        ("truck-7/air_temperature", "Cel"): -18.0,
        ("truck-7/signal", ""): 25.0,
        ("truck-7/satellites", "count"): 11.0,
    }
    assert {each.observed_ms for each in batch.readings} == {NOW_MS - 4_000}


def test_report_is_answered_only_when_the_disk_has_it(intake: KeepingIntake) -> None:
    with at_work(config().build(intake, SystemClock())) as driver, TerminalClient(driver.address) as truck:
        assert truck.sign_in() == 0
        intake.broken = True
        truck.say(LOCATION, encode_location(HERE))
        soon(lambda: driver.counts["not_written"] >= 1, "an offer")
        assert truck.hear(0.3) is None
        intake.broken = False
        assert truck.answer()[1:] == (LOCATION, 0)
        intake.full = True
        assert truck.report(HERE) == 1
    assert driver.counts["refused"] == 10


def test_upload_of_a_dead_zone_in_parts_is_history_and_every_part_is_answered(intake: KeepingIntake) -> None:
    from dataclasses import replace

    reports = [replace(HERE, observed_ms=NOW_MS - 3_600_000 + 30_000 * step) for step in range(60)]
    with at_work(config().build(intake, ManualClock(NOW_MS))) as driver, TerminalClient(driver.address) as truck:
        assert truck.sign_in() == 0
        first = truck.serial
        truck.say(BATCH, encode_batch([encode_location(each) for each in reports]))
        parts = truck.serial - first
        assert [truck.answer() for _ in range(parts)] == [(first + step, BATCH, 0) for step in range(parts)]
    assert parts > 1
    assert {batch.live for batch in intake.batches} == {False}
    assert len(intake.readings) == 600
    assert len({(each.name, each.observed_ms) for each in intake.readings}) == 600


def test_makers_item_becomes_a_channel_by_configuration(intake: KeepingIntake) -> None:
    """Four probes of two bytes in one item, tenths of a degree, 0x7FFF where none is plugged in."""
    probes = [
        {
            "source": f"probe {probe}",
            "item": 0x51,
            "at": 2 * (probe - 1),
            "type": "int16",
            "metric": f"cargo_temperature_{probe}",
            "unit": "°C",
            "scale": 0.1,
            "absent": [0x7FFF],
        }
        for probe in (1, 2, 3, 4)
    ]
    door = {"source": "back door", "field": "status", "mask": 0x8000, "metric": "door_open", "unit": "bool"}
    items = {0x51: b"".join(value.to_bytes(2, "big", signed=True) for value in (-182, 45, 0x7FFF))}
    report = Location(status=0x8000, observed_ms=NOW_MS, items=items)
    with (
        at_work(config(channels=[*probes, door], without=["*"]).build(intake, ManualClock(NOW_MS))) as driver,
        TerminalClient(driver.address) as truck,
    ):
        assert truck.sign_in() == 0
        assert truck.report(report) == 0
    assert intake.values() == {
        "truck-7/cargo_temperature_1": pytest.approx(-18.2),
        "truck-7/cargo_temperature_2": pytest.approx(4.5),
        "truck-7/door_open": 1.0,
    }


def test_value_that_cannot_be_is_declared_lost_once(intake: KeepingIntake) -> None:
    """A terminal that sends two's complement where the standard has a sign bit."""
    report = Location(observed_ms=NOW_MS, items={0x06: (-18).to_bytes(2, "big", signed=True)})
    with at_work(config().build(intake, ManualClock(NOW_MS))) as driver, TerminalClient(driver.address) as truck:
        assert truck.sign_in() == 0
        assert truck.report(report) == 0
        assert truck.report(report) == 0
    assert "truck-7/air_temperature" not in intake.values()
    lost = [loss for loss in intake.losses if loss.channel == "truck-7/air_temperature"]
    assert [(loss.reason, loss.count, loss.detail) for loss in lost] == [
        ("impossible_value", 1, "carriage temperature: -32750")
    ] * 2
    assert lost[0].source == lost[1].source != ""


def test_report_without_a_time_has_that_of_its_arrival_and_history_without_one_is_lost(intake: KeepingIntake) -> None:
    report = Location(observed_ms=None, items={0x31: b"\x05"})
    with (
        at_work(config(without=["[!s]*", "sp*", "si*"]).build(intake, ManualClock(NOW_MS))) as driver,
        TerminalClient(driver.address) as truck,
    ):
        assert truck.sign_in() == 0
        assert truck.report(report) == 0
        assert truck.upload(report) == 0
    assert [(each.name, each.observed_ms, each.quality) for each in intake.readings] == [
        ("truck-7/satellites", NOW_MS, Quality.UNCERTAIN)
    ]
    assert [(each.reason, each.channel) for each in intake.losses] == [("impossible_time", "truck-7/satellites")]


def test_report_that_cannot_be_read_goes_to_the_dead_letters_with_its_bytes(intake: KeepingIntake) -> None:
    with at_work(config().build(intake, ManualClock(NOW_MS))) as driver, TerminalClient(driver.address) as truck:
        assert truck.sign_in() == 0
        assert truck.ask(LOCATION, b"too short")[2] == 0
        assert truck.ask(BATCH, encode_batch([b"short too", encode_location(HERE)]))[2] == 0
        assert truck.ask(BATCH, b"\0\x05\0none")[2] == 0
    assert [(each.source, each.why.reason, each.body) for each in intake.undecodable] == [
        ("trucks truck-7", Reason.MALFORMED, b"too short"),
        ("trucks truck-7", Reason.MALFORMED, b"short too"),
        ("trucks truck-7", Reason.MALFORMED, b"\0\x05\0none"),
    ]
    assert len(intake.readings) == 10


def test_who_has_not_signed_in_or_is_unknown_or_has_left_is_refused(intake: KeepingIntake) -> None:
    with at_work(config().build(intake, SystemClock())) as driver:
        with TerminalClient(driver.address) as truck:
            assert truck.report(HERE) == 1
            assert truck.ask(BATCH, bytes(2_000))[2] == 1
            truck.hear(0.2)
            assert truck.sign_in(b"wrong code") == 1
            assert truck.report(HERE) == 1
            assert truck.sign_in() == 0
            assert truck.ask(LOGOUT)[2] == 0
            assert truck.report(HERE) == 1
        with TerminalClient(driver.address, "13900139000") as stranger:
            assert stranger.register() is None
            assert stranger.report(HERE) == 1
    assert not intake.offered
    assert driver.counts["wrong_code"] == 1
    assert driver.counts["unknown_terminal"] == 2


def test_code_of_the_configuration_is_the_one_to_sign_in_with(intake: KeepingIntake) -> None:
    with at_work(config(terminals=[TRUCK | {"code": "s3cret"}]).build(intake, SystemClock())) as driver:
        with TerminalClient(driver.address) as truck:
            assert truck.sign_in(b"s3cret") == 0
        with TerminalClient(driver.address, modern=False) as older:
            assert older.sign_in(b"s3cret") == 0


def test_terminal_outside_the_table_reports_under_a_digest_never_its_number(
    intake: KeepingIntake, caplog: pytest.LogCaptureFixture
) -> None:
    with at_work(config(terminals=[], unknown="digest").build(intake, ManualClock(NOW_MS))) as driver:
        for modern in (True, False):
            with TerminalClient(driver.address, modern=modern) as truck:
                assert truck.sign_in() == 0
                assert truck.report(HERE) == 0
                assert truck.ask(LOCATION, b"short")[2] == 0
    (device,) = {reading.name.partition("/")[0] for reading in intake.readings}
    assert device.startswith("t-")
    assert len(device) == 22
    everything = repr(intake.batches) + caplog.text + repr(driver.counts)
    assert "3800138000" not in everything
    other = config(terminals=[], unknown="digest", key="another key of this test").table(())
    assert other.device(bytes.fromhex("013800138000")) != device
    shown = config()
    assert "13800138000" not in repr(shown) + shown.model_dump_json()


def test_other_messages_encryption_and_answers_are_told_apart(intake: KeepingIntake) -> None:
    with at_work(config().build(intake, SystemClock())) as driver, TerminalClient(driver.address) as truck:
        assert truck.sign_in() == 0
        assert truck.ask(0x0900, b"whatever")[1:] == (0x0900, 3)
        truck.sock.sendall(encode_frames(Header(LOCATION, 77, truck.number, 1, encryption=1), b"secret"))
        assert truck.answer() == (77, LOCATION, 3)
        truck.say(0x0001, b"\0\0\0\0\0")
        assert truck.hear(0.2) is None, "an answer is not answered"


def test_rubbish_is_rationed_and_takes_nobody_along(intake: KeepingIntake) -> None:
    chance = random.Random(5)
    with (
        at_work(config().build(intake, ManualClock(NOW_MS))) as driver,
        TerminalClient(driver.address) as truck,
        TerminalClient(driver.address) as rubbish,
    ):
        assert truck.sign_in() == 0
        for _ in range(50):
            rubbish.sock.sendall(b"~" + chance.randbytes(2_000) + b"~")
        assert truck.report(HERE) == 0
        soon(lambda: driver.counts["undecodable_dropped"] > 0, "more rubbish than is wanted")
        rubbish.sock.sendall(b"~~")
        assert rubbish.sign_in() == 0, "the same connection goes on"
    assert len(intake.undecodable) <= 20
    assert len(intake.readings) == 10


def test_connections_are_bounded_and_silent_ones_closed(intake: KeepingIntake) -> None:
    with at_work(config(max_connections=1, idle_s=1).build(intake, SystemClock())) as driver:
        with TerminalClient(driver.address) as truck:
            assert truck.sign_in() == 0
            with TerminalClient(driver.address) as second:
                assert second.hear(2) is None
            soon(lambda: driver.counts["idle"] == 1, "the silent one is closed")
            assert truck.hear(2) is None
        assert driver.counts["too_many_connections"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terminals": []}, "no terminal could report"),
        ({"terminals": [TRUCK, TRUCK | {"device": "truck-8", "number": "013800138000"}]}, "a number stands twice"),
        ({"terminals": [TRUCK, TRUCK | {"number": "1"}]}, "a device stands twice"),
        ({"terminals": [TRUCK | {"number": "+86138"}]}, "1 to 20 digits"),
        ({"key": "short"}, "at least 16"),
        ({"channels": [{"source": "x", "metric": "m"}]}, "either `field` or `item`"),
        ({"channels": [{"source": "x", "metric": "m", "item": 5, "device": "d"}]}, "the device is the terminal's"),
    ],
)
def test_configuration_that_cannot_work_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_terminals_may_stand_in_a_file_of_the_gateways_own(tmp_path: Path, intake: KeepingIntake) -> None:
    listed = tmp_path / "terminals.toml"
    listed.write_text('[[terminals]]\nnumber = "13900139000"\ndevice = "truck-8"\n')
    made = config(terminals_file=listed)
    with (
        at_work(made.build(intake, ManualClock(NOW_MS))) as driver,
        TerminalClient(driver.address, "13900139000") as truck,
    ):
        assert "truck-8/latitude" in {channel.name for channel in driver.channels}
        assert truck.sign_in() == 0
        assert truck.report(HERE) == 0
    assert intake.values()["truck-8/latitude"] == 30.123456
    for text, message in (
        ('[[terminals]]\nnumber = "13900139000"\n', "not a terminal: device"),
        ('[[terminals]]\nnumber = "013800138000"\ndevice = "truck-8"\n', "a number stands twice"),
        ("terminals = 5", "terminals.toml"),
        ("[[", "terminals.toml"),
    ):
        listed.write_text(text)
        with pytest.raises(UsageError, match=message) as refusal:
            made.build(intake, SystemClock())
        assert "3900139000" not in str(refusal.value)


def test_taken_port_is_a_mistake(intake: KeepingIntake) -> None:
    driver = config().build(intake, SystemClock())
    with pytest.raises(UsageError, match="cannot listen"):
        config(listen=driver.address).build(intake, SystemClock())
    driver.close()


def test_channels_of_the_table_are_announced() -> None:
    driver = config(listen="127.0.0.1:0").build(KeepingIntake(), SystemClock())
    names = {channel.name: channel.unit for channel in driver.channels}
    driver.close()
    assert names["truck-7/air_temperature"] == "Cel"
    assert len(names) == 10
