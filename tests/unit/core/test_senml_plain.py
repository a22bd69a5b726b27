"""The quick way through a pack says what the way for every shape says, or nothing."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.senml import Pack, decode_cbor, decode_json, plain_cbor, plain_json

_NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**400), 10**400), st.integers(-5, 5)
)
_TIMES = st.one_of(st.integers(-5, 5), st.floats(1.6e9, 1.8e9), st.integers(1_600_000_000, 1_800_000_000), _NUMBERS)
_NAMES = st.sampled_from(["", "a", "room-1/air_temperature", "x_", "坏", "b/c"])
_JUNK = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2), _NUMBERS)
_LABELS: dict[str, st.SearchStrategy[Any]] = {
    "n": _NAMES, "u": st.sampled_from(["", "Cel", "%RH"]), "v": _NUMBERS, "t": _TIMES, "bn": _NAMES, "bt": _TIMES,
    "bu": st.sampled_from(["", "Cel"]), "hq": st.integers(-1, 3),
}  # fmt: skip
_RARE: dict[str, st.SearchStrategy[Any]] = {
    "bv": _NUMBERS, "bs": _NUMBERS, "bver": st.sampled_from([5, 10, 11]), "vs": st.text(max_size=3),
    "vb": st.booleans(), "vd": st.text(max_size=3), "s": _NUMBERS, "ut": _NUMBERS, "own": _JUNK, "own_": _JUNK,
}  # fmt: skip
_CODES = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4,
          "s": 5, "t": 6, "ut": 7, "vd": 8}  # fmt: skip


def _plain_record(first: bool) -> st.SearchStrategy[dict[str, Any]]:
    names = ("n", "u", "v", "t", "hq", *(("bn", "bt", "bu") if first else ()))
    return st.fixed_dictionaries({"v": _NUMBERS}, optional={name: _LABELS[name] for name in names if name != "v"})


_ANY_RECORD = st.fixed_dictionaries({}, optional=_LABELS | _RARE)
_PLAIN_PACK = st.builds(
    lambda first, later: [first, *later], _plain_record(True), st.lists(_plain_record(False), max_size=4)
)
_PACKS = st.one_of(_PLAIN_PACK, st.lists(_ANY_RECORD, max_size=4), st.lists(_JUNK, max_size=2))


def _assert_same(columns: Any, pack: Any) -> None:
    """Hold the columns against the pack of the decoder for every shape."""
    if columns is None:
        return
    assert isinstance(pack, Pack)
    bad_names = {rejected.detail for rejected in pack.rejected}
    assert all("is not a SenML name" in detail for detail in bad_names), "only names are left to the caller"
    rows = list(
        zip(columns.names, columns.units, columns.observed_ms, columns.values,
            columns.qualities or [0] * len(columns.names), strict=True)
    )  # fmt: skip
    good = [tuple(reading) for reading in pack.readings]
    assert [row for row in rows if row in good] == good
    assert len(rows) == len(good) + len(pack.rejected)
    assert all(str(row[3]) != "-0.0" for row in rows)


@given(_PACKS)
def test_plain_json_says_what_the_full_decoder_says(pack: list[Any]) -> None:
    raw = json.dumps(pack).encode()
    _assert_same(plain_json(raw), decode_json(raw, 0))


@given(_PACKS, st.binary(max_size=1))
def test_plain_cbor_says_what_the_full_decoder_says(pack: list[Any], more: bytes) -> None:
    items = [
        {_CODES.get(k, k): v for k, v in item.items()} if isinstance(item, dict) else item for item in pack
    ]  # fmt: skip
    raw = cbor2.dumps(items) + more
    _assert_same(plain_cbor(raw), decode_cbor(raw, 0))


@given(st.binary(max_size=30))
def test_garbage_is_none_of_the_quick_ways_business(raw: bytes) -> None:
    _assert_same(plain_json(raw), decode_json(raw, 0))
    _assert_same(plain_cbor(raw), decode_cbor(raw, 0))


@pytest.mark.parametrize(
    "pack",
    [
        [{"bn": "room-1/", "bt": 1.7e9, "n": "a", "u": "Cel", "v": -18.5}, {"n": "b", "u": "%RH", "t": 0.25, "v": 71}],
        [{"n": "room-1/a", "u": "Cel", "t": 1_700_000_000.125, "v": 4}],
    ],
)
def test_usual_shapes_go_the_quick_way(pack: list[dict[str, Any]]) -> None:
    raw = json.dumps(pack).encode()
    columns = plain_json(raw)
    assert columns is not None
    _assert_same(columns, decode_json(raw, 0))
    raw = cbor2.dumps([{_CODES[k]: v for k, v in item.items()} for item in pack])
    columns = plain_cbor(raw)
    assert columns is not None
    _assert_same(columns, decode_cbor(raw, 0))


@pytest.mark.parametrize(
    "raw",
    [
        b"[]", b'[{"n":"a","v":1}]', b'[{"n":"a","v":1,"t":-5}]', b'[{"n":"a","bt":1.7e9,"v":1e999}]',
        b'[{"n":"a","bt":1.7e9,"vb":true}]', b'[{"n":"a","bt":1.7e9,"v":1,"x_":1}]', b'[{"bn":"a","bt":1.7e9}]',
        b'[{"n":"a","bt":1.7e9,"v":1},{"n":"b","bt":1.6e9,"v":1}]',
    ],
)  # fmt: skip
def test_other_shapes_are_left_to_the_full_decoder(raw: bytes) -> None:
    assert plain_json(raw) is None
