"""DOOR: a door stands open longer than anybody needs to pass.

Sits on the door's switch (`door_open`, more than 0 is open). A door that says so every minute and one that only says
what changes are judged alike: the time runs from the first "open", and where no further word comes the alarm is due at
`since + open_s` (`Judge.due`; the room's other readings or the engine's clock show that the time has come).
"""

from __future__ import annotations

from hanlu.alerts.judge import lasting
from hanlu.alerts.judge.contract import Judge, Signals, Verdict
from hanlu.alerts.judge.lasting import Lasting
from hanlu.alerts.kind import Cause, Kind
from hanlu.alerts.rules.parameters import DoorParameters

__all__ = ["DOOR"]


def _step(
    state: Lasting, parameters: DoorParameters, at_ms: int, value: float, signals: Signals
) -> tuple[Lasting, Verdict | None]:
    return lasting.last(
        state,
        Kind.DOOR,
        value > 0,
        at_ms,
        value,
        for_ms=parameters.open_s * 1000,
        gap=signals.gap_ms > 0,
        cause=Cause.DOOR_OPEN,
    )


def _due(state: Lasting, parameters: DoorParameters) -> int | None:
    return lasting.due(state, parameters.open_s * 1000)


DOOR = Judge(Kind.DOOR, lasting.QUIET, _step, due=_due)
