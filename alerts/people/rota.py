"""The on-call rota: who is on call at an instant, until when, and who comes after.

A rota has shifts; a shift has days, a time of day and members who take turns. Whose turn it is changes at the hand-over
time, every `turn_days` days, counted from the day the rota starts. A night shift belongs to the day it begins on. All
times are China time. Pure: the calendar and the instant are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.workdays import CHINA, Workdays
from hanlu.core.clock import from_ms, to_ms

__all__ = ["OnCall", "Rota", "Shift", "on_call", "stretches"]

LOOK_AHEAD_DAYS: Final = 15
"""How far ahead the next change is looked for."""

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Clock = Annotated[time, Field(description="HH:MM, China time")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Shift(_Model):
    """One shift of a day."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    days: Annotated[str, Field(pattern=r"^(all|work|free|[1-7]{1,7})$")] = "all"
    """`all`; `work`: days that are worked, make-up days too; `free`: days that are not; or weekdays, 1 = Monday."""
    begins: Clock = time(8)
    ends: Clock = time(20)
    """At or before `begins`: on the next day; the same: twenty-four hours."""
    members: Annotated[tuple[Code, ...], Field(min_length=1, max_length=60)]
    """Codes of receivers, in the order of their turns."""

    def holds_on(self, day: date, workdays: Workdays) -> bool:
        """Tell whether the shift begins on `day`."""
        if self.days in {"all", "work", "free"}:
            return self.days == "all" or workdays.day(day).work == (self.days == "work")
        return str(day.isoweekday()) in self.days

    def span(self, day: date) -> tuple[int, int]:
        """Return begin and end of the shift that begins on `day`, Unix milliseconds; the end is not in it."""
        begin = datetime.combine(day, self.begins, CHINA)
        end = datetime.combine(day if self.ends > self.begins else day + timedelta(days=1), self.ends, CHINA)
        return to_ms(begin), to_ms(end)


class Rota(_Model):
    """A rota of one node of the organisation tree."""

    code: Code
    name: Annotated[str, Field(min_length=1, max_length=80)]
    starts_on: date
    turn_days: Annotated[int, Field(ge=1, le=28)] = 7
    """Days of one turn: 1 daily, 7 weekly."""
    handover: Clock = time(8)
    """When a turn ends and the next begins."""
    shifts: Annotated[tuple[Shift, ...], Field(min_length=1, max_length=12)]

    @model_validator(mode="after")
    def _names(self) -> Self:
        if len({each.name for each in self.shifts}) < len(self.shifts):
            raise FormError("shift_twice")
        return self

    def member(self, shift: Shift, at_ms: int) -> str:
        """Return whose turn a shift is at an instant."""
        local = from_ms(at_ms).astimezone(CHINA)
        since_handover = local - timedelta(hours=self.handover.hour, minutes=self.handover.minute)
        turn = (since_handover.date() - self.starts_on).days // self.turn_days
        return shift.members[turn % len(shift.members)]


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call in one shift.

    Attributes:
        receiver: code.
        shift: its name.
    """

    receiver: str
    shift: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the same people are on call.

    Attributes:
        from_ms: begin.
        to_ms: end, not in it.
        people: in the order of the shifts; () when nobody is.
    """

    from_ms: int
    to_ms: int
    people: tuple[OnCall, ...]


def on_call(rota: Rota, at_ms: int, workdays: Workdays) -> tuple[OnCall, ...]:
    """Return who is on call at an instant, in the order of the shifts; () when no shift covers it."""
    today = from_ms(at_ms).astimezone(CHINA).date()
    found = []
    for shift in rota.shifts:
        for day in (today - timedelta(days=1), today):
            begin, end = shift.span(day)
            if begin <= at_ms < end and shift.holds_on(day, workdays):
                found.append(OnCall(rota.member(shift, at_ms), shift.name))
                break
    return tuple(found)


def stretches(rota: Rota, from_ms_: int, workdays: Workdays, days: int = LOOK_AHEAD_DAYS) -> Iterator[Stretch]:
    """Yield who is on call from an instant on, change by change, for so many days."""
    edges = sorted(edge for edge in _edges(rota, from_ms_, days) if edge > from_ms_)
    begin, people = from_ms_, on_call(rota, from_ms_, workdays)
    for edge in edges:
        then = on_call(rota, edge, workdays)
        if then != people:
            yield Stretch(begin, edge, people)
            begin, people = edge, then
    if edges and begin < edges[-1]:
        yield Stretch(begin, edges[-1], people)


def _edges(rota: Rota, at_ms: int, days: int) -> set[int]:
    """Return every instant at which something could change."""
    first = from_ms(at_ms).astimezone(CHINA).date() - timedelta(days=1)
    edges: set[int] = set()
    for offset in range(days + 2):
        day = first + timedelta(days=offset)
        edges.add(to_ms(datetime.combine(day, rota.handover, CHINA)))
        for shift in rota.shifts:
            edges.update(shift.span(day))
    return edges
