"""Topics and envelopes: round trips, and every way of being wrong."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.envelope import (
    ContentType,
    Envelope,
    Header,
    key_id,
    open_envelope,
    public_bytes,
    seal,
    verify,
)
from hanlu.core.wire.topics import Lane, Topic, parse_topic

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_bytes(KEY)

headers = st.builds(
    Header,
    kid=st.just(key_id(PUBLIC)),
    content_type=st.sampled_from(ContentType),
    epoch=st.binary(min_size=16, max_size=16),
    seq=st.integers(1, 2**62 - 1),
    prev=st.binary(min_size=32, max_size=32),
    count=st.integers(0, 2**31),
    produced=st.integers(0, 2**62 - 1),
    replayed=st.booleans(),
)


@given(headers, st.binary(max_size=200))
def test_sealed_message_opens_to_what_was_sealed(header: Header, payload: bytes) -> None:
    opened = open_envelope(seal(header, payload, KEY))
    assert isinstance(opened, Envelope)
    assert (opened.header, opened.payload) == (header, payload)
    assert verify(opened, PUBLIC)


@given(st.data())
def test_one_changed_byte_is_refused_or_fails_verification(data: st.DataObject) -> None:
    header = Header(key_id(PUBLIC), ContentType.SENML_JSON, bytes(16), 7, bytes(32), 1, 9)
    raw = bytearray(seal(header, b'[{"n":"a/b","v":1}]', KEY))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    opened = open_envelope(bytes(raw))
    assert isinstance(opened, Rejected) or not verify(opened, PUBLIC)


def test_bytes_behind_the_message_are_refused() -> None:
    header = Header(key_id(PUBLIC), ContentType.SENML_JSON, bytes(16), 7, bytes(32), 1, 9)
    assert isinstance(open_envelope(seal(header, b"[]", KEY) + b"\x00"), Rejected)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_and_never_an_exception(raw: bytes) -> None:
    assert isinstance(open_envelope(raw), Envelope | Rejected)


def test_oversized_message_is_refused_before_it_is_parsed() -> None:
    outcome = open_envelope(b"\xd2" * (MAX_MESSAGE_BYTES + 1))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.OVERSIZED


@pytest.mark.parametrize(
    ("label", "value"), [(1, -7), (4, b"short"), (-70001, b""), (-70002, 0), (-70002, True), (-70003, b"x"), (3, 50)]
)
def test_header_field_out_of_range_is_refused(label: int, value: object) -> None:
    header = Header(key_id(PUBLIC), ContentType.SENML_JSON, bytes(16), 7, bytes(32), 1, 9)
    tagged = cbor2.loads(seal(header, b"[]", KEY))
    fields = cbor2.loads(tagged.value[0])
    fields[label] = value
    raw = cbor2.dumps(cbor2.CBORTag(18, [cbor2.dumps(fields), {}, b"[]", tagged.value[3]]))
    assert isinstance(open_envelope(raw), Rejected)


@given(st.integers(0, 63), st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True), st.sampled_from(Lane))
def test_topic_parses_to_what_built_it(partition: int, gateway: str, lane: Lane) -> None:
    topic = Topic(partition, gateway, lane)
    assert parse_topic(str(topic)) == topic


@pytest.mark.parametrize(
    "text",
    ["", "hanlu/1/64/gw/live", "hanlu/1/7/gw/live", "hanlu/2/07/gw/live", "hanlu/1/07/GW/live", "hanlu/1/07/gw/other",
     "hanlu/1/07/gw/live/x", "hanlu/1/07/g+/live", "hanlu/1/07//live"],
)  # fmt: skip
def test_foreign_topic_is_refused_with_its_shape(text: str) -> None:
    outcome = parse_topic(text)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.BAD_TOPIC
