"""Readings into `telemetry.reading`, each exactly once, whatever is delivered twice.

The fast way is one COPY inside a savepoint; when a reading is there already, or the server took fewer than it was
given, it is undone and the patient way follows: insert what is absent, look at what was there, and account for every
single one. That something is a duplicate is never inferred from a row count, because `INSERT ... SELECT ... ON CONFLICT
DO NOTHING` into a compressed chunk of TimescaleDB was seen to stop at its first conflict and leave the rest out without
a word (timescaledb#7672): what is neither inserted nor there is offered again, and in the end refused aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import psycopg

from hanlu.core.errors import TransientError
from hanlu.core.reading import Quality
from hanlu.db.pool import Connection
from hanlu.db.queries import Queries
from hanlu.ingest.binary import Floats, Int2s, Int4s, Int8s, copy_rows

__all__ = ["Fate", "store_readings"]

_COPY_FROM: Final = 64
"""Readings from which on COPY with its savepoint is quicker than an insert."""

_ROUNDS: Final = 3

_GOOD: Final = int(Quality.GOOD)

_Key = tuple[int, int]
_Content = tuple[float, int]
"""Value and quality."""


class Fate(IntEnum):
    """What became of a reading."""

    STORED = 0
    DUPLICATE = 1
    """The same value is on record."""
    CONFLICT = 2
    """Another value is on record and stays."""


def store_readings(
    connection: Connection,
    queries: Queries,
    channel_ids: Sequence[int],
    observed_ms: Sequence[int],
    values: Sequence[float],
    qualities: Sequence[int] | None = None,
) -> list[Fate] | None:
    """Store readings and return the fate of each, or None when all were stored, as is the rule.

    What is compared with the record is the value: the same value with another quality is the same reading.

    Args:
        connection: in a transaction.
        queries: of this room.
        channel_ids: of the registry.
        observed_ms: parallel, Unix milliseconds UTC.
        values: parallel, finite. Of two for one channel and time, the first counts.
        qualities: parallel (hanlu.core.reading.Quality); None when all are good.

    Raises:
        TransientError: the database neither takes nor shows some of them; the transaction must be undone.
    """
    columns = channel_ids, observed_ms, values, qualities
    if len(values) >= _COPY_FROM and _copied(
        connection, queries, copy_rows(*columns), len(values), judged=qualities is not None
    ):
        return None
    first: dict[_Key, int] = {}
    for index, key in enumerate(zip(channel_ids, observed_ms, strict=True)):
        first.setdefault(key, index)
    offered = {key: (values[index], qualities[index] if qualities else _GOOD) for key, index in first.items()}
    stored, present = _inserted(connection, queries, offered)
    if len(stored) == len(values):
        return None
    fates: list[Fate] = []
    for index, (key, value) in enumerate(zip(zip(channel_ids, observed_ms, strict=True), values, strict=True)):
        if key in stored and first[key] == index:
            fates.append(Fate.STORED)
        else:
            recorded = offered[key][0] if key in stored else present[key]
            fates.append(Fate.DUPLICATE if recorded == value else Fate.CONFLICT)
    return fates


def _copied(connection: Connection, queries: Queries, rows: bytes, count: int, *, judged: bool) -> bool:
    """Copy all readings, or none and return False when one is on record already or the server left one out."""
    taken = 0
    try:
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(queries["copy_judged_readings" if judged else "copy_readings"]) as copy:
                copy.write(rows)
            taken = cursor.rowcount
            if taken != count:
                raise psycopg.Rollback
    except psycopg.errors.UniqueViolation:
        return False
    return taken == count


def _inserted(
    connection: Connection, queries: Queries, offered: dict[_Key, _Content]
) -> tuple[set[_Key], dict[_Key, float]]:
    """Insert what is absent; return the keys stored now and the values of those that were there."""
    stored: set[_Key] = set()
    present: dict[_Key, float] = {}
    left = list(offered)
    for _ in range(_ROUNDS):
        ids, times = Int4s([key[0] for key in left]), Int8s([key[1] for key in left])
        contents = [offered[key] for key in left]
        rows = connection.execute(
            queries["insert_readings"],
            {
                "channel_ids": ids,
                "observed_ms": times,
                "values": Floats([value for value, _ in contents]),
                "qualities": Int2s([quality for _, quality in contents]),
            },
        )
        stored.update(rows)
        left = [key for key in left if key not in stored]
        if not left:
            return stored, present
        bounds = {"first_ms": min(key[1] for key in left), "last_ms": max(key[1] for key in left)}
        ids, times = Int4s([key[0] for key in left]), Int8s([key[1] for key in left])
        found = connection.execute(queries["list_readings"], {"channel_ids": ids, "observed_ms": times} | bounds)
        present.update({(channel_id, ms): value for channel_id, ms, value in found})
        left = [key for key in left if key not in present]
        if not left:
            return stored, present
    raise TransientError(f"the database neither stored nor showed {len(left)} readings")
