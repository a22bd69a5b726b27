"""Times of readings as they come in: what stands, what is replaced, what waits, what is lost; pure.

- A live reading whose time cannot be right (before 2024, or minutes ahead) gets the time it came, and is uncertain;
  several such readings of a batch keep their distances.
- While the gateway itself does not know the time, a live reading stamped by a clock of its own stands; the others are
  *held* on the disk with the monotonic clock's word and become messages once the time is known. Holding them rather
  than sending them marked uncertain costs nothing, for without a link they would wait as well, and with one the time
  comes with the first receipt; and a reading with a wrong time can never be corrected, since readings are facts.
- Held readings of an earlier run of the machine, whose monotonic clock means nothing any more, are stamped as if the
  machine had restarted right after the last of them: their order and distances are right, their time is the latest it
  can have been, and they are uncertain.
- Of what is not live (a log read later) a time stands or falls: one before 2010 is declared lost, since it could not
  even be passed on (SenML takes small times as relative to now).

Nothing is reordered by any of these times. Source: RFC 8428 4.5.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason
from hanlu.core.wire.documents import Loss
from hanlu.gateway.clocks import EARLIEST_MS
from hanlu.gateway.driver.contract import Batch

__all__ = ["Stamped", "held_body", "readings_of", "stamped", "with_time"]

_OLDEST_AGE_MS: Final = 86_400_000
"""Age against a wrong clock up to which the difference to now is believed to be an age."""

_decode = msgspec.json.Decoder(list[tuple[str, str, int, float, int]]).decode


@dataclass(frozen=True, slots=True)
class Stamped:
    """A batch after its times were judged.

    Attributes:
        batch: what can be sent: readings with times that stand, losses added.
        waiting: live readings without a time; `observed_ms` is minus their age in milliseconds.
        replaced: readings that got the time they came.
    """

    batch: Batch
    waiting: tuple[Reading, ...] = ()
    replaced: int = 0


def stamped(batch: Batch, now_ms: int) -> Stamped:
    """Judge the times of `batch`, the gateway knowing that it is `now_ms`."""
    if not batch.live or batch.replayed:
        return _passable(batch)
    latest = now_ms + MAX_FUTURE_MS
    if all(EARLIEST_MS <= reading.observed_ms <= latest for reading in batch.readings):
        return Stamped(batch)
    wrong = [reading.observed_ms for reading in batch.readings if not EARLIEST_MS <= reading.observed_ms <= latest]
    newest_ms, spread_ms = max(wrong), max(wrong) - min(wrong)
    readings = [
        reading
        if EARLIEST_MS <= reading.observed_ms <= latest
        else reading._replace(
            # A clock that is wrong still counts: several values of one channel must not fall on one moment.
            observed_ms=now_ms - (newest_ms - reading.observed_ms if spread_ms <= _OLDEST_AGE_MS else 0),
            quality=max(reading.quality, Quality.UNCERTAIN),
        )
        for reading in batch.readings
    ]
    return Stamped(replace(batch, readings=tuple(readings)), replaced=len(wrong))


def with_time(batch: Batch, wrong_now_ms: int, floor_ms: int) -> Stamped:
    """Part the readings of `batch` into those with a time of their own and those that wait for one.

    Args:
        batch: as offered.
        wrong_now_ms: what the gateway's clock says; stamps made with it tell an age and no more.
        floor_ms: the earliest time it can be; what is stamped after it has a better clock than the gateway.
    """
    if not batch.live or batch.replayed:
        return _passable(batch)
    own = tuple(reading for reading in batch.readings if reading.observed_ms >= floor_ms)
    waiting = tuple(
        _aged(reading, wrong_now_ms) for reading in batch.readings if reading.observed_ms < floor_ms
    )  # fmt: skip
    return Stamped(replace(batch, readings=own), waiting)


def held_body(readings: Iterable[Reading]) -> bytes:
    """Return readings that wait as the spool keeps them."""
    return msgspec.json.encode([tuple(reading) for reading in readings])


def readings_of(body: bytes, came_ms: int, *, uncertain: bool) -> tuple[Reading, ...]:
    """Return held readings with their times, now that it is known when they came.

    Args:
        body: as `held_body` made it.
        came_ms: when they came, Unix milliseconds.
        uncertain: that moment is an estimate.
    """
    least = Quality.UNCERTAIN if uncertain else Quality.GOOD
    return tuple(
        Reading(name, unit, came_ms + age_ms, value, max(Quality(quality), least))
        for name, unit, age_ms, value, quality in _decode(body)
    )


def _aged(reading: Reading, wrong_now_ms: int) -> Reading:
    age_ms = reading.observed_ms - wrong_now_ms
    if -_OLDEST_AGE_MS <= age_ms <= 0:
        return reading._replace(observed_ms=age_ms)
    return reading._replace(observed_ms=0, quality=max(reading.quality, Quality.UNCERTAIN))


def _passable(batch: Batch) -> Stamped:
    """Declare lost what has a time that cannot be passed on."""
    if all(reading.observed_ms >= EARLIEST_OBSERVED_MS for reading in batch.readings):
        return Stamped(batch)
    lost = [reading for reading in batch.readings if reading.observed_ms < EARLIEST_OBSERVED_MS]
    kept = tuple(reading for reading in batch.readings if reading.observed_ms >= EARLIEST_OBSERVED_MS)
    loss = Loss(
        reason=Reason.IMPOSSIBLE_TIME.value,
        count=len(lost),
        detail="; ".join(f"{reading.name!r} at {reading.observed_ms} ms" for reading in lost)[:1_000],
        source=f"readings:{_name_of(lost)}",
    )
    return Stamped(replace(batch, readings=kept, losses=(*batch.losses, loss)))


def _name_of(readings: Sequence[Reading]) -> str:
    """Return a name for readings by what they say: read again, the same ones are the same loss."""
    return hashlib.sha256(held_body(readings)).hexdigest()[:32]
