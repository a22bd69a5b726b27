"""Following what ingest commits: EPCIS documents to capture, readings whose curves the log must look at again.

A cursor moves in the transaction that does the work, so each document is captured and each arrival marked exactly
once, whatever dies when. A document that breaks the standard becomes a dead letter with its bytes and the reason, and
the next one is taken; only the database being away stops the feed, until it is back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from hanlu.core.clock import Clock, from_ms
from hanlu.core.observe import log
from hanlu.core.rejected import Reason, Rejected
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.capture import LimitError, capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig, FollowConfig
from hanlu.trace.curve_log import mark_curves

__all__ = ["FeedResult", "follow_arrivals", "follow_events"]

_SQL = load_queries("hanlu.trace")
_LOG = logging.getLogger(__name__)
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What one look at the event feed did.

    Attributes:
        documents: Documents taken from the feed.
        events: Events stored.
        known: Events that were there already.
        refused: Documents that became dead letters.
    """

    documents: int = 0
    events: int = 0
    known: int = 0
    refused: int = 0


def follow_events(
    connection: Connection, follow: FollowConfig, capture: CaptureConfig, curve: CurveConfig, clock: Clock
) -> FeedResult:
    """Capture the gateways' documents that came since the last look, at most one batch.

    Args:
        connection: In the trace room's role, in autocommit mode.
        follow: Size of a batch.
        capture: Limits of a document.
        curve: How curves are cut.
        clock: The time.

    Raises:
        psycopg.OperationalError: The database is away; what was taken so far is kept.
    """
    documents = events = known = refused = 0
    for row in _next(connection, "event_feed_next", "event", follow.feed_batch):
        taken = _take(connection, row, capture, curve, clock.now_ms())
        documents += 1
        if isinstance(taken, Rejected):
            refused += 1
        else:
            events, known = events + taken[0], known + taken[1]
    return FeedResult(documents, events, known, refused)


def _take(
    connection: Connection, row: dict[str, Any], capture: CaptureConfig, curve: CurveConfig, now_ms: int
) -> tuple[int, int] | Rejected:
    """Capture one document or keep it as a dead letter; either way move the cursor in the same transaction."""
    try:
        with connection.transaction():
            result = _capture(connection, row, capture, curve, now_ms)
            if isinstance(result, Rejected):
                _refuse(connection, row, result, now_ms)
            _move(connection, "event", row)
            return result
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        # The bytes passed every check of ours and the database still says no: keep them, and go on with the next.
        refusal = Rejected(Reason.DATABASE_REFUSED, str(error).splitlines()[0])
        with connection.transaction():
            _refuse(connection, row, refusal, now_ms)
            _move(connection, "event", row)
        return refusal


def _capture(
    connection: Connection, row: dict[str, Any], capture: CaptureConfig, curve: CurveConfig, now_ms: int
) -> tuple[int, int] | Rejected:
    try:
        done = capture_document(
            connection,
            bytes(row["event"]),
            source=f"gateway:{row['gateway']}",
            evidence=row["evidence"],
            now_ms=now_ms,
            capture=capture,
            curve=curve,
        )
    except LimitError as error:
        return Rejected(Reason.OVERSIZED, str(error))
    if not done.success:
        shown = [str(problem) for problem in done.problems[:_MOST_PROBLEMS]]
        more = len(done.problems) - len(shown)
        return Rejected(Reason.INVALID_EVENT, "; ".join(shown) + (f"; and {more} more" if more else ""))
    return len(done.hashes), len(done.known)


def _refuse(connection: Connection, row: dict[str, Any], refusal: Rejected, now_ms: int) -> None:
    log(_LOG, logging.WARNING, "trace.event.refuse", refusal.detail, arrival=row["arrival_id"], gateway=row["gateway"])
    connection.execute(
        _SQL["dead_letter_insert"],
        {
            "arrival_id": row["arrival_id"],
            "reason": refusal.reason.value,
            "detail": refusal.detail,
            "body": bytes(row["event"]),
            "now": from_ms(now_ms),
        },
    )


def follow_arrivals(connection: Connection, follow: FollowConfig, curve: CurveConfig, clock: Clock) -> int:
    """Mark the pieces of curves that newly stored readings belong to, at most one batch of arrivals.

    Args:
        connection: In the trace room's role, in autocommit mode.
        follow: Size of a batch.
        curve: How curves are cut.
        clock: The time.

    Returns:
        How many arrivals were looked at.
    """
    with connection.transaction():
        rows = _next(connection, "arrival_feed_next", "arrival", follow.arrival_batch)
        if rows:
            cells = {cell for row in rows for cell in zip(row["channel_ids"], row["observed_ms"], strict=True)}
            mark_curves(connection, cells, curve, clock.now_ms())
            _move(connection, "arrival", rows[-1])
    return len(rows)


def _next(connection: Connection, query: str, cursor_name: str, most: int) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        at = cursor.execute(_SQL["cursor_read"], {"name": cursor_name}).fetchone() or {"txid": "0", "arrival_id": 0}
        return cursor.execute(_SQL[query], {**at, "most": most}).fetchall()


def _move(connection: Connection, cursor_name: str, row: dict[str, Any]) -> None:
    values = {"name": cursor_name, "txid": row["txid"], "arrival_id": row["arrival_id"]}
    connection.execute(_SQL["cursor_write"], values)
