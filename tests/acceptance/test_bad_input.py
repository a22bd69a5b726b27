"""What the field gets wrong, sent to a running system: every bad message is a dead letter with its bytes and the
reason, and every good reading beside it is stored once and at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import Edge, Message, temperature
from fix_field import (
    AIR,
    HUMIDITY,
    PROMPT_S,
    Bad,
    Field,
    FieldGateway,
    balances,
    beside,
    falsely_signed,
    good,
    instants,
    now_ms,
)
from fix_running import running_hanlu
from fix_services import wait_until

from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import ContentType, Header, seal
from hanlu.core.wire.topics import Lane, Topic

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    with running_hanlu(roles="ingest") as hanlu:
        field = Field(hanlu)
        yield field
        field.check("ingest")


@pytest.fixture(scope="module")
def gateway(field: Field) -> FieldGateway:
    field.enrol("trial-2", partition=8)  # the one whose key and name are abused
    field.broker.add_gateways("trial-stranger")  # may sign in, but nobody registered it
    return field.enrol("trial-1")


# Messages nobody can be held to -------------------------------------------------------------------------------------


def garbage(edge: Edge) -> Message:
    return edge.topic(), b"\x00\xff" + uuid4().bytes


def cut_short(edge: Edge) -> Message:
    topic, raw = good(edge)
    return topic, raw[:-10]


def oversized(edge: Edge) -> Message:
    return edge.message(ContentType.SENML_JSON, b" " * MAX_MESSAGE_BYTES, 1)


def foreign_content_type(edge: Edge) -> Message:
    kind: Any = SimpleNamespace(value="text/csv")
    header = Header(edge.kid, kind, edge.epoch, 1, bytes(32), 1, 1)
    return edge.topic(), seal(header, b"t;4.5", edge.key)


def foreign_structure(edge: Edge) -> Message:
    return edge.topic(), cbor2.dumps({"device": edge.code, "temperature": 4.5, "at": now_ms()})


def signed_by_a_stranger(edge: Edge) -> Message:
    return good(replace(edge, key=Ed25519PrivateKey.generate()))


def unsigned(edge: Edge) -> Message:
    return edge.topic(), encode_json([temperature(4.0, instants(1)[0])])


def on_anothers_partition(edge: Edge) -> Message:
    return good(replace(edge, partition=edge.partition + 1))


def impossible_seq(edge: Edge) -> Message:
    return good(replace(edge, seq=2**60))


def will_of_another(edge: Edge) -> Message:
    return edge.will(gateway="trial-2", epoch=uuid4().hex)


def will_of_nothing(edge: Edge) -> Message:
    return edge.topic(Lane.WILL), b"gone " + uuid4().hex.encode()


REFUSED: dict[str, tuple[Bad, str, str]] = {
    # what is sent, the reason kept, words of its detail
    "garbage": (garbage, "malformed", "COSE_Sign1"),
    "cut short": (cut_short, "malformed", "COSE_Sign1"),
    "oversized": (oversized, "oversized", "at most 262144"),
    "foreign content type": (foreign_content_type, "foreign_schema", "text/csv"),
    "foreign structure": (foreign_structure, "malformed", "COSE_Sign1"),
    "falsely signed": (falsely_signed, "bad_signature", "is false"),
    "signed by a stranger": (signed_by_a_stranger, "unknown_key", "not registered"),
    "unsigned": (unsigned, "bad_signature", "must sign"),
    "on another's partition": (on_anothers_partition, "gateway_mismatch", "belongs to partition 07"),
    "impossible seq": (impossible_seq, "malformed", "beyond anything"),
    "will of another": (will_of_another, "gateway_mismatch", "a will of trial-2"),
    "will of nothing": (will_of_nothing, "foreign_schema", "not a will"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_message_nobody_answers_for_is_a_dead_letter_and_delays_nothing(
    field: Field, gateway: FieldGateway, case: str
) -> None:
    make, reason, words = REFUSED[case]
    edge = gateway.edge()
    bad = make(replace(edge))
    with gateway.client() as client:
        client.listen(edge)
        began = time.monotonic()
        client.publish(good(edge), bad, good(edge), bad)
        client.await_receipt(2)
        assert time.monotonic() - began < PROMPT_S
    kept = field.letter(bad, reason)
    wait_until(lambda: field.letter(bad, reason)["times"] == 2, "the repetition is counted")
    assert kept["body"] == bad[1][:MAX_MESSAGE_BYTES]
    assert (kept["topic"], kept["gateway"], kept["arrival_id"]) == (bad[0], "trial-1", None)
    assert words in kept["detail"]
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["stored"], account["dead"]) == (2, 0)


def test_message_signed_with_another_gateways_key_speaks_for_neither(field: Field, gateway: FieldGateway) -> None:
    other = field.enrol("trial-3", partition=9)
    edge = gateway.edge()
    forged = good(replace(edge, key=other.key))
    with gateway.client() as client:
        client.listen(edge)
        client.publish(forged, good(edge))
        client.await_receipt(1)
    assert field.letter(forged, "gateway_mismatch")["detail"].endswith("of gateway trial-3, sent as trial-1")
    assert field.platform.account(edge)["stored"] == 1
    assert not field.platform.rows("SELECT FROM telemetry.gateway_epoch WHERE gateway_id = %s", other.gateway_id), (
        "nothing of it is put to the other's account"
    )


def test_gateway_nobody_registered_is_heard_and_refused(field: Field, gateway: FieldGateway) -> None:
    stranger = replace(gateway, code="trial-stranger", key=Ed25519PrivateKey.generate())
    bad = good(stranger.edge())
    with stranger.client() as client:
        client.publish(bad)
    kept = field.letter(bad, "unknown_gateway")
    assert (kept["gateway"], kept["body"]) == ("trial-stranger", bad[1])


def test_gateway_cannot_publish_under_anothers_name(field: Field, gateway: FieldGateway) -> None:
    forged = str(Topic(8, "trial-2", Lane.LIVE)), good(gateway.edge())[1]
    with gateway.client() as forger:
        forger.publish(forged)  # the broker takes it and drops it; some versions hang up on the sender as well
    edge = gateway.edge()
    with gateway.client() as client:
        client.listen(edge)
        client.publish(good(edge))
        client.await_receipt(1)
    assert not field.platform.rows("SELECT FROM telemetry.dead_letter WHERE topic = %s", forged[0])


# Messages that are the gateway's own, and bad in part -----------------------------------------------------------------


def nan_in_cbor(edge: Edge) -> Message:
    at = instants(1)[0] / 1000
    pack = [
        {-2: "room-1/", -3: at, 0: "air_temperature", 1: "Cel", 2: 4.5},
        {0: "relative_humidity", 1: "%RH", 2: float("nan")},
    ]
    return edge.message(ContentType.SENML_CBOR, cbor2.dumps(pack), 2)


def infinity_in_json(edge: Edge) -> Message:
    at = instants(1)[0] / 1000
    pack = (
        f'[{{"n":"room-1/air_temperature","u":"Cel","t":{at},"v":4.5}},'
        f'{{"n":"room-1/relative_humidity","u":"%RH","t":{at},"v":1e999}}]'
    )
    return edge.message(ContentType.SENML_JSON, pack.encode(), 2)


def two_days_ahead(edge: Edge) -> Message:
    return beside(AIR | {"v": 4, "t": (now_ms() + 2 * DAY_MS) / 1000})(edge)


PARTLY: dict[str, tuple[Bad, str, str]] = {
    "unknown channel": (beside({"n": "room-1/radon", "u": "Bq", "v": 1}), "unknown_channel", "room-1/radon"),
    "unknown device": (beside(AIR | {"n": "room-9/air_temperature", "v": 1}), "unknown_channel", "room-9"),
    "kelvin": (beside(AIR | {"u": "K", "v": 277.65}), "unit_mismatch", "registered in 'Cel'"),
    "no unit": (beside({"n": AIR["n"], "v": 4.5}), "unit_mismatch", "registered in 'Cel'"),
    "words": (beside(AIR | {"vs": "cold"}), "not_numeric", "not a measurement"),
    "NaN in CBOR": (nan_in_cbor, "not_finite", "is nan"),
    "1e999": (infinity_in_json, "not_finite", "is inf"),
    "300 degrees": (beside(AIR | {"v": 300}), "impossible_value", "is 300 Cel, possible is -90 to 150"),
    "absolute zero": (beside(AIR | {"v": -273.15}), "impossible_value", "is -273.15 Cel"),
    "150 % humidity": (beside(HUMIDITY | {"v": 150}), "impossible_value", "is 150 %RH, possible is 0 to 100"),
    "1970": (beside(AIR | {"v": 4, "t": 12.5}), "impossible_time", "without a clock"),
    "2000": (beside(AIR | {"v": 4, "t": 946_684_800}), "impossible_time", "without a clock"),
    "two days ahead": (two_days_ahead, "impossible_time", "s ahead of reception"),
    "the end of time": (beside(AIR | {"v": 4, "t": 1e300}), "impossible_time", "1e+300"),
}


@pytest.mark.parametrize("case", PARTLY)
def test_bad_reading_is_a_dead_letter_and_its_neighbour_is_stored(
    field: Field, gateway: FieldGateway, case: str
) -> None:
    make, reason, words = PARTLY[case]
    edge = gateway.edge()
    bad = make(edge)
    with gateway.client() as client:
        client.listen(edge)
        began = time.monotonic()
        client.publish(bad)
        client.await_receipt(1)
        assert time.monotonic() - began < PROMPT_S
    kept = field.letter(bad, reason)
    assert (kept["body"], kept["reading_count"], kept["times"]) == (bad[1], 1, 1)
    assert words in kept["detail"]
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["produced"], account["stored"], account["dead"]) == (2, 1, 1)


WHOLLY: dict[str, tuple[Bad, str, str, int]] = {
    # what is sent, the reason kept, words of its detail, readings it stands for
    "no JSON": (lambda e: e.message(ContentType.SENML_JSON, b"{4.5", 3), "malformed", "not JSON", 3),
    "no CBOR": (lambda e: e.message(ContentType.SENML_CBOR, b"\xa2\x01", 3), "malformed", "not CBOR", 3),
    "foreign JSON": (lambda e: e.records({"temp": 4.5}, 3), "foreign_schema", "not a SenML pack", 3),
    "label to be understood": (lambda e: e.records([AIR | {"v": 1, "x_": 1}], 1), "foreign_schema", "x_", 1),
    "too many records": (
        lambda e: e.records([{"bn": AIR["n"], "v": 1}] * 5_001, 5_001),
        "oversized",
        "at most 5000",
        5_001,
    ),
    "loss of nothing": (lambda e: e.message(ContentType.LOSS, b'{"reason":"x","count":0}', 2), "foreign_schema", "", 2),
    "birth of another": (lambda e: e.birth(gateway="trial-2"), "gateway_mismatch", "a birth of trial-2", 0),
}


@pytest.mark.parametrize("case", WHOLLY)
def test_signed_nonsense_is_a_dead_letter_with_every_reading_it_claims(
    field: Field, gateway: FieldGateway, case: str
) -> None:
    make, reason, words, readings = WHOLLY[case]
    edge = gateway.edge()
    bad = make(edge)
    with gateway.client() as client:
        client.listen(edge)
        client.publish(bad, good(edge))
        client.await_receipt(2)
    kept = field.letter(bad, reason)
    assert (kept["body"], kept["reading_count"]) == (bad[1], readings)
    assert words in kept["detail"]
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["stored"], account["dead"]) == (1, readings)


def test_header_that_counts_more_than_the_payload_holds_is_told(field: Field, gateway: FieldGateway) -> None:
    edge = gateway.edge()
    bad = edge.message(ContentType.SENML_JSON, encode_json([temperature(4.0, instants(1)[0])]), 5)
    with gateway.client() as client:
        client.listen(edge)
        client.publish(bad)
        client.await_receipt(1)
    assert field.letter(bad, "malformed")["reading_count"] == 4
    assert balances(field.platform.account(edge))


# One among a thousand -------------------------------------------------------------------------------------------------


def poison(edge: Edge) -> Message:
    """Return a message that is in order in every way but one: its text holds what PostgreSQL cannot."""
    return edge.loss(3, detail="a\0b")


@pytest.mark.parametrize(("make", "reason"), [(falsely_signed, "bad_signature"), (poison, "database_refused")])
def test_one_bad_message_among_a_thousand_takes_none_of_them_along(
    field: Field, gateway: FieldGateway, make: Bad, reason: str
) -> None:
    edge = gateway.edge()
    moments = instants(1000)
    messages = [edge.readings([temperature(3.0, each)]) for each in moments[:500]]
    bad = make(edge if make is poison else replace(edge))
    messages += [bad, *(edge.readings([temperature(3.0, each)]) for each in moments[500:])]
    with gateway.client() as client:
        client.listen(edge)
        client.publish(*messages)
        published = time.monotonic()
        client.await_receipt(edge.seq)
        assert time.monotonic() - published < PROMPT_S
    stored = field.platform.rows(
        "SELECT (extract(epoch FROM observed_at) * 1000)::bigint FROM telemetry.reading_v"
        " JOIN registry.channel_v USING (channel_id) WHERE gateway = 'trial-1' AND wire_name = 'room-1/air_temperature'"
        " AND observed_at >= to_timestamp(%s::bigint / 1000.0) AND observed_at <= to_timestamp(%s::bigint / 1000.0)"
        " ORDER BY 1",
        moments[0],
        moments[-1],
    )
    assert [ms for (ms,) in stored] == moments
    assert field.letter(bad, reason)["body"] == bad[1]
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["stored"], account["dead"]) == (1000, 3 if make is poison else 0)
