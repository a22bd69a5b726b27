"""From drivers to the spool: who offers a batch gets its answer when the disk has it.

Batches offered by several threads at the same moment share one transaction and one flush: the first to come leads,
commits for all who have come meanwhile, and the next of those who came during the flush leads the next one. Nobody
waits for company, there is no timer, and a batch grows by itself with the load.

On the way in, times are judged (`stamping.py`) and the disk-full policy decides (`policy.py`). What is dropped is
counted in the transaction that comes before the answer, with a key of the batch: a device that did not hear the answer
and sends the same again is answered the same and counted once.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hanlu.core.errors import FatalError, TransientError
from hanlu.core.wire.documents import Undecoded
from hanlu.core.wire.envelope import ContentType
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.driver.contract import Batch, Undecodable, Verdict
from hanlu.gateway.item import Answered, Drop, Held, Item, Kind
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Stage
from hanlu.gateway.spool import Spool
from hanlu.gateway.stamping import Stamped, held_body, readings_of, stamped, with_time

__all__ = ["SpoolIntake"]

_MAX_BODY: Final = 60_000
"""Bytes of an undecodable message that are kept; the platform is told how many there were."""
_REMEMBERED_S: Final = 600.0
"""Seconds after the last drop during which a batch is looked up among those that were answered."""


@dataclass(slots=True, eq=False)
class _Offer:
    """What one thread brought, and what became of it."""

    batches: Sequence[Batch]
    verdicts: list[Verdict] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False


@dataclass(slots=True)
class _Taking:
    """What one transaction takes in."""

    kept: list[Batch] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def told(self, key: bytes) -> bool | None:
        """Return what was told of a batch earlier in this transaction; None: nothing."""
        return next((each.kept for each in self.answers if each.key == key), None)


class SpoolIntake:
    """The one way into a gateway's spool; any thread may offer."""

    def __init__(
        self,
        spool: Spool,
        packing: Packing,
        clock: GatewayClock,
        admission: Admission,
        appended: Callable[[], None],
    ) -> None:
        """Take in for `spool`.

        Args:
            spool: where messages go.
            packing: how batches become messages.
            clock: for what has no time of its own.
            admission: what is taken when there is no room for all.
            appended: called after each commit, from whichever thread led it.
        """
        self._spool, self._clock, self._appended = spool, clock, appended
        self.packing, self.admission = packing, admission
        self._turn = threading.Condition()
        self._leading = False
        self._waiting: list[_Offer] = []
        self._dropped_until = clock.monotonic() + _REMEMBERED_S
        self.counts: Counter[str] = Counter()
        """`readings`, `undecodable`, `held` and `restamped` kept, `dropped` readings, `commits`, since the start."""

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

    def reconfigure(self, packing: Packing, admission: Admission) -> None:
        """Go on with other messages and priorities."""
        with self._turn:
            while self._leading:
                self._turn.wait()
            self.packing, self.admission = packing, admission

    def wake(self) -> None:
        """Tell the uplink that the spool has something new."""
        self._appended()

    def release_held(self) -> int:
        """Make messages of the readings that waited for their time, if it is known now; return how many batches.

        Raises:
            TransientError: the disk refuses; the rest stays held.
        """
        if not self._clock.is_known:
            return 0
        released = 0
        # When a run of the machine began, the one before it had ended: its last reading came no later.
        end_ms = self._clock.now_ms() - round(self._clock.monotonic() * 1000)
        for boot, last_at_ms in self._spool.held_boots():
            begin_ms = end_ms if boot == self._clock.boot else end_ms - last_at_ms
            released += self._spool.release_held(boot, self._stamper(begin_ms, certain=boot == self._clock.boot))
            end_ms = begin_ms
        if released:
            self._appended()
        return released

    def _stamper(self, begin_ms: int, *, certain: bool) -> Callable[[Held], Sequence[Item]]:
        """Return what makes messages of the held readings of a run of the machine that began at `begin_ms`."""

        def items_of(held: Held) -> Sequence[Item]:
            return self.packing.items([Batch(readings_of(held.body, begin_ms + held.at_ms, uncertain=not certain))])

        return items_of

    def _lead(self, together: list[_Offer]) -> None:
        error = self._failure(together)
        if error is not None and len(together) > 1 and not isinstance(error, TransientError | FatalError):
            # What one of them brought can be no message: a driver's fault, and not to be the others' as well.
            for offer in together:
                offer.error = self._failure([offer])
        else:
            for offer in together:
                offer.error = _own_copy(error)
        with self._turn:
            self._leading = False
            for offer in together:
                offer.done = True
            self._turn.notify_all()

    def _failure(self, together: list[_Offer]) -> BaseException | None:
        """Commit for all in `together` and return why it failed; each of them is to raise it."""
        try:
            try:
                self._commit(together)
            except TransientError:
                # A disk that has just turned out full has now given up its reserve: at least count what is lost.
                if self._spool.stage < Stage.FULL:
                    raise
                self.admission.forget()
                self._commit(together)
        except BaseException as failure:  # noqa: BLE001 - handed to those who offered
            self.admission.forget()
            return failure
        return None

    def _commit(self, together: list[_Offer]) -> None:
        taking = _Taking()
        for offer in together:
            offer.verdicts = [self._take(batch, taking) for batch in offer.batches]
        now_ms = self._clock.now_ms()
        items = self.packing.items(taking.kept)
        items.extend(_undecoded(each, now_ms) for batch in taking.kept for each in batch.undecodable)
        if items or taking.drops or taking.held:
            self._spool.append(items, drops=taking.drops, answers=taking.answers, held=taking.held)
            self.admission.settle()
            self.counts += taking.counts
            self.counts["commits"] += 1
            if taking.answers:
                self._dropped_until = self._clock.monotonic() + _REMEMBERED_S
            self._appended()

    def _take(self, batch: Batch, taking: _Taking) -> Verdict:
        """Decide on one batch and put it into what is taken."""
        stage = self._spool.stage
        if stage is Stage.OPEN and not self._may_be_repeated():
            self._keep(batch, stage, taking)
            return Verdict.KEPT
        key = _key(batch)
        answered = self._spool.answered(key)
        if answered is None:
            answered = taking.told(key)
        if answered is not None:
            return Verdict.KEPT if answered else Verdict.REFUSED
        drops_before = len(taking.drops)
        something = self._keep(batch, stage, taking)
        verdict = Verdict.KEPT if something else Verdict.REFUSED
        if len(taking.drops) > drops_before:
            taking.answers.append(Answered(key, verdict is Verdict.KEPT))
        return verdict

    def _may_be_repeated(self) -> bool:
        return self._spool.has_answers and self._clock.monotonic() < self._dropped_until

    def _keep(self, batch: Batch, stage: Stage, taking: _Taking) -> bool:
        """Take what the policy allows; return whether anything of the batch was taken, or only thinned."""
        judged = self._judged(batch)
        why = self._spool.why_full
        readings, drops = self.admission.admit(judged.batch.readings, stage, why)
        waiting, more = self.admission.admit(judged.waiting, stage, why)
        drops += [replace(drop, from_ms=None, to_ms=None) for drop in more]
        undecodable, events, losses = batch.undecodable, batch.events, judged.batch.losses
        if stage >= Stage.FULL:
            drops += [Drop(why, "", 1) for _ in undecodable]  # it may have held one reading or many
            undecodable = ()
        if stage >= Stage.SHUT:
            drops += [Drop(each.reason, each.channel or "", each.count, each.from_ms, each.to_ms) for each in losses]
            events, losses = (), ()
        taking.kept.append(
            replace(judged.batch, readings=readings, undecodable=undecodable, events=events, losses=losses)
        )
        if waiting:
            at_ms = round(self._clock.monotonic() * 1000)
            taking.held.append(Held(self._clock.boot, at_ms, held_body(waiting)))
        taking.drops += drops
        taking.counts.update(
            readings=len(readings) + len(waiting),
            held=len(waiting),
            restamped=judged.replaced,
            undecodable=len(undecodable),
            dropped=sum(drop.count for drop in drops),
        )
        taken = bool(readings or waiting or undecodable or events or losses)
        return taken or not (any(drop.reason == why for drop in drops) or len(events) < len(batch.events))

    def _judged(self, batch: Batch) -> Stamped:
        now_ms = self._clock.now_ms()
        if self._clock.is_known:
            return stamped(batch, now_ms)
        return with_time(batch, now_ms, self._clock.floor_ms)


def _key(batch: Batch) -> bytes:
    """Return a key of what a batch says: sent again, it is the same."""
    said = repr((batch.readings, batch.losses, batch.events, batch.undecodable))
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


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
