"""RFC 8428's worked examples resolve to their printed resolved form."""

from __future__ import annotations

import json
import re

import pytest
from fix_shared import shared_dir

from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_cbor, decode_json

NOW_MS = 1_600_000_000_000
EXAMPLES = ["ex1", "ex2", "ex3", "ex4", "ex5", "ex6", "ex7", "ex8", "ex9", "ex10", "ex11", "ex12"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_resolves_to_its_printed_form(name: str) -> None:
    folder = shared_dir("samples", "senml")
    resolved = json.loads((folder / f"{name}.gen.resolved.json").read_text())
    resolved_at_ms = round(resolved[0].get("t", 0) * 1000)
    pack = decode_json((folder / f"{name}.gen.json").read_bytes(), resolved_at_ms)
    assert isinstance(pack, Pack)
    expected = [
        (record["n"], record.get("u", ""), round(record["t"] * 1000), float(record.get("v", record.get("vb"))))
        for record in resolved
        if "v" in record or "vb" in record
    ]
    assert [reading[:4] for reading in pack.readings] == expected
    assert {refused.reason for refused in pack.rejected} <= {Reason.NOT_NUMERIC}


def test_cbor_example_equals_its_json_twin() -> None:
    folder = shared_dir("samples", "senml")
    dump = (folder / "ex3.gen.cbor.hex").read_text()
    raw = bytes.fromhex("".join(re.sub(r"\|.*\|", "", line)[5:].replace(" ", "") for line in dump.splitlines()))
    assert decode_cbor(raw, NOW_MS) == decode_json((folder / "ex3.gen.json").read_bytes(), NOW_MS)


def test_label_that_must_be_understood_is_refused() -> None:
    outcome = decode_json(b'[{"n":"a/b","v":1,"important_":2}]', NOW_MS)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.FOREIGN_SCHEMA
