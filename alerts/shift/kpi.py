"""Alarm load as ISA-18.2 and EEMUA 191 measure it: from the instants at which alarms called to figures. Pure.

What is counted is a call: an alarm that asked for a person for the first time (`alarm.called_at`). An alarm that was
held by design, shelved or out of service from its beginning to its end called nobody and is no load. All rates are per
operator: what two people share is divided by two before it is compared with a target.

Floods. Let n(t) be the calls in the ten minutes that end at t, t included and t minus ten minutes not. A flood begins
when n(t) for one operator exceeds ten, and ends when it falls below five: between the two a flood goes on, so that one
that ebbs and swells is one. n changes only when a call comes and when one becomes ten minutes old, so these instants
are all that is looked at.

Source: EEMUA 191 (rates, floods), ANSI/ISA-18.2-2016 16.5 (metrics: floods, stale, chattering and fleeting alarms,
priority distribution, most frequent), IEC 62682:2022 16.5.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "FLOOD_WINDOW_MS",
    "HOUR_MS",
    "LEAD_MS",
    "MINUTE_MS",
    "STALE_MS",
    "Call",
    "Flood",
    "Load",
    "Peak",
    "Period",
    "chattering",
    "fleeting",
    "floods",
    "load",
    "percentile",
    "steps",
]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
FLOOD_WINDOW_MS: Final = 10 * MINUTE_MS
FLOOD_BEGINS: Final = 10
"""More calls than this in the window, for one operator, begin a flood (EEMUA 191)."""
FLOOD_ENDS: Final = 5
"""Fewer than this end it (EEMUA 191)."""
CHATTERS: Final = 3
"""So many calls of one point within a minute are chattering (ISA-18.2)."""
FLEETING_MS: Final = MINUTE_MS
"""An alarm that returns by itself within this time left nobody time to do anything."""
STALE_MS: Final = 24 * HOUR_MS
"""An alarm that stands longer is stale (ISA-18.2)."""
LEAD_MS: Final = 6 * HOUR_MS
"""Calls so long before a period are read too: a flood may have begun before it."""
TOP: Final = 10
"""Most frequent points shown."""


class Period(NamedTuple):
    """From `from_ms` (included) to `to_ms` (not), Unix milliseconds UTC."""

    from_ms: int
    to_ms: int


class Call(NamedTuple):
    """One alarm that called.

    Attributes:
        alarm_id: its key.
        called_ms: when it first asked for a person, Unix milliseconds UTC, as are the others.
        priority: 1 (high) to 3.
        point: what alarms: a channel or goods at a place, and the kind.
        raised_ms: when its condition had held long enough, by the plant's time.
        returned_ms: when its condition was gone, by the plant's time; None while it holds.
        acknowledged_ms: when a person acknowledged it; None when nobody did.
        respond_ms: until when a person should have; None without a time to respond.
    """

    alarm_id: int
    called_ms: int
    priority: int
    point: str
    raised_ms: int
    returned_ms: int | None = None
    acknowledged_ms: int | None = None
    respond_ms: int | None = None


class Flood(NamedTuple):
    """A flood: from the call that made it one until the rate had fallen; `to_ms` is None while it goes on."""

    from_ms: int
    to_ms: int | None


class Peak(NamedTuple):
    """Most calls in any window of one length, and when that window ended first; None when there was no call."""

    calls: int
    at_ms: int | None


def steps(called_ms: Sequence[int], window_ms: int) -> Iterator[tuple[int, int]]:
    """Yield (t, n(t)) at every instant at which n may change, ascending; each instant once.

    Args:
        called_ms: ascending.
        window_ms: length of the window that ends at t.
    """
    within: deque[int] = deque()
    calls = deque(called_ms)
    while calls or within:
        leaves = within[0] + window_ms if within else None
        at_ms = calls[0] if calls and (leaves is None or calls[0] < leaves) else leaves
        assert at_ms is not None, "one of the two is not empty"
        while within and within[0] + window_ms <= at_ms:
            within.popleft()
        while calls and calls[0] <= at_ms:
            within.append(calls.popleft())
        yield at_ms, len(within)


def floods(
    called_ms: Sequence[int],
    operators: int = 1,
    *,
    window_ms: int = FLOOD_WINDOW_MS,
    begins: int = FLOOD_BEGINS,
    ends: int = FLOOD_ENDS,
) -> list[Flood]:
    """Return the floods, ascending.

    Args:
        called_ms: when alarms called, ascending; also later than one asks for, or the last flood looks as if it ended.
        operators: people who share them, at least one.
        window_ms: length of the window.
        begins: more calls than this for one operator begin a flood.
        ends: fewer end it, at most `begins`.
    """
    found: list[Flood] = []
    since: int | None = None
    for at_ms, calls in steps(called_ms, window_ms):
        if since is None and calls > begins * operators:
            since = at_ms
        elif since is not None and calls < ends * operators:
            found.append(Flood(since, at_ms))
            since = None
    return found


def _peak(called_ms: Sequence[int], window_ms: int, period: Period) -> Peak:
    best = Peak(0, None)
    for at_ms, calls in steps(called_ms, window_ms):
        if period.from_ms <= at_ms < period.to_ms and calls > best.calls:
            best = Peak(calls, at_ms)
    return best


def chattering(calls: Iterable[Call], *, window_ms: int = MINUTE_MS, least: int = CHATTERS) -> dict[str, int]:
    """Return the points that called `least` times or more within a window, with the most calls in any.

    Args:
        calls: ascending in time.
        window_ms: length of the window; its beginning does not count, its end does.
        least: calls that make it chattering.
    """
    recent: dict[str, deque[int]] = {}
    worst: dict[str, int] = {}
    for call in calls:
        times = recent.setdefault(call.point, deque())
        while times and times[0] <= call.called_ms - window_ms:
            times.popleft()
        times.append(call.called_ms)
        if len(times) >= least:
            worst[call.point] = max(worst.get(call.point, 0), len(times))
    return worst


def fleeting(calls: Iterable[Call]) -> list[Call]:
    """Return the calls whose condition was gone again within a minute of being raised."""
    return [
        call for call in calls if call.returned_ms is not None and 0 <= call.returned_ms - call.raised_ms < FLEETING_MS
    ]


def percentile(values: Sequence[int], part: float) -> int | None:
    """Return a percentile by nearest rank; None of nothing.

    Args:
        values: in any order.
        part: over 0, up to 1.
    """
    ordered = sorted(values)
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else None


@dataclass(frozen=True, slots=True)
class Load:
    """The alarm load of a period.

    Attributes:
        period: what has passed of it.
        operators: people who shared it.
        calls: ascending in time.
        floods: those that touch the period, as they were; the last may go on beyond it.
        peak_minute: most calls in any minute that ends in the period; for all operators together, as are the next two.
        peak_ten: in any ten minutes.
        peak_hour: in any hour.
        chattering: points that chattered, with their most calls in a minute.
        fleeting: calls that were gone within a minute.
        top: most frequent points with their calls, at most ten.
    """

    period: Period
    operators: int
    calls: tuple[Call, ...]
    floods: tuple[Flood, ...]
    peak_minute: Peak
    peak_ten: Peak
    peak_hour: Peak
    chattering: Mapping[str, int]
    fleeting: tuple[Call, ...]
    top: tuple[tuple[str, int], ...]

    def rate(self, of_ms: int) -> float:
        """Return the average calls for one operator in `of_ms` milliseconds."""
        length_ms = self.period.to_ms - self.period.from_ms
        return len(self.calls) * of_ms / length_ms / self.operators if length_ms > 0 else 0.0

    @property
    def flood_share(self) -> float:
        """Part of the period that was flood, 0 to 1."""
        length_ms = self.period.to_ms - self.period.from_ms
        return sum(
            min(end, self.period.to_ms) - max(begin, self.period.from_ms) for begin, end in self._flood_spans()
        ) / (length_ms or 1)

    @property
    def in_floods(self) -> tuple[Call, ...]:
        """Calls of floods, with those of the ten minutes that made each one."""
        begins, ends = zip(*self._flood_spans(), strict=True) if self.floods else ((), ())
        found = []
        for call in self.calls:
            # Floods lie in order and apart, but the ten minutes before one may reach into the one before it.
            number = bisect_right(begins, call.called_ms + FLOOD_WINDOW_MS - 1)
            if any(call.called_ms <= ends[each] for each in (number - 1, number - 2) if each >= 0):
                found.append(call)
        return tuple(found)

    @property
    def top_share(self) -> float | None:
        """Part of all calls that the most frequent points made, 0 to 1; None without a call."""
        return sum(calls for _, calls in self.top) / len(self.calls) if self.calls else None

    def priority_share(self, priority: int) -> float | None:
        """Return the part of the calls that had a priority, 0 to 1; None without a call."""
        return sum(call.priority == priority for call in self.calls) / len(self.calls) if self.calls else None

    def acknowledged_after(self, part: float) -> int | None:
        """Return a percentile of the milliseconds from call to acknowledgement; None when nobody acknowledged."""
        return percentile(
            [max(0, call.acknowledged_ms - call.called_ms) for call in self.calls if call.acknowledged_ms is not None],
            part,
        )

    def late(self, now_ms: int) -> tuple[Call, ...]:
        """Return the calls acknowledged after their time to respond, or not yet though it has passed.

        One that returned before anybody was late needed no answer in time.
        """
        return tuple(
            call
            for call in self.calls
            if call.respond_ms is not None
            and (call.acknowledged_ms if call.acknowledged_ms is not None else now_ms) > call.respond_ms
            and (call.returned_ms is None or call.returned_ms > call.respond_ms)
        )

    def buckets(self, bucket_ms: int) -> list[int]:
        """Return the calls of each `bucket_ms` from the beginning of the period; the last one may be shorter."""
        length_ms = self.period.to_ms - self.period.from_ms
        counts = Counter((call.called_ms - self.period.from_ms) // bucket_ms for call in self.calls)
        return [counts[number] for number in range(-(-length_ms // bucket_ms))]

    def _flood_spans(self) -> Iterator[tuple[int, int]]:
        for flood in self.floods:
            yield flood.from_ms, self.period.to_ms if flood.to_ms is None else flood.to_ms


def load(calls: Iterable[Call], period: Period, operators: int = 1) -> Load:
    """Return the load of a period.

    Args:
        calls: ascending in time, from `LEAD_MS` before the period; later ones are not looked at.
        period: over at least a moment; ends at the latest now.
        operators: people who shared it, at least one.
    """
    known = [call for call in calls if call.called_ms < period.to_ms]
    called_ms = [call.called_ms for call in known]
    own = tuple(call for call in known if call.called_ms >= period.from_ms)
    seen: list[Flood] = []
    for flood in floods(called_ms, operators):
        if flood.from_ms < period.to_ms and (flood.to_ms is None or flood.to_ms > period.from_ms):
            goes_on = flood.to_ms is not None and flood.to_ms > period.to_ms
            seen.append(Flood(flood.from_ms, None) if goes_on else flood)
    return Load(
        period, operators, own, tuple(seen),
        _peak(called_ms, MINUTE_MS, period), _peak(called_ms, FLOOD_WINDOW_MS, period),
        _peak(called_ms, HOUR_MS, period),
        chattering(own), tuple(fleeting(own)),
        tuple(sorted(Counter(call.point for call in own).items(), key=lambda each: (-each[1], each[0]))[:TOP]),
    )  # fmt: skip
