"""The page's script works out what the server does: same view, same words, same numbers, same reading of the chain."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_utils import keccak
from fix_page import (
    HARVEST_MS,
    MINUTE_MS,
    browser_answers,
    bundles_of,
    demo_bundles,
    demo_events,
    item,
    piece,
)

from hanlu.app.wording import fmt_time
from hanlu.firmware_sim.journey import lots
from hanlu.trace.consumer_view import Stop, View, consumer_view
from hanlu.trace.lineage import shown_lot
from hanlu.trace.step_words import FACTS, HARVESTED, STEPS, UNITS
from hanlu.trace.stretches import Stretch, kept_cool, one_decimal, stretches

DAY_MS = 86_400_000
LOTS = lots(HARVEST_MS)
ROOM, TRUCK = "https://id.gs1.org/414/6999999010210", "https://id.gs1.org/414/6999999010319"


def _stop(stop: Stop) -> dict[str, Any]:
    return {
        "jcs": stop.jcs,
        "atMs": stop.at_ms,
        "step": stop.step,
        "place": stop.place,
        "lots": list(stop.lots),
        "amount": None if stop.amount is None else list(stop.amount),
        "correction": stop.correction,
        "takenBack": stop.taken_back,
        "facts": [list(fact) for fact in stop.facts],
    }


def _stretches(measured: Sequence[Stretch]) -> list[dict[str, Any]]:
    return [
        {"place": each.place, "channel": each.channel, "points": [list(point) for point in each.points]}
        for each in measured
    ]


def as_browser(view: View) -> dict[str, Any]:
    """Return a view in the browser's form."""
    return {
        "lot": view.lot,
        "stops": [_stop(stop) for stop in view.stops],
        "stretches": _stretches(view.stretches),
        "sources": list(view.sources),
        "inputs": [
            {
                "lot": each.lot,
                "stops": [_stop(stop) for stop in each.stops],
                "waiting": each.waiting
                and {
                    "requiredDays": each.waiting.required_days,
                    "appliedMs": each.waiting.applied_ms,
                    "harvestedMs": each.waiting.harvested_ms,
                    "days": each.waiting.days,
                },
            }
            for each in view.inputs
        ],
        "elsewhere": list(view.elsewhere),
        "omitted": view.omitted,
        "foreign": [],
    }


def _random_pieces(seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    found = []
    for number in range(rng.randrange(12)):
        values = [
            rng.choice([None, round(rng.uniform(-20, 30), 1), rng.uniform(-1, 4)]) for _ in range(rng.randrange(6))
        ]
        found.append(
            piece(
                rng.choice([LOTS.packed, LOTS.harvest[0].lot]),
                rng.choice([ROOM, TRUCK]),
                values,
                from_ms=HARVEST_MS + MINUTE_MS * rng.randrange(20),
                revision=1 + number,
                custody_from=rng.choice(["ni:///a", "ni:///b"]),
            )
        )
    return found


def _families() -> dict[str, list[dict[str, Any]]]:
    whole = demo_bundles()
    tomorrow = [each for each in demo_events(HARVEST_MS + DAY_MS) if each["type"] == "TransformationEvent"]
    packed = next(each for each in demo_events() if each.get("bizStep") == "packing")
    corrected = copy.deepcopy(whole)
    declaration = {**packed, "errorDeclaration": {"declarationTime": "2026-07-03T00:00:00Z"}}
    corrected[0]["items"].append(item(declaration, item(packed)["leaf"]["cbv"]))
    foreign_words = {
        "type": "ObjectEvent",
        "eventTime": "2026-07-02T01:02:03.456789-05:00",
        "eventTimeZoneOffset": "-05:00",
        "bizStep": "urn:epcglobal:cbv:bizstep:shipping",
        "readPoint": {"id": "urn:epc:id:sgln:6999999.01021.0"},
        "quantityList": [{"epcClass": "urn:epc:class:lgtin:6999999.020001." + LOTS.packed.rpartition("/")[2]}],
        "ilmd": {
            "x:10": 1,
            "x:2": 1e21,
            "x:1": 0.1,
            "x:true": True,
            "x:list": [1],
            "x:small": 1e-7,
            "x:é": "\u2028 <b>",
        },
        "ex:b": -0.0,
        "ex:a": 5e-324,
        "@context": ["x:y"],
    }
    return {
        "the demo's lot": whole,
        "one lot alone": whole[:1],
        "a harvest": bundles_of(LOTS.harvest[0].lot, whole[1]["items"], LOTS.pesticide),
        "with tomorrow's harvest": demo_bundles(*tomorrow),
        "without a source": [each for each in whole if each["lot"] != LOTS.pesticide],
        "corrected": corrected[:1],
        "other spellings": demo_bundles(foreign_words),
        **{f"readings {seed}": demo_bundles(*_random_pieces(seed)) for seed in range(40)},
    }


def test_script_and_server_see_the_same_in_every_family() -> None:
    families = _families()
    seen = browser_answers([{"view": bundles} for bundles in families.values()])
    for (name, bundles), view in zip(families.items(), seen, strict=True):
        assert view == json.loads(json.dumps(as_browser(consumer_view(bundles)))), name


def test_script_notices_bundles_that_do_not_belong() -> None:
    stray = {"lot": "https://id.gs1.org/01/06999999200017/10/OTHER", "items": [item(demo_events()[-1])]}
    bundles = demo_bundles()
    with_stray, doubled = browser_answers([{"view": [*bundles, stray]}, {"view": [*bundles, bundles[1]]}])
    assert with_stray["foreign"] == [stray["lot"]]
    assert doubled["foreign"] != []


def test_shares_within_a_range_agree() -> None:
    questions, wanted = [], []
    for seed in range(60):
        measured = stretches(_random_pieces(seed))
        for low, high in ((-1, 3), (None, 3.0), (0.5, None), (None, None)):
            kept = kept_cool(measured, low, high)
            questions.append({"kept": [_stretches(measured), low, high]})
            wanted.append(
                kept
                and {
                    "sinceMs": kept.since_ms,
                    "inside": kept.inside,
                    "count": kept.count,
                    "percent": kept.percent,
                }
            )
    assert browser_answers(questions) == wanted
    assert sum(each is not None for each in wanted) > 50


def test_numbers_and_times_are_written_alike() -> None:
    rng = random.Random(7)
    values = [rng.uniform(-40, 40) for _ in range(500)] + [step / 16 for step in range(-200, 200)] + [-0.0, 1e9]
    instants = [rng.randrange(0, 4_000_000_000_000) for _ in range(300)] + [0, HARVEST_MS, 1_798_732_799_999]
    answers = browser_answers([{"decimal": value} for value in values] + [{"minute": ms} for ms in instants])
    assert answers == [one_decimal(value) for value in values] + [fmt_time(ms) for ms in instants]


@pytest.mark.parametrize(
    "uri",
    [
        "https://id.gs1.org/01/06999999200017/10/YL1",
        "https://shop.example/a/b/01/06999999200017/10/A%2F1%28%29?17=261203#x",
        "http://shop.example:8080/01/06999999200017/22/2A/10/L/21/7",
        "https://id.gs1.org/01/06999999200017/21/7",
        "https://id.gs1.org/01/06999999200017",
        "urn:epc:class:lgtin:6999999.020001.A%2F1",
        "urn:epc:id:sgtin:6999999.020001.7",
        "urn:epc:idpat:sgtin:6999999.020001.*",
        "urn:epc:id:sscc:6999999.0000000001",
        "https://id.gs1.org/00/069999990000000018",
        "https://example.org/things/7",
        "Ecode:1",
    ],
)
def test_lots_are_named_alike(uri: str) -> None:
    assert browser_answers([{"lot": uri}]) == [shown_lot(uri)]


def test_words_are_those_of_the_server() -> None:
    (words,) = browser_answers([{"words": 1}])
    tables = {"STEPS": STEPS, "FACTS": FACTS, "UNITS": UNITS, "HARVESTED": HARVESTED}
    assert words == json.loads(json.dumps(tables))


# --- the chain -------------------------------------------------------------------------------------------------------

TX, CONTRACT = "0x" + "7e" * 32, "0x" + "5a" * 20
ANCHOR = {
    "chainId": 31337,
    "contract": CONTRACT,
    "seq": 3,
    "tx": TX,
    "block": 120,
    "size": 25,
    "root": "0x" + "ab" * 32,
}


def _reply() -> dict[str, Any]:
    return {
        "chainId": hex(31337),
        "receipt": {
            "status": "0x1",
            "transactionHash": TX,
            "blockNumber": hex(120),
            "logs": [
                {
                    "address": "0x" + "5A" * 20,
                    "topics": ["0x" + keccak(text="Anchored(uint256,uint256,bytes32)").hex(), "0x" + f"{3:064x}"],
                    "data": "0x" + f"{25:064x}" + "ab" * 32,
                }
            ],
        },
    }


def _changed(*path: str | int, to: Any) -> dict[str, Any]:
    reply = _reply()
    at: Any = reply["receipt"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return reply


def test_anchor_is_read_from_the_receipt() -> None:
    (said,) = browser_answers([{"anchor": [_reply(), ANCHOR]}])
    assert said == {name: ANCHOR[name] for name in ("chainId", "contract", "seq", "size", "root")}


def test_topic_is_the_hash_of_the_event_of_the_contract() -> None:
    assert browser_answers([{"anchored": 1}]) == ["0x" + keccak(text="Anchored(uint256,uint256,bytes32)").hex()]


@pytest.mark.parametrize(
    "reply",
    [
        _changed("status", to="0x0"),
        _changed("transactionHash", to="0x" + "00" * 32),
        _changed("blockNumber", to=hex(121)),
        _changed("logs", to=[]),
        _changed("logs", 0, "address", to="0x" + "00" * 20),
        _changed("logs", 0, "topics", 0, to="0x" + "00" * 32),
        _changed("logs", 0, "data", to="0x"),
        {"chainId": hex(31337), "receipt": None},
    ],
)
def test_receipt_of_anything_else_holds_no_anchor(reply: dict[str, Any]) -> None:
    (said,) = browser_answers([{"anchor": [reply, ANCHOR]}])
    assert (said["seq"], said["size"]) == (0, 0)


# --- signatures ------------------------------------------------------------------------------------------------------


def test_own_sha512_agrees_with_the_library() -> None:
    text = bytes(range(256)) * 2
    cases = [text[:length].hex() for length in (0, 1, 111, 112, 127, 128, 239, 240, 512)]
    assert browser_answers([{"sha512": each} for each in cases]) == [
        hashlib.sha512(bytes.fromhex(each)).hexdigest() for each in cases
    ]


def test_own_signature_check_takes_true_ones_and_no_changed_ones() -> None:
    rng = random.Random(3)
    questions, wanted = [], []
    for number in range(40):
        key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        public, message = key.public_key().public_bytes_raw(), rng.randbytes(number * 7)
        signature = key.sign(message)
        order = 2**252 + 27742317777372353535851937790883648493
        stretched = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
        flipped = bytearray(signature)
        flipped[number % 64] ^= 1 << number % 8
        for given in (signature, bytes(flipped), stretched, signature[:-1]):
            questions.append({"signed": [public.hex(), message.hex(), given.hex()]})
            wanted.append(given == signature)
        questions.append({"signed": [public.hex(), (message + b"x").hex(), signature.hex()]})
        wanted.append(False)
    assert browser_answers(questions) == wanted


def test_own_signature_check_refuses_keys_that_are_no_points() -> None:
    no_points = [(2).to_bytes(32, "little"), (2**255 - 19).to_bytes(32, "little"), bytes(31)]
    assert browser_answers([{"signed": [key.hex(), "", bytes(64).hex()]} for key in no_points]) == [False] * 3
