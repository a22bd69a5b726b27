"""What the spool takes in and gives out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hanlu.core.wire.envelope import ContentType

__all__ = ["Answered", "Drop", "Held", "Item", "Kind", "KnownTime", "SpoolStats", "Stored"]


class Kind(StrEnum):
    """What a message is to the uplink; whether it goes live or as backlog is decided when it is sent."""

    READING = "reading"
    """Readings or a declared loss of readings."""
    EVENT = "event"
    BIRTH = "birth"


@dataclass(frozen=True, slots=True)
class Item:
    """A message before it has its place in the chain.

    Attributes:
        kind: what it is.
        content_type: of the payload.
        payload: the bytes to be signed.
        count: readings or lost readings it accounts for; 0 for births and events.
        replayed: recorded data played again.
    """

    kind: Kind
    content_type: ContentType
    payload: bytes
    count: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A sealed message in the spool.

    Attributes:
        seq: its place, from 1.
        kind: what it is.
        created_ms: the gateway's clock when it was taken in, Unix milliseconds.
        raw: the signed envelope, the same bytes however often it is sent.
    """

    seq: int
    kind: Kind
    created_ms: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Readings that were not taken in, of one channel and for one reason.

    Attributes:
        reason: as it will be declared, e.g. `decimated`.
        channel: the channel's name; empty: several or unknown.
        count: readings.
        from_ms: earliest observation among them, Unix milliseconds; None where none is known.
        to_ms: latest observation among them.
    """

    reason: str
    channel: str
    count: int
    from_ms: int | None = None
    to_ms: int | None = None

    def __add__(self, other: Drop) -> Drop:
        """Return both together: counts added, the range widened; reason and channel of the first."""
        starts = [ms for ms in (self.from_ms, other.from_ms) if ms is not None]
        ends = [ms for ms in (self.to_ms, other.to_ms) if ms is not None]
        return Drop(
            self.reason, self.channel, self.count + other.count, min(starts, default=None), max(ends, default=None)
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """What a driver was told of a batch of which something was dropped: told again, not counted again.

    Attributes:
        key: of the batch's content.
        kept: whether the answer was KEPT.
    """

    key: bytes
    kept: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Readings that wait on the disk for their time, because the gateway did not know it.

    Attributes:
        boot: identity of the machine's run that counted `at_ms`.
        at_ms: the monotonic clock when they came, milliseconds.
        body: the readings, as `gateway.held` writes them.
    """

    boot: str
    at_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class KnownTime:
    """The last moment at which the gateway knew the platform's time.

    Attributes:
        ms: the platform's clock, Unix milliseconds.
        at_ms: the monotonic clock then, milliseconds.
        boot: identity of the machine's run that counted it.
    """

    ms: int
    at_ms: int
    boot: str


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """The spool at one moment.

    Attributes:
        epoch: identity of the spool, hex.
        head: last seq given out.
        committed: last seq the platform has a receipt for.
        pending: messages waiting for a receipt.
        pending_bytes: their size.
        oldest_age_s: seconds since the oldest of them was taken in; 0 when there is none.
        produced: readings accounted for in this epoch.
        refused: readings not taken in and not declared yet.
        held: batches that wait for the gateway to know the time.
        used: pending bytes over what there is room for; up to 1.1 with the reserve for events.
        stage: of the disk-full policy, e.g. `open`, `thin_low`, `full`.
        full: readings are being turned away.
    """

    epoch: str
    head: int
    committed: int
    pending: int
    pending_bytes: int
    oldest_age_s: float
    produced: int
    refused: int
    held: int
    used: float
    stage: str
    full: bool
