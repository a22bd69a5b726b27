"""The gateway's intake and the ones the drivers' tests use keep the same promises (`gateway/driver/contract.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_drivers import FakeIntake

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.envelope import ContentType, Envelope, open_envelope
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.driver.contract import Batch, Intake, Verdict
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool

NOW = 1_750_000_000_000


@dataclass(frozen=True, slots=True)
class Bench:
    """An intake, and what a test may do to it and see of it."""

    intake: Intake
    kept: Callable[[], list[Reading]]
    breaks: Callable[[bool], None]
    fills: Callable[[], None]


def fake() -> Iterator[Bench]:
    intake = FakeIntake()
    yield Bench(
        intake,
        lambda: intake.readings,
        lambda broken: setattr(intake, "failures", 1_000_000 if broken else 0),
        lambda: setattr(intake, "full", True),
    )


def real(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Bench]:
    clock = ManualClock(NOW)
    spool = Spool(folder / "spool.sqlite", Ed25519PrivateKey.generate(), clock, max_bytes=1 << 16)
    intake = SpoolIntake(
        spool, Packing(), GatewayClock(clock, "boot", spool.known_time()), Admission(Priorities()), lambda: None
    )
    sound = spool.append

    def kept() -> list[Reading]:
        opened = [open_envelope(message.raw) for message in spool.next_after(0, 10_000)]
        packs = [
            decode_json(each.payload, NOW)
            for each in opened
            if isinstance(each, Envelope) and each.header.content_type is ContentType.SENML_JSON
        ]
        return [reading for pack in packs if isinstance(pack, Pack) for reading in pack.readings]

    def refuse(*_: object, **__: object) -> None:
        raise TransientError("the disk refuses")

    def breaks(broken: bool) -> None:
        patch.setattr(spool, "append", refuse if broken else sound)

    def fills() -> None:
        for step in range(10_000):
            if intake.offer(batch(*range(step * 200, step * 200 + 200))) is Verdict.REFUSED:
                return

    yield Bench(intake, kept, breaks, fills)
    spool.close()


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Each intake in turn."""
    yield from fake() if request.param == "fake" else real(tmp_path, monkeypatch)


def batch(*steps: int) -> Batch:
    return Batch(tuple(Reading("room-1/temp", "Cel", NOW - 10_000_000 + step, float(step % 50)) for step in steps))


def test_kept_batches_are_there_in_their_order(bench: Bench) -> None:
    assert [bench.intake.offer(batch(1, 2)), bench.intake.offer(batch(3))] == [Verdict.KEPT] * 2
    assert bench.kept() == [*batch(1, 2, 3).readings]


def test_nothing_of_a_batch_the_disk_refuses_is_kept_and_the_next_offer_keeps_it(bench: Bench) -> None:
    bench.breaks(True)
    with pytest.raises(TransientError):
        bench.intake.offer(batch(1, 2))
    assert not bench.kept()
    bench.breaks(False)
    assert bench.intake.offer(batch(1, 2)) is Verdict.KEPT
    assert bench.kept() == [*batch(1, 2).readings]


def test_batch_without_room_is_refused_whole(bench: Bench) -> None:
    bench.fills()
    before = len(bench.kept())
    assert bench.intake.offer(batch(1, 2)) is Verdict.REFUSED
    assert len(bench.kept()) == before
