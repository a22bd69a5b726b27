"""Readings a second, durable, validated and deduplicated, beside what the parts alone can do, all in one run.

For every shape of message: a subscriber of the same client that acknowledges and does nothing else; COPY of the same
rows into the same table, and a bare insert that leaves out what is there (ON CONFLICT), both in batches with a commit
each; and the ingest worker, whose clock stops when the last reading is committed. Publisher, broker, database, alarm
engine, web application and an open console share the machine. Messages are made before the clock starts.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg

from hanlu.app.bench.cpu import PARTS, spent
from hanlu.app.bench.messages import Shape, messages, rows
from hanlu.app.bench.publisher import write_messages
from hanlu.app.bench.stand import Stand
from hanlu.core.clock import SystemClock
from hanlu.core.errors import TransientError
from hanlu.ingest.binary import Floats, Int4s, Int8s, copy_rows, register
from hanlu.ingest.subscriber import Subscriber

__all__ = ["SHAPES", "Row", "measured"]

SHAPES: Final = (
    Shape(signed=False, size=1, count=100_000),
    Shape(signed=False, size=10, count=40_000),
    Shape(signed=False, size=50, count=10_000),
    Shape(signed=False, size=500, count=1_200),
    Shape(signed=True, size=1, count=20_000),
    Shape(signed=True, size=10, count=16_000),
    Shape(signed=True, size=50, count=8_000),
    Shape(signed=True, size=500, count=1_200),
)
"""Each a few seconds long: shorter runs measure their own beginning."""

_BATCH: Final = 10_000
"""Rows of one COPY or insert."""
_LONGEST_S: Final = 180.0
"""Seconds after which a run that does not end is given up."""
_DAYS_AGO_MS: Final = 20 * 86_400_000
_POLL_S: Final = 0.02

_INSERT: Final = b"""
INSERT INTO telemetry.reading (channel_id, observed_at, value)
SELECT o.channel_id, 'epoch'::timestamptz + o.observed_ms * INTERVAL '1 millisecond', o.value
FROM unnest(%(channel_ids)s::integer[], %(observed_ms)s::bigint[], %(values)s::double precision[])
    AS o (channel_id, observed_ms, value)
ON CONFLICT (channel_id, observed_at) DO NOTHING
"""
_COPY: Final = b"COPY telemetry.reading (channel_id, observed_at, value) FROM STDIN (FORMAT BINARY)"
_STORED: Final = {
    True: b"SELECT coalesce(sum(stored), 0)::bigint FROM telemetry.gateway_epoch",
    False: b"SELECT coalesce(sum(stored), 0)::bigint FROM telemetry.arrival",
}
"""By whether messages are signed: the cheaper of two questions with the same answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one shape, medians over the rounds.

    Attributes:
        shape: of the messages.
        noop: readings a second a subscriber takes that does nothing with them.
        copy: rows a second of COPY.
        insert: rows a second of the insert with ON CONFLICT.
        ingest: readings a second, committed.
        cpu_us: processor microseconds a message while ingest ran, by part; empty where the system does not tell.
        rounds: each round's readings a second of `ingest`.
    """

    shape: Shape
    noop: float
    copy: float
    insert: float
    ingest: float
    cpu_us: dict[str, float]
    rounds: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures for machines."""
        return {
            "signed": self.shape.signed,
            "readings_per_message": self.shape.size,
            "messages": self.shape.count,
            "noop_subscriber_readings_per_s": round(self.noop),
            "copy_rows_per_s": round(self.copy),
            "dedup_insert_rows_per_s": round(self.insert),
            "ingest_readings_per_s": round(self.ingest),
            "ingest_messages_per_s": round(self.ingest / self.shape.size),
            "cpu_us_per_message": {part: round(each, 1) for part, each in self.cpu_us.items()},
            "rounds_readings_per_s": [round(each) for each in self.rounds],
            "of_noop_subscriber": round(self.ingest / self.noop, 3),
            "of_copy": round(self.ingest / self.copy, 3),
            "of_dedup_insert": round(self.ingest / self.insert, 3),
        }


def measured(stand: Stand, shapes: Sequence[Shape], rounds: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Measure shape after shape; every round takes all kinds in turn, so that what else the machine does hits all.

    Raises:
        TransientError: a run does not end.
    """
    path = stand.folder / "messages"
    start_ms = time.time_ns() // 1_000_000 - _DAYS_AGO_MS
    for shape in shapes:
        words = f"{'signed' if shape.signed else 'plain'}, {shape.size} a message"
        say(f"{words}: making {shape.count:,} messages")
        write_messages(path, messages(shape, start_ms))
        table = rows(shape, start_ms, stand.channels)
        spending: list[dict[str, float]] = []
        runs: dict[str, Callable[[], float]] = {
            "noop": partial(_noop, stand, path, shape.count),
            "copy": partial(_copied, stand, table),
            "insert": partial(_inserted, stand, table),
            "ingest": partial(_ingested, stand, path, shape, spending),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in runs}
        for number in range(rounds):
            for kind, run in runs.items():
                stand.clear()
                seconds[kind].append(run())
                say(f"{words}, round {number + 1}: {kind} {shape.readings / seconds[kind][-1]:,.0f} readings/s")
        rates = {kind: statistics.median(shape.readings / each for each in taken) for kind, taken in seconds.items()}
        shares = {part: statistics.median(each[part] for each in spending) for part in PARTS if spending[0][part]}
        cpu_us = {part: 1e6 * seconds_of / shape.count for part, seconds_of in shares.items()}
        yield Row(shape, **rates, cpu_us=cpu_us, rounds=tuple(shape.readings / each for each in seconds["ingest"]))
    stand.clear()


def _noop(stand: Stand, path: Path, count: int) -> float:
    """Take and acknowledge with the worker's own subscriber and do nothing else."""
    broker = stand.config.broker.model_copy(update={"client_id": f"bench-noop-{os.getpid()}"})
    config = stand.config.model_copy(update={"broker": broker})
    publisher = stand.publisher(path)
    seen, began = 0, 0.0
    with Subscriber(config, SystemClock(), clean=True) as subscriber:
        while not subscriber.ready:
            subscriber.turn(0.05)
        began = publisher.begin()
        while seen < count:
            subscriber.turn(0.1)
            batch = [subscriber.take() for _ in range(len(subscriber.inbox))]
            subscriber.acknowledge(batch)
            seen += len(batch)
            _bounded(began)
        taken = time.monotonic() - began
    publisher.end()
    return taken


def _copied(stand: Stand, table: tuple[list[int], list[int], list[float]]) -> float:
    return _written(stand, table, lambda connection, part: _copy(connection, *part))


def _copy(connection: psycopg.Connection[Any], ids: list[int], times: list[int], values: list[float]) -> None:
    with connection.transaction(), connection.cursor().copy(_COPY) as copy:
        copy.write(copy_rows(ids, times, values))


def _inserted(stand: Stand, table: tuple[list[int], list[int], list[float]]) -> float:
    def insert(connection: psycopg.Connection[Any], part: tuple[list[int], list[int], list[float]]) -> None:
        ids, times, values = part
        connection.execute(_INSERT, {"channel_ids": Int4s(ids), "observed_ms": Int8s(times), "values": Floats(values)})

    return _written(stand, table, insert)


def _written(
    stand: Stand,
    table: tuple[list[int], list[int], list[float]],
    write: Callable[[psycopg.Connection[Any], tuple[list[int], list[int], list[float]]], None],
) -> float:
    ids, times, values = table
    with psycopg.connect(stand.url, autocommit=True) as connection:
        register(connection)
        began = time.monotonic()
        for start in range(0, len(ids), _BATCH):
            part = slice(start, start + _BATCH)
            write(connection, (ids[part], times[part], values[part]))
        return time.monotonic() - began


def _ingested(stand: Stand, path: Path, shape: Shape, spending: list[dict[str, float]]) -> float:
    """Run a worker until the last reading is committed; fail when one is missing or stored twice.

    What the parts spent on it, processor seconds, is added to `spending`.
    """
    with stand.worker(), psycopg.connect(stand.url, autocommit=True) as connection:
        publisher = stand.publisher(path)
        before = spent()
        began = publisher.begin()
        stored = 0
        while stored < shape.readings:
            time.sleep(_POLL_S)
            (stored,) = connection.execute(_STORED[shape.signed]).fetchone() or (0,)
            _bounded(began)
        taken = time.monotonic() - began
        spending.append({part: seconds - before[part] for part, seconds in spent().items()})
        publisher.end()
        (count,) = connection.execute("SELECT count(*) FROM telemetry.reading").fetchone() or (0,)
        if not count == stored == shape.readings:
            raise TransientError(f"{shape.readings} readings sent, {stored} accounted for, {count} on record")
    return taken


def _bounded(began: float) -> None:
    if time.monotonic() - began > _LONGEST_S:
        raise TransientError(f"a run did not end within {_LONGEST_S:g} s")
