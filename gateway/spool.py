"""The spool: what devices were told is safe, kept until the platform says it is committed.

One SQLite file in WAL mode with `synchronous=FULL`: `append` returns after the disk has the bytes, so the crash window
of an acknowledged line is zero, and a line without an answer may or may not be there. A message is sealed (seq, chain,
running total, signature) when it is appended; whatever is sent again is the same bytes. Messages leave only by
`delete_committed`, that is, on a receipt.

The running state (epoch, head, digest of the last message, totals) is one row, changed in the same transaction as
the messages, so no crash can part them. Memory is bounded whatever the backlog: messages are read by pages.

How full it is decides what is taken in (`policy.py`); what is not is *counted in the file* by reason and channel before
the device hears of it, and goes out as LOSS messages when the spool has emptied. A damaged file is set aside whole,
beside its successor with a new epoch, and logged as an error: nothing is deleted, nothing continues on a doubtful chain
(`spool_file.py`). Where the numbers no longer mean the same here and at the platform, `begin_epoch` gives what waits
new ones.

One process has the file (SQLite's exclusive lock); any of its threads may call.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
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
from hanlu.gateway import spool_rows as rows_of
from hanlu.gateway.clocks import EARLIEST_MS
from hanlu.gateway.item import Answered, Drop, Held, Item, Kind, KnownTime, SpoolStats, Stored
from hanlu.gateway.policy import DISK_FULL, SPOOL_FULL, Stage, gathered, stage_after
from hanlu.gateway.room import Room
from hanlu.gateway.spool_file import State, is_out_of_space, open_or_set_aside, read_state, translated, write_state

__all__ = ["Spool"]

_logger = logging.getLogger(__name__)

_DELETE_PAGE: Final = 2_000
"""Messages deleted in one transaction: keeps the lock short for the drivers."""

_RENEW_PAGE: Final = 500
"""Messages sealed anew between two looks at the file: bounds the memory, not the transaction."""

_RELEASE_PAGE: Final = 200
"""Held batches, or declared losses, that become messages in one transaction."""

_LOSS_AT_MOST: Final = 10_000_000
"""Readings one LOSS message may speak for (`Loss.count`)."""

_DROPS_AT_MOST: Final = 5_000
"""Reasons and channels counted apart; what is beyond is counted by reason alone."""

_CHECKPOINT_PAGES: Final = 1_000
"""Pages of the write-ahead log before SQLite copies them into the file."""
_CHECKPOINT_PAGES_FULL: Final = 100
"""The same while the disk is full, so that the log stays far below the reserve."""


class Spool:
    """The messages of one gateway, from the device's acknowledgement to the platform's receipt."""

    def __init__(self, path: Path, key: Ed25519PrivateKey, clock: Clock, *, max_bytes: int = 1 << 30) -> None:
        """Open the spool in `path`, making it when absent.

        Raises:
            ConflictError: another process has it open.
            FatalError: a newer version of Hanlu made it.
            TransientError: the disk refuses.
        """
        self._path, self._key, self._clock = path, key, clock
        self._kid = key_id(public_bytes(key))
        self._lock = threading.RLock()
        self._on_progress: Callable[[], None] = lambda: None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with translated():
            self._db, self._state = open_or_set_aside(path, clock.now_ms())
            self._page_size = int(self._db.execute("PRAGMA page_size").fetchone()[0])
            self._drops = rows_of.read_drops(self._db)
            self._answers = rows_of.read_answers(self._db)
            self._held: int = self._db.execute("SELECT COUNT(*) FROM held").fetchone()[0]
        self._room = Room(path, max_bytes)
        self._stage, self._used, self._why_full = Stage.OPEN, 0.0, SPOOL_FULL
        self._restage()

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

    def digest_of(self, seq: int) -> bytes | None:
        """Return SHA-256 of message `seq`, also of the last one deleted; None where nothing here knows it."""
        with self._lock:
            if seq == self._state.head:
                return self._state.prev
            if not self._state.committed <= seq < self._state.head:
                return None
            envelope = open_envelope(self.next_after(seq, 1)[0].raw)
            return None if isinstance(envelope, Rejected) else envelope.header.prev

    @property
    def stage(self) -> Stage:
        """Return how far it has filled, for the policy."""
        return self._stage

    @property
    def why_full(self) -> str:
        """Return the reason of what is stopped now: `disk_full` where the disk gives less than was configured."""
        return self._why_full

    def use_clock(self, clock: Clock, on_progress: Callable[[], None]) -> None:
        """Ask a better clock than the machine's from now on, and say when a long transaction gets on."""
        self._clock, self._on_progress = clock, on_progress

    def set_max_bytes(self, max_bytes: int) -> None:
        """Change how much may wait; what is there already stays."""
        with self._lock:
            self._room.max_bytes = max_bytes
            self._restage()

    def answered(self, key: bytes) -> bool | None:
        """Return whether a batch of which something was dropped was kept; None: never seen, or long ago."""
        return self._answers.get(key)

    @property
    def has_held(self) -> bool:
        """Whether readings wait for their time."""
        return self._held > 0

    @property
    def has_answers(self) -> bool:
        """Whether any answer is on record, so that it pays to make a batch's key."""
        return bool(self._answers)

    def append(
        self,
        items: Sequence[Item],
        *,
        drops: Sequence[Drop] = (),
        answers: Sequence[Answered] = (),
        held: Sequence[Held] = (),
    ) -> range:
        """Seal `items` in their order and keep them; on return the disk has them, and everything else given.

        Args:
            items: messages, taken together in one transaction.
            drops: readings not taken, to be declared lost later.
            answers: what the drivers of those will be told.
            held: readings that wait for their time.

        Returns:
            The seqs given; empty for no items.

        Raises:
            TransientError: the disk is full or failing; nothing was kept.
            FatalError: the file is damaged: start again, and opening sets it aside.
        """
        with self._lock, translated():
            state, rows = self._state, []
            for item in items:
                state, row = self._sealed(state, item)
                rows.append(row)
            state = replace(state, pending_bytes=state.pending_bytes + sum(len(each.body) for each in held))
            totals = self._totals(drops)
            if state == self._state and not totals:
                return range(state.head + 1, state.head + 1)
            with self._transaction() as db:
                rows_of.insert_messages(db, rows)
                if totals:
                    rows_of.write_drops(db, totals.values())
                if answers:
                    rows_of.insert_answers(db, answers)
                if held:
                    rows_of.insert_held(db, held)
                write_state(db, state)
            self._state = state
            self._drops |= totals
            self._held += len(held)
            self._answers |= {each.key: each.kept for each in answers}
            for key in list(self._answers)[: -rows_of.ANSWERS_KEPT]:
                del self._answers[key]
            self._restage()
            return range(state.head - len(rows) + 1, state.head + 1)

    def next_after(self, seq: int, limit: int) -> list[Stored]:
        """Return up to `limit` messages with seqs above `seq`, lowest first."""
        with self._lock, translated():
            return rows_of.read_messages(self._db, seq, limit)

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
                with self._transaction() as db:
                    freed = rows_of.delete_messages(db, upto)
                    state = replace(self._state, committed=upto, pending_bytes=self._state.pending_bytes - freed)
                    write_state(db, state)
                self._state = state
        self.tidy()
        return self.committed - before

    def tidy(self) -> None:
        """Look at the disk again, and once the spool has emptied declare what was dropped.

        Raises:
            TransientError: the disk refuses; what was dropped stays counted.
        """
        with self._lock, translated():
            if self._room.disk_full and self._room.recover():
                self._db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._restage()
            while self._drops and self._stage is Stage.OPEN:
                self._declare(list(self._drops.values())[:_RELEASE_PAGE])

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
            (held,) = self._db.execute("SELECT COALESCE(SUM(LENGTH(body)), 0) FROM held").fetchone()
            state = State(epoch=secrets.token_bytes(16), pending_bytes=held)
            with self._transaction() as db:
                while page := rows_of.read_messages(db, before, _RENEW_PAGE):
                    rows: list[Stored] = []
                    for old in page:
                        state, row = self._sealed(state, _unsealed(old))
                        rows.append(replace(row, created_ms=old.created_ms))
                    # New numbers never reach the old ones still to be read: they count the same messages from 1.
                    db.execute("DELETE FROM message WHERE seq BETWEEN ? AND ?", (page[0].seq, page[-1].seq))
                    rows_of.insert_messages(db, rows)
                    before = page[-1].seq
                    self._on_progress()
                write_state(db, state)
            self._state = state
            self._restage()
            return state.head

    def held_boots(self) -> list[tuple[str, int]]:
        """Return the runs of the machine that left held readings, newest first, with the last moment of each, ms."""
        with self._lock, translated():
            found = self._db.execute("SELECT boot, MAX(at_ms), MAX(id) FROM held GROUP BY boot ORDER BY 3 DESC")
            return [(boot, at_ms) for boot, at_ms, _ in found]

    def release_held(self, boot: str, items_of: Callable[[Held], Sequence[Item]]) -> int:
        """Make messages of the held readings of one run of the machine, in their order; return how many batches.

        Raises:
            TransientError: the disk refuses; what was not released stays held.
        """
        released = 0
        while True:
            with self._lock, translated():
                page = rows_of.read_held(self._db, boot, 0, _RELEASE_PAGE)
                if not page:
                    return released
                state, rows = self._state, []
                for _, held in page:
                    for item in items_of(held):
                        state, row = self._sealed(state, item)
                        rows.append(row)
                freed = sum(len(held.body) for _, held in page)
                state = replace(state, pending_bytes=state.pending_bytes - freed)
                with self._transaction() as db:
                    rows_of.insert_messages(db, rows)
                    rows_of.delete_held(db, [number for number, _ in page])
                    write_state(db, state)
                self._state = state
                self._held -= len(page)
                released += len(page)
                self._on_progress()

    def known_time(self) -> KnownTime | None:
        """Return when the platform's time was last known."""
        with self._lock, translated():
            return rows_of.read_known_time(self._db)

    def keep_known_time(self, known: KnownTime) -> None:
        """Remember it across restarts."""
        with self._lock, translated(), self._transaction() as db:
            rows_of.write_known_time(db, known)

    def stats(self) -> SpoolStats:
        """Return the spool's figures now."""
        with self._lock:
            state = self._state
            oldest = self.next_after(state.committed, 1)
            # What came while the gateway knew no time has no age.
            known = oldest and oldest[0].created_ms >= EARLIEST_MS
            age_ms = self._clock.now_ms() - oldest[0].created_ms if known else 0
            return SpoolStats(
                epoch=state.epoch.hex(),
                head=state.head,
                committed=state.committed,
                pending=state.head - state.committed,
                pending_bytes=state.pending_bytes,
                oldest_age_s=max(age_ms, 0) / 1000,
                produced=state.produced,
                refused=sum(drop.count for drop in self._drops.values()),
                held=self._held,
                used=round(self._used, 4),
                stage=self._stage.name.lower(),
                full=self._stage >= Stage.FULL,
            )

    def close(self) -> None:
        """Give the file back; calling again does nothing."""
        with self._lock:
            self._db.close()

    def _restage(self) -> None:
        """Look how full it is now, and say so when it has become or ceased to be full."""
        with translated():
            (reusable,) = self._db.execute("PRAGMA freelist_count").fetchone()
        capacity = self._room.capacity(self._state.pending_bytes, reusable * self._page_size)
        self._used = self._state.pending_bytes / capacity
        stage = stage_after(self._stage, self._used)
        if self._room.disk_full:
            stage = max(stage, Stage.FULL)
        if stage is not self._stage:
            worse = stage > self._stage
            level = logging.ERROR if worse and stage >= Stage.FULL else logging.WARNING if worse else logging.INFO
            words = f"{self._path}: {self._used:.0%} of {capacity:,} bytes in use, stage {stage.name.lower()}"
            log(_logger, level, "gateway.spool.stage", words)
        self._stage = stage
        self._why_full = DISK_FULL if self._room.disk_full or capacity < self._room.max_bytes else SPOOL_FULL

    def _totals(self, drops: Sequence[Drop]) -> dict[tuple[str, str], Drop]:
        """Return the totals that change with `drops`."""
        totals: dict[tuple[str, str], Drop] = {}
        for (reason, channel), drop in gathered(drops).items():
            crowded = (reason, channel) not in self._drops and len(self._drops) + len(totals) >= _DROPS_AT_MOST
            key = (reason, "" if crowded else channel)
            before = totals.get(key) or self._drops.get(key)
            totals[key] = replace(drop, channel=key[1]) if before is None else before + drop
        return totals

    def _declare(self, drops: Sequence[Drop]) -> None:
        """Say what was dropped, in the transaction that forgets the count."""
        state, rows = self._state, []
        for drop in drops:
            left = drop.count
            while left:
                count = min(left, _LOSS_AT_MOST)
                left -= count
                channel = drop.channel or None
                loss = Loss(reason=drop.reason, count=count, channel=channel, from_ms=drop.from_ms, to_ms=drop.to_ms)
                payload = loss.model_dump_json(exclude_none=True).encode()
                state, row = self._sealed(state, Item(Kind.READING, ContentType.LOSS, payload, count))
                rows.append(row)
        with self._transaction() as db:
            rows_of.insert_messages(db, rows)
            rows_of.forget_drops(db, drops)
            write_state(db, state)
        self._state = state
        for drop in drops:
            del self._drops[drop.reason, drop.channel]
        lost = sum(drop.count for drop in drops)
        words = f"{lost} readings of {len(drops)} channels were not taken in: {sorted({d.reason for d in drops})}"
        log(_logger, logging.ERROR, "gateway.spool.loss", words)
        self._restage()

    def _sealed(self, state: State, item: Item) -> tuple[State, Stored]:
        produced = state.produced + item.count
        seq = state.head + 1
        header = Header(self._kid, item.content_type, state.epoch, seq, state.prev, item.count, produced, item.replayed)
        raw = seal(header, item.payload, self._key)
        after = replace(
            state, head=seq, prev=digest(raw), produced=produced, pending_bytes=state.pending_bytes + len(raw)
        )
        return after, Stored(seq, item.kind, self._clock.now_ms(), raw)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write it all or nothing; what memory believes changes only after the disk has it."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            # A commit that failed late may be there after all: the file decides.
            self._state, self._drops = read_state(db), rows_of.read_drops(db)
            if is_out_of_space(error):
                self._make_way()
            raise

    def _make_way(self) -> None:
        """Give the reserve back to a full disk, so that at least the counting of losses goes on."""
        self._room.give_way()
        self._db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES_FULL}")
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log(_logger, logging.WARNING, "gateway.spool.unwritable", f"{self._path}: no checkpoint: {error}")
        self._restage()


def _unsealed(message: Stored) -> Item:
    envelope = open_envelope(message.raw)
    if isinstance(envelope, Rejected):
        raise FatalError(f"message {message.seq} of the spool cannot be read: {envelope.detail}")
    header = envelope.header
    return Item(message.kind, header.content_type, envelope.payload, header.count, header.replayed)
