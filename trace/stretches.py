"""The committed pieces of a lot's curve joined to stretches, one a stay and thermometer. Pure; `static/view.js` alike.

Pieces overlap where several lots of the page stood side by side, and come again where late readings revised them: of
each piece the newest revision counts, and of each instant of a thermometer one value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CURVE_GAP_MS", "TEMPERATURE_METRIC", "Kept", "Stretch", "kept_cool", "one_decimal", "stretches"]

TEMPERATURE_METRIC: Final = "air_temperature"
"""The metric drawn; others of the place are in the bundle and verified, but not drawn."""

CURVE_GAP_MS: Final = 5 * 60_000
"""Neighbouring readings further apart are not joined; committed curves hold one reading a minute."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one thermometer measured while the lot stood beside it.

    Attributes:
        place: URI of the place.
        channel: `gateway/device/metric`.
        points: (Unix milliseconds, degrees Celsius), ascending, at least one.
    """

    place: str
    channel: str
    points: tuple[tuple[int, float], ...]

    @property
    def from_ms(self) -> int:
        """First instant, Unix milliseconds."""
        return self.points[0][0]

    @property
    def to_ms(self) -> int:
        """Last instant, Unix milliseconds."""
        return self.points[-1][0]

    @property
    def low(self) -> float:
        """Least value, degrees Celsius."""
        return min(value for _, value in self.points)

    @property
    def high(self) -> float:
        """Greatest value, degrees Celsius."""
        return max(value for _, value in self.points)


@dataclass(frozen=True, slots=True)
class Kept:
    """How well the goods were kept once they had been cooled.

    Attributes:
        since_ms: First reading within the range, Unix milliseconds.
        inside: Readings within the range from then on.
        count: All readings from then on, at least one.
    """

    since_ms: int
    inside: int
    count: int

    @property
    def percent(self) -> int:
        """Share of readings within the range, rounded down: 100 only if all were."""
        return self.inside * 100 // self.count


def stretches(pieces: Iterable[Mapping[str, Any]]) -> tuple[Stretch, ...]:
    """Return the stretches, in the order of their beginning.

    Args:
        pieces: Curve documents, as `trace.log.bundle` describes them; other metrics and units are passed over.
    """
    newest: dict[tuple[str, int, str], Mapping[str, Any]] = {}
    for piece in pieces:
        if not piece["channel"].endswith(f"/{TEMPERATURE_METRIC}") or piece["unit"] != "Cel":
            continue
        key = (piece["channel"], piece["from"], piece["custodyFrom"])
        if key not in newest or newest[key]["revision"] < piece["revision"]:
            newest[key] = piece
    stays: dict[tuple[str, str, str], dict[int, float]] = {}
    for (channel, _, custody), piece in sorted(newest.items()):
        stay = stays.setdefault((piece["zone"], channel, custody), {})
        for at, value in piece["points"]:
            if value is not None:
                stay.setdefault(at, value)
    return tuple(sorted(_joined(stays), key=lambda each: (each.from_ms, each.place, each.channel)))


def _joined(stays: Mapping[tuple[str, str, str], Mapping[int, float]]) -> list[Stretch]:
    """Join stays beside the same thermometer that follow one another closely, or overlap."""
    found: list[Stretch] = []
    ordered = sorted((place, channel, min(stay), custody) for (place, channel, custody), stay in stays.items() if stay)
    for place, channel, first, custody in ordered:
        points = dict(stays[(place, channel, custody)])
        last = found[-1] if found else None
        if last and (last.place, last.channel) == (place, channel) and first - last.to_ms <= CURVE_GAP_MS:
            points |= dict(last.points)
            found.pop()
        found.append(Stretch(place, channel, tuple(sorted(points.items()))))
    return found


def kept_cool(measured: Sequence[Stretch], low: float | None, high: float | None) -> Kept | None:
    """Return how the goods were kept within a range; None where no limit is known or it was never reached."""
    if low is None and high is None:
        return None
    least, most = (-math.inf if low is None else low), (math.inf if high is None else high)
    points = sorted(point for stretch in measured for point in stretch.points)
    since = next((at for at, value in points if least <= value <= most), None)
    if since is None:
        return None
    values = [value for at, value in points if at >= since]
    return Kept(since, sum(least <= value <= most for value in values), len(values))


def one_decimal(value: float) -> str:
    """Return a value with one decimal, a half rounded up, with a true minus: the same text as in the browser."""
    tenths = math.floor(value * 10 + 0.5)
    sign = "\u2212" if tenths < 0 else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"
