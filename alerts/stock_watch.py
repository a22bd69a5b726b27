"""Goods that run low or out, from what the stock room publishes.

The contract is the view `stock.level_v`; while there is none, nothing is watched and nothing is wrong:

    site_id bigint       where, as in registry.site
    item text            key of the goods at that site, unique with site_id
    item_zh, item_en     how people call them
    quantity numeric     what is there now, in `unit`
    unit text            e.g. kg
    minimum numeric      below it, alarm `stock`; null: no minimum
    reserve numeric      what has to be kept for emergencies; below it, alarm `reserve`; null: none
    expires_at timestamptz   the earliest date of what is there; near or past it, alarm `expiry`; null: none

`hanlu_alerts` needs SELECT on it and USAGE on its schema. An item that is not listed any more has no alarm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row

from hanlu.alerts.judge.contract import Move
from hanlu.alerts.judge.room import Assigned
from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.occurrence import Subject
from hanlu.alerts.outcome import Change
from hanlu.alerts.rules.assign import Place, Versioned, assign_place
from hanlu.core.observe import log
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Level", "find", "look"]

_QUERIES = load_queries("hanlu.alerts")
_LOGGER = logging.getLogger(__name__)
_DAY_MS = 86_400_000
PATIENCE_MS: Final = 5_000
"""Readings wait while another room's view is asked: no longer than that."""


class Level(NamedTuple):
    """One row of the contract; the date in Unix milliseconds."""

    site_id: int
    item: str
    item_zh: str
    item_en: str
    quantity: float
    unit: str
    minimum: float | None
    reserve: float | None
    expires_ms: int | None


def look(connection: Connection, rules: Sequence[Versioned], now_ms: int) -> dict[Kind, dict[Subject, Change]]:
    """Return what there is to alarm about goods now, by kind (every kind of goods is there, perhaps empty).

    A view that cannot be read (another shape, other types, no right, too slow) is told in the log, and no kind is
    returned: what is known of goods stays as it is, and everything else is judged as ever.
    """
    try:
        with connection.transaction(), connection.cursor(row_factory=class_row(Level)) as cursor:
            cursor.execute(_QUERIES["stock_patience"], {"timeout_ms": PATIENCE_MS})
            levels = cursor.execute(_QUERIES["stock_levels"]).fetchall()
    except psycopg.Error as error:
        if connection.closed:
            raise
        words = f"stock.level_v cannot be read, goods are not watched: {str(error).splitlines()[0]}"
        log(_LOGGER, logging.ERROR, "alerts.stock.unreadable", words)
        return {}
    if not levels:
        return {kind: {} for kind in ITEM_KINDS}
    places = connection.execute(_QUERIES["stock_places"])
    in_force = {
        site_id: assign_place(rules, Place(site, tuple(organisations))) for site_id, site, organisations in places
    }
    return find(levels, in_force, now_ms)


def find(
    levels: Iterable[Level], in_force: Mapping[int, Sequence[Assigned]], now_ms: int
) -> dict[Kind, dict[Subject, Change]]:
    """Return what `levels` mean under the rules in force at each site."""
    found: dict[Kind, dict[Subject, Change]] = {kind: {} for kind in ITEM_KINDS}
    for level in levels:
        for rule in in_force.get(level.site_id, ()):
            if (limit := _beyond(level, rule, now_ms)) is not None:
                subject = Subject(None, rule.kind, level.site_id, level.item)
                found[rule.kind][subject] = Change(
                    subject, Move.RAISE, now_ms, limit, rule, level.quantity, level.quantity, now_ms,
                    unit=level.unit, names=(level.item_zh, level.item_en),
                )  # fmt: skip
    return found


def _beyond(level: Level, rule: Assigned, now_ms: int) -> int | None:
    """Return since when a level is beyond what the rule allows, Unix milliseconds; None while it is not."""
    parameters: Any = rule.parameters
    if rule.kind is Kind.EXPIRY:
        if level.expires_ms is None:
            return None
        since_ms: int = level.expires_ms - parameters.days_before * _DAY_MS
        return min(since_ms, now_ms) if since_ms <= now_ms and level.quantity > 0 else None
    stated = level.minimum if rule.kind is Kind.STOCK else level.reserve
    least = stated if parameters.below is None else parameters.below
    return now_ms if least is not None and level.quantity < least else None
