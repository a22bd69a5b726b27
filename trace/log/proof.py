"""The inclusion proof as a small text file that anybody can check offline.

Theory. The file carries a leaf's index, its inclusion path and the signed checkpoint the path leads to. With the
leaf's data, the log's key and this file, membership is decided without asking anyone. The `extra` line is free for
context and is not protected by anything.

Source: C2SP tlog-proof ("Format").
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from hanlu.trace.log.checkpoint import parse_signed_checkpoint
from hanlu.trace.log.merkle import HASH_SIZE, MAX_PATH, verify_inclusion
from hanlu.trace.log.notes import VerifierKey, decode_base64

__all__ = ["TlogProof", "format_proof", "parse_proof", "verify_proof"]

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9]\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """One proof.

    Attributes:
        index: Place of the leaf, from 0.
        path: Inclusion path, leaf's sibling first, 32 bytes each.
        checkpoint: The signed checkpoint, verbatim.
        extra: Opaque bytes that nothing vouches for.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""


def format_proof(proof: TlogProof) -> str:
    """Return the proof's text; store it with the ending ``.tlog-proof``."""
    lines = [_HEADER]
    if proof.extra:
        lines.append("extra " + base64.b64encode(proof.extra).decode())
    lines.append(f"index {proof.index}")
    lines.extend(base64.b64encode(step).decode() for step in proof.path)
    return "\n".join(lines) + "\n\n" + proof.checkpoint


def parse_proof(text: str) -> TlogProof:
    """Read a proof's text; nothing is verified yet.

    Raises:
        ValueError: A line is missing, out of place or malformed, or the path is longer than any tree is high.
    """
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != _HEADER:
        raise ValueError(f"not a proof: the first line is not {_HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None:
        raise ValueError("the proof has no index line")
    path = tuple(decode_base64(line) for line in lines)
    if len(path) > MAX_PATH or any(len(step) != HASH_SIZE for step in path):
        raise ValueError("the proof's path is not a list of hashes")
    parse_signed_checkpoint(checkpoint)
    return TlogProof(int(match[1]), path, checkpoint, extra)


def verify_proof(proof: TlogProof, leaf: bytes, key: VerifierKey) -> bool:
    """Tell whether `proof` shows the leaf hash `leaf` in the log that `key` signs for.

    The checkpoint's origin must be the key's name: a key of one log says nothing about another.
    """
    signed = parse_signed_checkpoint(proof.checkpoint)
    checkpoint = signed.checkpoint
    return (
        checkpoint.origin == key.name
        and signed.signed_by(key)
        and verify_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    )
