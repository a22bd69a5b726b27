"""A refrigerated truck on a daily timetable: where it is, how fast, how cold, and its doors at the stops."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Final

from hanlu.firmware_sim.physics.air import DoorSpec, Weather, door_flow
from hanlu.firmware_sim.physics.box import Box, BoxSpec, Inflow, Thermostat, ThermostatSpec
from hanlu.firmware_sim.physics.route import Route
from hanlu.firmware_sim.physics.schedule import CHINA_OFFSET_MS, DAY_MS, Never, Schedule
from hanlu.firmware_sim.physics.sensor import Sensor, SensorSpec, quantise
from hanlu.firmware_sim.physics.stepped import STEP_MS, Stepped

__all__ = ["Cargo", "Leg", "Reefer", "ReeferSpec", "Timetable"]

_WAVES: Final = 7
"""Times a truck is slowed and speeds up again on a leg."""
_SUN_W: Final = 260.0
"""Sun on the roof of a moving box at noon, watts."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A drive: from `depart_s` to `arrive_s` (seconds after local midnight, same day) along `route`."""

    depart_s: int
    arrive_s: int
    route: Route


@dataclass(frozen=True, slots=True)
class Timetable:
    """The day's legs in order; each begins where the one before ended, the first where the last ended."""

    legs: tuple[Leg, ...]

    def progress(self, at_ms: int) -> tuple[Leg, float]:
        """Return the leg under way or last done, and how much of it (0 to 1) lies behind.

        The speed swings around its mean as on a real road and is never negative.
        """
        now_s = ((at_ms + CHINA_OFFSET_MS) % DAY_MS) / 1000
        done = [leg for leg in self.legs if leg.depart_s <= now_s]
        if not done:
            return self.legs[-1], 1.0
        leg = done[-1]
        share = min(1.0, (now_s - leg.depart_s) / (leg.arrive_s - leg.depart_s))
        swing = 0.6 * math.sin(2 * math.pi * _WAVES * share) / (2 * math.pi * _WAVES)
        return leg, max(0.0, min(1.0, share - swing))

    def position(self, at_ms: int) -> tuple[float, float]:
        """Return (latitude, longitude) in degrees at `at_ms`."""
        leg, share = self.progress(at_ms)
        return leg.route.position(share)

    def speed(self, at_ms: int) -> float:
        """Return metres per second over the last step before `at_ms`."""
        leg, share = self.progress(at_ms)
        before_leg, before = self.progress(at_ms - STEP_MS)
        if before_leg is not leg:
            return 0.0
        return max(0.0, (share - before) * leg.route.length_m / (STEP_MS / 1000))


@dataclass(frozen=True, slots=True)
class Cargo:
    """Goods aboard while `aboard` is on, at `loaded_c` when they come in."""

    aboard: Schedule
    loaded_c: float


@dataclass(frozen=True, slots=True)
class ReeferSpec:
    """A truck with its box: 40 m3 of air, 0.4 W/(m2 K) walls, a 6 kW unit, doors at the back."""

    box: BoxSpec = field(default_factory=lambda: BoxSpec(32.0, 30.0, 1.6e5, 2.5e6 * 3.8, 260.0, 5_200.0, 400.0))
    thermostat: ThermostatSpec = field(default_factory=lambda: ThermostatSpec(1.5, 1.6))
    door: DoorSpec = field(default_factory=lambda: DoorSpec(2.3, 2.3, curtain=0.8))
    weather: Weather = field(default_factory=Weather)
    air_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=60.0))
    product_sensor: SensorSpec = field(default_factory=lambda: SensorSpec(lag_s=240.0, noise_sd=0.02))
    humidity_sensor: SensorSpec = field(
        default_factory=lambda: SensorSpec(lag_s=120.0, noise_sd=0.5, quantum=0.5, low=0.0, high=100.0)
    )
    position_sd_m: float = 3.0


class Reefer(Stepped):
    """A truck at work, every day anew."""

    def __init__(
        self,
        spec: ReeferSpec,
        start_ms: int,
        rng: random.Random,
        timetable: Timetable,
        *,
        cargo: tuple[Cargo, ...] = (),
        doors: Schedule | None = None,
    ) -> None:
        """Begin cold at the place the timetable says; `doors` are the stops."""
        super().__init__(start_ms)
        self._spec = spec
        self._rng = rng
        self._timetable = timetable
        self._cargo = cargo
        self._doors: Schedule = doors or Never()
        self._thermostat = Thermostat(spec.thermostat)
        target = spec.thermostat.setpoint_c
        self.box = Box(spec.box, target)
        self._air = Sensor(spec.air_sensor, rng, target)
        self._product = Sensor(spec.product_sensor, rng, target)
        self._humidity = Sensor(spec.humidity_sensor, rng, self.box.humidity)
        self._aboard: Cargo | None = None
        self._open = False
        self._fix = timetable.position(start_ms)
        self._speed = 0.0

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        spec, box = self._spec, self.box
        aboard = next((cargo for cargo in self._cargo if cargo.aboard.active(at_ms)), None)
        if aboard is not None and aboard is not self._aboard:
            box.product_c = aboard.loaded_c
        self._aboard = aboard
        self._open = self._doors.active(at_ms)
        outside = spec.weather.temperature(at_ms)
        sun = _SUN_W * max(0.0, (outside - spec.weather.mean_c) / max(0.1, spec.weather.swing_k))
        flow = door_flow(spec.door, box.air_c, outside) if self._open else 0.0
        running = self._thermostat.step(self._air.read(), seconds)
        inflow = Inflow(outside, spec.weather.water_ratio(), flow, sun)
        box.step(seconds, inflow, float(running), loaded=aboard is not None)
        if aboard is None:
            box.product_c = box.air_c
        self._air.step(box.air_c, seconds)
        self._product.step(box.product_c, seconds)
        self._humidity.step(box.humidity, seconds)
        self._locate(at_ms)

    def _locate(self, at_ms: int) -> None:
        lat, lon = self._timetable.position(at_ms)
        self._speed = self._timetable.speed(at_ms)
        north = self._rng.gauss(0.0, self._spec.position_sd_m)
        east = self._rng.gauss(0.0, self._spec.position_sd_m)
        self._fix = (lat + north / 111_320.0, lon + east / (111_320.0 * math.cos(math.radians(lat))))

    def read(self) -> dict[str, float]:
        """Return what the truck's terminal reports."""
        return {
            "air_temperature": self._air.read(),
            "product_temperature": self._product.read(),
            "relative_humidity": self._humidity.read(),
            "door_open": float(self._open),
            "compressor": float(self._thermostat.running),
            "setpoint": self._spec.thermostat.setpoint_c,
            "lat": round(self._fix[0], 6),
            "lon": round(self._fix[1], 6),
            "speed": quantise(self._speed, 0.1),
        }
