"""Signed notes: a short text with signature lines under it, and the keys that sign and check it.

Theory. A note's text ends in a newline; after one blank line stand signature lines, each an em dash, the signer's
name, and base64 of a four-byte key id and the signature. The key id is only a shortcut to the right key: it is a
truncated hash of name, algorithm and public key. Lines by unknown keys are passed over, so that witnesses may sign and
keys may be rotated; a line by a known key that does not verify condemns the whole note.

Reading is strict: base64 must be the one canonical spelling, so that no byte of a note can change unnoticed.

Source: C2SP signed-note ("Format", "Signatures", "Ed25519 signatures").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "ED25519",
    "NoteSignature",
    "SignedNote",
    "VerifierKey",
    "decode_base64",
    "parse_note",
    "parse_verifier_key",
    "sign_note",
    "verifier_key_for",
    "verify_note",
]

ED25519 = 0x01
"""Signature type byte of Ed25519. Source: C2SP signed-note, "Signature types"."""

_MAX_SIGNATURES = 64
_MAX_NOTE_CHARACTERS = 1 << 20
_NAME = re.compile(r"[^\s+\ufeff]+")  # U+FEFF is white space to a browser
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: The key's name.
        key_id: Four bytes that, with the name, pick the key.
        signature: The bytes the algorithm made; 64 for Ed25519.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note taken apart; nothing about it is verified yet.

    Attributes:
        text: What is signed, ending in a newline.
        signatures: The lines under it, in order; at least one.
    """

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under.

    Attributes:
        name: No white space, no ``+``.
        public: 32 bytes of an Ed25519 public key.
    """

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256 over name, newline, type byte and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return the key as ``name+id+base64``, the form given to people who verify."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([ED25519]) + self.public).decode()}"


def decode_base64(text: str) -> bytes:
    """Decode standard base64 in its one canonical spelling.

    Raises:
        ValueError: Foreign characters, wrong padding, or unused bits that are not zero.

    Source: RFC 4648, sections 3.5 and 4.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def parse_verifier_key(text: str) -> VerifierKey:
    """Read ``name+id+base64``.

    Raises:
        ValueError: The form is wrong, the algorithm is not Ed25519, or the id does not belong to the key.
    """
    parts = text.split("+", 2)
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
        raise ValueError("a verifier key has the form name+id+key")
    material = decode_base64(parts[2])
    if len(material) != 33 or material[0] != ED25519:
        raise ValueError("not an Ed25519 verifier key")
    key = VerifierKey(parts[0], material[1:])
    if key.key_id.hex() != parts[1]:
        raise ValueError("the key's id does not belong to it")
    return key


def verifier_key_for(name: str, private: Ed25519PrivateKey) -> VerifierKey:
    """Return the public half of `private` under `name`.

    Raises:
        ValueError: `name` is empty or has white space or ``+`` in it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a key name: {name!r}")
    return VerifierKey(name, private.public_key().public_bytes_raw())


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Return the note with one signature line.

    Args:
        text: Ends in a newline and holds no other control character.
        name: The key's name.
        private: The key.

    Raises:
        ValueError: The text or the name is not fit for a note.
    """
    _check_characters(text)
    if not text.endswith("\n"):
        raise ValueError("a note's text ends in a newline")
    key = verifier_key_for(name, private)
    line = base64.b64encode(key.key_id + private.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {line}\n"


def _check_characters(text: str) -> None:
    if _CONTROL.search(text):
        raise ValueError("a note holds no control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a note is valid UTF-8") from None


def _parse_signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _NAME.fullmatch(name):
        raise ValueError("broken signature line")
    data = decode_base64(encoded)
    if len(data) < 5:
        raise ValueError("broken signature line")
    return NoteSignature(name, data[:4], data[4:])


def parse_note(note: str) -> SignedNote:
    """Take a note apart.

    Raises:
        ValueError: Not a note: too long, no blank line, no or too many signature lines, or a broken one.
    """
    if len(note) > _MAX_NOTE_CHARACTERS:
        raise ValueError("the note is too long")
    _check_characters(note)
    body, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise ValueError("a note has a blank line and then signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise ValueError(f"more than {_MAX_SIGNATURES} signatures")
    return SignedNote(body + "\n", tuple(_parse_signature(line) for line in lines))


def verify_note(note: SignedNote, key: VerifierKey) -> bool:
    """Tell whether `key` signed the note, and every line that claims to be by `key` verifies."""
    mine = [line for line in note.signatures if line.name == key.name and line.key_id == key.key_id]
    public = Ed25519PublicKey.from_public_bytes(key.public)
    message = note.text.encode()
    for line in mine:
        try:
            public.verify(line.signature, message)
        except InvalidSignature:
            return False
    return bool(mine)
