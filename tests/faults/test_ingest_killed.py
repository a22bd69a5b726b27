"""Ingest killed at any point loses no reading and counts none twice; so does a database that goes away."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_edge import Edge, Message, temperature
from fix_ingest import Platform, working
from fix_mqtt import Client, forget_session, ingest_config, own_partition
from fix_services import BrokerServer, prepared, running, temporary_folder, wait_until

from hanlu.app import process
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.settings import DatabaseSettings
from hanlu.core.clock import SystemClock
from hanlu.db.migrate import migrate
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.lease import sessions_of
from hanlu.ingest.message import Delivery, Outcome
from hanlu.ingest.service import Ingest
from hanlu.ingest.subscriber import Subscriber
from hanlu.ingest.writer import Committed, Writer

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

PROGRAM = Path(__file__).with_name("ingest_process.py")


@pytest.fixture
def edge() -> Edge:
    return Edge(partition=own_partition())


@pytest.fixture
def config(broker: BrokerServer, edge: Edge) -> Iterator[IngestConfig]:
    config = ingest_config(broker, edge.partition, batch_messages=50, retry_max_s=0.5)
    yield config
    forget_session(broker, config)


def _stream(edge: Edge, count: int) -> list[Message]:
    """A stream with something of everything; one reading in each message repeats one of the message before."""
    now = time.time_ns() // 1_000_000
    messages = [edge.birth()]
    for number in range(1, count):
        start = now - (count - number) * 1_000
        readings = [temperature(-18 + i, start + 200 * (i - 1)) for i in range(5)]
        readings[0] = temperature(-18, now - count * 1_000)
        messages.append(edge.loss(3) if number % 10 == 0 else edge.readings(readings))
    return messages


def _balanced(platform: Platform, edge: Edge) -> None:
    """Fail unless all of `_stream` is on record, once, and the account says so."""
    account = platform.account(edge)
    messages = sum(number % 10 != 0 for number in range(1, edge.seq))
    assert platform.one("SELECT count(*) FROM telemetry.reading") == account["stored"] == 1 + 4 * messages
    assert account["watermark"] == account["highest"] == edge.seq
    assert account["produced"] == edge.produced
    assert account["produced"] == account["stored"] + account["duplicate"] + account["lost"] + account["dead"]
    assert account["dead"] == 0
    platform.check()


class TestKills:
    @contextmanager
    def _process(self, config: IngestConfig, platform: Platform, folder: Path) -> Iterator[subprocess.Popen[str]]:
        settings = config.model_dump(mode="json")
        assert config.broker.password is not None
        settings["broker"]["password"] = config.broker.password.get_secret_value()
        given = folder / "ingest.json"
        given.write_text(json.dumps({"config": settings, "url": platform.url}))
        command = [sys.executable, "-P", str(PROGRAM), str(given)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                yield child
            finally:
                child.kill()

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [1, 2])
    def test_kills_at_random_points_of_a_stream_lose_and_repeat_nothing(
        self, broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform, tmp_path: Path, seed: int
    ) -> None:
        one_platform.register(edge)
        chance = random.Random(seed)
        messages = _stream(edge, 3_000)
        with self._process(config, one_platform, tmp_path):
            pass  # the session is with the broker from now on
        with Client(broker) as client:
            stream = threading.Thread(target=client.stream, args=(messages, 1_000))
            stream.start()
            kills = 0
            while stream.is_alive():
                with self._process(config, one_platform, tmp_path):
                    time.sleep(chance.uniform(0.0, 0.5))
                kills += 1
            stream.join()
            assert kills >= 3
            client.listen(edge)
            with self._process(config, one_platform, tmp_path):
                client.publish(messages[-1])  # a gateway without a receipt asks again
                client.await_receipt(edge.seq)
        _balanced(one_platform, edge)

    @pytest.mark.parametrize("sessions", [1, 2])
    def test_kill_of_one_of_two_workers_is_made_good_by_the_other_within_seconds(
        self, broker: BrokerServer, config: IngestConfig, one_platform: Platform, tmp_path: Path, sessions: int
    ) -> None:
        edges = [Edge(f"gw-{n}", own_partition(), Ed25519PrivateKey.generate()) for n in (1, 2)]
        shared = config.model_copy(
            update={"partitions": tuple(each.partition for each in edges), "sessions": sessions, "lease_s": 60.0}
        )
        streams = []
        for edge in edges:
            one_platform.register(edge)
            streams.append(_stream(edge, 600))
        try:
            with ExitStack() as stack:
                workers = [stack.enter_context(self._process(shared, one_platform, tmp_path)) for _ in edges]
                holders = "SELECT count(DISTINCT worker) FROM telemetry.ingest_session WHERE worker IS NOT NULL"
                wait_until(lambda: one_platform.one(holders) == sessions, "the workers to share the sessions")
                clients = [stack.enter_context(Client(broker, each.code)) for each in edges]
                threads = [
                    threading.Thread(target=client.stream, args=(stream, 300))
                    for client, stream in zip(clients, streams, strict=True)
                ]
                for thread in threads:
                    thread.start()
                time.sleep(0.7)
                holder = one_platform.one(
                    "SELECT w.name FROM telemetry.ingest_session JOIN telemetry.ingest_worker AS w USING (worker)"
                    " LIMIT 1"
                )
                (killed,) = [each for each in workers if holder.endswith(f":{each.pid}")]
                killed.kill()
                for thread in threads:
                    thread.join()
                for client, edge, stream in zip(clients, edges, streams, strict=True):
                    client.listen(edge)
                    client.publish(stream[-1])
                    client.await_receipt(edge.seq, 10)
        finally:
            for client_id in sessions_of(config.broker.client_id, shared.partitions, sessions):
                named = config.broker.model_copy(update={"client_id": client_id})
                forget_session(broker, config.model_copy(update={"broker": named}))
        assert one_platform.one("SELECT sum(takeovers) FROM telemetry.ingest_session") == 1
        for edge in edges:
            account = one_platform.account(edge)
            assert account["watermark"] == account["highest"] == edge.seq
            assert account["produced"] == account["stored"] + account["duplicate"] + account["lost"]
        one_platform.check()

    def test_termination_commits_what_was_taken_and_leaves_no_connection(
        self, broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform, tmp_path: Path
    ) -> None:
        one_platform.register(edge)
        messages = _stream(edge, 300)
        with self._process(config, one_platform, tmp_path) as child, Client(broker) as client:
            client.listen(edge)
            client.publish(*messages)
            client.await_receipt(edge.seq)
            child.terminate()
            assert child.wait(10) == 0
        _balanced(one_platform, edge)
        assert one_platform.account(edge)["redelivered"] == 0


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


class TestTwinFaults:
    """Each step of a round fails once before it takes effect and once after."""

    @pytest.mark.parametrize("after", [False, True], ids=["neither", "done"])
    @pytest.mark.parametrize("step", ["commit", "publish", "acknowledge"])
    @pytest.mark.parametrize("round_number", [1, 3])
    def test_fall_at_any_step_is_made_good_by_the_next_worker(
        self,
        broker: BrokerServer,
        config: IngestConfig,
        edge: Edge,
        one_platform: Platform,
        step: str,
        after: bool,
        round_number: int,
    ) -> None:
        one_platform.register(edge)
        messages = _stream(edge, 120)
        with Client(broker) as client:
            self._work_until_killed(config, one_platform, client, messages, (step, after, round_number))
            client.listen(edge)
            with working(config, one_platform):
                client.publish(*messages[-20:])
                client.await_receipt(edge.seq)
        _balanced(one_platform, edge)

    def _work_until_killed(
        self,
        config: IngestConfig,
        platform: Platform,
        client: Client,
        messages: Sequence[Message],
        where: tuple[str, bool, int],
    ) -> None:
        subscriber, writer = FallingSubscriber(config, where), FallingWriter(platform.url, where)
        published = threading.Event()

        def publish() -> None:
            client.publish(*messages)
            published.set()

        hasty = config.model_copy(update={"receipt_interval_s": 0.0, "batch_messages": 10})
        ingest = Ingest(hasty, subscriber, writer, SystemClock())
        with pytest.raises(Killed):
            ingest.run(threading.Event(), threading.Thread(target=publish).start)
        subscriber.vanish()
        writer.close()
        assert published.wait(20)


class _Falling:
    """Counts calls of one step and falls at the one asked for."""

    def __init__(self, where: tuple[str, bool, int]) -> None:
        self.step, self.after, self.left = where

    def falls(self, step: str, after: bool) -> None:
        if step != self.step:
            return
        if not after:
            self.left -= 1
        if self.left == 0 and after is self.after:
            raise Killed


class FallingSubscriber(Subscriber):
    """A subscriber that is killed before or after it publishes or acknowledges."""

    def __init__(self, config: IngestConfig, where: tuple[str, bool, int]) -> None:
        super().__init__(config, SystemClock())
        self._fall = _Falling(where)

    def publish(self, *args: object) -> bool:
        self._fall.falls("publish", False)
        done = super().publish(*args)  # type: ignore[arg-type]
        self._fall.falls("publish", True)
        return done

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:  # type: ignore[override]
        self._fall.falls("acknowledge", False)
        super().acknowledge(deliveries)
        self._fall.falls("acknowledge", True)

    def vanish(self) -> None:
        """Close the socket as the kernel does for a killed process."""
        current = self._client.buffered_socket()
        assert current is not None
        current._inner.close()
        self._bell.close()
        self._heard.close()


class FallingWriter(Writer):
    """A writer that is killed before or after it commits."""

    def __init__(self, url: str, where: tuple[str, bool, int]) -> None:
        super().__init__(url)
        self._fall = _Falling(where)

    def commit(self, outcomes: Sequence[Outcome]) -> list[Committed]:
        self._fall.falls("commit", False)
        done = super().commit(outcomes)
        self._fall.falls("commit", True)
        return done


@pytest.mark.slow
def test_database_stopped_for_seconds_delays_and_loses_nothing(
    broker: BrokerServer, config: IngestConfig, edge: Edge
) -> None:
    messages = _stream(edge, 1_500)
    with temporary_folder() as folder, Client(broker) as client:
        service = EmbeddedPostgres(folder / "pg", DatabaseSettings(timescaledb="off", shared_buffers_mb=64))
        prepared(service)
        platform = Platform(service.url)
        with running(service, folder / "pg.log"):
            migrate(platform.url)
            platform.register(edge)
        client.listen(edge)
        stream = threading.Thread(target=client.stream, args=(messages, 500))
        with running(service, folder / "pg.log") as first, working(config, platform):
            stream.start()
            client.await_receipt(100)
            process.stop(first, service.command().stop_signal, 10.0)
            time.sleep(2.0)
            with running(service, folder / "pg.log"):
                client.await_receipt(edge.seq)
                stream.join()
                _balanced(platform, edge)


def test_connections_cut_by_the_database_are_opened_again(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    messages = _stream(edge, 600)
    with working(config, one_platform), Client(broker) as client:
        client.listen(edge)
        stream = threading.Thread(target=client.stream, args=(messages, 500))
        stream.start()
        while stream.is_alive():
            time.sleep(0.15)
            one_platform.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'hanlu ingest' AND datname = current_database()"
            )
        client.publish(messages[-1])
        client.await_receipt(edge.seq)
    _balanced(one_platform, edge)


def test_storm_of_duplicates_is_counted_and_stored_once(
    broker: BrokerServer, config: IngestConfig, edge: Edge, one_platform: Platform
) -> None:
    one_platform.register(edge)
    messages = _stream(edge, 100)
    storm = messages * 20
    random.Random(7).shuffle(storm)
    with working(config, one_platform), Client(broker) as client:
        client.listen(edge)
        client.publish(*storm)
        client.await_receipt(edge.seq)
        wait_until(lambda: one_platform.account(edge)["redelivered"] == 1_900, "all of the storm taken")
    assert one_platform.rows("SELECT count(*) FROM telemetry.gap") == [(0,)]
    _balanced(one_platform, edge)
