"""Reading JSON from strangers: the brackets are counted before the reader recurses."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.log.strict_json import parse_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(json_values, st.booleans())
def test_value_within_its_depth_is_read_and_one_deeper_is_not(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only, indent=1).encode("utf-8", "surrogatepass")
    depth = _depth(value)
    assert parse_json(data, max_bytes=len(data), max_depth=depth) == value
    if depth:
        with pytest.raises(ValueError, match=f"nested deeper than {depth - 1}"):
            parse_json(data, max_bytes=len(data), max_depth=depth - 1)


def test_brackets_within_text_do_not_count():
    assert parse_json(b'{"[[[\\"{{": "]}\\\\"}', max_bytes=99, max_depth=1) == {'[[["{{': "]}\\"}


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 3_000_000,
        b'"' + b'\\"' * 1_500_000,
        b'{"a":' * 600_000,
        b'"' * 3_000_001,
        b"\\" * 3_000_000,
        b"[]" * 1_500_000,
    ],
)
def test_hostile_text_is_refused_in_linear_time(data):
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"nested deeper|not JSON"):
        parse_json(data, max_bytes=4_000_000, max_depth=48)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"12345678901", "11 bytes, more than the 10 accepted"),
        (b"\xff", "not JSON: 'utf-8' codec"),
        (b"", "not JSON: Expecting value"),
        (b"NaN", "not JSON: NaN is not JSON"),
        (b"-Infinity", "not JSON: -Infinity is not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]]", "not JSON: Extra data"),
    ],
)
def test_what_is_no_json_is_refused_in_words(data, words):
    with pytest.raises(ValueError, match=words):
        parse_json(data, max_bytes=10, max_depth=5)


def test_field_that_stands_twice_is_named():
    with pytest.raises(ValueError, match="the field 'b' stands twice in one object"):
        parse_json(b'{"a": {"c": 1, "b": 1, "b": 2}, "b": 3}', max_bytes=99, max_depth=5)
