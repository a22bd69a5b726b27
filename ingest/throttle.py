"""How much of one gateway is looked at: pure token buckets, so that a flood from one harms no other.

Every gateway has three allowances: messages, bytes, and messages that were refused, each per second with a burst of so
many seconds saved up. What a batch took is spent afterwards, gateway by gateway, so that the usual message costs
nothing; a gateway that has overspent is loud until it has something again, and only loud ones are judged one by one.

What becomes of a message of a loud one depends on whether anybody keeps it. A signed gateway has it in its spool until
it is receipted, so it is left out (`LEFT`): the broker is acknowledged, the gateway gets no receipt for it, and sends
it again when it is slower. A plain device has no spool: its message is kept as a dead letter with reason `throttled`
(`KEPT`), as many a second as may be refused, and replayed later; beyond that only counted (`COUNTED`).

Of more names than a platform has gateways, those quiet for longest are forgotten, and so begin anew with all their
allowance: a flood of invented names fills no memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["Bucket", "Throttle", "ThrottleLimits", "Verdict"]

_MOST_GATEWAYS: Final = 20_000
"""Gateways remembered at once."""


class Verdict(Enum):
    """What is done with a message."""

    TAKEN = "taken"
    """It is decoded."""
    KEPT = "kept"
    """It becomes a dead letter as it is."""
    COUNTED = "counted"
    """It is counted and not kept."""
    LEFT = "left"
    """Its gateway keeps it and sends it again."""


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """What one gateway may take of the platform.

    Attributes:
        messages: a second.
        bytes: a second.
        refused: messages a second that are refused.
        burst_s: seconds of allowance a quiet gateway saves up.
    """

    messages: float = 20_000.0
    bytes: float = 64e6
    refused: float = 100.0
    burst_s: float = 20.0


class Bucket:
    """An allowance that fills with time."""

    __slots__ = ("_at", "_full", "_level", "_rate")

    def __init__(self, rate: float, burst_s: float, now: float) -> None:
        """Start full.

        Args:
            rate: tokens a second.
            burst_s: seconds of them it holds.
            now: monotonic seconds.
        """
        self._rate, self._full, self._at = rate, rate * burst_s, now
        self._level = self._full

    def has(self, now: float) -> bool:
        """Tell whether there is anything left at `now`; what is taken beyond is owed."""
        self._level = min(self._full, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level > 0

    def take(self, tokens: float) -> None:
        """Take tokens out; what is taken beyond is owed, up to one burst."""
        self._level = max(self._level - tokens, -self._full)


class _Gateway:
    __slots__ = ("bytes", "kept", "messages", "refused")

    def __init__(self, limits: ThrottleLimits, now: float) -> None:
        self.messages = Bucket(limits.messages, limits.burst_s, now)
        self.bytes = Bucket(limits.bytes, limits.burst_s, now)
        self.refused = Bucket(limits.refused, limits.burst_s, now)
        self.kept = Bucket(limits.refused, 1.0, now)

    def within(self, now: float) -> bool:
        """Bring all allowances up to date and tell whether none is used up."""
        return all([self.messages.has(now), self.bytes.has(now), self.refused.has(now)])


class Throttle:
    """The allowances of all gateways. Not for several threads."""

    def __init__(self, limits: ThrottleLimits) -> None:
        """Start with everybody at rest."""
        self._limits = limits
        self._gateways: OrderedDict[str, _Gateway] = OrderedDict()
        self.loud: set[str] = set()
        """Codes of the gateways that have overspent: only their messages need be judged."""

    def __len__(self) -> int:
        """Return the gateways remembered."""
        return len(self._gateways)

    def spend(self, gateway: str, messages: int, size: int, refused: int, now: float) -> bool:
        """Take what a batch held out of a gateway's allowance and tell whether it has become loud by it.

        Args:
            gateway: code in the topic.
            messages: that were taken.
            size: their bytes.
            refused: those of them that were no good.
            now: monotonic seconds, not falling.
        """
        state = self._of(gateway, now)
        state.within(now)
        state.messages.take(messages)
        state.bytes.take(size)
        state.refused.take(refused)
        if gateway in self.loud or state.within(now):
            return False
        self.loud.add(gateway)
        return True

    def judge(self, gateway: str, now: float, *, signed: bool) -> Verdict:
        """Say what to do with a message.

        Args:
            gateway: code in its topic.
            now: monotonic seconds, not falling.
            signed: it looks like an envelope, so that whoever sent it keeps it until it is receipted.
        """
        if gateway not in self.loud:
            return Verdict.TAKEN
        state = self._of(gateway, now)
        if state.within(now):
            self.loud.discard(gateway)
            return Verdict.TAKEN
        if signed:
            return Verdict.LEFT
        if state.kept.has(now):
            state.kept.take(1)
            return Verdict.KEPT
        return Verdict.COUNTED

    def _of(self, gateway: str, now: float) -> _Gateway:
        state = self._gateways.get(gateway)
        if state is None:
            state = self._gateways[gateway] = _Gateway(self._limits, now)
            while len(self._gateways) > _MOST_GATEWAYS:
                self.loud.discard(self._gateways.popitem(last=False)[0])
        self._gateways.move_to_end(gateway)
        return state
