"""Which deliveries are decoded at all: the allowances of `throttle` between the inbox and `decode`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.observe import log
from hanlu.core.rejected import Reason
from hanlu.core.wire.envelope import digest
from hanlu.core.wire.topics import Lane
from hanlu.ingest.message import Dead, Delivery, Left, Outcome, Refused
from hanlu.ingest.throttle import Throttle, ThrottleLimits, Verdict

__all__ = ["Admission"]

_log = logging.getLogger(__name__)

_ENVELOPE: Final = 0xD2
"""First byte of a signed message: CBOR tag 18, COSE_Sign1 (RFC 9052 4.2)."""

_WILL: Final = f"/{Lane.WILL.value}"


class Admission:
    """Holds every gateway to its allowance. Not for several threads."""

    def __init__(self, limits: ThrottleLimits, clock: Clock) -> None:
        """Start with everybody at rest."""
        self._throttle = Throttle(limits)
        self._clock = clock
        self._left: Counter[str] = Counter()

    @property
    def loud(self) -> bool:
        """Tell whether any gateway has overspent, so that `judge` must be asked."""
        return bool(self._throttle.loud)

    def judge(self, delivery: Delivery) -> Outcome | None:
        """Return what becomes of a delivery that is beyond its gateway's allowance; None: it is to be decoded.

        A will is always decoded: it is small, and only the broker writes it.
        """
        gateway = _gateway(delivery.topic)
        if gateway not in self._throttle.loud or delivery.topic.endswith(_WILL):
            return None
        signed = delivery.payload[:1] == bytes([_ENVELOPE])
        match self._throttle.judge(gateway, self._clock.monotonic(), signed=signed):
            case Verdict.TAKEN:
                log(
                    _log, logging.INFO, "ingest.gateway.quiet", "within its allowance again",
                    gateway=gateway, left_out=self._left.pop(gateway, 0),
                )  # fmt: skip
                return None
            case Verdict.LEFT:
                self._left[gateway] += 1
                return Left(gateway, delivery.received_ms, len(delivery.payload))
            case Verdict.KEPT:
                return _throttled(delivery, gateway, delivery.payload)
            case Verdict.COUNTED:
                return _throttled(delivery, gateway, b"")

    def spent(self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
        """Take what a batch held out of the allowances.

        Args:
            deliveries: of the batch.
            outcomes: parallel.
        """
        messages: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if _is_beyond(outcome):
                continue  # charged for what it did not get, a gateway that goes on would never get anything again
            topic = delivery.topic
            messages[topic] += 1
            sizes[topic] += len(delivery.payload)
            if isinstance(outcome, Refused):
                refused[topic] += 1
        now = self._clock.monotonic()
        for topic, count in messages.items():
            gateway = _gateway(topic)
            if self._throttle.spend(gateway, count, sizes[topic], refused[topic], now):
                log(
                    _log, logging.WARNING, "ingest.gateway.loud", "beyond its allowance: throttled",
                    gateway=gateway, refused=refused[topic], messages=count,
                )  # fmt: skip


def _is_beyond(outcome: Outcome) -> bool:
    """Tell whether a message was not looked at because its gateway had overspent."""
    return isinstance(outcome, Left) or (isinstance(outcome, Refused) and outcome.dead.reason is Reason.THROTTLED)


def _gateway(topic: str) -> str:
    """Return what stands in the topic at the gateway's place, cut to a length; "" where nothing does."""
    parts = topic.split("/", 4)
    return parts[3][:60] if len(parts) > 4 else ""


def _throttled(delivery: Delivery, gateway: str, kept: bytes) -> Refused:
    """Return the dead letter of a message that is not decoded; those that are only counted share one a topic."""
    detail = "beyond what one gateway may send; " + ("not looked at yet" if kept else "counted, and not kept")
    dead = Dead(Reason.THROTTLED, detail)
    return Refused(delivery.topic, gateway or None, delivery.received_ms, kept, digest(kept), dead)
