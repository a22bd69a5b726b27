"""Messages to rows of `telemetry.arrival` and what is derived of them: the latest values and the gateways' links.

A numbered message is a row. So is a bare one in which there was something to refuse, known by its digest. Bare ones
without a fault have no need of an identity: their readings are known by channel and time. One that brings nothing new
is a repetition and leaves no trace; those of one gateway and lane that were read from the network at one moment share
a row, whose digest is SHA-256 of their digests one after the other. A device that sends reading by reading would cost
several times as much otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import repeat

from hanlu.core.errors import TransientError
from hanlu.core.rejected import Reason
from hanlu.core.wire.documents import Birth
from hanlu.core.wire.envelope import digest
from hanlu.core.wire.topics import Lane
from hanlu.db.pool import Connection
from hanlu.db.queries import Queries
from hanlu.ingest.binary import Booleans, Bytes, Floats, Int2s, Int4s, Int8s, Texts
from hanlu.ingest.message import Accepted, Dead, Departed, Outcome
from hanlu.ingest.store import Fate

__all__ = [
    "Settled",
    "gathered",
    "insert_arrivals",
    "keep_latest",
    "keep_links",
    "settle",
    "without_repetitions",
]


@dataclass(slots=True)
class Settled:
    """A message whose readings have met their fate.

    Attributes:
        message: as decoded and judged.
        channel_ids: of the readings newly stored, in their order.
        observed_ms: parallel, Unix milliseconds UTC.
        values: parallel.
        duplicate: readings that were on record with the same value, and lost ones that were declared before.
        dead: what was refused, by decoding and because another value is on record.
        qualities: of the readings newly stored; None when all are good.
        messages: bare messages in this row; `message` is the first of them then.
    """

    message: Accepted
    channel_ids: Sequence[int]
    observed_ms: Sequence[int]
    values: Sequence[float]
    duplicate: int
    dead: tuple[Dead, ...]
    qualities: Sequence[int] | None = None
    messages: int = 1

    @property
    def dead_count(self) -> int:
        """Readings refused."""
        return sum(each.reading_count for each in self.dead)


def settle(
    messages: Sequence[Accepted], fates: Sequence[Fate] | None, repeated: AbstractSet[int] = frozenset()
) -> list[Settled]:
    """Return the messages with what became of their readings.

    Args:
        messages: in order.
        fates: of all their readings, one after the other; None when all were stored.
        repeated: indexes of the messages that declare a loss which is on record.
    """
    settled: list[Settled] = []
    start = 0
    for index, message in enumerate(messages):
        if index in repeated:
            settled.append(Settled(message._replace(loss=None), [], [], [], message.lost_count, message.dead))
            continue
        end = start + len(message.values)
        mine = fates[start:end] if fates is not None else None
        start = end
        if mine is None or not any(mine):
            columns = message.channel_ids, message.observed_ms, message.values
            settled.append(Settled(message, *columns, 0, message.dead, message.qualities))
        else:
            settled.append(_parted(message, mine))
    return settled


def without_repetitions(
    settled: Sequence[Settled], known: Callable[[Sequence[Accepted]], set[tuple[int, bytes]]]
) -> list[Settled]:
    """Return what is left to be recorded when bare messages that bring nothing new are taken out.

    Args:
        settled: a batch, in order.
        known: returns gateway and digest of those of the given messages that arrived before under their digest; asked
            only for bare messages with another value than is on record.
    """
    kept: list[Settled] = []
    seen: set[tuple[int, bytes]] | None = None
    for each in settled:
        message = each.message
        if message.is_plain:
            if not each.values and not each.dead:
                continue
            if each.dead:
                if seen is None:
                    seen = known([one.message for one in settled if one.dead and one.message.is_plain])
                identity = (message.gateway_id, message.digest)
                if identity in seen:
                    if not each.values:
                        continue
                    each.message = _told_apart(message)
                seen.add(identity)
        kept.append(each)
    return kept


def gathered(settled: Sequence[Settled]) -> list[Settled]:
    """Return the batch with bare messages of one gateway, lane and moment gathered into one."""
    groups: dict[tuple[int, Lane, int], list[Settled]] = {}
    rows: list[list[Settled]] = []
    for each in settled:
        message = each.message
        if each.dead or not message.is_plain:
            rows.append([each])
            continue
        group = groups.setdefault((message.gateway_id, message.topic.lane, message.received_ms), [])
        if not group:
            rows.append(group)
        group.append(each)
    return [row[0] if len(row) == 1 else _one_of(row) for row in rows]


def _one_of(row: Sequence[Settled]) -> Settled:
    qualities = None
    if any(each.qualities for each in row):
        qualities = [quality for each in row for quality in each.qualities or [0] * len(each.values)]
    return Settled(
        row[0].message._replace(digest=digest(b"".join([each.message.digest for each in row]))),
        [channel_id for each in row for channel_id in each.channel_ids],
        [ms for each in row for ms in each.observed_ms],
        [value for each in row for value in each.values],
        sum([each.duplicate for each in row]),
        (),
        qualities,
        len(row),
    )


def _told_apart(message: Accepted) -> Accepted:
    """Return the message under another digest: it came before, and what was stored of it then is on record no more."""
    return message._replace(digest=digest(message.digest + struct.pack(">q", message.received_ms)))


def _parted(message: Accepted, fates: Sequence[Fate]) -> Settled:
    stored = [index for index, fate in enumerate(fates) if fate is Fate.STORED]
    conflicting = [index for index, fate in enumerate(fates) if fate is Fate.CONFLICT]
    dead = message.dead
    if conflicting:
        first = conflicting[0]
        detail = (
            f"another value is on record for {len(conflicting)} readings, the first of channel "
            f"{message.channel_ids[first]} at {message.observed_ms[first]} ms, offered {message.values[first]!r}"
        )
        dead = (*dead, Dead(Reason.CONFLICTING_VALUE, detail, len(conflicting)))
    return Settled(
        message,
        [message.channel_ids[index] for index in stored],
        [message.observed_ms[index] for index in stored],
        [message.values[index] for index in stored],
        len(fates) - len(stored) - len(conflicting),
        dead,
        [message.qualities[index] for index in stored] if message.qualities else None,
    )


def insert_arrivals(
    connection: Connection, queries: Queries, settled: Sequence[Settled]
) -> dict[tuple[int, bytes], int]:
    """Insert one row each and return their ids by gateway and digest.

    Raises:
        TransientError: another worker wrote one of them at this moment; begin again.
    """
    arrival_ids = _inserted(connection, queries, settled)
    if len(arrival_ids) == len(settled):
        return arrival_ids
    left = [each for each in settled if (each.message.gateway_id, each.message.digest) not in arrival_ids]
    if not all(each.message.is_plain for each in left):
        raise TransientError("another ingest worker is writing the same messages")
    for each in left:
        each.message = _told_apart(each.message)
    arrival_ids |= _inserted(connection, queries, left)
    if len(arrival_ids) != len(settled):
        raise TransientError("another ingest worker is writing the same messages")
    return arrival_ids


def _inserted(connection: Connection, queries: Queries, settled: Sequence[Settled]) -> dict[tuple[int, bytes], int]:
    """Insert those that are not there yet and return their ids."""
    messages = [each.message for each in settled]
    headers = [each.header if each.spool else None for each in messages]
    firsts: list[int] = []
    lasts: list[int] = []
    end = 0
    for each in settled:
        firsts.append(end + 1)
        end += len(each.values)
        lasts.append(end)
    rows = connection.execute(
        queries["insert_arrivals"],
        {
            "gateway_ids": Int8s([each.gateway_id for each in messages]),
            "epochs": Bytes([each.epoch if each else None for each in headers]),
            "seqs": Int8s([each.seq if each else None for each in headers]),
            "digests": Bytes([each.digest for each in messages]),
            "prevs": Bytes([each.prev if each else None for each in headers]),
            "evidences": Int4s([each.evidence for each in messages]),
            "lanes": Texts([each.topic.lane for each in messages]),
            "replayeds": Booleans([each.header is not None and each.header.replayed for each in messages]),
            "received_ms": Int8s([each.received_ms for each in messages]),
            "produced": Int8s([each.produced if each else 0 for each in headers]),
            "stored": Int4s([len(each.values) for each in settled]),
            "duplicate": Int4s([each.duplicate for each in settled]),
            "lost": Int4s([each.lost_count for each in messages]),
            "dead": Int4s([each.dead_count for each in settled]),
            "firsts": Int4s(firsts),
            "lasts": Int4s(lasts),
            "messages": Int4s([each.messages for each in settled]),
            "judged": Booleans([any(each.qualities or ()) for each in settled]),
            "events": Bytes([each.event for each in messages]),
            "channel_ids": Int4s([channel_id for each in settled for channel_id in each.channel_ids]),
            "observed_ms": Int8s([ms for each in settled for ms in each.observed_ms]),
            "values": Floats([value for each in settled for value in each.values]),
            "qualities": _qualities(settled),
        },
    )
    return {(gateway_id, identity): arrival_id for arrival_id, gateway_id, identity in rows}


def _qualities(settled: Sequence[Settled]) -> Int2s | None:
    """Return the qualities of all readings one after the other, None when all are good."""
    if not any(each.qualities for each in settled):
        return None
    return Int2s([quality for each in settled for quality in each.qualities or [0] * len(each.values)])


def keep_latest(connection: Connection, queries: Queries, settled: Iterable[Settled]) -> None:
    """Bring the newest value of each channel up to date."""
    newest: dict[int, tuple[int, int, float, int]] = {}
    for each in settled:
        received_ms = each.message.received_ms
        qualities = each.qualities or repeat(0)
        for channel_id, ms, value, quality in zip(
            each.channel_ids, each.observed_ms, each.values, qualities, strict=False
        ):
            known = newest.get(channel_id)
            if known is None or known[0] < ms:
                newest[channel_id] = (ms, received_ms, value, quality)
    if newest:
        rows = newest.values()
        connection.execute(
            queries["keep_latest"],
            {
                "channel_ids": Int4s(list(newest)),
                "observed_ms": Int8s([row[0] for row in rows]),
                "received_ms": Int8s([row[1] for row in rows]),
                "values": Floats([row[2] for row in rows]),
                "qualities": Int2s([row[3] for row in rows]),
            },
        )


@dataclass(slots=True)
class _Heard:
    online: bool
    at_ms: int
    heard_ms: int | None = None
    birth: Birth | None = None
    birth_epoch: bytes | None = None
    birth_seq: int | None = None

    def born(self, birth: Birth, epoch: bytes, seq: int) -> None:
        """Take in a birth, unless it is older than the one known: the backlog brings births of earlier connections."""
        if epoch != self.birth_epoch or self.birth_seq is None or seq >= self.birth_seq:
            self.birth, self.birth_epoch, self.birth_seq = birth, epoch, seq


def keep_links(connection: Connection, queries: Queries, outcomes: Iterable[Outcome]) -> None:
    """Note which gateways were heard and which departed.

    A repeated message counts as heard too: after a crash the broker brings a will and what came after it once more,
    and the last word must be the same as the first time.
    """
    heard: dict[int, _Heard] = {}
    for each in outcomes:
        if isinstance(each, Departed):
            link = heard.setdefault(each.gateway_id, _Heard(online=False, at_ms=each.received_ms))
            link.online, link.at_ms = False, each.received_ms
        elif isinstance(each, Accepted):
            link = heard.setdefault(each.gateway_id, _Heard(online=True, at_ms=each.received_ms))
            if not link.online:
                link.online, link.at_ms = True, each.received_ms
            link.heard_ms = each.received_ms
            if each.birth is not None and each.header is not None:
                link.born(each.birth, each.header.epoch, each.header.seq)
    if heard:
        links = heard.values()
        connection.execute(
            queries["keep_links"],
            {
                "gateway_ids": list(heard),
                "online": [link.online for link in links],
                "at_ms": [link.at_ms for link in links],
                "heard_ms": [link.heard_ms for link in links],
                "births": [link.birth.model_dump_json() if link.birth else None for link in links],
                "birth_epochs": [link.birth_epoch for link in links],
                "birth_seqs": [link.birth_seq for link in links],
            },
        )
