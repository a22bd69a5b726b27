"""From the registry and the rules to what the engine watches: each channel with its place, its room and its rules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from hanlu.alerts.explain import Place
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.judge.room import TRACKED, Assigned, ChannelPlan
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.assign import Assigner, Problem
from hanlu.alerts.rules.resolve import ChannelFacts

__all__ = ["HEALTH_DEVICE", "Channel", "plan"]

HEALTH_DEVICE: Final = "gateway"
"""Code of the device as which a gateway tells how it is itself."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the engine sees it.

    Attributes:
        plan: what the judges of its room need.
        place: where it is.
        room: key of the room it is judged in: its zone, or its device where that stands in no zone.
        period_ms: between two of its readings, milliseconds.
        timed: rules that the engine's clock judges, by kind: silence, gaps, calibration.
        replaying: its gateway declared a replay clock at birth.
    """

    plan: ChannelPlan
    place: Place
    room: str
    period_ms: int
    timed: dict[Kind, Assigned]
    replaying: bool

    @property
    def matters(self) -> bool:
        """Return whether anything is ever concluded from its readings or from its curve."""
        return bool(self.plan.rules) or self.plan.metric in TRACKED

    def rule(self, kind: Kind) -> Assigned | None:
        """Return the rule of a kind in force here, whoever judges it."""
        if kind in self.timed:
            return self.timed[kind]
        return next((each for each in self.plan.rules if each.kind is kind), None)


def plan(facts: ChannelFacts, assigner: Assigner, replaying: Collection[str]) -> tuple[Channel, tuple[Problem, ...]]:
    """Return a channel with its rules, and what does not hold there and should.

    Args:
        facts: what the registry says.
        assigner: the rules in force.
        replaying: codes of gateways that replay.
    """
    found = assigner.assign(facts)
    judged = tuple(each for each in found.assigned if each.kind in JUDGES)
    channel = Channel(
        # A silence longer than the channel is allowed is a gap in its curve too.
        ChannelPlan(facts.channel_id, facts.metric, facts.unit, facts.no_data_s * 1000, judged),
        Place(facts.site, facts.zone, facts.gateway, facts.device == HEALTH_DEVICE),
        facts.zone if facts.zone is not None else f"{facts.gateway}~{facts.device}",
        round(facts.period_s * 1000),
        {each.kind: each for each in found.assigned if each.kind not in JUDGES},
        facts.gateway in replaying,
    )
    return channel, found.problems
