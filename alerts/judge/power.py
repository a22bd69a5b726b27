"""POWER: the mains are gone, or the machine draws nothing.

Sits on a switch (`mains`) or on a power meter (`power`, watts). Which of the two it is shows by itself: a channel that
has never said anything but 0 and 1 is a switch, and 1 means that the mains are there; any other number is a meter's,
for which less than `least_w` is nothing.

A meter of the compressor alone reads nothing whenever the compressor rests. So the judge remembers how long the
channel usually reads nothing before it comes back by itself (a sliding mean of rests of up to two hours), and waits
three times as long where that is longer than `off_s`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import QUIET, Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import PowerParameters

__all__ = ["POWER", "PowerState"]

_LONGEST_REST_MS: Final = 2 * 3_600_000
"""What is longer is an outage and no habit."""
_HABIT: Final = 5
"""Rests until a habit is fully believed; a single outage does not make one."""


class PowerState(NamedTuple):
    """What is remembered.

    Attributes:
        timer: of the condition.
        metered: the channel has said something else than 0 and 1.
        rests: how often a meter read nothing and came back, at most `_HABIT`.
        rest_ms: how long that usually takes.
    """

    timer: Lasting = QUIET
    metered: bool = False
    rests: int = 0
    rest_ms: float = 0.0

    @property
    def raised(self) -> bool:
        """Whether the alarm stands."""
        return self.timer.raised


def _step(
    state: PowerState, parameters: PowerParameters, at_ms: int, value: float, signals: Signals
) -> tuple[PowerState, Verdict | None]:
    metered = state.metered or value not in {0.0, 1.0}
    gone = value < parameters.least_w if metered else value <= 0
    began = state.timer.since_ms
    timer, verdict = lasting.last(
        state.timer,
        Kind.POWER,
        gone,
        at_ms,
        value,
        for_ms=_for_ms(state, parameters),
        gap=signals.gap_ms > 0,
        upward=False,
        cause=Cause.POWER_LOSS,
    )
    rests, rest_ms = state.rests, state.rest_ms
    if metered and began is not None and not gone and not signals.gap_ms:
        # A rest that ended by itself; one that was called an outage counts too, else a habit could never be learned.
        took = min(at_ms - began, _LONGEST_REST_MS)
        rests = min(rests + 1, _HABIT)
        rest_ms += (took - rest_ms) / rests
    return PowerState(timer, metered, rests, rest_ms), verdict


def _for_ms(state: PowerState, parameters: PowerParameters) -> int:
    habit = 3 * state.rest_ms if state.rests >= 2 else 0.0
    return max(parameters.off_s * 1000, int(habit))


def _due(state: PowerState, parameters: PowerParameters) -> int | None:
    return lasting.due(state.timer, _for_ms(state, parameters))


POWER = Judge(Kind.POWER, PowerState(), _step, due=_due)
