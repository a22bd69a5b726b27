"""Pre-cooler, truck, locker, scale, drone, instruments and schedules."""

from __future__ import annotations

from statistics import pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.firmware_sim.physics.box import Thermostat, ThermostatSpec
from hanlu.firmware_sim.physics.chance import generator
from hanlu.firmware_sim.physics.drone import Drone, DroneSpec, swaths
from hanlu.firmware_sim.physics.locker import Locker, LockerSpec
from hanlu.firmware_sim.physics.pre_cooler import PreCooler, PreCoolerSpec
from hanlu.firmware_sim.physics.reefer import Cargo, Leg, Reefer, ReeferSpec, Timetable
from hanlu.firmware_sim.physics.route import Route, distance_m
from hanlu.firmware_sim.physics.scale import Scale, ScaleSpec
from hanlu.firmware_sim.physics.schedule import DAY_MS, HOUR_MS, Daily, Every, Never, Once, Traffic, any_of
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.station import Station, StationSpec

MIDNIGHT = 1_752_508_800_000  # 2025-07-15T00:00:00+08:00
ROAD = Route(((26.489, 113.772), (27.65, 113.49), (28.228, 112.939)))
DAY = Timetable((Leg(4 * 3600, 8 * 3600 + 2400, ROAD), Leg(9 * 3600 + 1800, 14 * 3600, ROAD.reversed())))


def reefer(start_ms: int = MIDNIGHT) -> Reefer:
    cargo = (Cargo(Daily(3 * 3600 + 1800, 9 * 3600), 1.5),)
    return Reefer(ReeferSpec(), start_ms, generator(3), DAY, cargo=cargo, doors=Daily(8 * 3600 + 2400, 9 * 3600))


def test_pre_cooler_halves_the_difference_in_its_half_cooling_time_once_the_air_is_held() -> None:
    spec = PreCoolerSpec()
    batch = Once(MIDNIGHT + 7 * HOUR_MS, MIDNIGHT + 12 * HOUR_MS)
    model = PreCooler(spec, MIDNIGHT, generator(1), batches=batch)
    core = []
    for minute in range(13 * 60):
        model.advance(MIDNIGHT + minute * 60_000)
        core.append(model.read()["product_temperature"])
    assert core[6 * 60] == pytest.approx(spec.setpoint_c, abs=1.0)  # the needle hangs in cold air
    assert 24.0 <= max(core) <= spec.field_c
    below = {mark: next(m for m in range(7 * 60 + 10, 12 * 60) if core[m] <= mark) for mark in (15.0, 8.0, 4.4, 4.0)}
    assert (below[4.4] - below[8.0]) * 60 == pytest.approx(spec.half_cooling_s, rel=0.2)  # 7.2 K left, then 3.6 K
    assert below[4.0] - 7 * 60 <= 4 * 60
    assert core[12 * 60 - 1] < 2.5


def test_truck_stands_drives_and_arrives_where_the_timetable_says() -> None:
    truck = reefer()
    truck.advance(MIDNIGHT + 3 * HOUR_MS)
    assert distance_m((truck.read()["lat"], truck.read()["lon"]), (26.489, 113.772)) < 30
    assert truck.read()["speed"] == 0.0
    truck.advance(MIDNIGHT + 6 * HOUR_MS)
    assert 4 < truck.read()["speed"] < 30
    truck.advance(MIDNIGHT + 8 * HOUR_MS + 50 * 60_000)
    assert distance_m((truck.read()["lat"], truck.read()["lon"]), (28.228, 112.939)) < 30
    assert truck.read()["door_open"] == 1.0


def test_truck_never_drives_backwards_and_covers_the_whole_road() -> None:
    shares = [DAY.progress(MIDNIGHT + 4 * HOUR_MS + second * 1000)[1] for second in range(0, 16_800, 20)]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert DAY.progress(MIDNIGHT + 8 * HOUR_MS + 41 * 60_000)[1] == 1.0
    covered = sum(DAY.speed(MIDNIGHT + 4 * HOUR_MS + second * 1000) * 5 for second in range(5, 16_801, 5))
    assert covered == pytest.approx(ROAD.length_m, rel=1e-3)


def test_truck_keeps_its_cargo_cold_through_a_stop_with_open_doors() -> None:
    truck = reefer()
    product, air = [], []
    for minute in range(4 * 60, 9 * 60):
        truck.advance(MIDNIGHT + minute * 60_000)
        product.append(truck.read()["product_temperature"])
        air.append(truck.read()["air_temperature"])
    assert max(product) < 4.0
    assert max(air[-18:]) > max(air[60:-20]) + 2.0


def test_locker_sells_from_a_full_cabinet_and_stays_chilled() -> None:
    model = Locker(LockerSpec(), MIDNIGHT, generator(5), Traffic("customers", 8, 15.0, 9, 22))
    kilos, air, doors = [], [], 0.0
    for tick in range(24 * 720):
        model.advance(MIDNIGHT + tick * 5_000)
        shown = model.read()
        kilos.append(shown["weight"])
        air.append(shown["air_temperature"])
        doors += shown["door_open"]
    assert max(kilos) == 200.0
    after = kilos[9 * 720 + 300 :]
    assert after == sorted(after, reverse=True)
    assert 50.0 <= after[0] - after[-1] <= 200.0
    assert sum(a > 8.0 for a in air) < 0.01 * len(air)
    assert doors > 50


def test_scale_shows_zero_or_a_crate_in_its_interval() -> None:
    model = Scale(ScaleSpec(), MIDNIGHT, generator(2), Daily(3600, 2 * 3600))
    shown = []
    for tick in range(0, 3 * 3600, 5):
        model.advance(MIDNIGHT + tick * 1000)
        shown.append(model.read()["weight"])
    crates = [kg for kg in shown if kg]
    assert all(kg == 0.0 for kg in shown[: 3600 // 5])
    assert 300 <= len(crates) <= 400
    assert all(15 < kg < 25 for kg in crates)
    assert all(abs(kg / 0.02 - round(kg / 0.02)) < 1e-6 for kg in crates)


def test_drone_sprays_its_field_and_refills_before_tank_or_battery_is_empty() -> None:
    spec = DroneSpec((26.40, 113.70))
    model = Drone(spec, MIDNIGHT, generator(4), Once(MIDNIGHT + 60_000, MIDNIGHT + 45 * 60_000))
    litres, rows = 0.0, []
    for tick in range(0, 60 * 60, 5):
        model.advance(MIDNIGHT + tick * 1000)
        rows.append(model.read())
        litres += rows[-1]["flow"] * 5
    assert min(row["tank"] for row in rows) >= 0.0
    assert min(row["battery"] for row in rows) > 5
    assert 60 <= litres <= 150
    assert max(row["speed"] for row in rows) == 5.0
    assert distance_m((rows[-1]["lat"], rows[-1]["lon"]), spec.pad) < 3  # home when the mission is over
    assert rows[-1]["flow"] == 0.0
    assert max(distance_m((row["lat"], row["lon"]), spec.pad) for row in rows) > 0.9 * spec.length_m


def test_drone_swaths_cover_the_field_once() -> None:
    spec = DroneSpec((26.40, 113.70), length_m=100.0, width_m=30.0, swath_m=6.0)
    corners = swaths(spec)
    assert [east for east, _ in corners[::2]] == [3.0, 9.0, 15.0, 21.0, 27.0]
    assert corners[1] == (3.0, 100.0)
    assert corners[2] == (9.0, 100.0)


def test_station_swings_with_the_day() -> None:
    model = Station(StationSpec(), MIDNIGHT, generator(6))
    model.advance(MIDNIGHT + 4 * HOUR_MS)
    night = model.read()
    model.advance(MIDNIGHT + 15 * HOUR_MS)
    day = model.read()
    assert day["air_temperature"] - night["air_temperature"] > 5
    assert day["relative_humidity"] < night["relative_humidity"]


def test_sensor_lags_by_its_time_constant() -> None:
    sensor = Sensor(SensorSpec(lag_s=120.0, noise_sd=0.0, quantum=0.0), generator(1), 0.0)
    for _ in range(24):
        sensor.step(10.0, 5.0)
    assert sensor.read() == pytest.approx(6.321, abs=1e-3)


def test_sensor_noise_bias_and_range_are_as_specified() -> None:
    sensor = Sensor(SensorSpec(lag_s=0.0, noise_sd=0.2, quantum=0.0, bias=0.5, high=20.0), generator(1), 0.0)
    shown = []
    for _ in range(4_000):
        sensor.step(4.0, 5.0)
        shown.append(sensor.read())
    assert pstdev(shown) == pytest.approx(0.2, rel=0.05)
    assert sum(shown) / len(shown) == pytest.approx(4.5, abs=0.02)
    sensor.step(500.0, 5.0)
    assert sensor.read() == 20.0


@pytest.mark.parametrize(("quantum", "shown"), [(0.1, -18.3), (0.5, -18.5), (1.0, -18.0), (0.0, -18.34)])
def test_quantised_value_is_a_multiple_of_the_step(quantum: float, shown: float) -> None:
    assert quantise(-18.34, quantum) == shown


@given(st.floats(-100, 100), st.sampled_from([0.0625, 0.1, 0.5, 1.0]))
def test_quantised_value_is_the_nearest_step(value: float, quantum: float) -> None:
    assert abs(quantise(value, quantum) - value) <= quantum / 2 + 1e-6


def test_thermostat_keeps_its_least_run_and_rest() -> None:
    thermostat = Thermostat(ThermostatSpec(0.0, 2.0, rest_s=180.0, run_s=120.0))
    assert thermostat.step(1.5, 5.0)
    assert all(thermostat.step(-1.5, 5.0) for _ in range(23))
    assert not thermostat.step(-1.5, 5.0)
    assert not any(thermostat.step(1.5, 5.0) for _ in range(35))
    assert thermostat.step(1.5, 5.0)
    assert not thermostat.step(1.5, 5.0, allowed=False)


def test_schedules_answer_at_their_edges() -> None:
    once = Once(100, 200)
    assert [once.active(at) for at in (99, 100, 199, 200)] == [False, True, True, False]
    every = Every(1_000, 500, 100)
    assert [every.active(at) for at in (500, 999, 1_000, 1_099, 1_100, 1_500)] == [
        False,
        False,
        True,
        True,
        False,
        True,
    ]
    night = Daily(22 * 3600, 6 * 3600)
    assert night.active(MIDNIGHT + 23 * HOUR_MS)
    assert night.active(MIDNIGHT + 5 * HOUR_MS)
    assert not night.active(MIDNIGHT + 6 * HOUR_MS)
    assert not Never().active(MIDNIGHT)
    assert any_of([once, every]).active(150)
    assert not any_of([]).active(150)


def test_traffic_opens_as_often_as_told_in_working_hours_only() -> None:
    traffic = Traffic("gate", 4, 30.0, 8, 18)
    assert traffic.opened(MIDNIGHT, MIDNIGHT + 7 * HOUR_MS) == 0
    opened = sum(traffic.opened(at, at + HOUR_MS) for at in range(MIDNIGHT, MIDNIGHT + DAY_MS, HOUR_MS))
    assert opened == pytest.approx(40, abs=1)
    open_s = sum(traffic.active(at) for at in range(MIDNIGHT, MIDNIGHT + DAY_MS, 1_000))
    assert open_s == pytest.approx(40 * 30, rel=0.25)
    assert not traffic.active(MIDNIGHT + 3 * HOUR_MS)


def test_route_position_runs_from_end_to_end() -> None:
    assert ROAD.position(-1.0) == (26.489, 113.772)
    assert ROAD.position(2.0) == (28.228, 112.939)
    assert 150_000 < ROAD.length_m < 300_000
    lat, _ = ROAD.position(0.5)
    assert 26.489 < lat < 28.228
