"""What each kind of rule can be told. One class a kind; a field nobody knows is an error, every field has a unit.

`None` in a field of limits and times means: take it from the limit profile of the channel, because limits belong to
products. `resolve.py` fills those in, so a judge only ever sees numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hanlu.alerts.kind import Kind

__all__ = [
    "PARAMETERS",
    "CalibrationParameters",
    "ClockParameters",
    "CompressorParameters",
    "DefrostLongParameters",
    "DefrostOftenParameters",
    "DefrostRecoveryParameters",
    "DoorParameters",
    "DoseParameters",
    "DriftParameters",
    "ExpiryParameters",
    "GapParameters",
    "LevelParameters",
    "LimitParameters",
    "NoDataParameters",
    "OutOfRangeParameters",
    "Parameters",
    "PowerParameters",
    "RateParameters",
    "SpoolParameters",
    "StuckParameters",
    "TimeToLimitParameters",
]

Seconds = Annotated[int, Field(ge=0, le=30 * 86_400)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Parameters(BaseModel):
    """Base of all parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class LimitParameters(Parameters):
    """high, low, high_high, low_low: a limit with deadband and delays."""

    setpoint: Finite | None = None
    """The limit, in `unit`; None takes the profile's limit of that side."""
    beyond: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """So far outside the profile's limit, in the channel's unit: high_high and low_low stand beyond high and low."""
    unit: str | None = None
    """SenML unit of `setpoint`; needed with it, and must be the channel's, else the rule does not hold there."""
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How far on the good side counts as back, in the channel's unit."""
    on_delay_s: Seconds | None = None
    """Seconds beyond the limit before the alarm."""
    off_delay_s: Seconds | None = None
    """Seconds back within the deadband before it returns."""
    gap_s: Seconds | None = None
    """Longest time between two readings that still tells what was between them, seconds."""
    hold_defrost: bool = True
    """Hold the alarm by design while a defrost and the recovery to be expected after it explain the value."""
    hold_door_s: Seconds = 0
    """Hold it for so many seconds from when a door was opened; 0 does not look at doors."""
    recover_s: Seconds = 0
    """Wait, at most once more `on_delay_s`, while the value falls fast enough to be back within so many seconds."""
    goods_s: Seconds = 0
    """Time constant with which goods follow the air, seconds: an alarm that has called returns only when goods so
    estimated are back as well, or the air has been back for so long. 0 looks at the air alone."""
    goods_inside: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How far on the good side goods must be to count as back, in the channel's unit."""


class RateParameters(Parameters):
    """rate: the value moves faster than the room can."""

    per_hour: Positive
    """Change an hour, in the channel's unit."""
    window_s: Annotated[int, Field(ge=60, le=86_400)] = 900
    """Seconds over which the slope is taken."""
    direction: Literal["up", "down", "both"] = "up"


class TimeToLimitParameters(Parameters):
    """time_to_limit: going on like this, the limit is crossed within the time a person needs."""

    setpoint: Finite | None = None
    unit: str | None = None
    side: Literal["high", "low"] = "high"
    within_s: Seconds = 3_600
    """Alarm when the limit is that near, seconds."""
    window_s: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    """Seconds over which the trend is taken."""
    for_s: Seconds = 900
    """The prediction must have held for so long, seconds."""


class DoseParameters(Parameters):
    """dose: degree-minutes beyond the limit, added up over a window."""

    setpoint: Finite | None = None
    unit: str | None = None
    side: Literal["high", "low"] = "high"
    degree_minutes: Positive
    """What the goods bear, in channel units times minutes."""
    window_s: Annotated[int, Field(ge=600, le=30 * 86_400)] = 86_400
    count_defrost: bool = False
    """Count what is beyond the limit during a defrost and the recovery to be expected after it, too."""


class OutOfRangeParameters(Parameters):
    """out_of_range: minutes beyond the limit, added up over a window."""

    setpoint: Finite | None = None
    unit: str | None = None
    side: Literal["high", "low"] = "high"
    minutes: Positive
    window_s: Annotated[int, Field(ge=600, le=30 * 86_400)] = 86_400
    count_defrost: bool = False
    """Count what is beyond the limit during a defrost and the recovery to be expected after it, too."""


class NoDataParameters(Parameters):
    """no_data: silence of a channel, measured against its own period."""

    after_s: Seconds | None = None
    """Silence allowed, seconds; None takes the profile's, or ten periods and at least 5 min where there is none."""


class GapParameters(Parameters):
    """gap: messages of a gateway are missing although later ones have come."""

    after_s: Seconds = 60


class DoorParameters(Parameters):
    """door: open too long."""

    open_s: Seconds = 600


class PowerParameters(Parameters):
    """power: the mains are gone."""

    off_s: Seconds = 120
    least_w: Annotated[float, Field(ge=0)] = 5.0
    """A power meter that reads less counts as no mains, watts; ignored for a switch channel."""


class CompressorParameters(Parameters):
    """compressor: it should run and does not, or runs without rest."""

    idle_s: Seconds = 2_700
    """Seconds without running, outside defrosts, while the room is warmer than its own level by `warmer_by`."""
    warmer_by: Positive = 2.0
    """Kelvin above the room's own level; a quarter of it above the level at which the compressor usually starts."""
    run_s: Seconds = 21_600
    """Seconds of running without a rest, outside defrosts, while the room gets no colder; 0 does not look."""
    coil_by: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 8.0
    """Kelvin: the coil evaporates so much colder than usual although the air is no colder; healthy ones move by 3.
    0 does not look."""


class DefrostLongParameters(Parameters):
    """defrost_long: a defrost that does not end."""

    longest_s: Seconds = 5_400
    """Seconds; typical electric defrosts take 50 to 70 min."""


class DefrostOftenParameters(Parameters):
    """defrost_often: more defrosts than a healthy room needs."""

    most: Annotated[int, Field(ge=1, le=100)] = 12
    """So many within `window_s` are too many, as is twice the room's own habit."""
    window_s: Annotated[int, Field(ge=3_600, le=7 * 86_400)] = 86_400


class DefrostRecoveryParameters(Parameters):
    """defrost_recovery: the room does not come back along its own curve."""

    within_s: Seconds = 7_200
    """Seconds from the defrost's end until the room must be near its own level; healthy rooms need 13 to 25 min, rooms
    people work in an hour or two."""
    margin: Positive = 3.0
    """Near means within so many channel units of its own level."""


class StuckParameters(Parameters):
    """stuck: the value does not move."""

    for_s: Seconds = 21_600
    """Seconds without a change greater than `least_change`."""
    least_change: Annotated[float, Field(ge=0)] = 0.0


class DriftParameters(Parameters):
    """drift: the sensor runs away from its neighbours or from the room's own cycle."""

    differs_by: Positive = 2.0
    """Channel units."""
    for_s: Seconds = 21_600


class SpoolParameters(Parameters):
    """spool: a gateway's store fills."""

    used: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the spool in use."""
    for_s: Seconds = 300


class ClockParameters(Parameters):
    """clock: a gateway's clock is wrong."""

    offset_s: Positive = 60.0
    for_s: Seconds = 300


class CalibrationParameters(Parameters):
    """calibration: a sensor's calibration is due."""

    days_before: Annotated[int, Field(ge=0, le=365)] = 30


class LevelParameters(Parameters):
    """stock, reserve: less there than there has to be."""

    below: Annotated[float, Field(ge=0)] | None = None
    """In the item's unit; None takes the minimum the stock view states."""


class ExpiryParameters(Parameters):
    """expiry: goods near or past their date."""

    days_before: Annotated[int, Field(ge=0, le=3_650)] = 7


PARAMETERS: Final[Mapping[Kind, type[Parameters]]] = {
    Kind.HIGH: LimitParameters,
    Kind.LOW: LimitParameters,
    Kind.HIGH_HIGH: LimitParameters,
    Kind.LOW_LOW: LimitParameters,
    Kind.RATE: RateParameters,
    Kind.TIME_TO_LIMIT: TimeToLimitParameters,
    Kind.DOSE: DoseParameters,
    Kind.OUT_OF_RANGE: OutOfRangeParameters,
    Kind.NO_DATA: NoDataParameters,
    Kind.GAP: GapParameters,
    Kind.STUCK: StuckParameters,
    Kind.DRIFT: DriftParameters,
    Kind.DOOR: DoorParameters,
    Kind.POWER: PowerParameters,
    Kind.COMPRESSOR: CompressorParameters,
    Kind.DEFROST_LONG: DefrostLongParameters,
    Kind.DEFROST_OFTEN: DefrostOftenParameters,
    Kind.DEFROST_RECOVERY: DefrostRecoveryParameters,
    Kind.SPOOL: SpoolParameters,
    Kind.CLOCK: ClockParameters,
    Kind.CALIBRATION: CalibrationParameters,
    Kind.STOCK: LevelParameters,
    Kind.RESERVE: LevelParameters,
    Kind.EXPIRY: ExpiryParameters,
}
"""Which class a kind's parameters are."""
