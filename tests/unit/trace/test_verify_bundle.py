"""The verifier: a true bundle is green, any other is red, and both implementations say so in the same words."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from fix_bundle import (
    CONTRACT,
    LOT,
    ORIGIN,
    browser_reports,
    chain_answer,
    chain_of,
    curve,
    event,
    log_key,
    sample_bundle,
)

from hanlu.trace.log.bundle import build_bundle
from hanlu.trace.log.notes import verifier_key_for
from hanlu.trace.log.verify import ChainAnswer, Report, verify_bundle, verify_bundle_bytes
from hanlu.trace.log.words import WORDS

TRUE = sample_bundle()


def _states(report: Report, name: str) -> list[str]:
    return [check.state for check in report.checks if check.id == name]


def _failed(report: Report) -> set[tuple[str, int | None]]:
    return {(check.id, check.item) for check in report.checks if check.state == "failed"}


def _edited(**changes: object) -> dict:
    return {**copy.deepcopy(TRUE), **changes}


def _with_item(number: int, **changes: object) -> dict:
    bundle = copy.deepcopy(TRUE)
    bundle["items"][number].update(changes)
    return bundle


def _cases() -> dict[str, tuple[object, dict]]:
    """Every kind of bundle, by name, with the verifier's options."""
    chain = {"chain": chain_answer(TRUE)}
    dropped = copy.deepcopy(TRUE)
    del dropped["items"][1]
    cut = copy.deepcopy(TRUE)
    del cut["items"][-1]
    swapped = copy.deepcopy(TRUE)
    swapped["items"][0], swapped["items"][1] = swapped["items"][1], swapped["items"][0]
    other = sample_bundle([event(2), curve()])
    other_lot = sample_bundle()
    for item, leaf in zip(
        other_lot["items"], chain_of([event(0), event(1), curve(), event(2)], LOT + "X"), strict=True
    ):
        item["leaf"] = leaf.as_json()
    anchor = TRUE["anchor"]
    deep: object = 1
    for _ in range(70):
        deep = [deep]
    points = curve()["points"]
    return {
        "true": (TRUE, {"trusted_key": TRUE["key"], **chain}),
        "true, nothing asked": (TRUE, {}),
        "true, not anchored": (sample_bundle(anchored=False), {}),
        "one event only": (sample_bundle([event(0)]), {}),
        "curve only": (sample_bundle([curve()]), {}),
        "another key trusted": (TRUE, {"trusted_key": str(verifier_key_for(ORIGIN, log_key(2)))}),
        "not an object": ([TRUE], {}),
        "null": (None, {}),
        "another format": (_edited(format="hanlu-bundle@2"), {}),
        "unknown field": (_edited(more=1), {}),
        "no items": (_edited(items=[]), {}),
        "items as text": (_edited(items="x"), {}),
        "item with unknown field": (_with_item(0, more=1), {}),
        "document missing": (_with_item(0, document=None), {}),
        "origin empty": (_edited(origin=""), {}),
        "another origin": (_edited(origin="other.example/log"), {}),
        "key broken": (_edited(key="nonsense"), {}),
        "key of another": (_edited(key=str(verifier_key_for(ORIGIN, log_key(2)))), {}),
        "checkpoint broken": (_edited(checkpoint="nonsense"), {}),
        "checkpoint of another log": (_edited(checkpoint=other["checkpoint"]), {}),
        "checkpoint beyond 2**53": (_edited(checkpoint=TRUE["checkpoint"].replace("\n25\n", f"\n{2**53}\n")), {}),
        "leaf not an object": (_with_item(1, leaf=7), {}),
        "leaf without a field": (_with_item(1, leaf={"v": 1}), {}),
        "leaves of another lot": (other_lot, {}),
        "document changed": (_with_item(0, document=event(1)), {}),
        "document of another kind": (_with_item(2, document=event(0)), {}),
        "document too deep": (_with_item(0, document={"type": deep}), {}),
        "document with huge number": (_with_item(0, document={"type": 10**400}), {}),
        "document with NaN": (_with_item(0, document={"type": float("inf")}), {}),
        "document with lone surrogate": (_with_item(0, document={"type": "\ud800"}), {}),
        "kind against type": (sample_bundle([{**event(0), "type": "Rumour"}]), {}),
        "event without type": (sample_bundle([event(0), {**event(1), "type": ["ObjectEvent"]}]), {}),
        "curve of another lot": (sample_bundle([curve(LOT + "Y")]), {}),
        "curve without unit": (sample_bundle([{k: v for k, v in curve().items() if k != "unit"}]), {}),
        "curve unit empty": (sample_bundle([{**curve(), "unit": ""}]), {}),
        "curve back in time": (sample_bundle([{**curve(), "points": points[::-1]}]), {}),
        "curve with two at once": (sample_bundle([{**curve(), "points": [points[0], points[0]]}]), {}),
        "curve outside its stretch": (sample_bundle([{**curve(), "to": points[3][0]}]), {}),
        "curve from after to": (sample_bundle([{**curve(), "from": points[4][0] + 1, "points": []}]), {}),
        "curve revision zero": (sample_bundle([{**curve(), "revision": 0}]), {}),
        "curve point of three": (sample_bundle([{**curve(), "points": [[*points[0], 1]]}]), {}),
        "curve value as text": (sample_bundle([{**curve(), "points": [[points[0][0], "4"]]}]), {}),
        "curve value true": (sample_bundle([{**curve(), "points": [[points[0][0], True]]}]), {}),
        "curve half a millisecond": (sample_bundle([{**curve(), "points": [[points[0][0] + 0.5, 4]]}]), {}),
        "curve points missing": (sample_bundle([{**curve(), "points": None}]), {}),
        "curve without points": (sample_bundle([{**curve(), "points": []}]), {}),
        "index negative": (_with_item(0, index=-1), {}),
        "index true": (_with_item(0, index=True), {}),
        "index as float": (_with_item(0, index=float(TRUE["items"][0]["index"])), {}),
        "index beyond the tree": (_with_item(3, index=10**6), {}),
        "index huge": (_with_item(3, index=2**60), {}),
        "path as text": (_with_item(0, path="AAAA"), {}),
        "path of numbers": (_with_item(0, path=[1, 2]), {}),
        "path with short hash": (_with_item(0, path=["AAAA"]), {}),
        "path in other base64": (_with_item(0, path=[TRUE["items"][0]["path"][0][:-2] + "B="]), {}),
        "path too long": (_with_item(0, path=TRUE["items"][0]["path"] * 20), {}),
        "path one too long": (_with_item(0, path=[*TRUE["items"][0]["path"], TRUE["items"][0]["path"][0]]), {}),
        "path empty": (_with_item(0, path=[]), {}),
        "item dropped": (dropped, {}),
        "history cut": (cut, {}),
        "items swapped": (swapped, {}),
        "item repeated": (_edited(items=[*TRUE["items"], TRUE["items"][-1]]), {}),
        "head of other type": (_edited(head=[]), {}),
        "head counter wrong": (_edited(head={**TRUE["head"], "n": 5}), {}),
        "head leaf a number": (_edited(head={**TRUE["head"], "leaf": 5}), {}),
        "anchor of other type": (_edited(anchor="0x"), {}),
        "anchor tx broken": (_edited(anchor={**anchor, "tx": "0x00"}), {}),
        "anchor size wrong": (_edited(anchor={**anchor, "size": 24}), chain),
        "anchor root wrong": (_edited(anchor={**anchor, "root": "0x" + "00" * 32}), chain),
        "chain says another root": (TRUE, {"chain": ChainAnswer(31337, CONTRACT, 3, 25, "0x" + "00" * 32)}),
        "chain says another size": (TRUE, {"chain": ChainAnswer(31337, CONTRACT, 3, 24, anchor["root"])}),
        "chain of another number": (TRUE, {"chain": ChainAnswer(1, CONTRACT, 3, 25, anchor["root"])}),
        "chain in capitals": (
            TRUE,
            {"chain": ChainAnswer(31337, CONTRACT.upper().replace("X", "x"), 3, 25, anchor["root"])},
        ),
    }


CASES = _cases()
GREEN = {
    "true",
    "true, nothing asked",
    "true, not anchored",
    "one event only",
    "curve only",
    "curve without points",
    "index as float",
    "chain in capitals",
}


@pytest.mark.parametrize("name", CASES)
def test_only_true_bundles_are_green(name):
    bundle, options = CASES[name]
    assert verify_bundle(bundle, **options).verdict == ("ok" if name in GREEN else "failed")


def _browser_case(bundle: object, options: dict) -> dict:
    case: dict = {"text": json.dumps(bundle)}
    if "trusted_key" in options:
        case["trustedKey"] = options["trusted_key"]
    if "chain" in options:
        chain = options["chain"]
        case["chain"] = {
            "chainId": chain.chain_id,
            "contract": chain.contract,
            "seq": chain.seq,
            "size": chain.size,
            "root": chain.root,
        }
    return case


def test_browser_reports_the_same_checks_for_every_case():
    # json writes infinity as a bare word that no browser reads; everything else goes through both.
    named = {name: case for name, case in CASES.items() if name != "document with NaN"}
    answers = browser_reports([_browser_case(*case) for case in named.values()])
    for (name, (bundle, options)), answer in zip(named.items(), answers, strict=True):
        assert answer == verify_bundle(bundle, **options).as_json(), name


def test_every_changed_byte_turns_both_verifiers_red():
    text = json.dumps(TRUE, ensure_ascii=False, separators=(",", ":")).encode()
    pointer = text.index(b'"tx":"0x'), text.index(b',"size":', text.index(b'"tx":"0x'))
    options = {"chain": chain_answer(TRUE)}
    cases, reports = [], []
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        try:
            bundle = json.loads(changed.decode())
        except ValueError:
            continue  # not even JSON: the page has nothing to show
        report = verify_bundle(bundle, **options)
        # Where the transaction is to be found is a pointer for people; the chain's own answer is what counts.
        assert report.verdict == "failed" or pointer[0] <= place < pointer[1], text[max(0, place - 30) : place + 9]
        if place % 3 == 0:
            cases.append(_browser_case(bundle, options))
            reports.append(report.as_json())
    assert len(reports) > 1000
    assert browser_reports(cases) == reports


def test_browser_carries_the_same_words():
    assert browser_reports([{"words": True}]) == [{code: list(words) for code, words in WORDS.items()}]


def test_browser_without_ed25519_reports_the_same_for_every_case():
    # Pages over plain http and the browsers inside many apps have none: our own arithmetic takes its place.
    named = {name: case for name, case in CASES.items() if name != "document with NaN"}
    answers = browser_reports([_browser_case(*case) | {"noCrypto": True} for case in named.values()])
    for (name, (bundle, options)), answer in zip(named.items(), answers, strict=True):
        assert answer == verify_bundle(bundle, **options).as_json(), name


def test_browser_too_old_for_big_numbers_leaves_the_signature_unknown():
    (answer,) = browser_reports([{"text": json.dumps(TRUE), "noCrypto": True, "noBigInt": True}])
    states = {check["id"]: check["state"] for check in answer["checks"]}
    assert answer["verdict"] == "unknown"
    assert states["signature"] == "unknown"
    assert states["inclusion"] == states["document"] == states["chain"] == "ok"


def test_browser_without_ed25519_still_sees_a_changed_reading():
    bundle = copy.deepcopy(TRUE)
    bundle["items"][2]["document"]["points"][0][1] = 3.9
    (answer,) = browser_reports([{"text": json.dumps(bundle), "noCrypto": True}])
    assert answer["verdict"] == "failed"


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("document changed", {("document", 0)}),
        ("history cut", {("head", None)}),
        ("item dropped", {("chain", None)}),
        ("another key trusted", {("key", None)}),
        ("anchor root wrong", {("anchor", None)}),
        ("chain says another root", {("chain-anchor", None)}),
        ("curve back in time", {("curve", 0)}),
        ("kind against type", {("document", 0)}),
        ("path one too long", {("inclusion", 0)}),
    ],
)
def test_failure_names_its_check_and_item(name, failed):
    bundle, options = CASES[name]
    assert _failed(verify_bundle(bundle, **options)) == failed


def test_unanswered_questions_stay_unknown():
    report = verify_bundle(TRUE)
    assert _states(report, "key") == _states(report, "chain-anchor") == ["unknown"]
    assert _states(report, "anchor") == ["ok"]
    assert _states(verify_bundle(sample_bundle(anchored=False)), "anchor") == ["unknown"]


def test_every_check_speaks_both_languages():
    spoken = [check for bundle, options in CASES.values() for check in verify_bundle(bundle, **options).checks]
    assert all(check.zh and check.en and check.code.startswith(f"{check.id}.") for check in spoken)
    # The browser alone can meet a missing algorithm.
    assert set(WORDS) - {check.code for check in spoken} == {"signature.unknown"}


def test_bundle_of_nothing_is_not_made():
    with pytest.raises(ValueError, match="1 to 10000 items"):
        build_bundle(verifier_key_for(ORIGIN, log_key()), TRUE["checkpoint"], [])


def test_verifier_needs_only_the_standard_library_cryptography_and_rfc8785():
    script = (
        "import sys, hanlu.trace.log.verify\n"
        "print(*sorted({n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    extra = set(result.stdout.split())
    assert {"hanlu", "cryptography", "rfc8785"} <= extra
    assert not extra & {"pydantic", "psycopg", "fastapi", "web3", "msgspec", "cbor2", "jinja2", "starlette"}


def test_bundle_file_is_checked_from_its_bytes():
    assert verify_bundle_bytes(json.dumps(TRUE).encode(), trusted_key=TRUE["key"]).verdict == "ok"


@pytest.mark.parametrize(
    "data",
    [b"", b"not json", b"\xff", b"[" * 200_000, b'{"format": 1, "format": 1}', json.dumps(TRUE).encode()[:-1]],
)
def test_file_that_is_no_bundle_fails_without_an_exception(data):
    report = verify_bundle_bytes(data)
    assert (report.verdict, _failed(report)) == ("failed", {("format", None)})
