"""What may be deleted: rules, legal holds and the spans that follow from them. Pure; `prune.py` does what it says.

A channel is kept by the rules that name its site, the kind of its site or its metric, the longest of them; one that no
such rule names by the rule for all. Whole days of China time are kept or deleted. A hold is stronger than any rule.

Source: GB 31605-2020 (cold-chain records: shelf life and six months, two years where there is none); 食品安全法实施条例
Art. 24-25 (entrusted storage: two years after its end); 网络安全法 Art. 21 (logs: six months).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hanlu.ingest.history.plan import CHINA_MS, DAY_MS, Resolution, Span

__all__ = ["Cut", "Rule", "Subject", "arrival_days", "cuts", "droppable", "free_of", "on_boundary"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How long something is kept.

    Attributes:
        kind: all, site, site_kind or metric.
        code: of the site, the kind or the metric; empty for all.
        raw_days: days readings are kept, None for ever.
        hour_days: days hours are kept, no less than readings.
        day_days: days days are kept, no less than hours.
        arrival_days: days arrivals are kept, in the rule for all; None for ever.
    """

    kind: str
    code: str
    raw_days: int | None
    hour_days: int | None
    day_days: int | None
    arrival_days: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A channel and what rules can name of it."""

    channel_id: int
    site: str
    site_kind: str
    metric: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Until when a channel's readings, hours and days have served their time: Unix milliseconds, None for never."""

    raw_ms: int | None
    hour_ms: int | None
    day_ms: int | None

    def at(self, resolution: Resolution) -> int | None:
        """Return the cut of readings, hours or days."""
        return {Resolution.RAW: self.raw_ms, Resolution.HOUR: self.hour_ms, Resolution.DAY: self.day_ms}[resolution]


def cuts(subjects: Iterable[Subject], rules: Sequence[Rule], now_ms: int) -> dict[int, Cut]:
    """Return the cut of every channel by its number.

    Args:
        subjects: the channels.
        rules: in force; without one for all, channels no other names are kept for ever.
        now_ms: the time from which days are counted back.
    """
    named = {(rule.kind, rule.code): rule for rule in rules}
    found: dict[int, Cut] = {}
    for subject in subjects:
        keys = (("site", subject.site), ("site_kind", subject.site_kind), ("metric", subject.metric))
        own = [named[key] for key in keys if key in named] or [named[key] for key in (("all", ""),) if key in named]
        found[subject.channel_id] = Cut(
            _cut([rule.raw_days for rule in own], now_ms),
            _cut([rule.hour_days for rule in own], now_ms),
            _cut([rule.day_days for rule in own], now_ms),
        )
    return found


def arrival_days(rules: Iterable[Rule]) -> int | None:
    """Return for how many days arrivals are kept, None for ever; only the rule for all speaks of them."""
    return next((rule.arrival_days for rule in rules if rule.kind == "all"), None)


def free_of(end_ms: int | None, held: Iterable[Span]) -> list[Span]:
    """Return what of the time before `end_ms` no hold covers, rising; a hold covers the whole days it touches.

    Args:
        end_ms: a channel's cut; None leaves nothing.
        held: spans, in any order, may overlap.
    """
    if end_ms is None:
        return []
    free: list[Span] = []
    begin = 0
    for one in sorted((each.widened(Resolution.DAY) for each in held), key=lambda each: each.from_ms):
        if one.from_ms >= end_ms:
            break
        if one.from_ms > begin:
            free.append(Span(begin, one.from_ms))
        begin = max(begin, one.to_ms)
    if begin < end_ms:
        free.append(Span(begin, end_ms))
    return free


def on_boundary(end_ms: int | None, chunks: Sequence[Span]) -> int | None:
    """Return the latest end of a chunk not after `end_ms`: what lies beyond goes later, with its whole chunk.

    Args:
        end_ms: a channel's cut, None for none.
        chunks: of the table, rising; without any (plain PostgreSQL) the cut stays where it is.
    """
    if end_ms is None or not chunks:
        return end_ms
    place = bisect_right([each.to_ms for each in chunks], end_ms)
    return chunks[place - 1].to_ms if place else None


def droppable(chunks: Iterable[Span], free: Mapping[int, Sequence[Span]]) -> list[Span]:
    """Return the chunks in which nothing of any channel must stay.

    Args:
        chunks: of the table.
        free: by channel, what may be deleted of it; of every channel there is.
    """
    spans = set(map(tuple, free.values()))
    return [
        chunk
        for chunk in chunks
        if spans
        and all(any(one.from_ms <= chunk.from_ms and chunk.to_ms <= one.to_ms for one in each) for each in spans)
    ]


def _cut(days: Sequence[int | None], now_ms: int) -> int | None:
    if not days or None in days:
        return None
    longest = max(each for each in days if each is not None)
    return (now_ms - longest * DAY_MS + CHINA_MS) // DAY_MS * DAY_MS - CHINA_MS
