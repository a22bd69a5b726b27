"""The bundle: everything a shopper or an inspector needs to check one lot's history without us.

One JSON document, ``hanlu-bundle@1``::

    {"format": "hanlu-bundle@1",
     "origin": "hanlu.example/yanling",         the log's identity
     "key": "hanlu.example/yanling+1f2e3d4c+A…", the log's verifier key
     "checkpoint": "…",                          signed checkpoint, verbatim
     "lot": "https://id.gs1.org/01/…/10/…",
     "head": {"n": 7, "leaf": "<hex>"},          newest leaf of the lot when the bundle was made
     "items": [{"leaf": {…}, "document": {…}, "index": 41, "path": ["<base64>", …]}, …],   in the order of n
     "anchor": {"chainId": 31337, "contract": "0x…", "seq": 3, "tx": "0x…", "block": 120,
                "size": 55, "root": "0x…"}}       or null while no anchor is mined

The document of an item is the event exactly as captured, or a curve chunk::

    {"type": "curve", "lot": uri, "zone": uri, "channel": "gateway/device/metric", "unit": "Cel",
     "from": ms, "to": ms, "revision": n, "points": [[ms, value], …], "custodyFrom": event hash}

Points are in the order of time, within ``[from, to]``, milliseconds since the Unix epoch in UTC; a value is a number in
`unit`, or null for a gap the gateway declared. A chunk with a higher revision replaces one of the same channel and
stretch (late readings); both stay in the chain.

The bundle names its own key, so a bundle alone shows only that it is whole and was made by the holder of that key. Who
wants more compares the key with one got elsewhere, and the root with the chain (`verify`).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hanlu.trace.log.leaf import Leaf
from hanlu.trace.log.notes import VerifierKey

__all__ = ["FORMAT", "MAX_ITEMS", "Anchor", "BundleItem", "build_bundle", "curve_document"]

FORMAT = "hanlu-bundle@1"
"""Value of the field `format`."""

MAX_ITEMS = 10_000
"""Most items in one bundle; a lot with more is served in stretches by other means."""


@dataclass(frozen=True, slots=True)
class BundleItem:
    """One record of the lot with its proof.

    Attributes:
        leaf: What the log commits to.
        document: The event or the curve chunk as a JSON object.
        index: Place of the leaf in the log, from 0.
        path: Inclusion path for the bundle's checkpoint, leaf's sibling first.
    """

    leaf: Leaf
    document: dict[str, Any]
    index: int
    path: tuple[bytes, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the item as a JSON object."""
        return {
            "leaf": self.leaf.as_json(),
            "document": self.document,
            "index": self.index,
            "path": [base64.b64encode(step).decode() for step in self.path],
        }


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a checkpoint stands on an EVM chain.

    Attributes:
        chain_id: The chain's number.
        contract: The contract's address, ``0x`` and 40 hex digits.
        seq: Number of the anchor in the contract, from 1.
        tx: Hash of the transaction, ``0x`` and 64 hex digits.
        block: Number of the block it was mined in.
        size: Tree size that was anchored.
        root: Root hash that was anchored, 32 bytes.
    """

    chain_id: int
    contract: str
    seq: int
    tx: str
    block: int
    size: int
    root: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the anchor as a JSON object."""
        return {
            "chainId": self.chain_id,
            "contract": self.contract.lower(),
            "seq": self.seq,
            "tx": self.tx.lower(),
            "block": self.block,
            "size": self.size,
            "root": "0x" + self.root.hex(),
        }


def build_bundle(
    key: VerifierKey,
    checkpoint: str,
    items: Sequence[BundleItem],
    anchor: Anchor | None = None,
) -> dict[str, Any]:
    """Put a bundle together.

    Args:
        key: The log's public key; its name is the log's origin.
        checkpoint: Signed checkpoint that all paths lead to, verbatim.
        items: The lot's whole chain in the order of its counter, at least one.
        anchor: The anchor of that very checkpoint, when there is one.

    Returns:
        The bundle as a JSON object.

    Raises:
        ValueError: There are no items, or too many.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise ValueError(f"a bundle holds 1 to {MAX_ITEMS} items, not {len(items)}")
    newest = items[-1].leaf
    return {
        "format": FORMAT,
        "origin": key.name,
        "key": str(key),
        "checkpoint": checkpoint,
        "lot": newest.lot,
        "head": {"n": newest.n, "leaf": newest.hash().hex()},
        "items": [item.as_json() for item in items],
        "anchor": anchor.as_json() if anchor else None,
    }


def curve_document(
    *,
    lot: str,
    zone: str,
    channel: str,
    unit: str,
    from_ms: int,
    to_ms: int,
    revision: int,
    points: Sequence[tuple[int, float | None]],
    custody_from: str,
) -> dict[str, Any]:
    """Return the document of a curve chunk.

    Args:
        lot: Digital Link URI of the lot.
        zone: URI of the place the channel measures.
        channel: ``gateway/device/metric``.
        unit: SenML unit of the values, such as ``Cel``.
        from_ms: First instant covered, milliseconds since the Unix epoch, UTC.
        to_ms: Last instant covered; not before `from_ms`.
        revision: 1, and one more each time late readings change the stretch.
        points: (instant, value), instants strictly rising within the stretch; None is a declared gap.
        custody_from: Hash of the event that brought the lot into the zone.
    """
    return {
        "type": "curve",
        "lot": lot,
        "zone": zone,
        "channel": channel,
        "unit": unit,
        "from": from_ms,
        "to": to_ms,
        "revision": revision,
        "points": [[instant, value] for instant, value in points],
        "custodyFrom": custody_from,
    }
