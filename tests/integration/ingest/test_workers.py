"""Workers share the sessions, stand by, take over from one that dies and hand back when they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fix_edge import Edge, temperature
from fix_ingest import Platform, working
from fix_mqtt import Client, forget_session, ingest_config, own_partition
from fix_services import BrokerServer, wait_until

from hanlu.core.clock import SystemClock
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.lease import Leases, Standing, sessions_of
from hanlu.ingest.workers import Workers

pytestmark = [pytest.mark.postgres]

SESSIONS = sessions_of("ingest", range(64), 4)
HELD = "SELECT count(*) FROM telemetry.ingest_session WHERE worker IS NOT NULL AND expires_at > now()"


@pytest.mark.parametrize(("count", "partitions"), [(1, 64), (4, 64), (64, 64), (9, 5)])
def test_sessions_cover_every_partition_once(count: int, partitions: int) -> None:
    sessions = sessions_of("ingest", range(partitions), count)
    assert sorted(p for each in sessions.values() for p in each) == list(range(partitions))
    assert len(sessions) == min(count, partitions)
    assert max(map(len, sessions.values())) - min(map(len, sessions.values())) <= 1
    assert ("ingest" in sessions) is (count == 1)


@contextmanager
def _leases(platform: Platform, lease_s: float = 5.0) -> Iterator[Leases]:
    leases = Leases(platform.url, SESSIONS, lease_s)
    try:
        yield leases
    finally:
        leases.close()


class TestLeases:
    def test_session_has_one_holder_until_it_is_handed_back(self, one_platform: Platform) -> None:
        with _leases(one_platform) as one, _leases(one_platform) as other:
            claimed = [one.claim() for _ in range(5)]
            assert sorted(filter(None, claimed)) == sorted(SESSIONS)
            assert claimed[-1] is None
            assert other.claim() is None
            one.hand_back(["ingest-2of4"])
            assert other.claim() == "ingest-2of4"
            assert one.renew(SESSIONS).held == SESSIONS.keys() - {"ingest-2of4"}
            assert one_platform.one("SELECT sum(takeovers) FROM telemetry.ingest_session") == 0

    def test_holder_whose_connection_is_gone_is_followed_at_once(self, one_platform: Platform) -> None:
        with _leases(one_platform, 300.0) as one, _leases(one_platform, 300.0) as other:
            assert one.renew([]) == Standing(frozenset(), 1)
            assert one.claim() == "ingest-1of4"
            assert other.renew([]).workers == 2
            one.close()
            wait_until(lambda: other.renew([]).workers == 1, "the connection to end")
            assert other.claim() == "ingest-1of4"
            assert one.renew(["ingest-1of4"]).held == frozenset(), "who comes back learns that it is another's"
            assert one_platform.one("SELECT sum(takeovers) FROM telemetry.ingest_session") == 1

    def test_holder_that_says_nothing_is_followed_after_its_time(self, one_platform: Platform) -> None:
        with _leases(one_platform, 0.5) as one, _leases(one_platform, 0.5) as other:
            assert one.claim() == "ingest-1of4"
            assert other.claim() == "ingest-2of4"
            time.sleep(0.6)
            assert other.claim() == "ingest-1of4"

    def test_late_renewal_keeps_what_nobody_took(self, one_platform: Platform) -> None:
        with _leases(one_platform, 0.2) as one:
            assert one.claim() == "ingest-1of4"
            time.sleep(0.3)
            one.close()  # a database that was restarted, to the worker
            assert one.renew(["ingest-1of4"]).held == {"ingest-1of4"}

    def test_leaving_hands_everything_back(self, one_platform: Platform) -> None:
        with _leases(one_platform) as one:
            one.renew([])
            one.claim()
            one.leave()
        assert one_platform.one(HELD) == 0
        assert one_platform.one("SELECT count(*) FROM telemetry.ingest_worker") == 0


class _Team:
    """Workers in threads, with nothing to do on their sessions."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.at_work: dict[str, list[str]] = {}
        self._running: dict[str, tuple[threading.Event, threading.Thread]] = {}

    def start(self, name: str) -> None:
        config = IngestConfig(sessions=4, lease_s=1.0).model_copy(update={"broker": _NAMED.broker})
        at_work = self.at_work.setdefault(name, [])
        stop, ready = threading.Event(), threading.Event()

        def work(session: IngestConfig, end: threading.Event, subscribed: object, _: object) -> None:
            assert callable(subscribed)
            at_work.append(session.broker.client_id)
            assert session.partitions == SESSIONS[session.broker.client_id]
            subscribed()
            end.wait()
            at_work.remove(session.broker.client_id)

        workers = Workers(config, Leases(self._platform.url, SESSIONS, 1.0), SystemClock(), work)
        thread = threading.Thread(target=workers.run, args=(stop, ready.set))
        thread.start()
        self._running[name] = (stop, thread)
        assert ready.wait(10)

    def stop(self, *names: str) -> None:
        for name in names:
            stop, thread = self._running.pop(name)
            stop.set()
            thread.join(10)
            assert not thread.is_alive()

    @property
    def sizes(self) -> list[int]:
        return [len(each) for each in self.at_work.values()]


_NAMED = IngestConfig.model_validate({"broker": {"client_id": "ingest"}})


def test_workers_even_out_as_they_come_and_go(one_platform: Platform) -> None:
    team = _Team(one_platform)
    team.start("a")
    assert sorted(team.at_work["a"]) == sorted(SESSIONS)
    team.start("b")
    wait_until(lambda: team.sizes == [2, 2], "two each")
    for name in ("c", "d", "e"):
        team.start(name)
    wait_until(lambda: sorted(team.sizes) == [0, 1, 1, 1, 1], "one each and one to stand by")
    assert sorted(held for each in team.at_work.values() for held in each) == sorted(SESSIONS)
    team.stop("a", "b", "c")
    wait_until(lambda: sorted(team.sizes) == [0, 0, 0, 2, 2], "two each again")
    team.stop("d", "e")
    assert one_platform.one(HELD) == 0


@pytest.mark.broker
def test_second_worker_stands_by_and_goes_on_when_the_first_ends(broker: BrokerServer, one_platform: Platform) -> None:
    edge = Edge(partition=own_partition())
    config = ingest_config(broker, edge.partition, lease_s=1.0)
    one_platform.register(edge)
    now = time.time_ns() // 1_000_000
    messages = [edge.readings([temperature(-18, now - n)]) for n in range(200)]
    try:
        with Client(broker) as client:
            client.listen(edge)
            with working(config, one_platform):
                client.publish(*messages[:50])
                client.await_receipt(50)
                second = working(config, one_platform)
                second.__enter__()
                client.publish(*messages[50:100])
                client.await_receipt(100)
            try:
                client.publish(*messages[100:])
                client.await_receipt(200)
            finally:
                second.__exit__(None, None, None)
    finally:
        forget_session(broker, config)
    assert one_platform.account(edge) | {"stored": 200, "redelivered": 0, "watermark": 200} == one_platform.account(
        edge
    )
    assert one_platform.one("SELECT sum(takeovers) FROM telemetry.ingest_session") == 0
    one_platform.check()
