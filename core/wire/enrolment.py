"""What a gateway and the platform say to one another by HTTP when the gateway enrols or changes its key.

A gateway proves that it holds the private half of a key by signing a statement with it; the statements are built here
and nowhere else. Every statement begins with words of its own, so that no signature made for one purpose passes for
another, and a message envelope (which begins with a CBOR byte) passes for none.

Enrolment: the statement holds the one-time token, so it is as fresh as the token is. Renewal: it holds a challenge the
platform gave out for this one use, and is signed by the key in force and, where the key changes, by the new one too.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field

from hanlu.core.limits import CODE_PATTERN, PARTITIONS

__all__ = [
    "BrokerAccess",
    "Challenge",
    "EnrolRequest",
    "Enrolled",
    "RenewRequest",
    "clean_token",
    "enrolment_statement",
    "from_text",
    "renewal_statement",
    "signed_by",
    "to_text",
]

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

Code = Annotated[str, Field(pattern=rf"^{CODE_PATTERN}$", description="the gateway's code")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="raw Ed25519 public key, base64url")]
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$", description="Ed25519 signature, base64url")]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class EnrolRequest(_Asked):
    """A gateway shows its token and its new public key."""

    token: str = Field(min_length=8, max_length=100, description="as the administrator gave it")
    public_key: Key
    signature: Signature = Field(description="of `enrolment_statement`, by the key")


class Challenge(_Answered):
    """Bytes to sign once."""

    challenge: str = Field(min_length=16, max_length=100)
    expires_in_s: int = Field(gt=0, description="seconds until it is worth nothing")


class RenewRequest(_Asked):
    """A gateway with a key in force asks for a new broker password and, where it names one, announces a new key."""

    challenge: str = Field(min_length=16, max_length=100)
    gateway: Code
    kid: str = Field(pattern=r"^[0-9a-f]{16}$", description="id of the key in force")
    signature: Signature = Field(description="of `renewal_statement`, by the key in force")
    new_public_key: Key | None = None
    new_signature: Signature | None = Field(default=None, description="of the same statement, by the new key")


class BrokerAccess(_Answered):
    """How this gateway reaches the broker."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65_535)
    tls: bool
    ca_pem: str | None = Field(default=None, max_length=100_000, description="roots to trust; none: the system's")
    username: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=16, max_length=128, description="secret, told this once")


class Enrolled(_Answered):
    """The platform's answer to both requests."""

    gateway: Code
    partition: int = Field(ge=0, lt=PARTITIONS)
    kid: str = Field(description="id of the key that now signs")
    broker: BrokerAccess
    old_key_until_ms: int | None = Field(
        default=None, description="messages signed by the key before count until then, Unix milliseconds"
    )
    now_ms: int = Field(description="the platform's clock, Unix milliseconds")
    platform: str = Field(max_length=300, description="base URL of the platform's pages")
    software: str = Field(max_length=80, description="the platform's version")


def clean_token(text: str) -> str:
    """Return a token as it counts: without blanks around it and in lower case, for people type it."""
    return text.strip().lower()


def enrolment_statement(token: str, public_key: bytes) -> bytes:
    """Return what a gateway signs to enrol `public_key` (32 bytes) with `token`."""
    return b"hanlu enrolment 1\n" + hashlib.sha256(clean_token(token).encode()).digest() + public_key


def renewal_statement(challenge: str, gateway: str, kid: bytes, new_public_key: bytes | None) -> bytes:
    """Return what a gateway signs to renew its password and, with a new key of 32 bytes, its key."""
    parts = (challenge.encode(), gateway.encode(), kid, new_public_key or b"")
    return b"hanlu renewal 1\n" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def to_text(raw: bytes) -> str:
    """Return bytes as base64url without padding (RFC 4648 5)."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """Return the bytes of `to_text`.

    Raises:
        ValueError: the text is not base64url.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def signed_by(public_key: bytes, signature: bytes, statement: bytes) -> bool:
    """Tell whether `public_key` (raw Ed25519) signed `statement`; a key that is none signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True
