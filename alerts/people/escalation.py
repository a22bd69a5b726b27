"""Escalation: who is called when, as long as nobody acknowledges.

A node of the organisation tree has a policy: steps, each some minutes after the call began. When the last step of a
node has passed unheard, the policy of the node above goes on, counted from there. Having come to the top, the whole
ladder is gone through again, `rounds` times altogether. A node without a policy is passed over. Pure: `ladder` makes of
policies and the beginning of a call the list of what is due when; a clock only asks which of it has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.workdays import CHINA
from hanlu.core.clock import from_ms, to_ms

__all__ = ["Due", "NodePolicy", "Policy", "Quiet", "Step", "ladder"]

MOST_STEPS: Final = 200
"""Steps of one call at most, all rounds and nodes together."""

_MINUTE_MS: Final = 60_000
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Priority = Annotated[int, Field(ge=1, le=3)]
_ALL: Final = (1, 2, 3)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Step(_Model):
    """Who is called so long after the call reached this node."""

    after_min: Annotated[int, Field(ge=0, le=10_080)] = 0
    """Minutes after the call reached the node."""
    receivers: Annotated[tuple[Code, ...], Field(max_length=30)] = ()
    rotas: Annotated[tuple[Code, ...], Field(max_length=10)] = ()
    """Whoever is on call in them when the step is due."""
    priorities: Annotated[tuple[Priority, ...], Field(min_length=1, max_length=3)] = _ALL
    """Priorities of alarms the step is for: 1 critical, 2 high, 3 low."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.receivers and not self.rotas:
            raise FormError("step_empty")
        return self


class Quiet(_Model):
    """Hours in which what can wait waits for the morning (China time)."""

    begins: time = time(22)
    ends: time = time(7, 30)
    priorities: Annotated[tuple[Priority, ...], Field(min_length=1, max_length=3)] = (3,)

    def until(self, at_ms: int, priority: int) -> int | None:
        """Return when a message of `priority` may go, Unix milliseconds; None when it may at once."""
        if priority not in self.priorities or self.begins == self.ends:
            return None
        local = from_ms(at_ms).astimezone(CHINA)
        clock = local.time()
        over_night = self.ends < self.begins
        inside = clock >= self.begins or clock < self.ends if over_night else self.begins <= clock < self.ends
        if not inside:
            return None
        day = local.date() + timedelta(days=1) if over_night and clock >= self.begins else local.date()
        return to_ms(datetime.combine(day, self.ends, CHINA))


class Policy(_Model):
    """What one node of the organisation tree does with the alarms below it."""

    steps: Annotated[tuple[Step, ...], Field(max_length=20)] = ()
    upward_min: Annotated[int | None, Field(ge=1, le=10_080)] = 30
    """Minutes after the last step until the node above is called; None never."""
    rounds: Annotated[int, Field(ge=1, le=10)] = 3
    """How often the whole ladder is gone through; the policy of the node nearest to the alarm decides."""
    repeat_min: Annotated[int, Field(ge=5, le=1440)] = 60
    """Minutes from the last step of a round to the first of the next."""
    quiet: Quiet | None = None
    tell_return: bool = True
    """Whether those who were told of an alarm are told that its condition is gone."""
    after_return: bool = False
    """Whether the ladder goes on when the condition is gone and nobody has acknowledged."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        minutes = [each.after_min for each in self.steps]
        if minutes != sorted(minutes):
            raise FormError("step_order")
        return self


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """A policy and whose it is; a list of them goes from the node nearest to the alarm up to the root."""

    organisation_id: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Due:
    """One step of a call.

    Attributes:
        number: from 0, over all nodes and rounds.
        at_ms: when, Unix milliseconds.
        organisation_id: whose policy.
        round: from 0.
        step: who.
    """

    number: int
    at_ms: int
    organisation_id: int
    round: int
    step: Step


def ladder(policies: Sequence[NodePolicy], priority: int, begun_ms: int) -> tuple[Due, ...]:
    """Return every step of a call that nobody acknowledges, in order.

    Args:
        policies: from the node nearest to the alarm upwards, nodes without a policy left out.
        priority: of the alarm.
        begun_ms: when it called, Unix milliseconds.
    """
    if not policies:
        return ()
    nearest = policies[0].policy
    found: list[Due] = []
    at_ms = begun_ms
    for turn in range(nearest.rounds):
        last_ms = None
        base_ms = at_ms
        for node in policies:
            steps = [each for each in node.policy.steps if priority in each.priorities]
            for step in steps:
                last_ms = base_ms + step.after_min * _MINUTE_MS
                found.append(Due(len(found), last_ms, node.organisation_id, turn, step))
            if node.policy.upward_min is None:
                break
            if steps:  # a node that has nobody for this priority passes the call on at once
                base_ms = found[-1].at_ms + node.policy.upward_min * _MINUTE_MS
        if last_ms is None:
            break
        at_ms = last_ms + nearest.repeat_min * _MINUTE_MS
    return tuple(found[:MOST_STEPS])
