"""Rules and holds, written and listed: what a person in charge decides, `prune.py` obeys."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.ingest.history.plan import Span
from hanlu.ingest.history.retention import Rule

__all__ = ["drop_rule", "holds", "place_hold", "release_hold", "rules", "set_arrival_days", "set_rule"]

_QUERIES = load_queries("hanlu.ingest.history")


def rules(connection: Connection) -> list[Rule]:
    """Return the rules in force."""
    return [Rule(*row) for row in connection.execute(_QUERIES["retention_rules"])]


def set_rule(connection: Connection, rule: Rule, *, note: str, by: str) -> None:
    """Write a rule, in place of an earlier one for the same things.

    Raises:
        NotFoundError: the registry knows nothing of that name.
    """
    _demand(connection, rule.kind, rule.code)
    connection.execute(
        _QUERIES["retention_rule_set"],
        {
            "kind": rule.kind,
            "code": rule.code,
            "raw_days": rule.raw_days,
            "hour_days": rule.hour_days,
            "day_days": rule.day_days,
            "note": note,
            "by": by,
        },
    )


def set_arrival_days(connection: Connection, days: int | None, *, by: str) -> None:
    """Say for how many days arrivals are kept, at least 7; None for ever.

    Raises:
        NotFoundError: there is no rule for all, which says it.
    """
    if connection.execute(_QUERIES["retention_arrivals_set"], {"days": days, "by": by}).fetchone() is None:
        raise NotFoundError("arrivals are kept by the rule for all, and there is none: set it first")


def drop_rule(connection: Connection, kind: str, code: str) -> None:
    """Forget a rule; the one for all can only be changed.

    Raises:
        NotFoundError: there is none.
    """
    if connection.execute(_QUERIES["retention_rule_drop"], {"kind": kind, "code": code}).fetchone() is None:
        raise NotFoundError(f"there is no rule for {kind} {code} that could be dropped")


def place_hold(
    connection: Connection, kind: str, code: str, span: Span, *, open_ended: bool, reason: str, by: str
) -> tuple[int, int]:
    """Hold what a thing's channels measured in a span; return the hold's number and how many channels it means now.

    Args:
        connection: as owner.
        kind: all, site, zone, channel or lot.
        code: of the site or zone, gateway/device/metric, or the lot's URI; empty for all.
        span: what is held, whole days of China time.
        open_ended: hold what is still to come as well; the span's end is not looked at.
        reason: for whoever asks later.
        by: who places it.

    Raises:
        NotFoundError: there is nothing of that name.
    """
    _demand(connection, kind, code)
    row = connection.execute(
        _QUERIES["hold_place"],
        {
            "kind": kind,
            "code": code,
            "from_at": from_ms(span.from_ms),
            "to_at": None if open_ended else from_ms(span.to_ms),
            "reason": reason,
            "by": by,
        },
    ).fetchone()
    connection.execute(_QUERIES["hold_resolve"])
    assert row is not None
    hold_id = int(row[0])
    return hold_id, next(each["channels"] for each in holds(connection) if each["hold_id"] == hold_id)


def release_hold(connection: Connection, hold_id: int, by: str) -> None:
    """Release a hold; what it held goes with the next run if its time is over.

    Raises:
        NotFoundError: no such hold stands.
    """
    if connection.execute(_QUERIES["hold_release"], {"hold_id": hold_id, "by": by}).fetchone() is None:
        raise NotFoundError(f"hold {hold_id} does not stand")


def holds(connection: Connection) -> list[dict[str, Any]]:
    """Return every hold with the number of channels it was found to mean, those that stand first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUERIES["hold_list"]).fetchall()


def _demand(connection: Connection, kind: str, code: str) -> None:
    row = connection.execute(_QUERIES["retention_known"], {"kind": kind, "code": code}).fetchone()
    if row is None or not row[0]:
        raise NotFoundError(f"there is no {kind.replace('_', ' ')} {code!r}")
