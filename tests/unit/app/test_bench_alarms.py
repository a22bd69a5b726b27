"""The alarm bench: excursions as others compute them, alarms counted as people would hear them, rooms as recorded."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fix_shared import shared_dir
from frozen_room import local_ms

from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.store import shipped_rules
from hanlu.app.bench.alarms import Excursion, Figures, excursions, judged
from hanlu.app.bench.recordings import AIR, Channel, Recording, load
from hanlu.core.errors import UsageError
from hanlu.registry.profiles import shipped_profiles

MINUTE = 60_000
NOW_MS = 1_780_000_000_000
PROFILES = [each for each in shipped_profiles() if each.code == "frozen-room"]
RULES = [Versioned(rule, 1) for rule in shipped_rules()]
SETS = {
    "cam_congelados_1min": "cam_congelados_1min.csv",
    "bangu_L1_5min": "atacadao_bangu_RJ__L1.csv",
    "bangu_L2_5min": "atacadao_bangu_RJ__L2.csv",
}
HEAD = "time,Ambient Temperature,Defrost Status\n"


def recorded(name: str) -> Recording:
    return load(shared_dir("real_data", "frozen_rooms", name), "-03:00", NOW_MS)


def air(recording: Recording) -> list[tuple[int, float]]:
    return [(at, value) for at, number, value in recording.readings if number == recording.air.number]


def made(values: list[float], every_min: int = 1) -> Recording:
    channel = Channel(1, AIR, "Cel", every_min * 60.0)
    return Recording("room", (channel,), tuple((at * every_min * MINUTE, 1, v) for at, v in enumerate(values)), {})


@pytest.mark.parametrize("name", sorted(SETS))
def test_excursions_are_those_others_computed_from_the_same_file(name: str) -> None:
    with shared_dir("real_data", "frozen_rooms", "excursions_above_-15C.csv").open(encoding="utf-8") as file:
        known = [row for row in csv.DictReader(file) if row["set"] == name]
    least_min = min(float(row["minutes"]) for row in known)
    found = [
        (each.first_ms, each.last_ms, each.peak)
        for each in excursions(air(recorded(SETS[name])), -15.0)
        if (each.last_ms - each.first_ms) / MINUTE >= least_min
    ]
    assert found == [(local_ms(row["start"]), local_ms(row["end"]), float(row["peak_C"])) for row in known]


def test_excursion_is_bridged_over_half_an_hour_and_no_longer() -> None:
    readings = [(0, -10.0), (30 * MINUTE, -9.0), (61 * MINUTE, -8.0), (62 * MINUTE, -15.0), (63 * MINUTE, -14.0)]
    assert list(excursions(readings, -15.0)) == [
        Excursion(0, 30 * MINUTE, -9.0),
        Excursion(61 * MINUTE, 61 * MINUTE, -8.0),
        Excursion(63 * MINUTE, 63 * MINUTE, -14.0),
    ]


def test_room_left_warm_is_caught_and_its_delay_told_beside_the_baselines() -> None:
    figures = judged(made([-18.0] * 600 + [-8.0] * 240 + [-18.0] * 60), RULES, PROFILES).figures
    assert {name: (each.long, each.caught) for name, each in figures.items()} == {
        "rules": (1, 1),
        "threshold": (1, 1),
        "delay": (1, 1),
    }
    assert figures["threshold"].delays_min == [0.0]
    assert figures["delay"].delays_min == [30.0]
    assert figures["rules"].delays_min == [35.0]
    assert figures["rules"].room_days == pytest.approx(899 / 1440)


def test_quiet_room_has_no_alarm_at_all() -> None:
    rng = random.Random(3)
    figures = judged(made([-18.0 + rng.gauss(0.0, 0.3) for _ in range(4 * 1440)]), RULES, PROFILES).figures
    assert [each.alarms for each in figures.values()] == [0, 0, 0]


def test_room_that_chatters_about_the_limit_is_told_by_the_plain_threshold_alone() -> None:
    channel = Channel(1, AIR, "Cel", 10.0)
    readings = tuple((at * 10_000, 1, -14.9 if at % 2 else -15.1) for at in range(360))
    figures = judged(Recording("room", (channel,), readings, {}), RULES, PROFILES).figures
    assert figures["threshold"].chattering > 100
    assert figures["threshold"].repeats > 100
    assert figures["rules"].chattering == 0


@pytest.mark.parametrize(
    ("delays", "p50", "p95"),
    [([], None, None), ([7.0], 7.0, 7.0), ([30.0, 0.0, 20.0, 10.0], 10.0, 30.0), ([*range(20)], 9, 18)],
)
def test_percentile_is_a_delay_that_was_observed(delays: list[float], p50: float | None, p95: float | None) -> None:
    figures = Figures(delays_min=delays)
    assert (figures.percentile(0.5), figures.percentile(0.95)) == (p50, p95)


def write(folder: Path, text: str) -> Path:
    path = folder / "room.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_export_is_read_with_its_contacts_before_the_air_and_its_dirt_counted(tmp_path: Path) -> None:
    text = HEAD + "2025-06-18 00:00:00,-18.5,0\n2025-06-18 00:01:00,---,1\n2025-06-18 00:02:00,-18.1,1\n"
    recording = load(write(tmp_path, text), "UTC", NOW_MS)
    first = int(datetime(2025, 6, 18, tzinfo=UTC).timestamp() * 1000)
    metric = {each.number: each.metric for each in recording.channels}
    assert [(at - first, metric[number], value) for at, number, value in recording.readings] == [
        (0, "defrost", 0.0),
        (0, AIR, -18.5),
        (MINUTE, "defrost", 1.0),
        (2 * MINUTE, "defrost", 1.0),
        (2 * MINUTE, AIR, -18.1),
    ]
    assert recording.invalid == {"no_value": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no header"),
        ("a,b\n1,2\n", "no column holds times"),
        ("time,Humidity\n2025-06-18 00:00:00,80\n", "no column of air temperature"),
        (HEAD + "2025-06-18 00:00:00,---,0\n", "not two readings"),
    ],
)
def test_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=rf"room\.csv.*{told}"):
        load(write(tmp_path, text), "UTC", NOW_MS)


def test_json_of_figures_is_plain_data() -> None:
    figures = judged(made([-18.0] * 100 + [-8.0] * 240), RULES, PROFILES).figures["rules"]
    told = json.loads(json.dumps(figures.as_json()))
    assert told["long_excursions_caught"] == 1
    assert told["detection_delay_min"] == {"p50": 35.0, "p95": 35.0}
