"""A stretch of readings as a curve: segments, named gaps, figures, fewer points for a picture. Pure.

A line is drawn between two readings only when they are near enough: nearer than what would be a no-data alarm.
Whatever is longer is a gap with a beginning and an end, also before the first reading and after the last. Figures are
those of the line as drawn: between two readings the value is taken to run straight, and nothing is said about gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = [
    "Curve",
    "Figures",
    "Gap",
    "Limits",
    "Point",
    "build_curve",
    "thinned",
]

Point = tuple[int, float]
"""(instant, value): Unix milliseconds UTC, and the channel's unit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the value should stay within, inclusive; None is open.

    Attributes:
        low: Lower limit, in the channel's unit.
        high: Upper limit.
        source: Code of the limit profile, or "".
    """

    low: float | None = None
    high: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of which nothing is known.

    Attributes:
        from_ms: Last instant something is known, Unix milliseconds UTC.
        to_ms: Next instant something is known.
    """

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a curve says in numbers.

    Attributes:
        count: Readings.
        minimum: Lowest reading.
        maximum: Highest reading.
        mean: Mean over the time covered; of the readings where no time is covered.
        covered_ms: Time between readings that no gap interrupts, milliseconds.
        outside_ms: Time of it beyond a limit, milliseconds.
        gap_ms: Time without knowledge, milliseconds.
    """

    count: int
    minimum: float
    maximum: float
    mean: float
    covered_ms: int
    outside_ms: int
    gap_ms: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Readings of one channel over one stretch.

    Attributes:
        segments: Runs of readings without a gap, each at least one point, in order of time.
        gaps: What lies between, before and after.
        figures: None when there is no reading.
    """

    segments: tuple[tuple[Point, ...], ...]
    gaps: tuple[Gap, ...]
    figures: Figures | None


def build_curve(points: Sequence[Point], from_ms: int, to_ms: int, gap_s: float, limits: Limits) -> Curve:
    """Return the curve of `points`.

    Args:
        points: In strictly rising order of time, within the stretch.
        from_ms: Begin of the stretch.
        to_ms: End of the stretch; now, where it goes on.
        gap_s: Two readings further apart have a gap between them, seconds: what would be a no-data alarm.
        limits: What counts as outside.
    """
    longest = gap_s * 1000
    segments: list[list[Point]] = []
    gaps: list[Gap] = []
    before = from_ms
    for point in points:
        far = point[0] - before > longest
        if far:
            gaps.append(Gap(before, point[0]))
        if far or not segments:
            segments.append([])
        segments[-1].append(point)
        before = point[0]
    if to_ms - before > longest:
        gaps.append(Gap(before, to_ms))
    return Curve(tuple(tuple(each) for each in segments), tuple(gaps), _figures(segments, gaps, limits))


def _figures(segments: Sequence[Sequence[Point]], gaps: Sequence[Gap], limits: Limits) -> Figures | None:
    values = [value for segment in segments for _, value in segment]
    if not values:
        return None
    covered = 0
    area = outside = 0.0
    for segment in segments:
        for (start, first), (end, last) in pairwise(segment):
            covered += end - start
            area += (first + last) / 2 * (end - start)
            outside += (end - start) * _share_outside(first, last, limits)
    return Figures(
        count=len(values),
        minimum=min(values),
        maximum=max(values),
        mean=area / covered if covered else sum(values) / len(values),
        covered_ms=covered,
        outside_ms=round(outside),
        gap_ms=sum(gap.to_ms - gap.from_ms for gap in gaps),
    )


def _share_outside(first: float, last: float, limits: Limits) -> float:
    """Return which part of a straight line from `first` to `last` lies beyond a limit, 0 to 1."""
    low, high = min(first, last), max(first, last)
    if low == high:
        beyond = (limits.low is not None and low < limits.low) or (limits.high is not None and high > limits.high)
        return 1.0 if beyond else 0.0
    inside_from = low if limits.low is None else min(max(low, limits.low), high)
    inside_to = high if limits.high is None else max(min(high, limits.high), low)
    return 1.0 - max(inside_to - inside_from, 0.0) / (high - low)


def thinned(segments: Sequence[Sequence[Point]], most: int) -> tuple[tuple[Point, ...], ...]:
    """Return the segments with about `most` points in all, keeping every extreme that a picture could show.

    Time is cut into slices; each keeps its lowest and its highest reading, and each segment its ends.

    Args:
        segments: Runs of points.
        most: Points wanted, at least 4; segments of one or two points come on top.
    """
    total = sum(len(segment) for segment in segments)
    if total <= most:
        return tuple(tuple(segment) for segment in segments)
    return tuple(_thin(segment, max(4, most * len(segment) // total)) for segment in segments)


def _thin(segment: Sequence[Point], most: int) -> tuple[Point, ...]:
    if len(segment) <= most:
        return tuple(segment)
    slices = max(1, (most - 2) // 2)
    start, length = segment[0][0], segment[-1][0] - segment[0][0] + 1
    kept: dict[int, tuple[Point, Point]] = {}
    for point in segment[1:-1]:
        number = (point[0] - start) * slices // length
        low, high = kept.get(number, (point, point))
        kept[number] = (min(low, point, key=_value), max(high, point, key=_value))
    inner = [each for pair in kept.values() for each in sorted(set(pair))]
    return (segment[0], *inner, segment[-1])


def _value(point: Point) -> float:
    return point[1]
