"""The values that travel through ingest: what was delivered, and what it turned out to be.

Tuples rather than dataclasses where there is one for each message: they are built tens of thousands of times a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hanlu.core.reading import Evidence
from hanlu.core.rejected import Reason
from hanlu.core.wire.documents import Birth, Loss
from hanlu.core.wire.envelope import Header
from hanlu.core.wire.topics import Topic

__all__ = ["Accepted", "Dead", "Delivery", "Departed", "Left", "Outcome", "Refused", "Spool"]

Spool = tuple[int, bytes]
"""A gateway's id and the epoch of its spool: what sequence numbers and accounts belong to."""


class Delivery(NamedTuple):
    """One message as the broker handed it over.

    Attributes:
        topic: as received; not checked.
        payload: the bytes.
        received_ms: the platform's clock, Unix milliseconds UTC.
        generation: which connection brought it; a packet id means nothing on a later one.
        mid: packet id, 0 at QoS 0.
        qos: 0 or 1.
        retained: the broker kept it for whoever subscribes; nobody knows how old it is.
    """

    topic: str
    payload: bytes
    received_ms: int
    generation: int = 0
    mid: int = 0
    qos: int = 0
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Part of a message that was refused, or all of it.

    Attributes:
        reason: stable code.
        detail: words for a person.
        reading_count: readings it concerns; 0 when it only remarks on the message.
        places: which of the pack's well-formed records these are, by their place from 0, ascending: what a replay looks
            at again. None where the fault is not one of single records, or lies in their form.
    """

    reason: Reason
    detail: str
    reading_count: int = 0
    places: tuple[int, ...] | None = None


class Accepted(NamedTuple):
    """A message that goes into the record, with as much of it as was good.

    Attributes:
        topic: where it came; gateway and partition agree with the registry.
        gateway_id: of the registry.
        received_ms: the platform's clock, Unix milliseconds UTC.
        body: the message's bytes.
        digest: SHA-256 by which a repetition is recognised.
        header: what the gateway signed; None for a plain device's bare pack.
        evidence: what stands behind it.
        channel_ids: of the good readings, in their order.
        observed_ms: parallel, Unix milliseconds UTC.
        values: parallel, finite.
        qualities: parallel, as the edge judged (hanlu.core.reading.Quality); None when all are good.
        dead: what was refused of it, one entry a reason.
        loss: readings declared lost.
        birth: what the gateway says of itself.
        event: EPCIS JSON bytes for the trace room.
        forked: its number was taken by another message, so it goes without.
    """

    topic: Topic
    gateway_id: int
    received_ms: int
    body: bytes
    digest: bytes
    header: Header | None
    evidence: Evidence
    channel_ids: list[int]
    observed_ms: list[int]
    values: list[float]
    qualities: list[int] | None = None
    dead: tuple[Dead, ...] = ()
    loss: Loss | None = None
    birth: Birth | None = None
    event: bytes | None = None
    forked: bool = False

    @property
    def spool(self) -> Spool | None:
        """The spool it is numbered in; None for a bare pack or a fork."""
        return (self.gateway_id, self.header.epoch) if self.header is not None and not self.forked else None

    @property
    def is_plain(self) -> bool:
        """A bare pack without a fault: nothing but readings, which are known by channel and time."""
        return self.header is None and not self.dead

    @property
    def dead_count(self) -> int:
        """Readings refused."""
        return sum([each.reading_count for each in self.dead]) if self.dead else 0

    @property
    def lost_count(self) -> int:
        """Readings declared lost."""
        return self.loss.count if self.loss else 0

    @property
    def reading_count(self) -> int:
        """Readings the message accounts for: good, refused and declared lost."""
        return len(self.values) + self.dead_count + self.lost_count


@dataclass(frozen=True, slots=True)
class Departed:
    """The broker's word that a gateway's session broke.

    Attributes:
        gateway_id: of the registry.
        received_ms: the platform's clock, Unix milliseconds UTC.
    """

    gateway_id: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be attributed, and so cannot be receipted: its bytes and the reason are all that is kept.

    Attributes:
        topic: as received.
        gateway: the code in the topic, None where the topic is none of ours.
        received_ms: the platform's clock, Unix milliseconds UTC.
        body: the message's bytes; of an oversized one the beginning.
        digest: SHA-256 of the whole message.
        dead: reason and detail.
    """

    topic: str
    gateway: str | None
    received_ms: int
    body: bytes
    digest: bytes
    dead: Dead


@dataclass(frozen=True, slots=True)
class Left:
    """A signed message beyond its gateway's allowance, not looked at: without a receipt the gateway sends it again.

    Attributes:
        gateway: the code in the topic.
        received_ms: the platform's clock, Unix milliseconds UTC.
        size: bytes.
    """

    gateway: str
    received_ms: int
    size: int


Outcome = Accepted | Departed | Refused | Left
