"""What a question about the past means: its span, how fine an answer it can have, and where its next page begins.

Pure: nothing here asks the database. A question that cannot be answered is a UsageError whose text says what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from hanlu.core.clock import to_ms
from hanlu.core.errors import UsageError

__all__ = [
    "MOST_READINGS",
    "MOST_SUMMARIES",
    "Mark",
    "Resolution",
    "Span",
    "channel_name",
    "finest",
    "mark",
    "moment",
    "span",
    "summaries",
]

MOST_READINGS: Final = 50_000
"""Readings looked through for one answer at most, all its channels together: some 100 ms of work."""

MOST_SUMMARIES: Final = 50_000
"""Hours or days looked through for one answer at most: 2,000 days by the hour, 136 years by the day."""

DEFAULT_SPAN_MS: Final = 24 * 3_600_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
CHINA_MS: Final = 8 * HOUR_MS
"""How far China's clocks are ahead of UTC; one zone, no summer time since 1991."""

_LATEST_MS: Final = 253_370_764_800_000  # 9999-01-01
_MOST_CHANNEL_ID: Final = 2**31 - 1
_MOST_NAME: Final = 200


class Resolution(StrEnum):
    """How fine an answer is."""

    RAW = "raw"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant up to and without another, Unix milliseconds UTC."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        """Milliseconds."""
        return self.to_ms - self.from_ms

    def widened(self, resolution: Resolution) -> Span:
        """Return the span with both ends moved outward to whole hours, or to whole days of China time."""
        if resolution is Resolution.RAW:
            return self
        unit, shift = (HOUR_MS, 0) if resolution is Resolution.HOUR else (DAY_MS, CHINA_MS)
        return Span(
            (self.from_ms + shift) // unit * unit - shift,
            -(-(self.to_ms + shift) // unit) * unit - shift,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """Behind which reading the next page begins; readings are in order of channel, then of time."""

    channel_id: int
    observed_ms: int

    def __str__(self) -> str:
        """Return the mark as it stands in an address."""
        return f"{self.channel_id}.{self.observed_ms}"


def moment(text: str) -> int:
    """Return the instant a text names, Unix milliseconds.

    Args:
        text: ISO 8601 with its offset (`2026-03-01T08:00+08:00`, `...Z`), or Unix milliseconds.

    Raises:
        UsageError: it names none, or one outside 1970 to 9998.
    """
    # A plus sign in an address that nobody encoded arrives as a space.
    text = text.strip().replace(" ", "+") if "T" in text else text.strip()
    try:
        ms = int(text) if text.isascii() and text.isdigit() else to_ms(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} is no instant: give ISO 8601 with its offset, like 2026-03-01T08:00:00+08:00, or Unix"
            " milliseconds"
        ) from None
    if not 0 <= ms < _LATEST_MS:
        raise UsageError(f"{text[:40]!r} lies outside the years 1970 to 9998")
    return ms


def span(from_text: str | None, to_text: str | None, now_ms: int) -> Span:
    """Return the span between two instants; without an end it ends now, without a beginning it is a day long.

    Raises:
        UsageError: one is no instant, or the end does not come after the beginning.
    """
    to = moment(to_text) if to_text is not None else now_ms
    begin = moment(from_text) if from_text is not None else to - DEFAULT_SPAN_MS
    if begin >= to:
        raise UsageError("the span is empty: `to` must come after `from`")
    return Span(max(begin, 0), to)


def mark(text: str) -> Mark:
    """Return the mark of a page, as the page before gave it.

    Raises:
        UsageError: it is none.
    """
    head, _, tail = text.partition(".")
    if not (_is_number(head) and _is_number(tail)):
        raise UsageError("`after` is not what a page gave as `next`")
    return Mark(int(head), int(tail))


def channel_name(text: str) -> int | tuple[str, str, str]:
    """Return what a channel is called by: its number, or its gateway, device and metric.

    Raises:
        UsageError: it is neither.
    """
    if _is_number(text) and int(text) <= _MOST_CHANNEL_ID:
        return int(text)
    parts = text.split("/", 2)
    if len(parts) != 3 or not text.isprintable() or len(text) > _MOST_NAME or not all(parts):
        raise UsageError(f"{text[:40]!r} is no channel: give its number or gateway/device/metric")
    return parts[0], parts[1], parts[2]


def finest(asked: Span, periods_s: Sequence[float]) -> Resolution:
    """Return the finest resolution in which an answer about these channels can be worked out quickly.

    Args:
        asked: the span.
        periods_s: of the channels, seconds between readings as configured.
    """
    if asked.length_ms * sum(1 / period for period in periods_s) / 1000 <= MOST_READINGS:
        return Resolution.RAW
    if summaries(asked, Resolution.HOUR, len(periods_s)) <= MOST_SUMMARIES:
        return Resolution.HOUR
    return Resolution.DAY


def summaries(asked: Span, resolution: Resolution, channels: int) -> int:
    """Return how many hours or days there can be in a span, all channels together."""
    unit = HOUR_MS if resolution is Resolution.HOUR else DAY_MS
    return -(-asked.length_ms // unit) * channels


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
