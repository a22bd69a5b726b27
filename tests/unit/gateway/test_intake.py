from __future__ import annotations

import base64
import math
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.documents import Loss, Undecoded
from hanlu.core.wire.envelope import ContentType, Envelope, open_envelope
from hanlu.gateway import spool_rows as rows_of
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.driver.contract import Batch, Undecodable, Verdict
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.item import Item, Kind
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool

NOW = 1_750_000_000_000
KEY = Ed25519PrivateKey.generate()


class Bench:
    def __init__(self, folder: Path, *, max_bytes: int = 1 << 30, start_ms: int = NOW, boot: str = "boot-1") -> None:
        self.clock = ManualClock(start_ms)
        self.spool = Spool(folder / "spool.sqlite", KEY, self.clock, max_bytes=max_bytes)
        self.commits = 0
        self.gateway_clock = GatewayClock(self.clock, boot, self.spool.known_time())
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


def test_batch_no_message_can_be_made_of_fails_alone(bench, monkeypatch):
    append, flushing, go_on = bench.spool.append, threading.Event(), threading.Event()

    def slow(*args: object, **more: object):
        flushing.set()
        assert go_on.wait(10)
        return append(*args, **more)

    monkeypatch.setattr(bench.spool, "append", slow)
    outcomes: dict[int, object] = {}

    def offer(number: int) -> None:
        value = math.nan if number == 2 else -18.0
        try:
            outcomes[number] = bench.intake.offer(Batch((reading(number)._replace(value=value),)))
        except ValueError as error:
            outcomes[number] = str(error)

    threads = [threading.Thread(target=offer, args=(number,)) for number in range(4)]
    threads[0].start()
    assert flushing.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(bench.intake._waiting) < 3:
        pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [outcomes[number] for number in (0, 1, 3)] == [Verdict.KEPT] * 3
    assert "not JSON compliant" in str(outcomes[2])
    assert {each.observed_ms for each in bench.readings()} == {reading(number).observed_ms for number in (0, 1, 3)}


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


def named(name: str, count: int, start: int = 0) -> tuple[Reading, ...]:
    return tuple(Reading(name, "Cel", NOW - 60_000 * (start + n), -18.0) for n in range(count))


def fill(bench: Bench, share: float) -> None:
    """Fill the spool of 64 KiB to `share` with an event, which no stage before the last refuses."""
    size = round(65_536 * share) - bench.spool.stats().pending_bytes - 200
    bench.spool.append([Item(Kind.EVENT, ContentType.EPCIS_JSON, b"x" * size)])


def losses(bench: Bench) -> dict[tuple[str, str | None], int]:
    found = [
        Loss.model_validate_json(e.payload) for e in bench.envelopes() if e.header.content_type is ContentType.LOSS
    ]
    return {(loss.reason, loss.channel): loss.count for loss in found}


@pytest.fixture
def small(tmp_path):
    bench = Bench(tmp_path, max_bytes=65_536)
    yield bench
    bench.spool.close()


def test_everything_produced_is_kept_or_declared_through_all_stages(small):
    offered = 0
    for step, share in enumerate((0.5, 0.82, 0.92, 0.96, 1.0, 1.05)):
        fill(small, share)
        batch = Batch(named("room-1/a", 7, step * 100) + named("room-1/rssi", 5, step * 100))
        small.intake.offer(batch)
        offered += 12
    kept = len(small.readings())
    assert small.spool.stats().refused == offered - kept > 0
    small.spool.delete_committed(small.spool.head)
    declared = losses(small)
    assert sum(declared.values()) == offered - kept
    assert {reason for reason, _ in declared} == {"decimated", "spool_full"}
    assert {channel for _, channel in declared} == {"room-1/a", "room-1/rssi"}
    assert small.envelopes()[-1].header.produced == offered


def test_batch_thinned_is_kept_and_batch_stopped_is_refused(small):
    fill(small, 0.85)
    thinned = Batch(named("room-1/rssi", 3))
    assert small.intake.offer(thinned) is Verdict.KEPT
    assert small.intake.offer(Batch(named("room-1/rssi", 1, 1))) is Verdict.KEPT  # dropped, but only for the interval
    fill(small, 0.93)
    assert small.intake.offer(Batch(named("room-1/rssi", 3, 50))) is Verdict.REFUSED
    assert small.intake.offer(Batch(named("room-1/rssi", 3, 50) + named("room-1/a", 1))) is Verdict.KEPT


@pytest.mark.parametrize("restart", [False, True])
def test_refused_batch_offered_again_is_answered_the_same_and_counted_once(small, tmp_path, restart):
    fill(small, 1.01)
    batch = Batch(named("room-1/a", 3), (Loss(reason="no_value", count=2),))
    assert small.intake.offer(batch) is Verdict.KEPT  # its loss is kept
    only = Batch(named("room-1/a", 3, 10))
    assert small.intake.offer(only) is Verdict.REFUSED
    counted, head = small.spool.stats().refused, small.spool.head
    if restart:
        small.spool.close()
        small.__init__(tmp_path, max_bytes=65_536)
    assert small.intake.offer(batch) is Verdict.KEPT
    assert small.intake.offer(only) is Verdict.REFUSED
    assert (small.spool.stats().refused, small.spool.head) == (counted, head) == (6, 2)


def test_refused_batch_offered_twice_at_once_is_counted_once(small):
    fill(small, 1.01)
    before = small.spool.stats().refused
    batch = Batch((reading(-1, "room-1/new"), reading(-2, "room-1/new")))
    assert small.intake.offer_all([batch, batch]) == [Verdict.REFUSED] * 2
    assert small.spool.stats().refused == before + 2


def test_events_and_losses_have_the_reserve_and_then_are_refused_and_counted(small):
    fill(small, 1.02)
    assert small.intake.offer(Batch(events=(b"{}",))) is Verdict.KEPT
    assert small.intake.offer(Batch(losses=(Loss(reason="no_value", count=2),))) is Verdict.KEPT
    fill(small, 1.12)
    assert small.intake.offer(Batch(events=(b"{}",))) is Verdict.REFUSED
    assert small.spool.stats().refused == 0
    small.intake.offer(Batch(losses=(Loss(reason="no_value", count=9, channel="room-1/a"),)))
    assert small.spool.stats().refused == 9
    small.spool.delete_committed(small.spool.head)
    assert losses(small) == {("no_value", "room-1/a"): 9}


def test_unreadable_message_without_room_is_declared_too(small):
    fill(small, 1.01)
    why = Rejected(Reason.MALFORMED, "no such port")
    assert small.intake.offer(Batch(undecodable=(Undecodable("x", why, b"1"),))) is Verdict.REFUSED
    small.spool.delete_committed(small.spool.head)
    assert losses(small) == {("spool_full", None): 1}


def test_disk_that_turns_out_full_counts_what_it_refuses_as_disk_full(bench, monkeypatch):
    bench.intake.offer(Batch(named("room-1/a", 1)))
    room, insert = bench.spool._room, rows_of.insert_messages
    monkeypatch.setattr(room, "recover", lambda: False)

    def no_space(db, rows):
        if rows:
            db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
            db.execute("CREATE TABLE filler (x)")  # needs a page: SQLITE_FULL, as from a full disk
        insert(db, rows)

    monkeypatch.setattr(rows_of, "insert_messages", no_space)
    assert bench.intake.offer(Batch(named("room-1/a", 5, 10))) is Verdict.REFUSED
    assert (bench.spool.stats().refused, bench.spool.stats().stage) == (5, "full")
    assert not (bench.spool._path.with_name("spool.sqlite.reserve")).exists()
    monkeypatch.undo()
    bench.spool._db.execute("PRAGMA max_page_count=1000000")
    bench.spool.tidy()
    assert losses(bench) == {("disk_full", "room-1/a"): 5}
    assert bench.intake.offer(Batch(named("room-1/a", 1, 99))) is Verdict.KEPT
    assert bench.spool._path.with_name("spool.sqlite.reserve").stat().st_size == 4 << 20


def test_readings_without_a_time_wait_and_go_with_the_right_one_when_it_is_known(tmp_path):
    bench = Bench(tmp_path, start_ms=5_000)  # no battery behind the clock: 1970
    bench.clock.advance(100)
    own_clock = Reading("truck-1/speed", "m/s", NOW, 9.0)
    bench.intake.offer(Batch((Reading("room-1/a", "Cel", bench.clock.now_ms(), -18.0), own_clock)))
    bench.clock.advance(60)
    bench.intake.offer(Batch((Reading("room-1/a", "Cel", bench.clock.now_ms() - 2_000, -19.0),)))
    assert bench.readings() == [own_clock]
    assert (bench.spool.stats().held, bench.intake.release_held()) == (2, 0)
    bench.clock.advance(40)
    bench.gateway_clock.heard(NOW)  # monotonic 200 s
    assert bench.intake.release_held() == 2
    assert bench.readings()[1:] == [
        Reading("room-1/a", "Cel", NOW - 100_000, -18.0), Reading("room-1/a", "Cel", NOW - 42_000, -19.0),
    ]  # fmt: skip
    bench.intake.offer(Batch((Reading("room-1/a", "Cel", bench.gateway_clock.now_ms(), -20.0),)))
    assert bench.readings()[-1].observed_ms == NOW
    bench.spool.close()


def test_readings_held_over_a_restart_of_the_machine_get_the_latest_time_they_can_have_and_are_uncertain(tmp_path):
    bench = Bench(tmp_path, start_ms=5_000)
    for seconds in (100, 20):
        bench.clock.advance(seconds)
        bench.intake.offer(Batch((Reading("room-1/a", "Cel", bench.clock.now_ms(), float(seconds)),)))
    bench.spool.close()
    again = Bench(tmp_path, start_ms=5_000, boot="boot-2")
    again.clock.advance(10)
    again.intake.offer(Batch((Reading("room-1/a", "Cel", again.clock.now_ms(), 1.0),)))
    again.clock.advance(50)
    again.gateway_clock.heard(NOW)  # so boot-2 began at NOW - 60 s, and boot-1's last reading came no later
    again.intake.release_held()
    assert sorted(again.readings(), key=lambda each: each.observed_ms) == [
        Reading("room-1/a", "Cel", NOW - 80_000, 100.0, Quality.UNCERTAIN),
        Reading("room-1/a", "Cel", NOW - 60_000, 20.0, Quality.UNCERTAIN),
        Reading("room-1/a", "Cel", NOW - 50_000, 1.0),
    ]
    again.spool.close()


def test_readings_held_over_a_restart_of_the_process_keep_their_exact_time(tmp_path):
    bench = Bench(tmp_path, start_ms=5_000)
    bench.clock.advance(100)
    bench.intake.offer(Batch((Reading("room-1/a", "Cel", bench.clock.now_ms(), 1.0),)))
    bench.spool.close()
    again = Bench(tmp_path, start_ms=5_000)
    again.clock.advance(130)  # the same run of the machine: its monotonic clock went on
    again.gateway_clock.heard(NOW)
    again.intake.release_held()
    assert again.readings() == [Reading("room-1/a", "Cel", NOW - 30_000, 1.0)]
    again.spool.close()


def test_live_reading_of_a_device_without_a_clock_is_kept_as_uncertain_and_counted(bench):
    bench.intake.offer(Batch((Reading("room-1/a", "Cel", 12_500, 1.0),)))
    assert bench.readings() == [Reading("room-1/a", "Cel", NOW, 1.0, Quality.UNCERTAIN)]
    assert bench.intake.counts["restamped"] == 1
