"""The verifier: decides whether a bundle is true, needing nothing but the bundle.

Theory. Every check is named and answers ok, failed or unknown, in words a shopper understands; the checks of a broken
bundle never raise. The verdict is *failed* if any check failed, else *ok*. Some may stay unknown in a good bundle,
because their answer lies outside it: whether the key is the right one (`key`) and what the chain says (`chain-anchor`,
and `anchor` while none is mined). A browser without Ed25519 leaves `signature` open too: its verdict is then *unknown*.

| id           | item | question |
|--------------|------|----------|
| format       |  -   | Are all fields there, and no others, with the right types? |
| key          |  -   | Is the log's key one the reader trusts? |
| checkpoint   |  -   | Is it a checkpoint of this log? |
| signature    |  -   | Did the log's key sign it? |
| leaf         | yes  | Is the leaf well formed and of this lot? |
| document     | yes  | Do the shown document's canonical bytes have the leaf's digest? |
| curve        | yes  | Curves only: are the points well formed and in order? |
| inclusion    | yes  | Does the path lead from the leaf to the checkpoint's root? |
| chain        |  -   | Do counters run 1, 2, 3 … and does each leaf name the one before? |
| head         |  -   | Is the newest leaf the one the head names? |
| anchor       |  -   | Does the anchor state this checkpoint's size and root? |
| chain-anchor |  -   | Does the chain itself say the same? |

`static/verify.js` decides by the same rules; tests hold the two against each other. Keep them alike, this file first.
This module and all it imports use the standard library, `cryptography` and `rfc8785` only.

Source: RFC 9162, section 2.1.3.2; C2SP tlog-checkpoint; RFC 8785; RFC 8032 (Ed25519).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hanlu.trace.log.bundle import FORMAT, MAX_ITEMS
from hanlu.trace.log.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint
from hanlu.trace.log.leaf import MAX_DEPTH, MAX_SAFE, Leaf, jcs_digest, parse_leaf, whole_number
from hanlu.trace.log.merkle import HASH_SIZE, MAX_PATH, verify_inclusion
from hanlu.trace.log.notes import VerifierKey, decode_base64, parse_verifier_key
from hanlu.trace.log.strict_json import parse_json
from hanlu.trace.log.words import WORDS

__all__ = ["MAX_BYTES", "ChainAnswer", "Check", "Report", "State", "verify_bundle", "verify_bundle_bytes"]

State = Literal["ok", "failed", "unknown"]

MAX_BYTES = 64 * 1024 * 1024
"""Largest bundle file that is read, bytes."""

_FIELDS = {"format", "origin", "key", "checkpoint", "lot", "head", "items", "anchor"}
_ITEM_FIELDS = {"leaf", "document", "index", "path"}
_ANCHOR_FIELDS = {"chainId", "contract", "seq", "tx", "block", "size", "root"}
_CURVE_FIELDS = {"type", "lot", "zone", "channel", "unit", "from", "to", "revision", "points", "custodyFrom"}
_EVENT_TYPES = {"ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent"}
_HEX32 = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_MAX_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One answered question.

    Attributes:
        id: Name of the question (table in the module's docstring).
        state: The answer.
        code: The outcome's name in `words.WORDS`.
        item: Which item of the bundle, from 0; None when the question is about the whole.
    """

    id: str
    state: State
    code: str
    item: int | None = None

    @property
    def zh(self) -> str:
        """The outcome in Chinese."""
        return WORDS[self.code][0]

    @property
    def en(self) -> str:
        """The outcome in English."""
        return WORDS[self.code][1]

    def as_json(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return {
            "id": self.id,
            "state": self.state,
            "code": self.code,
            "item": self.item,
            "zh": self.zh,
            "en": self.en,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All answers about one bundle.

    Attributes:
        verdict: The whole in one word.
        checks: Every check, in the order of the table.
    """

    verdict: State
    checks: tuple[Check, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {"verdict": self.verdict, "checks": [check.as_json() for check in self.checks]}


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """What a chain's node said about one anchor, asked by whoever calls the verifier.

    Attributes:
        chain_id: The chain that answered.
        contract: The contract asked, ``0x`` and 40 hex digits.
        seq: The anchor's number.
        size: Tree size the contract recorded under that number.
        root: Root it recorded, ``0x`` and 64 hex digits.
    """

    chain_id: int
    contract: str
    seq: int
    size: int
    root: str


def _judge(name: str, good: bool, *, bad: str = "bad", item: int | None = None) -> Check:
    outcome = "ok" if good else bad
    return Check(name, "ok" if good else "failed", f"{name}.{outcome}", item)


def verify_bundle(bundle: object, *, trusted_key: str | None = None, chain: ChainAnswer | None = None) -> Report:
    """Check a bundle.

    Args:
        bundle: What `json.loads` made of the file.
        trusted_key: Verifier key the reader got from elsewhere; None leaves the check `key` unknown.
        chain: The chain's own answer about the bundle's anchor; None when it was not asked.

    Returns:
        The report; never an exception, whatever `bundle` is.
    """
    fields = _read(bundle)
    if fields is None:
        return _report([_judge("format", good=False)])
    key, signed = _key(fields["key"]), _checkpoint(fields["checkpoint"])
    point = signed.checkpoint if signed else None
    leaves = [_leaf(item["leaf"]) for item in fields["items"]]
    checks = [_judge("format", good=True), _check_key(fields["key"], trusted_key)]
    checks.append(_check_checkpoint(fields["origin"], key, point))
    checks.append(_check_signature(key, signed))
    for number, (item, leaf) in enumerate(zip(fields["items"], leaves, strict=True)):
        checks.extend(_check_item(number, item, leaf, fields["lot"], point))
    checks.append(_judge("chain", _chain_holds(leaves, fields["items"])))
    checks.append(_judge("head", _head_holds(fields["head"], leaves)))
    checks.extend(_check_anchor(fields["anchor"], point, chain))
    return _report(checks)


def verify_bundle_bytes(data: bytes, *, trusted_key: str | None = None, chain: ChainAnswer | None = None) -> Report:
    """Check a bundle file: as `verify_bundle`, for bytes that may not even be JSON.

    Args:
        data: The file.
        trusted_key: As in `verify_bundle`.
        chain: As in `verify_bundle`.
    """
    try:
        # A document of the allowed depth stands within the bundle, its list of items and an item.
        bundle = parse_json(data, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH + 3)
    except ValueError:
        return _report([_judge("format", good=False)])
    return verify_bundle(bundle, trusted_key=trusted_key, chain=chain)


def _report(checks: Sequence[Check]) -> Report:
    failed = any(check.state == "failed" for check in checks)
    return Report("failed" if failed else "ok", tuple(checks))


def _texts(*values: object) -> bool:
    return all(isinstance(value, str) and 0 < len(value) <= _MAX_TEXT for value in values)


def _read(bundle: object) -> dict[str, Any] | None:
    """Return the bundle if its outer form is right, else None."""
    if not isinstance(bundle, dict) or set(bundle) != _FIELDS or bundle["format"] != FORMAT:
        return None
    items, head = bundle["items"], bundle["head"]
    good = (
        _texts(bundle["origin"], bundle["key"], bundle["checkpoint"], bundle["lot"])
        and isinstance(head, dict)
        and set(head) == {"n", "leaf"}
        and isinstance(items, list)
        and 1 <= len(items) <= MAX_ITEMS
        and all(isinstance(item, dict) and set(item) == _ITEM_FIELDS for item in items)
        and all(isinstance(item["document"], dict) for item in items)
        and (bundle["anchor"] is None or _is_anchor(bundle["anchor"]))
    )
    return bundle if good else None


def _is_anchor(anchor: object) -> bool:
    if not isinstance(anchor, dict) or set(anchor) != _ANCHOR_FIELDS:
        return False
    numbers = all(whole_number(anchor[name], low) is not None for name, low in _ANCHOR_NUMBERS)
    texts = all(isinstance(anchor[name], str) and form.fullmatch(anchor[name]) for name, form in _ANCHOR_TEXTS)
    return numbers and texts


_ANCHOR_NUMBERS = (("chainId", 1), ("seq", 1), ("block", 0), ("size", 0))
_ANCHOR_TEXTS = (("contract", _ADDRESS), ("tx", _HEX32), ("root", _HEX32))


def _key(text: str) -> VerifierKey | None:
    try:
        return parse_verifier_key(text)
    except ValueError:
        return None


def _checkpoint(text: str) -> SignedCheckpoint | None:
    try:
        signed = parse_signed_checkpoint(text)
    except ValueError:
        return None
    return signed if signed.checkpoint.size <= MAX_SAFE else None


def _leaf(value: object) -> Leaf | None:
    try:
        leaf = parse_leaf(value)
        leaf.hash()
    except ValueError:
        return None
    return leaf


def _check_key(text: str, trusted: str | None) -> Check:
    if trusted is None:
        return Check("key", "unknown", "key.unknown")
    return _judge("key", text == trusted)


def _check_checkpoint(origin: str, key: VerifierKey | None, point: Checkpoint | None) -> Check:
    if point is None:
        return _judge("checkpoint", good=False)
    ours = point.origin == origin and key is not None and key.name == origin
    return _judge("checkpoint", ours, bad="origin")


def _check_signature(key: VerifierKey | None, signed: SignedCheckpoint | None) -> Check:
    if key is None or signed is None:
        return _judge("signature", good=False, bad="none")
    return _judge("signature", signed.signed_by(key))


def _check_item(
    number: int, item: dict[str, Any], leaf: Leaf | None, lot: str, point: Checkpoint | None
) -> Iterable[Check]:
    if leaf is None:
        yield _judge("leaf", good=False, item=number)
        yield _judge("document", good=False, item=number)
        yield _judge("inclusion", good=False, item=number)
        return
    yield _judge("leaf", leaf.lot == lot, bad="lot", item=number)
    document = item["document"]
    if _matches(document, leaf):
        yield _judge("document", _is_kind(document, leaf.kind), bad="kind", item=number)
    else:
        yield _judge("document", good=False, item=number)
    if leaf.kind == "curve":
        yield _judge("curve", _is_curve(document, leaf.lot), item=number)
    yield _check_inclusion(number, item, leaf, point)


def _matches(document: dict[str, Any], leaf: Leaf) -> bool:
    try:
        return jcs_digest(document) == leaf.jcs
    except ValueError:
        return False


def _is_kind(document: dict[str, Any], kind: str) -> bool:
    shown = document.get("type")
    return isinstance(shown, str) and (shown in _EVENT_TYPES if kind == "event" else shown == "curve")


def _is_curve(document: dict[str, Any], lot: str) -> bool:
    """Tell whether a curve chunk has all its fields and rising points within its stretch."""
    if set(document) != _CURVE_FIELDS or document["lot"] != lot:
        return False
    texts = _texts(*(document[name] for name in ("zone", "channel", "unit", "custodyFrom")))
    first, last = whole_number(document["from"], 0), whole_number(document["to"], 0)
    points = document["points"]
    if not texts or first is None or last is None or whole_number(document["revision"], 1) is None:
        return False
    if first > last or not isinstance(points, list):
        return False
    before = first - 1
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not _is_value(point[1]):
            return False
        instant = whole_number(point[0], before + 1, last)
        if instant is None:
            return False
        before = instant
    return True


def _is_value(value: object) -> bool:
    """Tell whether a point's value is a finite number, or null for a declared gap."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _check_inclusion(number: int, item: dict[str, Any], leaf: Leaf, point: Checkpoint | None) -> Check:
    index, path = whole_number(item["index"], 0), _path(item["path"])
    if index is None or path is None:
        return _judge("inclusion", good=False, bad="path", item=number)
    good = point is not None and verify_inclusion(leaf.hash(), index, point.size, path, point.root)
    return _judge("inclusion", good, item=number)


def _path(value: object) -> list[bytes] | None:
    if not isinstance(value, list) or len(value) > MAX_PATH:
        return None
    if not all(isinstance(step, str) for step in value):
        return None
    try:
        path = [decode_base64(step) for step in value]
    except ValueError:
        return None
    return path if all(len(step) == HASH_SIZE for step in path) else None


def _chain_holds(leaves: Sequence[Leaf | None], items: Sequence[dict[str, Any]]) -> bool:
    """Tell whether the leaves count 1, 2, 3 …, name their predecessors and stand in that order in the log."""
    before: Leaf | None = None
    before_index = -1
    for number, (leaf, item) in enumerate(zip(leaves, items, strict=True)):
        index = whole_number(item["index"], before_index + 1)
        if leaf is None or index is None or leaf.n != number + 1:
            return False
        if leaf.prev != (before.hash().hex() if before else None):
            return False
        before, before_index = leaf, index
    return True


def _head_holds(head: dict[str, Any], leaves: Sequence[Leaf | None]) -> bool:
    newest = leaves[-1]
    return newest is not None and whole_number(head["n"], 1) == newest.n and head["leaf"] == newest.hash().hex()


def _check_anchor(
    anchor: dict[str, Any] | None, point: Checkpoint | None, chain: ChainAnswer | None
) -> Iterable[Check]:
    if anchor is None:
        yield Check("anchor", "unknown", "anchor.none")
        yield Check("chain-anchor", "unknown", "chain-anchor.unknown")
        return
    stated = (anchor["size"], anchor["root"])
    yield _judge("anchor", point is not None and stated == (point.size, "0x" + point.root.hex()))
    if chain is None:
        yield Check("chain-anchor", "unknown", "chain-anchor.unknown")
        return
    asked = (chain.chain_id, chain.contract.lower(), chain.seq)
    same_anchor = asked == (anchor["chainId"], anchor["contract"], anchor["seq"])
    same_word = point is not None and (chain.size, chain.root.lower()) == (point.size, "0x" + point.root.hex())
    yield _judge("chain-anchor", same_anchor and same_word)
