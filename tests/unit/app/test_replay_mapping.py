"""What is shown and asked before an export is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanlu.app.replay_mapping import (
    air_temperature,
    choose_mapping,
    described,
    save_mapping,
    suggested_profile,
    zone_text,
)
from hanlu.core.clock import ManualClock
from hanlu.core.errors import UsageError
from hanlu.firmware_sim.replay.plan import Plan, plan

EXPORT = """Data;Temp ambiente;Porta;Nota
01/07/2025 08:00:00;-18,1;0;ok
01/07/2025 08:05:00;---;1;
01/07/2025 08:10:00;-18,5;x;
01/07/2025 08:15:00;-18,3;0;
"""
NOW = 1_790_000_000_000


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "sala.csv"
    path.write_text(EXPORT, encoding="utf-8")
    return path


def planned(path: Path) -> Plan:
    return plan(path, choose_mapping(path, None, "UTC-3").mapping, clock=ManualClock(NOW))


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("-03:00", "-03:00"),
        (" UTC-3 ", "-03:00"),
        ("gmt+8", "+08:00"),
        ("+0530", "+05:30"),
        ("-3", "-03:00"),
        ("Asia/Shanghai", "Asia/Shanghai"),
        ("UTC", "UTC"),
    ],
)
def test_time_zone_is_taken_as_people_type_it(typed: str, zone: str) -> None:
    assert zone_text(typed) == zone


@pytest.mark.parametrize("typed", ["", "Mars/Olympus", "+25:00", "UTC-3h", "../etc/passwd", "3"])
def test_what_is_no_zone_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        zone_text(typed)


def test_time_zone_is_open_until_somebody_says_it(export: Path) -> None:
    choice = choose_mapping(export, None, None)
    assert choice.guessed
    assert choice.lacks_zone
    assert any("time zone must be given" in note for note in choice.notes)
    told = choice.in_zone("UTC-3")
    assert not told.lacks_zone
    assert told.mapping.time_zone == "-03:00"
    assert not any("time zone must be given" in note for note in told.notes)


def test_written_mapping_is_taken_as_it_stands_but_for_the_zone_on_the_command_line(
    export: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sala.toml"
    guessed = choose_mapping(export, None, "UTC-3").mapping
    save_mapping(guessed, path)
    choice = choose_mapping(export, path, None)
    assert not choice.guessed
    assert choice.mapping == guessed
    assert choose_mapping(export, path, "Asia/Shanghai").mapping.time_zone == "Asia/Shanghai"


def test_mapping_is_never_written_over_another_file(export: Path, tmp_path: Path) -> None:
    path = tmp_path / "sala.toml"
    mapping = choose_mapping(export, None, "UTC-3").mapping
    save_mapping(mapping, path)
    save_mapping(mapping, path)  # the same again is fine
    with pytest.raises(UsageError, match="says something else"):
        save_mapping(choose_mapping(export, None, "UTC+8").mapping, path)
    with pytest.raises(UsageError, match="No such file"):
        save_mapping(mapping, tmp_path / "nowhere" / "sala.toml")


@pytest.mark.parametrize("content", [None, "delimiter = 1", "not toml", "\udcff"])
def test_mapping_file_that_cannot_be_used_is_named(export: Path, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError):
        choose_mapping(export, path, None)


def test_description_counts_every_cell(export: Path) -> None:
    lines = described(planned(export))
    assert lines[0] == "sala.csv: 4 rows, 8 cells, 2025-07-01 08:00-03:00 to 2025-07-01 08:15-03:00"
    temperature = next(line for line in lines if line.startswith("Temp ambiente"))
    assert temperature.split()[-4:] == ["air_temperature", "Cel", "3", "1"]
    door = next(line for line in lines if line.startswith("Porta"))
    assert door.split()[-4:] == ["door_open", "yes/no", "3", "1"]
    assert "ignored: 'Nota'" in lines
    assert "1 cells of columns that are not played hold a text" in lines
    assert lines[-1] == "invalid cells, which will be declared lost: 1 no_value, 1 not_a_number"


def test_limit_profile_follows_the_air(export: Path) -> None:
    assert air_temperature(planned(export)) == -18.3
    assert suggested_profile(-18.3) == "frozen-room"
    assert suggested_profile(4.0) == "chilled-room"
    assert suggested_profile(21.0) is None
    assert suggested_profile(None) is None
