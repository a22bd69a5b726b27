"""The signed envelope: COSE_Sign1 with EdDSA around a payload, identity in the protected header.

Identity travels in the body and not in MQTT properties, so that MQTT 3.1.1 serves as well and any other transport can
carry it. `seq` is gap-free within an `epoch` (the identity of one spool) and `prev` chains the messages, so a dropped
or altered one shows. `produced` is the running total of readings the spool has taken in this epoch up to and with this
message: it makes "produced = stored + duplicate + declared lost" checkable at every seq.
Source: RFC 9052 4.2 and 4.4 (COSE_Sign1, Sig_structure), RFC 9053 2.2 (EdDSA, alg -8), RFC 7252 12.3 (content formats).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.rejected import Reason, Rejected

__all__ = ["ContentType", "Envelope", "Header", "digest", "key_id", "open_envelope", "public_bytes", "seal", "verify"]

_COSE_SIGN1_TAG: Final = 18
_FRAME_BYTES: Final = 3
"""Tag, head of the array and empty unprotected map, one byte each."""
_SIGNED_BEGIN: Final = b"\x84\x6aSignature1"
"""Head of an array of four, and its first element, the context string."""
_KEYS_KEPT: Final = 100_000
_ALG, _CONTENT_TYPE, _KID = 1, 3, 4
_EDDSA: Final = -8
_EPOCH, _SEQ, _PREV, _COUNT, _PRODUCED, _REPLAYED = -70001, -70002, -70003, -70004, -70005, -70006
"""Private-use header labels (below -65536, RFC 9052 11.1)."""

NO_PREVIOUS: Final = bytes(32)
"""`prev` of the first message of an epoch."""


class ContentType(Enum):
    """What the payload is; registered CoAP content formats where they exist."""

    SENML_JSON = 110
    SENML_CBOR = 112
    EPCIS_JSON = "application/ld+json"
    LOSS = "application/vnd.hanlu.loss+json"
    UNDECODED = "application/vnd.hanlu.undecoded+json"
    BIRTH = "application/vnd.hanlu.birth+json"


@dataclass(frozen=True, slots=True)
class Header:
    """What the gateway signs besides the payload.

    Attributes:
        kid: key id, first 8 bytes of SHA-256 of the raw public key.
        content_type: of the payload.
        epoch: 16 random bytes, made with the spool.
        seq: from 1, gap-free in the epoch, over all lanes.
        prev: SHA-256 of the message with `seq - 1`, or 32 zero bytes for the first.
        count: readings (or lost readings, for a loss) this message accounts for; 0 for births and events.
        produced: readings accounted for in this epoch up to and with this message.
        replayed: the message carries a replay of recorded data in its own time.
    """

    kid: bytes
    content_type: ContentType
    epoch: bytes
    seq: int
    prev: bytes
    count: int
    produced: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened, not yet verified message."""

    header: Header
    payload: bytes
    protected: bytes
    signature: bytes


def digest(raw: bytes) -> bytes:
    """Return SHA-256 of a whole message: what the next one carries as `prev`."""
    return hashlib.sha256(raw).digest()


def public_bytes(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """Return the 32 raw bytes of the public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(public: bytes) -> bytes:
    """Return the key id of 32 raw public key bytes."""
    return hashlib.sha256(public).digest()[:8]


def seal(header: Header, payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return the signed message."""
    protected = cbor2.dumps(
        {
            _ALG: _EDDSA,
            _CONTENT_TYPE: header.content_type.value,
            _KID: header.kid,
            _EPOCH: header.epoch,
            _SEQ: header.seq,
            _PREV: header.prev,
            _COUNT: header.count,
            _PRODUCED: header.produced,
            _REPLAYED: header.replayed,
        },
        canonical=True,
    )
    signature = key.sign(_to_be_signed(protected, payload))
    return _framed(protected, payload, signature)


def open_envelope(raw: bytes) -> Envelope | Rejected:
    """Return the envelope in `raw` with every field's type and range checked; the signature is `verify`'s business."""
    if len(raw) > MAX_MESSAGE_BYTES:
        return Rejected(Reason.OVERSIZED, f"{len(raw)} bytes, at most {MAX_MESSAGE_BYTES}")
    try:
        message = cbor2.loads(raw)
        tagged = isinstance(message, cbor2.CBORTag) and message.tag == _COSE_SIGN1_TAG
        parts = message.value if tagged else None
        if not (isinstance(parts, list | tuple) and len(parts) == 4):
            return Rejected(Reason.MALFORMED, "not a COSE_Sign1 message")
        protected, unprotected, payload, signature = parts
        if not (type(protected) is type(payload) is type(signature) is bytes):
            return Rejected(Reason.MALFORMED, "COSE_Sign1 parts are not byte strings")
        shortest = _FRAME_BYTES + sum(len(_head(len(part))) + len(part) for part in (protected, payload, signature))
        if len(raw) != shortest or not isinstance(unprotected, Mapping) or unprotected:
            # One message has one form, so that its digest, which the chain and redelivery go by, cannot be changed
            # without breaking the signature: nothing in the unprotected header, nothing behind the message. Every
            # piece has but one encoding as short as its shortest, so the length proves the form.
            return Rejected(
                Reason.MALFORMED, "not the shortest form of a COSE_Sign1 message with an empty unprotected map"
            )
        header = _header(cbor2.loads(protected))
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError) as error:
        return Rejected(Reason.MALFORMED, f"not a COSE_Sign1 message: {error}"[:200])
    if isinstance(header, Rejected):
        return header
    return Envelope(header, payload, protected, signature)


def verify(envelope: Envelope, public: bytes) -> bool:
    """Tell whether the 32-byte Ed25519 key `public` signed this envelope."""
    try:
        _public_key(public).verify(envelope.signature, _to_be_signed(envelope.protected, envelope.payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def _framed(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1_TAG, [protected, {}, payload, signature]))


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure (RFC 9052 4.4) with an empty external_aad."""
    return b"".join((_SIGNED_BEGIN, _head(len(protected)), protected, b"\x40", _head(len(payload)), payload))


def _head(length: int) -> bytes:
    """Return the shortest head of a byte string (RFC 8949 3.1, major type 2)."""
    if length < 24:
        return bytes((0x40 | length,))
    if length < 1 << 8:
        return bytes((0x58, length))
    if length < 1 << 16:
        return b"\x59" + length.to_bytes(2)
    return b"\x5a" + length.to_bytes(4)


@lru_cache(maxsize=_KEYS_KEPT)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def _header(fields: Any) -> Header | Rejected:
    if not isinstance(fields, dict):
        return Rejected(Reason.MALFORMED, "the protected header is not a map")
    if fields.get(_ALG) != _EDDSA:
        return Rejected(Reason.MALFORMED, f"algorithm {fields.get(_ALG)!r}, only EdDSA (-8) is accepted")
    kid, epoch, prev = fields.get(_KID), fields.get(_EPOCH), fields.get(_PREV)
    numbers = (fields.get(_SEQ), fields.get(_COUNT), fields.get(_PRODUCED))
    if not (isinstance(kid, bytes) and len(kid) == 8):
        return Rejected(Reason.MALFORMED, "kid is not 8 bytes")
    if not (isinstance(epoch, bytes) and len(epoch) == 16 and isinstance(prev, bytes) and len(prev) == 32):
        return Rejected(Reason.MALFORMED, "epoch is not 16 bytes or prev not 32")
    if not all(type(number) is int and 0 <= number < 2**62 for number in numbers) or numbers[0] == 0:
        return Rejected(Reason.MALFORMED, "seq, count or produced is not a whole number in range")
    try:
        content_type = ContentType(fields.get(_CONTENT_TYPE))
    except (ValueError, TypeError):
        return Rejected(Reason.FOREIGN_SCHEMA, f"content type {str(fields.get(_CONTENT_TYPE))[:60]!r} is unknown")
    seq, count, produced = (int(number) for number in numbers if number is not None)
    return Header(kid, content_type, epoch, seq, prev, count, produced, fields.get(_REPLAYED) is True)
