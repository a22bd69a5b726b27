"""What a southbound driver is to the gateway, and the gateway to a driver.

A driver speaks one device protocol. It turns what devices say into batches by pure functions and offers each batch to
the intake, which puts it on this gateway's disk; only then may the driver tell the device that it is safe (answer,
acknowledge, forget, move a file). It knows nothing of the spool, the uplink or the platform.

`tests/conformance/test_drivers.py` holds every driver against this page.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hanlu.core.reading import Reading
from hanlu.core.rejected import Rejected
from hanlu.core.wire.documents import BirthChannel, Loss

__all__ = ["Batch", "Driver", "Intake", "Undecodable", "Verdict"]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A message of a device that cannot be read; its bytes go to the platform's dead letters with the reason.

    Attributes:
        source: device or topic, as far as known.
        why: reason and detail.
        body: the bytes as they came.
    """

    source: str
    why: Rejected
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What a driver hands over at once: kept whole, in its order, or not at all.

    Attributes:
        readings: names are `device/metric`, units SenML's, times absolute.
        losses: values that were due and will never come, with the reason (a register that answers with an exception
            twice in a row is none: nothing was produced; a record whose value cannot be a number is one).
        events: EPCIS documents, JSON bytes.
        undecodable: messages that could not be read.
        live: the readings were taken about now, so that a time of the device's own that cannot be right is replaced by
            the time of reception and the reading marked uncertain; False for logs read later, whose times stand or
            fall.
        replayed: recorded data played again.
    """

    readings: tuple[Reading, ...] = ()
    losses: tuple[Loss, ...] = ()
    events: tuple[bytes, ...] = ()
    undecodable: tuple[Undecodable, ...] = ()
    live: bool = True
    replayed: bool = False


class Verdict(Enum):
    """What became of a batch."""

    KEPT = "kept"
    """On this gateway's disk: tell the device."""
    REFUSED = "refused"
    """No room by the disk-full policy; the loss is counted on disk and will be declared. Do not offer it again."""


class Intake(Protocol):
    """Takes batches from all drivers of a gateway; any thread may call."""

    def offer(self, batch: Batch) -> Verdict:
        """Keep `batch` and return when the disk has it; batches offered together share one flush.

        Raises:
            TransientError: the disk refuses and nothing was kept: do not answer the device, offer it again later.
            FatalError: the spool is damaged; let it pass, the gateway stops.
        """
        ...


class Driver(Protocol):
    """One running driver.

    Attributes:
        counts: figures since the start by name: `readings`, `messages`, refusals by reason.

    One that also has an attribute `beat`, a callable without arguments, is watched: the gateway puts its own in place
    before `run`, and a driver that does not call it for three minutes counts as hanging, which ends the process.
    """

    counts: Counter[str]

    @property
    def address(self) -> str:
        """Return where devices reach it or what it reads, for people."""
        ...

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels its configuration names, for the birth; empty where only the devices know."""
        ...

    def run(self) -> None:
        """Serve until `stop`; called once, on a thread of its own.

        A device or link that fails is logged, counted and tried again: only FatalError leaves.
        """
        ...

    def stop(self) -> None:
        """Make `run` return within a second or two; from any thread, and again without harm."""
        ...

    def close(self) -> None:
        """Give back what the constructor took, for a driver that never ran; `run` does it at its end."""
        ...
