"""What an excursion amounts to, from nothing but the readings of its channel: pure arithmetic.

Between two readings a value has moved in a straight line, as long as they are no further apart than the channel's gap;
over a longer gap nothing is known: it adds to `unknown_minutes` and to no other figure. So a gap is neither good nor an
excursion.

* Minutes and degree-minutes beyond the limit are areas under straight lines (`judge.segment`).
* The mean is the time-weighted mean of the straight lines.
* The mean kinetic temperature weights by time as well, with the trapezoid of the exponential: each end of a stretch
  between two readings counts with half its length. It is never below the mean that is weighted alike.

A reading of bad quality is no reading here; the caller leaves it out.

Source: J. D. Haynes, J. Pharm. Sci. 60 (1971) 927; USP <1079.2> (activation energy 83.144 kJ/mol).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hanlu.alerts.judge.segment import beyond, value_at

__all__ = [
    "ABSOLUTE_ZERO",
    "ACTIVATION_RATIO",
    "DAY_MS",
    "MONTH_MS",
    "Figures",
    "Reading",
    "Window",
    "account",
    "digest",
    "fingerprint",
    "mean_kinetic",
    "window",
]

ACTIVATION_ENERGY: Final = 83.144
"""kJ/mol, the value USP <1079.2> prescribes."""
GAS_CONSTANT: Final = 8.3144e-3
"""kJ/(mol K)."""
ACTIVATION_RATIO: Final = ACTIVATION_ENERGY / GAS_CONSTANT
"""Activation energy over gas constant, kelvin: 10,000."""
ABSOLUTE_ZERO: Final = -273.15
"""Degrees Celsius; what claims to be colder has no kinetic temperature."""
DAY_MS: Final = 24 * 3_600_000
MONTH_MS: Final = 30 * DAY_MS
"""The two windows of mean kinetic temperature: a day for refrigerated goods, thirty days for the rest."""
_MINUTE_MS: Final = 60_000.0


class Reading(NamedTuple):
    """One value of the channel.

    Attributes:
        at_ms: time of observation, Unix milliseconds.
        value: finite, in the channel's unit.
    """

    at_ms: int
    value: float


class Window(NamedTuple):
    """What is known of a span of time.

    Attributes:
        kinetic: mean kinetic temperature, degrees Celsius; None where nothing is known.
        mean: time-weighted mean, in the channel's unit; None likewise.
        known_minutes: time between readings near enough to one another.
        unknown_minutes: the rest of the span.
    """

    kinetic: float | None
    mean: float | None
    known_minutes: float
    unknown_minutes: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The account of one excursion.

    Attributes:
        from_ms: where the limit was crossed, interpolated; the first reading beyond it after a gap. Unix milliseconds.
        to_ms: where it was crossed back; None while the excursion still goes on.
        known_until_ms: newest reading used.
        minutes: beyond the limit.
        unknown_minutes: of gaps between `from_ms` and the end.
        degree_minutes: beyond the limit, channel unit times minutes.
        peak: worst value.
        peak_ms: when it was observed, the first time.
        mean: over the whole excursion, times back within the limit included; None when nothing but lone readings.
        kinetic: mean kinetic temperature, likewise.
        readings: used.
        digest: SHA-256 of them, hexadecimal; see `digest`.
    """

    from_ms: int
    to_ms: int | None
    known_until_ms: int
    minutes: float
    unknown_minutes: float
    degree_minutes: float
    peak: float
    peak_ms: int
    mean: float | None
    kinetic: float | None
    readings: int
    digest: str


def account(
    readings: Sequence[Reading],
    limit: float,
    *,
    upward: bool,
    gap_ms: float,
    begun_ms: int,
    ended_ms: int | None,
    celsius: bool = True,
) -> Figures | None:
    """Return the account of the excursion that an alarm found.

    Args:
        readings: of the channel, ascending in time, from before the excursion to after it.
        limit: in the channel's unit.
        upward: True when worse is above the limit.
        gap_ms: readings further apart have unknown time between them.
        begun_ms: a reading beyond the limit that belongs to it, the first one the alarm knew of; earlier ones beyond
            the limit that reach up to it without a gap belong to it as well.
        ended_ms: when the alarm's return was confirmed; None while it stands.
        celsius: whether the values are degrees Celsius, so that a mean kinetic temperature has a meaning.

    Returns:
        None when no reading beyond the limit is left in that span.
    """
    found = _extent(readings, limit, upward=upward, gap_ms=gap_ms, begun_ms=begun_ms, ended_ms=ended_ms)
    if found is None:
        return None
    used, start, end = found
    until = end if end is not None else float(used[-1].at_ms)
    minutes = degree_minutes = unknown = 0.0
    for piece in _pieces(used, gap_ms, start, until):
        if piece.known:
            part = beyond(piece.from_ms, piece.from_value, piece.to_ms, piece.to_value, limit, upward=upward)
            minutes += part.minutes
            degree_minutes += part.degree_minutes
        else:
            unknown += (piece.to_ms - piece.from_ms) / _MINUTE_MS
    inside = [each for each in used if start <= each.at_ms <= until]
    worst = max(inside, key=lambda each: (each.value if upward else -each.value, -each.at_ms))
    over = window(used, gap_ms, start, until, celsius=celsius)
    return Figures(
        round(start), None if end is None else round(end), used[-1].at_ms, minutes, unknown, degree_minutes,
        worst.value, worst.at_ms, over.mean, over.kinetic, len(used), digest(used),
    )  # fmt: skip


def fingerprint(
    readings: Sequence[Reading], limit: float, *, upward: bool, gap_ms: float, begun_ms: int, ended_ms: int | None
) -> tuple[int, str] | None:
    """Return how many readings an account is made of, and their digest, without the account; arguments as there."""
    found = _extent(readings, limit, upward=upward, gap_ms=gap_ms, begun_ms=begun_ms, ended_ms=ended_ms)
    return None if found is None else (len(found.used), digest(found.used))


def window(readings: Sequence[Reading], gap_ms: float, from_ms: float, to_ms: float, *, celsius: bool = True) -> Window:
    """Return what is known of the span from `from_ms` to `to_ms`; a straight line that leaves it is cut at its edge.

    Args:
        readings: ascending in time; those outside the span only serve to reach its edges.
        gap_ms: readings further apart have unknown time between them.
        from_ms: Unix milliseconds.
        to_ms: Unix milliseconds.
        celsius: whether a mean kinetic temperature is wanted.
    """
    weighted: list[tuple[float, float]] = []
    for piece in _pieces(readings, gap_ms, from_ms, to_ms):
        if piece.known and not (celsius and min(piece.from_value, piece.to_value) <= ABSOLUTE_ZERO):
            half = (piece.to_ms - piece.from_ms) / 2
            weighted += [(piece.from_value, half), (piece.to_value, half)]
    known = math.fsum(weight for _, weight in weighted)
    unknown = max(0.0, to_ms - from_ms - known) / _MINUTE_MS
    if known <= 0:
        return Window(None, None, 0.0, unknown)
    mean = math.fsum(value * weight for value, weight in weighted) / known
    return Window(mean_kinetic(weighted) if celsius else None, mean, known / _MINUTE_MS, unknown)


def mean_kinetic(weighted: Iterable[tuple[float, float]]) -> float | None:
    """Return the mean kinetic temperature of temperatures with weights, degrees Celsius; their order says nothing.

        T = (dH/R) / -ln( sum(w exp(-dH / (R T_i))) / sum(w) )    in kelvin

    Args:
        weighted: (temperature in degrees Celsius above absolute zero, weight >= 0) each.

    Returns:
        None without any weight.
    """
    terms: list[float] = []
    weights: list[float] = []
    for value, weight in weighted:
        terms.append(weight * math.exp(-ACTIVATION_RATIO / (value - ABSOLUTE_ZERO)))
        weights.append(weight)
    total = math.fsum(weights)
    rate = math.fsum(terms) / total if total > 0 else 0.0
    return ACTIVATION_RATIO / -math.log(rate) + ABSOLUTE_ZERO if rate > 0 else None


def digest(readings: Iterable[Reading]) -> str:
    """Return SHA-256 over the readings in order, one line each: Unix milliseconds, a blank, the shortest decimal form
    that gives the same double, a line feed. Whoever has the readings can make it again."""
    sha = hashlib.sha256()
    for at_ms, value in readings:
        sha.update(f"{at_ms} {float(value)!r}\n".encode())
    return sha.hexdigest()


class _Extent(NamedTuple):
    """The readings an account is made of, and where it begins and ends (None while it stands)."""

    used: Sequence[Reading]
    from_ms: float
    to_ms: float | None


def _extent(
    readings: Sequence[Reading], limit: float, *, upward: bool, gap_ms: float, begun_ms: int, ended_ms: int | None
) -> _Extent | None:
    """Find which readings belong to an excursion; arguments as of `account`."""

    def out(each: Reading) -> bool:
        return each.value > limit if upward else each.value < limit

    first = next((i for i, each in enumerate(readings) if each.at_ms >= begun_ms and out(each)), None)
    if first is None or (ended_ms is not None and readings[first].at_ms > ended_ms):
        return None
    while first and out(readings[first - 1]) and readings[first].at_ms - readings[first - 1].at_ms <= gap_ms:
        first -= 1
    last = next(
        i
        for i in range(len(readings) - 1, first - 1, -1)
        if out(readings[i]) and (ended_ms is None or readings[i].at_ms <= ended_ms)
    )
    left = first - 1 if first and readings[first].at_ms - readings[first - 1].at_ms <= gap_ms else first
    right = last
    if ended_ms is None:
        right = len(readings) - 1
    elif last + 1 < len(readings) and readings[last + 1].at_ms - readings[last].at_ms <= gap_ms:
        right = last + 1
    used = readings[left : right + 1]
    start = float(readings[first].at_ms) if left == first else _crossing(used[0], used[1], limit)
    end: float | None = None
    if ended_ms is not None:
        end = float(used[-1].at_ms)
        if right > last:
            crossed = end if out(used[-1]) else _crossing(used[-2], used[-1], limit)
            end = min(crossed, float(ended_ms))
    return _Extent(used, start, end)


class _Piece(NamedTuple):
    """A stretch between two neighbouring readings, cut to a span; `known` unless it is a gap."""

    from_ms: float
    from_value: float
    to_ms: float
    to_value: float
    known: bool


def _pieces(readings: Sequence[Reading], gap_ms: float, from_ms: float, to_ms: float) -> Iterator[_Piece]:
    for index in range(1, len(readings)):
        (left, before), (right, after) = readings[index - 1], readings[index]
        start, end = max(left, from_ms), min(right, to_ms)
        if end > start:
            yield _Piece(
                start, before if start == left else value_at(start, left, before, right, after),
                end, after if end == right else value_at(end, left, before, right, after),
                right - left <= gap_ms,
            )  # fmt: skip


def _crossing(before: Reading, after: Reading, limit: float) -> float:
    """Return where the line between two readings on either side of the limit crosses it."""
    share = (limit - before.value) / (after.value - before.value)
    return before.at_ms + share * (after.at_ms - before.at_ms)
