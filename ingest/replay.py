"""A kept dead letter looked at again, now that its cause may be mended: pure decisions over values.

A letter is one of two kinds. A *whole* one is a message nobody could answer for (no gateway of ours, no key): it never
arrived, and is decoded again as it came, as of its reception. A *part* is what was refused of a message that arrived:
its account is settled, so only the refused records are looked at again, and only they may move from dead to stored.
Which these are says the letter (`places`); a reading that was taken the first time is never offered a second time.

A key that was enrolled after the message came counts: the same bytes sent again would be taken now. A revoked one does
not come back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from hanlu.core.reading import Evidence, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_cbor, decode_json
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType, Envelope, open_envelope
from hanlu.ingest.decode import Checked, check_records, decode
from hanlu.ingest.directory import Gateway, Snapshot
from hanlu.ingest.message import Dead, Outcome

__all__ = ["AUTOMATIC", "Letter", "Part", "cause", "revive", "taken_again", "waiting_names"]

AUTOMATIC: Final = frozenset({Reason.UNKNOWN_CHANNEL, Reason.UNKNOWN_GATEWAY, Reason.UNKNOWN_KEY, Reason.THROTTLED})
"""Reasons whose mending the registry shows, and letters nobody looked at yet; the others wait for a person's word."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is kept.

    Attributes:
        dead_letter_id: key.
        received_ms: when it first came, Unix milliseconds UTC.
        topic: as received.
        gateway: the code in the topic, None where it named none.
        reason: stable code; a text, for a later version may know more of them.
        detail: words for a person.
        reading_count: readings still refused.
        body: the bytes; empty when dropped.
        digest: SHA-256 by which a repetition is recognised.
        times: deliveries of these bytes.
        places: records still refused, None where they are not told apart.
        attempts: replays that changed something so far.
        noted: whether the keeper has listed what it waits for.
        dropped: the body was dropped for space.
        arrival_id: of the message it is a part of; None for a whole one.
        gateway_id: of that arrival.
        epoch: of that arrival, None without a number.
        evidence: of that arrival.
        arrived_count: readings that arrival accounted for.
    """

    dead_letter_id: int
    received_ms: int
    topic: str
    gateway: str | None
    reason: str
    detail: str
    reading_count: int
    body: bytes
    digest: bytes
    times: int = 1
    places: tuple[int, ...] | None = None
    attempts: int = 0
    noted: bool = False
    dropped: bool = False
    arrival_id: int | None = None
    gateway_id: int | None = None
    epoch: bytes | None = None
    evidence: Evidence = Evidence.UNSIGNED
    arrived_count: int = 0

    @property
    def is_whole_payload(self) -> bool:
        """Tell whether nothing at all was taken of the message that arrived, and nothing has been since."""
        return (
            self.arrival_id is not None
            and self.places is None
            and self.attempts == 0
            and 0 < self.reading_count == self.arrived_count
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What a part is now.

    Attributes:
        good: readings that may be stored, and what is still refused, its places those of the pack.
        loss: readings declared lost, where the payload is such a declaration.
    """

    good: Checked
    loss: Loss | None = None


def taken_again(letter: Letter, snapshot: Snapshot, now_ms: int) -> Outcome:
    """Return what a whole letter is now, as of its reception.

    Args:
        letter: whole, with its body.
        snapshot: the registry.
        now_ms: the platform's clock, Unix milliseconds UTC: a key revoked by then does not count.
    """
    gateway = snapshot.gateways.get(letter.gateway or "")
    if gateway is not None:
        known = dict(snapshot.gateways) | {gateway.code: _with_keys_of(gateway, letter.received_ms, now_ms)}
        snapshot = Snapshot(known, snapshot.owners)
    return decode(letter.topic, letter.body, letter.received_ms, snapshot)


def revive(letter: Letter, gateway: Gateway) -> Part | Rejected:
    """Return what the refused part of an arrived message is now, or why it cannot be told or read.

    Args:
        letter: a part, with its body.
        gateway: what the registry says of it.
    """
    content = _content(letter)
    if isinstance(content, Rejected):
        return content
    if isinstance(content, Loss):
        return Part(Checked([], [], []), content) if letter.is_whole_payload else _untold(letter)
    if letter.places is None and not letter.is_whole_payload:
        return _untold(letter)
    places = range(len(content.readings)) if letter.places is None else letter.places
    if places and places[-1] >= len(content.readings):
        return Rejected(Reason.MALFORMED, f"the pack has {len(content.readings)} records, none at {places[-1]}")
    rejected = content.rejected if letter.places is None else ()
    wanted = Pack(tuple(content.readings[place] for place in places), rejected)
    checked = check_records(wanted, gateway, letter.received_ms)
    return Part(checked._replace(dead=tuple(_placed(each, places) for each in checked.dead)))


def waiting_names(letter: Letter) -> Counter[tuple[str, str]]:
    """Return how many readings wait for each channel name and unit; empty where the letter waits for no channel."""
    if letter.reason != Reason.UNKNOWN_CHANNEL or not letter.places or letter.dropped:
        return Counter()
    content = _content(letter)
    if not isinstance(content, Pack):
        return Counter()
    readings = content.readings
    return Counter((readings[p].name, readings[p].unit) for p in letter.places if p < len(readings))


def cause(gateway: Gateway | None) -> object:
    """Return what of the registry decides over a gateway's letters: while it stays the same, so do they."""
    if gateway is None:
        return None
    keys = frozenset((kid, key.revoked_ms) for kid, key in gateway.keys.items())
    channels = frozenset((name, each.channel_id, each.unit) for name, each in gateway.channels.items())
    return hash((gateway.partition, gateway.accepts_unsigned, keys, channels))


def _with_keys_of(gateway: Gateway, received_ms: int, now_ms: int) -> Gateway:
    """Return the gateway with the keys that stand now counting from the time of reception."""
    keys = {
        kid: replace(key, valid_from_ms=min(key.valid_from_ms, received_ms))
        if key.revoked_ms is None or key.revoked_ms > now_ms
        else key
        for kid, key in gateway.keys.items()
    }
    return replace(gateway, keys=keys)


def _content(letter: Letter) -> Pack | Loss | Rejected:
    """Return the pack of readings in the letter, or the loss it declares, or why there is neither."""
    body = letter.body
    if letter.dropped:
        return Rejected(Reason.OVERSIZED, "the bytes were dropped for space")
    if body[:1] in (b"[", b" ", b"\t", b"\r", b"\n") or b"\x80" <= body[:1] <= b"\x9f":
        pack = (decode_cbor if body[0] & 0x80 else decode_json)(body, 0)
        if isinstance(pack, Rejected):
            return pack
        return Pack(tuple(_from_reception(each, letter.received_ms) for each in pack.readings), pack.rejected)
    envelope = open_envelope(body)
    return envelope if isinstance(envelope, Rejected) else _payload(envelope)


def _payload(envelope: Envelope) -> Pack | Loss | Rejected:
    # The signature was judged when it arrived; its key may have been revoked since.
    match envelope.header.content_type:
        case ContentType.SENML_JSON:
            return decode_json(envelope.payload, 0)
        case ContentType.SENML_CBOR:
            return decode_cbor(envelope.payload, 0)
        case ContentType.LOSS:
            try:
                return Loss.model_validate_json(envelope.payload)
            except ValidationError:
                return Rejected(Reason.FOREIGN_SCHEMA, "not a loss document")
        case ContentType.UNDECODED:
            return Rejected(Reason.FOREIGN_SCHEMA, "the gateway could not read it, and only a gateway could")
        case kind:
            return Rejected(Reason.FOREIGN_SCHEMA, f"a {kind.name.lower()} holds no readings to be stored late")


def _from_reception(reading: Reading, received_ms: int) -> Reading:
    """Resolve a bare pack's time given as seconds ago, as decoding did (RFC 8428 4.5.3)."""
    return reading if reading.observed_ms > 0 else reading._replace(observed_ms=reading.observed_ms + received_ms)


def _placed(dead: Dead, places: range | tuple[int, ...]) -> Dead:
    return dead if dead.places is None else replace(dead, places=tuple(places[each] for each in dead.places))


def _untold(letter: Letter) -> Rejected:
    return Rejected(
        Reason.MALFORMED,
        f"which records were refused for {letter.reason} was not kept: none can be told from those that were stored",
    )
