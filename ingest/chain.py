"""Which messages are new, which were here before, and whether the chain of each spool holds: pure decisions.

A message is known by its place: gateway, epoch and seq. The same place with the same digest is a repetition, which
counts and changes nothing. The same place with another digest is a fork: a spool that was copied or restored from a
backup numbers its messages a second time. The receipt for the place will make the gateway delete them, so a fork's
readings are stored all the same, but without a number, as evidence of the unsigned kind, and with a dead letter that
says so.

Of a message whose arrival retention has deleted only the beginning of the digest is known, and nothing of its
predecessor: enough to tell a repetition from a fork. So digests are compared by how they begin.

`prev` of each message is the digest of the one before. Where a neighbour is known and does not fit, something between
the two was altered or exchanged: the message is stored as well, again as unsigned evidence, and a dead letter of no
readings names the break.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hanlu.core.reading import Evidence
from hanlu.core.rejected import Reason
from hanlu.core.wire.envelope import NO_PREVIOUS
from hanlu.ingest.account import Standing
from hanlu.ingest.message import Accepted, Dead, Spool

__all__ = ["Judged", "Link", "Links", "judge", "neighbours", "without_number"]


class Link(NamedTuple):
    """What the chain needs to know of a message: its digest and the one it names as its predecessor's.

    Attributes:
        digest: 32 bytes; the first 8 of a message whose arrival is deleted.
        prev: 32 bytes; empty of a message whose arrival is deleted.
    """

    digest: bytes
    prev: bytes


Links = dict[Spool, dict[int, Link]]
"""Messages that have arrived, by spool and seq; not all, but all that were asked for."""


@dataclass(slots=True)
class Judged:
    """A batch, sorted.

    Attributes:
        fresh: messages to be written, in their order, marked where the chain breaks.
        repeated: how many messages of each spool were here before.
    """

    fresh: list[Accepted] = field(default_factory=list)
    repeated: Counter[Spool] = field(default_factory=Counter)


def neighbours(messages: Iterable[Accepted], standings: dict[Spool, Standing], known: Links) -> list[tuple[Spool, int]]:
    """Return the places to look up before `judge`: those of the messages and around them that may have arrived.

    A place above the highest seq of its spool is empty and not asked for, nor is one in `known`.
    """
    wanted: set[tuple[Spool, int]] = set()
    for message in messages:
        if (spool := message.spool) is None or message.header is None:
            continue
        highest, links, seq = standings[spool].highest, known.get(spool, {}), message.header.seq
        if seq - 1 > highest:
            continue
        wanted.update((spool, n) for n in (seq - 1, seq, seq + 1) if 1 <= n <= highest and n not in links)
    return sorted(wanted)


def without_number(messages: Iterable[Accepted], links: Links) -> list[Accepted]:
    """Return the messages that are identified by their digest: bare packs with a fault, and forks."""
    return [
        message for message in messages if not message.is_plain and (message.spool is None or _is_fork(message, links))
    ]


def judge(messages: Sequence[Accepted], links: Links, digests: set[tuple[int, bytes]]) -> Judged:
    """Sort a batch in the order of delivery.

    Args:
        messages: as decoded.
        links: what has arrived at the places `neighbours` names; the batch's own are added.
        digests: gateway and digest of the messages `without_number` that have arrived; the batch's own are added.
    """
    judged = Judged()
    for message in messages:
        if message.is_plain:  # repetitions show when its readings are stored
            judged.fresh.append(message)
            continue
        spool, header = message.spool, message.header
        if spool is None or header is None or _is_fork(message, links):
            _unnumbered(message, digests, judged)
            continue
        places = links.setdefault(spool, {})
        if header.seq in places:
            judged.repeated[spool] += 1
            continue
        broken = _break(message, places)
        places[header.seq] = Link(message.digest, header.prev)
        judged.fresh.append(_marked(message, broken) if broken else message)
    return judged


def _is_fork(message: Accepted, links: Links) -> bool:
    if message.header is None or message.spool is None:
        return False
    link = links.get(message.spool, {}).get(message.header.seq)
    return link is not None and not message.digest.startswith(link.digest)


def _unnumbered(message: Accepted, digests: set[tuple[int, bytes]], judged: Judged) -> None:
    identity = (message.gateway_id, message.digest)
    if identity in digests:
        return
    digests.add(identity)
    if message.header is not None:
        detail = f"seq {message.header.seq} of epoch {message.header.epoch.hex()} arrived before with other content"
        message = _marked(message, detail)._replace(forked=True)
    judged.fresh.append(message)


def _break(message: Accepted, places: dict[int, Link]) -> str | None:
    """Return how the message does not fit its neighbours, or None when nothing known speaks against it."""
    assert message.header is not None
    seq, prev = message.header.seq, message.header.prev
    before, after = places.get(seq - 1), places.get(seq + 1)
    if seq == 1 and prev != NO_PREVIOUS:
        return "the first message of an epoch names a predecessor"
    if before is not None and not prev.startswith(before.digest):
        return f"seq {seq} names {prev.hex()[:16]} as its predecessor, seq {seq - 1} is {before.digest.hex()[:16]}"
    if after is not None and not message.digest.startswith(after.prev):
        return (
            f"seq {seq + 1} names {after.prev.hex()[:16]} as its predecessor, seq {seq} is {message.digest.hex()[:16]}"
        )
    return None


def _marked(message: Accepted, detail: str) -> Accepted:
    remark = Dead(Reason.BROKEN_CHAIN, detail)
    return message._replace(evidence=Evidence.UNSIGNED, dead=(*message.dead, remark))
