"""What the spool takes in and gives out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hanlu.core.wire.envelope import ContentType

__all__ = ["Item", "Kind", "Refused", "SpoolStats", "Stored"]


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
class Refused:
    """Readings turned away because the spool was full.

    Attributes:
        count: readings.
        from_ms: earliest observation among them, Unix milliseconds; None where the device gave none.
        to_ms: latest observation among them.
    """

    count: int
    from_ms: int | None = None
    to_ms: int | None = None

    def __add__(self, other: Refused) -> Refused:
        """Return both together: counts added, the range widened."""
        starts = [ms for ms in (self.from_ms, other.from_ms) if ms is not None]
        ends = [ms for ms in (self.to_ms, other.to_ms) if ms is not None]
        return Refused(self.count + other.count, min(starts, default=None), max(ends, default=None))


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
        refused: readings turned away and not declared yet.
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
    full: bool
