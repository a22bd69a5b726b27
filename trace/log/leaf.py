"""The leaf: what the log commits to for one record of one lot.

Theory. A leaf is a small JSON object in its canonical bytes (RFC 8785). It holds two hashes of the record: the CBV
event hash, which partners can recompute from any serialisation, and the digest of the canonical bytes of the very
document that is shown, which a phone checks in a few lines. Both are needed: the event hash leaves some fields out.
Membership alone does not show that nothing was left out, so each lot's leaves also form a chain: `n` counts them from
1 and `prev` is the hash of the one before. Drop a leaf and the chain has a hole; drop the newest and the lot's head
disagrees. An event that touches two lots gets one leaf in each chain.

Every digest says its algorithm (``sha256:…``), so that another may stand beside it later.

Source: RFC 8785; RFC 9162, section 2.1.1 (hash of a leaf); CBV 2.0, section 8.9.2 (event hash).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785

from hanlu.trace.log.merkle import leaf_hash

__all__ = ["MAX_DEPTH", "MAX_SAFE", "Leaf", "canonical_bytes", "jcs_digest", "parse_leaf", "whole_number"]

MAX_SAFE = (1 << 53) - 1
"""Largest integer that every JSON reader keeps exactly. Source: RFC 8259, section 6; RFC 8785, appendix D."""

MAX_DEPTH = 64
"""Deepest nesting of arrays and objects in a document."""

_VERSION = 1
_MAX_TEXT = 2048
_CBV = re.compile(r"ni:///sha-256;[0-9a-f]{64}\?ver=CBV2\.0")
_JCS = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"v", "kind", "cbv", "jcs", "lot", "n", "prev"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One record of one lot, as the log commits to it.

    Attributes:
        kind: An EPCIS event, or a curve chunk (a stretch of the lot's readings).
        cbv: CBV event hash URI of an event; None for a curve.
        jcs: Digest of the canonical bytes of the document, ``sha256:`` and 64 hex digits.
        lot: Digital Link URI of the lot.
        n: Place in the lot's chain, from 1.
        prev: Hash of the lot's previous leaf, 64 hex digits; None for the first.
    """

    kind: Literal["event", "curve"]
    cbv: str | None
    jcs: str
    lot: str
    n: int
    prev: str | None

    def __post_init__(self) -> None:
        """Refuse values that make no leaf.

        Raises:
            ValueError: Says which field is wrong.
        """
        if self.kind == "event":
            good_hash = bool(_CBV.fullmatch(self.cbv or ""))
        else:
            good_hash = self.kind == "curve" and self.cbv is None
        good_prev = self.prev is None if self.n == 1 else bool(_HEX.fullmatch(self.prev or ""))
        checks = {
            "kind or cbv": good_hash,
            "jcs": bool(_JCS.fullmatch(self.jcs)),
            "lot": 0 < len(self.lot) <= _MAX_TEXT,
            "n": 1 <= self.n <= MAX_SAFE,
            "prev": good_prev,
        }
        for field, good in checks.items():
            if not good:
                raise ValueError(f"the leaf's {field} is wrong")

    def as_json(self) -> dict[str, Any]:
        """Return the leaf as a JSON object."""
        return {
            "v": _VERSION,
            "kind": self.kind,
            "cbv": self.cbv,
            "jcs": self.jcs,
            "lot": self.lot,
            "n": self.n,
            "prev": self.prev,
        }

    def data(self) -> bytes:
        """Return the canonical bytes: the entry in the log."""
        return canonical_bytes(self.as_json())

    def hash(self) -> bytes:
        """Return the leaf's hash in the tree, 32 bytes."""
        return leaf_hash(self.data())


def whole_number(value: object, low: int, high: int = MAX_SAFE) -> int | None:
    """Return `value` as an integer if it is a whole JSON number within ``[low, high]``, else None.

    A JSON number has no type: 7 and 7.0 are the same value, in Python as in a browser.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not low <= value <= high or value != int(value):  # NaN and infinity fail the first comparison
        return None
    return int(value)


def parse_leaf(value: object) -> Leaf:
    """Read a leaf from parsed JSON.

    Raises:
        ValueError: A field is missing, unknown or wrong.
    """
    if not isinstance(value, Mapping) or set(value) != _FIELDS:
        raise ValueError("a leaf has the fields v, kind, cbv, jcs, lot, n, prev and no others")
    n = whole_number(value["n"], 1)
    texts = [value["kind"], value["jcs"], value["lot"]]
    maybe = [value["cbv"], value["prev"]]
    if (
        whole_number(value["v"], _VERSION, _VERSION) is None
        or n is None
        or not all(isinstance(text, str) for text in texts)
        or not all(text is None or isinstance(text, str) for text in maybe)
    ):
        raise ValueError("a field of the leaf has the wrong type")
    return Leaf(value["kind"], value["cbv"], value["jcs"], value["lot"], n, value["prev"])


def _as_browsers_read(value: object, depth: int) -> object:
    """Return `value` with every number as a browser would hold it: integers beyond 2**53 become doubles."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {key: _as_browsers_read(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_browsers_read(item, depth + 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE:
        return float(value)
    return value


def canonical_bytes(value: object) -> bytes:
    """Return the canonical bytes of a JSON value.

    Args:
        value: What `json.loads` gives: dict, list, str, int, float, bool, None.

    Raises:
        ValueError: Not JSON: NaN or infinity, a lone surrogate, a foreign type, or nested deeper than `MAX_DEPTH`.

    Source: RFC 8785, section 3.2.
    """
    try:
        return rfc8785.dumps(_as_browsers_read(value, 0))  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, OverflowError) as error:
        raise ValueError(f"no canonical form: {error}") from None


def jcs_digest(document: object) -> str:
    """Return ``sha256:<hex>`` of the canonical bytes of `document`.

    Raises:
        ValueError: `document` has no canonical form.
    """
    return "sha256:" + hashlib.sha256(canonical_bytes(document)).hexdigest()
