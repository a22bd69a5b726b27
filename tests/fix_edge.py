"""A gateway as ingest sees it: a key, an epoch, and messages in a gap-free chain. No network and no spool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.reading import Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Header, digest, key_id, public_bytes, seal
from hanlu.core.wire.topics import Lane, Topic

__all__ = ["NOON_MS", "Edge", "Message", "temperature"]

NOON_MS = 1_750_000_000_000
"""An instant in June 2025 the tests call now."""

Message = tuple[str, bytes]
"""Topic and payload, as the broker would deliver them."""


def temperature(value: float, at_ms: int = NOON_MS, device: str = "room-1", metric: str = "air_temperature") -> Reading:
    """Return one reading in degrees Celsius."""
    return Reading(f"{device}/{metric}", "Cel", at_ms, value)


@dataclass
class Edge:
    """One gateway with its key and the state of its spool.

    `epoch`, `seq`, `prev` and `produced` may be set by a test to break the chain on purpose.
    """

    code: str = "gw-1"
    partition: int = 0
    key: Ed25519PrivateKey = field(default_factory=lambda: Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    epoch: bytes = bytes(range(16))
    seq: int = 0
    prev: bytes = NO_PREVIOUS
    produced: int = 0

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return public_bytes(self.key)

    @property
    def kid(self) -> bytes:
        """The key's id."""
        return key_id(self.public)

    def topic(self, lane: Lane = Lane.LIVE) -> str:
        """Return a topic of this gateway."""
        return str(Topic(self.partition, self.code, lane))

    def message(
        self,
        content_type: ContentType,
        payload: bytes,
        count: int = 0,
        lane: Lane = Lane.LIVE,
        *,
        replayed: bool = False,
    ) -> Message:
        """Return the next message of the chain."""
        self.seq += 1
        self.produced += count
        header = Header(
            self.kid, content_type, self.epoch, self.seq, self.prev, count, self.produced, replayed=replayed
        )
        raw = seal(header, payload, self.key)
        self.prev = digest(raw)
        return self.topic(lane), raw

    def readings(self, readings: Sequence[Reading], lane: Lane = Lane.LIVE, *, replayed: bool = False) -> Message:
        """Return the next message with these readings."""
        return self.message(ContentType.SENML_JSON, encode_json(readings), len(readings), lane, replayed=replayed)

    def records(self, records: object, count: int, lane: Lane = Lane.LIVE) -> Message:
        """Return the next message with a SenML pack written by hand."""
        return self.message(ContentType.SENML_JSON, json.dumps(records).encode(), count, lane)

    def loss(self, count: int, **fields: object) -> Message:
        """Return the next message, declaring `count` readings lost."""
        body = {"reason": "no_value", "count": count} | fields
        return self.message(ContentType.LOSS, json.dumps(body).encode(), count)

    def birth(self, **fields: object) -> Message:
        """Return the next message, a birth."""
        body = {"gateway": self.code, "software": "test", "boot_ms": NOON_MS} | fields
        return self.message(ContentType.BIRTH, json.dumps(body).encode(), 0, Lane.BIRTH)

    def event(self, document: bytes) -> Message:
        """Return the next message, carrying an EPCIS document."""
        return self.message(ContentType.EPCIS_JSON, document, 0, Lane.EVENT)

    def will(self, **fields: object) -> Message:
        """Return what the broker publishes when the gateway's session breaks."""
        body = {"gateway": self.code, "epoch": self.epoch.hex()} | fields
        return self.topic(Lane.WILL), json.dumps(body).encode()
