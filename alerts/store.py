"""The engine's rows: what it loads at start, looks up and remembers. Alarms themselves are written by `conclude.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from psycopg.rows import class_row, scalar_row

from hanlu.alerts.explain import GRACE_MS
from hanlu.alerts.judge.room import pack, unpack
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.occurrence import ENGINE, Subject
from hanlu.alerts.outcome import Arrival, Kept, Late, Peak
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Cursor", "Span", "StandingRow", "Store"]

_LOCK_KEY = 0x48414C524D
_LOOK_BACK_MS = 3_600_000
"""How far before a new alarm readings are looked at that came after later ones, milliseconds."""

_QUERIES = load_queries("hanlu.alerts")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in telemetry.arrival_feed: everything up to it has been judged."""

    txid: str
    arrival_id: int


class Span(NamedTuple):
    """When an engine has listened, Unix milliseconds."""

    since_ms: int
    until_ms: int


class StandingRow(NamedTuple):
    """An alarm that stands.

    Attributes:
        alarm_id: its key.
        peak: the worst value so far, where there is one.
        explained: another alarm speaks for it.
        hold: why its judge, or the lateness of its channel, holds it.
    """

    alarm_id: int
    peak: Peak | None
    explained: bool
    hold: Hold | None


class Store:
    """The engine's door to the database; the caller holds the transaction."""

    def __init__(self, connection: Connection) -> None:
        """Use `connection`, in autocommit mode and acting as hanlu_alerts."""
        self._connection = connection

    def lock(self) -> bool:
        """Try to become the only engine; true when this connection is it."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return bool(cursor.execute(_QUERIES["engine_lock"], {"key": _LOCK_KEY}).fetchone())

    def cursor(self) -> Cursor:
        """Return where the engine stands; before the first arrival when it never ran."""
        with self._connection.cursor(row_factory=class_row(Cursor)) as cursor:
            return cursor.execute(_QUERIES["engine_cursor"], {"name": ENGINE}).fetchone() or Cursor("0", 0)

    def page(self, after: Cursor, limit: int) -> list[Arrival]:
        """Return up to `limit` arrivals after a position, in the order of the feed."""
        with self._connection.cursor(row_factory=class_row(Arrival), binary=True) as cursor:
            parameters = {"txid": after.txid, "arrival_id": after.arrival_id, "limit": limit}
            return cursor.execute(_QUERIES["engine_page"], parameters).fetchall()

    def horizon(self) -> int | None:
        """Return since when arrivals are kept out of the feed, Unix milliseconds; None when none are."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            held_ms: int | None = cursor.execute(_QUERIES["engine_horizon"]).fetchone()
        return held_ms

    def registry(self) -> int:
        """Return a number that changes when what the registry says of channels does."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return int(cursor.execute(_QUERIES["engine_registry"]).fetchone() or 0)

    def replaying(self) -> frozenset[str]:
        """Return the codes of the gateways that replay."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return frozenset(cursor.execute(_QUERIES["engine_replaying"]))

    def memory(self) -> dict[int, Kept]:
        """Return what is remembered, by channel."""
        rows = self._connection.execute(_QUERIES["engine_memory"])
        return {channel_id: Kept(unpack(state), unit, step_ms) for channel_id, unit, step_ms, state in rows}

    def heard(self) -> dict[int, int]:
        """Return when each channel was last heard, Unix milliseconds."""
        return dict(self._connection.execute(_QUERIES["engine_heard"]))

    def waited(self) -> dict[int, int]:
        """Return since when channels never heard have been waited for, Unix milliseconds."""
        return dict(self._connection.execute(_QUERIES["engine_waited"]))

    def span(self) -> Span | None:
        """Return when an engine has listened last; None when none ever did."""
        with self._connection.cursor(row_factory=class_row(Span)) as cursor:
            return cursor.execute(_QUERIES["engine_span"]).fetchone()

    def keep_span(self, span: Span) -> None:
        """Record that an engine listens."""
        self._connection.execute(_QUERIES["engine_span_keep"], span._asdict())

    def gaps(self) -> dict[int, int]:
        """Return the gateways with messages missing, by their health channel: since when, Unix milliseconds."""
        return dict(self._connection.execute(_QUERIES["engine_gaps"]))

    def calibrations(self) -> dict[int, date]:
        """Return when the channels' sensors are due, where that is recorded."""
        return dict(self._connection.execute(_QUERIES["engine_calibration"]))

    def active(self) -> dict[Subject, StandingRow]:
        """Return the alarms that stand."""
        rows = self._connection.execute(_QUERIES["engine_active"])
        return {
            Subject(channel_id, Kind(kind), site_id, item): StandingRow(
                alarm_id,
                None if peak is None or peak_ms is None else Peak(peak, peak_ms),
                explained_by is not None,
                None if hold is None else Hold(hold),
            )
            for alarm_id, channel_id, kind, site_id, item, peak, peak_ms, explained_by, hold in rows
        }

    def chores(self, now_ms: int) -> list[tuple[str, int]]:
        """Return what time alone asks for: ("re_alarm" or "stand_alone", alarm)."""
        graces = {"power_ms": GRACE_MS[Kind.POWER], "gateway_ms": GRACE_MS[Kind.NO_DATA]}
        return self._connection.execute(_QUERIES["engine_chores"], {"now_ms": now_ms} | graces).fetchall()

    def remember(self, kept: Mapping[int, Kept]) -> None:
        """Write what is remembered of some channels."""
        if kept:
            # One document instead of arrays: quoting JSON inside of array elements costs more than judging.
            rows = (
                f"[{channel_id},{json.dumps(each.unit)},{each.step_ms},{pack(each.memory)}]"
                for channel_id, each in kept.items()
            )
            self._connection.execute(_QUERIES["engine_memory_keep"], {"kept": f"[{','.join(rows)}]"})

    def wait(self, waited: Mapping[int, int]) -> None:
        """Record since when channels are waited for."""
        if waited:
            parameters = {"channel_id": list(waited), "since_ms": list(waited.values())}
            self._connection.execute(_QUERIES["engine_waited_keep"], parameters)

    def peaks(self, rows: Sequence[tuple[int, Peak]]) -> None:
        """Write the worst values of alarms, by key."""
        if rows:
            parameters = {
                "alarm_id": [alarm_id for alarm_id, _ in rows],
                "peak": [peak.value for _, peak in rows],
                "peak_ms": [peak.at_ms for _, peak in rows],
            }
            self._connection.execute(_QUERIES["alarm_peaks"], parameters)

    def look_back(self, raised: Iterable[tuple[Subject, int]]) -> int:
        """Let new alarms (with their beginning) begin where late readings on record say; return how many did."""
        return self._extend([(subject, start_ms - _LOOK_BACK_MS) for subject, start_ms in raised])

    def correct(self, late: Sequence[Late]) -> int:
        """Let late readings correct the alarms they belong to; return how many corrections were made.

        One before an excursion may show that it began earlier, one within it that its peak was worse.
        """
        if not late:
            return 0
        extended = self._extend([(each.subject, each.observed_ms) for each in late])
        peaks = self._connection.execute(
            _QUERIES["alarm_correct"],
            {
                "channel_id": [each.subject.channel_id for each in late],
                "kind": [each.subject.kind.value for each in late],
                "observed_ms": [each.observed_ms for each in late],
                "value": [each.value for each in late],
            },
        )
        return extended + peaks.rowcount

    def move(self, position: Cursor) -> None:
        """Move the cursor."""
        parameters = {"name": ENGINE, "txid": position.txid, "arrival_id": position.arrival_id}
        self._connection.execute(_QUERIES["engine_cursor_move"], parameters)

    def notify(self) -> None:
        """Wake the followers of the journal when the transaction commits."""
        self._connection.execute("NOTIFY hanlu_alarm")

    def _extend(self, rows: Sequence[tuple[Subject, int]]) -> int:
        if not rows:
            return 0
        parameters = {
            "channel_id": [subject.channel_id for subject, _ in rows],
            "kind": [subject.kind.value for subject, _ in rows],
            "observed_ms": [from_ms for _, from_ms in rows],
        }
        return self._connection.execute(_QUERIES["alarm_extend"], parameters).rowcount
