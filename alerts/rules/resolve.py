"""From what a rule says to the numbers a judge takes: what a rule leaves open comes from the channel's limit profile.

Limits belong to products, so most rules name none. A rule whose limit the profile does not have is refused, never
filled with a guess; only times and the deadband have defaults, for channels that no profile judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.parameters import (
    DoseParameters,
    LimitParameters,
    NoDataParameters,
    OutOfRangeParameters,
    Parameters,
    TimeToLimitParameters,
)

__all__ = ["DEADBAND", "OFF_DELAY_S", "ON_DELAY_S", "ChannelFacts", "Refused", "resolve"]

DEADBAND: Final = 0.5
"""In the channel's unit, where neither rule nor profile says one; as of a new limit profile."""
ON_DELAY_S: Final = 600
OFF_DELAY_S: Final = 60
Number = TypeVar("Number", int, float)
_HIGH: Final = frozenset({Kind.HIGH, Kind.HIGH_HIGH})


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """What the registry says of a channel (`registry.channel_v`).

    Attributes:
        channel_id: key in the registry.
        channel: name, `gateway/device/metric`.
        metric: e.g. `air_temperature`.
        unit: SenML unit.
        period_s: seconds between two readings.
        device_kind: e.g. `cold_room`; `gateway` for what a gateway says of itself.
        organisation_path: ids from the root, `/1/4/9/`.
        organisations: codes of the same nodes, root first.
        site: code.
        zone: code, None for a device that stands in no zone.
        gateway: code.
        device: code.
        limit_profile: code of the profile that judges this metric here, None where none does.
        low: the profile's lower limit, in `unit`; None for none. `high` likewise.
        deadband: the profile's, None without one; `on_delay_s` and `off_delay_s` likewise, seconds.
        no_data_s: longest silence, seconds: the profile's, or ten periods and at least 300 s.
        priority: the profile's, 3 without one.
    """

    channel_id: int
    channel: str
    metric: str
    unit: str
    period_s: float
    device_kind: str
    organisation_path: str = "/"
    organisations: tuple[str, ...] = ()
    site: str = ""
    zone: str | None = None
    gateway: str = ""
    device: str = ""
    limit_profile: str | None = None
    low: float | None = None
    high: float | None = None
    deadband: float | None = None
    on_delay_s: int | None = None
    off_delay_s: int | None = None
    no_data_s: int = 300
    priority: int = 3


class Refused(NamedTuple):
    """A rule cannot hold on a channel.

    Attributes:
        reason: a word of `assign.Reason`.
        detail: what stands against what.
    """

    reason: str
    detail: str = ""


def resolve(rule: Rule, facts: ChannelFacts) -> Parameters | Refused:
    """Return the rule's parameters with every limit and time a number, or why it cannot hold on the channel."""
    parameters = rule.parameters
    if isinstance(parameters, LimitParameters):
        return _limit(parameters, facts, high=rule.kind in _HIGH)
    if isinstance(parameters, TimeToLimitParameters | DoseParameters | OutOfRangeParameters):
        found = _setpoint(parameters.setpoint, parameters.unit, facts, high=parameters.side == "high")
        if isinstance(found, Refused):
            return found
        return parameters.model_copy(update={"setpoint": found, "unit": facts.unit})
    if isinstance(parameters, NoDataParameters) and parameters.after_s is None:
        return parameters.model_copy(update={"after_s": facts.no_data_s})
    return parameters


def _limit(parameters: LimitParameters, facts: ChannelFacts, *, high: bool) -> Parameters | Refused:
    found = _setpoint(parameters.setpoint, parameters.unit, facts, high=high)
    if isinstance(found, Refused):
        return found
    setpoint = found + (parameters.beyond if high else -parameters.beyond)
    return parameters.model_copy(
        update={
            "setpoint": setpoint,
            "beyond": 0.0,  # is in the setpoint now
            "unit": facts.unit,
            "deadband": _first(parameters.deadband, facts.deadband, DEADBAND),
            "on_delay_s": _first(parameters.on_delay_s, facts.on_delay_s, ON_DELAY_S),
            "off_delay_s": _first(parameters.off_delay_s, facts.off_delay_s, OFF_DELAY_S),
            "gap_s": _first(parameters.gap_s, None, facts.no_data_s),
        }
    )


def _setpoint(setpoint: float | None, unit: str | None, facts: ChannelFacts, *, high: bool) -> float | Refused:
    """Return the limit in the channel's unit."""
    profiles = facts.high if high else facts.low
    if setpoint is None:
        side = "high" if high else "low"
        return Refused("no_limit", f"{facts.limit_profile or '—'}.{side}") if profiles is None else profiles
    if unit != facts.unit:
        return Refused("unit", f"{unit or '—'} ≠ {facts.unit or '—'}")
    across = facts.low if high else facts.high
    if across is not None and (setpoint <= across if high else setpoint >= across):
        lower, upper = (across, setpoint) if high else (setpoint, across)
        return Refused("crossed", f"{lower:g} ≥ {upper:g} {facts.unit}")
    return setpoint


def _first(said: Number | None, profiles: Number | None, default: Number) -> Number:
    """Return the first of three that is there."""
    if said is not None:
        return said
    return default if profiles is None else profiles
