"""What a rule is: an alarm's kind, where it holds, its parameters, and why it exists at all.

A rule without a rationalization cannot be written: who cannot say what an alarm's reader should do has no alarm.

Source: ANSI/ISA-18.2-2016 clause 9 (rationalization: cause, consequence, response, time to respond, priority).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules.parameters import PARAMETERS, LimitParameters, Parameters

__all__ = ["Applies", "Rationalization", "Rule"]

Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
Name = Annotated[str, Field(min_length=1, max_length=120)]
Prose = Annotated[str, Field(min_length=1, max_length=600)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Applies(_Model):
    """Where a rule holds: every field that is given must match; none at all matches everything of the rule's kind.

    Of several rules of one kind that match a channel the most specific one is in force; see `assign.py`.
    """

    metric: Name | None = None
    """e.g. `air_temperature`."""
    profile: Name | None = None
    """Code of the limit profile the channel is judged by."""
    profiled: bool | None = None
    """True: only channels that some profile judges; False: only those that none does."""
    high_at_most: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Only channels whose profile has an upper limit at or below this, in the channel's unit: frozen rooms, whatever
    their profile is called, are the air temperatures with -10."""
    device_kind: Name | None = None
    """e.g. `cold_room`, `gateway`."""
    organisation: Name | None = None
    """Code of a node of the tree; everything below it."""
    site: Name | None = None
    zone: Name | None = None
    gateway: Name | None = None
    channel: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+/[^/\s]+$", max_length=120)] | None = None
    """One channel as `gateway/device/metric`."""


class Rationalization(_Model):
    """Why the alarm exists and what it asks for, in both languages."""

    cause_zh: Prose
    cause_en: Prose
    consequence_zh: Prose
    consequence_en: Prose
    response_zh: Prose
    response_en: Prose
    time_to_respond_min: Annotated[int, Field(ge=1, le=30 * 1440)]
    """Minutes a person has before the consequence."""


class Rule(_Model):
    """One rule, one version of it."""

    code: Code
    """e.g. `frozen-air-high`; stays the same over its versions."""
    kind: Kind
    title_zh: Name
    title_en: Name
    applies: Applies = Applies()
    enabled: bool = True
    """False switches the kind off where the rule holds: how a general rule is overridden for one room."""
    priority: Annotated[int, Field(ge=1, le=3)] | None = None
    """1 critical, 2 high, 3 low; None takes the profile's."""
    parameters: SerializeAsAny[Parameters]
    rationalization: Rationalization
    latch: bool = False
    """The alarm stays, also when its condition is gone, until somebody resets it."""
    re_alarm_min: Annotated[int, Field(ge=1, le=10_080)] | None = None
    """Minutes after an acknowledgement until a condition that still holds calls again; None never does."""

    @model_validator(mode="before")
    @classmethod
    def _typed_parameters(cls, value: Any) -> Any:
        """Read the parameters as those of the rule's kind."""
        if (
            isinstance(value, dict)
            and isinstance(value.get("kind"), str)
            and value["kind"] in set(Kind)
            and not isinstance(value.get("parameters"), Parameters)
        ):
            typed = PARAMETERS[Kind(value["kind"])].model_validate(value.get("parameters") or {})
            return {**value, "parameters": typed}
        return value

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        """Refuse what no field alone can be blamed for."""
        setpoint, unit = (getattr(self.parameters, name, None) for name in ("setpoint", "unit"))
        if setpoint is not None and not unit:
            raise PydanticCustomError("unit_missing", "a setpoint needs its unit, e.g. unit = 'Cel'")
        if unit and setpoint is None:
            raise PydanticCustomError("unit_alone", "a unit without a setpoint says nothing; leave it out")
        if isinstance(self.parameters, LimitParameters) and setpoint is not None and self.parameters.beyond:
            raise PydanticCustomError("beyond_setpoint", "say either setpoint or beyond, not both")
        if self.applies.profile is not None and self.applies.profiled is False:
            raise PydanticCustomError("profile_unprofiled", "profile and profiled = false exclude one another")
        if self.applies.high_at_most is not None and self.applies.profiled is False:
            raise PydanticCustomError("high_unprofiled", "high_at_most and profiled = false exclude one another")
        asked = {name for name, value in self.applies if value is not None}
        if self.kind in ITEM_KINDS and asked - {"site", "organisation"}:
            raise PydanticCustomError("goods_place", "a rule about goods can name a site or an organisation only")
        return self

    @property
    def runbook(self) -> str:
        """Return the page that explains this alarm: one a kind, `docs/runbooks/<kind>.md`, shown by the console too."""
        return self.kind.value
