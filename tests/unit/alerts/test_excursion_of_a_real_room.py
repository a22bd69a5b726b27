"""Accounts of three weeks of a real frozen room, against excursions computed by others from the same file."""

from __future__ import annotations

import csv

from fix_shared import shared_dir
from frozen_room import MINUTE, frozen_room, known_excursions

from hanlu.alerts.excursion.figures import DAY_MS, Reading, account, window

GAP = 10 * MINUTE


def areas_found_by_others() -> list[float]:
    """Return the degree-minutes of the known excursions, summed up by others reading by reading."""
    with shared_dir("real_data", "frozen_rooms", "excursions_above_-15C.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        return [
            float(row["degree_minutes_above_-15"])
            for row in csv.DictReader(file)
            if row["set"] == "cam_congelados_1min"
        ]


def test_known_excursions_have_the_start_the_peak_and_the_area_others_found() -> None:
    readings = [Reading(*each) for each in sorted(frozen_room())]
    for (first, last, peak), area in zip(known_excursions(), areas_found_by_others(), strict=True):
        near = [each for each in readings if first - 60 * MINUTE <= each.at_ms <= last + 60 * MINUTE]
        figures = account(near, -15.0, upward=True, gap_ms=GAP, begun_ms=first, ended_ms=last + 1)
        assert figures is not None
        assert first - GAP < figures.from_ms <= first
        assert figures.to_ms is not None
        assert abs(figures.to_ms - last) <= GAP
        assert figures.peak == peak
        whole = (figures.to_ms - figures.from_ms) / MINUTE
        assert abs(figures.minutes + figures.unknown_minutes - whole) < 1e-3
        # Steps here, trapezoids there, and minutes with two readings: a few per cent at most.
        assert abs(figures.degree_minutes - area) <= max(1.0, 0.03 * area)
        assert figures.mean is not None
        assert figures.kinetic is not None
        assert figures.mean < figures.kinetic <= peak


def test_kinetic_temperature_lies_a_kelvin_and_more_above_the_mean_of_a_room_that_defrosts() -> None:
    readings = [Reading(*each) for each in sorted(frozen_room())]
    begin, end = readings[0].at_ms, readings[-1].at_ms
    whole = window(readings, GAP, begin, end)
    assert whole.kinetic is not None
    assert whole.mean is not None
    assert 1.0 <= whole.kinetic - whole.mean <= 3.2
    days = [window(readings, GAP, at, at + DAY_MS) for at in range(begin, end - DAY_MS, DAY_MS)]
    assert all(each.kinetic > each.mean for each in days if each.kinetic is not None and each.mean is not None)
