"""How often a channel may be used, and when to try again.

A channel counts what reaches it. What reaches it lies between the beginning and the end of an attempt, and attempts of
one line follow one another: so a new attempt is begun only when, counting the ends of the earlier ones, no window could
hold too many. Pure functions of instants (Unix milliseconds).

Sources: WeCom group bots 20 a minute; DingTalk custom bots 20 a minute, then blocked for ten; Feishu custom bots 100 a
minute and 5 a second, and the advice to avoid the full and half hour. The other limits are ours, against floods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.model import ReceiverKind

__all__ = ["DINGTALK_BLOCK_S", "LIMITS", "Limit", "free_at", "longest_window_ms", "off_the_hour", "pause_s"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` in any `window_ms` milliseconds."""

    count: int
    window_ms: int


_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND

LIMITS: Final[Mapping[ReceiverKind, tuple[Limit, ...]]] = {
    ReceiverKind.WECOM: (Limit(20, _MINUTE),),
    ReceiverKind.DINGTALK: (Limit(20, _MINUTE),),
    ReceiverKind.FEISHU: (Limit(100, _MINUTE), Limit(5, _SECOND)),
    ReceiverKind.EMAIL: (Limit(30, _MINUTE),),
    ReceiverKind.WEBHOOK: (Limit(120, _MINUTE),),
    # Aliyun: one message a minute, five an hour and ten a day to a number with one signature, unless agreed otherwise.
    ReceiverKind.SMS: (Limit(1, _MINUTE), Limit(5, 60 * _MINUTE), Limit(10, 24 * 60 * _MINUTE)),
}
"""By channel."""

DINGTALK_BLOCK_S: Final = 600.0
"""A DingTalk bot that sent too fast is deaf for so long, seconds."""

_BUSY_MINUTES: Final = (0, 30)
_BUSY_MS: Final = 10_000
"""So long after :00 and :30 Feishu is best left alone."""


def longest_window_ms(kind: ReceiverKind) -> int:
    """Return how far back attempts must be known."""
    return max(each.window_ms for each in LIMITS[kind])


def free_at(limits: Sequence[Limit], ends_ms: Sequence[int], now_ms: int) -> int:
    """Return the earliest instant, `now_ms` or later, at which one more attempt may begin.

    Args:
        limits: of the channel.
        ends_ms: when earlier attempts of the line ended, in any order.
        now_ms: the platform's time.
    """
    newest_first = sorted(ends_ms, reverse=True)
    at_ms = now_ms
    for limit in limits:
        if len(newest_first) >= limit.count:
            # The oldest of the newest `count` must have left the window: strictly, an instant at its edge still counts.
            at_ms = max(at_ms, newest_first[limit.count - 1] + limit.window_ms + 1)
    return at_ms


def off_the_hour(at_ms: int) -> int:
    """Return `at_ms`, moved a few seconds where it falls upon a full or half hour (every zone of ours agrees on it)."""
    minute, within = divmod(at_ms, _MINUTE)
    if minute % 60 in _BUSY_MINUTES and within < _BUSY_MS:
        return minute * _MINUTE + _BUSY_MS
    return at_ms


def pause_s(config: NotifyConfig, attempts: int, jitter: float, retry_after_s: float | None) -> float:
    """Return how long to wait after a failed attempt, seconds.

    Args:
        config: first and longest pause.
        attempts: made so far, at least 1.
        jitter: 0 to 1, so that many do not come back at one instant.
        retry_after_s: what the channel asked for; never undercut, and believed up to `give_up_s`.
    """
    doubled = min(config.retry_max_s, config.retry_first_s * 2.0 ** min(attempts - 1, 30))
    own = doubled * (0.5 + 0.5 * jitter)
    asked = 0.0 if retry_after_s is None else min(retry_after_s, config.give_up_s)
    return max(own, asked + own * 0.1 if asked else 0.0)
