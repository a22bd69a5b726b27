"""Bare messages share arrival rows and count once in whatever batches they come; qualities are stored with readings."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence

import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform

from hanlu.core.reading import Quality, Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.topics import Lane
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres

START_MS = NOON_MS - 3_600_000


class Pen:
    """A writer for bare messages of one gateway."""

    def __init__(self, platform: Platform) -> None:
        self.writer = Writer(platform.url)
        self.snapshot = read_snapshot(self.writer.connection)
        self.edge = Edge()

    def bare(self, *readings: Reading, lane: Lane = Lane.LIVE) -> Message:
        return self.edge.topic(lane), encode_json(readings)

    def write(self, messages: Sequence[Message], now_ms: int = NOON_MS) -> None:
        self.writer.commit([decode(*message, now_ms, self.snapshot) for message in messages])


@pytest.fixture
def pen(platform: Platform) -> Iterator[Pen]:
    platform.register(Edge(), unsigned=True)
    pen = Pen(platform)
    yield pen
    pen.writer.close()


def _messages(pen: Pen, first: int, last: int) -> list[Message]:
    return [pen.bare(temperature(-18 + n / 8, START_MS + n * 1000)) for n in range(first, last)]


@pytest.mark.parametrize("count", [3, 200])
def test_messages_of_one_moment_share_a_row_named_by_their_digests(platform: Platform, pen: Pen, count: int) -> None:
    messages = _messages(pen, 0, count)
    pen.write(messages)
    names = b"".join(hashlib.sha256(payload).digest() for _, payload in messages)
    rows = platform.rows("SELECT messages, stored, reading_count, digest, observed_ms FROM telemetry.arrival")
    times = [START_MS + n * 1000 for n in range(count)]
    assert rows == [(count, count, count, hashlib.sha256(names).digest(), times)]
    platform.check()


@pytest.mark.parametrize("count", [3, 200])
def test_same_batch_again_leaves_no_trace(platform: Platform, pen: Pen, count: int) -> None:
    messages = _messages(pen, 0, count)
    pen.write(messages)
    before = platform.rows("SELECT * FROM telemetry.arrival")
    pen.write(messages)  # the answer to the COMMIT was lost
    pen.write(messages, NOON_MS + 5_000)  # the broker delivers again
    pen.write([messages[0], *messages])
    assert platform.rows("SELECT * FROM telemetry.arrival") == before
    assert platform.dead_letters() == {}
    platform.check()


@pytest.mark.parametrize("count", [4, 200])
def test_overlapping_batches_store_the_rest_only(platform: Platform, pen: Pen, count: int) -> None:
    messages = _messages(pen, 0, 2 * count)
    pen.write(messages[:count])
    pen.write(messages[count // 2 : 3 * count // 2], NOON_MS + 1)
    pen.write(messages, NOON_MS + 2)
    assert platform.rows("SELECT messages, stored, duplicate FROM telemetry.arrival ORDER BY arrival_id") == [
        (count, count, 0), (count // 2, count // 2, 0), (count // 2, count // 2, 0),
    ]  # fmt: skip
    assert platform.one("SELECT count(*) FROM telemetry.reading") == 2 * count
    platform.check()


def test_any_order_and_repetition_of_batches_ends_at_the_same_record(platform: Platform, pen: Pen) -> None:
    chance = random.Random(11)
    messages = _messages(pen, 0, 150)
    for now in range(12):
        pen.write(chance.choices(messages, k=chance.randrange(1, 90)), NOON_MS + now)
    pen.write(messages, NOON_MS + 99)
    assert platform.one("SELECT count(*) FROM telemetry.reading") == 150
    assert platform.one("SELECT sum(stored) FROM telemetry.arrival") == 150
    platform.check()


def test_lanes_and_moments_stay_apart(platform: Platform, pen: Pen) -> None:
    live, backlog = (
        pen.bare(temperature(-18, START_MS + n), lane=lane) for n, lane in enumerate((Lane.LIVE, Lane.BACKLOG))
    )
    outcomes = [decode(*live, NOON_MS, pen.snapshot), decode(*backlog, NOON_MS, pen.snapshot)]
    outcomes += [decode(*pen.bare(temperature(-18, START_MS + 9)), NOON_MS + 1, pen.snapshot)]
    pen.writer.commit(outcomes)
    assert platform.rows("SELECT lane, messages FROM telemetry.arrival ORDER BY arrival_id") == [
        ("live", 1), ("backlog", 1), ("live", 1),
    ]  # fmt: skip
    assert platform.one("SELECT digest FROM telemetry.arrival LIMIT 1") == hashlib.sha256(live[1]).digest()


@pytest.mark.parametrize("count", [2, 200])
def test_message_with_a_fault_has_its_own_row_and_its_bytes(platform: Platform, pen: Pen, count: int) -> None:
    good = _messages(pen, 0, count)
    bad = pen.bare(temperature(-18, START_MS - 1), temperature(500, START_MS - 1, metric="relative_humidity"))
    for _ in range(2):
        pen.write([*good[:1], bad, *good[1:]])
    assert platform.rows("SELECT messages, stored, dead FROM telemetry.arrival ORDER BY stored, dead DESC") == [
        (1, 1, 1), (count, count, 0),
    ]  # fmt: skip
    assert platform.rows("SELECT body, times FROM telemetry.dead_letter") == [(bad[1], 1)]
    platform.check()


@pytest.mark.parametrize("count", [2, 200])
def test_other_value_for_the_same_moment_is_told_once_however_often_it_comes(
    platform: Platform, pen: Pen, count: int
) -> None:
    pen.write(_messages(pen, 0, count))
    other = pen.bare(temperature(7, START_MS), temperature(-18, START_MS - 1))
    for now in range(3):
        pen.write([*_messages(pen, 0, count), other, other], NOON_MS + now)
    assert platform.rows("SELECT reason, body, times FROM telemetry.dead_letter") == [
        ("conflicting_value", other[1], 1)
    ]
    assert platform.rows("SELECT stored, dead FROM telemetry.arrival ORDER BY arrival_id") == [(count, 0), (1, 1)]
    platform.check()


def test_readings_removed_by_retention_are_stored_again_when_they_come_again(platform: Platform, pen: Pen) -> None:
    (message,) = _messages(pen, 0, 1)
    other = pen.bare(temperature(7, START_MS), temperature(-18, START_MS - 1))
    pen.write([message, other])
    platform.execute("DELETE FROM telemetry.reading")
    pen.write([message])
    pen.write([other])
    assert platform.one("SELECT count(*) FROM telemetry.reading") == 2
    assert platform.one("SELECT sum(stored) FROM telemetry.arrival") == 4


class TestQuality:
    @pytest.mark.parametrize("count", [3, 200])
    @pytest.mark.parametrize("signed", [False, True])
    def test_quality_the_edge_gave_is_stored_and_follows_the_arrival(
        self, platform: Platform, pen: Pen, count: int, signed: bool
    ) -> None:
        readings = [temperature(-18, START_MS + n)._replace(quality=Quality(n % 3)) for n in range(count)]
        good = [temperature(-18, START_MS - 1 - n) for n in range(count)]
        if signed:
            pen.write([pen.edge.readings(readings), pen.edge.readings(good)])
        else:
            pen.write([pen.bare(*readings, lane=Lane.BACKLOG), pen.bare(*good)])
        expected = [n % 3 for n in range(count)]
        query = "SELECT quality FROM telemetry.reading WHERE observed_at >= to_timestamp(%s) ORDER BY observed_at"
        assert [row[0] for row in platform.rows(query, START_MS / 1000)] == expected
        assert platform.one("SELECT count(*) FROM telemetry.reading WHERE quality > 0") == sum(map(bool, expected))
        feed = "SELECT qualities FROM telemetry.arrival_feed ORDER BY txid, arrival_id"
        assert platform.rows(feed) == [(expected,), (None,)]
        assert platform.one("SELECT quality FROM telemetry.latest") == expected[-1]
        pen.write([pen.bare(*(each._replace(quality=Quality.BAD) for each in good), temperature(-1, START_MS - 9_999))])
        assert platform.rows(feed)[2:] == [(None,)], "what is on record keeps its quality; only what is new follows"
        platform.check()

    def test_quality_beyond_the_known_is_refused(self, platform: Platform, pen: Pen) -> None:
        records = [{"bt": START_MS / 1000, "n": "room-1/air_temperature", "u": "Cel", "v": -18, "hq": 3}]
        pen.write([(pen.edge.topic(), json.dumps(records).encode())])
        assert platform.dead_letters() == {"malformed": 1}
