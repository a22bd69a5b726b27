"""The straight line between two readings, as far as it lies beyond a limit.

Between two neighbouring readings a value is taken to have moved in a straight line; where the line crosses the limit
the crossing is interpolated. What is added up from such segments (minutes and degree-minutes of an excursion, the dose
of a sliding window) agrees with itself wherever it is cut, because a part of a straight line is the same straight line.

Whether two readings are near enough to one another to be joined at all is the caller's question: over a gap nothing is
known, and nothing is added.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["NOTHING", "Beyond", "beyond", "value_at"]

_MINUTE_MS: Final = 60_000.0


class Beyond(NamedTuple):
    """The part of a segment beyond a limit.

    Attributes:
        minutes: how long, >= 0.
        degree_minutes: how far times how long, >= 0, in the channel's unit times minutes.
        from_ms: where that part begins, Unix milliseconds, interpolated; meaningless while `minutes` is 0.
        to_ms: where it ends.
    """

    minutes: float
    degree_minutes: float
    from_ms: float
    to_ms: float


NOTHING: Final = Beyond(0.0, 0.0, 0.0, 0.0)
"""A segment that keeps to the limit, or touches it at most."""


def beyond(from_ms: float, from_value: float, to_ms: float, to_value: float, limit: float, *, upward: bool) -> Beyond:
    """Return how long and how far the line between two readings is beyond a limit: the area under it, a trapezoid.

    Args:
        from_ms: time of the earlier reading, Unix milliseconds.
        from_value: what it said, finite, in the channel's unit.
        to_ms: time of the later one, >= `from_ms`.
        to_value: what it said.
        limit: in the channel's unit; a value on the limit keeps to it.
        upward: True when worse is above the limit, False when it is below.
    """
    before, after = (from_value - limit, to_value - limit) if upward else (limit - from_value, limit - to_value)
    if before <= 0 and after <= 0:  # nearly every segment ends here
        return NOTHING
    span_ms = to_ms - from_ms
    if before >= 0 and after >= 0:
        minutes = span_ms / _MINUTE_MS
        return Beyond(minutes, (before + after) / 2 * minutes, from_ms, to_ms)
    worst = max(before, after)
    part_ms = span_ms * (worst / (worst - min(before, after)))
    minutes = part_ms / _MINUTE_MS
    area = worst / 2 * minutes
    if before > 0:
        return Beyond(minutes, area, from_ms, from_ms + part_ms)
    return Beyond(minutes, area, to_ms - part_ms, to_ms)


def value_at(at_ms: float, from_ms: float, from_value: float, to_ms: float, to_value: float) -> float:
    """Return the value of the line between two readings at `at_ms`, which lies between them; to cut a segment there."""
    if to_ms <= from_ms:
        return from_value
    return from_value + (to_value - from_value) * ((at_ms - from_ms) / (to_ms - from_ms))
