"""Fewer points for a picture, none of them invented and none of the extremes left out.

Readings are thinned by M4: of every bucket the first, the least, the greatest and the last reading stay. A line drawn
through these looks the same as through all of them where a bucket is a pixel wide, and no excursion disappears, however
short. (Averages hide it; LTTB, which keeps what makes the largest triangles, may drop it.) Hours and days are put
together into longer stretches whose least and greatest are those of all their readings.

Where readings are missing, neighbours of the thinned line may be near and yet have a hole between them: holes are found
before thinning and told separately.

Source: U. Jugel, Z. Jerzak, G. Hackenbroich, V. Markl: M4, a visualization-oriented time series data aggregation,
PVLDB 7(10), 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

__all__ = ["KEPT_A_BUCKET", "Summary", "coarsen", "holes", "thin"]

KEPT_A_BUCKET: Final = 4
"""Readings kept of a bucket at most."""


class Summary(NamedTuple):
    """An hour, a day, or several of them; the columns of telemetry.hourly, with times as Unix milliseconds.

    Attributes:
        at_ms: beginning.
        readings: good and uncertain readings.
        uncertain: the uncertain ones of them.
        bad: bad readings; they count for nothing else.
        covered_s: seconds of which the value is known.
        least: of the readings, None without one.
        greatest: of the readings.
        mean: of the readings, each counting the same.
        weighted: of the time covered, each second counting the same; None without cover.
        first_ms: when the first reading was, None without one.
        first: its value.
        last_ms: when the last one was.
        last: its value.
    """

    at_ms: int
    readings: int
    uncertain: int
    bad: int
    covered_s: float
    least: float | None
    greatest: float | None
    mean: float | None
    weighted: float | None
    first_ms: int | None
    first: float | None
    last_ms: int | None
    last: float | None


def thin(at_ms: Sequence[int], values: Sequence[float], most: int, from_ms: int, to_ms: int) -> list[int]:
    """Return which readings to keep, as rising indices, at most `most` (or four, if that is more).

    Args:
        at_ms: rising.
        values: parallel, finite.
        most: points wanted, 1 or more.
        from_ms: beginning of the picture; no reading lies before it.
        to_ms: its end; all readings lie before it.
    """
    if len(at_ms) <= most:
        return list(range(len(at_ms)))
    buckets = max(most // KEPT_A_BUCKET, 1)
    width = (to_ms - from_ms) / buckets
    kept: list[int] = []
    start, bucket = 0, int((at_ms[0] - from_ms) / width)
    for index in range(1, len(at_ms) + 1):
        here = int((at_ms[index] - from_ms) / width) if index < len(at_ms) else -1
        if here == bucket:
            continue
        inside = values[start:index]
        low, high = inside.index(min(inside)), inside.index(max(inside))
        kept += sorted({start, start + low, start + high, index - 1})
        start, bucket = index, here
    return kept


def holes(at_ms: Sequence[int], gap_ms: float) -> list[tuple[int, int]]:
    """Return the holes in a series: the last reading before and the first after, where they are too far apart.

    Args:
        at_ms: rising.
        gap_ms: neighbours further apart have unknown values between them.
    """
    return [(before, after) for before, after in pairwise(at_ms) if after - before > gap_ms]


def coarsen(summaries: Sequence[Summary], most: int, unit_ms: int, shift_ms: int = 0) -> list[Summary]:
    """Put neighbouring hours or days together so that at most about `most` are left.

    Each new stretch is the same whole number of units long and begins at a multiple of its length, so that a picture
    that moves on does not flicker.

    Args:
        summaries: of one channel, rising.
        most: wanted, 1 or more.
        unit_ms: length of one.
        shift_ms: added to a time to count units from (China's offset, for days).
    """
    if len(summaries) <= most:
        return list(summaries)
    units = (summaries[-1].at_ms - summaries[0].at_ms) // unit_ms + 1
    length = -(-units // most) * unit_ms

    def stretch(one: Summary) -> int:
        return (one.at_ms + shift_ms) // length * length - shift_ms

    return [_joined(at_ms, list(group)) for at_ms, group in groupby(summaries, key=stretch)]


def _joined(at_ms: int, parts: Sequence[Summary]) -> Summary:
    measured = [each for each in parts if each.readings]
    readings = sum(each.readings for each in parts)
    covered_s = sum(each.covered_s for each in parts)
    area = sum(each.weighted * each.covered_s for each in parts if each.weighted is not None)
    head, tail = (measured[0], measured[-1]) if measured else (parts[0], parts[0])
    return Summary(
        at_ms,
        readings,
        sum(each.uncertain for each in parts),
        sum(each.bad for each in parts),
        covered_s,
        min((each.least for each in parts if each.least is not None), default=None),
        max((each.greatest for each in parts if each.greatest is not None), default=None),
        sum(each.mean * each.readings for each in measured if each.mean is not None) / readings if readings else None,
        area / covered_s if covered_s else None,
        head.first_ms,
        head.first,
        tail.last_ms,
        tail.last,
    )
