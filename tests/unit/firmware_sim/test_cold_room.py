"""Cold rooms are held to the figures measured in real frozen rooms."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, median, pstdev

import pytest

from hanlu.firmware_sim.physics.air import DoorSpec, density, door_flow, relative_humidity, saturation_ratio
from hanlu.firmware_sim.physics.box import Box, BoxSpec, Inflow, ThermostatSpec
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.cold_room import ColdRoom, ColdRoomSpec, DefrostSpec, EddySpec
from hanlu.firmware_sim.physics.schedule import DAY_MS, HOUR_MS, Once, Schedule, Traffic

MIDNIGHT = 1_752_537_600_000  # 2025-07-15T00:00:00Z
MINUTE = 60_000
EVERY_H = 8

FROZEN = ColdRoomSpec(
    box=BoxSpec(320.0, 40.0, 5.0e5, 20_000 * 1_900.0, 520.0, 5_500.0, 900.0),
    thermostat=ThermostatSpec(-20.0, 2.0),
    defrost=DefrostSpec(every_s=EVERY_H * 3600),
    eddies=EddySpec(0.24, 140.0),
)
FRESH = ColdRoomSpec(
    box=BoxSpec(320.0, 48.0, 1.2e6, 30_000 * 3_800.0, 1_580.0, 8_000.0, 1_400.0),
    thermostat=ThermostatSpec(1.2, 1.0),
)


def room(spec: ColdRoomSpec, *, seed: int = 7, propped: Schedule | None = None, traffic: bool = True) -> ColdRoom:
    passing = Traffic("door", 3, 60.0) if traffic else None
    return ColdRoom(spec, MIDNIGHT - 4 * HOUR_MS, generator(seed), traffic=passing, propped=propped)


def minutes(model: ColdRoom, hours: int) -> list[dict[str, float]]:
    rows = []
    for minute in range(hours * 60):
        model.advance(MIDNIGHT + minute * MINUTE)
        rows.append(model.read())
    return rows


@pytest.fixture(scope="module")
def two_days() -> list[dict[str, float]]:
    return minutes(room(FROZEN), 48)


def defrosts(rows: list[dict[str, float]]) -> list[list[float]]:
    """Return the air temperature from the start of each defrost to two hours later."""
    air = [row["air_temperature"] for row in rows]
    return [air[start : start + 120] for start in range(0, len(rows) - 120, EVERY_H * 60)]


def test_time_constants_lie_in_the_measured_ranges() -> None:
    for spec in (FROZEN, FRESH):
        assert 10 * 60 <= spec.box.air_tau_s <= 15 * 60
        assert 8 * 3600 <= spec.box.product_tau_s <= 30 * 3600


def test_defrost_lasts_fifty_minutes_and_lifts_the_air_as_measured(two_days: list[dict[str, float]]) -> None:
    assert sum(row["defrost"] for row in two_days[:120]) == pytest.approx(50, abs=1)
    curves = defrosts(two_days)
    assert len(curves) == 6
    rises = [max(curve[:60]) - curve[0] for curve in curves]
    peaks = [curve.index(max(curve[:60])) for curve in curves]
    rates = [(curve[10] - curve[0]) / 10 for curve in curves]
    assert 5.0 <= median(rises) <= 18.5
    assert max(rises) <= 33.0
    assert 40 <= median(peaks) <= 46
    assert 0.4 <= median(rates) <= 0.7


def test_recovery_from_defrost_takes_as_long_as_measured(two_days: list[dict[str, float]]) -> None:
    to_63, to_1k = [], []
    for curve in defrosts(two_days):
        before, hot = curve[0], curve[50]
        to_63.append(next(m for m in range(50, 120) if curve[m] <= hot - 0.63 * (hot - before)) - 50)
        to_1k.append(next(m for m in range(50, 120) if curve[m] <= before + 1.0) - 50)
    assert 10 <= median(to_63) <= 15
    assert 13 <= median(to_1k) <= 23


def test_steady_air_moves_from_minute_to_minute_as_in_rooms_that_are_in_use(two_days: list[dict[str, float]]) -> None:
    air = [row["air_temperature"] for row in two_days]
    steady = [m for m in range(20, len(air) - 20) if 120 < m % (EVERY_H * 60) < EVERY_H * 60 - 10]
    steps = pstdev(air[m] - air[m - 1] for m in steady)
    about_mean = pstdev(air[m] - fmean(air[m - 7 : m + 8]) for m in steady)
    assert 0.22 <= steps <= 0.43
    assert 0.5 <= about_mean <= 1.0


def test_air_keeps_to_the_hysteresis_band_and_the_compressor_rests(two_days: list[dict[str, float]]) -> None:
    calm = minutes(room(FROZEN, traffic=False), 7)[120:]
    assert fmean(row["air_temperature"] for row in calm) == pytest.approx(-20.0, abs=0.6)
    starts = sum(a["compressor"] < b["compressor"] for a, b in pairwise(two_days)) / 2
    assert 24 <= starts <= 120  # a day


def test_defrost_draws_the_heaters_power_and_stops_the_compressor(two_days: list[dict[str, float]]) -> None:
    heating = two_days[20]
    assert heating["defrost"] == 1.0
    assert heating["compressor"] == 0.0
    assert 16_050 <= heating["power"] <= 17_500


def test_product_follows_much_more_slowly_than_the_air(two_days: list[dict[str, float]]) -> None:
    product = [row["product_temperature"] for row in two_days]
    air = [row["air_temperature"] for row in two_days]
    assert max(product) - min(product) < 0.25 * (max(air) - min(air))


def test_fresh_room_keeps_its_fruit_between_zero_and_three() -> None:
    rows = minutes(room(FRESH), 24)
    assert all(0.0 <= row["air_temperature"] <= 3.5 for row in rows)
    assert sum(row["air_temperature"] > 3.0 for row in rows) < 30
    assert all(0.5 <= row["product_temperature"] <= 2.0 for row in rows)
    assert 85 <= fmean(row["relative_humidity"] for row in rows) <= 99


def test_door_left_open_drives_a_fresh_room_over_its_limit_within_minutes() -> None:
    door = Once(MIDNIGHT + HOUR_MS, MIDNIGHT + HOUR_MS + 12 * MINUTE)
    rows = minutes(room(FRESH, propped=door, traffic=False), 3)
    over = [m for m, row in enumerate(rows) if row["air_temperature"] > 3.0]
    assert 60 < over[0] <= 63
    assert rows[61]["door_open"] == 1.0
    assert max(row["air_temperature"] for row in rows) < 20.0
    assert max(row["product_temperature"] for row in rows) < 2.5
    assert rows[-1]["air_temperature"] < 3.0


def test_state_does_not_depend_on_how_often_it_is_looked_at() -> None:
    often, seldom = room(FROZEN), room(FROZEN)
    for second in range(0, 7_200, 7):
        often.advance(MIDNIGHT + second * 1000)
        often.read()
    often.advance(MIDNIGHT + 2 * HOUR_MS)
    seldom.advance(MIDNIGHT + 2 * HOUR_MS)
    assert often.read() == seldom.read()
    assert often.at_ms == seldom.at_ms == MIDNIGHT + 2 * HOUR_MS


def test_one_seed_is_one_run_and_another_seed_another() -> None:
    assert minutes(room(FROZEN, seed=1), 1) == minutes(room(FROZEN, seed=1), 1)
    assert minutes(room(FROZEN, seed=1), 1) != minutes(room(FROZEN, seed=2), 1)


def test_time_in_the_past_changes_nothing() -> None:
    model = room(FROZEN)
    model.advance(MIDNIGHT)
    before = model.read()
    model.advance(MIDNIGHT - DAY_MS)
    assert model.read() == before


def test_empty_insulated_box_warms_as_published() -> None:
    """A van body with 70 mm of PU at 28 degrees outside: -20 to -15 in 2 min, to -10 in 4 min, to 0 in 11 min."""
    box = Box(BoxSpec(32.0, 40.0, 4.5e4, 1.0, 1e-9, 0.0, 0.0), -20.0)  # the air alone, walls and their leaks
    reached: dict[int, float] = {}
    for step in range(1, 30 * 12):
        box.step(5.0, Inflow(28.0, saturation_ratio(-20.0)), 0.0, loaded=False)
        for mark in (-15, -10, 0):
            if box.air_c >= mark:
                reached.setdefault(mark, step * 5 / 60)
    assert reached[-15] == pytest.approx(2, abs=0.3)
    assert reached[-10] == pytest.approx(4, abs=0.6)
    assert reached[0] == pytest.approx(11, abs=1)


def test_loaded_reefer_without_power_hardly_warms() -> None:
    """Return air +0.4 K in 14 h was published for a well loaded container at sea; ours stays below 3 K."""
    box = Box(BoxSpec(60.0, 25.0, 2.5e5, 20_000 * 1_900.0, 900.0, 0.0, 0.0), -20.0)
    for _ in range(14 * 720):
        box.step(5.0, Inflow(15.0, 0.005), 0.0)
    assert 0.3 <= box.air_c + 20.0 <= 3.0


def test_door_flow_agrees_with_the_formula_worked_by_hand() -> None:
    """2 x 2.5 m, -20 inside, +20 outside: densities 1.3943 and 1.2041, Fm 0.9634; coefficient 0.221."""
    door = DoorSpec(2.0, 2.5, curtain=0.93, correction=1.0)
    open_flow = door_flow(door, -20.0, 20.0, curtain_down=False)
    assert density(-20.0) == pytest.approx(1.3943, abs=1e-3)
    assert open_flow == pytest.approx(0.221 * 5 * 0.3694 * 4.9523 * 0.9634, rel=5e-3)
    assert door_flow(door, -20.0, 20.0) == pytest.approx(0.07 * open_flow)
    assert door_flow(door, 20.0, -20.0) == 0.0


def test_humidity_of_saturated_air_is_a_hundred_and_never_more() -> None:
    assert relative_humidity(saturation_ratio(2.0), 2.0) == pytest.approx(100.0)
    assert relative_humidity(1.0, -20.0) == 100.0
    assert saturation_ratio(20.0) == pytest.approx(0.0147, abs=2e-4)
    assert saturation_ratio(-18.0) == pytest.approx(0.00077, abs=5e-5)
