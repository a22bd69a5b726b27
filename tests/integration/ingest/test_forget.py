"""Old arrivals go, and a message that comes again afterwards is still the same message: the account never moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from fix_ingest import Platform
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.clock import from_ms, to_ms
from hanlu.db.queries import load_queries
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.gaps import close_epoch, close_replaced
from hanlu.ingest.history.forget import Run, runs_of
from hanlu.ingest.history.prune import as_owner, delete, make_plan
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.writer import Writer

QUERIES = load_queries("hanlu.ingest")
ACCOUNT = ("watermark", "highest", "produced", "stored", "duplicate", "lost", "dead")


class Store:
    """A platform with one gateway, its writer, and retention."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.edge = platform, Edge()
        self.gateway_id = platform.register(self.edge, ("room-1", "room-2"), unsigned=True)
        self.writer = Writer(platform.url)

    def take(self, *messages: Message) -> None:
        snapshot = read_snapshot(self.writer.connection)
        self.writer.commit([decode(*message, NOON_MS, snapshot) for message in messages])

    def age(self, days: int = 100) -> None:
        """Have everything that arrived be so old, and everybody have followed it."""
        self.platform.execute(f"UPDATE telemetry.arrival SET recorded_at = recorded_at - INTERVAL '{days} days'")
        self.follow()

    def follow(self, *, without: str = "") -> None:
        end = "SELECT %s, txid, arrival_id FROM telemetry.arrival ORDER BY txid DESC, arrival_id DESC LIMIT 1"
        for schema, table, name in (
            ("telemetry", "follower", "rollup"),
            ("telemetry", "follower", "quality"),
            ("alerts", "cursor", "engine"),
            ("alerts", "cursor", "excursion"),
            ("trace", "cursor", "arrival"),
        ):
            if name != without:
                self.platform.execute(f"DELETE FROM {schema}.{table} WHERE name = %s", name)
                self.platform.execute(f"INSERT INTO {schema}.{table} (name, txid, arrival_id) {end}", name)

    def retain(self) -> int:
        """Run retention and return how many arrivals it deleted."""
        with as_owner(self.platform.url) as owner:
            now = owner.execute("SELECT now()").fetchone()
            assert now is not None
            return delete(owner, make_plan(owner, to_ms(now[0])), "test")[1].rows.get("arrival", 0)

    def arrivals(self) -> int:
        return int(self.platform.one("SELECT count(*) FROM telemetry.arrival"))

    def account(self) -> dict[str, int]:
        return self.platform.account(self.edge)

    def readings(self) -> int:
        return int(self.platform.one("SELECT count(*) FROM telemetry.reading"))


@pytest.fixture
def store(one_platform: Platform) -> Iterator[Store]:
    # What they measured must stay: only the arrivals are looked at here.
    one_platform.execute("UPDATE telemetry.retention_rule SET raw_days = NULL, hour_days = NULL")
    store = Store(one_platform)
    yield store
    store.writer.close()


def messages(edge: Edge, count: int, *, size: int = 2) -> list[Message]:
    start = NOON_MS - edge.seq * 100_000
    return [edge.readings([temperature(-18, start - i * 1_000 * size - j) for j in range(size)]) for i in range(count)]


@pytest.mark.postgres
class TestForgetting:
    def test_message_that_comes_again_after_its_arrival_is_gone_counts_as_redelivered(self, store: Store) -> None:
        sent = messages(store.edge, 450)
        store.take(*sent)
        store.age()
        before = store.account()
        assert store.retain() == 449
        assert store.arrivals() == 1, "the newest, whose digest receipts quote"
        store.writer.close()  # and with it what the worker remembers
        store.take(*sent[:300], *sent[440:])
        store.take(*reversed(sent))
        assert store.account() == before | {"redelivered": 300 + 10 + 450}
        assert (store.readings(), store.arrivals()) == (900, 1)
        assert store.platform.dead_letters() == {}
        store.take(*messages(store.edge, 3))
        assert store.account()["watermark"] == 453
        assert store.platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0

    def test_next_message_still_fits_the_chain(self, store: Store) -> None:
        store.take(*messages(store.edge, 20))
        store.age()
        store.retain()
        store.writer.close()
        store.take(*messages(store.edge, 2))
        assert store.platform.dead_letters() == {}
        assert store.platform.one("SELECT count(DISTINCT evidence) FROM telemetry.arrival") == 1

    def test_copied_spool_is_found_out_and_loses_nothing(self, store: Store) -> None:
        store.take(*messages(store.edge, 20))
        store.age()
        store.retain()
        copy = Edge(seq=4, produced=8)
        other = copy.readings([temperature(-3, NOON_MS + 5_000)])
        before = store.account()
        store.take(other)
        store.take(other)
        assert store.account() == before, "its number is taken"
        assert store.readings() == 41
        assert store.platform.dead_letters() == {"broken_chain": 1}

    def test_young_and_unfollowed_arrivals_stay(self, store: Store) -> None:
        store.take(*messages(store.edge, 5))
        store.age(89)
        assert store.retain() == 0
        store.age(2)
        store.platform.execute("DELETE FROM alerts.cursor")
        with as_owner(store.platform.url) as owner:
            now = owner.execute("SELECT now()").fetchone()
            assert now is not None
            summary = make_plan(owner, to_ms(now[0])).summary()["arrival"]
        assert summary["waits_for"] == ["alerts engine", "alerts excursion"]
        assert store.retain() == 0
        store.follow()
        assert store.retain() == 4

    def test_follower_keeps_what_it_has_not_read(self, store: Store) -> None:
        sent = messages(store.edge, 8)
        store.take(*sent[:4])
        store.follow()
        store.take(*sent[4:])
        store.age(0)
        store.platform.execute(
            "UPDATE trace.cursor SET (txid, arrival_id) ="
            " (SELECT txid, arrival_id FROM telemetry.arrival WHERE seq = 3)"
        )
        store.platform.execute("UPDATE telemetry.arrival SET recorded_at = recorded_at - INTERVAL '91 days'")
        assert store.retain() == 3

    def test_what_something_refers_to_stays(self, store: Store) -> None:
        edge = store.edge
        good, refused = temperature(-18, NOON_MS - 1), temperature(-18, NOON_MS - 2, device="room-9")
        store.take(edge.birth(), edge.loss(2), edge.event(b"{}"), edge.readings([good, refused]), *messages(edge, 3))
        store.age()
        assert store.retain() == 3, "the birth and two of the last three"
        kept = "SELECT seq FROM telemetry.arrival ORDER BY seq"
        assert store.platform.rows(kept) == [(2,), (3,), (4,), (7,)]
        assert store.retain() == 0
        store.platform.execute("DELETE FROM telemetry.dead_letter")
        assert store.retain() == 1
        assert store.platform.rows(kept) == [(2,), (3,), (7,)]
        assert store.platform.one("SELECT sum(to_seq - from_seq + 1) FROM telemetry.arrival_gone") == 6
        before = store.account()
        again = Edge()
        store.take(again.birth(), again.loss(2), again.event(b"{}"), again.readings([good, refused]))
        assert store.account() == before | {"redelivered": 4}

    def test_hold_keeps_the_messages_of_what_it_holds(self, store: Store) -> None:
        store.take(*messages(store.edge, 4))
        far = [store.edge.readings([temperature(-18, NOON_MS - 40 * 86_400_000 - i)]) for i in range(4)]
        store.take(*far)
        store.age()
        store.platform.execute(
            "INSERT INTO telemetry.legal_hold (kind, code, from_at, to_at, reason, placed_by)"
            " VALUES ('site', 'store', %s, %s, 'claim', 'li')",
            from_ms(NOON_MS) - timedelta(days=1),
            from_ms(NOON_MS) + timedelta(days=1),
        )
        assert store.retain() == 3
        assert store.platform.one("SELECT count(*) FROM telemetry.arrival WHERE seq <= 4") == 4
        store.platform.execute("UPDATE telemetry.legal_hold SET released_by = 'li', released_at = now()")
        assert store.retain() == 4

    def test_gap_keeps_what_lies_beyond_it(self, store: Store) -> None:
        sent = messages(store.edge, 10)
        store.take(*sent[:4], *sent[5:])
        store.age()
        assert store.retain() == 3, "below the watermark"
        store.take(sent[4])
        store.follow()
        store.platform.execute("UPDATE telemetry.arrival SET recorded_at = recorded_at - INTERVAL '99 days'")
        assert store.retain() == 6
        store.take(*sent)
        assert store.account()["redelivered"] == 10
        assert store.readings() == 20

    def test_message_declared_lost_that_comes_late_is_stored_although_its_neighbours_are_gone(
        self, store: Store
    ) -> None:
        sent = messages(store.edge, 10)
        store.take(*sent[:4], *sent[6:])
        close_epoch(store.writer.connection, QUERIES, store.gateway_id, store.edge.epoch, "gateway_destroyed", "li")
        store.age()
        assert store.retain() == 7
        assert store.account()["lost"] == 4
        store.take(sent[4])
        close_replaced(store.writer.connection, QUERIES, KeeperConfig())
        assert store.readings() == 18
        assert store.account()["lost"] == 2
        assert store.platform.one("SELECT outstanding FROM telemetry.gateway_account") == 0
        assert store.platform.rows("SELECT messages, readings FROM telemetry.epoch_closed") == [(1, 2)]
        store.take(*sent[:5])
        assert store.account()["redelivered"] == 5

    def test_bare_messages_go_and_their_readings_count_once_all_the_same(self, store: Store) -> None:
        bare = (store.edge.topic(), b'[{"n":"room-1/air_temperature","u":"Cel","t":1749000000,"v":4}]')
        store.take(bare)
        store.take(*messages(store.edge, 2))
        store.age()
        assert store.retain() == 2
        store.take(bare)
        assert store.readings() == 5
        assert store.platform.one("SELECT count(*) FROM telemetry.arrival WHERE epoch IS NULL") == 0

    def test_retention_that_is_cut_off_leaves_every_message_known(self, store: Store) -> None:
        sent = messages(store.edge, 30)
        store.take(*sent)
        store.age()
        with as_owner(store.platform.url) as owner:
            now = owner.execute("SELECT now()").fetchone()
            assert now is not None
            plan = make_plan(owner, to_ms(now[0]))

            def stop(done: object) -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                delete(owner, plan, "test", stop)
        store.take(*sent)
        assert store.account()["redelivered"] == 30
        assert store.readings() == 60

    def test_letter_of_a_message_that_is_gone_is_known_to_have_arrived(self, store: Store) -> None:
        topic, raw = messages(store.edge, 1)[0]
        store.take((topic, raw), *messages(store.edge, 2))
        store.age()
        store.retain()
        found = decode(topic, raw, NOON_MS, read_snapshot(store.writer.connection))
        place = {"gateway_id": store.gateway_id, "epoch": store.edge.epoch, "seq": 1}
        ask = QUERIES["has_arrived"]
        connection = store.writer.connection
        assert connection.execute(ask, place | {"digest": getattr(found, "digest")}).fetchone() == (True,)  # noqa: B009
        assert connection.execute(ask, place | {"digest": bytes(32)}).fetchone() == (False,)

    def test_ingest_itself_can_neither_delete_arrivals_nor_rewrite_what_is_remembered(self, store: Store) -> None:
        for table, right in (("arrival", "DELETE"), ("arrival_gone", "INSERT"), ("arrival_gone", "DELETE")):
            assert not store.platform.one(
                "SELECT has_table_privilege('hanlu_ingest', %s, %s)", f"telemetry.{table}", right
            )


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.integers(1, 9))
def test_runs_hold_every_message_that_goes_and_none_that_never_came(here: set[int], goes: set[int], most: int) -> None:
    rows = [(seq, bytes([seq] * 8), seq in goes) for seq in sorted(here)]
    runs = runs_of(rows, most)
    held = [seq for run in runs for seq in range(run.from_seq, run.to_seq + 1)]
    assert len(held) == len(set(held))
    assert here & goes <= set(held) <= here
    for run in runs:
        assert run == Run(run.from_seq, run.to_seq, b"".join(bytes([n] * 8) for n in range(run[0], run[1] + 1)))
        assert run.to_seq - run.from_seq < most
