"""A delivered message to the value it stands for: pure, and nothing that arrives can raise.

What cannot be attributed (no gateway of ours, no valid signature) is `Refused`: it gets no receipt, so an honest
gateway keeps it. What is attributed is `Accepted` even when nothing in it is any good, because its sequence number has
arrived: the bad part becomes dead letters with the bytes and the reason, the rest is stored, and the gateway may go on.

Checked in this order, cheap before dear: size, topic, gateway, partition, envelope's structure, key, signature,
payload, and then every record by itself: channel known, unit as registered, finite, within what the unit allows, and
a time between 2010 and five minutes from now. Old times are as good as new ones: backlogs and replays bring them.
A pack of the usual shape with nothing wrong in it goes a shorter way (`_plain`); any doubt sends it the long one.

A signed message must carry absolute times, for it may have lain in a spool for days. A plain device without a clock
may leave the time out or give it as seconds ago (RFC 8428 4.5.3: below 2**28); then the time of reception counts and
the message's identity includes it, since the same value said again a minute later is a new reading. For such a device
alone a delivery repeated by the broker can be told twice; devices that must count exactly once send a time, or sign.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pydantic import ValidationError

from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS, MAX_MESSAGE_BYTES
from hanlu.core.reading import Evidence, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Columns, Pack, decode_cbor, decode_json, plain_cbor, plain_json
from hanlu.core.wire.documents import Birth, Loss, Undecoded, Will
from hanlu.core.wire.envelope import ContentType, Envelope, digest, open_envelope, verify
from hanlu.core.wire.topics import Lane, Topic, parse_topic
from hanlu.ingest.directory import Gateway, Snapshot
from hanlu.ingest.message import Accepted, Dead, Departed, Outcome, Refused

__all__ = ["Checked", "check_records", "decode", "names_unknown"]

_RELATIVE_BEFORE_MS: Final = 2**28 * 1000
"""Resolved against an instant of zero, a relative time lies below and an absolute one above."""

_DETAILS: Final = 5
"""Records described in words in one dead letter; all are counted."""

_LONGEST_FAULT: Final = 500
"""Characters kept of what an error of our own says."""

_MOST_COUNTED: Final = 10_000_000
"""Readings one message may account for (core.wire.documents.Loss)."""

_MOST_PRODUCED: Final = 2**53
"""Largest seq and running total a gateway may claim: beyond it sums over its accounts could no longer be held."""

_READING_LANES: Final = (Lane.LIVE, Lane.BACKLOG)
_UNKNOWN: Final = frozenset({Reason.UNKNOWN_GATEWAY, Reason.UNKNOWN_KEY, Reason.UNKNOWN_CHANNEL})


def decode(topic: str, payload: bytes, received_ms: int, snapshot: Snapshot, *, retained: bool = False) -> Outcome:
    """Return what the message is.

    Args:
        topic: as received.
        payload: as received.
        received_ms: the platform's clock, Unix milliseconds UTC.
        snapshot: the registry.
        retained: the broker kept the message, so that the time of reception says nothing of the time of measurement.
    """
    parsed = parse_topic(topic)
    outcome: Outcome | Rejected
    try:
        outcome = (
            parsed if isinstance(parsed, Rejected) else _attributed(parsed, payload, received_ms, snapshot, retained)
        )
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not stop every other gateway
        outcome = Rejected(Reason.MALFORMED, f"reading it failed: {type(error).__name__}: {error}"[:_LONGEST_FAULT])
    if not isinstance(outcome, Rejected):
        return outcome
    return Refused(
        topic,
        parsed.gateway if isinstance(parsed, Topic) else None,
        received_ms,
        payload[:MAX_MESSAGE_BYTES],
        digest(payload),
        Dead(outcome.reason, outcome.detail),
    )


def names_unknown(outcome: Outcome) -> bool:
    """Tell whether the message names a gateway, key or channel the snapshot lacks: worth a look at a younger one."""
    if isinstance(outcome, Accepted):
        return any(each.reason in _UNKNOWN for each in outcome.dead)
    return isinstance(outcome, Refused) and outcome.dead.reason in _UNKNOWN


def _attributed(
    topic: Topic, payload: bytes, received_ms: int, snapshot: Snapshot, retained: bool
) -> Outcome | Rejected:
    if len(payload) > MAX_MESSAGE_BYTES:
        return Rejected(
            Reason.OVERSIZED, f"{len(payload)} bytes, at most {MAX_MESSAGE_BYTES}; only the beginning is kept"
        )
    if not topic.lane.upward:
        return Rejected(Reason.BAD_TOPIC, f"lane {topic.lane.value} leads downward")
    gateway = snapshot.gateways.get(topic.gateway)
    if gateway is None:
        return Rejected(Reason.UNKNOWN_GATEWAY, f"gateway {topic.gateway} is not registered")
    if gateway.partition != topic.partition:
        return Rejected(
            Reason.GATEWAY_MISMATCH,
            f"gateway {gateway.code} belongs to partition {gateway.partition:02d}, not {topic.partition:02d}",
        )
    if topic.lane is Lane.WILL:
        return _will(gateway, payload, received_ms)
    if _is_bare(payload):
        return _bare(topic, gateway, payload, received_ms, retained)
    envelope = open_envelope(payload)
    if isinstance(envelope, Rejected):
        return envelope
    header = envelope.header
    if header.count > _MOST_COUNTED or max(header.seq, header.produced) > _MOST_PRODUCED:
        return Rejected(Reason.MALFORMED, "seq, count or produced is beyond anything a gateway can have made")
    return _unproven(envelope, gateway, received_ms, snapshot) or _signed(
        topic, gateway, envelope, payload, received_ms
    )


def _is_bare(payload: bytes) -> bool:
    """Tell a bare SenML pack by its first byte: `[` (or space before it) for JSON, an array head for CBOR."""
    first = payload[:1]
    return first in (b"[", b" ", b"\t", b"\r", b"\n") or b"\x80" <= first <= b"\x9f"


def _unproven(envelope: Envelope, gateway: Gateway, received_ms: int, snapshot: Snapshot) -> Rejected | None:
    """Return why the gateway of the topic did not sign this, or None when it did."""
    kid = envelope.header.kid
    key = gateway.keys.get(kid)
    if key is None:
        owner = snapshot.owners.get(kid)
        if owner is not None:
            return Rejected(Reason.GATEWAY_MISMATCH, f"signed with a key of gateway {owner}, sent as {gateway.code}")
        return Rejected(Reason.UNKNOWN_KEY, f"key {kid.hex()} is not registered")
    if key.revoked_ms is not None and received_ms >= key.revoked_ms:
        return Rejected(Reason.UNKNOWN_KEY, f"key {kid.hex()} is revoked")
    # The database's clock wrote valid_from, ours reads it: they may differ a little.
    if received_ms < key.valid_from_ms - MAX_FUTURE_MS:
        return Rejected(Reason.UNKNOWN_KEY, f"key {kid.hex()} is not valid yet")
    if not verify(envelope, key.public):
        return Rejected(Reason.BAD_SIGNATURE, f"the signature of key {kid.hex()} is false")
    return None


def _will(gateway: Gateway, payload: bytes, received_ms: int) -> Departed | Rejected:
    try:
        will = Will.model_validate_json(payload)
    except ValidationError as error:
        return Rejected(Reason.FOREIGN_SCHEMA, f"not a will: {_because(error)}")
    if will.gateway != gateway.code:
        return Rejected(Reason.GATEWAY_MISMATCH, f"a will of {will.gateway}, sent as {gateway.code}")
    return Departed(gateway.gateway_id, received_ms)


def _bare(topic: Topic, gateway: Gateway, payload: bytes, received_ms: int, retained: bool) -> Accepted | Rejected:
    if not gateway.accepts_unsigned:
        return Rejected(Reason.BAD_SIGNATURE, f"unsigned, and gateway {gateway.code} must sign")
    if topic.lane not in _READING_LANES:
        return Rejected(Reason.BAD_SIGNATURE, f"lane {topic.lane.value} takes signed messages only")
    in_cbor = bool(payload[0] & 0x80)
    plain = _plain((plain_cbor if in_cbor else plain_json)(payload), gateway, received_ms)
    if plain is not None:
        return Accepted(
            topic, gateway.gateway_id, received_ms, payload, digest(payload), None, Evidence.UNSIGNED, *plain
        )
    pack = (decode_cbor if in_cbor else decode_json)(payload, 0)
    if isinstance(pack, Rejected):
        return pack
    identity = digest(payload)
    if any(reading.observed_ms < _RELATIVE_BEFORE_MS for reading in pack.readings):
        if retained:
            return Rejected(Reason.IMPOSSIBLE_TIME, "kept by the broker and without a time: nobody knows how old it is")
        pack = Pack(tuple(_from_now(reading, received_ms) for reading in pack.readings), pack.rejected)
        identity = digest(payload + struct.pack(">q", received_ms))
    checked = check_records(pack, gateway, received_ms)
    return Accepted(topic, gateway.gateway_id, received_ms, payload, identity, None, Evidence.UNSIGNED, *checked)


def _from_now(reading: Reading, received_ms: int) -> Reading:
    """Resolve a relative time; one ahead of now is a power-on clock counting from 1970, and is left there."""
    if reading.observed_ms > 0:
        return reading
    return reading._replace(observed_ms=reading.observed_ms + received_ms)


def _signed(topic: Topic, gateway: Gateway, envelope: Envelope, body: bytes, received_ms: int) -> Accepted:
    header = envelope.header
    accepted = Accepted(topic, gateway.gateway_id, received_ms, body, digest(body), header, Evidence.SIGNED, *_NOTHING)
    content = _content(accepted, gateway, envelope)
    if isinstance(content, Rejected):
        return accepted._replace(dead=(Dead(content.reason, content.detail, header.count),))
    return _reconciled(content)


def _content(accepted: Accepted, gateway: Gateway, envelope: Envelope) -> Accepted | Rejected:
    """Return the message with its payload read, or why the payload as a whole is no good."""
    payload = envelope.payload
    try:
        match envelope.header.content_type:
            case ContentType.SENML_JSON | ContentType.SENML_CBOR as kind:
                in_json, received_ms = kind is ContentType.SENML_JSON, accepted.received_ms
                plain = _plain((plain_json if in_json else plain_cbor)(payload), gateway, received_ms)
                if plain is not None:
                    return accepted._replace(**plain._asdict())
                pack = (decode_json if in_json else decode_cbor)(payload, 0)
                if isinstance(pack, Rejected):
                    return pack
                return accepted._replace(**check_records(pack, gateway, received_ms)._asdict())
            case ContentType.UNDECODED:
                undecoded = Undecoded.model_validate_json(payload)
                return Rejected(undecoded.reason, f"{undecoded.source}: {undecoded.detail}")
            case ContentType.LOSS:
                return accepted._replace(loss=Loss.model_validate_json(payload))
            case ContentType.BIRTH:
                birth = Birth.model_validate_json(payload)
                if birth.gateway != gateway.code:
                    detail = f"a birth of {birth.gateway}, sent as {gateway.code}"
                    return Rejected(Reason.GATEWAY_MISMATCH, detail)
                return accepted._replace(birth=birth)
            case ContentType.EPCIS_JSON:
                return accepted._replace(event=payload)
    except ValidationError as error:
        name = envelope.header.content_type.name.lower()
        return Rejected(Reason.FOREIGN_SCHEMA, f"not a {name} document: {_because(error)}")


def _reconciled(accepted: Accepted) -> Accepted:
    """Hold what is there against what the header counts; what is missing is dead, what is too many is kept and told."""
    counted = accepted.header.count if accepted.header else accepted.reading_count
    found = accepted.reading_count
    if found == counted:
        return accepted
    remark = Dead(
        Reason.MALFORMED, f"the header counts {counted} readings, the payload holds {found}", max(0, counted - found)
    )
    return accepted._replace(dead=(*accepted.dead, remark))


class Checked(NamedTuple):
    """What a pack held; the fields are those of `Accepted`."""

    channel_ids: list[int]
    observed_ms: list[int]
    values: list[float]
    qualities: list[int] | None = None
    dead: tuple[Dead, ...] = ()


_NOTHING: Final = Checked([], [], [])


def _plain(columns: Columns | None, gateway: Gateway, received_ms: int) -> Checked | None:
    """Return what `check_records` would, when all of it is good; None: it must be asked."""
    if columns is None:
        return None
    known, times = gateway.channels, columns.observed_ms
    if not (min(times) >= EARLIEST_OBSERVED_MS and max(times) <= received_ms + MAX_FUTURE_MS):
        return None
    try:
        channels = [known[name] for name in columns.names]
    except KeyError:
        return None
    for channel, unit, value in zip(channels, columns.units, columns.values, strict=True):
        if not channel.low <= value <= channel.high or (unit != channel.unit and (unit or channel.unit != "/")):
            return None
    return Checked([channel.channel_id for channel in channels], times, columns.values, columns.qualities)


def check_records(pack: Pack, gateway: Gateway, received_ms: int) -> Checked:
    """Return the good readings of a pack, and what was refused, one entry a reason.

    Args:
        pack: times resolved.
        gateway: what the registry says of it.
        received_ms: when the message came, Unix milliseconds UTC.
    """
    ids: list[int] = []
    times: list[int] = []
    values: list[float] = []
    qualities: list[int] = []
    faulty: list[int] = []
    channels, latest_ms = gateway.channels, received_ms + MAX_FUTURE_MS
    for place, reading in enumerate(pack.readings):
        name, unit, observed_ms, value, quality = reading
        channel = channels.get(name)
        if (
            channel is not None
            and (unit == channel.unit or (not unit and channel.unit == "/"))
            and channel.low <= value <= channel.high
            and EARLIEST_OBSERVED_MS <= observed_ms <= latest_ms
        ):
            ids.append(channel.channel_id)
            times.append(observed_ms)
            values.append(value)
            qualities.append(int(quality))
        else:
            faulty.append(place)
    dead = _refused(pack, faulty, gateway, received_ms) if faulty or pack.rejected else ()
    return Checked(ids, times, values, qualities if any(qualities) else None, dead)


def _refused(pack: Pack, faulty: list[int], gateway: Gateway, received_ms: int) -> tuple[Dead, ...]:
    """Return what is wrong with the malformed records of a pack and with those at `faulty`, one entry a reason."""
    malformed: dict[Reason, list[str]] = {}
    for rejected in pack.rejected:
        malformed.setdefault(rejected.reason, []).append(rejected.detail)
    details: dict[Reason, list[str]] = {}
    places: dict[Reason, list[int]] = {}
    for place in faulty:
        reason, detail = _fault(pack.readings[place], gateway, received_ms)
        details.setdefault(reason, []).append(detail)
        places.setdefault(reason, []).append(place)
    return (
        *(_dead(reason, words, None) for reason, words in malformed.items()),
        *(_dead(reason, words, tuple(places[reason])) for reason, words in details.items()),
    )


def _fault(reading: Reading, gateway: Gateway, received_ms: int) -> tuple[Reason, str]:
    """Return what is wrong with a reading that did not pass."""
    name = f"{reading.name[:80]!r}"
    channel = gateway.channels.get(reading.name)
    if channel is None:
        return Reason.UNKNOWN_CHANNEL, f"gateway {gateway.code} has no channel {name}"
    if reading.unit != channel.unit and (reading.unit or channel.unit != "/"):
        return Reason.UNIT_MISMATCH, f"{name} in {reading.unit[:20]!r}, registered in {channel.unit!r}"
    if not channel.low <= reading.value <= channel.high:
        bounds = f"{channel.low:g} to {channel.high:g}"
        return Reason.IMPOSSIBLE_VALUE, f"{name} is {reading.value:g} {channel.unit}, possible is {bounds}"
    ahead_s = (reading.observed_ms - received_ms) / 1000
    if ahead_s > 0:
        return Reason.IMPOSSIBLE_TIME, f"{name} is {ahead_s:.0f} s ahead of reception"
    return Reason.IMPOSSIBLE_TIME, f"{name} at {reading.observed_ms / 1000:.3f} s since 1970: a device without a clock"


def _dead(reason: Reason, details: list[str], places: tuple[int, ...] | None) -> Dead:
    more = [f"and {len(details) - _DETAILS} more"] if len(details) > _DETAILS else []
    return Dead(reason, "; ".join(details[:_DETAILS] + more), len(details), places)


def _because(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where[:80]}: {first['msg']}"[:300] if where else str(first["msg"])[:300]
