"""Everything bad that can come by MQTT ends as a dead letter with its reason or is judged record by record; nothing
raises, and neighbours are unharmed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import cbor2
import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform, working
from fix_mqtt import Client, forget_session, ingest_config, own_partition
from fix_services import BrokerServer, wait_until
from fix_shared import shared_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.core.limits import MAX_MESSAGE_BYTES, MAX_RECORDS
from hanlu.core.rejected import Reason
from hanlu.core.wire.envelope import ContentType
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import Channel, Gateway, Key, Snapshot, read_snapshot
from hanlu.ingest.message import Accepted, Departed, Outcome, Refused
from hanlu.ingest.throttle import ThrottleLimits
from hanlu.ingest.writer import Writer

EDGE = Edge()
NAME = "room-1/air_temperature"
CHANNELS = {NAME: Channel.of(1, "Cel"), "room-1/door_open": Channel.of(2, "/")}


def _snapshot(*, unsigned: bool) -> Snapshot:
    key = Key(EDGE.public, NOON_MS - 1)
    return Snapshot.of(Gateway(1, EDGE.code, 0, unsigned, {EDGE.kid: key}, CHANNELS))


PLAIN, STRICT = _snapshot(unsigned=True), _snapshot(unsigned=False)


def _bare(body: bytes) -> Outcome:
    return decode(EDGE.topic(), body, NOON_MS, PLAIN)


def _signed(payload: bytes, count: int = 1, kind: ContentType = ContentType.SENML_JSON) -> Outcome:
    return decode(*Edge().message(kind, payload, count), NOON_MS, STRICT)


def _reasons(outcome: Outcome) -> set[Reason]:
    """Return why, and fail when the outcome does not account for what it claims to hold."""
    assert not isinstance(outcome, Departed)
    if isinstance(outcome, Refused):
        assert outcome.dead.detail
        return {outcome.dead.reason}
    assert isinstance(outcome, Accepted)
    assert all(each.detail for each in outcome.dead)
    if outcome.header is not None:
        assert outcome.reading_count >= outcome.header.count, "every reading the gateway counts is accounted for"
    return {each.reason for each in outcome.dead}


def _record(**fields: object) -> dict[str, object]:
    return {"n": NAME, "u": "Cel", "t": NOON_MS / 1000, "v": -18} | fields


GOOD = _record()
BOMB = b"[" * 100_000 + b"]" * 100_000
PAYLOADS = {
    "base values only": (b'[{"bn":"room-1/","bt":1750000000,"bu":"Cel","bv":-18}]', Reason.FOREIGN_SCHEMA),
    "nothing": (b"[]", Reason.FOREIGN_SCHEMA),
    "no pack": (b'[["a",1]]', Reason.FOREIGN_SCHEMA),
    "nested lists": (BOMB, None),
    "nested in a field": (b'[{"n":' + BOMB + b"}]", None),
    "nested objects": (b'[{"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}]", None),
    "half a pack": (b'[{"n":"room-1/air_temperature","u":"Cel","v":', Reason.MALFORMED),
    "NaN": (b'[{"n":"room-1/air_temperature","u":"Cel","t":1750000000,"v":NaN}]', Reason.MALFORMED),
    "Infinity": (b'[{"n":"room-1/air_temperature","u":"Cel","t":1750000000,"v":-Infinity}]', Reason.MALFORMED),
    "1e999": (b'[{"n":"room-1/air_temperature","u":"Cel","t":1750000000,"v":1e999}]', Reason.NOT_FINITE),
    "time of 1e999": (b'[{"n":"room-1/air_temperature","u":"Cel","t":1e999,"v":1}]', Reason.IMPOSSIBLE_TIME),
    "huge whole number": (
        b'[{"n":"room-1/air_temperature","u":"Cel","t":1750000000,"v":1' + b"0" * 4_400 + b"}]",
        None,
    ),
    "time of 1970": (json.dumps([_record(t=2**28 + 1)]).encode(), Reason.IMPOSSIBLE_TIME),
    "time of 2100": (json.dumps([_record(t=4_102_444_800)]).encode(), Reason.IMPOSSIBLE_TIME),
    "a text": (json.dumps([_record(v=None, vs="warm")]).encode(), Reason.NOT_NUMERIC),
    "invalid UTF-8": (b'[{"n":"\xff\xfe","v":1}]', None),
    "lone surrogate": (b'[{"n":"\\ud800","v":1,"t":1750000000}]', Reason.MALFORMED),
    "name with a wildcard": (json.dumps([_record(n="room-1/#")]).encode(), Reason.MALFORMED),
    "name of NUL": (json.dumps([_record(n="room-1/\0")]).encode(), Reason.MALFORMED),
    "unknown unit": (json.dumps([_record(u="Fahr")]).encode(), Reason.UNIT_MISMATCH),
    "colder than can be": (json.dumps([_record(v=-273)]).encode(), Reason.IMPOSSIBLE_VALUE),
    "quality of 9": (json.dumps([_record(hq=9)]).encode(), Reason.MALFORMED),
    "version 11": (json.dumps([_record(bver=11)]).encode(), Reason.FOREIGN_SCHEMA),
    "label to be understood": (json.dumps([_record(zz_=1)]).encode(), Reason.FOREIGN_SCHEMA),
    "too many records": (json.dumps([_record(n=f"room-{i}/x") for i in range(10_000)])[:].encode(), None),
}

WHOLE = {"no pack", "nested lists", "nested in a field", "nested objects", "half a pack", "NaN", "Infinity", "nothing",
         "huge whole number", "invalid UTF-8", "version 11", "label to be understood", "too many records"}  # fmt: skip
"""Faults of the pack rather than of a record in it."""


class TestPayloads:
    @pytest.mark.parametrize("name", PAYLOADS)
    @pytest.mark.parametrize("signed", [False, True], ids=["bare", "signed"])
    def test_bad_payload_stores_nothing_and_says_why(self, name: str, signed: bool) -> None:
        payload, reason = PAYLOADS[name]
        outcome = _signed(payload) if signed else _bare(payload)
        found = _reasons(outcome)
        assert found
        if reason is not None and len(payload) < MAX_MESSAGE_BYTES // 2:
            assert reason in found
        assert not (isinstance(outcome, Accepted) and outcome.values)

    @pytest.mark.parametrize("name", PAYLOADS)
    def test_good_record_beside_a_bad_one_is_stored(self, name: str) -> None:
        payload, _ = PAYLOADS[name]
        outcome = _bare(b"[" + json.dumps(GOOD).encode() + b"," + payload[1:])
        if isinstance(outcome, Accepted):
            assert -18 in outcome.values
        else:
            assert name in WHOLE, "only what cannot be read at all takes its neighbours along"

    def test_pack_of_most_records_is_taken_and_one_more_is_not(self) -> None:
        most: list[dict[str, object]] = [{"bn": NAME, "bu": "Cel", "bt": NOON_MS / 1000, "v": 1}]
        most += [{"t": -i, "v": 1} for i in range(1, MAX_RECORDS)]
        outcome = _bare(json.dumps(most).encode())
        assert isinstance(outcome, Accepted)
        assert len(outcome.values) == MAX_RECORDS
        assert _reasons(_bare(json.dumps([*most, {"v": 1}]).encode())) == {Reason.OVERSIZED}

    def test_ten_thousand_channels_nobody_knows_are_one_letter_that_counts_them(self) -> None:
        records = [{"n": f"a/{i}", "v": 1, "t": NOON_MS // 1000} for i in range(MAX_RECORDS)]
        outcome = _signed(json.dumps(records).encode(), MAX_RECORDS)
        assert isinstance(outcome, Accepted)
        assert [(each.reason, each.reading_count) for each in outcome.dead] == [(Reason.UNKNOWN_CHANNEL, MAX_RECORDS)]
        assert len(outcome.dead[0].detail) < 2_000

    def test_megabyte_is_refused_with_its_beginning_kept(self) -> None:
        outcome = _bare(b"[" + b" " * (1 << 20))
        assert isinstance(outcome, Refused)
        assert (outcome.dead.reason, len(outcome.body)) == (Reason.OVERSIZED, MAX_MESSAGE_BYTES)

    def test_later_of_two_equal_keys_counts_and_nothing_is_counted_twice(self) -> None:
        outcome = _bare(b'[{"n":"room-1/air_temperature","u":"Cel","t":1750000000,"v":-18,"v":-17}]')
        assert isinstance(outcome, Accepted)
        assert len(outcome.values) + outcome.dead_count == 1

    @pytest.mark.parametrize("records", [[GOOD], [GOOD, _record(t=NOON_MS / 1000 - 1)]])
    def test_cbor_cut_at_any_byte_is_refused(self, records: list[dict[str, object]]) -> None:
        labels = {"n": 0, "u": 1, "v": 2, "t": 6}
        whole = cbor2.dumps([{labels[key]: value for key, value in each.items()} for each in records])
        assert isinstance(_bare(whole), Accepted)
        for end in range(len(whole)):
            assert _reasons(_bare(whole[:end])) <= {Reason.MALFORMED, Reason.FOREIGN_SCHEMA}, end
            cut = _signed(whole[:end], len(records), ContentType.SENML_CBOR)
            assert isinstance(cut, Accepted)
            assert cut.dead_count == len(records)

    def test_signed_message_cut_at_any_byte_is_refused(self) -> None:
        topic, whole = Edge().readings([temperature(-18)])
        assert isinstance(decode(topic, whole, NOON_MS, STRICT), Accepted)
        for end in range(len(whole)):
            outcome = decode(topic, whole[:end], NOON_MS, PLAIN)
            assert isinstance(outcome, Refused)
            assert outcome.dead.reason in {Reason.MALFORMED, Reason.FOREIGN_SCHEMA, Reason.BAD_SIGNATURE}

    @pytest.mark.parametrize(
        "topic",
        ["", "/", "#", "+", "hanlu/1/00/+/live", "hanlu/1/00/#", "hanlu/1/00/gw-1/live/", "hanlu/1/64/gw-1/live",
         "hanlu/2/00/gw-1/live", "hanlu/1/00/GW-1/live", "hanlu/1/00/gw-1/receipt", "hanlu/1/00/gw-1/command",
         "hanlu/1/00/gw-1\0/live", "hanlu/1/٠٠/gw-1/live", "$SYS/broker", "x" * 65_535],
    )  # fmt: skip
    def test_topic_that_is_none_of_ours_is_refused(self, topic: str) -> None:
        assert _reasons(decode(topic, json.dumps([GOOD]).encode(), NOON_MS, PLAIN)) == {Reason.BAD_TOPIC}


@pytest.mark.parametrize("kind", ["json", "hex", "any"])
def test_samples_of_all_makes_are_taken_or_refused_and_never_raise(kind: str) -> None:
    suffixes = {"json": {".json"}, "hex": {".hex"}, "any": None}[kind]
    files = [path for path in sorted(shared_dir("samples").rglob("*")) if path.is_file()]
    files = [path for path in files if suffixes is None or path.suffix in suffixes][:400]
    assert files
    for path in files:
        body = path.read_bytes()[: MAX_MESSAGE_BYTES + 1]
        _reasons(_bare(body))
        _reasons(_signed(body))
        _reasons(_signed(body, kind=ContentType.SENML_CBOR))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELD = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "hq", "x_"]
)
RECORD = st.dictionaries(FIELD, JSON | st.sampled_from([NAME, "Cel", NOON_MS / 1000, 1, -18.5, 0]), max_size=6)


class TestFuzz:
    @given(st.binary(max_size=400), st.sampled_from(list(ContentType)))
    @settings(max_examples=300, deadline=None)
    def test_no_bytes_raise_bare_or_signed(self, payload: bytes, kind: ContentType) -> None:
        _reasons(_bare(payload))
        _reasons(_signed(payload, kind=kind))

    @given(JSON | st.lists(RECORD, max_size=6))
    @settings(max_examples=500, deadline=None)
    def test_no_json_raises(self, value: object) -> None:
        payload = json.dumps(value).encode()
        _reasons(_bare(payload))
        for kind in ContentType:
            _reasons(_signed(payload, kind=kind))

    @given(st.lists(RECORD | JSON, max_size=6))
    @settings(max_examples=300, deadline=None)
    def test_no_cbor_raises(self, value: object) -> None:
        payload = cbor2.dumps(value)
        _reasons(_bare(payload))
        _reasons(_signed(payload, kind=ContentType.SENML_CBOR))

    @given(st.lists(RECORD, max_size=6))
    @settings(max_examples=200, deadline=None)
    def test_good_record_is_stored_whatever_stands_behind_it(self, records: list[dict[str, object]]) -> None:
        outcome = _bare(json.dumps([GOOD, *records]).encode())
        if isinstance(outcome, Accepted):
            assert -18 in outcome.values
        else:
            assert isinstance(outcome, Refused), "then the pack is no SenML as a whole"
            assert outcome.dead.reason in {Reason.FOREIGN_SCHEMA, Reason.MALFORMED}


@pytest.mark.postgres
def test_every_bad_payload_is_on_record_with_its_bytes_and_the_account_balances(one_platform: Platform) -> None:
    edge = Edge()
    one_platform.register(edge)
    writer = Writer(one_platform.url)
    snapshot = read_snapshot(writer.connection)
    messages: list[Message] = []
    for payload, _ in PAYLOADS.values():
        messages.append((edge.topic(), payload))
        if len(payload) < MAX_MESSAGE_BYTES - 1_000:
            messages.append(edge.message(ContentType.SENML_JSON, payload, 1))
        messages.append(edge.readings([temperature(-18, NOON_MS - len(messages) * 1000)]))
    writer.commit([decode(*message, NOON_MS, snapshot) for message in messages])
    writer.close()
    account = one_platform.account(edge)
    assert account["stored"] == len(PAYLOADS)
    # A pack with more in it than its header counts is kept whole and told, so there may be more than was claimed.
    assert account["produced"] <= account["stored"] + account["dead"]
    assert account["watermark"] == account["highest"] == edge.seq
    kept = one_platform.rows("SELECT reason, octet_length(body) FROM telemetry.dead_letter")
    assert len(kept) >= 2 * len(PAYLOADS) - 4
    assert all(size for _, size in kept)
    one_platform.check()


@pytest.fixture
def config(broker: BrokerServer) -> Iterator[IngestConfig]:
    limits = ThrottleLimits(messages=5_000, bytes=16e6, refused=50, burst_s=4)
    config = ingest_config(broker, own_partition(), throttle=limits)
    yield config
    forget_session(broker, config)


@pytest.mark.broker
@pytest.mark.postgres
class TestFlood:
    def test_flood_of_nonsense_is_throttled_counted_whole_and_its_neighbour_stays_quick(
        self, broker: BrokerServer, config: IngestConfig, one_platform: Platform
    ) -> None:
        (partition,) = config.partitions
        quiet, loud = Edge("gw-1", partition), Edge("gw-2", partition)
        one_platform.register(quiet)
        nonsense = [(loud.topic(), b"\xff%06d" % number) for number in range(6_000)]
        waits: list[float] = []
        with working(config, one_platform), Client(broker) as client, Client(broker, "gw-2") as other:
            client.listen(quiet)
            for message in nonsense:
                other._client.publish(*message, qos=1)
            for _ in range(40):
                began = time.monotonic()
                client.publish(quiet.readings([temperature(-18, time.time_ns() // 1_000_000)]))
                client.await_receipt(quiet.seq)
                waits.append(time.monotonic() - began)
            wait_until(lambda: sum(one_platform.dead_letters().values()) == len(nonsense), "all of the flood", 60)
        counts = one_platform.dead_letters()
        assert counts["throttled"] > 0
        assert one_platform.account(quiet)["stored"] == 40
        assert sorted(waits)[len(waits) // 2] < 2.0, waits
        one_platform.check()

    def test_signed_flood_is_left_with_its_gateway_which_sends_it_again(
        self, broker: BrokerServer, config: IngestConfig, one_platform: Platform
    ) -> None:
        (partition,) = config.partitions
        edge = Edge("gw-1", partition)
        one_platform.register(edge)
        low = config.model_copy(update={"throttle": ThrottleLimits(messages=50, bytes=1e6, refused=5, burst_s=1)})
        now = time.time_ns() // 1_000_000
        messages = [edge.readings([temperature(-18, now - i)]) for i in range(300)]
        with working(low, one_platform), Client(broker) as client:
            client.listen(edge)
            for attempt in range(100):
                committed = max((each["committed"] for each in client.receipts), default=0)
                if committed == edge.seq:
                    break
                # The flood once; then, as a gateway does, again what has no receipt, a window at a time.
                client.publish(*(messages if attempt == 0 else messages[committed : committed + 40]))
                time.sleep(0.3)
        assert one_platform.account(edge) | {"stored": 300, "watermark": 300} == one_platform.account(edge)
        assert one_platform.dead_letters() == {}
        one_platform.check()
