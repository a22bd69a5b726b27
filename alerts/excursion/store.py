"""The rows of excursions: what the follower reads before it counts, and the one short transaction in which it writes.

Reading and counting happen outside any transaction: one that has written holds every follower of the arrivals back, the
alarm engine among them. What is written is guarded instead: an alarm belongs to one excursion by key, a channel's side
has one standing excursion by index, and figures are replaced only where the version is the one they were read at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row, scalar_row

from hanlu.alerts.excursion.figures import (
    ABSOLUTE_ZERO,
    ACTIVATION_RATIO,
    DAY_MS,
    MONTH_MS,
    Reading,
)
from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["AlarmFacts", "Entry", "Position", "Row", "Store", "Touched", "Windows"]

_QUERIES = load_queries("hanlu.alerts.excursion")
_LOCK_KEY = 0x4558435552
CELSIUS = "Cel"


class Position(NamedTuple):
    """How far the follower has come in the journal and in the arrivals."""

    journal_txid: str
    journal_id: int
    arrival_txid: str
    arrival_id: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry with the kind of its alarm."""

    txid: str
    journal_id: int
    alarm_id: int
    kind: str
    event: str


@dataclass(frozen=True, slots=True)
class Touched:
    """Where a page of arrivals ends, how many it has, and the accounts they may correct."""

    txid: str | None
    arrival_id: int | None
    arrivals: int
    touched: list[int]


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """An alarm of a limit; `returned_ms` is None while it stands, `excursion_id` until it has an account."""

    alarm_id: int
    channel_id: int
    kind: str
    limit_value: float
    peak: float | None
    excursion_id: int | None
    exceeded_ms: int
    peak_ms: int | None
    returned_ms: int | None

    @property
    def side(self) -> str:
        """Return high or low."""
        return "high" if self.kind.startswith("high") else "low"


class Windows(NamedTuple):
    """Mean kinetic temperature of the day and of the thirty days before an instant, with the minutes known in them."""

    kinetic_day: float | None
    known_day: float | None
    kinetic_month: float | None
    known_month: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of alerts.excursion; times in Unix milliseconds."""

    excursion_id: int
    channel_id: int
    side: str
    limit_value: float
    standing: bool
    from_ms: int
    to_ms: int | None
    span_to_ms: int | None
    known_until_ms: int | None
    minutes: float | None
    unknown_minutes: float | None
    degree_minutes: float | None
    peak: float | None
    peak_ms: int | None
    mean: float | None
    kinetic: float | None
    readings: int
    digest: str | None
    kinetic_day: float | None
    known_day: float | None
    kinetic_month: float | None
    known_month: float | None
    windows_ms: int | None
    computed_ms: int
    version: int
    corrections: int
    unit: str
    gap_ms: int

    @property
    def windows(self) -> Windows:
        """Return what was said about the day and the month before its end."""
        return Windows(self.kinetic_day, self.known_day, self.kinetic_month, self.known_month)

    def told(self) -> dict[str, Any]:
        """Return what the account says, as an entry of alerts.excursion_version keeps it."""
        return {name: getattr(self, name) for name in _TOLD}


_TOLD = (
    "standing", "limit_value", "from_ms", "to_ms", "known_until_ms", "minutes", "unknown_minutes", "degree_minutes",
    "peak", "peak_ms", "mean", "kinetic", "kinetic_day", "known_day", "kinetic_month", "known_month", "readings",
    "digest",
)  # fmt: skip
_TIMES = {
    "from_ms": "from_at", "to_ms": "to_at", "span_to_ms": "span_to", "known_until_ms": "known_until",
    "peak_ms": "peak_at", "windows_ms": "windows_at", "computed_ms": "computed_at",
}  # fmt: skip
_WRITTEN = (
    "excursion_id", "limit_value", "standing", "minutes", "unknown_minutes", "degree_minutes", "peak", "mean",
    "kinetic", "readings", "digest", "kinetic_day", "known_day", "kinetic_month", "known_month", "version",
    "corrections",
)  # fmt: skip


class Store:
    """The follower's door to the database."""

    def __init__(self, connection: Connection) -> None:
        """Use `connection`, in autocommit mode and acting as hanlu_alerts."""
        self._connection = connection

    def lock(self) -> bool:
        """Try to become the only follower; true when this connection is it."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return bool(cursor.execute(_QUERIES["excursion_lock"], {"key": _LOCK_KEY}).fetchone())

    def begin(self) -> Position:
        """Return where the follower stands; one that never ran begins at the end of the arrivals."""
        self._connection.execute(_QUERIES["excursion_begin_here"])
        with self._connection.cursor(row_factory=class_row(Position)) as cursor:
            found = cursor.execute(_QUERIES["excursion_position"]).fetchone()
        assert found is not None
        return found

    def journal(self, position: Position, limit: int) -> list[Entry]:
        """Return up to `limit` journal entries after a position."""
        parameters = {"txid": position.journal_txid, "journal_id": position.journal_id, "limit": limit}
        with self._connection.cursor(row_factory=class_row(Entry)) as cursor:
            return cursor.execute(_QUERIES["excursion_journal_page"], parameters).fetchall()

    def journal_done(self, entry: Entry) -> None:
        """Say that everything up to `entry` has its account."""
        self._connection.execute(
            _QUERIES["excursion_journal_move"], {"txid": entry.txid, "journal_id": entry.journal_id}
        )

    def arrivals(self, position: Position, limit: int) -> Touched:
        """Return what up to `limit` arrivals after a position touch."""
        parameters = {"txid": position.arrival_txid, "arrival_id": position.arrival_id, "limit": limit}
        with self._connection.cursor(row_factory=class_row(Touched)) as cursor:
            found = cursor.execute(_QUERIES["excursion_arrivals_page"], parameters).fetchone()
        assert found is not None
        return found

    def arrivals_done(self, page: Touched) -> None:
        """Say that everything up to the end of `page` has been looked at."""
        self._connection.execute(
            _QUERIES["excursion_arrivals_move"], {"txid": page.txid, "arrival_id": page.arrival_id}
        )

    def standing_due(self, now_ms: int, least_s: float, limit: int) -> list[int]:
        """Return standing excursions whose figures have grown old."""
        parameters = {"now": from_ms(now_ms), "least_s": least_s, "limit": limit}
        return self._numbers("excursion_standing_due", parameters)

    def windows_due(self, limit: int) -> list[int]:
        """Return accounts whose windows have not been computed yet."""
        return self._numbers("excursion_windows_due", {"limit": limit})

    def alarm(self, alarm_id: int) -> AlarmFacts | None:
        """Return an alarm of a limit; None for any other."""
        found = self._alarms(alarm_id, ())
        return found[0] if found else None

    def alarms_of(self, excursion_ids: Iterable[int]) -> list[AlarmFacts]:
        """Return the alarms of some excursions."""
        return self._alarms(None, list(excursion_ids))

    def row(self, excursion_id: int) -> Row | None:
        """Return an excursion; None when there is none or it was merged into another."""
        found = self._rows(excursion_id=excursion_id)
        return found[0] if found else None

    def overlapping(self, channel_id: int, side: str, from_at_ms: int, to_at_ms: int | None) -> list[Row]:
        """Return excursions of a channel's side that reach into a span, the oldest number first."""
        return self._rows(channel_id=channel_id, side=side, from_at=from_ms(from_at_ms), to_at=_moment(to_at_ms))

    def channel(self, channel_id: int) -> tuple[str, int]:
        """Return a channel's unit and its gap, milliseconds."""
        found = self._connection.execute(_QUERIES["excursion_channel"], {"channel_id": channel_id}).fetchone()
        return (found[0], found[1]) if found else ("", 600_000)

    def readings(self, channel_id: int, from_at_ms: int, to_at_ms: int | None) -> list[Reading]:
        """Return a channel's readings that are not bad, ascending in time; without an end, all of them."""
        with self._connection.cursor(binary=True) as cursor:
            rows = cursor.execute(
                _QUERIES["excursion_readings"],
                {"channel_id": channel_id, "from_at": from_ms(from_at_ms), "to_at": _moment(to_at_ms)},
            ).fetchall()
        return [Reading(at_ms, value) for at_ms, value in rows]

    def windows(self, channel_id: int, unit: str, gap_ms: int, end_ms: int) -> Windows:
        """Return the windows that end at `end_ms`; of a channel that measures no temperature there are none."""
        if unit != CELSIUS:
            return Windows(None, None, None, None)
        day = self._window(channel_id, gap_ms, end_ms - DAY_MS, end_ms)
        month = self._window(channel_id, gap_ms, end_ms - MONTH_MS, end_ms)
        return Windows(*day, *month)

    def write(
        self,
        row: Row | None,
        after: Row,
        alarm_ids: Sequence[int],
        merged: Sequence[int],
        *,
        why: str | None,
        now_ms: int,
    ) -> int:
        """Write an account with its alarms, and why it says something else, in one transaction; return its number.

        Args:
            row: what it said when it was read, None when it is new.
            after: what it says now; its version is ignored.
            alarm_ids: its alarms.
            merged: excursions that are parts of it.
            why: of the entry to write; None when nothing that was reported has changed.
            now_ms: the platform's time.

        Raises:
            ConflictError: somebody else has written it meanwhile.
        """
        at = from_ms(now_ms)
        with self._connection.transaction():
            expected = 1 if row is None else row.version
            excursion_id = self._insert(after, at) if row is None else row.excursion_id
            if merged:
                parameters = {"into": excursion_id, "excursion_ids": list(merged), "at": at}
                self._connection.execute(_QUERIES["excursion_merge"], parameters)
            self._connection.execute(
                _QUERIES["excursion_assign"], {"excursion_id": excursion_id, "alarm_ids": list(alarm_ids)}
            )
            version = expected + (1 if why is not None and row is not None else 0)
            values = {name: getattr(after, name) for name in _WRITTEN}
            values |= {column: _moment(getattr(after, name)) for name, column in _TIMES.items()}
            values |= {"excursion_id": excursion_id, "version": version, "expected": expected}
            if self._connection.execute(_QUERIES["excursion_write"], values).rowcount != 1:
                raise ConflictError(f"excursion {excursion_id} has changed meanwhile")
            if why is not None:
                self._connection.execute(
                    _QUERIES["excursion_version_write"],
                    {
                        "excursion_id": excursion_id, "version": version, "at": at, "why": why,
                        "before": None if row is None else json.dumps(row.told()), "after": json.dumps(after.told()),
                    },
                )  # fmt: skip
        return excursion_id

    def last_told_ms(self, excursion_id: int) -> int:
        """Return when the last entry about an excursion was written."""
        found = self._connection.execute(_QUERIES["excursion_version_last"], {"excursion_id": excursion_id}).fetchone()
        return 0 if found is None or found[0] is None else int(found[0])

    def _insert(self, row: Row, at: datetime) -> int:
        parameters = {
            "channel_id": row.channel_id, "side": row.side, "limit_value": row.limit_value,
            "from_at": from_ms(row.from_ms), "computed_at": at, "unit": row.unit, "gap_ms": row.gap_ms,
        }  # fmt: skip
        found = self._connection.execute(_QUERIES["excursion_insert"], parameters).fetchone()
        assert found is not None
        return int(found[0])

    def _window(self, channel_id: int, gap_ms: int, from_at_ms: int, to_at_ms: int) -> tuple[float | None, float]:
        found = self._connection.execute(
            _QUERIES["excursion_window"],
            {
                "channel_id": channel_id, "from_at": from_ms(from_at_ms), "to_at": from_ms(to_at_ms),
                "gap": timedelta(milliseconds=gap_ms), "ratio": ACTIVATION_RATIO,
            },
        ).fetchone()  # fmt: skip
        assert found is not None
        known, rate = found
        return (ACTIVATION_RATIO / -math.log(rate) + ABSOLUTE_ZERO if rate else None), known

    def _alarms(self, alarm_id: int | None, excursion_ids: Sequence[int]) -> list[AlarmFacts]:
        parameters = {"alarm_id": alarm_id, "excursion_ids": list(excursion_ids)}
        with self._connection.cursor(row_factory=class_row(AlarmFacts)) as cursor:
            return cursor.execute(_QUERIES["excursion_alarms"], parameters).fetchall()

    def _rows(self, **wanted: Any) -> list[Row]:
        parameters = dict.fromkeys(("excursion_id", "channel_id", "side", "from_at", "to_at")) | wanted
        with self._connection.cursor(row_factory=class_row(Row)) as cursor:
            return cursor.execute(_QUERIES["excursion_rows"], parameters).fetchall()

    def _numbers(self, query: str, parameters: dict[str, Any]) -> list[int]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return [row["excursion_id"] for row in cursor.execute(_QUERIES[query], parameters).fetchall()]


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
