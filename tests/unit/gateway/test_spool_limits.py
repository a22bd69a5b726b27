"""What is known to go wrong with such stores: limits forgotten, disks filled, starts as big as the backlog."""

from __future__ import annotations

import shutil
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import ManualClock
from hanlu.core.reading import Reading
from hanlu.core.wire.envelope import ContentType
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.driver.contract import Batch, Verdict
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.item import Held, Item, Kind
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool

KEY = Ed25519PrivateKey.generate()
NOW = 1_750_000_000_000
RESERVE = 4 << 20
LOG = 4 << 20
"""Bytes the write-ahead log may have before SQLite copies it into the file."""


def opened(folder: Path, max_bytes: int = 1 << 30) -> Spool:
    return Spool(folder / "spool.sqlite", KEY, ManualClock(NOW), max_bytes=max_bytes)


def item(size: int = 10) -> Item:
    return Item(Kind.READING, ContentType.SENML_JSON, b"x" * size, 1)


def intake_of(spool: Spool) -> SpoolIntake:
    """Return an intake that thins nothing, so that the limit alone stops it."""
    admission = Admission(Priorities(high=("*",)))
    return SpoolIntake(spool, Packing(), GatewayClock(ManualClock(NOW), "a"), admission, lambda: None)


def on_disk(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "gw-1"
    folder.mkdir()
    return folder


def test_spool_opened_again_is_as_full_as_it_was_and_refuses_as_before(folder):
    spool = opened(folder, 200_000)
    while spool.stats().used < 1:
        spool.append([item(5_000)], held=[Held("a", 1, b"y" * 1_000)])
    before = spool.stats()
    assert before.full
    spool.close()
    for _ in range(3):
        again = opened(folder, 200_000)
        assert (again.stats().used, again.stats().pending_bytes, again.stats().full) == (
            before.used, before.pending_bytes, True,
        )  # fmt: skip
        assert intake_of(again).offer(Batch((Reading("room-1/air_temperature", "Cel", NOW, 1.0),))) is Verdict.REFUSED
        again.close()
    roomier = opened(folder, 400_000)
    assert (roomier.stats().used, roomier.stats().full) == (before.used / 2, False)
    roomier.close()


def test_limit_holds_on_the_disk_whatever_is_offered(folder):
    limit = 1 << 20
    spool = opened(folder, limit)
    intake = intake_of(spool)
    readings, number = 0, 0
    while readings < 40_000:  # two megabytes in messages
        batch = Batch(tuple(Reading(f"room-{n}/air_temperature", "Cel", NOW + number, n / 8) for n in range(50)))
        intake.offer(batch)
        readings, number = readings + 50, number + 1
        assert spool.stats().pending_bytes < 1.1 * limit
    assert spool.stats().full
    assert spool.stats().produced + spool.stats().refused == readings
    assert spool.stats().refused > readings / 4
    spool.close()
    assert on_disk(folder) < 1.3 * limit + RESERVE + LOG


def test_twenty_times_its_size_goes_through_a_spool_that_is_emptied_without_a_drop(folder):
    limit = 128 << 10
    spool = opened(folder, limit)
    intake = intake_of(spool)
    passed = number = 0
    while passed < 20 * limit:
        before = spool.stats().pending_bytes
        batch = Batch(tuple(Reading(f"room-{n}/air_temperature", "Cel", NOW + number, n / 8) for n in range(200)))
        assert intake.offer(batch) is Verdict.KEPT
        passed += spool.stats().pending_bytes - before
        number += 1
        spool.delete_committed(spool.head - number % 5)  # receipts follow a few messages behind
        assert spool.stats().stage == "open"
    assert spool.stats().refused == 0
    assert intake.counts["dropped"] == 0
    spool.close()
    assert on_disk(folder) < 2 * limit + RESERVE + LOG


def test_twenty_thousand_small_messages_are_opened_and_read_in_a_megabyte(folder):
    spool = opened(folder)
    for _ in range(20):
        spool.append([item()] * 1_000)
    spool.close()
    tracemalloc.start()
    try:
        again = opened(folder)
        assert again.stats().pending == 20_000
        last = 0
        while page := again.next_after(last, 50):
            last = page[-1].seq
        again.digest_of(10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last == 20_000
    assert peak < 1_000_000
    again.close()


def test_every_answer_waits_for_the_flush_of_the_log(folder):
    """SQLite's `FULL` flushes the write-ahead log at each commit; `NORMAL`, its usual companion, only now and then."""
    spool = opened(folder)
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)
    spool.close()


def test_image_of_the_disk_at_any_moment_holds_all_that_was_answered_until_then(folder, tmp_path):
    """The files as a power cut leaves them: whole after an answer, or cut anywhere in what was being written then."""
    spool = opened(folder)
    answered: list[int] = []
    log = folder / "spool.sqlite-wal"
    for _ in range(12):
        spool.append([item(300)])
        answered.append(log.stat().st_size)
    shutil.copytree(folder, tmp_path / "end")
    spool.close()
    for count, (size, following) in enumerate(pairwise(answered), start=1):
        for cut in (size, size + 1, (size + following) // 2, following - 1):
            image = tmp_path / f"image-{count}-{cut}"
            shutil.copytree(tmp_path / "end", image)
            with (image / log.name).open("r+b") as file:
                file.truncate(cut)
            recovered = opened(image)
            assert (recovered.head, len(recovered.next_after(0, 100))) == (count, count)
            recovered.append([item()])  # and goes on with the chain
            recovered.close()
            assert not [each.name for each in image.iterdir() if "damaged" in each.name]
            shutil.rmtree(image)
