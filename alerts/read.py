"""What the console shows, as values: rows of the database turned into zones, alarms and gateways, and judged.

Everything is limited to a person's subtree by the statements themselves (`scope`, the path of an organisation). All
instants are Unix milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, TypeVar

from psycopg.rows import class_row, dict_row

from hanlu.alerts.alarm import ProcessState, SuppressionState, calls
from hanlu.core.clock import from_ms
from hanlu.core.curve import Sample, Span
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = [
    "Alarm",
    "ChannelNow",
    "Counts",
    "DeadLetters",
    "Entry",
    "Gateway",
    "Losses",
    "Named",
    "Read",
    "Standing",
    "ZoneNow",
]

_QUERIES = load_queries("hanlu.alerts")
_Row = TypeVar("_Row")
_SPARK_SPAN = timedelta(hours=6)
_SPARK_BUCKET = timedelta(minutes=10)
SPARK_GAP_MS = 25 * 60_000
"""Neighbouring buckets of a spark further apart are not joined: two and a half buckets."""

_SWITCHES = ("door_open", "defrost", "compressor")
"""Metrics that are on or off: shown as strips and words, never as curves."""


class Standing(StrEnum):
    """How a zone stands, worst first; the words of the console's badges."""

    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    OFFLINE = "offline"
    STALE = "stale"
    EMPTY = "empty"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Named:
    """Something with a code and a name in both languages."""

    code: str
    name_zh: str
    name_en: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`, "zh" or "en"."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class ChannelNow:
    """A channel with its newest reading; fields as in registry.channel_v and telemetry.latest_v."""

    channel_id: int
    metric: str
    unit: str
    period_s: float
    low: float | None
    high: float | None
    limit_profile: str | None
    no_data_s: int
    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    site_kind: str
    gateway: str
    observed_ms: int | None
    received_ms: int | None
    value: float | None
    online: bool
    replay: bool

    @property
    def is_switch(self) -> bool:
        """Whether the channel says on or off."""
        return self.metric in _SWITCHES

    @property
    def gap_ms(self) -> float:
        """Neighbouring readings further apart are not joined by a line: two and a half periods, milliseconds."""
        return 2500 * self.period_s

    def end_ms(self, now_ms: int) -> int:
        """Return where the channel's "now" is: the platform's, or the newest reading while its gateway replays."""
        return self.observed_ms if self.replay and self.observed_ms is not None else now_ms


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm with where it is; fields as in alerts.alarm and registry.channel_v."""

    alarm_id: int
    channel_id: int
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    limit_value: float | None
    peak: float | None
    exceeded_ms: int
    raised_ms: int
    detected_ms: int
    returned_ms: int | None
    acknowledged_ms: int | None
    peak_ms: int | None
    acknowledged_by: str | None
    note: str | None
    replayed: bool
    version: int
    metric: str
    unit: str
    period_s: float
    low: float | None
    high: float | None
    zone: str | None
    zone_zh: str | None
    zone_en: str | None
    site: str
    site_zh: str
    site_en: str

    @property
    def calls(self) -> bool:
        """Whether the alarm waits for a person."""
        return calls(ProcessState(self.process_state), SuppressionState(self.suppression_state))

    @property
    def standing(self) -> Standing:
        """How the alarm stands, in the console's words."""
        return _STANDINGS[ProcessState(self.process_state)]

    def zone_name(self, lang: str) -> str:
        """Return the zone's name, or the site's for a device that stands in no zone."""
        return (self.zone_zh if lang == "zh" else self.zone_en) or self.site_name(lang)

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    def span(self, now_ms: int) -> Span:
        """Return from when to when the limit was exceeded, until now while it still is."""
        return Span(self.exceeded_ms, self.returned_ms if self.returned_ms is not None else max(now_ms, self.raised_ms))


_STANDINGS = {
    ProcessState.UNACKNOWLEDGED: Standing.UNACKNOWLEDGED,
    ProcessState.ACKNOWLEDGED: Standing.ACKNOWLEDGED,
    ProcessState.RTN_UNACKNOWLEDGED: Standing.RETURNED,
    ProcessState.NORMAL: Standing.NORMAL,
}


@dataclass(frozen=True, slots=True)
class ZoneNow:
    """A zone with its channels and open alarms.

    Attributes:
        zone: code and names.
        site: code and names.
        site_kind: as in registry.site.
        channels: at least one; the one that stands for the zone first.
        alarms: not over, worst first.
        spark: coarse curve of the first channel.
        standing: how it stands.
    """

    zone: Named
    site: Named
    site_kind: str
    channels: tuple[ChannelNow, ...]
    alarms: tuple[Alarm, ...]
    spark: tuple[Sample, ...]
    standing: Standing

    @property
    def main(self) -> ChannelNow:
        """The channel that stands for the zone."""
        return self.channels[0]


@dataclass(frozen=True, slots=True)
class Counts:
    """What stands at the top of the console: alarms, links, the last word of any gateway, the account."""

    waiting: int
    standing: int
    gateways: int
    online: int
    heard_ms: int | None
    produced: int
    stored: int
    duplicate: int
    lost: int
    dead: int
    outstanding: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway with link, account and gaps; `online` is None before its first word."""

    gateway_id: int
    code: str
    site: str
    site_zh: str
    site_en: str
    online: bool | None
    replay: bool
    since_ms: int | None
    seen_ms: int | None
    produced: int
    stored: int
    duplicate: int
    lost: int
    dead: int
    outstanding: int
    redelivered: int
    gap_ranges: int
    gap_messages: int
    gap_since_ms: int | None

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en


@dataclass(frozen=True, slots=True)
class Losses:
    """Readings a gateway declared lost for one reason."""

    gateway: str
    reason: str
    reading_count: int
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Messages of one gateway refused for one reason; `gateway` is None when no known one sent them."""

    gateway: str | None
    reason: str
    messages: int
    reading_count: int
    newest_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an alarm's journal; fields as in alerts.journal."""

    version: int
    at_ms: int
    recorded_ms: int
    event: str
    from_state: str
    to_state: str
    actor: str
    value: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A row of `zone_switches`: from `at_ms` the channel was on or off; the reading before was at `before_ms`."""

    at_ms: int
    before_ms: int | None
    is_on: bool
    after_gap: bool
    is_last: bool


class Read:
    """The console's statements over one connection, for one person's subtree."""

    def __init__(self, connection: Connection, scope: str) -> None:
        """Read through `connection` (acting as hanlu_alerts) what lies under the path `scope`."""
        self._connection = connection
        self._scope = {"scope": scope, "root": scope.count("/") == 2}

    def sites(self, limit: int) -> list[Named]:
        """Return the sites that have zones, the first `limit`."""
        return self._all(Named, "console_sites", limit=limit)

    def zone_codes(self, site: str | None = None) -> list[str]:
        """Return the codes of all zones in the order of the overview, or of the sites of a code or name."""
        rows = self._connection.execute(_QUERIES["console_zones"], self._scope | {"site": site})
        return [code for (code,) in rows]

    def zones(self, codes: Sequence[str], now_ms: int, *, sparks: bool = True) -> list[ZoneNow]:
        """Return zones with what they measure now, by site and code; codes outside the subtree are left out.

        Args:
            codes: of the zones.
            now_ms: the platform's time.
            sparks: whether to read their coarse curves too.
        """
        channels = self._all(ChannelNow, "console_channels", zones=list(codes))
        alarms = self.alarms(zones=codes, open_only=True, limit=1000)
        groups = [_ordered(group) for _, group in groupby(channels, key=lambda each: each.zone)]
        curves = self._sparks([group[0] for group in groups if not group[0].is_switch], now_ms) if sparks else {}
        return [_zone(group, alarms, curves.get(group[0].channel_id, ()), now_ms) for group in groups]

    def counts(self) -> Counts:
        """Return what stands at the top."""
        return self._all(Counts, "console_counts")[0]

    def gateways(self, limit: int, offset: int = 0) -> list[Gateway]:
        """Return `limit` gateways after the first `offset`, those without a link first."""
        return self._all(Gateway, "console_gateways", limit=limit, offset=offset)

    def losses(self) -> list[Losses]:
        """Return declared losses by gateway and reason."""
        return self._all(Losses, "console_losses")

    def dead_letters(self) -> list[DeadLetters]:
        """Return dead letters by gateway and reason, at most a hundred rows."""
        return self._all(DeadLetters, "console_dead_letters")

    def alarms(
        self,
        *,
        site: str | None = None,
        zones: Sequence[str] | None = None,
        open_only: bool = False,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Alarm]:
        """Return alarms: unacknowledged first, then by priority, then the newest.

        Args:
            site: code of a site to keep to, or a part of its name.
            zones: codes of zones to keep to.
            open_only: leave out those that are over.
            from_ms: leave out those that returned before.
            to_ms: leave out those that began after.
            limit: most rows.
            offset: rows to skip.
        """
        return self._all(
            Alarm, "console_alarms", alarm_id=None, site=site,
            zones=None if zones is None else list(zones), open_only=open_only,
            from_at=_moment(from_ms), to_at=_moment(to_ms), limit=limit, offset=offset,
        )  # fmt: skip

    def alarm(self, alarm_id: int) -> Alarm | None:
        """Return one alarm, or None when there is none in the subtree."""
        found = self._all(
            Alarm, "console_alarms", alarm_id=alarm_id, site=None, zones=None, open_only=False,
            from_at=None, to_at=None, limit=1, offset=0,
        )  # fmt: skip
        return found[0] if found else None

    def journal(self, alarm_id: int) -> list[Entry]:
        """Return everything that happened to an alarm the person may see."""
        return self._all(Entry, "console_journal", alarm_id=alarm_id)

    def series(self, channel_id: int, period_s: float, span: Span, most: int) -> list[Sample]:
        """Return a channel's curve in a span, at most about `most` points.

        Up to that many readings come as they are; more are summarised by mean, least and greatest of equal buckets.
        """
        bucket_ms = max((span.to_ms - span.from_ms) / most, 1.0)
        plain = bucket_ms <= period_s * 1000
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                _QUERIES["zone_series"],
                {
                    "channel_id": channel_id,
                    "from_at": from_ms(span.from_ms),
                    "to_at": from_ms(span.to_ms),
                    "gap": timedelta(seconds=2.5 * period_s),
                    # A bucket of a millisecond holds one reading: the same statement then gives them as they are.
                    "bucket": timedelta(milliseconds=1.0 if plain else bucket_ms),
                },
            )
            rows = cursor.fetchall()
        return [
            Sample(
                row["at_ms"],
                row["value"],
                None if plain else row["low"],
                None if plain else row["high"],
                bool(row["after_gap"]),
            )
            for row in rows
        ]

    def switched_on(self, channel: ChannelNow, span: Span) -> list[Span]:
        """Return when a channel that is on or off was on; where readings are missing it was neither."""
        rows = self._all(
            Switch, "zone_switches", channel_id=channel.channel_id, from_at=from_ms(span.from_ms),
            to_at=from_ms(span.to_ms), gap=timedelta(milliseconds=channel.gap_ms),
        )  # fmt: skip
        return list(on_spans(rows, round(channel.period_s * 1000)))

    def _sparks(self, channels: Sequence[ChannelNow], now_ms: int) -> dict[int, tuple[Sample, ...]]:
        with self._connection.cursor() as cursor:
            rows = cursor.execute(
                _QUERIES["console_sparks"],
                {
                    "channel_id": [each.channel_id for each in channels],
                    "end_at": [from_ms(each.end_ms(now_ms)) for each in channels],
                    "span": _SPARK_SPAN,
                    "bucket": _SPARK_BUCKET,
                },
            ).fetchall()
        return {
            channel_id: tuple(Sample(at_ms, value) for _, at_ms, value in group)
            for channel_id, group in groupby(rows, key=lambda row: row[0])
        }

    def _all(self, of: type[_Row], query: str, **parameters: Any) -> list[_Row]:
        with self._connection.cursor(row_factory=class_row(of)) as cursor:
            return cursor.execute(_QUERIES[query], self._scope | parameters).fetchall()


def on_spans(rows: Iterable[Switch], period_ms: int) -> Iterable[Span]:
    """Yield the spans in which a switch was on, from the readings where it changed, began, stopped or paused.

    Args:
        rows: ascending in time.
        period_ms: a reading speaks for this long when none follows it.
    """
    since: int | None = None
    for row in rows:
        if since is not None and row.after_gap:
            yield Span(since, (row.before_ms if row.before_ms is not None else since) + period_ms)
            since = None
        if since is None and row.is_on:
            since = row.at_ms
        elif since is not None and not row.is_on:
            yield Span(since, row.at_ms)
            since = None
        if since is not None and row.is_last:
            yield Span(since, row.at_ms + period_ms)


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _ordered(channels: Iterable[ChannelNow]) -> tuple[ChannelNow, ...]:
    """Return the channels, the one that stands for the zone first: air temperature, else one with limits, else any."""

    def rank(channel: ChannelNow) -> tuple[bool, bool, bool]:
        return channel.metric != "air_temperature", channel.limit_profile is None, channel.is_switch

    return tuple(sorted(channels, key=rank))


def _zone(channels: tuple[ChannelNow, ...], alarms: Sequence[Alarm], spark: tuple[Sample, ...], now_ms: int) -> ZoneNow:
    main = channels[0]
    own = tuple(each for each in alarms if each.zone == main.zone)
    return ZoneNow(
        Named(main.zone, main.zone_zh, main.zone_en),
        Named(main.site, main.site_zh, main.site_en),
        main.site_kind,
        channels,
        own,
        spark,
        _standing(main, own, now_ms),
    )


def _standing(main: ChannelNow, alarms: Sequence[Alarm], now_ms: int) -> Standing:
    """Return the worst of what the alarms and the data say."""
    order = list(Standing)
    worst = min((each.standing for each in alarms), key=order.index, default=Standing.NORMAL)
    if worst in (Standing.UNACKNOWLEDGED, Standing.ACKNOWLEDGED):
        return worst
    if main.observed_ms is None or main.received_ms is None:
        return Standing.EMPTY
    if worst is Standing.RETURNED or main.replay:
        return worst
    if not main.online:
        return Standing.OFFLINE
    return Standing.STALE if now_ms - main.received_ms > main.no_data_s * 1000 else worst
