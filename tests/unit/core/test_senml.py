"""SenML beyond the RFC's examples: dirt from the field, and round trips."""

from __future__ import annotations

import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.limits import MAX_RECORDS
from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_cbor, decode_json, encode_json

NOW_MS = 1_760_000_000_000

readings = st.lists(
    st.builds(
        Reading,
        name=st.from_regex(r"room-[1-9]/[a-z_]{1,12}", fullmatch=True),
        unit=st.sampled_from(["Cel", "%RH", ""]),
        observed_ms=st.integers(1_300_000_000_000, 2_000_000_000_000),
        value=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    min_size=1,
    max_size=30,
)


@given(readings)
def test_encoded_pack_decodes_to_the_same_readings(items: list[Reading]) -> None:
    pack = decode_json(encode_json(items), NOW_MS)
    assert isinstance(pack, Pack)
    assert not pack.rejected
    assert list(pack.readings) == items


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"null", Reason.FOREIGN_SCHEMA),
        (b"[1,2", Reason.MALFORMED),
        (b"[1,2]", Reason.FOREIGN_SCHEMA),
        (b"{}", Reason.FOREIGN_SCHEMA),
        (b"[]", Reason.FOREIGN_SCHEMA),
        (b'[{"n":"a/b","v":NaN}]', Reason.MALFORMED),
        (b'[{"n":"a/b","v":"4"}]', Reason.FOREIGN_SCHEMA),
        (b'[{"n":"a/b","v":1,"bver":11}]', Reason.FOREIGN_SCHEMA),
        (b'[{"n":"\xff","v":1}]', Reason.MALFORMED),
        (b'[{"n":"a/b"}]', Reason.FOREIGN_SCHEMA),
        (b"[" * 5000, Reason.MALFORMED),
    ],
)
def test_bad_pack_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    outcome = decode_json(raw, NOW_MS)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"n":"a/c","v":1e999}', Reason.NOT_FINITE),
        (b'{"n":"a/c","vs":"open"}', Reason.NOT_NUMERIC),
        (b'{"n":"a c","v":1}', Reason.MALFORMED),
        (b'{"n":"a/c","v":1,"t":1e300}', Reason.IMPOSSIBLE_TIME),
    ],
)
def test_bad_record_leaves_its_neighbours_alone(record: bytes, reason: Reason) -> None:
    pack = decode_json(b'[{"n":"a/b","v":1},' + record + b',{"n":"a/d","v":2}]', NOW_MS)
    assert isinstance(pack, Pack)
    assert [reading.name for reading in pack.readings] == ["a/b", "a/d"]
    assert [refused.reason for refused in pack.rejected] == [reason]


def test_too_many_records_are_refused() -> None:
    outcome = decode_json(b"[" + b",".join([b'{"n":"a/b","v":1}'] * (MAX_RECORDS + 1)) + b"]", NOW_MS)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.OVERSIZED


@pytest.mark.parametrize("label", [-1, "hq"])
def test_cbor_number_too_long_to_be_written_in_digits_is_refused_like_any_other(label: int | str) -> None:
    pack = decode_cbor(cbor2.dumps([{0: "a/b", 2: 1.0, label: 1 << 16_000}]), NOW_MS)
    (refused,) = [pack] if isinstance(pack, Rejected) else pack.rejected
    assert "of 16001 bits" in refused.detail


def test_cbor_nan_is_refused_as_not_finite() -> None:
    pack = decode_cbor(cbor2.dumps([{0: "a/b", 2: math.nan}, {0: "a/c", 4: True}]), NOW_MS)
    assert isinstance(pack, Pack)
    assert [refused.reason for refused in pack.rejected] == [Reason.NOT_FINITE]
    assert pack.readings[0].value == 1.0


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_and_never_an_exception(raw: bytes) -> None:
    assert isinstance(decode_json(raw, NOW_MS), Pack | Rejected)
    assert isinstance(decode_cbor(raw, NOW_MS), Pack | Rejected)
