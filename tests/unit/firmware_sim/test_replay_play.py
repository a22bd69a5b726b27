"""Playing an export: what was planned arrives exactly so, whatever happens to the gateway meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fix_line import LineServerDouble
from fix_shared import shared_dir

from hanlu.core.clock import ManualClock
from hanlu.core.errors import ConflictError, TransientError
from hanlu.core.limits import MAX_LINE_BYTES
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.documents import Loss
from hanlu.firmware_sim.line_client import tcp
from hanlu.firmware_sim.line_session import frame
from hanlu.firmware_sim.replay.guess import guess_file
from hanlu.firmware_sim.replay.mapping import Column, Kind, Mapping, Place
from hanlu.firmware_sim.replay.plan import Plan, plan
from hanlu.firmware_sim.replay.play import Body, Summary, bodies, play, tqdm_progress
from hanlu.firmware_sim.replay.reader import Invalid, Reason, Row, Value, read

NOW = 1_790_000_000_000
TEMPERATURE = Column(Place("T"), "room-1", "air_temperature", "Cel")
DOOR = Column(Place("Door"), "room-1", "door_open", kind=Kind.BOOLEAN)
SMALL = Mapping(Place("Time"), "%Y-%m-%d %H:%M:%S", (TEMPERATURE, DOOR), time_zone="+08:00")
REAL = [
    ("frozen_rooms", "cam_congelados_1min"),
    ("frozen_rooms", "atacadao_bangu_RJ__L1"),
    ("frozen_rooms", "atacadao_bangu_RJ__L2"),
    ("ruuvi", "fridge"),
]


def planned(folder: str, name: str) -> Plan:
    path = shared_dir("real_data", folder, f"{name}.csv")
    zone = "-03:00" if folder == "frozen_rooms" else None
    return plan(path, guess_file(path, time_zone=zone).mapping, clock=ManualClock(NOW))


@pytest.mark.parametrize(("folder", "name"), REAL)
def test_lines_of_a_real_file_carry_exactly_the_plan(folder: str, name: str) -> None:
    made = planned(folder, name)
    with made.path.open(encoding="utf-8", newline="") as file:
        source = list(read(file, made.mapping, NOW))
    lines = list(bodies(source, name))
    assert sum(body.rows for body in lines) == made.rows
    assert sum(body.values for body in lines) == made.values
    assert sum((body.invalid for body in lines), Counter()) == made.invalid
    got: dict[tuple[str, int], float] = {}
    for number, body in enumerate(lines):
        assert len(frame(body.content, number, replay=True)) <= MAX_LINE_BYTES
        if "senml" in body.content:
            pack = decode_json(json.dumps(body.content["senml"]).encode(), NOW)
            assert isinstance(pack, Pack)
            assert pack.rejected == ()
            got.update({(reading.name, reading.observed_ms): reading.value for reading in pack.readings})
        else:
            loss = Loss(**body.content["lost"])
            assert loss.count == body.invalid.total()
    want = {
        (cell.column.channel, row.observed_ms): cell.value
        for row in source
        for cell in row.cells
        if isinstance(cell, Value)
    }
    assert got == want
    assert len(want) == made.values  # no two values share a channel and a time


def small_file(tmp_path: Path, count: int = 950) -> Plan:
    path = tmp_path / "small.csv"
    start = datetime(2025, 7, 15)  # noqa: DTZ001 - a wall clock, as exports have it
    lines = ["Time,T,Door"]
    for number in range(count):
        value = "---" if number % 10 == 3 else f"{number / 10}" if number % 10 else f"9{number}.0"
        lines.append(f"{start + timedelta(minutes=number)},{value},{number % 2}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return plan(path, SMALL, clock=ManualClock(NOW))


def played(made: Plan, server: LineServerDouble, **options: Any) -> tuple[Summary, list[int]]:
    steps: list[int] = []
    return play(made, tcp(server.host, server.port), steps.append, threading.Event(), **options), steps


def received(server: LineServerDouble) -> tuple[dict[tuple[str, int], float], Counter[str]]:
    """Return what a platform would count: values by channel and time, losses by document."""
    values: dict[tuple[str, int], float] = {}
    losses: dict[str, tuple[str, int]] = {}
    for line in server.lines:
        assert line["replay"] is True
        if "senml" in line:
            pack = decode_json(json.dumps(line["senml"]).encode(), NOW)
            assert isinstance(pack, Pack)
            values.update({(reading.name, reading.observed_ms): reading.value for reading in pack.readings})
        else:
            losses[json.dumps(line["lost"], sort_keys=True)] = (line["lost"]["reason"], line["lost"]["count"])
    counted: Counter[str] = Counter()
    for reason, count in losses.values():
        counted[reason] += count
    return values, counted


def test_played_file_arrives_whole_with_progress_by_row(tmp_path: Path) -> None:
    made = small_file(tmp_path)
    with LineServerDouble() as server:
        summary, steps = played(made, server)
    values, losses = received(server)
    assert summary.complete
    assert len(values) == summary.values == made.values
    assert losses == {"no_value": 95, "out_of_physical_range": 94}
    assert {reason.value: count for reason, count in summary.invalid.items()} == losses
    assert sum(steps) == summary.rows == made.rows == 950
    assert len(steps) > 1


@pytest.mark.parametrize("committed", [True, False])
def test_gateway_killed_while_playing_has_each_value_and_each_loss_once(tmp_path: Path, committed: bool) -> None:
    made = small_file(tmp_path)
    with LineServerDouble(kill_after=5, kills=4, commit_before_kill=committed) as server:
        summary, _ = played(made, server)
    values, losses = received(server)
    assert server.connections == 5
    assert summary.sent_again > 0
    assert summary.complete
    assert len(values) == made.values
    assert losses == {reason.value: count for reason, count in made.invalid.items()}


def test_refused_line_makes_the_play_incomplete_and_is_counted(tmp_path: Path) -> None:
    made = small_file(tmp_path)
    with LineServerDouble(refuse=lambda line: "malformed" if line["id"] == 1 else None) as server:
        summary, _ = played(made, server)
    assert not summary.complete
    assert summary.refused["malformed"] + summary.values + summary.invalid.total() == made.cells


def test_stopped_play_says_how_far_it_came(tmp_path: Path) -> None:
    made = small_file(tmp_path)
    stop = threading.Event()
    stop.set()
    with LineServerDouble() as server:
        summary = play(made, tcp(server.host, server.port), lambda _: None, stop)
    assert not summary.complete
    assert summary.rows == 0


def test_gateway_that_never_answers_is_given_up(tmp_path: Path) -> None:
    made = small_file(tmp_path, 5)
    with LineServerDouble() as server:
        address = (server.host, server.port)
    with pytest.raises(TransientError, match="has not answered"):
        play(made, tcp(*address), lambda _: None, threading.Event(), patience_s=0.3)


def test_file_changed_since_it_was_planned_is_not_played(tmp_path: Path) -> None:
    made = small_file(tmp_path, 5)
    made.path.write_text(made.path.read_text() + "2025-08-01 00:00:00,1.0,1\n")
    with LineServerDouble() as server, pytest.raises(ConflictError, match="changed"):
        played(made, server)


def test_play_at_a_speed_takes_its_time(tmp_path: Path) -> None:
    made = small_file(tmp_path, 6)  # five minutes
    with LineServerDouble() as server:
        began = time.monotonic()
        summary, steps = played(made, server, speed=500.0)
        took = time.monotonic() - began
    assert summary.complete
    assert took >= 0.55
    assert len(steps) >= 4


def test_declared_loss_says_where_and_what(tmp_path: Path) -> None:
    made = small_file(tmp_path, 30)
    with LineServerDouble() as server:
        played(made, server)
    lost = [line["lost"] for line in server.lines if "lost" in line]
    gone = next(each for each in lost if each["reason"] == "no_value")
    assert gone["channel"] == "room-1/air_temperature"
    assert gone["count"] == 3
    assert gone["to_ms"] - gone["from_ms"] == 20 * 60_000
    assert gone["detail"].startswith(f"small.csv sha256:{made.sha256[:16]} rows 5, 15, 25: '---'")


def test_losses_are_the_same_documents_at_every_speed(tmp_path: Path) -> None:
    made = small_file(tmp_path, 250)
    with made.path.open(encoding="utf-8", newline="") as file:
        rows = list(read(file, made.mapping, NOW))
    at_once, row_by_row = (
        [body.content["lost"] for body in bodies(rows, "small.csv", size) if "lost" in body.content]
        for size in (100, 1)
    )
    assert at_once == row_by_row
    assert len({(lost["source"], lost["reason"], lost["channel"]) for lost in at_once}) == len(at_once) == 6
    assert sum(body.rows for body in bodies(rows, "small.csv", 1)) == 250
    assert [each["source"] for each in at_once] != [
        body.content["lost"]["source"] for body in bodies(rows, "other.csv") if "lost" in body.content
    ]


def test_rows_without_any_value_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("Time,T,Door\n" + "".join(f"2025-07-15 00:00:{n:02d},---,\n" for n in range(5)), encoding="utf-8")
    made = plan(path, SMALL, clock=ManualClock(NOW))
    for speed in (None, 1e6):
        with LineServerDouble() as server:
            summary, steps = played(made, server, speed=speed)
        assert summary.complete
        assert sum(steps) == summary.rows == 5
        assert {reason.value: count for reason, count in summary.invalid.items()} == {"no_value": 10}


def test_detail_of_many_rows_stays_within_its_bounds() -> None:
    cells = [
        Row(2 * n, 1_752_537_600_000 + n, (Invalid(TEMPERATURE, Reason.NOT_A_NUMBER, f"x{n}"),)) for n in range(900)
    ]
    (body,) = bodies(cells, "s", 1_000)
    loss = Loss(**body.content["lost"])
    assert len(loss.detail) <= 900
    assert isinstance(body, Body)


def test_pack_of_many_long_columns_is_split_below_the_longest_line() -> None:
    columns = tuple(Column(Place(str(n)), "d" * 40, f"m{n}_" + "x" * 50, "Cel") for n in range(30))
    batch = [
        Row(n, 1_752_537_600_000 + n * 60_001, tuple(Value(column, -123.456789012) for column in columns))
        for n in range(100)
    ]
    lines = list(bodies(batch, "s"))
    assert len(lines) > 5
    assert sum(body.values for body in lines) == 3_000
    assert all(len(frame(body.content, 10**9, replay=True)) <= MAX_LINE_BYTES for body in lines)
    assert sum(body.rows for body in lines) == 100


def test_largest_real_file_is_played_whole_through_a_kill() -> None:
    made = planned("frozen_rooms", "cam_congelados_1min")
    with LineServerDouble(kill_after=100, kills=1) as server:
        summary, _ = played(made, server)
    values, losses = received(server)
    assert summary.complete
    assert len(values) == 284_530
    assert losses == {}


def test_progress_bar_counts_rows_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    progress, close = tqdm_progress(20, "rooms")
    progress(5)
    progress(15)
    close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "rooms: 100%" in shown.err
    assert "20/20" in shown.err
