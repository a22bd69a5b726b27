"""Pieces of a lot's curve as the log takes them: which are ripe, what they say, whether that is new.

Readings and custody mark pieces in `trace.curve_due`; a ripe one is taken out of the queue *before* its readings are
read. A reading committed in between therefore either is seen or has marked the piece anew, and none is forgotten. A
piece that says what the log said last makes no leaf; one that says something else is a higher revision; one whose
custody is gone says so by holding no points. Goods kept at any temperature (`trace.ambient_product_v`) have no curve.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms, to_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.config import CurveConfig
from hanlu.trace.log.bundle import curve_document
from hanlu.trace.log.leaf import canonical_bytes, jcs_digest

__all__ = ["CurvePiece", "mark_curves", "take_curves"]

_SQL = load_queries("hanlu.trace")


@dataclass(frozen=True, slots=True)
class CurvePiece:
    """A stored piece that waits for its leaf.

    Attributes:
        curve_chunk_id: Our number for it.
        lot_uri: Whose.
        digest: Digest of its canonical bytes, ``sha256:`` and 64 hex digits.
    """

    curve_chunk_id: int
    lot_uri: str
    digest: str


def mark_curves(connection: Connection, cells: Iterable[tuple[int, int]], curve: CurveConfig, now_ms: int) -> None:
    """Have the pieces looked at that these readings belong to.

    Args:
        connection: In the transaction that moves the follower's cursor.
        cells: (channel, instant in Unix milliseconds) of stored readings.
        curve: How curves are cut.
        now_ms: The time, Unix milliseconds UTC.
    """
    length = curve.bucket_s * 1000
    buckets = sorted({(channel, instant - instant % length) for channel, instant in cells})
    if buckets:
        connection.execute(
            _SQL["curve_mark"],
            {
                "channels": [channel for channel, _ in buckets],
                "buckets": [from_ms(start) for _, start in buckets],
                "bucket_s": curve.bucket_s,
                "most_days": curve.most_days,
                "now": from_ms(now_ms),
            },
        )


def take_curves(connection: Connection, curve: CurveConfig, now_ms: int, most: int) -> list[CurvePiece]:
    """Take ripe pieces out of the queue and store those that say something new.

    Args:
        connection: In the appending transaction, at isolation level read committed: the readings must be read in a
            later snapshot than the one in which the queue was emptied.
        curve: How curves are cut.
        now_ms: The time, Unix milliseconds UTC.
        most: Most pieces.
    """
    due = _rows(
        connection,
        "curve_take",
        bucket_s=curve.bucket_s,
        settled=from_ms(now_ms - round(curve.settle_s * 1000)),
        silent=from_ms(now_ms - round(curve.grace_s * 1000)),
        most=most,
    )
    if not due:
        return []
    pieces = _rows(
        connection,
        "curve_pieces",
        lots=[row["lot_uri"] for row in due],
        channels=[row["channel_id"] for row in due],
        events=[row["event_id"] for row in due],
        buckets=[row["bucket_at"] for row in due],
        bucket_s=curve.bucket_s,
        sample_s=curve.sample_s,
    )
    stored = []
    for row in pieces:
        document = _document(row, curve.bucket_s * 1000)
        if document is not None:
            stored.append(_store(connection, row, document))
    return stored


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _document(row: dict[str, Any], bucket_ms: int) -> dict[str, Any] | None:
    """Return what is to be said about a piece, or None when that was said last or there is nothing to say."""
    last = None if row["canonical"] is None else json.loads(bytes(row["canonical"]))
    revision = 1 if last is None else row["revision"] + 1
    stretch = _stretch(row, bucket_ms)
    if stretch is None:
        if last is None or not last["points"]:
            return None
        return {**last, "revision": revision, "points": []}
    if row["channel"] is None:  # the thermometer stands elsewhere now: what was said stays said
        return None
    points: Sequence[tuple[int, float | None]] = list(zip(row["instants"] or (), row["figures"] or (), strict=True))
    document = curve_document(
        lot=row["lot_uri"],
        zone=row["location"],
        channel=row["channel"],
        unit=row["unit"],
        from_ms=stretch[0],
        to_ms=stretch[1],
        revision=revision,
        points=points,
        custody_from=row["event_hash"],
    )
    if last is None:
        return document if points else None
    unchanged = all(document[name] == last[name] for name in ("from", "to", "points"))
    return None if unchanged else document


def _stretch(row: dict[str, Any], bucket_ms: int) -> tuple[int, int] | None:
    """Return the first and the last instant of the piece within custody, or None where they do not meet."""
    if row["from_at"] is None:
        return None
    start = to_ms(row["bucket_at"])
    end = start + bucket_ms
    first = max(start, to_ms(row["from_at"]))
    past = end if row["to_at"] is None else min(end, to_ms(row["to_at"]))
    return (first, past - 1) if first < past else None


def _store(connection: Connection, row: dict[str, Any], document: dict[str, Any]) -> CurvePiece:
    canonical = canonical_bytes(document)
    made = _rows(
        connection,
        "curve_chunk_insert",
        lot_uri=row["lot_uri"],
        channel_id=row["channel_id"],
        event_id=row["event_id"],
        bucket_at=row["bucket_at"],
        revision=document["revision"],
        from_at=from_ms(document["from"]),
        to_at=from_ms(document["to"]),
        point_count=len(document["points"]),
        canonical=canonical,
    )
    return CurvePiece(made[0]["curve_chunk_id"], row["lot_uri"], jcs_digest(document))
