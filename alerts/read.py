"""Reads what the console shows: the statements of queries.sql, their rows turned into the values of views.py.

Everything is limited to a person's subtree by the statements themselves (`scope`, the path of an organisation). All
instants are Unix milliseconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeVar

from psycopg.rows import class_row, dict_row

from hanlu.alerts.judge.cycle import expected_back
from hanlu.alerts.judge.room import unpack
from hanlu.alerts.kind import Hold
from hanlu.alerts.lines import Slim
from hanlu.alerts.people.read import Told, read_notifications
from hanlu.alerts.quality import GatewayQuality, Window
from hanlu.alerts.views import (
    Alarm,
    ChannelNow,
    Counts,
    DeadLetters,
    Entry,
    Gateway,
    Losses,
    Named,
    Quiet,
    Standing,
    Switch,
    ZoneNow,
    on_spans,
)
from hanlu.core.clock import from_ms
from hanlu.core.curve import Sample, Span
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["SPARK_GAP_MS", "Read"]

_QUERIES = load_queries("hanlu.alerts")
_Row = TypeVar("_Row")
_SPARK_SPAN = timedelta(hours=6)
_SPARK_BUCKET = timedelta(minutes=10)
_DEFROSTING = frozenset({Hold.DEFROST, Hold.DEFROST_SEEN})
_ZONE_ALARMS = 1000
"""Most open alarms read for the zones of a page."""
SPARK_GAP_MS = 25 * 60_000
"""Neighbouring buckets of a spark further apart are not joined: two and a half buckets."""


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
        return [code for _, code in rows]

    def zones(self, codes: Sequence[str], now_ms: int, *, sparks: bool = True) -> list[ZoneNow]:
        """Return zones with what they measure now, by site and code; codes outside the subtree are left out.

        Args:
            codes: of the zones.
            now_ms: the platform's time.
            sparks: whether to read their coarse curves too.
        """
        channels = self._all(ChannelNow, "console_channels", zones=list(codes))
        alarms = self.alarms(zones=codes, open_only=True, limit=_ZONE_ALARMS)
        quiet = self.quiet(codes)
        held = {each.channel_id for each in alarms if each.hold_reason in _DEFROSTING and each.channel_id is not None}
        back = self._back(sorted(held))
        groups = [_ordered(group) for _, group in groupby(channels, key=lambda each: each.zone)]
        curves = self._sparks([group[0] for group in groups if not group[0].is_switch], now_ms) if sparks else {}
        return [_zone(group, alarms, quiet, back, curves.get(group[0].channel_id, ()), now_ms) for group in groups]

    def counts(self) -> Counts:
        """Return what stands at the top."""
        return self._all(Counts, "console_counts")[0]

    def gateways(self, limit: int, offset: int = 0) -> list[Gateway]:
        """Return `limit` gateways after the first `offset`, those without a link first."""
        return self._all(Gateway, "console_gateways", limit=limit, offset=offset)

    def quality(self, window: Window, limit: int, offset: int = 0) -> list[GatewayQuality]:
        """Return how good the data of `limit` gateways is, those with missing messages first."""
        return self._all(
            GatewayQuality, "console_quality",
            day_from=window.day_from, week_from=window.week_from, limit=limit, offset=offset,
        )  # fmt: skip

    def losses(self) -> list[Losses]:
        """Return declared losses by gateway and reason."""
        return self._all(Losses, "console_losses")

    def dead_letters(self) -> list[DeadLetters]:
        """Return dead letters by gateway and reason, at most a hundred rows."""
        return self._all(DeadLetters, "console_dead_letters")

    def lines(self) -> list[Slim]:
        """Return every open alarm with what the list is arranged by, in no order."""
        with self._connection.cursor(binary=True) as cursor:
            rows = cursor.execute(_QUERIES["console_lines"], self._scope).fetchall()
        return [Slim(*row) for row in rows]

    def newest_entry(self) -> int:
        """Return the key of the newest journal entry, 0 when there is none: has anything happened since?"""
        with self._connection.cursor() as cursor:
            found = cursor.execute(_QUERIES["console_newest_entry"]).fetchone()
        return 0 if found is None or found[0] is None else int(found[0])

    def alarms_by_id(self, ids: Sequence[int]) -> list[Alarm]:
        """Return alarms in the order of `ids`; those outside the subtree are left out."""
        found = {each.alarm_id: each for each in self._all(Alarm, "console_alarm_rows", ids=list(ids))} if ids else {}
        return [found[each] for each in ids if each in found]

    def alarms(
        self,
        *,
        site: str | None = None,
        zones: Sequence[str] | None = None,
        kind: str | None = None,
        priority: int | None = None,
        open_only: bool = False,
        by_time: bool = False,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Alarm]:
        """Return alarms: unacknowledged first, then by priority, then the newest.

        Args:
            site: code of a site to keep to, or a part of its name.
            zones: codes of zones to keep to.
            kind: of alarm to keep to.
            priority: to keep to.
            open_only: leave out those that are over.
            by_time: simply the newest first.
            from_ms: leave out those that returned before.
            to_ms: leave out those that began after.
            limit: most rows.
            offset: rows to skip.
        """
        with self._connection.cursor() as cursor:
            rows = cursor.execute(
                _QUERIES["console_alarm_ids"],
                self._scope | {
                    "site": site, "zones": None if zones is None else list(zones), "kind": kind, "priority": priority,
                    "open_only": open_only, "by_time": by_time, "from_at": _moment(from_ms), "to_at": _moment(to_ms),
                    "limit": limit, "offset": offset,
                },
            ).fetchall()  # fmt: skip
        return self.alarms_by_id([alarm_id for (alarm_id,) in rows])

    def alarm(self, alarm_id: int) -> Alarm | None:
        """Return one alarm, or None when there is none in the subtree."""
        found = self.alarms_by_id([alarm_id]) if alarm_id < 2**63 else []  # no key is greater
        return found[0] if found else None

    def earlier(self, alarm_id: int, limit: int) -> list[Alarm]:
        """Return earlier occurrences of an alarm's point, the newest first."""
        return self.alarms_by_id(self._ids("console_earlier", alarm_id, limit))

    def explained(self, alarm_id: int, limit: int) -> list[Alarm]:
        """Return the alarms that an alarm explains."""
        return self.alarms_by_id(self._ids("console_explained", alarm_id, limit))

    def notifications(self, alarm_id: int) -> list[Told]:
        """Return who was told of an alarm the person may see, when, and with what success."""
        return read_notifications(self._connection, alarm_id)

    def quiet(self, zones: Sequence[str] | None = None) -> list[Quiet]:
        """Return what people keep quiet now, in some zones or everywhere, one for each time somebody did so."""
        return self._all(Quiet, "console_quiet", zones=None if zones is None else list(zones))

    def journal(self, alarm_id: int) -> list[Entry]:
        """Return everything that happened to an alarm the person may see."""
        return self._all(Entry, "console_journal", alarm_id=alarm_id)

    def series(self, channel: ChannelNow, span: Span, most: int) -> list[Sample]:
        """Return a channel's curve in a span, at most about `most` points.

        Up to that many readings come as they are; more are summarised by mean, least and greatest of equal buckets.
        """
        bucket_ms = max((span.to_ms - span.from_ms) / most, 1.0)
        plain = bucket_ms <= channel.period_s * 1000
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                _QUERIES["zone_series"],
                {
                    "channel_id": channel.channel_id,
                    "from_at": from_ms(span.from_ms),
                    "to_at": from_ms(span.to_ms),
                    "gap": timedelta(milliseconds=channel.gap_ms),
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

    def _back(self, channel_ids: Sequence[int]) -> dict[int, int]:
        """Return when the defrosts of some channels should be over, as far as the judges remember one."""
        if not channel_ids:
            return {}
        with self._connection.cursor() as cursor:
            rows = cursor.execute(_QUERIES["console_memory"], {"channels": list(channel_ids)}).fetchall()
        told = {channel_id: expected_back(unpack(state).cycle) for channel_id, state in rows}
        return {channel_id: at_ms for channel_id, at_ms in told.items() if at_ms is not None}

    def _ids(self, query: str, alarm_id: int, limit: int) -> list[int]:
        with self._connection.cursor() as cursor:
            rows = cursor.execute(_QUERIES[query], {"alarm_id": alarm_id, "limit": limit}).fetchall()
        return [found for (found,) in rows]

    def _all(self, of: type[_Row], query: str, **parameters: Any) -> list[_Row]:
        with self._connection.cursor(row_factory=class_row(of)) as cursor:
            return cursor.execute(_QUERIES[query], self._scope | parameters).fetchall()


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


_TELLING = ("air_temperature", "product_temperature", "relative_humidity", "weight", "battery", "tank")
"""Metrics by how much they say about a zone when no limit tells what matters there."""

_POSITION = ("lat", "lon")


def _ordered(channels: Iterable[ChannelNow]) -> tuple[ChannelNow, ...]:
    """Return the channels, the one that stands for the zone first.

    That is the air temperature, else one with limits, else the most telling; a switch says less than any value, and a
    position is no value at all.
    """

    def rank(channel: ChannelNow) -> tuple[bool, bool, bool, bool, int]:
        metric = channel.metric
        telling = _TELLING.index(metric) if metric in _TELLING else len(_TELLING)
        return metric != _TELLING[0], metric in _POSITION, channel.limit_profile is None, channel.is_switch, telling

    return tuple(sorted(channels, key=rank))


def _zone(
    channels: tuple[ChannelNow, ...],
    alarms: Sequence[Alarm],
    quiet: Sequence[Quiet],
    back: Mapping[int, int],
    spark: tuple[Sample, ...],
    now_ms: int,
) -> ZoneNow:
    main = channels[0]
    own = tuple(each for each in alarms if each.zone == main.zone)
    standing = _standing(main, own, now_ms)
    return ZoneNow(
        Named(main.zone, main.zone_zh, main.zone_en),
        Named(main.site, main.site_zh, main.site_en),
        main.site_kind,
        channels,
        own,
        spark,
        standing,
        standing in (Standing.NORMAL, Standing.RETURNED) and any(each.beyond_limit for each in channels),
        tuple(each for each in quiet if each.zone == main.zone),
        max((back[each.channel_id] for each in channels if each.channel_id in back), default=None),
    )


_WORSE_THAN_DATA = (
    Standing.UNACKNOWLEDGED,
    Standing.LATCHED_UNACKNOWLEDGED,
    Standing.ACKNOWLEDGED,
    Standing.LATCHED,
)
"""What an alarm says is told even where the data is old."""


def _standing(main: ChannelNow, alarms: Sequence[Alarm], now_ms: int) -> Standing:
    """Return the worst of what the alarms and the data say; an alarm that is kept quiet has a mark of its own."""
    order = list(Standing)
    worst = min((each.standing for each in alarms if not each.is_quiet), key=order.index, default=Standing.NORMAL)
    if worst in _WORSE_THAN_DATA:
        return worst
    if main.observed_ms is None or main.received_ms is None:
        return Standing.EMPTY
    if worst is Standing.RETURNED or main.replay:
        return worst
    if not main.online:
        return Standing.OFFLINE
    return Standing.STALE if now_ms - main.received_ms > main.no_data_s * 1000 else worst
