"""From drivers to the spool: who offers a batch gets its answer when the disk has it.

Batches offered by several threads at the same moment share one transaction and one flush: the first to come leads,
commits for all who have come meanwhile, and the next of those who came during the flush leads the next one. Nobody
waits for company, there is no timer, and a batch grows by itself with the load.
"""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import Undecoded
from hanlu.core.wire.envelope import ContentType
from hanlu.gateway.driver.contract import Batch, Undecodable, Verdict
from hanlu.gateway.item import Item, Kind, Refused
from hanlu.gateway.packing import Packing
from hanlu.gateway.spool import Spool

__all__ = ["SpoolIntake"]

_MAX_BODY: Final = 60_000
"""Bytes of an undecodable message that are kept; the platform is told how many there were."""


@dataclass(slots=True, eq=False)
class _Offer:
    """What one thread brought, and what became of it."""

    batches: Sequence[Batch]
    verdicts: list[Verdict] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False


class SpoolIntake:
    """The one way into a gateway's spool; any thread may offer."""

    def __init__(self, spool: Spool, packing: Packing, clock: Clock, appended: Callable[[], None]) -> None:
        """Take in for `spool`.

        Args:
            spool: where messages go.
            packing: how batches become messages.
            clock: for what has no time of its own.
            appended: called after each commit, from whichever thread led it.
        """
        self._spool, self._packing, self._clock, self._appended = spool, packing, clock, appended
        self._turn = threading.Condition()
        self._leading = False
        self._waiting: list[_Offer] = []
        self.counts: Counter[str] = Counter()
        """`readings` and `undecodable` kept, `refused` readings, `commits`, since the start."""

    def offer(self, batch: Batch) -> Verdict:
        """Keep one batch (see `Intake.offer`)."""
        return self.offer_all([batch])[0]

    def offer_all(self, batches: Sequence[Batch]) -> list[Verdict]:
        """Keep several batches in their order and in one transaction; a verdict for each.

        Raises:
            TransientError: the disk refuses and nothing of them was kept.
            FatalError: the spool is damaged.
        """
        mine = _Offer(batches)
        with self._turn:
            self._waiting.append(mine)
            while self._leading and not mine.done:
                self._turn.wait()
            if not mine.done:
                self._leading = True
                together, self._waiting = self._waiting, []
        if not mine.done:
            self._lead(together)
        if mine.error is not None:
            raise mine.error
        return mine.verdicts

    def _lead(self, together: list[_Offer]) -> None:
        error: BaseException | None = None
        try:
            self._commit(together)
        except BaseException as failure:  # noqa: BLE001 - each who offered raises it
            error = failure
        with self._turn:
            self._leading = False
            for offer in together:
                offer.done, offer.error = True, _own_copy(error)
            self._turn.notify_all()

    def _commit(self, together: list[_Offer]) -> None:
        kept: list[Batch] = []
        items: list[Item] = []
        refused = Refused(0)
        for offer in together:
            offer.verdicts = []
            for batch in offer.batches:
                if self._has_room(batch):
                    kept.append(batch)
                    offer.verdicts.append(Verdict.KEPT)
                else:
                    refused += _refusal(batch)
                    offer.verdicts.append(Verdict.REFUSED)
        items = self._packing.items(kept)
        now_ms = self._clock.now_ms()
        items.extend(_undecoded(each, now_ms) for batch in kept for each in batch.undecodable)
        if items or refused.count:
            self._spool.append(items, refused)
            self.counts["commits"] += 1
            self.counts["readings"] += sum(len(batch.readings) for batch in kept)
            self.counts["undecodable"] += sum(len(batch.undecodable) for batch in kept)
            self.counts["refused"] += refused.count
            self._appended()

    def _has_room(self, batch: Batch) -> bool:
        if batch.readings or batch.undecodable:
            return self._spool.accepts(Kind.READING)
        return self._spool.accepts(Kind.EVENT)


def _refusal(batch: Batch) -> Refused:
    count = len(batch.readings) + sum(loss.count for loss in batch.losses)
    return Refused(count, *_range(batch.readings))


def _range(readings: Sequence[Reading]) -> tuple[int | None, int | None]:
    times = [reading.observed_ms for reading in readings]
    return min(times, default=None), max(times, default=None)


def _undecoded(message: Undecodable, now_ms: int) -> Item:
    document = Undecoded(
        source=message.source[:200],
        reason=message.why.reason,
        detail=message.why.detail[:1_000],
        observed_ms=now_ms,
        body=base64.b64encode(message.body[:_MAX_BODY]).decode(),
        size=len(message.body),
    )
    return Item(Kind.READING, ContentType.UNDECODED, document.model_dump_json().encode())


def _own_copy(error: BaseException | None) -> BaseException | None:
    """Give each thread an error of its own to raise: a traceback grows with every raise."""
    if isinstance(error, TransientError):
        copy = TransientError(str(error))
        copy.__cause__ = error
        return copy
    return error
