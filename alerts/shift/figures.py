"""The figures of the load page: value, target, verdict, and which alarms lie behind each. Pure.

A verdict is a word, never only a colour. Shares of a handful of alarms say nothing, so below `FEW` calls a share gets
no verdict but `few`.

Source of the targets: EEMUA 191 (one in ten minutes, 15 an hour and 2 a minute at the peak, 5/15/80 %), ANSI/ISA-18.2
16.5 (5 an hour, floods below 1 % of the time, fewer than 5 stale, none chattering or fleeting, ten points at most 5 %
of the load), IEC 62682:2022 (144 a day; 120 is the tighter reading).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from hanlu.alerts.alarm import ACTIVE, ProcessState, SuppressionState, calls
from hanlu.alerts.shift.kpi import FLOOD_WINDOW_MS, HOUR_MS, MINUTE_MS, STALE_MS, Load

__all__ = ["FEW", "Figure", "Now", "OpenAlarm", "Verdict", "alarms_behind", "figures", "summary"]

FEW: Final = 20
"""With fewer calls than this a share has no verdict."""


class Verdict(StrEnum):
    """How a figure compares with its target."""

    GOOD = "good"
    OVER = "over"
    FEW = "few"
    """Too few alarms to tell."""
    NONE = "none"
    """There is no target."""


class OpenAlarm(NamedTuple):
    """An alarm that is not over, as in alerts.alarm."""

    alarm_id: int
    process_state: str
    suppression_state: str
    called_ms: int | None


@dataclass(frozen=True, slots=True)
class Now:
    """What stands at this moment, whatever the period.

    Attributes:
        at_ms: the moment, Unix milliseconds UTC.
        open: alarms that are not over.
        shelved: points on the shelf.
        out_of_service: points out of service.
    """

    at_ms: int
    open: tuple[OpenAlarm, ...]
    shelved: int
    out_of_service: int

    @property
    def standing(self) -> tuple[int, ...]:
        """Alarms whose condition holds and that nothing keeps quiet."""
        return tuple(each.alarm_id for each in self._loud() if ProcessState(each.process_state) in ACTIVE)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Alarms that ask for a person."""
        return tuple(
            each.alarm_id
            for each in self.open
            if calls(ProcessState(each.process_state), SuppressionState(each.suppression_state))
        )

    @property
    def stale(self) -> tuple[int, ...]:
        """Standing alarms that called over a day ago."""
        standing = set(self.standing)
        return tuple(
            each.alarm_id
            for each in self.open
            if each.alarm_id in standing and each.called_ms is not None and self.at_ms - each.called_ms > STALE_MS
        )

    def _loud(self) -> list[OpenAlarm]:
        return [each for each in self.open if each.suppression_state == SuppressionState.NONE]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        key: its name; words are `shift.figure.<key>`, the definition `shift.how.<key>`.
        value: None when there is nothing to tell it from.
        unit: "" (a count or rate), "%" or "min".
        target: the greatest good value; None without a target.
        strict: whether the target itself is already too much.
        verdict: how they compare.
        behind: name of the list behind it.
    """

    key: str
    value: float | None
    unit: str
    target: float | None
    strict: bool
    verdict: Verdict
    behind: str

    @property
    def text(self) -> str:
        """The value as people read it, without its unit."""
        return "—" if self.value is None else _number(self.value)

    @property
    def target_text(self) -> str:
        """The target as people read it, "" without one."""
        if self.target is None:
            return ""
        return f"{'<' if self.strict else '≤'} {_number(self.target)}" if self.target else "0"


def _number(value: float) -> str:
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _figure(
    key: str, value: float | None, target: float | None = None, *, unit: str = "", behind: str = "called",
    strict: bool = False, few: bool = False,
) -> Figure:  # fmt: skip
    if target is None or value is None:
        verdict = Verdict.NONE
    elif few:
        verdict = Verdict.FEW
    else:
        verdict = Verdict.OVER if value > target or (strict and value == target) else Verdict.GOOD
    return Figure(key, value, unit, target, strict, verdict, behind)


def figures(load: Load, now: Now, held: Mapping[str, int]) -> list[Figure]:
    """Return the figures in the order of the page.

    Args:
        load: of the period.
        now: what stands at this moment.
        held: alarms of the period that called nobody, by reason.
    """
    few = len(load.calls) < FEW
    people = load.operators
    found = [
        _figure("calls", len(load.calls)),
        _figure("per_ten", load.rate(FLOOD_WINDOW_MS), 1),
        _figure("per_hour", load.rate(HOUR_MS), 5),
        _figure("per_day", load.rate(24 * HOUR_MS), 120),
        _figure("peak_minute", load.peak_minute.calls / people, 2, behind="peak_minute"),
        _figure("peak_ten", load.peak_ten.calls / people, 10, behind="peak_ten"),
        _figure("peak_hour", load.peak_hour.calls / people, 15, behind="peak_hour"),
        _figure("floods", len(load.floods), behind="flood"),
        _figure("flood_share", 100 * load.flood_share, 1, unit="%", behind="flood", strict=True),
    ]
    for priority, target in ((1, 5), (2, 15), (3, None)):
        share = load.priority_share(priority)
        value = None if share is None else 100 * share
        found.append(_figure(f"priority_{priority}", value, target, unit="%", behind=f"priority_{priority}", few=few))
    top = load.top_share
    found += [
        _figure("standing", len(now.standing), behind="standing"),
        _figure("waiting", len(now.waiting), behind="waiting"),
        _figure("stale", len(now.stale), 5, behind="stale", strict=True),
        _figure("chattering", len(load.chattering), 0, behind="chattering"),
        _figure("fleeting", len(load.fleeting), 0, behind="fleeting"),
        _figure("top", None if top is None else 100 * top, 5, unit="%", behind="top", few=few),
        _figure("acknowledged_p50", _minutes(load.acknowledged_after(0.50)), unit="min", behind="acknowledged"),
        _figure("acknowledged_p95", _minutes(load.acknowledged_after(0.95)), unit="min", behind="acknowledged"),
        _figure("late", len(load.late(now.at_ms)), 0, behind="late"),
        _figure("shelved", now.shelved, behind="shelved"),
        _figure("out_of_service", now.out_of_service, behind="out_of_service"),
        _figure("held", sum(held.values()), behind="held"),
    ]
    return found


def _minutes(ms: int | None) -> float | None:
    return None if ms is None else ms / MINUTE_MS


def alarms_behind(name: str, load: Load, now: Now) -> list[int] | None:
    """Return the keys of the alarms behind a figure, the newest first; None when there is no such list of alarms.

    Args:
        name: `Figure.behind`, or `point=` and a point.
        load: of the period.
        now: what stands at this moment.
    """
    if name in ("standing", "waiting", "stale"):
        return list({"standing": now.standing, "waiting": now.waiting, "stale": now.stale}[name])
    peaks = {"peak_minute": (load.peak_minute, MINUTE_MS), "peak_ten": (load.peak_ten, FLOOD_WINDOW_MS),
             "peak_hour": (load.peak_hour, HOUR_MS)}  # fmt: skip
    if name in peaks:
        peak, window_ms = peaks[name]
        end_ms = peak.at_ms or 0
        chosen = [call for call in load.calls if end_ms - window_ms < call.called_ms <= end_ms]
    elif name == "called":
        chosen = list(load.calls)
    elif name == "flood":
        chosen = list(load.in_floods)
    elif name == "fleeting":
        chosen = list(load.fleeting)
    elif name == "late":
        chosen = list(load.late(now.at_ms))
    elif name == "acknowledged":
        acknowledged = [call for call in load.calls if call.acknowledged_ms is not None]
        # Those that took longest first: they are what one asks about.
        acknowledged.sort(key=lambda call: (call.acknowledged_ms or 0) - call.called_ms, reverse=True)
        return [call.alarm_id for call in acknowledged]
    elif name in ("priority_1", "priority_2", "priority_3"):
        chosen = [call for call in load.calls if call.priority == int(name[-1])]
    elif name == "chattering":
        chosen = [call for call in load.calls if call.point in load.chattering]
    elif name == "top":
        points = {point for point, _ in load.top}
        chosen = [call for call in load.calls if call.point in points]
    elif name.startswith("point="):
        chosen = [call for call in load.calls if call.point == name.removeprefix("point=")]
    else:
        return None
    return [call.alarm_id for call in reversed(chosen)]


def summary(found: Sequence[Figure], load: Load, held: Mapping[str, int]) -> dict[str, Any]:
    """Return the figures as a document of plain values, for `--json`."""
    return {
        "from_ms": load.period.from_ms,
        "to_ms": load.period.to_ms,
        "operators": load.operators,
        "figures": {
            each.key: {"value": each.value, "unit": each.unit, "target": each.target, "verdict": each.verdict.value}
            for each in found
        },
        "floods": [{"from_ms": flood.from_ms, "to_ms": flood.to_ms} for flood in load.floods],
        "chattering": dict(load.chattering),
        "top": [{"point": point, "calls": calls_of} for point, calls_of in load.top],
        "held": dict(held),
    }
