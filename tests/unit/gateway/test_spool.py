from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanlu.core.clock import ManualClock
from hanlu.core.errors import ConflictError, FatalError, HanluError, TransientError
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Envelope, digest, open_envelope, public_bytes, verify
from hanlu.gateway.item import Answered, Drop, Held, Item, Kind, KnownTime
from hanlu.gateway.policy import Stage
from hanlu.gateway.spool import Spool

LOSS = ContentType.LOSS
KEY = Ed25519PrivateKey.generate()


def item(count: int = 1, size: int = 10, kind: Kind = Kind.READING, *, replayed: bool = False) -> Item:
    return Item(kind, ContentType.SENML_JSON, b"x" * size, count, replayed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool.sqlite"


def opened(path: Path, max_bytes: int = 1 << 30, clock: ManualClock | None = None) -> Spool:
    return Spool(path, KEY, clock or ManualClock(), max_bytes=max_bytes)


def envelopes(spool: Spool) -> list[Envelope]:
    found = [open_envelope(message.raw) for message in spool.next_after(0, 10_000)]
    assert all(isinstance(envelope, Envelope) for envelope in found)
    return found  # type: ignore[return-value]


def assert_sound(spool: Spool) -> None:
    """The chain holds, the totals add up, seqs have no gap, signatures verify."""
    messages = spool.next_after(0, 10_000)
    assert [message.seq for message in messages] == list(range(spool.committed + 1, spool.head + 1))
    previous = None
    for message, envelope in zip(messages, envelopes(spool), strict=True):
        header = envelope.header
        assert verify(envelope, public_bytes(KEY))
        assert (header.epoch, header.seq) == (spool.epoch, message.seq)
        if previous is not None:
            assert header.prev == digest(previous.raw)
            assert header.produced == open_envelope(previous.raw).header.produced + header.count
        elif message.seq == 1:
            assert (header.prev, header.produced) == (NO_PREVIOUS, header.count)
        previous = message
    assert spool.stats().pending_bytes == sum(len(message.raw) for message in messages)


def test_new_spool_is_empty_with_an_epoch_of_its_own(path, tmp_path):
    first, second = opened(path), opened(tmp_path / "other.sqlite")
    assert (first.head, first.committed, first.next_after(0, 10)) == (0, 0, [])
    assert len(first.epoch) == 16
    assert first.epoch != second.epoch
    first.append([item()])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in [path.parent, *path.parent.iterdir()]}
    assert modes == {
        "data": 0o700, "spool.sqlite": 0o600, "spool.sqlite-wal": 0o600, "spool.sqlite.reserve": 0o600,
    }  # fmt: skip
    first.close()
    second.close()


def test_appended_messages_are_sealed_in_order_and_survive_reopening(path):
    spool = opened(path)
    assert list(spool.append([item(3), item(0, kind=Kind.EVENT)])) == [1, 2]
    assert list(spool.append([item(5, replayed=True)])) == [3]
    before = spool.next_after(0, 10)
    epoch = spool.epoch
    spool.close()
    again = opened(path)
    assert again.epoch == epoch
    assert again.next_after(0, 10) == before
    assert list(again.append([item(1)])) == [4]
    assert_sound(again)
    assert [envelope.header.produced for envelope in envelopes(again)] == [3, 3, 8, 9]
    assert [envelope.header.replayed for envelope in envelopes(again)] == [False, False, True, False]
    again.close()


def test_reading_by_pages_returns_each_message_once(path):
    spool = opened(path)
    spool.append([item() for _ in range(25)])
    seen, last = [], 0
    while page := spool.next_after(last, 10):
        assert len(page) <= 10
        seen += [message.seq for message in page]
        last = page[-1].seq
    assert seen == list(range(1, 26))
    spool.close()


def test_deletion_up_to_a_receipt_keeps_what_is_above_and_the_chain_across_reopening(path):
    spool = opened(path)
    spool.append([item() for _ in range(10)])
    assert spool.delete_committed(7) == 7
    assert spool.delete_committed(5) == 0
    assert_sound(spool)
    spool.delete_committed(10)
    tail = spool.head
    spool.close()
    again = opened(path)
    assert (again.head, again.committed) == (tail, 10)
    again.append([item()])
    assert_sound(again)
    assert envelopes(again)[0].header.prev != NO_PREVIOUS
    again.close()


def test_deletion_of_more_than_one_page_deletes_all(path):
    spool = opened(path)
    spool.append([item() for _ in range(4_100)])
    assert spool.delete_committed(4_100) == 4_100
    assert spool.stats().pending_bytes == 0
    spool.close()


def test_receipt_for_a_seq_never_given_is_refused_and_deletes_nothing(path):
    spool = opened(path)
    spool.append([item()])
    with pytest.raises(ValueError, match="never given out"):
        spool.delete_committed(2)
    assert spool.stats().pending == 1
    spool.close()


def test_second_process_on_the_same_file_is_refused(path):
    spool = opened(path)
    script = (
        "import sys; from pathlib import Path; from hanlu.core.clock import SystemClock;"
        "from hanlu.core.errors import ConflictError; from hanlu.gateway.spool import Spool;"
        "from hanlu.gateway.identity import load_or_create_key as k\n"
        "try: Spool(Path(sys.argv[1]), k(Path(sys.argv[1] + '.key')), SystemClock())\n"
        "except ConflictError: sys.exit(42)"
    )
    code = subprocess.run([sys.executable, "-P", "-c", script, str(path)], check=False).returncode
    assert code == 42
    with pytest.raises(ConflictError):
        opened(path)
    spool.append([item()])
    assert_sound(spool)
    spool.close()


def test_stats_tell_count_bytes_and_age(path):
    clock = ManualClock()
    spool = opened(path, clock=clock)
    spool.append([item(4)])
    clock.advance(12.5)
    spool.append([item(2)])
    stats = spool.stats()
    assert (stats.pending, stats.produced, stats.oldest_age_s, stats.full) == (2, 6, 12.5, False)
    clock.step(0)
    assert spool.stats().oldest_age_s == 0
    spool.close()


def test_what_came_while_no_time_was_known_has_no_age(path):
    clock = ManualClock(5_000)
    spool = opened(path, clock=clock)
    spool.append([item()])
    clock.step(1_790_000_000_000)
    assert spool.stats().oldest_age_s == 0
    spool.close()


def test_full_spool_counts_what_is_dropped_by_reason_and_channel_and_declares_it_when_room_returns(path):
    spool = opened(path, max_bytes=65_536)
    while spool.stage < Stage.FULL:
        spool.append([item(1, size=4_000)])
    spool.append([], drops=[Drop("spool_full", "a/b", 5, 1_000, 2_000), Drop("spool_full", "a/c", 1, 7, 7)])
    spool.append([], drops=[Drop("spool_full", "a/b", 2, 500, 1_500), Drop("decimated", "a/b", 1)])
    taken = spool.head
    spool.close()
    again = opened(path, max_bytes=65_536)
    assert (again.stage, again.stats().full, again.stats().refused) == (Stage.FULL, True, 9)
    again.delete_committed(2)
    assert again.stats().refused == 9
    again.delete_committed(taken // 2)
    assert again.stage is Stage.OPEN
    declared = [Loss.model_validate_json(e.payload) for e in envelopes(again) if e.header.content_type is LOSS]
    assert declared == [
        Loss(reason="decimated", count=1, channel="a/b"),
        Loss(reason="spool_full", count=7, channel="a/b", from_ms=500, to_ms=2_000),
        Loss(reason="spool_full", count=1, channel="a/c", from_ms=7, to_ms=7),
    ]
    assert envelopes(again)[-1].header.produced == taken + 9
    assert again.stats().refused == 0
    assert_sound(again)
    again.close()


def test_drops_of_more_channels_than_are_counted_apart_are_counted_by_reason(path):
    spool = opened(path)
    spool._stage = Stage.FULL
    for start in range(0, 6_000, 1_000):
        spool.append([], drops=[Drop("spool_full", f"room-{n}/a", 1, n, n) for n in range(start, start + 1_000)])
    assert spool.stats().refused == 6_000
    assert len(spool._drops) == 5_001
    spool.close()
    again = opened(path)
    again.tidy()
    declared = [Loss.model_validate_json(e.payload) for e in envelopes(again)]
    assert sum(loss.count for loss in declared) == 6_000
    (rest,) = [loss for loss in declared if loss.channel is None]
    assert (rest.count, rest.from_ms, rest.to_ms) == (1_000, 5_000, 5_999)
    again.close()


def test_answers_are_remembered_across_restarts_and_the_oldest_forgotten(path):
    spool = opened(path)
    spool.append([], drops=[Drop("spool_full", "", 1)], answers=[Answered(b"first", kept=True)])
    for start in range(0, 4_200, 100):
        answers = [Answered(str(n).encode(), kept=False) for n in range(start, start + 100)]
        spool.append([], drops=[Drop("spool_full", "", 1)], answers=answers)
    assert [spool.answered(key) for key in (b"first", b"50", b"150", b"4199")] == [None, None, False, False]
    spool.close()
    again = opened(path)
    assert [again.answered(key) for key in (b"first", b"50", b"150", b"4199")] == [None, None, False, False]
    again.close()


def test_held_readings_survive_and_become_messages_in_their_order(path):
    spool = opened(path)
    spool.append([item()], held=[Held("boot-1", 1_000, b"one"), Held("boot-1", 2_000, b"two")])
    spool.append([], held=[Held("boot-2", 500, b"three")])
    spool.begin_epoch()
    spool.close()
    again = opened(path)
    assert (again.stats().held, again.has_held) == (3, True)
    assert again.held_boots() == [("boot-2", 500), ("boot-1", 2_000)]
    for boot in ("boot-1", "boot-2"):
        again.release_held(boot, lambda held: [Item(Kind.READING, ContentType.SENML_JSON, held.body, 1)])
    assert [e.payload for e in envelopes(again)][1:] == [b"one", b"two", b"three"]
    assert (again.stats().held, again.stats().produced) == (0, 4)
    assert_sound(again)
    again.close()


def test_known_time_survives(path):
    spool = opened(path)
    assert spool.known_time() is None
    for ms in (1, 2):
        spool.keep_known_time(KnownTime(ms, 7, "boot-1"))
    spool.close()
    again = opened(path)
    assert again.known_time() == KnownTime(2, 7, "boot-1")
    again.close()


def test_file_of_format_1_opens_with_everything_in_it(tmp_path):
    """The file was made by the code of version 0.1.0: 33 messages, 10 of them receipted, 7 readings refused."""
    path = tmp_path / "spool.sqlite"
    path.write_bytes((Path(__file__).parent / "data" / "spool-format-1.sqlite").read_bytes())
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    spool = Spool(path, key, ManualClock())
    stats = spool.stats()
    assert stats.epoch == "8bbaa37a191232780526013c3c351b23"
    assert (stats.head, stats.committed, stats.produced, stats.refused) == (33, 10, 37, 7)
    before = envelopes(spool)
    assert [e.header.seq for e in before] == list(range(11, 34))
    assert all(verify(e, public_bytes(key)) for e in before)
    spool.append([item()])
    spool.tidy()
    after = envelopes(spool)
    assert after[23].header.prev == digest(spool.next_after(32, 1)[0].raw)
    assert Loss.model_validate_json(after[-1].payload) == Loss(
        reason="spool_full", count=7, from_ms=1_000, to_ms=2_000
    )  # fmt: skip
    assert after[-1].header.produced == 37 + 1 + 7
    spool.close()
    Spool(path, key, ManualClock()).close()  # and it is a sound file of the new format


def test_update_of_the_format_that_is_cut_short_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "spool.sqlite"
    path.write_bytes((Path(__file__).parent / "data" / "spool-format-1.sqlite").read_bytes())
    monkeypatch.setattr("hanlu.gateway.spool_file._FROM_1_TO_2", "UPDATE state SET format = 2;\nnonsense;\n")
    with pytest.raises(HanluError):
        opened(path)
    monkeypatch.undo()
    spool = opened(path)
    assert spool.stats().refused == 7
    spool.close()


def test_digest_is_known_for_what_is_kept_and_for_the_last_one_deleted(path):
    spool = opened(path)
    spool.append([item() for _ in range(5)])
    digests = [digest(message.raw) for message in spool.next_after(0, 5)]
    spool.delete_committed(2)
    assert [spool.digest_of(seq) for seq in range(1, 7)] == [None, *digests[1:], None]
    spool.delete_committed(5)
    assert [spool.digest_of(seq) for seq in (4, 5)] == [None, digests[4]]
    spool.close()


@pytest.mark.parametrize("damage", ["garbage", "half", "message", "state", "foreign"])
def test_damaged_file_is_set_aside_whole_and_loudly_with_a_new_epoch(path, caplog, damage):
    spool = opened(path)
    epoch = spool.epoch
    spool.append([item(size=3_000) for _ in range(50)])
    spool.close()
    if damage == "garbage":
        path.write_bytes(os.urandom(9_000))
    elif damage == "half":
        os.truncate(path, path.stat().st_size // 2)
    else:
        statement = {
            "message": "DELETE FROM message WHERE seq = 20",
            "state": "UPDATE state SET prev = zeroblob(32)",
            "foreign": "CREATE TABLE something (id INTEGER)",
        }[damage]
        database = sqlite3.connect(path)
        database.execute(statement)
        database.commit()
        database.close()
    bytes_before = path.read_bytes()
    again = opened(path)
    assert again.epoch != epoch
    assert again.head == 0
    aside = [file for file in path.parent.iterdir() if ".damaged-" in file.name and not file.name.endswith("-wal")]
    assert [file.read_bytes() for file in aside] == [bytes_before]
    assert any(getattr(record, "action", "") == "gateway.spool.damaged" for record in caplog.records)
    again.append([item()])
    assert_sound(again)
    again.close()


def test_torn_tail_of_the_log_is_cut_and_the_spool_stays_sound(path):
    spool = opened(path)
    spool.append([item()])
    spool.append([item()])
    wal = path.with_name(path.name + "-wal")
    image, log = path.read_bytes(), wal.read_bytes()
    spool.close()
    path.write_bytes(image)
    wal.write_bytes(log + os.urandom(700))
    again = opened(path)
    assert again.head == 2
    assert_sound(again)
    again.close()


def test_file_of_a_newer_format_is_refused_and_not_touched(path):
    opened(path).close()
    database = sqlite3.connect(path)
    database.execute("UPDATE state SET format = 99")
    database.commit()
    database.close()
    with pytest.raises(FatalError, match="format 99"):
        opened(path)
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.name + ".reserve"}


def test_failing_disk_keeps_nothing_of_the_batch_and_the_chain_whole(path):
    spool = opened(path)
    spool.append([item()])
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count={pages + 3}")
    with pytest.raises(TransientError):
        spool.append([item(size=50_000), item(size=50_000)])
    assert (spool.head, spool.stats().produced) == (1, 1)
    spool._db.execute("PRAGMA max_page_count=1000000")
    spool.append([item()])
    assert_sound(spool)
    spool.close()


@pytest.mark.parametrize("receipted", [0, 1, 3, 1_199, 1_200])
def test_new_epoch_keeps_all_that_waits_in_order_and_forgets_the_numbers(path, receipted):
    clock = ManualClock()
    spool = opened(path, clock=clock)
    spool.append([item(1 + n % 3, 5 + n, replayed=n % 2 == 0) for n in range(1_200)])
    spool.delete_committed(receipted)
    clock.advance(60)
    before, epoch, stats = envelopes(spool), spool.epoch, spool.stats()
    assert spool.begin_epoch() == 1_200 - receipted
    assert spool.epoch != epoch
    assert (spool.committed, spool.head) == (0, 1_200 - receipted)
    assert spool.stats().oldest_age_s == stats.oldest_age_s
    assert spool.stats().produced == sum(each.header.count for each in before)
    after = envelopes(spool)
    assert [(e.payload, e.header.count, e.header.replayed) for e in after] == [
        (e.payload, e.header.count, e.header.replayed) for e in before
    ]
    assert_sound(spool)
    spool.close()
    again = opened(path)
    again.append([item()])
    assert_sound(again)
    again.close()


def test_new_epoch_that_fails_on_the_way_changes_nothing(path):
    spool = opened(path)
    spool.append([item(size=100) for _ in range(600)])
    epoch = spool.epoch
    spool._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON message WHEN NEW.seq = 550 BEGIN SELECT RAISE(FAIL, ''); END"
    )
    with pytest.raises(HanluError):
        spool.begin_epoch()
    spool._db.execute("DROP TRIGGER full")
    assert (spool.epoch, spool.head) == (epoch, 600)
    assert_sound(spool)
    spool.close()


def test_threads_appending_reading_and_deleting_at_once_keep_the_spool_sound(path):
    spool = opened(path)
    done = threading.Event()

    def write() -> None:
        for _ in range(100):
            spool.append([item(), item()])

    def delete() -> None:
        while not done.is_set():
            spool.delete_committed(max(0, spool.head - 5))
            spool.next_after(spool.committed, 10)

    writers = [threading.Thread(target=write) for _ in range(3)]
    deleter = threading.Thread(target=delete)
    for thread in [*writers, deleter]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    deleter.join()
    assert spool.head == 600
    assert_sound(spool)
    spool.close()


@given(st.lists(st.one_of(st.integers(1, 4), st.just("delete"), st.just("reopen"), st.just("epoch")), max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_acts_keeps_the_spool_sound(tmp_path_factory, acts):
    path = tmp_path_factory.mktemp("spool") / "spool.sqlite"
    spool = opened(path)
    for act in acts:
        if act == "delete":
            spool.delete_committed((spool.head + spool.committed) // 2)
        elif act == "reopen":
            spool.close()
            spool = opened(path)
        elif act == "epoch":
            spool.begin_epoch()
        else:
            spool.append([item(act) for _ in range(act)])
    assert_sound(spool)
    spool.close()
