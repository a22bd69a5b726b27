"""Which channels have fallen silent, and which of those silences are one: pure, on the platform's clock.

A channel is silent when the platform has taken in no live reading of it for longer than its rule allows. Silence before
anybody listened proves nothing; a channel that was never heard is waited for from when it was first watched.

One lost gateway must make one alarm that calls. When a channel is due while nothing at all is heard of its gateway, the
gateway is lost: its own health channel is raised, before its own time if need be but after `PARENT_WAIT_MS` and three
of its periods, and explains the others, whichever was due first. Where a gateway has no health channel, the first
channel that is due speaks for all. When anything of the gateway is heard, a silent channel is its own fault and calls.
A channel that had fallen silent by itself before speaks for nothing but itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

__all__ = ["PARENT_WAIT_MS", "QUIET_MS", "Due", "Listened", "Silence"]

PARENT_WAIT_MS: Final = 30_000
"""How long a silent channel waits for its gateway's own silence before that is concluded from it, milliseconds."""
QUIET_MS: Final = 60_000
"""A gateway of which nothing was heard for so long, and for three of its shortest periods, is not heard now."""
_PERIODS: Final = 3


class Listened(NamedTuple):
    """A channel whose silence alarms.

    Attributes:
        channel_id: key in the registry.
        gateway: code.
        health: it is what the gateway says of itself.
        after_ms: longest silence allowed, milliseconds.
        period_ms: between two of its readings, milliseconds.
    """

    channel_id: int
    gateway: str
    health: bool
    after_ms: int
    period_ms: int


class Due(NamedTuple):
    """A silence to raise.

    Attributes:
        channel_id: whose.
        at_ms: when it was due, Unix milliseconds.
        heard_ms: last heard, or since when it has been waited for.
        parent: the channel whose silence explains this one.
    """

    channel_id: int
    at_ms: int
    heard_ms: int
    parent: int | None = None


class Silence:
    """When each channel and gateway was last heard."""

    def __init__(
        self,
        heard_ms: Mapping[int, int],
        waited_ms: Mapping[int, int],
        silent: Mapping[int, bool],
        watched_from_ms: int,
    ) -> None:
        """Start from what the database holds.

        Args:
            heard_ms: when each channel was last heard, Unix milliseconds.
            waited_ms: since when channels never heard have been waited for.
            silent: channels whose no-data alarm stands, and whether another one explains it.
            watched_from_ms: since when somebody has listened without a pause.
        """
        self._heard = dict(heard_ms)
        self._waited = dict(waited_ms)
        self._silent = dict(silent)
        self._from = watched_from_ms
        self._listened: dict[int, Listened] = {}
        self._gateway_heard: dict[str, int] = {}
        self._shortest: dict[str, int] = {}
        self._health: dict[str, int] = {}
        self._next = 0

    def use(self, listened: Iterable[Listened], now_ms: int) -> tuple[list[int], dict[int, int]]:
        """Listen to these channels from now on.

        Returns:
            Silent channels nobody listens to any more, and channels waited for from now on, with since when.
        """
        self._listened = {each.channel_id: each for each in listened}
        self._next, self._shortest, self._health = 0, {}, {}
        began: dict[int, int] = {}
        for each in self._listened.values():
            heard = self._heard.get(each.channel_id)
            if heard is not None:
                known = self._gateway_heard.get(each.gateway, heard)
                self._gateway_heard[each.gateway] = max(known, heard)
            elif each.channel_id not in self._waited:
                self._waited[each.channel_id] = began[each.channel_id] = now_ms
            self._shortest[each.gateway] = min(self._shortest.get(each.gateway, each.period_ms), each.period_ms)
            if each.health:
                first = self._health.get(each.gateway, each.channel_id)
                self._health[each.gateway] = min(first, each.channel_id)
        left = sorted(self._silent.keys() - self._listened.keys())
        for channel_id in left:
            del self._silent[channel_id]
            # Listened to again, its silence counts from here: told twice, one silence would be one alarm twice.
            self._heard[channel_id] = now_ms
        return left, began

    def hear(self, channel_id: int, gateway: str, recorded_ms: int) -> bool:
        """A live reading was taken in; answer whether the channel's silence ends with it."""
        if recorded_ms > self._heard.get(channel_id, 0):
            self._heard[channel_id] = recorded_ms
        if recorded_ms > self._gateway_heard.get(gateway, 0):
            self._gateway_heard[gateway] = recorded_ms
        if channel_id in self._silent:
            del self._silent[channel_id]
            self._next = 0
            return True
        return False

    def gateway_heard(self, gateway: str) -> int:
        """Return when a gateway was last heard, Unix milliseconds; 0 when never."""
        return self._gateway_heard.get(gateway, 0)

    def due(self, now_ms: int) -> list[Due]:
        """Return the silences to raise at `now_ms`, what explains before what is explained; they count as raised."""
        if now_ms < self._next:
            return []
        waiting: dict[str, list[Due]] = defaultdict(list)
        following = now_ms + 3_600_000
        for channel_id, each in self._listened.items():
            if channel_id in self._silent:
                continue
            since = self._since(channel_id)
            at_ms = since + each.after_ms
            if at_ms <= now_ms:
                waiting[each.gateway].append(Due(channel_id, at_ms, since))
            elif at_ms < following:
                following = at_ms
        found: list[Due] = []
        for gateway, some in waiting.items():
            some.sort(key=lambda due: (due.at_ms, due.channel_id))
            found += self._of_gateway(gateway, some, now_ms)
        self._silent.update((due.channel_id, due.parent is not None) for due in found)
        # What waits for its gateway is looked at again with every tick.
        self._next = following if len(found) >= sum(map(len, waiting.values())) else 0
        return found

    def _since(self, channel_id: int) -> int:
        heard = self._heard.get(channel_id)
        return self._waited[channel_id] if heard is None else max(heard, self._from)

    def _of_gateway(self, gateway: str, some: list[Due], now_ms: int) -> list[Due]:
        quiet_ms = max(QUIET_MS, _PERIODS * self._shortest[gateway])
        last = self._gateway_heard.get(gateway)
        counted = self._from if last is None else max(last, self._from)
        if last is not None and now_ms - counted < quiet_ms:
            return some
        # Only what fell silent with the gateway, not by itself before it, may speak for it.
        with_it = 0 if last is None else counted - quiet_ms
        speaker = next((key for key in self._speakers(gateway) if self._since(key) >= with_it), None)
        if speaker is not None:
            return [due._replace(parent=speaker) for due in some]
        health = self._health.get(gateway)
        if health is None or health in self._silent or self._since(health) < with_it:
            first, *others = some
        elif any(due.channel_id == health for due in some):
            first = next(due for due in some if due.channel_id == health)
            others = [due for due in some if due is not first]
        else:
            since = self._since(health)
            at_ms = max(some[0].at_ms + PARENT_WAIT_MS, since + _PERIODS * self._listened[health].period_ms)
            if now_ms < min(at_ms, since + self._listened[health].after_ms):
                return []
            first, others = Due(health, at_ms, since), some
        return [first, *(due._replace(parent=first.channel_id) for due in others)]

    def _speakers(self, gateway: str) -> list[int]:
        """Return the silent channels of a gateway that nothing explains, its health channel first."""
        health = self._health.get(gateway)
        own = (key for key, explained in self._silent.items() if not explained)
        here = (key for key in own if self._listened[key].gateway == gateway)
        return sorted(here, key=lambda key: (key != health, key))
