"""`hanlu bench alarms` as people run it: real rooms call seldom, nothing long is missed, a bad file is told plainly."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fix_shared import shared_dir

from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.store import shipped_rules
from hanlu.app.bench.alarms import judged, total
from hanlu.app.bench.recordings import Recording, load
from hanlu.registry.profiles import shipped_profiles

ROOMS = ("cam_congelados_1min.csv", "atacadao_bangu_RJ__L1.csv", "atacadao_bangu_RJ__L2.csv")
NOW_MS = 1_780_000_000_000


def bench(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "hanlu.app", "bench", "alarms", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def figures(*args: object) -> dict[str, Any]:
    done = bench(*args, "--time-zone=-03:00", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def rooms() -> list[Path]:
    return [shared_dir("real_data", "frozen_rooms", name) for name in ROOMS]


def whole_degrees_every_five_minutes(source: Path, folder: Path) -> Path:
    """Write the room as a coarser recorder would have: every fifth row, whole degrees."""
    made = folder / source.name
    with source.open(encoding="utf-8", newline="") as old, made.open("w", encoding="utf-8", newline="") as new:
        rows, out = csv.DictReader(old), csv.writer(new)
        out.writerow(["Data", "Ambient Temperature", "Defrost Status"])
        for index, row in enumerate(rows):
            if index % 5 == 0:
                out.writerow([row["Data"], round(float(row["Ambient Temperature (°C)"])), row["Defrost Status ()"]])
    return made


@pytest.mark.parametrize(("flags", "most"), [((), 0.3), (("--without-defrost-flag",), 0.6)])
def test_real_frozen_rooms_call_seldom_and_every_long_excursion_is_caught_in_time(
    flags: tuple[str, ...], most: float
) -> None:
    told = figures(*rooms(), *flags)
    rules, baselines = told["total"]["rules"], told["total"]["baselines"]
    assert rules["long_excursions"] == rules["long_excursions_caught"] == 37
    assert rules["alarms_per_room_day"] <= most
    assert rules["detection_delay_min"]["p95"] < 45
    assert (rules["chattering"], rules["repeats_within_10_min"]) == (0, 0)
    assert baselines["threshold"]["alarms"] > 10 * rules["alarms"]
    assert baselines["delay"]["alarms"] > 5 * rules["alarms"]
    assert {file["file"]: file["defrost_contact"] for file in told["files"]} == dict.fromkeys(ROOMS, not flags)


def changed(recording: Recording, change: Callable[[float], float | None]) -> Recording:
    """Return the room as another probe would have recorded its air; None is a lost reading."""
    readings: list[tuple[int, int, float]] = []
    for at, number, value in recording.readings:
        told = change(value) if number == recording.air.number else value
        if told is not None:
            readings.append((at, number, told))
    return replace(recording, readings=tuple(readings))


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return [load(path, "-03:00", NOW_MS) for path in rooms()]


@pytest.mark.parametrize("what", ["half a kelvin warmer", "a fifth lost", "noise of half a kelvin"])
def test_other_probes_in_the_same_rooms_would_have_called_as_seldom_and_in_time(
    recordings: list[Recording], what: str
) -> None:
    rng = random.Random(7)
    changes: dict[str, Callable[[float], float | None]] = {
        "half a kelvin warmer": lambda value: value + 0.5,
        "a fifth lost": lambda value: None if rng.random() < 0.2 else value,
        "noise of half a kelvin": lambda value: value + rng.gauss(0.0, 0.5),
    }
    profiles = [each for each in shipped_profiles() if each.code == "frozen-room"]
    rules = [Versioned(rule, 1) for rule in shipped_rules()]
    judgements = [judged(changed(each, changes[what]), rules, profiles) for each in recordings]
    together = total(judgements)["rules"]
    assert together.long == together.caught > 25
    assert together.per_room_day <= 0.35
    in_time = sum(delay < 45 for delay in together.delays_min)
    assert in_time >= 0.92 * together.long, sorted(together.delays_min)[-4:]


def test_coarser_recorder_changes_little(tmp_path: Path) -> None:
    rules = figures(whole_degrees_every_five_minutes(rooms()[0], tmp_path))["total"]["rules"]
    assert rules["long_excursions"] == rules["long_excursions_caught"] >= 3
    assert rules["alarms_per_room_day"] <= 0.5


def test_table_shows_rules_beside_both_baselines() -> None:
    done = bench(rooms()[0], "--time-zone=-03:00")
    assert done.returncode == 0
    for words in ("Hanlu's rules", "plain threshold", "30 min delay, 1 K deadband", "by kind: ", "3/3"):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        ((__file__,), "test_bench_alarms.py"),
        ((__file__, "--profile", "no-such"), "there are"),
    ],
)
def test_what_cannot_be_judged_is_told_with_what_to_do(args: tuple[str, ...], told: str) -> None:
    done = bench(*args)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
