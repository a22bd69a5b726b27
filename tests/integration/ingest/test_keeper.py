"""Dead letters replayed once their cause is mended: stored once, accounted for, and told to whoever follows."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform

from hanlu.core.clock import ManualClock, from_ms
from hanlu.core.reading import Quality, Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import ContentType
from hanlu.core.wire.topics import Lane, Topic
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.keeper import Keeper
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letters import Replayer
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres


class House:
    """A platform with a writer and a keeper that go when told to."""

    def __init__(self, platform: Platform, **config: Any) -> None:
        self.platform = platform
        self.clock = ManualClock(NOON_MS)
        self.writer = Writer(platform.url)
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.keeper = Keeper(KeeperConfig(registry_s=0.001, **config), platform.url, self.clock, self._post)

    def _post(self, topic: Topic, payload: bytes) -> None:
        self.commands.append((str(topic), json.loads(payload)))

    def close(self) -> None:
        self.writer.close()
        self.keeper.close()

    def take(self, *messages: Message, now_ms: int = NOON_MS) -> None:
        """Take messages in, judged by the registry as it is."""
        snapshot = read_snapshot(self.writer.connection)
        self.writer.commit([decode(*message, now_ms, snapshot) for message in messages])

    def keep(self) -> None:
        """Let the keeper go round until it has nothing to do."""
        for _ in range(100):
            self.clock.advance(1.0)
            if not self.keeper.round():
                return
        raise AssertionError("the keeper never comes to an end")

    def letters(self) -> list[tuple[Any, ...]]:
        """Return reason, readings still refused and outcome of every letter."""
        return self.platform.rows(
            "SELECT reason, reading_count, outcome FROM telemetry.dead_letter ORDER BY dead_letter_id"
        )

    def waiting(self) -> dict[str, int]:
        """Return the channels that wait for approval with the readings held back."""
        return dict(self.platform.rows("SELECT name, readings_waiting FROM telemetry.unapproved_channel ORDER BY 1"))

    def add_channel(self, gateway_id: int, device: str, metric: str, unit: str) -> None:
        """Approve a channel, as an administrator does."""
        self.platform.execute(
            "WITH d AS (INSERT INTO registry.device (gateway_id, code, kind) VALUES (%s, %s, 'cold_room')"
            " ON CONFLICT (gateway_id, code) DO UPDATE SET kind = excluded.kind RETURNING device_id)"
            " INSERT INTO registry.channel (device_id, metric, unit, period_s) SELECT device_id, %s, %s, 60 FROM d",
            gateway_id, device, metric, unit,
        )  # fmt: skip

    def balanced(self, edge: Edge) -> dict[str, int]:
        """Fail unless everything produced is accounted for, nothing twice; return the account."""
        account = self.platform.account(edge)
        assert account["produced"] == edge.produced
        assert account["produced"] == account["stored"] + account["duplicate"] + account["lost"] + account["dead"]
        dead = self.platform.one(
            "SELECT coalesce(sum(reading_count), 0)::integer FROM telemetry.dead_letter WHERE resolved_at IS NULL"
        )
        assert account["dead"] == dead, "the dead of the account are those of the open letters"
        self.platform.check()
        self.counted()
        return account

    def counted(self) -> None:
        """Fail unless the counters are the sums of the letters."""
        kept = self.platform.rows(
            "SELECT gateway, reason, letters, open_letters, messages - folded, open_messages, open_readings, bytes,"
            " dropped FROM telemetry.dead_letter_count WHERE letters > 0 ORDER BY 1, 2"
        )
        sums = self.platform.rows(
            "SELECT coalesce(gateway, ''), reason, count(*), count(*) FILTER (WHERE resolved_at IS NULL), sum(times),"
            " coalesce(sum(times) FILTER (WHERE resolved_at IS NULL), 0),"
            " coalesce(sum(reading_count) FILTER (WHERE resolved_at IS NULL), 0), sum(bytes),"
            " count(*) FILTER (WHERE dropped_at IS NOT NULL) FROM telemetry.dead_letter GROUP BY 1, 2 ORDER BY 1, 2"
        )
        assert kept == sums


@pytest.fixture
def house(one_platform: Platform) -> Iterator[House]:
    house = House(one_platform)
    yield house
    house.close()


@pytest.fixture
def edge() -> Edge:
    return Edge()


def _room(device: str, at_ms: int, value: float = -18.0) -> Reading:
    return temperature(value, at_ms, device)


class TestChannels:
    def test_readings_of_an_unknown_channel_are_stored_once_it_is_approved(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge)
        messages = [
            edge.readings([_room("room-1", NOON_MS - i * 1000), _room("room-9", NOON_MS - i * 1000)]) for i in range(5)
        ]
        house.take(*messages)
        house.keep()
        assert house.waiting() == {"room-9/air_temperature": 5}
        assert house.balanced(edge) | {"stored": 5, "dead": 5} == house.platform.account(edge)
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.balanced(edge) | {"stored": 10, "dead": 0} == house.platform.account(edge)
        assert house.letters() == [("unknown_channel", 0, "replayed")] * 5
        assert house.waiting() == {}
        assert house.platform.one("SELECT count(*) FROM telemetry.unapproved") == 0
        house.take(*messages)
        house.keep()
        assert house.balanced(edge)["stored"] == 10

    def test_letter_that_cannot_be_dealt_with_stops_no_other(self, house: House, edge: Edge) -> None:
        other = Edge("gw-2", 0, Ed25519PrivateKey.from_private_bytes(bytes(32)))
        broken_id, sound_id = house.platform.register(edge, ()), house.platform.register(other, ())
        house.take(edge.readings([_room("a", NOON_MS)]), edge.readings([_room("a", NOON_MS - 1)]))
        house.take(other.readings([_room("b", NOON_MS)]))
        # An account that contradicts its letters: only a fault of ours, or of whoever changed it by hand, makes one.
        house.platform.execute("UPDATE telemetry.gateway_epoch SET dead = 0 WHERE gateway_id = %s", broken_id)
        house.add_channel(broken_id, "a", "air_temperature", "Cel")
        house.add_channel(sound_id, "b", "air_temperature", "Cel")
        house.keep()
        assert house.platform.account(other)["stored"] == 1
        assert house.letters() == [("unknown_channel", 1, None)] * 2 + [("unknown_channel", 0, "replayed")]
        assert house.platform.one("SELECT count(*) FROM telemetry.reading") == 1

    def test_quality_the_edge_gave_is_kept_by_a_replay(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(edge.readings([_room("a", NOON_MS - 1), _room("a", NOON_MS)._replace(quality=Quality.UNCERTAIN)]))
        house.add_channel(gateway_id, "a", "air_temperature", "Cel")
        house.keep()
        assert house.balanced(edge)["stored"] == 2
        assert house.platform.rows("SELECT quality FROM telemetry.reading ORDER BY observed_at") == [(0,), (1,)]

    def test_followers_hear_of_replayed_readings_as_of_their_reception_in_the_backlog_lane(
        self, house: House, edge: Edge
    ) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(edge.readings([_room("room-9", NOON_MS - 5)]))
        house.clock.advance(3_600)
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.platform.rows(
            "SELECT lane, received_at, observed_ms, evidence FROM telemetry.arrival_feed WHERE observed_ms <> '{}'"
        ) == [("backlog", from_ms(NOON_MS), [NOON_MS - 5], 1)]
        assert house.platform.rows("SELECT value FROM telemetry.latest") == [(-18.0,)]

    def test_channels_approved_one_by_one_revive_their_own_readings_only(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(
            edge.readings([_room("a", NOON_MS), _room("b", NOON_MS), _room("a", NOON_MS - 1), _room("c", NOON_MS)])
        )
        for stored, device in ((2, "a"), (3, "b"), (4, "c")):
            house.add_channel(gateway_id, device, "air_temperature", "Cel")
            house.keep()
            assert house.balanced(edge)["stored"] == stored
        assert house.letters() == [("unknown_channel", 0, "replayed")]
        assert house.platform.rows("SELECT attempt, stored, revived FROM telemetry.replay ORDER BY 1") == [
            (1, 2, 2), (2, 1, 1), (3, 1, 1),
        ]  # fmt: skip

    def test_channel_approved_in_another_unit_waits_for_the_correction_and_a_person(
        self, house: House, edge: Edge
    ) -> None:
        gateway_id = house.platform.register(edge)
        house.take(edge.readings([_room("room-9", NOON_MS), _room("room-1", NOON_MS)]))
        house.add_channel(gateway_id, "room-9", "air_temperature", "K")
        house.keep()
        assert house.letters() == [("unknown_channel", 0, "replayed"), ("unit_mismatch", 1, None)]
        assert house.waiting() == {}
        house.balanced(edge)
        house.platform.execute("UPDATE registry.channel SET unit = 'Cel' WHERE unit = 'K'")
        house.keep()
        assert house.balanced(edge)["dead"] == 1, "a unit is corrected by people, who say so"
        replayer = Replayer(house.platform.url, 10)
        letter_id = house.platform.one("SELECT max(dead_letter_id) FROM telemetry.dead_letter")
        snapshot = read_snapshot(replayer.connection)
        assert replayer.replay(letter_id, snapshot, NOON_MS, "li") == "replayed"
        assert replayer.replay(letter_id, snapshot, NOON_MS, "li") is None
        replayer.close()
        assert house.balanced(edge) | {"stored": 2, "dead": 0} == house.platform.account(edge)
        assert house.platform.one("SELECT done_by FROM telemetry.replay WHERE dead_letter_id = %s", letter_id) == "li"

    def test_reading_that_came_meanwhile_counts_as_duplicate_and_another_value_stays_dead(
        self, house: House, edge: Edge
    ) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(edge.readings([_room("a", NOON_MS), _room("a", NOON_MS - 1), _room("a", NOON_MS - 2)]))
        house.add_channel(gateway_id, "a", "air_temperature", "Cel")
        house.take(edge.readings([_room("a", NOON_MS), _room("a", NOON_MS - 1, -17.0)]))
        house.keep()
        assert house.balanced(edge) | {"stored": 3, "duplicate": 1, "dead": 1} == house.platform.account(edge)
        assert house.letters() == [("unknown_channel", 0, "replayed"), ("conflicting_value", 1, None)]

    def test_relative_times_of_a_bare_device_count_from_the_reception(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, (), unsigned=True)
        bare = json.dumps([{"n": "a/air_temperature", "u": "Cel", "v": -18.0, "t": -30}]).encode()
        house.take((edge.topic(), bare))
        house.take((edge.topic(), bare), now_ms=NOON_MS + 60_000)
        house.clock.advance(7_200)
        house.add_channel(gateway_id, "a", "air_temperature", "Cel")
        house.keep()
        times = house.platform.rows("SELECT (extract(epoch FROM observed_at) * 1000)::bigint FROM telemetry.reading")
        assert sorted(times) == [(NOON_MS - 30_000,), (NOON_MS + 30_000,)]
        house.platform.check()

    def test_announced_channels_wait_with_their_unit_and_period(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge)
        channels = [
            {"name": "room-1/air_temperature", "unit": "Cel", "period_s": 60},
            {"name": "room-7/relative_humidity", "unit": "%RH", "period_s": 300},
        ]
        house.take(edge.birth(channels=channels))
        house.keep()
        query = "SELECT gateway_id, name, unit, period_s, readings_waiting, announced FROM telemetry.unapproved_channel"
        assert house.platform.rows(query) == [(gateway_id, "room-7/relative_humidity", "%RH", 300.0, 0, True)]
        house.take(edge.birth(channels=channels[:1], software="next"))
        house.keep()
        assert house.platform.rows(query) == []
        house.balanced(edge)

    def test_names_a_gateway_may_list_are_bounded_and_no_reading_is_lost_by_it(self, one_platform: Platform) -> None:
        house, edge = House(one_platform, unapproved_channels=3), Edge()
        gateway_id = one_platform.register(edge, ())
        house.take(*(edge.readings([_room(f"room-{i}", NOON_MS)]) for i in range(10)))
        house.keep()
        assert len(house.waiting()) == 3
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.balanced(edge) | {"stored": 1, "dead": 9} == one_platform.account(edge)
        house.close()


class TestStrangers:
    def test_bare_device_registered_a_moment_later_loses_nothing(self, house: House, edge: Edge) -> None:
        house.take((edge.topic(), encode_json([_room("room-1", NOON_MS - 7)])))
        house.keep()
        assert house.letters() == [("unknown_gateway", 0, None)]
        house.platform.register(edge, unsigned=True)
        house.keep()
        assert house.letters() == [("unknown_gateway", 0, "taken")]
        assert house.platform.rows("SELECT value FROM telemetry.reading") == [(-18.0,)]
        house.platform.check()
        house.counted()

    @pytest.mark.parametrize("first", ["keeper", "gateway"])
    def test_signed_messages_from_before_the_registration_count_once_whoever_brings_them_first(
        self, house: House, edge: Edge, first: str
    ) -> None:
        messages = [edge.readings([_room("room-1", NOON_MS - i)]) for i in range(4)]
        house.take(*messages)
        house.keep()
        house.platform.register(edge)
        if first == "gateway":
            house.take(*messages)
        house.keep()
        if first == "keeper":
            house.take(*messages)
        assert house.balanced(edge) | {"stored": 4, "watermark": 4} == house.platform.account(edge)
        assert {outcome for _, _, outcome in house.letters()} == {"arrived" if first == "gateway" else "taken"}

    def test_key_enrolled_after_the_message_came_proves_it(self, house: House, edge: Edge) -> None:
        house.platform.register(Edge(key=Ed25519PrivateKey.generate()))
        house.take(edge.readings([_room("room-1", NOON_MS)]))
        house.keep()
        assert house.letters() == [("unknown_key", 0, None)]
        house.platform.execute(
            "INSERT INTO registry.gateway_key (kid, gateway_id, public_key, valid_from)"
            " SELECT %s, gateway_id, %s, %s FROM registry.gateway",
            edge.kid, edge.public, from_ms(NOON_MS + 3_600_000),
        )  # fmt: skip
        house.keep()
        assert house.balanced(edge)["stored"] == 1
        assert house.platform.one("SELECT evidence FROM telemetry.arrival") == 1

    def test_key_that_is_revoked_by_now_proves_nothing(self, house: House, edge: Edge) -> None:
        house.platform.register(Edge(key=Ed25519PrivateKey.generate()))
        house.take(edge.readings([_room("room-1", NOON_MS)]))
        house.platform.execute(
            "INSERT INTO registry.gateway_key (kid, gateway_id, public_key, valid_from, revoked_at)"
            " SELECT %s, gateway_id, %s, %s, %s FROM registry.gateway",
            edge.kid, edge.public, from_ms(NOON_MS - 1), from_ms(NOON_MS - 1),
        )  # fmt: skip
        house.keep()
        assert house.letters() == [("unknown_key", 0, None)]
        assert house.platform.one("SELECT count(*) FROM telemetry.arrival") == 0

    def test_gateway_that_must_sign_leaves_the_bare_letter_with_its_new_reason(self, house: House, edge: Edge) -> None:
        house.take((edge.topic(), encode_json([_room("room-1", NOON_MS)])))
        house.platform.register(edge)
        house.keep()
        assert house.letters() == [("bad_signature", 0, None)]
        house.counted()

    def test_letter_that_is_taken_and_refused_in_part_is_followed_by_one_of_the_part(
        self, house: House, edge: Edge
    ) -> None:
        house.take(edge.readings([_room("room-1", NOON_MS), _room("room-9", NOON_MS)]))
        gateway_id = house.platform.register(edge)
        house.keep()
        assert house.letters() == [("unknown_gateway", 0, "taken"), ("unknown_channel", 1, None)]
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.balanced(edge) | {"stored": 2, "dead": 0} == house.platform.account(edge)

    def test_replayed_message_does_not_say_that_its_gateway_is_connected(self, house: House, edge: Edge) -> None:
        house.take(edge.birth(), edge.will())
        house.platform.register(edge)
        house.keep()
        assert house.platform.one("SELECT count(*) FROM telemetry.gateway_link") == 0
        assert [outcome for *_, outcome in house.letters()] == ["taken", "nothing_to_store"]

    def test_same_bytes_refused_again_after_a_replay_open_the_letter_anew(self, house: House, edge: Edge) -> None:
        bare = encode_json([_room("room-1", NOON_MS)])
        house.take((edge.topic(), bare))
        house.platform.register(edge, unsigned=True)
        house.keep()
        house.platform.execute("DELETE FROM registry.gateway_key; DELETE FROM registry.channel")
        house.platform.execute("DELETE FROM registry.device; DELETE FROM registry.gateway")
        house.take((edge.topic(), bare), now_ms=NOON_MS + 5)
        assert house.letters() == [("unknown_gateway", 0, None)]
        assert house.platform.rows("SELECT times, received_at FROM telemetry.dead_letter") == [
            (2, from_ms(NOON_MS + 5))
        ]
        house.counted()


class TestByHand:
    def test_records_refused_for_their_form_stay_beside_those_revived(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, ())
        records = [
            {"bn": "room-9/", "bt": NOON_MS / 1000, "n": "air_temperature", "u": "Cel", "v": -18},
            {"n": "air_temperature", "t": -1, "vs": "text"},
            {"n": "relative_humidity", "u": "%RH", "v": 80},
        ]
        house.take(edge.records(records, 3))
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.add_channel(gateway_id, "room-9", "relative_humidity", "%RH")
        house.keep()
        assert house.balanced(edge) | {"stored": 2, "dead": 1} == house.platform.account(edge)
        assert sorted(house.letters()) == [("not_numeric", 1, None), ("unknown_channel", 0, "replayed")]

    def test_payload_that_a_later_version_can_read_is_stored_whole(
        self, house: House, edge: Edge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house.platform.register(edge)
        readings = [_room("room-1", NOON_MS - i) for i in range(3)]
        with monkeypatch.context() as today:
            today.setattr("hanlu.ingest.decode.plain_json", lambda raw: None)
            today.setattr("hanlu.ingest.decode.decode_json", _unreadable)
            house.take(edge.message(ContentType.SENML_JSON, encode_json(readings), 5))
        assert house.letters() == [("foreign_schema", 5, None)]
        replayer = Replayer(house.platform.url, 10)
        letter_id = house.platform.one("SELECT dead_letter_id FROM telemetry.dead_letter")
        assert replayer.replay(letter_id, read_snapshot(replayer.connection), NOON_MS, "li") == "replayed"
        replayer.close()
        assert house.balanced(edge) | {"stored": 3, "dead": 2} == house.platform.account(edge)
        assert house.letters() == [("foreign_schema", 0, "replayed"), ("malformed", 2, None)]

    def test_closed_letter_is_no_longer_tried_and_its_readings_stay_dead(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(edge.readings([_room("room-9", NOON_MS)]))
        house.keep()
        replayer = Replayer(house.platform.url, 10)
        letter_id = house.platform.one("SELECT dead_letter_id FROM telemetry.dead_letter")
        assert replayer.close_letter(letter_id)
        assert not replayer.close_letter(letter_id)
        replayer.close()
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.platform.account(edge)["dead"] == 1
        assert house.waiting() == {}

    def test_letter_from_before_places_were_kept_says_why_it_is_not_replayed(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge)
        house.take(edge.readings([_room("room-9", NOON_MS), _room("room-1", NOON_MS)]))
        house.platform.execute("UPDATE telemetry.dead_letter SET places = NULL")
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.keep()
        assert house.balanced(edge)["dead"] == 1
        assert "not replayed: which records" in house.platform.one("SELECT detail FROM telemetry.dead_letter")


def _unreadable(raw: bytes, now_ms: int) -> Any:
    from hanlu.core.rejected import Reason, Rejected

    return Rejected(Reason.FOREIGN_SCHEMA, "a form of tomorrow")


class TestConcurrency:
    def test_two_keepers_at_once_store_each_reading_once(self, house: House, edge: Edge) -> None:
        gateway_id = house.platform.register(edge, ())
        house.take(*(edge.readings([_room("room-9", NOON_MS - i)]) for i in range(60)))
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        other = House(house.platform)
        faults: list[BaseException] = []

        def keep(each: House) -> None:
            try:
                each.keep()
            except BaseException as fault:  # noqa: BLE001 - handed to the test's own thread
                faults.append(fault)

        threads = [threading.Thread(target=keep, args=(each,)) for each in (house, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        other.close()
        house.keep()
        assert not faults
        assert house.balanced(edge) | {"stored": 60, "dead": 0} == house.platform.account(edge)

    def test_long_backlog_of_letters_is_taken_in_rounds(self, one_platform: Platform) -> None:
        house, edge = House(one_platform, round_letters=7), Edge()
        gateway_id = one_platform.register(edge, ())
        house.take(*(edge.readings([_room("room-9", NOON_MS - i)]) for i in range(40)))
        house.keep()
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        house.clock.advance(1.0)
        assert house.keeper.round()
        assert one_platform.account(edge)["stored"] == 7
        house.keep()
        assert house.balanced(edge)["stored"] == 40
        house.close()


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


class TestCrash:
    """The keeper falls before and after every statement it sends; whoever comes next ends the work once."""

    @pytest.mark.parametrize("kind", ["part", "whole"])
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_fall_at_any_statement_stores_each_reading_once(
        self, house: House, edge: Edge, monkeypatch: pytest.MonkeyPatch, kind: str, after: bool
    ) -> None:
        if kind == "part":
            gateway_id = house.platform.register(edge)
        messages = [edge.readings([_room("room-1", NOON_MS - i), _room("room-9", NOON_MS - i)]) for i in range(40)]
        house.take(*messages)
        if kind == "whole":
            gateway_id = house.platform.register(edge)
        house.add_channel(gateway_id, "room-9", "air_temperature", "Cel")
        falls = 0
        for step in range(400):
            keeper = Keeper(KeeperConfig(registry_s=0.001), house.platform.url, house.clock, house._post)
            steps = _Steps(step, after)
            connection = keeper._replayer.connection
            monkeypatch.setattr(connection, "execute", steps.around(connection.execute))
            house.clock.advance(1.0)
            try:
                while keeper.round():
                    house.clock.advance(1.0)
                fell = False
            except Killed:
                falls += 1
                fell = True
            keeper.close()
            self._never_more_than_once(house, edge)
            if not fell:
                break
        assert falls > 20
        house.keep()
        if kind == "whole":
            house.take(*messages)
        assert house.balanced(edge) | {"stored": 80, "dead": 0} == house.platform.account(edge)

    def _never_more_than_once(self, house: House, edge: Edge) -> None:
        house.platform.check()
        account = house.platform.account(edge)
        if account:
            assert account["stored"] == house.platform.one("SELECT count(*) FROM telemetry.reading")
            assert account["stored"] + account["dead"] <= edge.produced


class _Steps:
    """Counts statements and falls at the one asked for."""

    def __init__(self, at: int, after: bool) -> None:
        self._left, self._after = at, after

    def around(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **options: Any) -> Any:
            if self._left == 0 and not self._after:
                raise Killed
            done = execute(*args, **options)
            if self._left == 0:
                raise Killed
            self._left -= 1
            return done

        return stepped


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_messages_approvals_and_rounds_balances(one_platform: Platform, seed: int) -> None:
    chance = random.Random(seed)
    house, edge = House(one_platform, round_letters=chance.randint(1, 20)), Edge()
    gateway_id = one_platform.register(edge, ())
    devices = [f"room-{i}" for i in range(5)]
    approved: set[str] = set()
    sent: list[Message] = []
    for step in range(60):
        match chance.randrange(5):
            case 0 | 1 | 2:
                readings = [
                    _room(chance.choice(devices), NOON_MS - chance.randrange(40) * 1000)
                    for _ in range(chance.randint(1, 6))
                ]
                sent.append(edge.readings(readings, chance.choice([Lane.LIVE, Lane.BACKLOG])))
                house.take(sent[-1])
            case 3 if len(approved) < len(devices) and step % 2:
                device = chance.choice([each for each in devices if each not in approved])
                approved.add(device)
                house.add_channel(gateway_id, device, "air_temperature", chance.choice(["Cel", "Cel", "K"]))
            case 4:
                house.clock.advance(1.0)
                house.keeper.round()
                house.take(chance.choice(sent) if sent else edge.birth())
            case _:
                house.balanced(edge) if sent else None
    house.keep()
    account = house.balanced(edge)
    assert account["stored"] == one_platform.one("SELECT count(*) FROM telemetry.reading")
    house.close()
