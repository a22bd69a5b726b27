"""Everything about one lot that a stranger needs to check it: the pure bundles, filled from the database.

All bundles of one answer hang from one checkpoint, so that they are seen to be of one log in one state. It is the
newest one the chain holds if that covers the newest leaf of every lot in the answer; else the newest signed one, whose
anchor is still to come. Asked for an earlier checkpoint, the answer is what it was then: the log only grows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.lineage import counting, parents_of
from hanlu.trace.log.bundle import MAX_ITEMS, Anchor, BundleItem, build_bundle
from hanlu.trace.log.leaf import parse_leaf
from hanlu.trace.log.store import TileStore, newest_checkpoint, required_identity

__all__ = ["MAX_SOURCES", "lot_bundle", "lot_bundles"]

_SQL = load_queries("hanlu.trace")

MAX_SOURCES: Final = 20
"""Lots an answer follows back from the one asked for; the inspector's page follows all."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Point:
    """The checkpoint that an answer hangs from."""

    size: int
    note: str
    anchor: Anchor | None


def lot_bundle(connection: Connection, lot_uri: str) -> dict[str, Any]:
    """Return the bundle of one lot (format `hanlu-bundle@1`, described in `log/bundle.py`).

    Args:
        connection: Any connection of the room.
        lot_uri: Canonical Digital Link of the lot.

    Raises:
        NotFoundError: The log holds nothing about the lot yet.
    """
    return lot_bundles(connection, lot_uri, most_sources=0)[0]


def lot_bundles(
    connection: Connection, lot_uri: str, *, size: int | None = None, most_sources: int = MAX_SOURCES
) -> list[dict[str, Any]]:
    """Return the bundle of a lot and of the lots it came from, nearest first.

    Args:
        connection: Any connection of the room; no snapshot is needed, since the log only grows.
        lot_uri: Canonical Digital Link of the lot.
        size: Tree size of the checkpoint the answer is to hang from; None takes the best one.
        most_sources: Lots followed back at most; lots the log holds nothing about are passed over.

    Raises:
        NotFoundError: The log holds nothing about the lot yet, or no checkpoint of that size.
        UsageError: The lot has more records than one bundle holds.
    """
    identity = required_identity(connection)
    # Anchor and checkpoint are read first: whatever is appended meanwhile lies behind them and is left out.
    anchor = _anchor(connection, size)
    point = _newest(connection) if size is None else _Point(size, _note(connection, size), anchor)
    rows = _family(connection, lot_uri, point.size, most_sources)
    if not rows:
        raise NotFoundError(f"the log holds nothing about {lot_uri} yet")
    if size is None and anchor is not None and anchor.size > max(lot[-1]["leaf_index"] for lot in rows.values()):
        point = _Point(anchor.size, _note(connection, anchor.size), anchor)
    store = TileStore(connection)
    store.fetch_paths(point.size, [row["leaf_index"] for lot in rows.values() for row in lot])
    tree = store.reader(point.size)
    return [
        build_bundle(
            identity.key,
            point.note,
            [
                BundleItem(
                    leaf=row["entry"],
                    document=row["document"],
                    index=row["leaf_index"],
                    path=tree.inclusion_path(row["leaf_index"]),
                )
                for row in lot
            ],
            point.anchor,
        )
        for lot in rows.values()
    ]


def _family(connection: Connection, lot_uri: str, size: int, most_sources: int) -> dict[str, list[Row]]:
    """Return the leaves of the lot and of its sources, by lot, nearest first."""
    found: dict[str, list[Row]] = {}
    waiting, seen = [lot_uri], set()
    while waiting and len(found) <= most_sources:
        uri = waiting.pop(0)
        if uri in seen:
            continue
        seen.add(uri)
        rows = _leaves(connection, uri, size)
        if rows:
            found[uri] = rows
            events = counting([(row["entry"].cbv, row["document"]) for row in rows])
            waiting.extend(parents_of(uri, events))
        elif uri == lot_uri:
            return {}
    return found


def _leaves(connection: Connection, lot_uri: str, size: int) -> list[Row]:
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute(_SQL["lot_leaves"], {"lot_uri": lot_uri, "most": MAX_ITEMS + 1}).fetchall()
    if len(rows) > MAX_ITEMS:
        raise UsageError(f"{lot_uri} has more records than the {MAX_ITEMS} one bundle holds")
    kept = [row for row in rows if row["leaf_index"] < size]
    for row in kept:
        row["entry"] = parse_leaf(json.loads(bytes(row["leaf"])))
        row["document"] = json.loads(bytes(row["canonical"]))
    return kept


def _newest(connection: Connection) -> _Point:
    checkpoint = newest_checkpoint(connection)
    if checkpoint is None:
        raise NotFoundError("the log is empty yet")
    return _Point(checkpoint.size, checkpoint.note, None)


def _note(connection: Connection, size: int) -> str:
    row = connection.execute(_SQL["checkpoint_at"], {"tree_size": size}).fetchone()
    if row is None:
        raise NotFoundError(f"the log has no checkpoint of size {size}")
    return str(row[2])


def _anchor(connection: Connection, size: int | None) -> Anchor | None:
    """Return the newest anchor the chain holds, or that of one tree size."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["checkpoint_anchored"], {"size": size}).fetchone()
    if row is None:
        return None
    return Anchor(
        chain_id=row["chain_id"],
        contract=row["contract"],
        seq=row["seq"],
        tx=row["mined_tx"],
        block=row["block_number"],
        size=row["tree_size"],
        root=bytes(row["root_hash"]),
    )
