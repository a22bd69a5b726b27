"""A proof's report in words."""

from __future__ import annotations

from fix_bundle import LOT, ORIGIN, sample_bundle

from hanlu.app.trace_report import Verified, as_json, told, verdict
from hanlu.trace.log.verify import verify_bundle


def verified(bundle: dict) -> Verified:
    return Verified(verify_bundle(bundle), LOT, ORIGIN)


def test_true_proof_tells_what_holds_and_what_stays_open() -> None:
    lines = told([verified(sample_bundle())], "en")
    assert lines[0] == f"lot: {LOT}"
    assert lines[-1] == "verdict: TRUE (2 left open)"
    states = [line.split()[1] for line in lines if line.startswith("  ")]
    assert states == sorted(states, key=["failed", "open", "ok"].index)
    assert "  ✓ ok      The entry is in the log (4 records)" in lines


def test_false_proof_names_the_record_first() -> None:
    bundle = sample_bundle()
    bundle["items"][1]["document"]["bizStep"] = "shipping"
    lines = told([verified(bundle)], "en")
    assert lines[2] == "  ✗ failed  The record does not match the digest in its log entry (record 2)"
    assert lines[-1] == "verdict: FALSE"
    chinese = told([verified(bundle)], "zh")
    assert chinese[2].startswith("  ✗ 不成立")
    assert chinese[2].endswith("(第 2 条记录)")
    assert chinese[-1] == "结论: 核验不通过"


def test_one_false_bundle_makes_the_whole_false() -> None:
    good, bad = sample_bundle(), sample_bundle()
    bad["head"]["n"] = 9
    both = [verified(good), verified(bad)]
    assert verdict(both) == "failed"
    assert as_json(both)["verdict"] == "failed"
    assert [each["verdict"] for each in as_json(both)["bundles"]] == ["ok", "failed"]
