from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver.decode import BadLine, Line, decode_line
from hanlu.gateway.driver.framing import LineSplitter
from hanlu.gateway.item import Kind
from hanlu.gateway.packing import Packing

NOW = 1_750_000_000_000


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def decoded(**fields: object) -> Line:
    outcome = decode_line(line(**fields), NOW)
    assert isinstance(outcome, Line)
    return outcome


def refused(raw: bytes) -> BadLine:
    outcome = decode_line(raw, NOW)
    assert isinstance(outcome, BadLine)
    return outcome


def record(name: str = "room-1/air_temperature", **fields: object) -> dict[str, object]:
    return {"n": name, "u": "Cel", "t": NOW / 1000, "v": -18.2, **fields}


def test_pack_becomes_readings_with_the_lines_id_and_flag():
    outcome = decoded(id=7, replay=True, senml=[record(), record("room-1/door_open", vb=True, v=None, u="")])
    assert (outcome.id, outcome.replayed, outcome.count) == (7, True, 2)
    assert outcome.readings[0] == Reading("room-1/air_temperature", "Cel", NOW, -18.2)


def test_refused_records_become_one_declared_loss_for_each_reason():
    records = [record(), record(v=None, vs="broken"), record(v=None, vs="---"), record("bad name")]
    outcome = decoded(senml=records)
    assert outcome.count == 4
    assert {(loss.reason, loss.count) for loss in outcome.losses} == {("not_numeric", 2), ("malformed", 1)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"n": "room-1/" + "x" * 120}, Reason.MALFORMED),
        ({"u": "degrees Celsius and so on"}, Reason.MALFORMED),
        ({"u": "摄氏度"}, Reason.MALFORMED),
        ({"t": 1e12}, Reason.IMPOSSIBLE_TIME),
    ],
)
def test_record_that_cannot_be_passed_on_is_declared_lost(changed, reason):
    outcome = decoded(senml=[record() | changed, record()])
    assert len(outcome.readings) == 1
    assert [(loss.reason, loss.count) for loss in outcome.losses] == [(reason.value, 1)]


def test_loss_of_a_dated_pack_is_the_same_when_the_line_is_sent_again():
    pack = [{"bt": NOW / 1000, **record(vs="?", v=None, t=0)}, record(v=None, vs="??", t=-60)]
    (first,), (again,) = decoded(senml=pack, id=7).losses, decoded(senml=pack, id=8).losses
    assert first == again
    assert first.source.startswith("senml:")
    (other,) = decoded(senml=[record(v=None, vs="?", t=NOW / 1000 + 60)]).losses
    assert other.source not in {"", first.source}


@pytest.mark.parametrize("time", [{"t": 0}, {"t": -30}, {"t": 12_000_000}])
def test_loss_of_a_pack_without_its_own_time_counts_every_time(time):
    (loss,) = decoded(senml=[{**record(v=None, vs="?"), **time}]).losses
    assert loss.source == ""


def test_loss_of_a_number_no_float_can_hold_counts_every_time():
    outcome = decode_line(b'{"senml":[{"n":"room-1/air_temperature","u":"Cel","t":1e999,"v":1}]}', NOW)
    assert isinstance(outcome, Line)
    assert [loss.source for loss in outcome.losses] == [""]


def test_declared_loss_and_event_are_taken_as_sent():
    lost = decoded(id=1, lost={"reason": "no_value", "count": 3, "from_ms": NOW, "to_ms": NOW + 9, "detail": "缺测"})
    assert lost.losses == (Loss(reason="no_value", count=3, from_ms=NOW, to_ms=NOW + 9, detail="缺测"),)
    raw = b'{"id":2, "epcis" : {"type":"EPCISDocument", "x": [1, 2.50] } }'
    event = decode_line(raw, NOW)
    assert isinstance(event, Line)
    assert event.event == b'{"type":"EPCISDocument", "x": [1, 2.50] }'
    assert event.count == 0


@pytest.mark.parametrize(
    ("raw", "reason", "line_id"),
    [
        (b"hello", Reason.MALFORMED, None),
        (b"\xff\xfe", Reason.MALFORMED, None),
        (b'{"id":3,"senml":[{"n":"a/b","v":NaN}]}', Reason.MALFORMED, None),
        (b"[1]", Reason.FOREIGN_SCHEMA, None),
        (b'{"id":3}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":"x","senml":[]}', Reason.FOREIGN_SCHEMA, None),
        (b'{"id":3,"senml":[]}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"senml":{}}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"senml":[{"n":"a/b","v":1,"x_":2}]}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"epcis":{"type":"Other"}}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"epcis":"EPCISDocument"}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"lost":{"reason":"no_value","count":0}}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"lost":{"reason":"No Value","count":1}}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"lost":null}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"sneml":[]}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"senml":[{"n":"a/b","v":1}],"lost":{"reason":"x","count":1}}', Reason.FOREIGN_SCHEMA, 3),
        (b'{"id":3,"senml":' + b"[" * 5_000 + b"]" * 5_000 + b"}", None, None),
    ],
)
def test_bad_line_is_refused_with_reason_and_id_where_readable(raw, reason, line_id):
    bad = refused(raw)
    assert reason in (None, bad.why.reason)
    if reason is not None:
        assert bad.id == line_id


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered_without_an_exception(raw):
    assert isinstance(decode_line(raw, NOW), Line | BadLine)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.lists(st.integers(1, 9)))
@settings(deadline=None)
def test_lines_come_out_the_same_whatever_pieces_they_come_in(lines, sizes):
    stream = b"".join(piece + b"\n" for piece in lines)
    splitter, out = LineSplitter(), []
    for size in sizes:
        out += splitter.feed(stream[:size])
        stream = stream[size:]
    out += splitter.feed(stream)
    assert out == [stripped for piece in lines if (stripped := piece.strip(b"\r \t"))]


def test_line_too_long_is_refused_once_and_the_next_is_read():
    splitter = LineSplitter(limit=10)
    out = [*splitter.feed(b"a" * 8), *splitter.feed(b"a" * 8), *splitter.feed(b"a" * 50 + b"\nok\n")]
    assert [type(entry) for entry in out] == [Rejected, bytes]
    assert out[0].reason is Reason.OVERSIZED
    assert splitter.feed(b"1234567890\n") == [b"1234567890"]
    assert len(splitter.feed(b"12345678901\n")) == 1


def accounted(batch: Batch) -> int:
    return len(batch.readings) + sum(loss.count for loss in batch.losses)


def readings(item_payload: bytes) -> tuple[Reading, ...]:
    pack = decode_json(item_payload, NOW)
    assert isinstance(pack, Pack)
    assert pack.rejected == ()
    return pack.readings


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.builds(
                    Reading,
                    st.sampled_from(["room-1/a", "room-1/b", "truck-2/a", "odd"]),
                    st.sampled_from(["Cel", "", "%RH"]),
                    st.integers(NOW - 10**9, NOW + 10**9),
                    st.floats(allow_nan=False, allow_infinity=False),
                ),
                max_size=7,
            ),
            st.lists(st.builds(Loss, reason=st.just("no_value"), count=st.integers(1, 9)), max_size=2),
            st.booleans(),
        ),
        max_size=10,
    ),
    st.integers(1, 10),
)
@settings(max_examples=200, deadline=None)
def test_packing_keeps_every_reading_in_order_and_accounts_for_all(given_lines, most):
    lines = [Batch(tuple(good), tuple(lost), replayed=flag) for good, lost, flag in given_lines]
    items = Packing(most).items(lines)
    packs = [item for item in items if item.content_type is ContentType.SENML_JSON]
    sent = [reading for item in packs for reading in readings(item.payload)]
    assert sent == [reading for entry in lines for reading in entry.readings]
    assert all(item.count == len(readings(item.payload)) <= most for item in packs)
    assert sum(item.count for item in items) == sum(accounted(entry) for entry in lines)
    replayed = sum(item.count for item in items if item.replayed)
    assert replayed == sum(accounted(entry) for entry in lines if entry.replayed)


def test_packing_of_a_replaying_gateway_marks_everything_and_events_go_their_own_way():
    items = Packing(replay=True).items([Batch((Reading("a/b", "Cel", NOW, 1.0),)), Batch(events=(b"{}",))])
    assert all(item.replayed for item in items)
    assert {item.kind for item in items} == {Kind.READING, Kind.EVENT}
