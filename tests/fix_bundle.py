"""Logs and bundles made for tests, and the browser's verifier run under Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.trace.log.bundle import Anchor, BundleItem, build_bundle, curve_document
from hanlu.trace.log.checkpoint import Checkpoint, sign_checkpoint
from hanlu.trace.log.leaf import Leaf, jcs_digest
from hanlu.trace.log.merkle import MemoryTree, leaf_hash
from hanlu.trace.log.notes import verifier_key_for
from hanlu.trace.log.verify import ChainAnswer

ORIGIN = "log.example/yanling"
LOT = "https://id.gs1.org/01/06901234567892/10/TAO-2026-07"
CONTRACT = "0x" + "5a" * 20
_RUNNER = Path(__file__).parent / "verify_runner.mjs"


def log_key(seed: int = 1) -> Ed25519PrivateKey:
    """Return a fixed test key."""
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def event(number: int) -> dict:
    """Return a small event about the test lot."""
    return {
        "type": "ObjectEvent",
        "eventTime": f"2026-07-0{number + 1}T06:30:00.000+08:00",
        "eventTimeZoneOffset": "+08:00",
        "action": "OBSERVE",
        "bizStep": "storing",
        "quantityList": [{"epcClass": LOT, "quantity": 1250.5 + number, "uom": "KGM"}],
        "readPoint": {"id": "https://id.gs1.org/414/6901234500011"},
        "example:note": "炎陵黄桃 \u2028 \U0001f351",
    }


def curve(lot: str = LOT) -> dict:
    """Return a curve chunk of five points, one of them a gap."""
    points = [(1_783_000_000_000 + 60_000 * i, value) for i, value in enumerate([4.25, 4.3, None, -0.5, 1e-7])]
    return curve_document(
        lot=lot,
        zone="https://id.gs1.org/414/6901234500011/254/ROOM1",
        channel="gw-1/room-1/air_temperature",
        unit="Cel",
        from_ms=points[0][0],
        to_ms=points[-1][0],
        revision=1,
        points=points,
        custody_from="ni:///sha-256;" + "ab" * 32 + "?ver=CBV2.0",
    )


def chain_of(documents: list[dict], lot: str = LOT) -> list[Leaf]:
    """Return the lot's leaves for `documents`, in order."""
    leaves: list[Leaf] = []
    for number, document in enumerate(documents):
        kind = "curve" if document["type"] == "curve" else "event"
        cbv = f"ni:///sha-256;{number:064x}?ver=CBV2.0" if kind == "event" else None
        prev = leaves[-1].hash().hex() if leaves else None
        leaves.append(Leaf(kind, cbv, jcs_digest(document), lot, number + 1, prev))
    return leaves


def sample_bundle(documents: list[dict] | None = None, *, anchored: bool = True) -> dict:
    """Return a true bundle whose lot shares the log with thirty other leaves."""
    documents = [event(0), event(1), curve(), event(2)] if documents is None else documents
    tree = MemoryTree(leaf_hash(f"other {i}".encode()) for i in range(17))
    leaves = chain_of(documents)
    places = []
    for leaf in leaves:
        places.append(tree.append(leaf.hash()))
        tree.append(leaf_hash(f"between {len(places)}".encode()))
    checkpoint = Checkpoint(ORIGIN, tree.size, tree.root())
    items = [
        BundleItem(leaf, document, place, tree.inclusion_path(place))
        for leaf, document, place in zip(leaves, documents, places, strict=True)
    ]
    anchor = Anchor(31337, CONTRACT, 3, "0x" + "7e" * 32, 120, tree.size, tree.root()) if anchored else None
    key = log_key()
    bundle = build_bundle(verifier_key_for(ORIGIN, key), sign_checkpoint(checkpoint, key), items, anchor)
    return json.loads(json.dumps(bundle))


def chain_answer(bundle: dict) -> ChainAnswer:
    """Return what an honest node would say about the bundle's anchor."""
    anchor = bundle["anchor"]
    return ChainAnswer(anchor["chainId"], anchor["contract"], anchor["seq"], anchor["size"], anchor["root"])


def browser_reports(cases: list[dict]) -> list[dict]:
    """Run the browser's verifier under Node.

    Args:
        cases: Each with `text` (the bundle as JSON text) and maybe `trustedKey` and `chain`.

    Returns:
        One report a case; `{"error": …}` where the text is not JSON.
    """
    node = shutil.which("node")
    if node is None:
        message = "node is not installed: the browser's verifier is not compared"
        if os.environ.get("HANLU_REQUIRE_SERVERS"):
            pytest.fail(message)
        pytest.skip(message)
    result = subprocess.run(
        [node, "--no-warnings", str(_RUNNER)],
        input="\n".join(json.dumps(case) for case in cases),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]
