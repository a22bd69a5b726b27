"""From a question to its answer: choose how fine, read, thin, and say what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality
from hanlu.ingest.history.answers import LatestAnswer, LatestReading, ReadingsAnswer, Series
from hanlu.ingest.history.downsample import Summary, coarsen, holes, thin
from hanlu.ingest.history.plan import (
    CHINA_MS,
    DAY_MS,
    HOUR_MS,
    MOST_READINGS,
    MOST_SUMMARIES,
    Mark,
    Resolution,
    Span,
    finest,
    summaries,
)
from hanlu.ingest.history.read import Channel, Latest, Read, Row

__all__ = ["latest", "picture", "readings"]

_COLUMNS: Final = Summary._fields[1:]


def readings(read: Read, channels: Sequence[Channel], asked: Span, after: Mark | None, limit: int) -> ReadingsAnswer:
    """Return a page of all readings of channels, in order of channel number and time."""
    pages, following = read.page(channels, asked, after, limit)
    series = [_raw(channel, rows) for channel, rows in pages]
    return ReadingsAnswer(
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        resolution=Resolution.RAW,
        next=None if following is None else str(following),
        series=series,
    )


def picture(
    read: Read, channels: Sequence[Channel], asked: Span, resolution: Resolution | None, points: int | None
) -> ReadingsAnswer:
    """Return what a picture needs: at most about `points` readings, hours or days of each channel.

    Args:
        read: over the subtree.
        channels: whose.
        asked: the span.
        resolution: what to show; None shows the finest that can be worked out quickly.
        points: wanted for each channel; None thins nothing.

    Raises:
        UsageError: there is too much to look through in the resolution asked for.
    """
    chosen = resolution or finest(asked, [each.period_s for each in channels])
    if chosen is Resolution.RAW:
        series = _thinned(read, channels, asked, points)
        if series is not None:
            return ReadingsAnswer(from_ms=asked.from_ms, to_ms=asked.to_ms, resolution=chosen, next=None, series=series)
        if resolution is Resolution.RAW:
            raise UsageError(
                f"there are more than {MOST_READINGS:,} readings: shorten the span, take resolution=hour, or leave"
                " `points` out and read them page by page"
            )
        # Devices that send more often than they are configured to.
        chosen = Resolution.HOUR
        if summaries(asked, chosen, len(channels)) > MOST_SUMMARIES:
            chosen = Resolution.DAY
    if summaries(asked, chosen, len(channels)) > MOST_SUMMARIES:
        raise UsageError(
            f"that is more than {MOST_SUMMARIES:,} {chosen.value}s: shorten the span or ask for fewer channels"
        )
    unit_ms, shift_ms = (HOUR_MS, 0) if chosen is Resolution.HOUR else (DAY_MS, CHINA_MS)
    whole = asked.widened(chosen)
    found = []
    for channel in channels:
        rows = read.summaries(channel.channel_id, whole, chosen)
        found.append(_summed(channel, rows if points is None else coarsen(rows, points, unit_ms, shift_ms)))
    return ReadingsAnswer(from_ms=whole.from_ms, to_ms=whole.to_ms, resolution=chosen, next=None, series=found)


def latest(read: Read, channels: Sequence[Channel], now_ms: int, following: int | None) -> LatestAnswer:
    """Return the newest readings of channels, those never heard included."""
    newest = read.latest(channels)
    return LatestAnswer(
        now_ms=now_ms,
        next=following,
        channels=[_newest(each, newest.get(each.channel_id), now_ms) for each in channels],
    )


def _thinned(read: Read, channels: Sequence[Channel], asked: Span, points: int | None) -> list[Series] | None:
    """Return the channels' curves, or None when there is more to look through than one answer may cost."""
    left = MOST_READINGS
    series = []
    for channel in channels:
        rows = read.readings(channel.channel_id, asked, left + 1)
        left -= len(rows)
        if left < 0:
            return None
        # What a sensor itself calls wrong is no extreme of anything.
        known = [row for row in rows if row.quality < Quality.BAD]
        at_ms = [row.observed_ms for row in known]
        kept = thin(at_ms, [row.value for row in known], points or MOST_READINGS, asked.from_ms, asked.to_ms)
        one = _raw(channel, [known[index] for index in kept])
        series.append(
            one.model_copy(update={"holes": holes(at_ms, channel.gap_ms), "left_out_bad": len(rows) - len(known)})
        )
    return series


def _raw(channel: Channel, rows: Sequence[Row]) -> Series:
    return Series.model_construct(
        **_head(channel),
        t=[row.observed_ms for row in rows],
        v=[row.value for row in rows],
        q=[row.quality for row in rows],
    )


def _summed(channel: Channel, rows: Sequence[Summary]) -> Series:
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
    return Series.model_construct(**_head(channel), t=[row.at_ms for row in rows], **columns)


def _head(channel: Channel) -> dict[str, Any]:
    names = ("channel_id", "channel", "metric", "unit", "site", "zone", "gap_ms")
    return {name: getattr(channel, name) for name in names}


def _newest(channel: Channel, found: Latest | None, now_ms: int) -> LatestReading:
    head = _head(channel)
    del head["gap_ms"]
    return LatestReading.model_construct(
        **head,
        observed_ms=None if found is None else found.observed_ms,
        received_ms=None if found is None else found.received_ms,
        value=None if found is None else found.value,
        quality=None if found is None else found.quality,
        age_ms=None if found is None else now_ms - found.observed_ms,
    )
