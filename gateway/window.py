"""What to send next; pure, no socket, no disk, no clock of its own.

Theory of operation. Every seq from `committed + 1` to the spool's head waits for a receipt. Two cursors walk over them:

    committed          backlog_next      live_start         live_next        head
        |  sent, waiting    |   backlog        |  sent, waiting  |   live      |
        +-------------------+------------------+-----------------+-------------+

What is appended while connected is live and goes first; what was pending before goes oldest first, with what room is
left. The cursors, and not a list of messages, are the state: memory does not grow with the backlog.

A connection (`connected`) and a time without progress (`overdue`, then `resend_all`, with doubling patience) both move
the cursors back by `_rewind`: recovery is the same as a new connection. Messages that grew old before they could go
live become backlog (`demote`). A repetition is harmless (the platform knows epoch and seq); a gap never is.

A receipt's `missing` also names what is still on its way, so it is believed only for what was overtaken: links and
brokers keep the order, hence a message is lost when one sent after it has arrived. What counts as arrived is a seq the
receipt commits or names as the end of a gap, provided it was sent but once (else it may be the earlier sending that
arrived: Karn's rule for TCP). What this cannot see, the time-out finds.

In order (`in_order`): a replay is judged in its own time, so nothing may overtake; everything is one lane.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hanlu.gateway.config import UplinkConfig
from hanlu.gateway.lane import Rate

__all__ = ["Flow", "Send", "Window"]

_NEVER: Final = 2**62
"""A seq no spool reaches: where the live part starts when there is none."""
_PAGE: Final = 50
"""Messages handed out at once: what is read from the spool into memory."""
_MAX_REPEATS: Final = 100
"""Ranges remembered for repetition, as many as one receipt may name."""

_MAX_FLIGHT: Final = 10_000
"""Messages on the way that are remembered one by one; what is beyond is left to the time-out."""


class Flow(Enum):
    """Which stream a message goes with."""

    LIVE = "live"
    REPEAT = "repeat"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Send:
    """Messages `first` to `last` (inclusive) may go now."""

    flow: Flow
    first: int
    last: int


class Window:
    """The uplink's memory of what was sent and what came back."""

    def __init__(self, config: UplinkConfig, committed: int, *, in_order: bool = False) -> None:
        """Start with everything above `committed` unsent."""
        self._config, self._in_order = config, in_order
        self._live_rate = Rate(config.live_rate)
        self._backlog_rate = Rate(config.live_rate if in_order else config.backlog_rate)
        self.committed = committed
        self.backlog_next = committed + 1
        self.live_start = self.live_next = _NEVER
        self._quiet = 0  # live messages since the platform last spoke
        self._repeats: list[tuple[int, int]] = []
        self._flight: OrderedDict[int, bool] = OrderedDict()  # on the way, in the order sent; True: sent but once
        self._once_from = committed + 1
        self._waiting_since: float | None = None
        self._patience_s = config.receipt_timeout_s

    def connected(self, head: int, birth: int | None, now: float) -> None:
        """Begin anew on a new connection.

        All that was not receipted goes again: what a broken connection carried is anyone's guess.

        Args:
            head: the spool's last seq.
            birth: seq of the birth, already sent as the first message; None when the spool could not take one.
            now: monotonic seconds.
        """
        self._rewind(head + 1 if birth is None else birth)
        self._once_from = head + 1  # an earlier process may have sent anything up to here
        if birth is not None:
            self._flight[birth] = True
            if not self._in_order:
                self.live_next = birth + 1
            elif self.backlog_next == birth:
                self.backlog_next = birth + 1
        self._patience_s = self._config.receipt_timeout_s
        self._waiting_since = now

    def reconfigure(self, config: UplinkConfig) -> None:
        """Go on with other rates and windows; what was sent stays sent."""
        self._config = config
        self._live_rate = Rate(config.live_rate)
        self._backlog_rate = Rate(config.live_rate if self._in_order else config.backlog_rate)
        self._patience_s = config.receipt_timeout_s

    def receipt(self, committed: int, missing: Iterable[tuple[int, int]], now: float) -> bool:
        """Take in the platform's word; return whether `committed` advanced (then the spool may delete up to it)."""
        self._quiet = 0
        advanced = committed > self.committed
        if advanced:
            self.committed = committed
            self.backlog_next = max(self.backlog_next, committed + 1)
            if self.live_next != _NEVER:
                self.live_next = max(self.live_next, committed + 1)
            self._patience_s = self._config.receipt_timeout_s
            self._waiting_since = now if self._outstanding() else None
        self._settle([(first, last) for first, last in missing if first <= last])
        return advanced

    def repeat(self, first: int, last: int) -> None:
        """Make `first` to `last` go again, as far as they were sent and are not receipted."""
        for start, end in ((self.committed + 1, self.backlog_next - 1), (self.live_start, self.live_next - 1)):
            low, high = max(first, start, self.committed + 1), min(last, end)
            if low <= high:
                self._queue(low, high)

    def next_send(self, head: int, now: float, room: int) -> Send | None:
        """Return what may go now, live before repeats before backlog, or None.

        Args:
            head: the spool's last seq.
            now: monotonic seconds.
            room: how many more messages the connection takes.
        """
        room = min(room, _PAGE)
        if room <= 0:
            return None
        live = min(room, head - self.live_next + 1, self._config.live_window - self._quiet)
        if live > 0 and (live := min(live, self._live_rate.available(now))) > 0:
            return Send(Flow.LIVE, self.live_next, self.live_next + live - 1)
        allowed = min(room, self._backlog_rate.available(now))
        if allowed <= 0:
            return None
        return self._next_repeat(allowed) or self._next_backlog(head, allowed)

    def sent(self, send: Send, now: float) -> None:
        """Note that all of `send` went."""
        count = send.last - send.first + 1
        if send.flow is Flow.LIVE:
            self.live_next = send.last + 1
            self._quiet += count
            self._live_rate.take(count)
        else:
            self._backlog_rate.take(count)
            if send.flow is Flow.BACKLOG:
                self.backlog_next = send.last + 1
            else:
                self._repeats[0] = (send.last + 1, self._repeats[0][1])
        for seq in range(send.first, send.last + 1):
            self._flight.pop(seq, None)
            self._flight[seq] = send.flow is not Flow.REPEAT and seq >= self._once_from
        while len(self._flight) > _MAX_FLIGHT:
            self._flight.popitem(last=False)
        if self._waiting_since is None:
            self._waiting_since = now

    def demote(self, head: int) -> None:
        """Make the unsent live messages backlog: they grew old before they could go."""
        if self.backlog_next >= self.live_start:
            self.backlog_next = self.live_next  # no backlog is open: what was sent live needs no second sending
        self.live_start = self.live_next = head + 1

    def overdue(self, now: float) -> bool:
        """Tell whether messages were sent and nothing has been receipted for too long."""
        if not self._outstanding() or self._waiting_since is None:
            return False
        return now - self._waiting_since >= self._patience_s

    def resend_all(self, now: float) -> None:
        """Send again all that is not receipted, oldest first, and be twice as patient the next time."""
        self._once_from = self.backlog_next if self._in_order else self.live_next
        self._rewind(self.live_next)
        self._patience_s = min(self._patience_s * 2, self._config.receipt_timeout_max_s)
        self._waiting_since = now

    def wait_s(self, head: int, now: float, room: int) -> float | None:
        """Return the seconds until time alone (a rate, a time-out) changes something; None: never."""
        waits = []
        if room > 0 and self.live_next <= head and self._quiet < self._config.live_window:
            waits.append(self._live_rate.wait_s())
        if room > 0 and (self._repeats or self._backlog_room(head) > 0):
            waits.append(self._backlog_rate.wait_s())
        if self._outstanding() and self._waiting_since is not None:
            waits.append(max(0.0, self._waiting_since + self._patience_s - now))
        return min(waits, default=None)

    def _settle(self, missing: Sequence[tuple[int, int]]) -> None:
        """Forget what arrived and queue what was overtaken, up to the last sent of what is known to have arrived."""
        arrived = {seq for seq in (self.committed, *(last + 1 for _, last in missing)) if self._flight.get(seq)}
        ranges = sorted(missing)
        while self._flight and (arrived or next(iter(self._flight)) <= self.committed):
            seq, _ = self._flight.popitem(last=False)
            arrived.discard(seq)
            at = bisect_right(ranges, (seq, _NEVER)) - 1
            if seq > self.committed and at >= 0 and seq <= ranges[at][1]:
                self._queue(seq, seq)

    def _queue(self, low: int, high: int) -> None:
        for place, (first, last) in enumerate(self._repeats):
            if first <= high + 1 and low <= last + 1:
                self._repeats[place] = (min(first, low), max(last, high))
                return
        if len(self._repeats) < _MAX_REPEATS:
            self._repeats.append((low, high))

    def _rewind(self, live_start: int) -> None:
        self.backlog_next = self.committed + 1
        self.live_start = self.live_next = _NEVER if self._in_order else live_start
        self._repeats.clear()
        self._flight.clear()

    def _outstanding(self) -> bool:
        live_sent = self.live_next > max(self.live_start, self.committed + 1)
        return self.backlog_next > self.committed + 1 or live_sent

    def _backlog_room(self, head: int) -> int:
        unsent = min(head + 1, self.live_start) - self.backlog_next
        unreceipted = self.backlog_next - self.committed - 1
        return min(unsent, self._config.backlog_window - unreceipted)

    def _next_repeat(self, allowed: int) -> Send | None:
        while self._repeats:
            first, last = self._repeats[0]
            first = max(first, self.committed + 1)
            if first <= last:
                self._repeats[0] = (first, last)
                return Send(Flow.REPEAT, first, min(last, first + allowed - 1))
            self._repeats.pop(0)
        return None

    def _next_backlog(self, head: int, allowed: int) -> Send | None:
        count = min(allowed, self._backlog_room(head))
        return Send(Flow.BACKLOG, self.backlog_next, self.backlog_next + count - 1) if count > 0 else None
