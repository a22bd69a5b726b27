"""While one batch is committed the next is gathered, and nothing is told to anybody before its commit."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from fix_edge import NOON_MS, Edge, temperature
from prometheus_client import REGISTRY

from hanlu.core.clock import SystemClock
from hanlu.core.errors import TransientError
from hanlu.core.wire.topics import Lane, Topic
from hanlu.ingest.account import Standing
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.directory import Channel, Directory, Gateway, Key, Snapshot
from hanlu.ingest.message import Accepted, Delivery, Outcome
from hanlu.ingest.service import Ingest
from hanlu.ingest.subscriber import Subscriber
from hanlu.ingest.writer import Committed, Writer

EDGE = Edge()
SNAPSHOT = Snapshot.of(
    Gateway(1, "gw-1", 0, False, {EDGE.kid: Key(EDGE.public, 0)}, {"room-1/air_temperature": Channel.of(1, "Cel")})
)


class Ears:
    """A subscriber without a network: deliveries are put into the inbox, what is told is written down."""

    def __init__(self, log: list[tuple[str, Any]]) -> None:
        self.inbox: deque[Delivery] = deque()
        self.ready = True
        self._log = log
        self._bell = threading.Event()

    def turn(self, timeout_s: float, *, connect: bool = True) -> None:
        del connect
        self._bell.wait(min(timeout_s, 0.02))
        self._bell.clear()

    def take(self) -> Delivery:
        return self.inbox.popleft()

    def wake(self) -> None:
        self._bell.set()

    def publish(self, topic: Topic, payload: bytes) -> bool:
        assert topic.lane is Lane.RECEIPT
        assert payload
        self._log.append(("receipt", None))
        return True

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        self._log.append(("acknowledge", [each.mid for each in deliveries]))


class Hand:
    """A writer without a database: every commit waits to be let through, and may be made to fail first."""

    def __init__(self, log: list[tuple[str, Any]]) -> None:
        self.reader = None
        self.begun: deque[list[int]] = deque()
        self.gate = threading.Semaphore(0)
        self.failures = 0
        self._log = log

    def commit(self, outcomes: Sequence[Outcome]) -> list[Committed]:
        accepted = [each for each in outcomes if isinstance(each, Accepted)]
        seqs = [each.header.seq for each in accepted if each.header]
        self.begun.append(seqs)
        assert self.gate.acquire(timeout=10)
        if self.failures:
            self.failures -= 1
            raise TransientError("away")
        self._log.append(("commit", seqs))
        return [Committed(accepted[0].topic, EDGE.epoch, Standing(seqs[-1]))]


class Scene:
    """An ingest loop running in a thread between the two."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.ears, self.hand = Ears(self.log), Hand(self.log)
        self.stop = threading.Event()
        self.edge = Edge()

    def deliver(self, count: int) -> None:
        for _ in range(count):
            topic, payload = self.edge.readings([temperature(-18, NOON_MS + self.edge.seq)])
            self.ears.inbox.append(Delivery(topic, payload, NOON_MS + 1000, 1, self.edge.seq, 1))
        self.ears.wake()

    def let_through(self, count: int = 1) -> None:
        self.hand.gate.release(count)

    def until(self, fact: Callable[[], object]) -> None:
        end = time.monotonic() + 10
        while not fact():
            assert time.monotonic() < end, self.log
            time.sleep(0.002)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(Directory, "refresh", lambda self, *_, **__: setattr(self, "snapshot", SNAPSHOT))
    with _playing(batch_messages=10, receipt_interval_s=0.0, retry_min_s=0.01, retry_max_s=0.01) as scene:
        yield scene


@contextmanager
def _playing(**values: Any) -> Iterator[Scene]:
    scene = Scene()
    config = IngestConfig.model_validate(values)
    ingest = Ingest(config, cast("Subscriber", scene.ears), cast("Writer", scene.hand), SystemClock())
    thread = threading.Thread(target=ingest.run, args=(scene.stop, lambda: None))
    thread.start()
    try:
        yield scene
    finally:
        scene.stop.set()
        scene.let_through(1_000)
        thread.join(10)
        assert not thread.is_alive()


def test_receipt_and_acknowledgement_follow_the_commit_in_this_order(scene: Scene) -> None:
    scene.deliver(3)
    scene.until(lambda: len(scene.hand.begun) == 1)
    time.sleep(0.05)
    assert scene.log == []
    first = scene.hand.begun[0]
    scene.let_through()
    scene.until(lambda: len(scene.log) >= 3)
    assert scene.log[:3] == [("commit", first), ("receipt", None), ("acknowledge", first)]


def test_next_batch_is_gathered_during_a_commit_and_no_third_one(scene: Scene) -> None:
    scene.deliver(1)
    scene.until(lambda: scene.hand.begun)
    scene.deliver(25)
    scene.until(lambda: len(scene.ears.inbox) == 15)
    time.sleep(0.05)
    assert len(scene.ears.inbox) == 15, "one batch is gathered, the rest waits"
    assert list(scene.hand.begun) == [[1]]
    assert scene.log == []
    scene.let_through(4)
    scene.until(lambda: len([each for each in scene.log if each[0] == "acknowledge"]) == 4)
    commits = [seqs for what, seqs in scene.log if what == "commit"]
    assert commits == [[1], list(range(2, 12)), list(range(12, 22)), list(range(22, 27))]


def test_failed_batch_comes_again_before_the_next_and_is_acknowledged_once(scene: Scene) -> None:
    scene.hand.failures = 2
    scene.deliver(1)
    scene.until(lambda: scene.hand.begun)
    scene.deliver(4)
    scene.let_through(4)
    scene.until(lambda: len([each for each in scene.log if each[0] == "acknowledge"]) == 2)
    assert list(scene.hand.begun) == [[1], [1], [1], [2, 3, 4, 5]]
    told = [each for each in scene.log if each[0] != "receipt"]
    assert told == [("commit", [1]), ("acknowledge", [1]), ("commit", [2, 3, 4, 5]), ("acknowledge", [2, 3, 4, 5])]


def test_figures_count_each_batch_once_and_each_try(scene: Scene) -> None:
    def figures() -> dict[str, float]:
        return {
            name: REGISTRY.get_sample_value(f"hanlu_ingest_{name}", labels) or 0.0
            for name, labels in (
                ("messages_total", {"outcome": "accepted"}),
                ("batch_messages_sum", {}),
                ("batch_readings_count", {}),
                ("held_seconds_count", {}),
                ("commit_seconds_count", {}),
                ("retries_total", {}),
            )
        }

    before = figures()
    scene.hand.failures = 1
    scene.deliver(1)
    scene.let_through(2)
    scene.until(lambda: any(what == "acknowledge" for what, _ in scene.log))
    assert {name: value - before[name] for name, value in figures().items()} == {
        "messages_total": 1, "batch_messages_sum": 1, "batch_readings_count": 1, "held_seconds_count": 1,
        "commit_seconds_count": 2, "retries_total": 1,
    }  # fmt: skip


def test_stop_commits_and_acknowledges_what_was_taken(scene: Scene) -> None:
    scene.deliver(1)
    scene.until(lambda: scene.hand.begun)
    scene.deliver(30)
    scene.stop.set()
    scene.let_through(1_000)
    scene.until(lambda: sum(len(mids) for what, mids in scene.log if what == "acknowledge") == 31)
    assert [mid for what, mids in scene.log if what == "acknowledge" for mid in mids] == list(range(1, 32))
