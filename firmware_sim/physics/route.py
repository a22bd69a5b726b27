"""A road as a line of points, and where a vehicle is on it.

Positions are WGS 84; distances by the haversine formula on a sphere of 6,371,008.8 m (IUGG mean radius).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Final

__all__ = ["Route", "distance_m"]

_RADIUS_M: Final = 6_371_008.8


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the great-circle distance between two (latitude, longitude) in degrees, metres."""
    lat_a, lat_b = math.radians(a[0]), math.radians(b[0])
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b[1] - a[1]) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * _RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


@dataclass(frozen=True)
class Route:
    """A road.

    Attributes:
        points: (latitude, longitude) in degrees, at least two, in driving order.
        winding: how much longer the real road is than the line through the points, from 1.
    """

    points: tuple[tuple[float, float], ...]
    winding: float = 1.15

    @cached_property
    def _marks(self) -> tuple[float, ...]:
        return tuple(accumulate((distance_m(a, b) for a, b in pairwise(self.points)), initial=0.0))

    @property
    def length_m(self) -> float:
        """Length of the road, metres."""
        return self._marks[-1] * self.winding

    def position(self, share: float) -> tuple[float, float]:
        """Return (latitude, longitude) after `share` (0 to 1) of the way; beyond the ends it stays at them."""
        along = max(0.0, min(1.0, share)) * self._marks[-1]
        piece = min(bisect_right(self._marks, along), len(self._marks) - 1)
        start, end = self._marks[piece - 1], self._marks[piece]
        part = (along - start) / (end - start) if end > start else 0.0
        (lat_a, lon_a), (lat_b, lon_b) = self.points[piece - 1], self.points[piece]
        return lat_a + (lat_b - lat_a) * part, lon_a + (lon_b - lon_a) * part

    def reversed(self) -> Route:
        """Return the way back."""
        return Route(tuple(reversed(self.points)), self.winding)
