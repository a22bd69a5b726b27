"""Reads readings, hours, days and newest values for one person's subtree; rows become the values of this room.

Acts as `hanlu_reader`, which can write nothing. No transaction stays open between two statements: whoever reads a long
export slowly holds nothing up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from psycopg.rows import class_row

from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.ingest.history.downsample import Summary
from hanlu.ingest.history.plan import Mark, Resolution, Span, channel_name

__all__ = ["Channel", "Latest", "Read", "Row"]

_QUERIES = load_queries("hanlu.ingest.history")
_PAGE: Final = 10_000
"""Readings fetched by one statement of an export; some 2 MB in this process."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel with where it stands.

    Attributes:
        channel_id: its number.
        channel: gateway/device/metric.
        metric: what it measures.
        unit: SenML unit of its values.
        period_s: seconds between readings as configured.
        gateway: code.
        device: code.
        site: code of the site.
        site_zh: its Chinese name.
        site_en: its English name.
        zone: code of the zone, None outside of zones.
        zone_zh: its Chinese name.
        zone_en: its English name.
        gap_ms: two readings further apart have unknown values between them, milliseconds.
    """

    channel_id: int
    channel: str
    metric: str
    unit: str
    period_s: float
    gateway: str
    device: str
    site: str
    site_zh: str
    site_en: str
    zone: str | None
    zone_zh: str | None
    zone_en: str | None
    gap_ms: int


class Row(NamedTuple):
    """A reading: observation time in Unix milliseconds, value in the channel's unit, quality (0 good, 1 uncertain,
    2 bad)."""

    observed_ms: int
    value: float
    quality: int


class Latest(NamedTuple):
    """The newest reading of a channel; times in Unix milliseconds."""

    channel_id: int
    observed_ms: int
    received_ms: int
    value: float
    quality: int


class Read:
    """Questions about the past over one connection, for one person's subtree."""

    def __init__(self, connection: Connection, scope: str) -> None:
        """Read through `connection` (in autocommit) what lies under the organisation path `scope`."""
        self._connection = connection
        self._scope = scope

    def named(self, names: Sequence[str]) -> list[Channel]:
        """Return the channels of these numbers or names, in this order, each once.

        Raises:
            UsageError: one is no name of a channel.
            NotFoundError: there is none of that name, or not in the subtree, which is the same to whoever asks.
        """
        wanted = [channel_name(name) for name in names]
        threefold = [name for name in wanted if isinstance(name, tuple)]
        numbers: dict[int | tuple[str, str, str], int] = {name: name for name in wanted if isinstance(name, int)}
        if threefold:
            gateways, devices, metrics = (list(part) for part in zip(*threefold, strict=True))
            found = self._connection.execute(
                _QUERIES["history_channel_ids"], {"gateways": gateways, "devices": devices, "metrics": metrics}
            )
            numbers |= {threefold[place - 1]: channel_id for channel_id, place in found}
        ids = list(numbers.values())
        visible = {each.channel_id: each for each in self._channels(channel_ids=ids, limit=len(ids))}
        for name, said in zip(wanted, names, strict=True):
            if numbers.get(name) not in visible:
                raise NotFoundError(f"there is no channel {said[:80]}")
        return list({numbers[name]: visible[numbers[name]] for name in wanted}.values())

    def channels(
        self, *, site: str | None = None, zone: str | None = None, after: int = 0, limit: int = 1_000
    ) -> list[Channel]:
        """Return the channels of a site or zone, or of the whole subtree, by number, the first `limit` after one."""
        return self._channels(site=site, zone=zone, after=after, limit=limit)

    def latest(self, channels: Sequence[Channel]) -> dict[int, Latest]:
        """Return the newest readings by channel number; channels never heard are left out."""
        rows = self._connection.execute(
            _QUERIES["history_latest"], {"channel_ids": [each.channel_id for each in channels]}
        )
        return {row[0]: Latest(*row) for row in rows}

    def readings(self, channel_id: int, span: Span, limit: int) -> list[Row]:
        """Return the first `limit` readings of a channel in a span, rising."""
        cursor = self._connection.cursor(binary=True)
        cursor.execute(
            _QUERIES["history_readings"],
            {
                "channel_id": channel_id,
                "from_at": from_ms(span.from_ms),
                "to_at": from_ms(span.to_ms),
                "limit": limit,
            },
        )
        return [Row._make(row) for row in cursor.fetchall()]

    def summaries(self, channel_id: int, span: Span, resolution: Resolution) -> list[Summary]:
        """Return a channel's hours or days that begin in a span, rising."""
        cursor = self._connection.cursor(binary=True)
        query = "history_hours" if resolution is Resolution.HOUR else "history_days"
        cursor.execute(
            _QUERIES[query],
            {"channel_id": channel_id, "from_at": from_ms(span.from_ms), "to_at": from_ms(span.to_ms)},
        )
        return [Summary._make(row) for row in cursor.fetchall()]

    def page(
        self, channels: Sequence[Channel], span: Span, after: Mark | None, limit: int
    ) -> tuple[list[tuple[Channel, list[Row]]], Mark | None]:
        """Return the next `limit` readings of channels, in order of channel number, and where the page after begins.

        Args:
            channels: whose readings.
            span: of the whole question.
            after: where the page before ended, None for the first.
            limit: most readings.
        """
        found: list[tuple[Channel, list[Row]]] = []
        for channel in sorted(channels, key=lambda each: each.channel_id):
            begin = span.from_ms
            if after is not None:
                if channel.channel_id < after.channel_id:
                    continue
                if channel.channel_id == after.channel_id:
                    begin = max(begin, after.observed_ms + 1)
            rows = self.readings(channel.channel_id, Span(begin, span.to_ms), limit + 1) if begin < span.to_ms else []
            found.append((channel, rows[:limit]))
            if len(rows) > limit:
                return found, Mark(channel.channel_id, rows[limit - 1].observed_ms)
            limit -= len(rows)
            if limit == 0:
                return found, Mark(channel.channel_id, span.to_ms)
        return found, None

    def pages(self, channel: Channel, span: Span) -> Iterator[list[Row]]:
        """Yield all readings of a channel in a span, rising, some thousands at a time."""
        begin = span.from_ms
        while begin < span.to_ms:
            rows = self.readings(channel.channel_id, Span(begin, span.to_ms), _PAGE)
            if rows:
                yield rows
            if len(rows) < _PAGE:
                return
            begin = rows[-1].observed_ms + 1

    def _channels(
        self,
        *,
        channel_ids: list[int] | None = None,
        site: str | None = None,
        zone: str | None = None,
        after: int = 0,
        limit: int,
    ) -> list[Channel]:
        with self._connection.cursor(row_factory=class_row(Channel)) as cursor:
            return cursor.execute(
                _QUERIES["history_channels"],
                {
                    "scope": self._scope,
                    "channel_ids": channel_ids,
                    "site": site,
                    "zone": zone,
                    "after": after,
                    "limit": limit,
                },
            ).fetchall()
