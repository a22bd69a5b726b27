"""What a batch leaves in the database, on PostgreSQL with TimescaleDB and without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import cbor2
import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform

from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import ContentType, digest
from hanlu.core.wire.topics import Lane
from hanlu.ingest.account import Standing
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.message import Accepted, Left
from hanlu.ingest.writer import Committed, Writer

pytestmark = pytest.mark.postgres


class Pen:
    """A writer with the platform's snapshot: topics and payloads in, committed batches out."""

    def __init__(self, platform: Platform) -> None:
        self.writer = Writer(platform.url)
        self.snapshot = read_snapshot(self.writer.connection)

    def write(self, *messages: Message, now_ms: int = NOON_MS) -> list[Committed]:
        return self.writer.commit([decode(*message, now_ms, self.snapshot) for message in messages])


@pytest.fixture
def edge(platform: Platform) -> Edge:
    edge = Edge()
    platform.register(edge, ("room-1", "room-2"))
    return edge


@pytest.fixture
def pen(platform: Platform, edge: Edge) -> Iterator[Pen]:
    pen = Pen(platform)
    yield pen
    pen.writer.close()


def _series(count: int, start_ms: int = NOON_MS - 3_600_000, value: float = -18.0) -> Sequence[object]:
    return [temperature(value, start_ms + i * 1000) for i in range(count)]


class TestReadings:
    @pytest.mark.parametrize("count", [1, 63, 64, 1_000])
    def test_batch_of_any_size_is_stored_whole(self, platform: Platform, edge: Edge, pen: Pen, count: int) -> None:
        (committed,) = pen.write(edge.readings(_series(count)))
        assert committed.standing == Standing(1)
        assert (committed.topic.gateway, committed.epoch) == ("gw-1", edge.epoch)
        assert platform.one("SELECT count(*) FROM telemetry.reading") == count
        assert platform.account(edge)["stored"] == platform.account(edge)["produced"] == count
        platform.check()

    @pytest.mark.parametrize("count", [5, 500])
    def test_reading_delivered_again_in_another_message_counts_as_duplicate(
        self, platform: Platform, edge: Edge, pen: Pen, count: int
    ) -> None:
        pen.write(edge.readings(_series(count)))
        pen.write(edge.readings(_series(count + 2)))
        account = platform.account(edge)
        assert (account["stored"], account["duplicate"], account["dead"]) == (count + 2, count, 0)
        platform.check()

    @pytest.mark.parametrize("count", [5, 500])
    def test_repetitions_inside_one_batch_count_once(
        self, platform: Platform, edge: Edge, pen: Pen, count: int
    ) -> None:
        pen.write(edge.readings(_series(count)), edge.readings(_series(count)))
        assert platform.account(edge) | {"stored": count, "duplicate": count} == platform.account(edge)
        platform.check()

    @pytest.mark.parametrize("count", [5, 500])
    def test_other_value_for_the_same_moment_is_a_dead_letter_and_the_first_stays(
        self, platform: Platform, edge: Edge, pen: Pen, count: int
    ) -> None:
        pen.write(edge.readings(_series(count)))
        pen.write(edge.readings([temperature(-17.0, NOON_MS - 3_600_000), *_series(count)[1:], temperature(-18)]))
        account = platform.account(edge)
        assert (account["stored"], account["duplicate"], account["dead"]) == (count + 1, count - 1, 1)
        assert platform.rows("SELECT reason, reading_count FROM telemetry.dead_letter") == [("conflicting_value", 1)]
        assert platform.one("SELECT count(*) FROM telemetry.reading WHERE value <> -18") == 0
        platform.check()

    def test_milliseconds_and_values_survive_exactly(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        odd = [temperature(-18.0 + i / 3, NOON_MS - 7 * i - 1) for i in range(200)]
        pen.write(edge.readings(odd))
        pen.write(edge.readings(_series(3)))
        stored = platform.rows(
            "SELECT (extract(epoch FROM observed_at) * 1000)::bigint, value FROM telemetry.reading"
            " WHERE observed_at > to_timestamp(%s) ORDER BY observed_at DESC",
            (NOON_MS - 2000) / 1000,
        )
        assert stored == [(each.observed_ms, each.value) for each in odd]

    def test_late_reading_does_not_turn_the_latest_value_back(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        pen.write(edge.readings([temperature(-18, NOON_MS)]))
        pen.write(edge.readings([temperature(-11, NOON_MS - 60_000)], Lane.BACKLOG))
        assert platform.rows("SELECT value FROM telemetry.latest") == [(-18.0,)]
        platform.check()


class TestFailover:
    def test_message_the_next_server_lacks_is_stored_though_it_was_committed_before(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        message = edge.readings(_series(3))
        pen.write(message)
        for table in ("arrival", "reading", "latest", "gateway_epoch", "gateway_link"):
            platform.execute(f"DELETE FROM telemetry.{table}")
        pen.writer.connection.close()
        pen.write(message)
        account = platform.account(edge)
        assert (account["watermark"], account["stored"], account["redelivered"]) == (1, 3, 0)
        platform.check()


class TestThrottled:
    def test_what_is_left_out_is_counted_for_known_gateways_and_is_nothing_else(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        left = [Left("gw-1", NOON_MS + i, 9) for i in range(3)]
        invented = [Left(code, NOON_MS, 9) for code in ("no-such", "", "\0", "../x")]
        good = decode(*edge.readings(_series(2)), NOON_MS, pen.snapshot)
        pen.writer.commit([*left, *invented, good])
        pen.writer.commit([Left("gw-1", NOON_MS - 5, 9)])
        assert platform.rows(
            "SELECT messages, (extract(epoch FROM since) * 1000)::bigint, (extract(epoch FROM last_at) * 1000)::bigint"
            " FROM telemetry.throttled_v"
        ) == [(4, NOON_MS, NOON_MS + 2)]
        assert platform.account(edge)["stored"] == 2
        assert platform.rows("SELECT FROM telemetry.dead_letter") == []
        platform.check()


class TestAccounts:
    def test_message_delivered_again_changes_nothing_but_its_count(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        messages = [edge.birth(), edge.readings(_series(3)), edge.loss(2), edge.event(b"{}")]
        pen.write(*messages)
        before = platform.account(edge)
        (again,) = pen.write(*messages, *messages)
        assert again.standing == Standing(4)
        assert platform.account(edge) == before | {"redelivered": 8}
        assert platform.one("SELECT count(*) FROM telemetry.arrival") == 4
        assert platform.one("SELECT count(*) FROM telemetry.loss") == 1
        platform.check()

    def test_everything_produced_is_accounted_for(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        mixed = [temperature(-18), temperature(-200), temperature(-19, NOON_MS + 1, device="room-9")]
        pen.write(edge.readings(mixed), edge.loss(4), edge.readings([temperature(-18)]))
        account = platform.account(edge)
        assert account["produced"] == 3 + 4 + 1
        assert account | {"stored": 1, "dead": 2, "lost": 4, "duplicate": 1} == account
        assert platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0
        assert platform.dead_letters() == {"impossible_value": 1, "unknown_channel": 1}
        platform.check()

    def test_loss_of_a_source_counts_once_however_often_it_is_declared(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        room = {"source": "room.csv 2-101", "channel": "room-1/air_temperature"}
        pen.write(edge.loss(3, **room), edge.readings(_series(2)), edge.loss(3, **room))  # twice in one batch
        pen.write(edge.loss(3, **room), edge.loss(5, **room | {"channel": "room-2/air_temperature"}))
        pen.write(edge.loss(1, **room | {"reason": "not_a_number"}), edge.loss(2, source="room.csv 2-101"))
        pen.write(edge.loss(2, source="room.csv 2-101"))
        account = platform.account(edge)
        assert account["produced"] == 3 * 3 + 2 + 5 + 1 + 2 * 2
        assert account | {"stored": 2, "lost": 3 + 5 + 1 + 2, "duplicate": 2 * 3 + 2, "dead": 0} == account
        counts = platform.rows("SELECT reason, channel, reading_count FROM telemetry.loss ORDER BY loss_id")
        assert counts == [
            ("no_value", "room-1/air_temperature", 3),
            ("no_value", "room-2/air_temperature", 5),
            ("not_a_number", "room-1/air_temperature", 1),
            ("no_value", None, 2),
        ]
        assert platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0
        platform.check()

    def test_loss_without_a_source_counts_each_time(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        pen.write(edge.loss(3), edge.loss(3))
        pen.write(edge.loss(3))
        assert platform.account(edge)["lost"] == 9
        assert platform.one("SELECT count(*) FROM telemetry.loss") == 3
        platform.check()

    def test_loss_that_names_its_source_counts_once_however_often_it_is_declared(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        named = {"source": "export.csv", "channel": "room-1/air_temperature"}
        pen.write(edge.loss(4, **named), edge.loss(4, **named))
        pen.write(edge.loss(4, **named), edge.loss(4, source="export.csv"), edge.loss(4), edge.loss(4))
        account = platform.account(edge)
        assert (account["produced"], account["lost"], account["duplicate"]) == (24, 16, 8)
        assert platform.one("SELECT sum(reading_count) FROM telemetry.loss") == 16
        assert platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0
        platform.check()

    def test_missing_messages_are_gaps_until_they_come(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        messages = [edge.readings([temperature(-18, NOON_MS - i)]) for i in range(9)]
        (committed,) = pen.write(messages[0], messages[3], messages[8])
        assert committed.standing == Standing(9, ((2, 3), (5, 8)))
        gaps = "SELECT from_seq, to_seq FROM telemetry.gap ORDER BY 1"
        assert platform.rows(gaps) == [(2, 3), (5, 8)]
        assert platform.one("SELECT outstanding FROM telemetry.gateway_account") == 6
        since = platform.rows("SELECT since FROM telemetry.gap WHERE from_seq = 5")
        (committed,) = pen.write(messages[6], messages[1])
        assert committed.standing == Standing(9, ((3, 3), (5, 6), (8, 8)))
        assert platform.rows("SELECT since FROM telemetry.gap WHERE from_seq = 8") == since
        platform.check()
        (committed,) = pen.write(*messages)
        assert committed.standing == Standing(9)
        assert platform.rows(gaps) == []
        assert platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0
        platform.check()

    def test_lost_spool_begins_a_new_epoch_and_both_accounts_stay(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        pen.write(edge.readings(_series(3)), edge.readings(_series(5)))
        reborn = Edge(epoch=bytes(16))
        committed = pen.write(reborn.readings([temperature(-18)]))
        assert [(each.epoch, each.standing) for each in committed] == [(bytes(16), Standing(1))]
        assert platform.account(edge)["watermark"] == 2
        assert platform.account(reborn)["watermark"] == 1
        assert platform.one("SELECT produced FROM telemetry.gateway_account") == 9
        platform.check()


class TestChain:
    def test_exchanged_predecessor_is_told_and_nothing_is_lost(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        first = edge.readings([temperature(-18)])
        edge.prev = bytes(31) + b"x"
        second = edge.readings([temperature(-19, NOON_MS + 1)])
        third = edge.readings([temperature(-20, NOON_MS + 2)])
        pen.write(first)
        pen.write(second, third)
        assert platform.rows("SELECT seq, evidence FROM telemetry.arrival ORDER BY seq") == [(1, 1), (2, 0), (3, 1)]
        assert platform.rows("SELECT reason, reading_count FROM telemetry.dead_letter") == [("broken_chain", 0)]
        assert platform.account(edge)["stored"] == 3
        platform.check()

    def test_break_is_seen_also_when_the_successor_came_first(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        first = edge.readings([temperature(-18)])
        edge.prev = bytes(31) + b"x"
        pen.write(edge.readings([temperature(-19, NOON_MS + 1)]))
        pen.write(first)
        assert platform.dead_letters() == {"broken_chain": 1}
        platform.check()

    def test_copied_spool_loses_no_reading_and_the_fork_is_told(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        twin = Edge()
        first, second = (edge.readings([temperature(-18, NOON_MS + place)]) for place in range(2))
        pen.write(first, second)
        fork = twin.readings([temperature(-25, NOON_MS + 2)])
        (committed,) = pen.write(fork)
        assert committed.digest == digest(second[1])
        assert committed.standing == Standing(2), "the receipt tells the gateway that its numbers are taken"
        assert platform.one("SELECT count(*) FROM telemetry.reading") == 3
        assert platform.rows("SELECT evidence, epoch FROM telemetry.arrival ORDER BY arrival_id DESC LIMIT 1") == [
            (0, None)
        ]
        assert platform.dead_letters() == {"broken_chain": 1}
        pen.write(fork)
        assert platform.one("SELECT count(*) FROM telemetry.arrival") == 3
        assert platform.account(edge) | {"stored": 2, "highest": 2, "redelivered": 0} == platform.account(edge)
        platform.check()

    def test_receipt_names_the_last_message_before_a_gap_also_after_a_restart(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        first, second, third, fourth = (edge.readings([temperature(-18, NOON_MS + place)]) for place in range(4))
        assert [each.digest for each in pen.write(first, third)] == [digest(first[1])]
        again = Pen(platform)
        assert [each.digest for each in again.write(fourth)] == [digest(first[1])]
        assert [each.digest for each in again.write(second)] == [digest(fourth[1])]
        again.writer.close()

    def test_spool_of_which_only_later_messages_arrived_has_no_last_message(self, edge: Edge, pen: Pen) -> None:
        _, second = (edge.readings([temperature(-18, NOON_MS + place)]) for place in range(2))
        assert [each.digest for each in pen.write(second)] == [b""]


class TestPlainDevices:
    def test_bare_pack_is_stored_once_as_unsigned_evidence(self, platform: Platform, pen: Pen) -> None:
        plain = Edge("gw-plain", 3)
        platform.execute("DELETE FROM registry.gateway_key")  # the key of one gateway only
        platform.register(plain, unsigned=True)
        pen.snapshot = read_snapshot(pen.writer.connection)
        message = plain.topic(), encode_json(_series(100))
        assert pen.write(message, message) == []
        assert pen.write(message) == []
        assert platform.rows("SELECT evidence, epoch, stored FROM telemetry.arrival") == [(0, None, 100)]
        platform.check()


class TestDeadLetters:
    def test_same_garbage_again_only_counts_up(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        garbage = edge.topic(), b"\xff" * 40
        pen.write(garbage, garbage, ("hanlu/1/00/gw-9/live", b"x"))
        pen.write(garbage)
        assert platform.dead_letters() == {"malformed": 3, "unknown_gateway": 1}
        rows = platform.rows("SELECT topic, gateway, body, arrival_id FROM telemetry.dead_letter WHERE times > 1")
        assert rows == [(edge.topic(), "gw-1", b"\xff" * 40, None)]

    def test_foreign_topic_of_any_length_and_content_is_kept(self, platform: Platform, pen: Pen) -> None:
        pen.write(("x" * 60_000, b"a"), ("nul\0l", b"b"), ("\ud800", b"c"))
        assert platform.dead_letters() == {"bad_topic": 3}

    def test_refused_part_carries_the_bytes_of_its_message(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        message = edge.readings([temperature(-18), temperature(500), temperature(600)])
        pen.write(message)
        rows = platform.rows(
            "SELECT d.body, d.reading_count, a.seq FROM telemetry.dead_letter AS d"
            " JOIN telemetry.arrival AS a USING (arrival_id)"
        )
        assert rows == [(message[1], 2, 1)]

    @pytest.mark.parametrize("place", [0, 499, 999])
    def test_one_message_the_database_refuses_takes_no_neighbour_along(
        self, platform: Platform, edge: Edge, pen: Pen, place: int
    ) -> None:
        messages = [edge.readings([temperature(-18, NOON_MS - i)]) for i in range(place)]
        poison = edge.message(ContentType.LOSS, json.dumps({"reason": "x", "count": 5, "detail": "a\0b"}).encode(), 5)
        messages += [poison, *(edge.readings([temperature(-18, NOON_MS + 1 + i)]) for i in range(999 - place))]
        (committed,) = pen.write(*messages)
        assert committed.standing == Standing(1_000)
        account = platform.account(edge)
        assert (account["stored"], account["dead"], account["lost"]) == (999, 5, 0)
        assert platform.rows("SELECT reason, reading_count, body FROM telemetry.dead_letter") == [
            ("database_refused", 5, poison[1])
        ]
        platform.check()

    def test_words_of_a_dead_letter_are_bounded(self, platform: Platform, pen: Pen) -> None:
        header = cbor2.dumps({1: "x" * 200_000})
        pen.write(("hanlu/1/00/gw-1/live", cbor2.dumps(cbor2.CBORTag(18, [header, {}, b"", b""]))))
        assert platform.one("SELECT length(detail) FROM telemetry.dead_letter") == 4_000

    @pytest.mark.parametrize(
        "poison",
        [
            {"reason": "x", "count": 1, "from_ms": 2**62},
            {"reason": "x", "count": 1, "to_ms": -(2**70)},
            {"reason": "x", "count": 1, "channel": "\0"},
        ],
    )
    def test_every_kind_of_poison_is_buried(
        self, platform: Platform, edge: Edge, pen: Pen, poison: dict[str, object]
    ) -> None:
        pen.write(edge.message(ContentType.LOSS, json.dumps(poison).encode(), 1), edge.birth(software="\0"))
        assert platform.dead_letters() == {"database_refused": 2}
        assert platform.account(edge)["watermark"] == 2
        platform.check()


class TestLinks:
    LINK = (
        "SELECT online, replay, (extract(epoch FROM since) * 1000)::bigint, birth ->> 'software'"
        " FROM telemetry.gateway_link"
    )

    @pytest.mark.parametrize("together", [False, True])
    def test_birth_of_an_earlier_connection_that_comes_out_of_the_backlog_changes_nothing(
        self, platform: Platform, edge: Edge, pen: Pen, *, together: bool
    ) -> None:
        old, new, newest = (edge.birth(config_version=version, replay=version == 1) for version in (1, 2, 3))
        successor = Edge(edge.code, edge.partition, edge.key, epoch=bytes(16)).birth(config_version=1)
        for messages, version in (((new, old), "2"), ((newest, old, new), "3"), ((successor,), "1")):
            for batch in [messages] if together else [[each] for each in messages]:
                pen.write(*batch)
            known = "SELECT birth ->> 'config_version', replay FROM telemetry.gateway_link"
            assert platform.rows(known) == [(version, False)]

    def test_birth_messages_and_will_move_the_link(self, platform: Platform, edge: Edge, pen: Pen) -> None:
        pen.write(edge.birth(replay=True))
        assert platform.rows(self.LINK) == [(True, True, NOON_MS, "test")]
        pen.write(edge.readings(_series(1)), now_ms=NOON_MS + 5)
        assert platform.rows(self.LINK) == [(True, True, NOON_MS, "test")]
        pen.write(edge.will(), now_ms=NOON_MS + 9)
        assert platform.rows(self.LINK) == [(False, True, NOON_MS + 9, "test")]
        seen = "SELECT (extract(epoch FROM last_seen_at) * 1000)::bigint FROM telemetry.gateway_link"
        assert platform.one(seen) == NOON_MS + 5

    def test_last_word_of_a_batch_counts_also_when_it_comes_again(
        self, platform: Platform, edge: Edge, pen: Pen
    ) -> None:
        batch = [edge.will(), edge.readings(_series(1))]
        for _ in range(2):
            pen.write(*batch)
            assert [row[0] for row in platform.rows(self.LINK)] == [True]
        pen.write(batch[1], batch[0])
        assert [row[0] for row in platform.rows(self.LINK)] == [False]


def test_followers_are_called_and_find_the_arrivals_in_the_feed(platform: Platform, edge: Edge, pen: Pen) -> None:
    import psycopg

    with psycopg.connect(platform.url, autocommit=True) as listener:
        listener.execute("LISTEN hanlu_arrival")
        pen.write(edge.readings(_series(2)), edge.event(b'{"a":1}'))
        assert [each.channel for each in listener.notifies(timeout=5, stop_after=1)] == ["hanlu_arrival"]
    feed = "SELECT lane, observed_ms FROM telemetry.arrival_feed ORDER BY txid, arrival_id"
    assert [row[0] for row in platform.rows(feed)] == ["live", "event"]
    assert platform.rows("SELECT event FROM telemetry.event_feed") == [(b'{"a":1}',)]


def test_registry_snapshot_knows_keys_channels_and_ranges(platform: Platform, edge: Edge, pen: Pen) -> None:
    gateway = pen.snapshot.gateways["gw-1"]
    assert gateway.keys[edge.kid].public == edge.public
    assert gateway.keys[edge.kid].revoked_ms is None
    channel = gateway.channels["room-2/air_temperature"]
    assert (channel.unit, channel.low, channel.high) == ("Cel", -90, 150)
    assert isinstance(decode(*edge.birth(), NOON_MS, pen.snapshot), Accepted)
