"""Every kind of bad message gets its reason, and never takes a good neighbour along."""

from __future__ import annotations

import json
import math

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import NOON_MS, Edge, Message, temperature
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS, MAX_MESSAGE_BYTES
from hanlu.core.reading import Evidence, Reading
from hanlu.core.rejected import Reason
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import ContentType, digest
from hanlu.core.wire.topics import Lane
from hanlu.ingest.decode import decode, names_unknown
from hanlu.ingest.directory import Channel, Gateway, Key, Snapshot
from hanlu.ingest.message import Accepted, Departed, Outcome, Refused

TWO_DAYS_MS = 2 * 86_400_000
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
NEIGHBOUR = Edge("gw-2", 5, STRANGER)


def _gateway(edge: Edge, gateway_id: int, *, revoked_ms: int | None = None, unsigned: bool = False) -> Gateway:
    channels = {
        "room-1/air_temperature": Channel.of(11, "Cel"),
        "room-1/relative_humidity": Channel.of(12, "%RH"),
        "room-1/door_open": Channel.of(13, "/"),
    }
    key = Key(edge.public, NOON_MS - TWO_DAYS_MS, revoked_ms)
    return Gateway(gateway_id, edge.code, edge.partition, unsigned, {edge.kid: key}, channels)


SNAPSHOT = Snapshot.of(_gateway(Edge(), 1), _gateway(NEIGHBOUR, 2))
PLAIN = Snapshot.of(_gateway(Edge(), 1, unsigned=True))


def _decode(message: Message, snapshot: Snapshot = SNAPSHOT, now_ms: int = NOON_MS) -> Outcome:
    return decode(*message, now_ms, snapshot)


def _accepted(message: Message, snapshot: Snapshot = SNAPSHOT) -> Accepted:
    outcome = _decode(message, snapshot)
    assert isinstance(outcome, Accepted), outcome
    assert outcome.reading_count == len(outcome.values) + outcome.dead_count + outcome.lost_count
    return outcome


def _refusal(message: Message, snapshot: Snapshot = SNAPSHOT) -> Reason:
    outcome = _decode(message, snapshot)
    assert isinstance(outcome, Refused), outcome
    assert outcome.body == message[1][:MAX_MESSAGE_BYTES]
    assert outcome.digest == digest(message[1])
    assert outcome.dead.detail
    return outcome.dead.reason


def _reasons(outcome: Accepted) -> dict[Reason, int]:
    return {each.reason: each.reading_count for each in outcome.dead}


class TestGoodMessages:
    def test_signed_readings_become_ids_times_and_values_in_order(self) -> None:
        edge = Edge()
        humid = Reading("room-1/relative_humidity", "%RH", NOON_MS + 1, 85.5)
        message = edge.readings([temperature(-18.25), humid])
        outcome = _accepted(message)
        assert outcome.channel_ids == [11, 12]
        assert outcome.observed_ms == [NOON_MS, NOON_MS + 1]
        assert outcome.values == [-18.25, 85.5]
        assert outcome.dead == ()
        assert outcome.evidence is Evidence.SIGNED
        assert outcome.digest == digest(message[1])
        assert outcome.spool == (1, edge.epoch)

    def test_cbor_pack_reads_like_its_json_twin(self) -> None:
        pack = [{-2: "room-1/", -3: NOON_MS // 1000, 0: "air_temperature", 1: "Cel", 2: -18.25}]
        outcome = _accepted(Edge().message(ContentType.SENML_CBOR, cbor2.dumps(pack), 1))
        assert (outcome.channel_ids, outcome.observed_ms, outcome.values) == ([11], [NOON_MS], [-18.25])

    def test_booleans_need_no_unit(self) -> None:
        pack = [{"n": "room-1/door_open", "t": NOON_MS // 1000, "vb": True}]
        assert _accepted(Edge().records(pack, 1)).values == [1.0]

    def test_loss_counts_what_it_declares(self) -> None:
        outcome = _accepted(Edge().loss(7, reason="not_a_number"))
        assert (outcome.lost_count, outcome.reading_count, outcome.dead) == (7, 7, ())

    def test_birth_and_event_carry_their_documents_and_no_readings(self) -> None:
        edge = Edge()
        birth = _accepted(edge.birth(replay=True))
        assert birth.birth is not None
        assert birth.birth.replay
        event = _accepted(edge.event(b'{"type":"EPCISDocument"}'))
        assert event.event == b'{"type":"EPCISDocument"}'
        assert birth.reading_count == event.reading_count == 0

    def test_will_of_the_gateway_is_its_departure(self) -> None:
        assert _decode(Edge().will()) == Departed(1, NOON_MS)

    def test_replayed_readings_may_be_years_old(self) -> None:
        old = temperature(-18, EARLIEST_OBSERVED_MS)
        assert _accepted(Edge().readings([old], Lane.BACKLOG, replayed=True)).dead == ()


class TestMessagesThatCannotBeAttributed:
    @pytest.mark.parametrize(
        ("topic", "reason"),
        [
            ("sensors/room-1", Reason.BAD_TOPIC),
            ("hanlu/1/64/gw-1/live", Reason.BAD_TOPIC),
            ("hanlu/1/00/gw-1/gossip", Reason.BAD_TOPIC),
            ("hanlu/1/00/GW 1/live", Reason.BAD_TOPIC),
            ("hanlu/1/00/gw-1/receipt", Reason.BAD_TOPIC),
            ("hanlu/1/00/gw-9/live", Reason.UNKNOWN_GATEWAY),
            ("hanlu/1/03/gw-1/live", Reason.GATEWAY_MISMATCH),
            ("hanlu/1/05/gw-2/live", Reason.GATEWAY_MISMATCH),
        ],
    )
    def test_wrong_topics_are_refused_by_reason(self, topic: str, reason: Reason) -> None:
        assert _refusal((topic, Edge().readings([temperature(-18)])[1])) is reason

    @pytest.mark.parametrize(
        "payload", [b"", b"\x00", b"hello", b"\xd2\x80", b"\xd2\x84\x40\xa0\x40\x40", b"\xff" * 99]
    )
    def test_garbage_is_malformed(self, payload: bytes) -> None:
        assert _refusal((Edge().topic(), payload)) is Reason.MALFORMED

    def test_oversized_message_keeps_its_beginning_and_the_digest_of_all(self) -> None:
        assert _refusal((Edge().topic(), b"[" + b" " * MAX_MESSAGE_BYTES)) is Reason.OVERSIZED

    def test_flipped_payload_byte_breaks_the_signature(self) -> None:
        topic, raw = Edge().readings([temperature(-18)])
        assert _refusal((topic, raw.replace(b"-18", b"-17"))) is Reason.BAD_SIGNATURE

    def test_key_nobody_registered_is_unknown(self) -> None:
        thief = Edge(key=Ed25519PrivateKey.generate())
        assert _refusal(thief.readings([temperature(-18)])) is Reason.UNKNOWN_KEY

    def test_key_of_another_gateway_does_not_speak_for_this_one(self) -> None:
        impostor = Edge(key=STRANGER)
        assert _refusal(impostor.readings([temperature(-18)])) is Reason.GATEWAY_MISMATCH

    def test_revoked_key_counts_until_its_revocation_only(self) -> None:
        message = Edge().readings([temperature(-18)])
        revoked = Snapshot.of(_gateway(Edge(), 1, revoked_ms=NOON_MS))
        assert isinstance(_decode(message, revoked, NOON_MS - 1), Accepted)
        assert _refusal(message, revoked) is Reason.UNKNOWN_KEY

    def test_key_of_tomorrow_is_refused_today(self) -> None:
        outcome = _decode(Edge().readings([temperature(-18)]), now_ms=NOON_MS - 2 * TWO_DAYS_MS)
        assert isinstance(outcome, Refused)
        assert outcome.dead.reason is Reason.UNKNOWN_KEY

    def test_bare_pack_is_refused_where_gateways_must_sign(self) -> None:
        assert _refusal((Edge().topic(), encode_json([temperature(-18)]))) is Reason.BAD_SIGNATURE

    @pytest.mark.parametrize("lane", [Lane.EVENT, Lane.BIRTH])
    def test_bare_pack_is_refused_on_lanes_of_signed_things(self, lane: Lane) -> None:
        assert _refusal((Edge().topic(lane), encode_json([temperature(-18)])), PLAIN) is Reason.BAD_SIGNATURE

    def test_impossible_claims_are_refused(self) -> None:
        edge = Edge(produced=2**60)
        assert _refusal(edge.readings([temperature(-18)])) is Reason.MALFORMED

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"gateway":"gw-1","epoch":"zz"}'])
    def test_will_of_foreign_shape_is_refused(self, body: bytes) -> None:
        assert _refusal((Edge().topic(Lane.WILL), body)) is Reason.FOREIGN_SCHEMA

    def test_will_in_anothers_name_is_refused(self) -> None:
        assert _refusal(Edge().will(gateway="gw-2")) is Reason.GATEWAY_MISMATCH

    @given(st.binary(max_size=300), st.sampled_from(list(Lane)), st.booleans())
    def test_no_bytes_whatever_raise(self, payload: bytes, lane: Lane, plain: bool) -> None:
        decode(Edge().topic(lane), payload, NOON_MS, PLAIN if plain else SNAPSHOT)

    @given(st.integers(0, 250), st.integers(1, 255))
    def test_any_altered_byte_of_a_signed_message_is_refused(self, place: int, by: int) -> None:
        topic, raw = Edge().readings([temperature(-18)])
        place %= len(raw)
        altered = bytearray(raw)
        altered[place] ^= by
        assert isinstance(_decode((topic, bytes(altered))), Refused)


class TestPayloadsThatAreNoGood:
    """The signature holds, so the sequence number has arrived: all readings counted dead, and the gateway goes on."""

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"not json", Reason.MALFORMED),
            (b'{"n":"x","v":1}', Reason.FOREIGN_SCHEMA),
            (b'[{"bver":11,"n":"x","v":1}]', Reason.FOREIGN_SCHEMA),
            (b'[{"n":"x","v":1,"must_":1}]', Reason.FOREIGN_SCHEMA),
            (b"[]", Reason.FOREIGN_SCHEMA),
            (json.dumps([{"n": "room-1/x", "v": 1}] * 5_001).encode(), Reason.OVERSIZED),
        ],
    )
    def test_foreign_packs_are_dead_as_a_whole(self, payload: bytes, reason: Reason) -> None:
        outcome = _accepted(Edge().message(ContentType.SENML_JSON, payload, 3))
        assert _reasons(outcome) == {reason: 3}
        assert outcome.values == []

    def test_foreign_loss_and_birth_are_dead(self) -> None:
        edge = Edge()
        loss = edge.message(ContentType.LOSS, b'{"reason":"No Value!","count":2}', 2)
        assert _reasons(_accepted(loss)) == {Reason.FOREIGN_SCHEMA: 2}
        birth = edge.message(ContentType.BIRTH, b'{"gateway":"gw-1"}', 0, Lane.BIRTH)
        assert _reasons(_accepted(birth)) == {Reason.FOREIGN_SCHEMA: 0}

    def test_birth_in_anothers_name_is_dead(self) -> None:
        assert _reasons(_accepted(Edge().birth(gateway="gw-2"))) == {Reason.GATEWAY_MISMATCH: 0}

    def test_readings_the_header_counts_and_the_payload_lacks_are_dead(self) -> None:
        pack = encode_json([temperature(-18)])
        outcome = _accepted(Edge().message(ContentType.SENML_JSON, pack, 4))
        assert _reasons(outcome) == {Reason.MALFORMED: 3}
        assert outcome.values == [-18]

    def test_readings_beyond_the_headers_count_are_kept_and_told(self) -> None:
        pack = encode_json([temperature(-18), temperature(-19, NOON_MS + 1)])
        outcome = _accepted(Edge().message(ContentType.SENML_JSON, pack, 1))
        assert _reasons(outcome) == {Reason.MALFORMED: 0}
        assert outcome.values == [-18, -19]


class TestSingleBadRecords:
    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            ({"n": "room-9/air_temperature", "u": "Cel", "v": 1}, Reason.UNKNOWN_CHANNEL),
            ({"n": "room-1/air_temperature", "u": "K", "v": 255}, Reason.UNIT_MISMATCH),
            ({"n": "room-1/air_temperature", "v": 1}, Reason.UNIT_MISMATCH),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": 151}, Reason.IMPOSSIBLE_VALUE),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": -127}, Reason.IMPOSSIBLE_VALUE),
            ({"n": "room-1/relative_humidity", "u": "%RH", "v": 100.5}, Reason.IMPOSSIBLE_VALUE),
            ({"n": "room-1/air_temperature", "u": "Cel", "vs": "warm"}, Reason.NOT_NUMERIC),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": 1, "t": TWO_DAYS_MS / 1000}, Reason.IMPOSSIBLE_TIME),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": 1, "t": 301}, Reason.IMPOSSIBLE_TIME),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": 1, "t": 60 - NOON_MS / 1000}, Reason.IMPOSSIBLE_TIME),
            ({"n": "room-1/air_temperature", "u": "Cel", "v": 1, "t": 9.46e8 - NOON_MS / 1000}, Reason.IMPOSSIBLE_TIME),
            ({"n": "room-1/air temperature", "u": "Cel", "v": 1}, Reason.MALFORMED),
        ],
    )
    def test_one_bad_record_leaves_its_neighbours(self, record: dict[str, object], reason: Reason) -> None:
        good = {"n": "room-1/air_temperature", "u": "Cel", "v": -18, "bt": NOON_MS / 1000}
        after = good | {"t": 1}
        outcome = _accepted(Edge().records([good, record, after], 3))
        assert _reasons(outcome) == {reason: 1}
        assert outcome.values == [-18, -18]

    def test_not_a_number_in_cbor_is_refused(self) -> None:
        pack = [{0: "room-1/air_temperature", 1: "Cel", 2: v, 6: NOON_MS / 1000} for v in (math.nan, math.inf, -18.0)]
        outcome = _accepted(Edge().message(ContentType.SENML_CBOR, cbor2.dumps(pack), 3))
        assert _reasons(outcome) == {Reason.NOT_FINITE: 2}
        assert outcome.values == [-18]

    def test_five_minutes_ahead_is_the_last_time_accepted(self) -> None:
        edge = Edge()
        assert _accepted(edge.readings([temperature(1, NOON_MS + MAX_FUTURE_MS)])).dead == ()
        assert _accepted(edge.readings([temperature(1, NOON_MS + MAX_FUTURE_MS + 1)])).dead != ()

    def test_many_of_one_reason_are_one_entry_that_counts_all(self) -> None:
        outcome = _accepted(Edge().readings([temperature(200 + i) for i in range(20)]))
        assert _reasons(outcome) == {Reason.IMPOSSIBLE_VALUE: 20}
        assert "and 15 more" in outcome.dead[0].detail

    def test_one_bad_message_among_a_thousand_touches_no_other(self) -> None:
        edge = Edge()
        messages = [edge.readings([temperature(-18, NOON_MS - i)]) for i in range(1_000)]
        messages[500] = (messages[500][0], messages[500][1][:-1] + bytes([messages[500][1][-1] ^ 1]))
        outcomes = [_decode(message) for message in messages]
        assert [isinstance(each, Refused) for each in outcomes].count(True) == 1
        assert sum(len(each.values) for each in outcomes if isinstance(each, Accepted)) == 999


class TestPlainDevices:
    def test_bare_pack_is_stored_as_unsigned_evidence(self) -> None:
        payload = encode_json([temperature(-18)])
        outcome = _accepted((Edge().topic(), payload), PLAIN)
        assert outcome.evidence is Evidence.UNSIGNED
        assert outcome.spool is None
        assert (outcome.values, outcome.digest) == ([-18], digest(payload))

    def test_bare_cbor_is_taken_as_well(self) -> None:
        payload = cbor2.dumps([{0: "room-1/air_temperature", 1: "Cel", 2: -18, 6: NOON_MS // 1000}])
        assert _accepted((Edge().topic(), payload), PLAIN).values == [-18]

    def test_time_left_out_is_the_time_of_reception_and_part_of_the_identity(self) -> None:
        message = Edge().topic(), b'[{"n":"room-1/air_temperature","u":"Cel","v":-18}]'
        first = decode(*message, NOON_MS, PLAIN)
        later = decode(*message, NOON_MS + 60_000, PLAIN)
        assert isinstance(first, Accepted)
        assert isinstance(later, Accepted)
        assert (first.observed_ms, later.observed_ms) == ([NOON_MS], [NOON_MS + 60_000])
        assert first.digest != later.digest

    def test_message_the_broker_kept_is_taken_with_its_own_time_and_refused_without(self) -> None:
        timed = Edge().topic(), encode_json([temperature(-18)])
        untimed = Edge().topic(), b'[{"n":"room-1/air_temperature","u":"Cel","v":-18}]'
        ago = Edge().topic(), b'[{"n":"room-1/air_temperature","u":"Cel","v":-18,"t":-2}]'
        assert isinstance(decode(*timed, NOON_MS, PLAIN, retained=True), Accepted)
        for message in (untimed, ago):
            outcome = decode(*message, NOON_MS, PLAIN, retained=True)
            assert isinstance(outcome, Refused)
            assert outcome.dead.reason is Reason.IMPOSSIBLE_TIME

    def test_seconds_ago_count_back_from_reception(self) -> None:
        pack = b'[{"n":"room-1/air_temperature","u":"Cel","v":-18,"t":-2.5}]'
        assert _accepted((Edge().topic(), pack), PLAIN).observed_ms == [NOON_MS - 2_500]

    def test_clock_that_counts_from_1970_is_refused_not_guessed(self) -> None:
        pack = b'[{"n":"room-1/air_temperature","u":"Cel","v":-18,"t":42}]'
        assert _reasons(_accepted((Edge().topic(), pack), PLAIN)) == {Reason.IMPOSSIBLE_TIME: 1}

    def test_signed_message_without_a_time_is_refused(self) -> None:
        outcome = _accepted(Edge().records([{"n": "room-1/air_temperature", "u": "Cel", "v": -18}], 1))
        assert _reasons(outcome) == {Reason.IMPOSSIBLE_TIME: 1}


def test_only_unknown_names_call_for_a_younger_snapshot() -> None:
    edge = Edge()
    assert names_unknown(_decode(edge.readings([temperature(-18, device="room-9")])))
    assert names_unknown(_decode(("hanlu/1/00/gw-9/live", b"")))
    assert names_unknown(_decode(Edge(key=Ed25519PrivateKey.generate()).readings([temperature(-18)])))
    assert not names_unknown(_decode(edge.readings([temperature(-200)])))
    assert not names_unknown(_decode((edge.topic(), b"garbage")))
    assert not names_unknown(_decode(edge.will()))


def test_fault_of_our_own_costs_one_message_and_not_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("hanlu.ingest.decode.open_envelope", broken)
    outcome = _decode(Edge().readings([temperature(1.0)]))
    assert isinstance(outcome, Refused)
    assert (outcome.dead.reason, outcome.dead.detail) == (
        Reason.MALFORMED, "reading it failed: RuntimeError: nobody thought of this",
    )  # fmt: skip
