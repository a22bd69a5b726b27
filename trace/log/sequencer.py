"""The log's one writer: what waits becomes leaves, tiles and a signed checkpoint. Normal running and recovery alike.

One transaction holds everything, so the gaps between the numbered steps of `append` all end the same way: nothing
happened, what waits still waits, and the next call starts over. Only two moments reach outside the transaction:

* signing (gap 6): the checkpoint exists in this process' memory alone until the commit; if we die, nobody ever sees
  it, and the next call may order the leaves otherwise and sign another checkpoint of the same size. It must therefore
  never be shown, logged or sent before the commit;
* the commit itself (gap 7): if the connection breaks before the answer, the caller does not know whether it was
  kept. It need not: the next call reads where the log ends.

Readers and the anchor see a checkpoint only when its leaves and tiles are there, because they come with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.rows import dict_row

from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import FatalError
from hanlu.core.observe import log
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.config import CurveConfig
from hanlu.trace.curve_log import take_curves
from hanlu.trace.log.checkpoint import Checkpoint, sign_checkpoint
from hanlu.trace.log.leaf import Leaf
from hanlu.trace.log.merkle import EMPTY_ROOT
from hanlu.trace.log.notes import verifier_key_for
from hanlu.trace.log.store import TileStore, newest_checkpoint, required_identity
from hanlu.trace.log.tiles import grow

__all__ = ["Appended", "append"]

_SQL = load_queries("hanlu.trace")
_LOG = logging.getLogger(__name__)
_LOCK = 0x4C4F47  # "LOG": one writer in a database


@dataclass(frozen=True, slots=True)
class Appended:
    """What one call did.

    Attributes:
        leaves: How many leaves were appended; 0 when nothing waited.
        size: Leaves in the log now.
    """

    leaves: int
    size: int


@dataclass(frozen=True, slots=True)
class _Record:
    """What a leaf is to be made of."""

    kind: Literal["event", "curve"]
    number: int
    lot_uri: str
    cbv: str | None
    jcs: str


def append(
    connection: Connection, key: Ed25519PrivateKey, curve: CurveConfig, clock: Clock, most: int
) -> Appended | None:
    """Append what waits and sign a checkpoint.

    Args:
        connection: In the trace room's role, outside a transaction, at isolation level read committed.
        key: The log's signing key.
        curve: How curves are cut.
        clock: The time.
        most: Most events and most pieces of curves in one call.

    Returns:
        What was done; None when another process is the writer.

    Raises:
        NotFoundError: The log was not created.
        FatalError: The key is another log's, or what is stored is not what the last checkpoint says: nothing is
            appended to a damaged log; run `fsck`.
        psycopg.Error: The database is away; the next call continues.
    """
    now_ms = clock.now_ms()
    with connection.transaction():
        # 1. Be alone. Die after it: the lock goes with the connection.
        if not _rows(connection, "sequence_lock", key=_LOCK)[0]["held"]:
            return None
        origin, size, root, store = _open(connection, key)
        # 2. Take what waits out of the queues. Die after it: it is back in them.
        records = _waiting(connection, curve, now_ms, most)
        if not records:
            return Appended(0, size)
        # 3. Give each its place in the log and in its lot's chain. Die after it: places are given anew.
        leaves = _chained(connection, records)
        _store_leaves(connection, size, records, leaves)
        # 4. Widen the tiles at the right edge. Die after it: they are as narrow as before.
        for tile, hashes in grow(size, [leaf.hash() for leaf in leaves], store.read).items():
            store.write(tile, hashes)
        grown = size + len(leaves)
        # 5. Read the new root out of what is stored now, not out of what we meant to store.
        fresh = TileStore(connection)
        if size and fresh.reader(size).root() != root:
            raise FatalError(f"the tiles no longer have the root of checkpoint {size}: run `hanlu trace fsck`")
        head = Checkpoint(origin, grown, fresh.reader(grown).root())
        # 6. Sign and store the checkpoint. Die after it: nobody has seen it.
        _store_checkpoint(connection, head, sign_checkpoint(head, key), now_ms)
    # 7. Committed: leaves, tiles and checkpoint appear at once.
    log(_LOG, logging.INFO, "trace.log.append", f"{len(leaves)} leaves, {grown} in all", size=grown)
    return Appended(len(leaves), grown)


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _open(connection: Connection, key: Ed25519PrivateKey) -> tuple[str, int, bytes, TileStore]:
    """Return origin, size and root of the log after looking that they belong together and to our key."""
    identity = required_identity(connection)
    if verifier_key_for(identity.origin, key) != identity.key:
        raise FatalError(f"the key file is not that of the log {identity.origin}: signing with it would split the log")
    newest = newest_checkpoint(connection)
    size, root = (newest.size, newest.root) if newest else (0, EMPTY_ROOT)
    stored = _rows(connection, "sequence_end")[0]["size"]
    if stored != size:
        raise FatalError(f"the checkpoint says {size} leaves, {stored} are stored: run `hanlu trace fsck`")
    return identity.origin, size, root, TileStore(connection)


def _waiting(connection: Connection, curve: CurveConfig, now_ms: int, most: int) -> list[_Record]:
    """Return what is to be appended: events as they were captured, then pieces of curves by time."""
    events = [
        _Record("event", row["event_id"], row["lot_uri"], row["event_hash"], "sha256:" + bytes(row["jcs_sha256"]).hex())
        for row in _rows(connection, "unsequenced_take", most=most)
    ]
    curves = [
        _Record("curve", piece.curve_chunk_id, piece.lot_uri, None, piece.digest)
        for piece in take_curves(connection, curve, now_ms, most)
    ]
    return events + curves


def _chained(connection: Connection, records: Sequence[_Record]) -> list[Leaf]:
    """Return the leaves, each naming its predecessor in its lot's chain."""
    lots = sorted({record.lot_uri for record in records})
    ends = {
        row["lot_uri"]: (row["lot_counter"], bytes(row["leaf_hash"]).hex())
        for row in _rows(connection, "lot_ends", lots=lots)
    }
    leaves = []
    for record in records:
        n, prev = ends.get(record.lot_uri, (0, None))
        leaf = Leaf(record.kind, record.cbv, record.jcs, record.lot_uri, n + 1, prev)
        ends[record.lot_uri] = (leaf.n, leaf.hash().hex())
        leaves.append(leaf)
    return leaves


def _store_leaves(connection: Connection, size: int, records: Sequence[_Record], leaves: Sequence[Leaf]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            _SQL["leaf_insert"],
            [
                {
                    "leaf_index": size + offset,
                    "leaf_hash": leaf.hash(),
                    "leaf": leaf.data(),
                    "event_id": record.number if record.kind == "event" else None,
                    "curve_chunk_id": record.number if record.kind == "curve" else None,
                    "lot_uri": leaf.lot,
                    "lot_counter": leaf.n,
                }
                for offset, (record, leaf) in enumerate(zip(records, leaves, strict=True))
            ],
        )


def _store_checkpoint(connection: Connection, head: Checkpoint, note: str, now_ms: int) -> None:
    connection.execute(
        _SQL["checkpoint_insert"],
        {"tree_size": head.size, "root_hash": head.root, "note": note, "now": from_ms(now_ms)},
    )
