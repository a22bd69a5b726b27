"""Deletes what `retention.py` says may go: whole chunks where TimescaleDB has them and nothing in them must stay, rows
in small transactions otherwise. Arrivals are `forget.py`'s.

Runs as the installing user: no room's role may delete a reading. One run at a time in a database. Every run leaves a
row in telemetry.retention_run, written before anything is deleted and completed as it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.ingest.history.forget import OldArrivals, find_old, forget
from hanlu.ingest.history.plan import CHINA_MS, Resolution, Span
from hanlu.ingest.history.retention import Cut, Rule, Subject, arrival_days, cuts, droppable, free_of, on_boundary

__all__ = ["Deleted", "Doomed", "Plan", "as_owner", "delete", "make_plan"]

_QUERIES = load_queries("hanlu.ingest.history")
_LOCK_KEY: Final = 0x48414C5254
_BATCH: Final = 10_000
"""Rows deleted by one transaction: some 100 ms of locks and log."""

_SHARE: Final = 0.5
"""Most of a database process's time spent deleting rows."""

_STATEMENT_MS: Final = 600_000


class Table(NamedTuple):
    """One of the three tables: its name, its column of time, and whether that holds days of China time."""

    name: str
    column: str
    by_day: bool = False


TABLES: Final = {
    Resolution.RAW: Table("reading", "observed_at"),
    Resolution.HOUR: Table("hourly", "hour_at"),
    Resolution.DAY: Table("daily", "day", by_day=True),
}


class Chunk(NamedTuple):
    """A chunk of a hypertable: its span, about how many rows it has, and its bytes with indices."""

    span: Span
    about_rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """What of one table may go.

    Attributes:
        chunks: whole chunks.
        rows: by channel, spans to delete row by row; chunks are left out.
    """

    chunks: list[Chunk]
    rows: dict[int, list[Span]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        rules: in force.
        held: number of channels under a hold that stands.
        cuts: by channel.
        doomed: by table.
        arrivals: those that have served their time.
    """

    rules: list[Rule]
    held: int
    cuts: dict[int, Cut]
    doomed: dict[Resolution, Doomed]
    arrivals: OldArrivals

    def summary(self) -> dict[str, Any]:
        """Return what a person wants to know of it, and what the audit keeps."""
        readings = {
            TABLES[resolution].name: {
                "chunks": len(each.chunks),
                "rows_in_chunks_about": sum(chunk.about_rows for chunk in each.chunks),
                "bytes_of_chunks": sum(chunk.size for chunk in each.chunks),
                "channels_row_by_row": len(each.rows),
                "before": _before([cut.at(resolution) for cut in self.cuts.values()]),
            }
            for resolution, each in self.doomed.items()
        }
        return readings | {"arrival": self.arrivals.summary()}


@dataclass(slots=True)
class Deleted:
    """What a run did, by table: chunks dropped and rows deleted one batch after the other."""

    chunks: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@contextmanager
def as_owner(database_url: str) -> Iterator[Connection]:
    """Yield a connection that acts as the installing user, in autocommit."""
    with psycopg.connect(database_url, application_name="hanlu retention", autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(f"SET statement_timeout = {_STATEMENT_MS}".encode())
        yield connection


def make_plan(connection: Connection, now_ms: int) -> Plan:
    """Return what may be deleted now; changes nothing but what holds are known to mean.

    Args:
        connection: of `as_owner`.
        now_ms: the time from which days are counted back.
    """
    connection.execute(_QUERIES["hold_resolve"])
    rules = [Rule(*row) for row in connection.execute(_QUERIES["retention_rules"])]
    subjects = [Subject(*row) for row in connection.execute(_QUERIES["retention_subjects"])]
    held: dict[int, list[Span]] = {}
    for channel_id, from_ms_, to_ms_ in connection.execute(_QUERIES["hold_spans"]):
        held.setdefault(channel_id, []).append(Span(max(from_ms_, 0), to_ms_))
    wanted = cuts(subjects, rules, now_ms)
    chunks = {resolution: _chunks(connection, table.name) for resolution, table in TABLES.items()}
    bounds = {resolution: [chunk.span for chunk in each] for resolution, each in chunks.items()}
    real = {channel_id: _real(cut, bounds) for channel_id, cut in wanted.items()}
    doomed = {}
    for resolution in TABLES:
        free = {channel_id: free_of(cut.at(resolution), held.get(channel_id, ())) for channel_id, cut in real.items()}
        whole = set(droppable(bounds[resolution], free))
        rows = {channel_id: _without(spans, whole, bounds[resolution]) for channel_id, spans in free.items()}
        doomed[resolution] = Doomed(
            [chunk for chunk in chunks[resolution] if chunk.span in whole],
            {channel_id: spans for channel_id, spans in rows.items() if spans},
        )
    return Plan(rules, len(held), real, doomed, find_old(connection, arrival_days(rules), now_ms))


def delete(
    connection: Connection, plan: Plan, by: str, progress: Callable[[Deleted], None] | None = None
) -> tuple[int, Deleted]:
    """Delete what a plan says; return the number of the run and what it did.

    Args:
        connection: of `as_owner`.
        plan: made just now on this connection.
        by: who runs it, for the audit.
        progress: told after every step what was done so far.

    Raises:
        ConflictError: another run is under way.
    """
    if connection.execute(_QUERIES["retention_lock"], {"key": _LOCK_KEY}).fetchone() != (True,):
        raise ConflictError("another retention run is under way")
    row = connection.execute(
        _QUERIES["run_begin"],
        {
            "by": by,
            "rules": Jsonb([asdict(rule) for rule in plan.rules]),
            "holds": Jsonb({"channels": plan.held}),
            "planned": Jsonb(plan.summary()),
        },
    ).fetchone()
    run_id, done = int(row[0]) if row else 0, Deleted()
    failure: str | None = "cut off"
    try:
        _roll_up_first(connection, plan)
        for resolution, doomed in plan.doomed.items():
            for _ in _steps(connection, TABLES[resolution], doomed, done):
                _note(connection, run_id, done, over=False, failure=None)
                if progress is not None:
                    progress(done)
        for count in forget(connection, plan.arrivals):
            done.rows["arrival"] = done.rows.get("arrival", 0) + count
            _note(connection, run_id, done, over=False, failure=None)
            if progress is not None:
                progress(done)
        failure = None
    except psycopg.Error as error:
        failure = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise
    finally:
        if not connection.closed:
            _note(connection, run_id, done, over=True, failure=failure)
    return run_id, done


def _roll_up_first(connection: Connection, plan: Plan) -> None:
    """Write hours and days that wait while what they follow from is still there; then close them for good."""
    ids = list(plan.cuts)
    raw = [cut.raw_ms for cut in plan.cuts.values()]
    hour = [cut.hour_ms for cut in plan.cuts.values()]
    while True:
        with connection.transaction():
            taken = connection.execute(
                _QUERIES["prune_take_hours"], {"channel_ids": ids, "raw_ms": raw, "limit": 1000}
            ).fetchall()
            if taken:
                connection.execute(
                    _QUERIES["rollup_write_hours"],
                    {"channel_ids": [each[0] for each in taken], "hours": [each[1] for each in taken], "settle_s": 0},
                )
        if not taken:
            break
    connection.execute(_QUERIES["prune_ripen_days"], {"channel_ids": ids, "hour_ms": hour})
    while (row := connection.execute(_QUERIES["rollup_days"], {"limit": 1000}).fetchone()) and row[0]:
        pass
    connection.execute(_QUERIES["prune_close"], {"channel_ids": ids, "raw_ms": raw, "hour_ms": hour})


def _steps(connection: Connection, table: Table, doomed: Doomed, done: Deleted) -> Iterator[None]:
    """Delete, and yield after every chunk and every batch of rows."""
    for chunk in doomed.chunks:
        dropped = connection.execute(
            _QUERIES["prune_chunk"],
            {"table": table.name, "from_at": from_ms(chunk.span.from_ms), "to_at": from_ms(chunk.span.to_ms)},
        ).fetchone()
        done.chunks[table.name] = done.chunks.get(table.name, 0) + (dropped[0] if dropped else 0)
        yield
    for channel_id, spans in doomed.rows.items():
        for one in spans:
            for count in _batches(connection, table, channel_id, one):
                done.rows[table.name] = done.rows.get(table.name, 0) + count
                yield


def _batches(connection: Connection, table: Table, channel_id: int, one: Span) -> Iterator[int]:
    """Delete a channel's rows of a span, some thousands at a time; yield how many each time."""
    names = {"table": sql.Identifier("telemetry", table.name), "at": sql.Identifier(table.column)}
    within = sql.SQL("channel_id = %(id)s AND {at} >= %(low)s AND {at} < %(high)s").format(**names)
    furthest = sql.SQL("SELECT {at} FROM {table} WHERE {within} ORDER BY {at} OFFSET %(skip)s LIMIT 1").format(
        within=within, **names
    )
    remove = sql.SQL("DELETE FROM {table} WHERE {within}").format(within=within, **names)
    low, high = _bound(table, one.from_ms), _bound(table, one.to_ms)
    while True:
        begun = time.monotonic()
        values = {"id": channel_id, "low": low, "high": high, "skip": _BATCH}
        last = connection.execute(furthest, values).fetchone()
        count = connection.execute(remove, values | ({"high": last[0]} if last else {})).rowcount
        if count:
            yield count
        if last is None:
            return
        low = last[0]
        time.sleep((time.monotonic() - begun) * (1 / _SHARE - 1))


def _bound(table: Table, ms: int) -> Any:
    """Return an instant as the table's column has it; cuts and holds lie on whole days of China time."""
    return from_ms(ms + CHINA_MS).date() if table.by_day else from_ms(ms)


def _chunks(connection: Connection, table: str) -> list[Chunk]:
    rows = connection.execute(_QUERIES["prune_chunks"], {"table": table})
    return [Chunk(Span(max(begin, 0), end), about, size) for begin, end, about, size in rows]


def _real(cut: Cut, bounds: Mapping[Resolution, Sequence[Span]]) -> Cut:
    """Return a cut moved back to the ends of chunks; nothing goes before what it was derived from has gone."""
    ends: list[int | None] = []
    for resolution in TABLES:
        wanted = cut.at(resolution)
        if ends:
            before = ends[-1]
            wanted = None if wanted is None or before is None else min(wanted, before)
        ends.append(on_boundary(wanted, bounds[resolution]))
    return Cut(*ends)


def _without(spans: Sequence[Span], whole: set[Span], chunks: Sequence[Span]) -> list[Span]:
    """Return spans cut along the chunks that stay, without those that go whole; without chunks, the spans."""
    if not chunks:
        return list(spans)
    found = []
    for chunk in chunks:
        if chunk in whole:
            continue
        for one in spans:
            begin, end = max(one.from_ms, chunk.from_ms), min(one.to_ms, chunk.to_ms)
            if begin < end:
                found.append(Span(begin, end))
    return found


def _note(connection: Connection, run_id: int, done: Deleted, *, over: bool, failure: str | None) -> None:
    connection.execute(
        _QUERIES["run_note"],
        {"run_id": run_id, "deleted": Jsonb(asdict(done)), "over": over, "failure": failure},
    )


def _before(ends: Sequence[int | None]) -> Mapping[str, str] | None:
    """Return the earliest and the latest cut, for the reader of a plan."""
    known = [each for each in ends if each is not None]
    if not known:
        return None
    return {"earliest": from_ms(min(known)).isoformat(), "latest": from_ms(max(known)).isoformat()}
