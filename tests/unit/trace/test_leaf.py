"""The leaf and the canonical bytes beneath it."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
from fix_bundle import LOT, browser_reports, chain_of, curve, event
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.trace.log.leaf import Leaf, canonical_bytes, jcs_digest, parse_leaf, whole_number

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_canonical_bytes_follow_the_standards_own_example():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_bytes(value).decode() == expected


def test_keys_sort_by_utf16_units_not_by_code_points():
    assert canonical_bytes({"\ufb33": 1, "\U0001f600": 2}).decode() == '{"\U0001f600":2,"\ufb33":1}'


@given(json_values)
def test_canonical_bytes_are_json_and_a_fixed_point(value):
    first = canonical_bytes(value)
    assert canonical_bytes(json.loads(first)) == first


@settings(max_examples=1)
@given(st.lists(json_values, min_size=400, max_size=400))
def test_browser_and_python_write_the_same_canonical_text(values):
    answers = browser_reports([{"canonicalOf": json.dumps(value)} for value in values])
    assert [answer["canonical"] for answer in answers] == [canonical_bytes(value).decode() for value in values]


def test_browser_and_python_agree_on_awkward_numbers():
    texts = ["1e21", "123456789012345678901234", "9007199254740993", "-0", "-0.0", "1E-7", "0.1e-6", "5e-324", "1.0"]
    answers = browser_reports([{"canonicalOf": text} for text in texts])
    assert [answer["canonical"] for answer in answers] == [canonical_bytes(json.loads(t)).decode() for t in texts]


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, "\ud800", {"\udfff": 1}, {1: 2}, b"x", object()])
def test_value_without_canonical_form_is_refused(value):
    with pytest.raises(ValueError, match="no canonical form"):
        canonical_bytes(value)


def test_nesting_has_a_limit():
    value: object = 1
    for _ in range(64):
        value = [value]
    assert canonical_bytes(value)
    with pytest.raises(ValueError, match="nested deeper"):
        canonical_bytes([value])


def test_leaf_comes_back_and_hashes_its_canonical_bytes():
    for leaf in chain_of([event(0), curve(), event(1)]):
        assert parse_leaf(json.loads(leaf.data())) == leaf
        assert leaf.hash() == hashlib.sha256(b"\x00" + leaf.data()).digest()


def test_leaf_bytes_are_exactly_the_documented_object():
    leaf = Leaf("curve", None, jcs_digest({}), LOT, 1, None)
    empty = hashlib.sha256(b"{}").hexdigest()
    assert leaf.data().decode() == (
        f'{{"cbv":null,"jcs":"sha256:{empty}","kind":"curve","lot":"{LOT}","n":1,"prev":null,"v":1}}'
    )


_GOOD = chain_of([event(0), event(1)])[1].as_json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2),
        ("v", True),
        ("v", "1"),
        ("kind", "note"),
        ("kind", None),
        ("kind", "curve"),
        ("cbv", None),
        ("cbv", "ni:///sha-256;ab?ver=CBV2.0"),
        ("cbv", _GOOD["cbv"] + "\n"),
        ("jcs", _GOOD["jcs"].upper()),
        ("jcs", _GOOD["jcs"][7:]),
        ("jcs", 7),
        ("lot", ""),
        ("lot", "x" * 2049),
        ("n", 0),
        ("n", 1),
        ("n", 2.5),
        ("n", True),
        ("n", 2**53),
        ("prev", None),
        ("prev", "00"),
        ("prev", _GOOD["prev"].upper() + "g"),
    ],
)
def test_leaf_with_a_wrong_field_is_refused(field, value):
    with pytest.raises(ValueError, match="leaf"):
        parse_leaf({**_GOOD, field: value})


@pytest.mark.parametrize("value", [None, [], "leaf", {}, {**_GOOD, "more": 1}])
def test_what_is_no_leaf_is_refused(value):
    with pytest.raises(ValueError, match="a leaf has the fields"):
        parse_leaf(value)


@pytest.mark.parametrize(
    ("value", "whole"), [(7, 7), (7.0, 7), (7.5, None), (True, None), ("7", None), (math.nan, None)]
)
def test_whole_number_knows_no_integer_type(value, whole):
    assert whole_number(value, 0) == whole
