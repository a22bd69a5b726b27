"""Offering with patience, for drivers whose devices cannot be made to wait by an unanswered message.

A poller or a reader of files holds the only copy of what it has just read: while the disk refuses, it offers the same
batch again and reads nothing more, so that what follows stays where it is. Drivers whose devices wait for an answer
use `offering` instead.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.gateway.driver.contract import Batch, Intake, Undecodable, Verdict

__all__ = ["Ration", "offer_until_settled"]

_logger = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0
"""Seconds between two offers of the same batch."""


def offer_until_settled(
    intake: Intake,
    batch: Batch,
    stopping: threading.Event,
    counts: Counter[str],
    who: str,
    beat: Callable[[], None] = lambda: None,
) -> Verdict | None:
    """Offer `batch` until it is kept or refused.

    Args:
        intake: of the gateway.
        batch: offered unchanged each time.
        stopping: ends the waiting.
        counts: of the driver; gains `readings`, `lost`, `refused`, `not_written` and undecodable messages by reason.
        who: the driver's name, for the log.
        beat: called at each try: who waits for the disk does not hang.

    Returns:
        The verdict, or None when `stopping` was set before there was one: the batch was not kept.

    Raises:
        FatalError: the spool is damaged.
    """
    said = False
    while True:
        beat()
        try:
            verdict = intake.offer(batch)
        except TransientError as error:
            counts["not_written"] += 1
            if not said:
                log(_logger, logging.ERROR, "gateway.driver.not_written", f"{who}: {error}: waiting", driver=who)
                said = True
            if stopping.wait(_AGAIN_S):
                return None
            continue
        counts["readings" if verdict is Verdict.KEPT else "refused"] += len(batch.readings)
        counts["lost"] += sum(loss.count for loss in batch.losses)
        for each in batch.undecodable:
            counts[each.why.reason.value] += 1
        return verdict


@dataclass(slots=True)
class Ration:
    """How many unreadable messages of a driver are passed on with their bytes; the rest are only counted.

    Anybody on the field network can send rubbish; it must not fill the spool.

    Attributes:
        clock: monotonic time.
        burst: passed on at once, messages.
        per_minute: regained, messages a minute.
    """

    clock: Clock
    burst: int = 20
    per_minute: float = 10.0
    _left: float = field(default=-1.0)
    _since: float = 0.0

    def take(self, counts: Counter[str], found: Sequence[Undecodable]) -> tuple[Undecodable, ...]:
        """Return those of `found` that may be passed on, in order; counts the others as `undecodable_dropped`."""
        now = self.clock.monotonic()
        if self._left < 0:
            self._left, self._since = float(self.burst), now
        self._left = min(float(self.burst), self._left + (now - self._since) * self.per_minute / 60.0)
        self._since = now
        allowed = min(len(found), int(self._left))
        self._left -= allowed
        counts["undecodable_dropped"] += len(found) - allowed
        return tuple(found[:allowed])
