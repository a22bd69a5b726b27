"""A batch of messages into the database, in one transaction: all of it, or nothing.

Arrivals, readings, losses, dead letters, accounts, the latest values and the gateways' links are written together, so
whoever follows `telemetry.arrival` never sees half a message, and a receipt never promises what a crash can undo.
Running the same batch again is harmless: messages are known by their place in the spool's chain or by their digest,
faultless bare ones by their readings alone (hanlu.ingest.arrivals), and readings by channel and time. That makes a
COMMIT whose answer was lost no special case.

A message the database refuses (a text it cannot hold, a number too large) must not take its batch along: the batch is
halved under savepoints until the message stands alone, which is then recorded with its bytes as a dead letter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import psycopg

from hanlu.core.errors import FatalError
from hanlu.core.rejected import Reason
from hanlu.core.wire.topics import Topic
from hanlu.db.pool import Connection, connect, translated
from hanlu.db.queries import load_queries
from hanlu.ingest.account import Standing
from hanlu.ingest.arrivals import (
    Settled,
    gathered,
    insert_arrivals,
    keep_latest,
    keep_links,
    settle,
    without_repetitions,
)
from hanlu.ingest.binary import register
from hanlu.ingest.chain import Link, Links, judge, neighbours, without_number
from hanlu.ingest.dead_letters import keep_dead_letters, keep_losses, repeated_losses
from hanlu.ingest.ledger import Tally, add_links, lock_accounts, read_digests, settle_accounts
from hanlu.ingest.left_out import count_left
from hanlu.ingest.message import Accepted, Dead, Outcome, Refused, Spool
from hanlu.ingest.store import store_readings

__all__ = ["Committed", "Writer"]

_REFUSING: Final = ("22", "23", "54")
"""SQLSTATE classes that speak of the data: data exception, integrity violation, program limit exceeded."""

_MOST_TIPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit makes true for one spool.

    Attributes:
        topic: one of the gateway's topics.
        epoch: of the spool.
        standing: what has arrived, all of it on record.
        digest: of the message at its watermark, empty when there is none.
    """

    topic: Topic
    epoch: bytes
    standing: Standing
    digest: bytes = b""


class Writer:
    """Owns its connections; opens each when first needed and again after it broke. Not for several threads."""

    hears: ClassVar[bool] = True
    """What is committed comes from gateways that are connected now."""

    def __init__(self, database_url: str) -> None:
        """Remember where to connect to.

        Args:
            database_url: libpq URL; never logged.
        """
        self._url = database_url
        self._queries = load_queries("hanlu.ingest")
        self._connection: Connection | None = None
        self._reader: Connection | None = None
        self._tips: Links = {}

    @property
    def connection(self) -> Connection:
        """The connection, in autocommit; opened when there is none or it broke.

        Raises:
            TransientError: the database is away.
        """
        connection = self._opened(self._connection, "hanlu ingest")
        if connection is not self._connection:
            # Behind a new connection may be another server, which lacks what this one was told last (a failover).
            self._tips.clear()
            self._connection = connection
        return connection

    @property
    def reader(self) -> Connection:
        """Another connection, for looking into the registry while a batch is committed, from another thread.

        Raises:
            TransientError: the database is away.
        """
        self._reader = self._opened(self._reader, "hanlu ingest registry")
        return self._reader

    def close(self) -> None:
        """Let the connections go."""
        for connection in (self._connection, self._reader):
            if connection is not None:
                connection.close()
        self._connection = self._reader = None

    def _opened(self, connection: Connection | None, name: str) -> Connection:
        if connection is None or connection.closed or connection.broken:
            connection = connect(self._url, "hanlu_ingest", name=name, autocommit=True)
            register(connection)
        return connection

    def commit(self, outcomes: Sequence[Outcome]) -> list[Committed]:
        """Write a batch and return, once it is durable, how the spools in it stand.

        Args:
            outcomes: in the order of delivery.

        Raises:
            TransientError: the database is away or busy; the batch may or may not be on record: commit it again.
            FatalError: the database is not what this program was made for.
        """
        try:
            with translated():
                try:
                    return self._transact(self._write, outcomes)
                except Exception as error:
                    if not _refuses(error):
                        raise
                    return self._transact(self._bisect, outcomes)
        except psycopg.Error as error:
            # Class 42: a table or column of ours is not there.
            hint = "; run `hanlu migrate`" if (error.sqlstate or "").startswith("42") else ""
            raise FatalError(f"the database answers what cannot be: {str(error).splitlines()[0]}{hint}") from error

    def _transact(
        self, write: Callable[[Connection, Sequence[Outcome]], _Written], outcomes: Sequence[Outcome]
    ) -> list[Committed]:
        with self.connection.transaction():
            written = write(self.connection, outcomes)
            if written.announced:
                self.connection.execute(self._queries["announce"])
        # Only now: a tip remembers what is on record for good.
        if len(self._tips) > _MOST_TIPS:
            self._tips.clear()
        self._tips.update(written.tips)
        return list(written.committed.values())

    def _bisect(self, connection: Connection, outcomes: Sequence[Outcome]) -> _Written:
        """Write what can be written; a message that is refused all by itself goes to the dead letters."""
        try:
            with connection.transaction():
                return self._write(connection, outcomes)
        except Exception as error:
            if not _refuses(error):
                raise
            if len(outcomes) == 1:
                with connection.transaction():
                    return self._write(connection, [_buried(outcomes[0], error)])
        middle = len(outcomes) // 2
        first = self._bisect(connection, outcomes[:middle])
        return first.followed_by(self._bisect(connection, outcomes[middle:]))

    def _write(self, connection: Connection, outcomes: Sequence[Outcome]) -> _Written:
        """Write a batch inside a transaction that is open."""
        queries = self._queries
        accepted = [each for each in outcomes if isinstance(each, Accepted)]
        accounts = lock_accounts(connection, queries, (each.spool for each in accepted if each.spool))
        links: Links = {spool: dict(self._tips.get(spool, {})) for spool in accounts}
        standings = {spool: account.standing for spool, account in accounts.items()}
        add_links(connection, queries, neighbours(accepted, standings, links), links)
        judged = judge(accepted, links, read_digests(connection, queries, without_number(accepted, links)))
        settled = self._settled(connection, judged.fresh)
        arrival_ids = insert_arrivals(connection, queries, settled) if settled else {}
        refused = [each for each in outcomes if isinstance(each, Refused)]
        keep_dead_letters(connection, queries, settled, arrival_ids, refused)
        keep_losses(connection, queries, settled, arrival_ids)
        keep_latest(connection, queries, settled)
        count_left(connection, queries, outcomes)
        if self.hears:
            keep_links(connection, queries, outcomes)
        # Every spool in the batch, a fork's too: its receipt tells the gateway that its numbers are taken.
        repeated = {spool: judged.repeated[spool] for spool in accounts}
        after = settle_accounts(connection, queries, accounts, _tallies(settled, repeated))
        topics = {each.spool: each.topic for each in accepted if each.spool}
        marks = [(spool, standing.watermark) for spool, standing in after.items() if standing.watermark]
        add_links(connection, queries, [mark for mark in marks if mark[1] not in links.get(mark[0], {})], links)
        digests = {spool: link.digest for spool, mark in marks if (link := links.get(spool, {}).get(mark))}
        return _Written(
            {
                spool: Committed(topics[spool], spool[1], standing, digests.get(spool, b""))
                for spool, standing in after.items()
            },
            _tips(links, after),
            announced=bool(settled),
        )

    def _settled(self, connection: Connection, fresh: Sequence[Accepted]) -> list[Settled]:
        channel_ids = [channel_id for each in fresh for channel_id in each.channel_ids]
        observed_ms = [ms for each in fresh for ms in each.observed_ms]
        values = [value for each in fresh for value in each.values]
        qualities = None
        if any(each.qualities for each in fresh):
            qualities = [quality for each in fresh for quality in each.qualities or [0] * len(each.values)]
        columns = channel_ids, observed_ms, values, qualities
        fates = store_readings(connection, self._queries, *columns) if values else None
        settled = settle(fresh, fates, repeated_losses(connection, self._queries, fresh))
        if fates is not None:
            settled = without_repetitions(settled, partial(read_digests, connection, self._queries))
        return gathered(settled)


@dataclass(slots=True)
class _Written:
    committed: dict[Spool, Committed]
    tips: Links
    announced: bool

    def followed_by(self, later: _Written) -> _Written:
        return _Written(
            self.committed | later.committed, self.tips | later.tips, announced=self.announced or later.announced
        )


def _tallies(settled: Sequence[Settled], repeated: dict[Spool, int]) -> dict[Spool, Tally]:
    tallies: dict[Spool, Tally] = {}
    for each in settled:
        spool, header = each.message.spool, each.message.header
        if spool is None or header is None:
            continue
        tally = tallies.setdefault(spool, Tally([]))
        tally.seqs.append(header.seq)
        if header.seq > tally.produced_at:
            tally.produced_at, tally.produced = header.seq, header.produced
        tally.stored += len(each.values)
        tally.duplicate += each.duplicate
        tally.lost += each.message.lost_count
        tally.dead += each.dead_count
    for spool, count in repeated.items():
        tallies.setdefault(spool, Tally([])).repeated = count
    return tallies


def _tips(links: Links, standings: dict[Spool, Standing]) -> Links:
    """Return the newest message of each spool: the next one's predecessor, which need not be looked up then."""
    tips: Links = {}
    for spool, standing in standings.items():
        link: Link | None = links.get(spool, {}).get(standing.highest)
        if link is not None:
            tips[spool] = {standing.highest: link}
    return tips


def _refuses(error: BaseException) -> bool:
    """Tell whether the error speaks of the data rather than of the database's state."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate[:2] in _REFUSING
    return isinstance(error, psycopg.DataError | struct.error | UnicodeError | OverflowError)


def _buried(outcome: Outcome, error: Exception) -> Outcome:
    """Return what is recorded of a message the database refused: its bytes and the reason, none of its content."""
    words = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(outcome, Accepted):
        dead = Dead(Reason.DATABASE_REFUSED, words, outcome.reading_count)
        return outcome._replace(
            channel_ids=[], observed_ms=[], values=[], dead=(dead,), loss=None, birth=None, event=None
        )
    raise FatalError(f"the database refuses to note what was refused: {words}") from error
