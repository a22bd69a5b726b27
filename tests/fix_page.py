"""The shopper's page without a browser: bundles of the demo county's lots, and the page's script run under Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hanlu.firmware_sim.journey import journey, lots
from hanlu.firmware_sim.yanling import demo_county
from hanlu.trace.epcis.canonical import jcs_digest
from hanlu.trace.lineage import shown_lot
from hanlu.trace.log.bundle import curve_document

HARVEST_MS = 1_782_941_400_000
"""2026-07-02 05:30 in China, Unix milliseconds."""
MINUTE_MS = 60_000
_RUNNER = Path(__file__).parent / "page_runner.mjs"
_LISTS = ("quantityList", "inputQuantityList", "outputQuantityList")


def item(document: dict[str, Any], cbv: str | None = None) -> dict[str, Any]:
    """Return a document as an item of a bundle, without proof; an event's hash follows from its bytes if not given."""
    digest = jcs_digest(document)
    curve = document["type"] == "curve"
    own = None if curve else cbv or f"ni:///{digest.replace(':', ';')}?ver=CBV2.0"
    return {"leaf": {"kind": "curve" if curve else "event", "cbv": own, "jcs": digest}, "document": document}


def lots_of(document: dict[str, Any]) -> set[str]:
    """Return the lots an event or a piece of a curve is about."""
    if document["type"] == "curve":
        return {document["lot"]}
    return {shown_lot(each["epcClass"]) for name in _LISTS for each in document.get(name, ())}


def demo_events(harvest_ms: int = HARVEST_MS) -> list[dict[str, Any]]:
    """Return every event of the demo lot harvested then."""
    return [event.document["epcisBody"]["eventList"][0] for event in journey(demo_county(), harvest_ms)]


def piece(lot: str, zone: str, values: Sequence[float | None], **more: Any) -> dict[str, Any]:
    """Return a piece of a curve with one value a minute from HARVEST_MS on, or from `from_ms`."""
    start = more.pop("from_ms", HARVEST_MS)
    points = [(start + MINUTE_MS * number, value) for number, value in enumerate(values)]
    fields = {"channel": "gw-1/room-1/air_temperature", "unit": "Cel", "revision": 1, "custody_from": "ni:///a", **more}
    return curve_document(
        lot=lot, zone=zone, from_ms=start, to_ms=start + MINUTE_MS * len(values), points=points, **fields
    )


def bundles_of(lot: str, records: Sequence[dict[str, Any]], *sources: str) -> list[dict[str, Any]]:
    """Return bundles of `lot` and `sources` that share out the records (items) by the lots they are about."""
    return [
        {"lot": each, "items": [record for record in records if each in lots_of(record["document"])]}
        for each in (lot, *sources)
    ]


def demo_bundles(*more: dict[str, Any], harvest_ms: int = HARVEST_MS) -> list[dict[str, Any]]:
    """Return the bundles of the demo's packed lot and all it came from; `more` are further documents."""
    these = lots(harvest_ms)
    sources = [*(amount.lot for amount in these.harvest), these.fertiliser, these.pesticide]
    return bundles_of(these.packed, [item(each) for each in [*demo_events(harvest_ms), *more]], *sources)


def browser_answers(questions: Sequence[dict[str, Any]]) -> list[Any]:
    """Run the page's script under Node and return its answers; skip where there is no Node."""
    node = shutil.which("node")
    if node is None:
        message = "node is not installed: the page's script is not compared"
        if os.environ.get("HANLU_REQUIRE_SERVERS"):
            pytest.fail(message)
        pytest.skip(message)
    result = subprocess.run(
        [node, "--no-warnings", str(_RUNNER)],
        input="\n".join(json.dumps(each) for each in questions),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.split("\n") if line]
