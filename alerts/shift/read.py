"""Reads what the load is made of; all within a person's subtree, by the statements themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from psycopg.rows import class_row, scalar_row

from hanlu.alerts.shift.figures import Now, OpenAlarm
from hanlu.alerts.shift.kpi import LEAD_MS, Call, Load, Period, load
from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Line", "Place", "PlaceName", "QuietPoint", "ShiftRead", "find_place", "places", "put_staffing", "staffing"]

_QUERIES = load_queries("hanlu.alerts.shift")
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Place:
    """What the load is told for: an organisation with everything below it, or one site."""

    organisation_path: str
    organisation_id: int
    site: str | None
    name_zh: str
    name_en: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class PlaceName:
    """A place to choose: `org:` or `site:` and a code, with its names."""

    place: str
    name_zh: str
    name_en: str

    def name(self, lang: str) -> str:
        """Return the name in `lang`."""
        return self.name_zh if lang == "zh" else self.name_en


@dataclass(frozen=True, slots=True)
class QuietPoint:
    """A point a person has suppressed, as in alerts.suppression, with where it is."""

    channel_id: int
    kind: str
    state: str
    reason: str
    note: str
    actor: str
    since_ms: int
    expires_ms: int | None
    zone: str
    zone_zh: str
    zone_en: str
    site_zh: str
    site_en: str
    metric: str


@dataclass(frozen=True, slots=True)
class Line:
    """An alarm as a line of the list behind a figure."""

    alarm_id: int
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    hold_reason: str | None
    cause: str
    raised_ms: int
    called_ms: int | None
    acknowledged_ms: int | None
    returned_ms: int | None
    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    metric: str

    def zone_name(self, lang: str) -> str:
        """Return the zone's name."""
        return self.zone_zh if lang == "zh" else self.zone_en

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en


def places(connection: Connection, scope: str, limit: int) -> list[PlaceName]:
    """Return what lies in a subtree, organisations first, the first `limit`."""
    with connection.cursor(row_factory=class_row(PlaceName)) as cursor:
        return cursor.execute(_QUERIES["load_places"], {"scope": scope, "limit": limit}).fetchall()


def find_place(connection: Connection, scope: str, place: str) -> Place:
    """Return the place of that name (`org:code`, `site:code`, "" for the whole subtree).

    Raises:
        NotFoundError: there is none in the subtree.
    """
    kind, _, code = place.partition(":")
    with connection.cursor(row_factory=class_row(Place)) as cursor:
        if place:
            cursor.execute(_QUERIES["load_place"], {"scope": scope, "kind": kind, "code": code})
        else:
            cursor.execute(_QUERIES["load_scope"], {"scope": scope})
        found = cursor.fetchone()
    if found is None:
        raise NotFoundError(f"there is no place {place!r}: say org:CODE or site:CODE")
    return found


def staffing(connection: Connection, place: Place) -> int:
    """Return how many operators are on shift at a place; one when nobody has said."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(_QUERIES["staffing_in_force"], {"path": place.organisation_path}).fetchone()
    return 1 if found is None else int(found)


def put_staffing(connection: Connection, place: Place, operators: int, actor: str) -> None:
    """Say how many operators are on shift at a place's organisation and below, in a transaction of its own."""
    with connection.transaction():
        connection.execute(
            _QUERIES["staffing_add"],
            {"organisation_id": place.organisation_id, "operators": operators, "actor": actor},
        )


class ShiftRead:
    """The statements about one place."""

    def __init__(self, connection: Connection, place: Place) -> None:
        """Read through `connection` (acting as hanlu_alerts) what belongs to `place`."""
        self._connection = connection
        self._scope = {"scope": place.organisation_path, "site": place.site}

    def load(self, period: Period, operators: int) -> Load:
        """Return the load of a period."""
        with self._connection.cursor(binary=True) as cursor:
            rows = cursor.execute(
                _QUERIES["load_calls"],
                self._scope | {"from_at": from_ms(period.from_ms - LEAD_MS), "to_at": from_ms(period.to_ms)},
            ).fetchall()
        return load(map(Call._make, rows), period, operators)

    def held(self, period: Period) -> dict[str, int]:
        """Return the alarms of a period that called nobody, by reason, the most frequent first."""
        rows = self._connection.execute(_QUERIES["load_held"], self._scope | _span(period)).fetchall()
        return dict(rows)

    def held_alarms(self, period: Period, reason: str) -> list[int]:
        """Return the keys of those with one reason, the newest first."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            cursor.execute(_QUERIES["load_held_alarms"], self._scope | _span(period) | {"reason": reason})
            return cursor.fetchall()

    def now(self, at_ms: int) -> Now:
        """Return what stands at this moment."""
        found = tuple(map(OpenAlarm._make, self._connection.execute(_QUERIES["load_open"], self._scope).fetchall()))
        states = [each.state for each in self.quiet_points()]
        return Now(at_ms, found, states.count("SHELVED"), states.count("OUT_OF_SERVICE"))

    def quiet_points(self) -> list[QuietPoint]:
        """Return the points a person has suppressed, those that end first, first."""
        return self._all(QuietPoint, "load_quiet_points")

    def lines(self, alarm_ids: Sequence[int]) -> list[Line]:
        """Return alarms as lines, in the order of `alarm_ids`."""
        if not alarm_ids:
            return []
        found = {each.alarm_id: each for each in self._all(Line, "load_alarms", alarm_ids=list(alarm_ids))}
        return [found[each] for each in alarm_ids if each in found]

    def _all(self, of: type[_Row], query: str, **parameters: object) -> list[_Row]:
        with self._connection.cursor(row_factory=class_row(of)) as cursor:
            return cursor.execute(_QUERIES[query], self._scope | parameters).fetchall()


def _span(period: Period) -> dict[str, object]:
    return {"from_at": from_ms(period.from_ms), "to_at": from_ms(period.to_ms)}
