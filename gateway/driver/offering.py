"""Messages understood and not yet kept: offered to the intake together, put off while the disk refuses.

Order is that of arrival. What ends a message (its acknowledgement, its answer) is the driver's to do when it is told.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.gateway.driver.contract import Batch, Intake, Verdict

__all__ = ["BATCH_READINGS", "Offering", "Taken", "merged", "says_something"]

_logger = logging.getLogger(__name__)

BATCH_READINGS: Final = 10_000
"""Readings after which no more messages should join a batch."""
_RETRY_S: Final = (0.1, 5.0)
"""Seconds before a batch the disk refused is offered again: the first time, and at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """One message.

    Attributes:
        batch: what it says.
        message: the driver's own word for it.
    """

    batch: Batch
    message: T


class Offering(Generic[T]):
    """The messages of one driver on their way to the disk; used from one thread."""

    def __init__(self, name: str, intake: Intake, counts: Counter[str]) -> None:
        """Begin with nothing.

        Args:
            name: of the driver, for logs.
            intake: where batches go.
            counts: of the driver: `readings` kept, `refused` (readings there was no room for), `not_written` (offers
                the disk refused) and undecodable messages by reason are counted there.
        """
        self._name, self._intake, self._counts = name, intake, counts
        self._waiting: deque[Taken[T]] = deque()
        self._retry_at, self._retry_s = 0.0, _RETRY_S[0]

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    @property
    def readings(self) -> int:
        """Return how many readings wait."""
        return sum(len(each.batch.readings) for each in self._waiting)

    @property
    def messages(self) -> list[T]:
        """Return the messages that wait, the oldest first."""
        return [each.message for each in self._waiting]

    @property
    def pause_s(self) -> float:
        """Return the seconds after which offering makes sense again; 0: now."""
        return max(0.0, self._retry_at - time.monotonic())

    def add(self, batch: Batch, message: T) -> None:
        """Let one more message wait."""
        self._waiting.append(Taken(batch, message))

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Drop the messages that are not wanted any more."""
        self._waiting = deque(each for each in self._waiting if wanted(each.message))

    def offer(self) -> list[T]:
        """Offer the oldest messages that may share a batch, and return those that have ended; none: not now.

        Raises:
            FatalError: the spool is damaged.
        """
        if not self._waiting or self.pause_s > 0:
            return []
        run = _first_run(self._waiting)
        batch = merged(each.batch for each in run)
        try:
            verdict = self._intake.offer(batch) if says_something(batch) else Verdict.KEPT
        except TransientError as error:
            self._put_off(error)
            return []
        self._retry_s = _RETRY_S[0]
        self._counts["readings" if verdict is Verdict.KEPT else "refused"] += len(batch.readings)
        for each in batch.undecodable:
            self._counts[each.why.reason.value] += 1
        return [self._waiting.popleft().message for _ in run]

    def _put_off(self, error: TransientError) -> None:
        self._counts["not_written"] += 1
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _RETRY_S[1])
        log(
            _logger, logging.ERROR, "gateway.driver.not_written", f"{self._name}: {error}: not acknowledged, again soon"
        )


def says_something(batch: Batch) -> bool:
    """Tell whether there is anything in it to keep."""
    return bool(batch.readings or batch.losses or batch.events or batch.undecodable)


def merged(batches: Iterable[Batch]) -> Batch:
    """Return one batch of all; those with readings, losses or events must agree in `live` and `replayed`."""
    all_of = list(batches)
    if len(all_of) == 1:
        return all_of[0]
    telling = next((each for each in all_of if each.readings or each.losses or each.events), all_of[0])
    return Batch(
        tuple(reading for each in all_of for reading in each.readings),
        tuple(loss for each in all_of for loss in each.losses),
        tuple(event for each in all_of for event in each.events),
        tuple(bad for each in all_of for bad in each.undecodable),
        telling.live,
        telling.replayed,
    )


def _first_run(waiting: Iterable[Taken[T]]) -> list[Taken[T]]:
    """Return the messages from the oldest on that may share a batch."""
    run: list[Taken[T]] = []
    kind: tuple[bool, bool] | None = None
    for taken in waiting:
        batch = taken.batch
        if batch.readings or batch.losses or batch.events:
            if kind not in {None, (batch.live, batch.replayed)}:
                break
            kind = (batch.live, batch.replayed)
        run.append(taken)
    return run
