"""The spool: what devices were told is safe, kept until the platform says it is committed.

One SQLite file in WAL mode with `synchronous=FULL`: `append` returns after the disk has the bytes, so the crash window
of an acknowledged line is zero, and a line without an answer may or may not be there. A message is sealed (seq, chain,
running total, signature) when it is appended; whatever is sent again is the same bytes. Messages leave only by
`delete_committed`, that is, on a receipt.

The running state (epoch, head, digest of the last message, totals) is one row, changed in the same transaction as
the messages, so no crash can part them. Memory is bounded whatever the backlog: messages are read by pages.

When full (`max_bytes` of pending messages), readings are turned away and *counted in the file*; as soon as a tenth is
free again the count goes out as one LOSS message with reason `spool_full`. Events, births and declared losses may
still use a reserve of a tenth above `max_bytes`. A damaged file is set aside whole, beside its successor with a new
epoch, and logged as an error: nothing is deleted, nothing continues on a doubtful chain (`spool_file.py`). Where the
numbers no longer mean the same here and at the platform, `begin_epoch` gives what waits new ones.

One process has the file (SQLite's exclusive lock); any of its threads may call.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError
from hanlu.core.observe import log
from hanlu.core.rejected import Rejected
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType, Header, digest, key_id, open_envelope, public_bytes, seal
from hanlu.gateway.item import Item, Kind, Refused, SpoolStats, Stored
from hanlu.gateway.spool_file import State, open_or_set_aside, read_state, translated, write_state

__all__ = ["Spool"]

_logger = logging.getLogger(__name__)

_DELETE_PAGE: Final = 2_000
"""Messages deleted in one transaction: keeps the lock short for the driver."""

_RENEW_PAGE: Final = 500
"""Messages sealed anew between two looks at the file: bounds the memory, not the transaction."""

_LOSS_AT_MOST: Final = 10_000_000
"""Readings one LOSS message may speak for (`Loss.count`)."""


class Spool:
    """The messages of one gateway, from the device's acknowledgement to the platform's receipt."""

    def __init__(self, path: Path, key: Ed25519PrivateKey, clock: Clock, *, max_bytes: int = 1 << 30) -> None:
        """Open the spool in `path`, making it when absent.

        Raises:
            ConflictError: another process has it open.
            FatalError: a newer version of Hanlu made it.
            TransientError: the disk refuses.
        """
        self._path, self._key, self._clock, self._max_bytes = path, key, clock, max_bytes
        self._kid = key_id(public_bytes(key))
        self._lock = threading.RLock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with translated():
            self._db, self._state = open_or_set_aside(path, clock.now_ms())
        self._full = self._state.pending_bytes >= max_bytes or (
            self._state.refused.count > 0 and not self._has_room(self._state)
        )

    @property
    def epoch(self) -> bytes:
        """Return the identity of this spool, 16 bytes."""
        return self._state.epoch

    @property
    def head(self) -> int:
        """Return the last seq given out; 0 before the first."""
        return self._state.head

    @property
    def committed(self) -> int:
        """Return the last seq receipted: everything above it up to `head` is here."""
        return self._state.committed

    def accepts(self, kind: Kind, *, loss: bool = False) -> bool:
        """Tell whether there is room for a message of `kind` (`loss`: a declared loss, which may use the reserve)."""
        if kind is Kind.READING and not loss:
            return not self._full
        return self._state.pending_bytes < self._max_bytes + self._max_bytes // 10

    def append(self, items: Sequence[Item], refused: Refused | None = None) -> range:
        """Seal `items` in their order and keep them; on return the disk has them.

        Args:
            items: messages, taken together in one transaction.
            refused: readings turned away meanwhile, to be declared lost once there is room.

        Returns:
            The seqs given; empty for no items.

        Raises:
            TransientError: the disk is full or failing; nothing was kept.
            FatalError: the file is damaged: start again, and opening sets it aside.
        """
        with self._lock, translated():
            state, rows = self._state, []
            if refused is not None and refused.count:
                state = replace(state, refused=state.refused + refused)
            for item in items:
                state, row = self._sealed(state, item)
                rows.append(row)
            self._commit(state, rows)
            if not self._full and state.pending_bytes >= self._max_bytes:
                self._full = True
                log(_logger, logging.ERROR, "gateway.spool.full", f"{self._path} is full: readings are turned away")
            return range(state.head - len(rows) + 1, state.head + 1)

    def next_after(self, seq: int, limit: int) -> list[Stored]:
        """Return up to `limit` messages with seqs above `seq`, lowest first."""
        with self._lock, translated():
            cursor = self._db.execute(
                "SELECT seq, kind, created_ms, raw FROM message WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            )
            return [Stored(row[0], Kind(row[1]), row[2], row[3]) for row in cursor]

    def delete_committed(self, seq: int) -> int:
        """Delete every message up to and with `seq`, on the word of a receipt and on nothing else.

        Returns:
            How many were deleted.

        Raises:
            ValueError: `seq` was never given out in this epoch.
        """
        if seq > self.head:
            raise ValueError(f"seq {seq} was never given out, the last is {self.head}")
        before = self.committed
        while self.committed < seq:
            with self._lock, translated():
                upto = min(seq, self._state.committed + _DELETE_PAGE)
                (freed,) = self._db.execute(
                    "SELECT COALESCE(SUM(LENGTH(raw)), 0) FROM message WHERE seq <= ?", (upto,)
                ).fetchone()
                state = replace(self._state, committed=upto, pending_bytes=self._state.pending_bytes - freed)
                self._commit(state, [], delete_upto=upto)
        self._declare_refused()
        return self.committed - before

    def begin_epoch(self) -> int:
        """Seal every pending message anew, in its order, from seq 1 of a new epoch; return how many.

        For a spool restored from a copy, whose next numbers the platform has seen with other content, and for a
        platform restored from a copy, which asks for what was deleted on its word: on the old numbers neither would
        ever come to an end. What had arrived all the same is known there by channel and time.

        Raises:
            TransientError: the disk is full or failing; all is as it was.
            FatalError: the file is damaged.
        """
        with self._lock, translated():
            before = self._state.committed
            state = State(epoch=secrets.token_bytes(16), refused=self._state.refused)
            with self._transaction() as db:
                while page := self.next_after(before, _RENEW_PAGE):
                    rows: list[Stored] = []
                    for old in page:
                        state, row = self._sealed(state, _unsealed(old))
                        rows.append(replace(row, created_ms=old.created_ms))
                    # New numbers never reach the old ones still to be read: they count the same messages from 1.
                    db.execute("DELETE FROM message WHERE seq BETWEEN ? AND ?", (page[0].seq, page[-1].seq))
                    _insert(db, rows)
                    before = page[-1].seq
                write_state(db, state)
            self._state = state
            return state.head

    def stats(self) -> SpoolStats:
        """Return the spool's figures now."""
        with self._lock:
            state = self._state
            oldest = self.next_after(state.committed, 1)
            age_ms = self._clock.now_ms() - oldest[0].created_ms if oldest else 0
            return SpoolStats(
                epoch=state.epoch.hex(),
                head=state.head,
                committed=state.committed,
                pending=state.head - state.committed,
                pending_bytes=state.pending_bytes,
                oldest_age_s=max(age_ms, 0) / 1000,
                produced=state.produced,
                refused=state.refused.count,
                full=self._full,
            )

    def close(self) -> None:
        """Give the file back; calling again does nothing."""
        with self._lock:
            self._db.close()

    def _has_room(self, state: State) -> bool:
        return state.pending_bytes <= self._max_bytes - self._max_bytes // 10

    def _declare_refused(self) -> None:
        """Once a tenth is free again, say what was turned away, in the transaction that forgets the count."""
        with self._lock, translated():
            state = self._state
            if not self._has_room(state):
                return
            rows: list[Stored] = []
            while (left := state.refused).count:
                count = min(left.count, _LOSS_AT_MOST)
                loss = Loss(reason="spool_full", count=count, from_ms=left.from_ms, to_ms=left.to_ms)
                payload = loss.model_dump_json(exclude_none=True).encode()
                state = replace(state, refused=replace(left, count=left.count - count))
                state, row = self._sealed(state, Item(Kind.READING, ContentType.LOSS, payload, count))
                rows.append(row)
            if rows:
                lost = self._state.refused.count
                self._commit(replace(state, refused=Refused(0)), rows)
                log(_logger, logging.ERROR, "gateway.spool.loss", f"{lost} readings were lost: the spool was full")
            self._full = False

    def _sealed(self, state: State, item: Item) -> tuple[State, Stored]:
        produced = state.produced + item.count
        seq = state.head + 1
        header = Header(self._kid, item.content_type, state.epoch, seq, state.prev, item.count, produced, item.replayed)
        raw = seal(header, item.payload, self._key)
        after = replace(
            state, head=seq, prev=digest(raw), produced=produced, pending_bytes=state.pending_bytes + len(raw)
        )
        return after, Stored(seq, item.kind, self._clock.now_ms(), raw)

    def _commit(self, state: State, rows: Sequence[Stored], delete_upto: int = 0) -> None:
        """Write it all or nothing; what memory believes changes only after the disk has it."""
        if state == self._state:
            return
        with self._transaction() as db:
            if delete_upto:
                db.execute("DELETE FROM message WHERE seq <= ?", (delete_upto,))
            _insert(db, rows)
            write_state(db, state)
        self._state = state

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._state = read_state(db)  # a commit that failed late may be there after all: the file decides
            raise


def _insert(db: sqlite3.Connection, rows: Sequence[Stored]) -> None:
    db.executemany(
        "INSERT INTO message (seq, kind, created_ms, raw) VALUES (?, ?, ?, ?)",
        [(row.seq, row.kind.value, row.created_ms, row.raw) for row in rows],
    )


def _unsealed(message: Stored) -> Item:
    envelope = open_envelope(message.raw)
    if isinstance(envelope, Rejected):
        raise FatalError(f"message {message.seq} of the spool cannot be read: {envelope.detail}")
    header = envelope.header
    return Item(message.kind, header.content_type, envelope.payload, header.count, header.replayed)
