"""Moist air at sea-level pressure: density, water content, and what flows through an open door.

Source: Magnus form of the saturation pressure with the constants of WMO-No. 8 (Annex 4.B); ideal-gas density; the
door term after Gosney and Olama as given by Jekel (IRC, 2017) with the measured correction of Pham and Oliver (1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = [
    "HEAT_OF_SUBLIMATION",
    "HEAT_OF_VAPORISATION",
    "SPECIFIC_HEAT",
    "DoorSpec",
    "Weather",
    "density",
    "door_flow",
    "relative_humidity",
    "saturation_ratio",
]

PRESSURE: Final = 101_325.0
"""Pascal."""
SPECIFIC_HEAT: Final = 1_006.0
"""Of dry air, J/(kg K)."""
HEAT_OF_VAPORISATION: Final = 2.50e6
"""Of water at 0 degrees, J/kg."""
HEAT_OF_SUBLIMATION: Final = 2.83e6
"""Of ice, J/kg: what a coil below freezing must take up."""
_GAS_CONSTANT: Final = 287.05
_WATER_TO_AIR: Final = 0.62198
_GRAVITY: Final = 9.81
_GOSNEY_OLAMA: Final = 0.221
"""Coefficient for m3/s (13.26 in the form per minute)."""


def density(celsius: float) -> float:
    """Return the density of dry air, kg/m3."""
    return PRESSURE / (_GAS_CONSTANT * (celsius + 273.15))


def saturation_ratio(celsius: float) -> float:
    """Return kg of water per kg of dry air at saturation, over ice below freezing."""
    if celsius >= 0:
        pressure = 611.2 * math.exp(17.62 * celsius / (243.12 + celsius))
    else:
        pressure = 611.2 * math.exp(22.46 * celsius / (272.62 + celsius))
    return _WATER_TO_AIR * pressure / (PRESSURE - pressure)


def relative_humidity(ratio: float, celsius: float) -> float:
    """Return percent (0 to 100) of a water content `ratio` (kg/kg) at `celsius`."""
    return max(0.0, min(100.0, 100.0 * ratio / saturation_ratio(celsius)))


@dataclass(frozen=True, slots=True)
class DoorSpec:
    """A doorway.

    Attributes:
        width_m: clear width.
        height_m: clear height.
        curtain: share of the flow a strip curtain holds back, 0 to 1 (0.75 to 0.93 measured).
        correction: measured flow over the formula's, 0.68 by Pham and Oliver.
    """

    width_m: float
    height_m: float
    curtain: float = 0.85
    correction: float = 0.68


def door_flow(door: DoorSpec, inside_c: float, outside_c: float, *, curtain_down: bool = True) -> float:
    """Return the volume of air exchanged through the open doorway, m3/s.

    Args:
        door: the doorway.
        inside_c: air inside.
        outside_c: air before the door; at or below `inside_c` nothing is driven by density.
        curtain_down: False when somebody has tied the curtain up.
    """
    if outside_c <= inside_c:
        return 0.0
    inside, outside = density(inside_c), density(outside_c)
    area = door.width_m * door.height_m
    factor = math.pow(2.0 / (1.0 + math.cbrt(inside / outside)), 1.5)
    flow = _GOSNEY_OLAMA * area * math.sqrt(1.0 - outside / inside) * math.sqrt(_GRAVITY * door.height_m) * factor
    return flow * door.correction * (1.0 - (door.curtain if curtain_down else 0.0))


@dataclass(frozen=True, slots=True)
class Weather:
    """A day that repeats: warmest in the afternoon, the water content of the air steady.

    Attributes:
        mean_c: daily mean.
        swing_k: from the mean to the warmest.
        humidity: relative humidity at the mean, 0 to 1.
        warmest_h: local hour of the maximum.
    """

    mean_c: float = 26.5
    swing_k: float = 5.0
    humidity: float = 0.75
    warmest_h: float = 15.0

    def temperature(self, at_ms: int) -> float:
        """Return degrees Celsius at `at_ms`."""
        hours = (at_ms / 3_600_000 + 8.0) % 24.0
        return self.mean_c + self.swing_k * math.cos((hours - self.warmest_h) * math.pi / 12.0)

    def water_ratio(self) -> float:
        """Return kg of water per kg of dry air."""
        return self.humidity * saturation_ratio(self.mean_c)
