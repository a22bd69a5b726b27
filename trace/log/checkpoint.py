"""Checkpoints: the log's signed word about its size and root.

Theory. A checkpoint's text has three lines: the log's origin, the number of leaves, the root hash in base64; opaque
extension lines may follow. It is signed as a note. Whoever holds one checkpoint can demand that every later one be
consistent with it; two signed checkpoints that are not are proof of the log's misbehaviour.

Source: C2SP tlog-checkpoint ("Note text", "Signatures").
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.trace.log.merkle import EMPTY_ROOT, HASH_SIZE
from hanlu.trace.log.notes import SignedNote, VerifierKey, decode_base64, parse_note, sign_note, verify_note

__all__ = ["Checkpoint", "SignedCheckpoint", "parse_checkpoint", "parse_signed_checkpoint", "sign_checkpoint"]

_SIZE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_MAX_SIZE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of one log at one time.

    Attributes:
        origin: The log's identity, such as ``hanlu.example/yanling``.
        size: Number of leaves, 0 to 2**63 - 1.
        root: Root hash, 32 bytes.
        extensions: Opaque further lines; Hanlu writes none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no checkpoint can say.

        Raises:
            ValueError: An empty or broken line, a size out of range, a root that is not 32 bytes or not the empty
                tree's root at size 0.
        """
        if any(not line or "\n" in line for line in (self.origin, *self.extensions)):
            raise ValueError("a checkpoint's lines are not empty")
        if not 0 <= self.size <= _MAX_SIZE:
            raise ValueError(f"impossible tree size {self.size}")
        if len(self.root) != HASH_SIZE or (self.size == 0 and self.root != EMPTY_ROOT):
            raise ValueError("impossible root hash")

    @property
    def text(self) -> str:
        """The text to sign."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(line + "\n" for line in lines)


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as it was received.

    Attributes:
        checkpoint: What it says.
        note: Its exact text and its signatures, not verified yet.
    """

    checkpoint: Checkpoint
    note: SignedNote

    def signed_by(self, key: VerifierKey) -> bool:
        """Tell whether `key` signed this checkpoint."""
        return verify_note(self.note, key)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text, without signatures.

    Raises:
        ValueError: It is not exactly the text of a checkpoint.
    """
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < 3 or not _SIZE.fullmatch(lines[1]):
        raise ValueError("not a checkpoint: it has the lines origin, size, root")
    return Checkpoint(lines[0], int(lines[1]), decode_base64(lines[2]), tuple(lines[3:]))


def parse_signed_checkpoint(note: str) -> SignedCheckpoint:
    """Read a checkpoint with its signature lines; no signature is verified here.

    Raises:
        ValueError: It is not a note, or its text is not a checkpoint.
    """
    parsed = parse_note(note)
    return SignedCheckpoint(parse_checkpoint(parsed.text), parsed)


def sign_checkpoint(checkpoint: Checkpoint, private: Ed25519PrivateKey, name: str | None = None) -> str:
    """Return the signed note for `checkpoint`.

    The caller must first have stored all tiles of that size, and must never sign a checkpoint that is inconsistent
    with an earlier one.

    Args:
        checkpoint: What to say.
        private: The log's key.
        name: The key's name; the origin unless given.

    Raises:
        ValueError: The origin cannot serve as a key's name and no other is given.
    """
    return sign_note(checkpoint.text, name or checkpoint.origin, private)
