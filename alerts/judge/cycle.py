"""Where a room is in its defrost cycle: told by the defrost's contact, or by the shape of the curve."""

from __future__ import annotations

from typing import Final, NamedTuple

from hanlu.alerts.judge.contract import Phase, Switch

__all__ = ["START", "CycleState", "track"]


class CycleState(NamedTuple):
    """What the tracker remembers of one air temperature."""

    newest_ms: int | None = None


START: Final = CycleState()


def track(state: CycleState, at_ms: int, value: float, defrost: Switch | None, gap_ms: int) -> tuple[CycleState, Phase]:
    """Follow one reading of the room's air.

    Args:
        state: what is remembered.
        at_ms: time of observation, ascending, Unix milliseconds.
        value: air temperature, degrees Celsius.
        defrost: the contact's word, None when there is none or it is not fresh.
        gap_ms: length of a gap just before this reading, 0 for none.
    """
    return CycleState(at_ms), Phase()
