from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.documents import Loss, Undecoded
from hanlu.core.wire.envelope import ContentType, Envelope, open_envelope
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.driver.contract import Batch, Undecodable, Verdict
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool

NOW = 1_750_000_000_000


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.spool = Spool(folder / "spool.sqlite", Ed25519PrivateKey.generate(), self.clock)
        self.commits = 0
        self.gateway_clock = GatewayClock(self.clock, "boot-1")
        self.intake = SpoolIntake(self.spool, Packing(), self.gateway_clock, Admission(Priorities()), self.committed)

    def committed(self) -> None:
        self.commits += 1

    def envelopes(self) -> list[Envelope]:
        found = [open_envelope(message.raw) for message in self.spool.next_after(0, 10_000)]
        assert all(isinstance(each, Envelope) for each in found)
        return found  # type: ignore[return-value]

    def readings(self) -> list[Reading]:
        packs = [
            decode_json(e.payload, NOW) for e in self.envelopes() if e.header.content_type is ContentType.SENML_JSON
        ]
        return [reading for pack in packs if isinstance(pack, Pack) for reading in pack.readings]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


def reading(step: int, name: str = "room-1/air_temperature") -> Reading:
    return Reading(name, "Cel", NOW - 1_000 * step, -18.0 - step)


def test_batch_is_on_the_disk_when_it_is_answered(bench):
    batch = Batch((reading(1),), (Loss(reason="no_value", count=4),), (b'{"type":"EPCISDocument"}',))
    assert bench.intake.offer(batch) is Verdict.KEPT
    assert bench.commits == 1
    assert bench.readings() == [reading(1)]
    assert sorted(e.header.count for e in bench.envelopes()) == [0, 1, 4]


def test_message_that_cannot_be_read_goes_on_with_its_bytes_and_counts_nothing(bench):
    why = Rejected(Reason.MALFORMED, "no such port")
    bench.intake.offer(Batch(undecodable=(Undecodable("lorawan-1 a840", why, b"\x00\x01" * 40_000),)))
    (envelope,) = bench.envelopes()
    assert (envelope.header.content_type, envelope.header.count) == (ContentType.UNDECODED, 0)
    document = Undecoded.model_validate_json(envelope.payload)
    assert (document.source, document.reason, document.detail, document.observed_ms, document.size) == (
        "lorawan-1 a840", Reason.MALFORMED, "no such port", NOW, 80_000,
    )  # fmt: skip
    assert base64.b64decode(document.body) == b"\x00\x01" * 30_000


def test_batches_offered_during_a_flush_share_the_next_one(bench, monkeypatch):
    append, flushing, go_on = bench.spool.append, threading.Event(), threading.Event()

    def slow(*args: object, **more: object):
        flushing.set()
        assert go_on.wait(10)
        return append(*args, **more)

    monkeypatch.setattr(bench.spool, "append", slow)
    verdicts = []
    first = threading.Thread(target=lambda: verdicts.append(bench.intake.offer(Batch((reading(0),)))))
    first.start()
    assert flushing.wait(10)
    others = [
        threading.Thread(target=lambda n=n: verdicts.append(bench.intake.offer(Batch((reading(n),)))))
        for n in range(1, 9)
    ]
    for thread in others:
        thread.start()
    while len(bench.intake._waiting) < 8:
        pass
    go_on.set()
    for thread in [first, *others]:
        thread.join(10)
    assert verdicts == [Verdict.KEPT] * 9
    assert bench.commits == 2
    assert set(bench.readings()) == {reading(n) for n in range(9)}


def test_disk_that_refuses_is_told_to_each_thread_and_the_next_offer_is_kept(bench, monkeypatch):
    append = bench.spool.append

    def failing(*_: object, **_more: object):
        raise TransientError("disk full")

    monkeypatch.setattr(bench.spool, "append", failing)
    for _ in range(2):
        with pytest.raises(TransientError, match="disk full"):
            bench.intake.offer(Batch((reading(1),)))
    monkeypatch.setattr(bench.spool, "append", append)
    assert bench.intake.offer(Batch((reading(1),))) is Verdict.KEPT
    assert bench.readings() == [reading(1)]


def test_many_threads_lose_nothing_and_share_flushes(bench):
    def offer(room: int) -> None:
        for step in range(50):
            assert bench.intake.offer(Batch((reading(step, f"room-{room}/a"),))) is Verdict.KEPT

    threads = [threading.Thread(target=offer, args=(room,)) for room in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(bench.readings())) == 400
    assert bench.commits == bench.intake.counts["commits"] <= 400
