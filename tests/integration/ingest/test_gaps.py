"""What is missing is asked for, less and less often, and in the end declared lost with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform

from hanlu.core.wire.topics import Topic
from hanlu.db.queries import load_queries
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.gaps import ask_for_births, ask_for_gaps, close_epoch, close_replaced, pause_s
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letter_space import hold_space
from hanlu.ingest.letters import Replayer
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres

QUERIES = load_queries("hanlu.ingest")
HASTY = KeeperConfig(gap_ask_s=0.001, gap_ask_max_s=0.004, gap_lost_s=0.001, rebirth_s=0.001)
PATIENT = KeeperConfig()


class Watch:
    """A platform with one gateway and the commands it was sent."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.edge = platform, Edge()
        self.gateway_id = platform.register(self.edge)
        self.writer = Writer(platform.url)
        self.commands: list[dict[str, Any]] = []

    def take(self, *messages: Message) -> None:
        snapshot = read_snapshot(self.writer.connection)
        self.writer.commit([decode(*message, NOON_MS, snapshot) for message in messages])

    def post(self, topic: Topic, payload: bytes) -> None:
        assert str(topic) == "hanlu/1/00/gw-1/command"
        self.commands.append(json.loads(payload))

    def ask(self, config: KeeperConfig = HASTY) -> int:
        return ask_for_gaps(self.writer.connection, QUERIES, config, self.post)

    def close(self) -> int:
        return close_replaced(self.writer.connection, QUERIES, HASTY)

    def ago(self, table: str, column: str, seconds: int) -> None:
        self.platform.execute(f"UPDATE telemetry.{table} SET {column} = {column} - INTERVAL '{seconds} s'")


@pytest.fixture
def watch(one_platform: Platform) -> Iterator[Watch]:
    watch = Watch(one_platform)
    yield watch
    watch.writer.close()


def _messages(edge: Edge, count: int) -> list[Message]:
    return [edge.readings([temperature(-18, NOON_MS - i * 1000)]) for i in range(edge.seq, edge.seq + count)]


def test_pause_doubles_up_to_the_longest() -> None:
    assert [pause_s(30, 3_600, asked) for asked in (0, 1, 2, 3, 8, 10_000)] == [0, 30, 60, 120, 3_600, 3_600]


def test_young_gap_is_left_to_the_receipts(watch: Watch) -> None:
    messages = _messages(watch.edge, 5)
    watch.take(messages[0], messages[4])
    assert watch.ask(PATIENT) == 0
    watch.ago("gap", "since", 60)
    assert watch.ask(PATIENT) == 1
    assert watch.commands == [{"action": "resend", "from_seq": 2, "to_seq": 4}]


def test_gateway_is_asked_less_and_less_often_until_it_gets_on(watch: Watch) -> None:
    messages = _messages(watch.edge, 6)
    watch.take(messages[0], messages[2], messages[5])
    watch.ago("gap", "since", 60)
    asked = []
    for _ in range(40):
        asked.append(watch.ask(PATIENT))
        watch.ago("resend", "asked_at", 10)
    assert [index for index, each in enumerate(asked) if each] == [0, 3, 9, 21]
    assert watch.commands[:2] == [
        {"action": "resend", "from_seq": 2, "to_seq": 2},
        {"action": "resend", "from_seq": 4, "to_seq": 5},
    ]
    assert watch.platform.rows("SELECT from_seq, asked FROM telemetry.gap_v ORDER BY 1") == [(2, 4), (4, 4)]
    watch.take(messages[1])
    assert watch.ask(PATIENT) == 1, "a step forward begins the count anew"
    watch.take(*messages[3:5])
    assert watch.ask(PATIENT) == 0
    assert watch.platform.rows("SELECT FROM telemetry.resend") == []


def test_gateways_that_never_answer_keep_no_other_waiting(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanlu.ingest.gaps._MOST", 2)
    mute = [Edge(f"gw-{n}", 0, Ed25519PrivateKey.from_private_bytes(bytes(31) + bytes([n]))) for n in (2, 3, 4)]
    last = Edge("gw-9", 0, Ed25519PrivateKey.from_private_bytes(bytes(31) + b"9"))
    asked: list[str] = []
    for edge in (*mute, last):
        watch.platform.register(edge)
        messages = _messages(edge, 3)
        watch.take(messages[0], messages[2])
    watch.ago("gap", "since", 60)
    for _ in range(2):
        ask_for_gaps(watch.writer.connection, QUERIES, PATIENT, lambda topic, _: asked.append(topic.gateway))
        assert watch.platform.one("SELECT count(*) FROM telemetry.resend") == len(asked)
    assert sorted(asked) == ["gw-2", "gw-3", "gw-4", "gw-9"]


def test_thousands_of_gaps_of_one_gateway_cost_the_keeper_little(watch: Watch) -> None:
    messages = _messages(watch.edge, 3)
    watch.take(messages[0], messages[2])
    watch.platform.execute(
        "INSERT INTO telemetry.gap (gateway_id, epoch, from_seq, to_seq, since)"
        " SELECT gateway_id, epoch, 2 * n, 2 * n, since FROM telemetry.gap, generate_series(2, 30000) AS n"
    )
    watch.ago("gap", "since", 60)
    watch.platform.execute("ANALYZE telemetry.gap")
    connection = watch.writer.connection
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = '2s'")  # counting gap by gap took more than a minute
        assert watch.ask(PATIENT) == 1
    assert [each["from_seq"] for each in watch.commands] == [2 * n for n in range(1, 11)]


def test_gateway_that_is_gone_is_not_asked(watch: Watch) -> None:
    messages = _messages(watch.edge, 3)
    watch.take(messages[0], messages[2], watch.edge.will())
    watch.ago("gap", "since", 60)
    assert watch.ask(PATIENT) == 0


def test_gateway_without_a_birth_is_asked_for_one(watch: Watch) -> None:
    def ask() -> int:
        return ask_for_births(watch.writer.connection, QUERIES, PATIENT, watch.post)

    watch.take(*_messages(watch.edge, 1))
    watch.platform.execute("UPDATE telemetry.gateway_link SET since = now()")
    assert ask() == 0
    watch.ago("gateway_link", "since", 61)
    assert (ask(), ask()) == (1, 0)
    assert watch.commands == [{"action": "rebirth"}]
    watch.take(watch.edge.birth())
    assert ask() == 0
    assert watch.platform.rows("SELECT FROM telemetry.rebirth") == []


def test_gaps_of_a_replaced_spool_are_lost_with_their_reason_and_the_account_closes(watch: Watch) -> None:
    messages = _messages(watch.edge, 6)
    watch.take(messages[0], messages[3], messages[5])
    old = watch.edge.epoch
    assert watch.close() == 0, "nothing has replaced it yet"
    watch.platform.execute(
        "UPDATE telemetry.gateway_epoch SET first_at = now() - interval '9 s', last_at = now() - interval '9 s'"
    )
    watch.edge.epoch, watch.edge.seq, watch.edge.prev, watch.edge.produced = bytes(range(1, 17)), 0, bytes(32), 0
    watch.take(*_messages(watch.edge, 2))
    watch.platform.execute(
        "UPDATE telemetry.gateway_epoch SET first_at = now() - interval '5 s' WHERE epoch <> %s", old
    )
    assert (watch.close(), watch.close()) == (1, 0)
    assert watch.platform.rows("SELECT reason, messages, readings, done_by FROM telemetry.epoch_closed") == [
        ("epoch_replaced", 3, 3, "keeper")
    ]
    assert watch.platform.rows("SELECT outstanding, lost FROM telemetry.gateway_account") == [(0, 3)]
    assert watch.platform.rows("SELECT FROM telemetry.gap") == []
    watch.platform.check()
    watch.take(messages[1])
    watch.close()
    assert watch.platform.rows("SELECT messages, readings FROM telemetry.epoch_closed") == [(2, 2)]
    assert watch.platform.rows("SELECT outstanding, lost FROM telemetry.gateway_account") == [(0, 2)]
    watch.platform.check()


def test_person_may_declare_a_spool_lost(watch: Watch) -> None:
    messages = _messages(watch.edge, 4)
    watch.take(messages[0], messages[3])
    connection = watch.writer.connection
    assert close_epoch(connection, QUERIES, watch.gateway_id, watch.edge.epoch, "unrecoverable", "li")
    assert not close_epoch(connection, QUERIES, watch.gateway_id, bytes(16), "unrecoverable", "li")
    assert watch.platform.account(watch.edge) | {"lost": 2, "watermark": 4} == watch.platform.account(watch.edge)
    watch.platform.check()


class TestSpace:
    def _letters(self, watch: Watch, count: int, size: int = 1_000) -> None:
        topic = watch.edge.topic()
        watch.take(*((topic, b"\xff%05d" % number + bytes(size - 6)) for number in range(count)))

    @pytest.fixture
    def replayer(self, watch: Watch) -> Iterator[Replayer]:
        replayer = Replayer(watch.platform.url, 10)
        yield replayer
        replayer.close()

    def test_within_the_limits_nothing_goes(self, watch: Watch, replayer: Replayer) -> None:
        self._letters(watch, 20)
        assert hold_space(replayer, KeeperConfig()) == 0

    def test_bodies_of_the_noisy_go_oldest_first_and_their_reasons_stay(self, watch: Watch, replayer: Replayer) -> None:
        self._letters(watch, 100)
        watch.take(("hanlu/1/00/other/live", b"[quiet]"))
        limit = KeeperConfig(gateway_letter_bytes=1 << 16)
        while hold_space(replayer, limit):
            pass
        rows = watch.platform.rows(
            "SELECT dropped_at IS NULL, count(*), sum(bytes), min(dead_letter_id) FROM telemetry.dead_letter"
            " WHERE gateway = 'gw-1' GROUP BY 1 ORDER BY 1"
        )
        assert [row[:3] for row in rows] == [(False, 35, 0), (True, 65, 65_000)]
        assert rows[0][3] < rows[1][3]
        assert watch.platform.dead_letters() == {"malformed": 100, "unknown_gateway": 1}
        assert watch.platform.one("SELECT sum(dropped) FROM telemetry.dead_letter_count") == 35
        assert watch.platform.one("SELECT body FROM telemetry.dead_letter WHERE gateway = 'other'") == b"[quiet]"

    def test_rows_beyond_the_limit_are_folded_into_the_counts(self, watch: Watch, replayer: Replayer) -> None:
        self._letters(watch, 30)
        while hold_space(replayer, KeeperConfig(gateway_letter_rows=10)):
            pass
        assert watch.platform.rows("SELECT letters, messages, folded FROM telemetry.dead_letter_count") == [
            (10, 30, 20)
        ]

    def test_resolved_letters_go_before_open_ones(self, watch: Watch, replayer: Replayer) -> None:
        self._letters(watch, 20)
        last = watch.platform.one("SELECT max(dead_letter_id) FROM telemetry.dead_letter")
        replayer.close_letter(last)
        while hold_space(replayer, KeeperConfig(gateway_letter_rows=19)):
            pass
        assert watch.platform.one("SELECT max(dead_letter_id) FROM telemetry.dead_letter") == last - 1

    def test_whole_space_is_held_by_the_noisiest(self, watch: Watch, replayer: Replayer) -> None:
        self._letters(watch, 1_000, 1_200)
        watch.take(*(("hanlu/1/00/other/live", b"[%d]" % number) for number in range(5)))
        while hold_space(replayer, KeeperConfig(letter_bytes=1 << 20)):
            pass
        assert watch.platform.one("SELECT sum(bytes) FROM telemetry.dead_letter") <= 1 << 20
        assert watch.platform.one("SELECT count(*) FROM telemetry.dead_letter WHERE dropped_at IS NULL"
                                  " AND gateway = 'other'") == 5  # fmt: skip

    def test_readings_of_a_dropped_letter_wait_no_longer(self, watch: Watch, replayer: Replayer) -> None:
        watch.take(watch.edge.readings([temperature(-18, NOON_MS, "room-9")]))
        letter_id = watch.platform.one("SELECT dead_letter_id FROM telemetry.dead_letter")
        replayer.look_at(letter_id, read_snapshot(watch.writer.connection), NOON_MS, "keeper")
        assert watch.platform.one("SELECT readings_waiting FROM telemetry.unapproved_channel") == 1
        assert replayer.shed(letter_id, fold=False)
        assert watch.platform.one("SELECT readings_waiting FROM telemetry.unapproved_channel") == 0
        assert replayer.replay(letter_id, read_snapshot(watch.writer.connection), NOON_MS, "li") == "open"
