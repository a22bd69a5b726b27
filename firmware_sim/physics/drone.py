"""A plant-protection drone: parallel swaths over a field, spray flow, tank and battery, refills at the pad.

Figures of common agricultural craft: 30 l tank, 5 m/s, 6 m swath, some 3 l/min in all, about 12 min on a battery.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hanlu.firmware_sim.physics.schedule import Schedule
from hanlu.firmware_sim.physics.sensor import quantise
from hanlu.firmware_sim.physics.stepped import Stepped

__all__ = ["Drone", "DroneSpec", "swaths"]

_METRES_PER_DEGREE: Final = 111_320.0
_RESERVE_PERCENT: Final = 25.0
_REFILL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class DroneSpec:
    """A craft and its field.

    Attributes:
        pad: (latitude, longitude) of the take-off pad, the field's south-west corner.
        length_m: of the field, northward.
        width_m: of the field, eastward.
        swath_m: width sprayed in one pass.
        speed_m_s: over ground.
        flow_l_s: all nozzles together.
        tank_l: full tank.
        endurance_s: flight time on a full battery.
    """

    pad: tuple[float, float]
    length_m: float = 240.0
    width_m: float = 120.0
    swath_m: float = 6.0
    speed_m_s: float = 5.0
    flow_l_s: float = 0.05
    tank_l: float = 30.0
    endurance_s: float = 720.0


def swaths(spec: DroneSpec) -> list[tuple[float, float]]:
    """Return the corners of the flight (metres east, metres north of the pad), there and back, swath by swath."""
    corners: list[tuple[float, float]] = []
    for number in range(max(1, math.floor(spec.width_m / spec.swath_m))):
        east = (number + 0.5) * spec.swath_m
        ends = (0.0, spec.length_m) if number % 2 == 0 else (spec.length_m, 0.0)
        corners += [(east, north) for north in ends]
    return corners


class _Phase(Enum):
    PARKED = "parked"
    SPRAYING = "spraying"
    RETURNING = "returning"
    REFILLING = "refilling"


class Drone(Stepped):
    """A craft that works while `mission` is on, and reports from its pad otherwise."""

    def __init__(self, spec: DroneSpec, start_ms: int, rng: random.Random, mission: Schedule) -> None:
        """Begin parked, full and charged."""
        super().__init__(start_ms)
        self._spec = spec
        self._rng = rng
        self._mission = mission
        self._corners = swaths(spec)
        self._target = 0
        self._place = (0.0, 0.0)
        self._phase = _Phase.PARKED
        self._tank = spec.tank_l
        self._battery = 100.0
        self._speed = 0.0
        self._flow = 0.0
        self._refill_left_s = 0.0
        self._drift = (0.0, 0.0)

    def step(self, at_ms: int, seconds: float) -> None:
        """Move on by one step ending at `at_ms`."""
        ordered = self._mission.active(at_ms)
        self._speed = self._flow = 0.0
        self._drift = (self._rng.gauss(0.0, 0.3), self._rng.gauss(0.0, 0.3))
        if self._phase is _Phase.PARKED:
            self._battery = min(100.0, self._battery + seconds / 6.0)
            self._tank = min(self._spec.tank_l, self._tank + seconds * 0.5)
            if ordered and self._battery >= 90.0:
                self._phase, self._target = _Phase.SPRAYING, 0
        elif self._phase is _Phase.SPRAYING:
            self._spray(seconds, ordered=ordered)
        elif self._phase is _Phase.RETURNING:
            if self._fly((0.0, 0.0), seconds):
                self._phase, self._refill_left_s = _Phase.REFILLING, _REFILL_S
        else:
            self._refill(seconds, ordered=ordered)

    def _spray(self, seconds: float, *, ordered: bool) -> None:
        spec = self._spec
        used = min(self._tank, spec.flow_l_s * seconds * self._rng.gauss(1.0, 0.03))
        self._tank -= used
        self._flow = used / seconds
        if self._fly(self._corners[self._target], seconds):
            self._target += 1
        done = self._target >= len(self._corners)
        if done:
            self._target = 0
        if done or self._tank <= 0.5 or self._battery <= _RESERVE_PERCENT or not ordered:
            self._phase = _Phase.RETURNING

    def _refill(self, seconds: float, *, ordered: bool) -> None:
        self._refill_left_s -= seconds
        if self._refill_left_s > 0:
            return
        self._tank, self._battery = self._spec.tank_l, 100.0  # batteries are swapped, not charged
        self._phase = _Phase.SPRAYING if ordered else _Phase.PARKED

    def _fly(self, to: tuple[float, float], seconds: float) -> bool:
        """Move towards `to`; tell whether it has been reached."""
        self._battery = max(0.0, self._battery - 100.0 * seconds / self._spec.endurance_s)
        east, north = to[0] - self._place[0], to[1] - self._place[1]
        left = math.hypot(east, north)
        reach = self._spec.speed_m_s * seconds
        self._speed = min(left, reach) / seconds
        if left <= reach:
            self._place = to
            return True
        self._place = (self._place[0] + east * reach / left, self._place[1] + north * reach / left)
        return False

    def read(self) -> dict[str, float]:
        """Return what the craft's terminal reports."""
        lat, lon = self._spec.pad
        east, north = self._place[0] + self._drift[0], self._place[1] + self._drift[1]
        return {
            "lat": round(lat + north / _METRES_PER_DEGREE, 7),
            "lon": round(lon + east / (_METRES_PER_DEGREE * math.cos(math.radians(lat))), 7),
            "speed": quantise(self._speed, 0.1),
            "flow": quantise(self._flow, 0.001),
            "tank": quantise(self._tank, 0.1),
            "battery": quantise(self._battery, 1.0),
        }
