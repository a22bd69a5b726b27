"""Recorded exports: every cell of the real files becomes a value or an invalid cell, and arrives exactly so."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.clock import ManualClock
from hanlu.core.errors import RemoteError, UsageError
from hanlu.firmware_sim.replay.guess import device_code, guess_file, guess_mapping
from hanlu.firmware_sim.replay.mapping import Column, Kind, Mapping, Order, Place, from_toml, to_toml, zone_of
from hanlu.firmware_sim.replay.plan import Plan, plan
from hanlu.firmware_sim.replay.play import bodies
from hanlu.firmware_sim.replay.reader import Invalid, Reason, Row, Value, read

NOW = 1_790_000_000_000
BRAZIL = "-03:00"
FROZEN = (
    "cam_congelados_1min",
    "atacadao_bangu_RJ__L1",
    "atacadao_bangu_RJ__L2",
    "auxiliar__L1A01_cam_congelados_04ago25",
)
REAL = [("frozen_rooms", name) for name in FROZEN] + [("ruuvi", "fridge"), ("ruuvi", "freezer")]
TEMPERATURE = Column(Place("T"), "room-1", "air_temperature", "Cel")
DOOR = Column(Place("Door"), "room-1", "door_open", kind=Kind.BOOLEAN)
UNIX = '[time]\ncolumn = "t"\nformat = "unix"\n'
COLUMN = '[[column]]\ncolumn = "x"\ndevice = "d"\nmetric = "m"\n'
SMALL = Mapping(Place("Time"), "%Y-%m-%d %H:%M:%S", (TEMPERATURE, DOOR), time_zone="+08:00")


needs_zones = pytest.mark.skipif(not available_timezones(), reason="this machine has no time zone database")


def rows(text: str, mapping: Mapping = SMALL) -> list[Row]:
    return list(read(text.splitlines(keepends=True), mapping, NOW))


def shown(row: Row) -> list[Any]:
    return [cell.value if isinstance(cell, Value) else cell.reason.value for cell in row.cells]


def real(folder: str, name: str) -> Path:
    return shared_dir("real_data", folder, f"{name}.csv")


def planned(folder: str, name: str) -> Plan:
    path = real(folder, name)
    guess = guess_file(path, time_zone=BRAZIL if folder == "frozen_rooms" else None)
    return plan(path, guess.mapping, clock=ManualClock(NOW))


# The real files


@pytest.mark.parametrize(("folder", "name"), REAL)
def test_every_cell_of_a_real_file_is_a_value_or_an_invalid_cell(folder: str, name: str) -> None:
    """The counts are made a second time here, from the raw text alone."""
    made = planned(folder, name)
    comma = made.mapping.decimal == ","
    with made.path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file, delimiter=made.mapping.delimiter)
    indices = [column.place.find(header) for column in made.mapping.columns]
    numbers = missing = 0
    for line in lines:
        for index in indices:
            text = line[index].strip()
            try:
                float(text.replace(",", ".") if comma else text)
                numbers += 1
            except ValueError:
                missing += text in {"---", ""}
    assert made.rows == len(lines)
    assert made.cells == len(lines) * len(indices) == numbers + missing
    assert made.values == numbers
    assert made.invalid == ({Reason.NO_VALUE: missing} if missing else {})
    assert sum((counts for counts in made.by_channel.values()), Counter()) == made.invalid


def test_dirt_of_the_real_files_is_what_their_description_says() -> None:
    assert planned("frozen_rooms", "atacadao_bangu_RJ__L1").invalid[Reason.NO_VALUE] == 5_853
    camera = planned("frozen_rooms", "cam_congelados_1min")
    assert camera.rows == 28_453
    assert camera.values == 284_530
    assert camera.beside == 2  # two remarks in the column "State"
    auxiliary = planned("frozen_rooms", "auxiliar__L1A01_cam_congelados_04ago25")
    assert auxiliary.beside == 2_001  # a column without a name


def test_times_of_the_real_files_are_the_instants_they_mean() -> None:
    camera = planned("frozen_rooms", "cam_congelados_1min")
    assert camera.first_ms == int(datetime(2025, 6, 18, 3, 0, tzinfo=UTC).timestamp() * 1000)
    assert {period for _, _, period in camera.channels} == {60.0}
    fridge = planned("ruuvi", "fridge")
    assert fridge.first_ms == int(datetime(2020, 5, 5, 7, 21, 56, tzinfo=UTC).timestamp() * 1000)


def test_excursions_can_be_read_off_the_values_of_the_real_file() -> None:
    """06:40 on 18 June, the first long one: the value before is at the limit or below, then all are above for hours."""
    made = planned("frozen_rooms", "cam_congelados_1min")
    start = int(datetime(2025, 6, 18, 9, 40, tzinfo=UTC).timestamp() * 1000)
    with made.path.open(encoding="utf-8", newline="") as file:
        air = {
            row.observed_ms: row.cells[0].value
            for row in read(file, made.mapping, NOW)
            if isinstance(row.cells[0], Value) and row.observed_ms is not None
        }
    inside = [value for at, value in air.items() if start <= at <= start + 599 * 60_000]
    assert min(inside) > -15.0
    assert max(inside) == 4.1
    assert air[start - 60_000] <= -15.0


# Cells


def test_cell_reasons_are_told_apart() -> None:
    text = (
        "Time,T,Door\n"
        "2025-07-15 08:00:00,-18.5,1\n"
        "2025-07-15 08:01:00,---,0\n"
        "2025-07-15 08:02:00, ,yes\n"
        '2025-07-15 08:03:00,"18,5",1\n'
        "2025-07-15 08:04:00,-273.0,0.5\n"
        "2025-07-15 08:05:00,NaN,1\n"
        "2025-07-15 08:06:00,1e400,1\n"
        "soon,1.0,1\n"
        "2025-07-15 08:07:00,1.0\n"
        "2025-07-15 08:08:00,1.0,1,7\n"
        "\n"
        "1999-07-15 08:09:00,1.0,1\n"
        "2125-07-15 08:09:00,1.0,1\n"
        "2025-07-15 08:10:00,2.0,1\n"
    )
    got = rows(text)
    assert [shown(row) for row in got] == [
        [-18.5, 1.0],
        ["no_value", 0.0],
        ["no_value", "not_a_number"],
        ["not_a_number", 1.0],
        ["out_of_physical_range", "not_a_number"],
        ["not_a_number", 1.0],
        ["out_of_physical_range", 1.0],
        ["bad_timestamp", "bad_timestamp"],
        ["ragged_row", "ragged_row"],
        ["ragged_row", "ragged_row"],
        ["bad_timestamp", "bad_timestamp"],
        ["bad_timestamp", "bad_timestamp"],
        [2.0, 1.0],
    ]
    assert [row.number for row in got] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15]
    assert got[0].observed_ms == int(datetime(2025, 7, 15, 0, 0, tzinfo=UTC).timestamp() * 1000)
    assert got[3].cells[0] == Invalid(TEMPERATURE, Reason.NOT_A_NUMBER, "18,5")


def test_second_row_of_a_time_is_a_duplicate_only_where_there_is_a_value() -> None:
    text = (
        "Time,T,Door\n"
        "2025-07-15 08:00:00,1.0,---\n"
        "2025-07-15 08:00:00,1.0,1\n"
        "2025-07-15 08:00:00,2.0,1\n"
        "2025-07-15 08:01:00,2.0,1\n"
    )
    assert [shown(row) for row in rows(text)] == [
        [1.0, "no_value"],
        ["duplicate_timestamp", 1.0],
        ["duplicate_timestamp", "duplicate_timestamp"],
        [2.0, 1.0],
    ]


def test_clock_that_goes_back_makes_its_rows_invalid_until_it_has_caught_up() -> None:
    text = (
        "Time,T,Door\n"
        "2025-07-15 08:05:00,1.0,0\n"
        "2025-07-15 08:03:00,2.0,0\n"
        "2025-07-15 08:05:00,3.0,0\n"
        "2025-07-15 08:06:00,4.0,0\n"
    )
    assert [shown(row)[0] for row in rows(text)] == [1.0, "clock_backwards", "duplicate_timestamp", 4.0]
    anyhow = replace(SMALL, order=Order.ANY)
    assert [shown(row)[0] for row in rows(text, anyhow)] == [1.0, 2.0, "duplicate_timestamp", 4.0]


@needs_zones
def test_hour_that_runs_twice_is_read_twice_and_the_skipped_one_never_was() -> None:
    berlin = replace(SMALL, time_zone="Europe/Berlin")
    text = "Time,T,Door\n" + "".join(
        f"2025-10-26 0{clock}:00,1.0,0\n" for clock in ("1:30", "2:00", "2:30", "2:00", "2:30", "3:00")
    )
    times = [row.observed_ms for row in rows(text, berlin)]
    assert [b - a for a, b in pairwise(times) if a and b] == [30 * 60_000] * 5
    spring = "Time,T,Door\n2025-03-30 01:59:00,1.0,0\n2025-03-30 02:30:00,1.0,0\n2025-03-30 03:00:00,1.0,0\n"
    assert [shown(row)[0] for row in rows(spring, berlin)] == [1.0, "bad_timestamp", 1.0]


@pytest.mark.parametrize(
    ("text", "time_format"),
    [("2025-07-15T08:00:00+0800", "%Y-%m-%dT%H:%M:%S%z"), ("1752537600", "unix"), ("1752537600000", "unix_ms")],
)
def test_times_that_carry_their_offset_need_no_zone(text: str, time_format: str) -> None:
    mapping = replace(SMALL, time_format=time_format, time_zone=None)
    (row,) = rows(f"Time,T,Door\n{text},1.0,0\n", mapping)
    assert row.observed_ms == 1_752_537_600_000


def test_decimal_comma_and_scale_are_applied_as_told() -> None:
    grams = Column(Place("g"), "scale-1", "weight", "kg", scale=0.001)
    mapping = replace(SMALL, delimiter=";", decimal=",", columns=(TEMPERATURE, grams))
    (first, second) = rows("Time;T;g\n2025-07-15 08:00:00;-18,5;2500,4\n2025-07-15 08:01:00;-18.5;1\n", mapping)
    assert shown(first) == [-18.5, 2.5004]
    assert shown(second) == ["not_a_number", 0.001]


def test_own_limits_of_a_column_narrow_the_physical_range() -> None:
    narrow = replace(SMALL, columns=(replace(TEMPERATURE, low=-40.0, high=20.0),), ignored=(Place("Door"),))
    got = rows("Time,T,Door\n2025-07-15 08:00:00,20.0,1\n2025-07-15 08:01:00,20.1,1\n", narrow)
    assert [shown(row) for row in got] == [[20.0], ["out_of_physical_range"]]
    assert [row.beside for row in got] == [1, 1]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 30).map(lambda m: f"2025-07-15 08:{m:02d}:00"), st.text(max_size=8)),
            st.one_of(st.floats(-200, 200).map(str), st.sampled_from(["---", "", "1,5", "x"]), st.text(max_size=6)),
            st.one_of(st.sampled_from(["0", "1", "", "2"]), st.text(max_size=3)),
        ),
        max_size=40,
    ),
    st.sampled_from(list(Order)),
)
def test_whatever_the_dirt_every_cell_is_accounted_for(table: list[tuple[str, str, str]], order: Order) -> None:
    from io import StringIO

    file = StringIO()
    writer = csv.writer(file)
    writer.writerow(["Time", "T", "Door"])
    writer.writerows(table)
    file.seek(0)
    got = list(read(file, replace(SMALL, order=order), NOW))
    written = [line for line in table if any(cell.strip() for cell in line)]
    assert len(got) == len(written)
    assert all(len(row.cells) == 2 for row in got)
    values = [(cell.column.channel, row.observed_ms) for row in got for cell in row.cells if isinstance(cell, Value)]
    assert len(values) == len(set(values))
    lines = list(bodies(got, "x", 7))
    assert sum(body.values + body.invalid.total() for body in lines) == 2 * len(got)


def test_file_without_zone_or_with_an_unknown_column_is_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        rows("Time,T,Door\n", replace(SMALL, time_zone=None))
    with pytest.raises(UsageError, match="neither mapped nor ignored: New"):
        rows("Time,T,Door,New\n")
    with pytest.raises(UsageError, match="0 columns are called 'Door'"):
        rows("Time,T\n")
    with pytest.raises(UsageError, match="empty"):
        rows("")


def test_file_that_is_no_csv_is_a_remote_error() -> None:
    with pytest.raises(RemoteError, match="not CSV"):
        rows('Time,T,Door\n2025-07-15 08:00:00,"' + "x" * 200_000 + '",1\n')


def test_file_that_is_not_there_or_is_bytes_is_handled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        plan(tmp_path / "none.csv", SMALL)
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"Time,T,Door\n2025-07-15 08:00:00,\xff\xfe,1\n2025-07-15 08:01:00,1.5,1\n")
    made = plan(path, SMALL, clock=ManualClock(NOW))
    assert (made.values, made.invalid) == (3, {Reason.NOT_A_NUMBER: 1})


# Mapping


def test_mapping_survives_being_written_down() -> None:
    full = replace(
        SMALL,
        time=Place("时间", 1),
        columns=(replace(TEMPERATURE, low=-40.0, high=15.5, scale=0.1), DOOR),
        ignored=(Place("State"), Place("", 9)),
        missing=("", "---", "n/a"),
        order=Order.ANY,
    )
    assert from_toml(to_toml(full)) == full
    assert from_toml(to_toml(SMALL)) == SMALL


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("]", "not TOML"),
        ("colour = 1", "unknown keys: colour"),
        ('[time]\nformat = "unix"', "`column` is missing"),
        (UNIX, "no column becomes a channel"),
        (UNIX + '[column]\ncolumn = "x"', "two brackets"),
        ("column = [1]\n" + UNIX, "not a table"),
        ('order = "up"\n' + UNIX + COLUMN, "none of"),
        (UNIX + COLUMN.replace('"d"', '"D"'), "not a channel's name"),
        (UNIX + "position = 0\n" + COLUMN, "from 1"),
        (UNIX + COLUMN + "scale = true\n", "not a number"),
        (UNIX + COLUMN + "unit = 5\n", "not a text"),
        ("missing = [1]\n" + UNIX + COLUMN, "not a list of texts"),
    ],
)
def test_mapping_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        from_toml(text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"decimal": ","}, "do not go together"),
        ({"columns": (TEMPERATURE, TEMPERATURE)}, "two columns become"),
        ({"columns": (replace(TEMPERATURE, low=5.0, high=5.0),)}, "leave nothing"),
        ({"columns": (replace(TEMPERATURE, scale=0.0),)}, "not a factor"),
        ({"time_format": "unix"}, "ambiguous"),
        ({"time_zone": "Mars/Olympus"}, "knows no time zone"),
        ({"time_zone": "+25:00"}, "not an offset"),
        ({"true": ("1",), "false": ("1",)}, "both yes and no"),
    ],
)
def test_mapping_that_contradicts_itself_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        replace(SMALL, **change)


def test_repeated_header_needs_a_position() -> None:
    with pytest.raises(UsageError, match="2 columns are called"):
        Place("T").find(["T", "T"])
    assert Place("T", 2).find(["T", "T"]) == 1
    with pytest.raises(UsageError, match="column 3"):
        Place("T", 3).find(["T", "T"])


@needs_zones
def test_offsets_and_names_are_zones() -> None:
    moment = datetime(2025, 7, 1, tzinfo=UTC)
    assert moment.astimezone(zone_of("-03:30")).utcoffset() == -timedelta(hours=3, minutes=30)
    assert moment.astimezone(zone_of("Asia/Shanghai")).utcoffset() == timedelta(hours=8)


# Guessing


def test_guess_names_what_it_is_not_sure_of() -> None:
    header = ["Time", "Temp", "Mystery", ""]
    guess = guess_mapping(header, [["01/02/2025 10:00:00", "1.5", "7", ""]], device="d")
    assert [column.channel for column in guess.mapping.columns] == ["d/air_temperature"]
    assert guess.mapping.ignored == (Place("Mystery"),)
    text = " ".join(guess.notes)
    assert all(word in text for word in ("day/month", "time zone", "'Mystery'", "Column 4"))


def test_guess_sees_newest_first() -> None:
    times = [f"2025-07-15 0{hour}:00:00" for hour in (5, 4, 3, 2)]
    guess = guess_mapping(["t", "温度"], [[time, "1"] for time in times], time_zone="+08:00")
    assert guess.mapping.order is Order.ANY


def test_guess_without_times_or_channels_is_refused() -> None:
    with pytest.raises(UsageError, match="no column holds times"):
        guess_mapping(["a", "b"], [["x", "1"]])
    with pytest.raises(UsageError, match="no column becomes"):
        guess_mapping(["t", "Mystery"], [["2025-07-15 05:00:00", "1"]], time_zone="+08:00")


def test_device_code_is_made_of_any_file_name() -> None:
    assert device_code("atacadao_bangu_RJ__L1") == "atacadao-bangu-rj-l1"
    assert device_code("Câmara 3") == "camara-3"
    assert device_code("冷库") == "device"
