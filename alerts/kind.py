"""The words of the room: what an alarm is about, what probably causes it, and why one is held back by design."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ITEM_KINDS", "LIMIT_KINDS", "UPWARD", "Cause", "Hold", "Kind"]


class Kind(StrEnum):
    """What an alarm is about. One channel has at most one standing alarm of a kind."""

    HIGH = "high"
    LOW = "low"
    HIGH_HIGH = "high_high"
    LOW_LOW = "low_low"
    RATE = "rate"
    """The value moves faster than the room can."""
    TIME_TO_LIMIT = "time_to_limit"
    """Going on like this, the limit will be crossed within the time a person needs."""
    DOSE = "dose"
    """Degree-minutes beyond the limit have used up what the goods bear."""
    OUT_OF_RANGE = "out_of_range"
    """Minutes beyond the limit, added up over a window, however often it returned."""
    NO_DATA = "no_data"
    GAP = "gap"
    """Messages of a gateway are missing although later ones have come; stands on its own health channel."""
    STUCK = "stuck"
    """The value has not moved for longer than a live sensor can hold still."""
    DRIFT = "drift"
    """The sensor runs away from what its neighbours or its own cycle say."""
    DOOR = "door"
    """A door stands open too long."""
    POWER = "power"
    """The mains are gone, or the machine draws nothing."""
    COMPRESSOR = "compressor"
    """It should run and does not, runs without cooling, or never rests."""
    DEFROST_LONG = "defrost_long"
    DEFROST_OFTEN = "defrost_often"
    DEFROST_RECOVERY = "defrost_recovery"
    """After a defrost the room does not come back along its own curve."""
    SPOOL = "spool"
    """A gateway's store fills."""
    CLOCK = "clock"
    """A gateway's clock is wrong."""
    CALIBRATION = "calibration"
    """A sensor's calibration is due or past."""
    STOCK = "stock"
    RESERVE = "reserve"
    EXPIRY = "expiry"


LIMIT_KINDS: Final = frozenset({Kind.HIGH, Kind.LOW, Kind.HIGH_HIGH, Kind.LOW_LOW})
"""Kinds that compare a value with a setpoint; each occurrence is an excursion."""
UPWARD: Final = frozenset({Kind.HIGH, Kind.HIGH_HIGH, Kind.DOSE, Kind.OUT_OF_RANGE, Kind.TIME_TO_LIMIT})
"""Kinds whose worse is the greater value, where the side is not a parameter of the rule."""
ITEM_KINDS: Final = frozenset({Kind.STOCK, Kind.RESERVE, Kind.EXPIRY})
"""Kinds about goods at a place instead of a channel."""


class Cause(StrEnum):
    """What probably lies behind an alarm, as far as the readings tell; a help for the first look, never a verdict."""

    UNKNOWN = "unknown"
    DOOR_OPEN = "door_open"
    COMPRESSOR_FAILURE = "compressor_failure"
    POWER_LOSS = "power_loss"
    ICE = "ice"
    """The coil is iced up: weak recovery after defrosts, long runs, little cooling."""
    DEFROST_FAULT = "defrost_fault"
    """The defrost itself: too long, too often, a heater that stays on."""
    SENSOR_STUCK = "sensor_stuck"
    SENSOR_DRIFT = "sensor_drift"
    DATA_GAP = "data_gap"
    GATEWAY_DOWN = "gateway_down"
    WARM_GOODS = "warm_goods"
    """Warm goods were brought in: the room falls steadily although it is above its limit."""


class Hold(StrEnum):
    """Why an alarm that is true calls nobody by design."""

    DEFROST = "defrost"
    DEFROST_SEEN = "defrost_seen"
    """No defrost channel: the curve itself has the shape of a defrost."""
    DOOR = "door"
    """A door is open, or was a moment ago; it has an alarm of its own when that lasts."""
    GAP = "gap"
    """Readings are missing; nobody knows."""
    EXPLAINED = "explained"
    """Another alarm explains it: power or gateway lost."""
    LATE = "late"
    """What a device has logged is being handed in: nobody is called for the past, until it has reached the present."""
    ROOM_EMPTY = "room_empty"
    """A person said that nothing stands in the room."""
