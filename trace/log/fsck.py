"""Checking the whole log: every leaf, chain, tile, root and signature computed anew from what is stored.

Reads one snapshot and changes nothing. What it finds is a list of findings, never an exception; an empty list means
that the log is what its checkpoints say. Memory: some 200 bytes a leaf.

Source: RFC 9162, sections 2.1.1 and 2.1.3; C2SP tlog-tiles, tlog-checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import IsolationLevel
from psycopg.rows import dict_row

from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.epcis.event_hash import event_hash
from hanlu.trace.log.checkpoint import parse_signed_checkpoint
from hanlu.trace.log.leaf import canonical_bytes, parse_leaf
from hanlu.trace.log.merkle import MemoryTree, leaf_hash
from hanlu.trace.log.store import LogIdentity, log_identity
from hanlu.trace.log.tiles import TILE_WIDTH, tiles_of

__all__ = ["Finding", "fsck"]

_SQL = load_queries("hanlu.trace")
_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
        code: What kind: identity, leaf, chain, document, event, tile, checkpoint, signature, missing, anchor.
        subject: Where, such as ``leaf 41``.
        detail: What is wrong.
    """

    code: str
    subject: str
    detail: str


def fsck(connection: Connection) -> list[Finding]:
    """Check the log of this database.

    Args:
        connection: Outside a transaction; its isolation level is set for this one.

    Returns:
        What is wrong, in the order of the log; empty when all is well.
    """
    before = connection.isolation_level
    if connection.info.transaction_status.name != "IDLE":
        connection.commit()
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            return list(_check(connection))
    finally:
        connection.isolation_level = before


def _rows(connection: Connection, name: str, **values: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query page by page, so that a large log is not held in memory."""
    with connection.cursor(f"fsck_{name}", row_factory=dict_row) as cursor:
        cursor.itersize = _PAGE
        cursor.execute(_SQL[name], values)
        yield from cursor


def _check(connection: Connection) -> Iterator[Finding]:
    identity = log_identity(connection)
    tree = MemoryTree()
    points = list(_rows(connection, "fsck_checkpoints"))
    if identity is None:
        if points:
            yield Finding("identity", "log", "there are checkpoints, but no record of the log's creation")
        return
    yield from _check_leaves(connection, tree)
    for row in points:
        yield from _check_checkpoint(identity, tree, row)
    newest = points[-1]["tree_size"] if points else 0
    if newest != tree.size:
        yield Finding("checkpoint", "newest", f"it covers {newest} leaves, {tree.size} are stored")
    yield from _check_tiles(connection, tree, min(newest, tree.size))
    for row in _rows(connection, "fsck_forgotten"):
        yield Finding("missing", f"event {row['event_id']}", f"no leaf and no place in the queue for {row['lot_uri']}")
    yield from _check_anchors(connection)


def _check_leaves(connection: Connection, tree: MemoryTree) -> Iterator[Finding]:
    ends: dict[str, tuple[int, str | None]] = {}
    for row in _rows(connection, "fsck_leaves"):
        where = f"leaf {row['leaf_index']}"
        data = bytes(row["leaf"])
        if row["leaf_index"] != tree.size:
            yield Finding("missing", f"leaf {tree.size}", f"the next stored leaf is {row['leaf_index']}")
        if leaf_hash(data) != bytes(row["leaf_hash"]):
            yield Finding("leaf", where, "its hash is not that of its bytes")
        tree.append(leaf_hash(data))
        try:
            leaf = parse_leaf(json.loads(data))
        except ValueError as error:
            yield Finding("leaf", where, str(error))
            continue
        if leaf.data() != data:
            yield Finding("leaf", where, "its bytes are not canonical")
        if (leaf.lot, leaf.n) != (row["lot_uri"], row["lot_counter"]):
            yield Finding("leaf", where, "lot or counter differ from the columns beside it")
        n, prev = ends.get(leaf.lot, (0, None))
        if (leaf.n, leaf.prev) != (n + 1, prev):
            yield Finding("chain", where, f"it does not follow leaf {n} of {leaf.lot}")
        ends[leaf.lot] = (leaf.n, leaf.hash().hex())
        yield from _check_document(where, row, leaf.jcs, leaf.cbv)


def _check_document(where: str, row: dict[str, Any], jcs: str, cbv: str | None) -> Iterator[Finding]:
    if row["canonical"] is None:
        yield Finding("document", where, "the event or piece of curve it commits to is gone")
        return
    canonical = bytes(row["canonical"])
    if "sha256:" + hashlib.sha256(canonical).hexdigest() != jcs:
        yield Finding("document", where, "the stored document does not have the leaf's digest")
        return
    document = json.loads(canonical)
    if canonical_bytes(document) != canonical:
        yield Finding("document", where, "the stored bytes are not canonical")
    if row["event_hash"] is None:
        return
    if cbv != row["event_hash"] or event_hash(document, document.get("@context")) != row["event_hash"]:
        yield Finding("event", where, "leaf, event and event hash do not agree")
    if row["shown"] != document:
        yield Finding("event", where, "the event's columns show another document than its bytes")


def _check_checkpoint(identity: LogIdentity, tree: MemoryTree, row: dict[str, Any]) -> Iterator[Finding]:
    where = f"checkpoint {row['tree_size']}"
    try:
        signed = parse_signed_checkpoint(row["note"])
    except ValueError as error:
        yield Finding("checkpoint", where, str(error))
        return
    said = signed.checkpoint
    if not signed.signed_by(identity.key):
        yield Finding("signature", where, "the log's key did not sign it")
    if (said.origin, said.size, said.root) != (identity.origin, row["tree_size"], bytes(row["root_hash"])):
        yield Finding("checkpoint", where, "its text says something else than the columns beside it")
    if said.size > tree.size:
        yield Finding("checkpoint", where, f"it covers more than the {tree.size} stored leaves")
    elif tree.root(said.size) != said.root:
        yield Finding("checkpoint", where, "its root is not that of the stored leaves")


def _check_tiles(connection: Connection, tree: MemoryTree, size: int) -> Iterator[Finding]:
    stored = {(row["level"], row["tile_index"]): bytes(row["hashes"]) for row in _rows(connection, "fsck_tiles")}
    for tile in tiles_of(size):
        first = tile.index * TILE_WIDTH
        right = b"".join(tree.node(8 * tile.level, first + place) for place in range(tile.width))
        held = stored.pop((tile.level, tile.index), None)
        if held is None:
            yield Finding("missing", tile.path, "the tile is not stored")
        elif held != right:
            yield Finding("tile", tile.path, "its hashes are not those of the leaves")
    for level, index in sorted(stored):
        yield Finding("tile", f"tile {level}/{index}", "it lies beyond the newest checkpoint")


def _check_anchors(connection: Connection) -> Iterator[Finding]:
    rows = list(_rows(connection, "fsck_anchors"))
    if not rows:
        return
    # Loading the chain's libraries takes longer than checking a small log: only a log with anchors pays for it.
    from hanlu.trace.anchor.web3_chain import head_after

    heads: dict[int, tuple[int, bytes]] = {}
    for row in rows:
        where = f"anchor {row['seq']} of contract {row['contract']}"
        seq, head = heads.get(row["chain_no"], (0, bytes(row["genesis_head"])))
        made = head_after(bytes(row["prev_head"]), row["seq"], row["tree_size"], bytes(row["root_hash"]))
        if (row["seq"], bytes(row["prev_head"])) != (seq + 1, head):
            yield Finding("anchor", where, "it does not follow the one before")
        if made != bytes(row["head"]):
            yield Finding("anchor", where, "its head is not the hash of what it anchors")
        if bytes(row["root_hash"]) != bytes(row["checkpoint_root"]):
            yield Finding("anchor", where, f"its root is not that of checkpoint {row['tree_size']}")
        heads[row["chain_no"]] = (row["seq"], bytes(row["head"]))
