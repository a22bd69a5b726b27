"""The worked examples of the drivers on buses, sockets and folders come out as their pages say."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fix_shared import shared_dir
from pydantic import TypeAdapter
from pymavlink.dialects.v20 import ardupilotmega as dialect

from hanlu.core.clock import ManualClock
from hanlu.gateway.driver.catalogue import AnyDriver
from hanlu.gateway.driver.csv_folder import CsvImporter
from hanlu.gateway.driver.folder import FileFacts
from hanlu.gateway.driver.jt808_channels import readings_of
from hanlu.gateway.driver.jt808_message import Location
from hanlu.gateway.driver.mavlink_channels import Translator
from hanlu.gateway.driver.mavlink_frame import frames_in
from hanlu.gateway.driver.modbus_register import Value, evaluate
from hanlu.gateway.driver.ulog import UlogImporter

PAGES = Path(__file__).resolve().parents[2] / "docs" / "drivers"
NOW_MS = 1_790_000_000_000


def page(name: str) -> tuple[str, list[Any]]:
    """Return the text of a page and the drivers of its example."""
    text = (PAGES / name).read_text(encoding="utf-8")
    block = re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block
    drivers = tomllib.loads(block[1])["drivers"]
    return text, [TypeAdapter(AnyDriver).validate_python(each) for each in drivers]


def near(value: float, unit: str) -> tuple[Any, str]:
    return pytest.approx(value, rel=2e-3), unit


def test_room_sensor_on_a_line() -> None:
    text, (config,) = page("modbus.md")
    assert "`0xF8DF 0 8150 0`" in text
    room, plant = config.devices
    words = {(3, address): word for address, word in enumerate((0xF8DF, 0, 8_150, 0))}
    found = {}
    for register in room.chosen():
        value = evaluate(register, words)
        assert isinstance(value, Value)
        reading = register.reading(value.raw, NOW_MS, room.device, value.quality)
        found[reading.name] = (reading.value, reading.unit)
    assert found == {"room-1/air_temperature": near(-18.25, "Cel"), "room-1/relative_humidity": near(81.5, "%RH")}
    probe, energy = plant.chosen()
    assert (probe.function, probe.first) == (4, 100)
    assert energy.reading(1, NOW_MS, plant.device).value == 3_600_000


def test_export_of_a_logger(tmp_path: Path) -> None:
    text, (config,) = page("csv-folder.md")
    export = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert export
    path = tmp_path / "RC-5.csv"
    path.write_bytes(export[1].encode("gb18030"))
    (batch,) = CsvImporter(config, ManualClock(NOW_MS)).pieces(FileFacts(path, "d" * 64))
    assert [(each.name, each.value, each.unit, each.observed_ms) for each in batch.readings] == [
        ("ef7a-0091/air_temperature", 4.5, "Cel", 1_780_272_000_000),
        ("ef7a-0091/relative_humidity", 88.1, "%RH", 1_780_272_000_000),
        ("ef7a-0091/relative_humidity", 88.4, "%RH", 1_780_272_600_000),
    ]
    assert [(each.reason, each.channel, each.count) for each in batch.losses] == [
        ("no_value", "ef7a-0091/air_temperature", 1)
    ]


def test_drone_in_the_field() -> None:
    _, (live, logs) = page("mavlink.md")
    assert logs.systems == live.systems
    link = dialect.MAVLink(None, srcSystem=1, srcComponent=1)
    said = dialect.MAVLink_global_position_int_message(0, 301_234_567, 1_203_456_789, 25_000, 0, 0, 0, 0, 9_000)
    cells = dialect.MAVLink_battery_status_message(0, 0, 0, 32_767, [4_100] + [65_535] * 9, -1, -1, -1, 55)
    frames, wrong = frames_in(said.pack(link) + cells.pack(link), Counter())
    assert wrong is None
    found = {
        each.name: (each.value, each.unit) for each in Translator(live, "arrival", Counter()).readings(frames, NOW_MS)
    }
    assert found == {
        "drone-7/latitude": near(30.1234567, "lat"),
        "drone-7/longitude": near(120.3456789, "lon"),
        "drone-7/altitude": near(25, "m"),
        "drone-7/height_above_home": (0.0, "m"),
        "drone-7/heading": near(90, "deg"),
        "drone-7/cell_1_voltage": near(4.1, "V"),
    }


def test_truck_on_the_road() -> None:
    text, (config,) = page("jt808.md")
    assert "`51 08 FF4A 002D 7FFF 7FFF`" in text
    report = Location(status=0x8000, observed_ms=NOW_MS, items={0x51: bytes.fromhex("FF4A002D7FFF7FFF")})
    readings, losses = readings_of(report, config.rules(), "truck-7", NOW_MS, "", later=False)
    found = {each.name: (each.value, each.unit) for each in readings}
    assert found["truck-7/cargo_temperature_1"] == near(-18.2, "Cel")
    assert found["truck-7/door_open"] == (1.0, "")
    assert not losses


def test_log_of_a_flight() -> None:
    _, (config,) = page("ulog.md")
    log = shared_dir("samples", "flight_logs", "px4_sample_log_small.ulg")
    batches = list(UlogImporter(config, ManualClock(NOW_MS)).pieces(FileFacts(log, "d" * 64)))
    found = {each.name: (each.value, each.unit) for batch in batches for each in batch.readings}
    assert found["drone-7/battery"] == near(74.0, "%EL")
    assert found["drone-7/battery_voltage"] == near(23.35, "V")
    assert found["drone-7/air_temperature"] == near(23.2, "Cel")
    assert found["drone-7/pump_battery_voltage"] == near(49.7, "V")
