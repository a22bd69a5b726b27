"""Everything about one lot that a stranger needs to check it: the pure bundle, filled from the database.

The checkpoint is the newest one that the chain holds if it covers the lot's newest leaf; else the newest signed one,
whose anchor is still to come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.log.bundle import MAX_ITEMS, Anchor, BundleItem, build_bundle
from hanlu.trace.log.leaf import parse_leaf
from hanlu.trace.log.store import TileStore, newest_checkpoint, required_identity

__all__ = ["lot_bundle"]

_SQL = load_queries("hanlu.trace")


def lot_bundle(connection: Connection, lot_uri: str) -> dict[str, Any]:
    """Return the bundle of one lot (format `hanlu-bundle@1`, described in `log/bundle.py`).

    Args:
        connection: Any connection of the room; read in one snapshot if it is in a repeatable-read transaction, and
            safe without, since the log only grows.
        lot_uri: Canonical Digital Link of the lot.

    Raises:
        NotFoundError: The log holds nothing about the lot yet.
    """
    identity = required_identity(connection)
    # The anchor is read first: whatever is appended meanwhile lies behind it and is noticed by its leaf index.
    anchor = _anchor(connection)
    rows = _leaves(connection, lot_uri)
    if not rows:
        raise NotFoundError(f"the log holds nothing about {lot_uri} yet")
    newest = newest_checkpoint(connection)
    assert newest is not None  # a leaf and its checkpoint are committed together
    last_index = rows[-1]["leaf_index"]
    size, note = newest.size, newest.note
    if anchor is not None and anchor.size > last_index:
        size, note = anchor.size, _note(connection, anchor.size)
    else:
        anchor = None
    store = TileStore(connection)
    store.fetch_paths(size, [row["leaf_index"] for row in rows])
    tree = store.reader(size)
    items = [
        BundleItem(
            leaf=parse_leaf(json.loads(bytes(row["leaf"]))),
            document=json.loads(bytes(row["canonical"])),
            index=row["leaf_index"],
            path=tree.inclusion_path(row["leaf_index"]),
        )
        for row in rows
    ]
    return build_bundle(identity.key, note, items, anchor)


def _leaves(connection: Connection, lot_uri: str) -> Sequence[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        return cursor.execute(_SQL["lot_leaves"], {"lot_uri": lot_uri, "most": MAX_ITEMS + 1}).fetchall()


def _note(connection: Connection, size: int) -> str:
    row = connection.execute(_SQL["checkpoint_at"], {"tree_size": size}).fetchone()
    assert row is not None  # anchors refer to checkpoints
    return str(row[2])


def _anchor(connection: Connection) -> Anchor | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["checkpoint_anchored"]).fetchone()
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
