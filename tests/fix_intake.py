"""A gateway's intake that keeps everything in memory and can be told to refuse or to fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import Loss
from hanlu.gateway.driver.contract import Batch, Driver, Undecodable, Verdict


class KeepingIntake:
    """Keeps batches; `broken` makes the disk refuse, `full` makes the policy refuse, `before` runs at each offer."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.offered: list[Batch] = []
        self.broken = False
        self.full = False
        self.before: Callable[[Batch], None] = lambda batch: None

    def offer(self, batch: Batch) -> Verdict:
        self.before(batch)
        self.offered.append(batch)
        if self.broken:
            raise TransientError("the disk refuses")
        if self.full:
            return Verdict.REFUSED
        self.batches.append(batch)
        return Verdict.KEPT

    @property
    def readings(self) -> list[Reading]:
        return [reading for batch in self.batches for reading in batch.readings]

    @property
    def losses(self) -> list[Loss]:
        return [loss for batch in self.batches for loss in batch.losses]

    @property
    def undecodable(self) -> list[Undecodable]:
        return [each for batch in self.batches for each in batch.undecodable]

    def values(self) -> dict[str, float]:
        """Return the newest value by channel."""
        return {reading.name: reading.value for reading in self.readings}


@pytest.fixture
def intake() -> KeepingIntake:
    return KeepingIntake()


@contextmanager
def at_work(driver: Driver) -> Iterator[Driver]:
    """Run a driver on a thread; at the end it has to stop within three seconds and without an error."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            driver.run()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield driver
    finally:
        driver.stop()
        thread.join(3.0)
    assert not thread.is_alive(), "the driver does not stop"
    assert not failures, failures


def soon(condition: Callable[[], bool], what: str, deadline_s: float = 10.0) -> None:
    """Wait for `condition`; fail when it does not come true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        time.sleep(0.005)
