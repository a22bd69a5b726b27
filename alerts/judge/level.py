"""SPOOL and CLOCK: what a gateway says of its own store and time, beyond a level for some minutes.

SPOOL sits on `spool_used` (`/`, above 1 the reserve for events), CLOCK on `clock_offset` (`s`, the platform's clock
minus the gateway's; either sign is wrong). Both return a tenth below their level, so that a value that rests on it
does not chatter.
"""

from __future__ import annotations

from typing import Final

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import Lasting
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.parameters import ClockParameters, SpoolParameters

__all__ = ["CLOCK", "SPOOL"]

_BACK: Final = 0.9
"""Share of the level below which it counts as kept again."""


def _beyond(state: Lasting, size: float, level: float) -> bool | None:
    if size >= level:
        return True
    return None if state.raised and size > _BACK * level else False


def _spool(
    state: Lasting, parameters: SpoolParameters, at_ms: int, value: float, signals: Signals
) -> tuple[Lasting, Verdict | None]:
    return lasting.last(
        state,
        Kind.SPOOL,
        _beyond(state, value, parameters.used),
        at_ms,
        value,
        for_ms=parameters.for_s * 1000,
        gap=signals.gap_ms > 0,
    )


def _clock(
    state: Lasting, parameters: ClockParameters, at_ms: int, value: float, signals: Signals
) -> tuple[Lasting, Verdict | None]:
    return lasting.last(
        state,
        Kind.CLOCK,
        _beyond(state, abs(value), parameters.offset_s),
        at_ms,
        value,
        for_ms=parameters.for_s * 1000,
        gap=signals.gap_ms > 0,
        upward=value >= 0,
    )


SPOOL = Judge(Kind.SPOOL, lasting.QUIET, _spool)
CLOCK = Judge(Kind.CLOCK, lasting.QUIET, _clock)
