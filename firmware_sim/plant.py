"""The machines of the demo county: which model, how big, how cold, how busy. Data and one function a kind.

A July day in Yanling is assumed all year round, because that is when there are peaches.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from hanlu.firmware_sim import day
from hanlu.firmware_sim.county import Device
from hanlu.firmware_sim.physics.air import DoorSpec, Weather
from hanlu.firmware_sim.physics.box import BoxSpec, ThermostatSpec
from hanlu.firmware_sim.physics.cold_room import HEALTHY, Ailments, ColdRoom, ColdRoomSpec, DefrostSpec, EddySpec
from hanlu.firmware_sim.physics.drone import Drone, DroneSpec
from hanlu.firmware_sim.physics.locker import Locker, LockerSpec
from hanlu.firmware_sim.physics.pre_cooler import PreCooler, PreCoolerSpec
from hanlu.firmware_sim.physics.reefer import Cargo, Leg, Reefer, ReeferSpec, Timetable
from hanlu.firmware_sim.physics.route import Route
from hanlu.firmware_sim.physics.scale import Scale, ScaleSpec
from hanlu.firmware_sim.physics.schedule import Daily, Every, Schedule, Traffic, any_of
from hanlu.firmware_sim.physics.station import Station, StationSpec
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["FROZEN", "PEACHES", "TIMETABLE", "build"]

_JULY: Final = Weather(mean_c=26.5, swing_k=5.0, humidity=0.78)
_MINUTES: Final = 60

PEACHES: Final = ColdRoomSpec(
    box=BoxSpec(320.0, 48.0, 1.2e6, 30_000 * 3_800.0, 1_580.0, 8_000.0, 1_400.0),
    thermostat=ThermostatSpec(1.1, 1.0),
    defrost=DefrostSpec(every_s=8 * 3600, heater_w=0.0, heat_s=15 * _MINUTES, drip_s=5 * _MINUTES),
    door=DoorSpec(1.8, 2.4, curtain=0.92),
    weather=_JULY,
    eddies=EddySpec(0.06, 180.0),
)
"""30 t of fruit at 0 to 3 degrees; the coil is above freezing long enough to melt with the fans alone."""

FROZEN: Final = ColdRoomSpec(
    box=BoxSpec(320.0, 40.0, 5.0e5, 20_000 * 1_900.0, 520.0, 6_000.0, 900.0),
    thermostat=ThermostatSpec(-20.5, 2.0),
    defrost=DefrostSpec(every_s=8 * 3600, air_share=0.2),
    weather=_JULY,
    eddies=EddySpec(0.24, 140.0),
)
"""20 t of meat at -18 or below, heaters as measured (16.05 kW)."""


def _room(device: Device, start_ms: int, rng: random.Random, propped: Schedule, ailing: Ailments) -> ColdRoom:
    number = int(device.code.rsplit("-", 1)[1])
    plain = FROZEN if number >= 5 else PEACHES
    defrost = DefrostSpec(
        every_s=plain.defrost.every_s,
        offset_s=number * 70 * _MINUTES,
        heater_w=plain.defrost.heater_w,
        heat_s=plain.defrost.heat_s,
        drip_s=plain.defrost.drip_s,
        air_share=plain.defrost.air_share,
    )
    setpoint = ThermostatSpec(
        plain.thermostat.setpoint_c + (0.7 if number == 4 else 0.0), plain.thermostat.hysteresis_k
    )
    spec = ColdRoomSpec(
        box=plain.box, thermostat=setpoint, defrost=defrost, door=plain.door, weather=_JULY, eddies=plain.eddies
    )
    traffic = Traffic(device.code, 3, 60.0)
    return ColdRoom(spec, start_ms, rng, traffic=traffic, propped=propped, ailments=ailing)


def _pre_cooler(_: Device, start_ms: int, rng: random.Random, propped: Schedule) -> PreCooler:
    batches = Daily(day.PRECOOL_IN_S, day.PRECOOL_OUT_S)
    loading = Daily(day.PRECOOL_IN_S - 10 * _MINUTES, day.PRECOOL_IN_S)
    unloading = Daily(day.PRECOOL_OUT_S, day.PRECOOL_OUT_S + 10 * _MINUTES)
    doors = any_of([loading, unloading, propped])
    return PreCooler(PreCoolerSpec(weather=_JULY), start_ms, rng, batches=batches, doors=doors)


_TO_CHANGSHA: Final = Route(
    (
        (26.489, 113.772),
        (26.790, 113.545),
        (27.003, 113.345),
        (27.321, 113.420),
        (27.655, 113.497),
        (27.930, 113.300),
        (28.110, 113.110),
        (28.137, 113.036),
    )
)
"""By Chaling, Youxian and Liling; approximate points along the motorways."""
_TO_ORCHARD: Final = Route(((28.137, 113.036), *reversed(_TO_CHANGSHA.points), (26.400, 113.765), (26.324, 113.748)))
_TO_STORE: Final = Route(((26.324, 113.748), (26.360, 113.735), (26.430, 113.775), (26.489, 113.772)), winding=1.5)

TIMETABLE: Final = Timetable(
    (
        Leg(day.DEPART_STORE_S, day.ARRIVE_SHOP_S, _TO_CHANGSHA),
        Leg(day.BACK_DEPART_S, day.BACK_S, _TO_ORCHARD),
        Leg(day.DEPART_ORCHARD_S, day.ARRIVE_STORE_S, _TO_STORE),
    )
)
"""Every day: store to shop before the morning, empty to the orchard, full to the store."""


def _reefer(_: Device, start_ms: int, rng: random.Random, propped: Schedule) -> Reefer:
    stops = (
        day.LOAD_STORE_S,
        day.ARRIVE_SHOP_S + 3 * _MINUTES,
        day.LOAD_ORCHARD_S - 5 * _MINUTES,
        day.ARRIVE_STORE_S + 5 * _MINUTES,
    )
    doors = any_of([*(Daily(at, at + 12 * _MINUTES) for at in stops), propped])
    cargo = (
        Cargo(Daily(day.LOAD_STORE_S, day.RECEIVED_SHOP_S), 1.3),
        Cargo(Daily(day.LOAD_ORCHARD_S, day.RECEIVED_STORE_S), 4.0),
    )
    return Reefer(ReeferSpec(weather=_JULY), start_ms, rng, TIMETABLE, cargo=cargo, doors=doors)


def _locker(device: Device, start_ms: int, rng: random.Random, _: Schedule) -> Locker:
    spec = LockerSpec(restock=Daily(day.STOCKED_S - 5 * _MINUTES, day.STOCKED_S))
    return Locker(spec, start_ms, rng, Traffic(device.code, 7, 15.0, 9, 22))


def _scale(_: Device, start_ms: int, rng: random.Random, __: Schedule) -> Scale:
    weighed_in = Daily(day.PRECOOL_IN_S - 30 * _MINUTES, day.PRECOOL_IN_S)
    weighed_out = Daily(day.PACKED_S - 60 * _MINUTES, day.PACKED_S)
    return Scale(ScaleSpec(), start_ms, rng, any_of([weighed_in, weighed_out]))


def _drone(_: Device, start_ms: int, rng: random.Random, __: Schedule) -> Drone:
    hour_ms = 3_600_000
    every_other_hour = Every(0, 2 * hour_ms, 45 * _MINUTES * 1000)
    return Drone(DroneSpec(pad=(26.3312, 113.7571)), start_ms, rng, every_other_hour)


def _station(device: Device, start_ms: int, rng: random.Random, _: Schedule) -> Station:
    hall = Weather(mean_c=13.0, swing_k=0.8, humidity=0.6)
    spec = (
        StationSpec(weather=hall, eddies=EddySpec(0.15, 600.0))
        if device.code.startswith("hall")
        else StationSpec(_JULY)
    )
    return Station(spec, start_ms, rng)


_BUILDERS: Final[Mapping[str, Callable[[Device, int, random.Random, Schedule], Stepped]]] = {
    "pre_cooler": _pre_cooler,
    "reefer": _reefer,
    "locker": _locker,
    "scale": _scale,
    "drone": _drone,
    "station": _station,
}


def build(
    device: Device, start_ms: int, rng: random.Random, propped: Schedule, ailing: Ailments = HEALTHY
) -> Stepped | None:
    """Return the model of `device`, or None for a device that measures nothing (a scanner).

    Args:
        device: from the county.
        start_ms: where its time begins, Unix milliseconds.
        rng: its own chance.
        propped: when its door is left open.
        ailing: what is wrong with its machine; cold rooms only, the others stay healthy.

    Raises:
        KeyError: there is no model of that kind although the device has channels.
    """
    if device.kind == "cold_room":
        return _room(device, start_ms, rng, propped, ailing)
    return _BUILDERS[device.kind](device, start_ms, rng, propped) if device.channels else None
