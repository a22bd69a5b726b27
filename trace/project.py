"""Projections in the database: rewritten for what a capture touched, by the folds of `projection.py`.

A lot's custody and a transformation's edges are always folded from all their events and the difference to what is
noted is written, so a late event, an error declaration and a first event take the same way, and `rebuild` (from zero)
must change nothing. Runs inside the capturing transaction, under the capture lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms, to_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.config import CurveConfig
from hanlu.trace.projection import EDGE_MAKING, Custody, EventFacts, ThingFacts, contained_lots, custody_of, edges_of

__all__ = ["capture_lock", "project", "rebuild"]

_SQL = load_queries("hanlu.trace")
_LOCK = 0x43415054  # "CAPT"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class _Writer:
    """Where and when projections are written."""

    connection: Connection
    curve: CurveConfig
    now_ms: int

    def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_SQL[name], values).fetchall()

    def run(self, name: str, **values: Any) -> None:
        self.connection.execute(_SQL[name], values)


def capture_lock(connection: Connection) -> None:
    """Be the only one to capture or rebuild until the transaction ends."""
    connection.execute(_SQL["capture_lock"], {"key": _LOCK})


def project(connection: Connection, events: Collection[int], curve: CurveConfig, now_ms: int) -> None:
    """Bring graph, contents of containers and custody up to date after `events` were written.

    Args:
        connection: In the capturing transaction, holding `capture_lock`.
        events: Numbers of the new events.
        curve: How curves are cut; changed custodies have theirs looked at again.
        now_ms: The time, Unix milliseconds UTC.
    """
    if not events:
        return
    write = _Writer(connection, curve, now_ms)
    rows = write.rows("events_told_with", events=list(events))
    told = [row["event_id"] for row in rows]
    if any(row["event_type"] in EDGE_MAKING for row in rows):
        _project_edges(write, told)
    lots = {row["lot_uri"] for row in write.rows("lots_of_events", events=told)}
    lots |= _project_contents(write, told)
    _project_custody(write, sorted(lots))


def rebuild(connection: Connection, curve: CurveConfig, now_ms: int) -> None:
    """Fold every projection anew from all events; arguments as for `project`.

    Nothing changes unless the rules or the registry's kinds of places have.
    """
    with connection.transaction():
        capture_lock(connection)
        rows = connection.execute("SELECT event_id FROM trace.event ORDER BY event_id").fetchall()
        numbers = [row[0] for row in rows]
        for start in range(0, len(numbers), _PAGE):
            project(connection, numbers[start : start + _PAGE], curve, now_ms)


def _facts(rows: Iterable[dict[str, Any]]) -> list[EventFacts]:
    """Return the events of joined rows that come in the order of the event's number."""
    found = []
    for number, group in groupby(rows, key=lambda row: row["event_id"]):
        lines = list(group)
        first = lines[0]
        things = tuple(
            ThingFacts(row["role"], row["uri"], row["lot_uri"], row["quantity"], row["uom"]) for row in lines
        )
        found.append(
            EventFacts(
                event_id=number,
                event_type=first["event_type"],
                action=first["action"],
                event_ms=to_ms(first["event_time"]),
                biz_step=first["biz_step"],
                read_point=first["read_point"],
                biz_location=first["biz_location"],
                things=things,
                transformation_id=first["transformation_id"],
            )
        )
    return found


def _project_edges(write: _Writer, told: Sequence[int]) -> None:
    edges = sorted(edges_of(_facts(write.rows("facts_of_edges", events=list(told)))))
    write.run("edges_clear", events=list(told))
    write.run(
        "edges_insert",
        from_uris=[edge.from_uri for edge in edges],
        to_uris=[edge.to_uri for edge in edges],
        events=[edge.event_id for edge in edges],
        kinds=[edge.kind for edge in edges],
    )


def _project_contents(write: _Writer, told: Sequence[int]) -> set[str]:
    """Note which lots lay in the containers that events name; return the lots for which that changed."""
    containers = [row["uri"] for row in write.rows("containers_touched", events=list(told))]
    if not containers:
        return set()
    packings: dict[str, list[EventFacts]] = {}
    for event in _facts(write.rows("packings_below", containers=containers)):
        for parent in {thing.uri for thing in event.things if thing.role == "parent"}:
            packings.setdefault(parent, []).append(event)
    changed: set[str] = set()
    for row in write.rows("events_naming", containers=containers):
        at = (to_ms(row["event_time"]), row["event_id"])
        named = set(row["named"])
        inside = {lot for each in row["containers"] for lot in contained_lots(each, at, packings)} - named
        noted = set(row["contained"] or ())
        if noted - inside:
            write.run("contained_clear", event_id=row["event_id"], lots=sorted(noted - inside))
        if inside - noted:
            write.run("contained_insert", event_id=row["event_id"], lots=sorted(inside - noted))
        changed |= noted ^ inside
    return changed


def _project_custody(write: _Writer, lots: Sequence[str]) -> None:
    """Fold the custody of `lots` from all their events and write what differs from what is noted."""
    trucks = frozenset(row["location"] for row in write.rows("trucks"))
    of_lot: dict[str, list[EventFacts]] = {lot: [] for lot in lots}
    for event in _facts(write.rows("facts_of_lots", lots=list(lots))):
        for lot in {thing.lot_uri for thing in event.things}:
            of_lot[lot].append(event)
    wanted = {(lot, stay) for lot, events in of_lot.items() for stay in custody_of(lot, events, trucks)}
    noted = {(row["lot_uri"], _custody(row)) for row in write.rows("custody_of_lots", lots=list(lots))}
    gone, fresh = sorted(noted - wanted, key=_order), sorted(wanted - noted, key=_order)
    if gone:
        write.run(
            "custody_clear",
            lots=[lot for lot, _ in gone],
            events=[stay.event_id for _, stay in gone],
            now=from_ms(write.now_ms),
        )
    if fresh:
        write.run(
            "custody_insert",
            lots=[lot for lot, _ in fresh],
            from_ats=[from_ms(stay.from_ms) for _, stay in fresh],
            to_ats=[None if stay.to_ms is None else from_ms(stay.to_ms) for _, stay in fresh],
            locations=[stay.location for _, stay in fresh],
            events=[stay.event_id for _, stay in fresh],
            bucket_s=write.curve.bucket_s,
            most_days=write.curve.most_days,
            now=from_ms(write.now_ms),
        )


def _order(pair: tuple[str, Custody]) -> tuple[str, int]:
    return pair[0], pair[1].event_id


def _custody(row: dict[str, Any]) -> Custody:
    end = None if row["to_at"] is None else to_ms(row["to_at"])
    return Custody(to_ms(row["from_at"]), end, row["location"], row["event_id"])
