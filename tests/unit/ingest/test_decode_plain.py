"""The short way of a faultless pack ends where the long way does; any fault sends a message the long way."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from fix_edge import NOON_MS, Edge, temperature
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Quality
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import Rejected, open_envelope
from hanlu.ingest import decode as module
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import Channel, Gateway, Key, Snapshot
from hanlu.ingest.message import Accepted

EDGE = Edge()
CHANNELS = {
    "room-1/air_temperature": Channel.of(11, "Cel"),
    "room-1/door_open": Channel.of(13, "/"),
    "room-1/co2": Channel.of(14, "ppm"),
}
SNAPSHOT = Snapshot.of(Gateway(1, EDGE.code, EDGE.partition, True, {EDGE.kid: Key(EDGE.public, 0)}, CHANNELS))

_NOON_S = NOON_MS / 1000
_RECORDS = st.fixed_dictionaries(
    {
        "n": st.sampled_from([*CHANNELS, "room-9/x", ""]),
        "v": st.sampled_from([-18.5, 4, 0, -90, -91, 151, 1e300, -0.0]),
    },
    optional={
        "u": st.sampled_from(["Cel", "/", "", "ppm"]),
        "t": st.sampled_from(
            [
                _NOON_S,
                0,
                -5,
                (NOON_MS + MAX_FUTURE_MS) / 1000,
                (NOON_MS + MAX_FUTURE_MS + 1) / 1000,
                EARLIEST_OBSERVED_MS / 1000,
                EARLIEST_OBSERVED_MS / 1000 - 1,
                1e300,
            ]
        ),
        "hq": st.integers(0, 3),
    },
)


@given(st.lists(_RECORDS, max_size=4), st.booleans(), st.booleans(), st.booleans())
def test_short_way_and_long_way_end_at_the_same(
    records: list[dict[str, Any]], based: bool, signed: bool, in_cbor: bool
) -> None:
    if based and records:
        records = [{"bt": _NOON_S, "bu": "Cel"} | records[0], *records[1:]]
    if in_cbor:
        labels = {"bt": -3, "bu": -4, "n": 0, "u": 1, "v": 2, "t": 6}
        payload = cbor2.dumps([{labels.get(k, k): v for k, v in each.items()} for each in records])
        message = EDGE.topic(), payload
    else:
        message = Edge().records(records, len(records)) if signed else (EDGE.topic(), json.dumps(records).encode())
    short = decode(*message, NOON_MS, SNAPSHOT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_plain", lambda *_: None)
        assert short == decode(*message, NOON_MS, SNAPSHOT)


@pytest.mark.parametrize("signed", [False, True])
def test_usual_message_goes_the_short_way_with_its_qualities(signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [temperature(-18, NOON_MS - i)._replace(quality=Quality(i % 3)) for i in range(4)]
    edge = Edge()
    message = edge.readings(readings) if signed else (edge.topic(), encode_json(readings))
    monkeypatch.setattr(module, "check_records", None)
    outcome = decode(*message, NOON_MS, SNAPSHOT)
    assert isinstance(outcome, Accepted)
    assert outcome.qualities == [0, 1, 2, 0]
    assert outcome.observed_ms == [NOON_MS - i for i in range(4)]


@given(st.data())
def test_message_in_any_longer_form_is_refused(data: st.DataObject) -> None:
    """The length of a message proves its form: each of these says the same in other bytes."""
    _, raw = Edge().readings([temperature(-18)] * data.draw(st.integers(1, 30)))
    tag = cbor2.loads(raw)
    protected, _, payload, signature = tag.value
    pieces = [cbor2.dumps(protected), b"\xa0", cbor2.dumps(payload), cbor2.dumps(signature)]
    assert b"\xd2\x84" + b"".join(pieces) == raw
    place = data.draw(st.sampled_from([0, 2, 3]))
    part = (protected, None, payload, signature)[place] or b""
    long = b"\x5b" + len(part).to_bytes(8, "big") + part
    torn = b"\x5f" + cbor2.dumps(part) + b"\xff"
    other = [*pieces]
    other[place] = data.draw(st.sampled_from([long, torn]))
    open_array = b"\xd2\x9f" + b"".join(pieces) + b"\xff"
    long_tag = b"\xd8\x12\x84" + b"".join(pieces)
    unprotected = b"".join(
        [b"\xd2\x84", pieces[0], data.draw(st.sampled_from([b"\xf6", b"\x80", b"\x40", b"\xbf\xff"]))]
    )
    unprotected += pieces[2] + pieces[3]
    for changed in (b"\xd2\x84" + b"".join(other), open_array, long_tag, unprotected, raw + b"\0"):
        assert isinstance(open_envelope(changed), Rejected)
