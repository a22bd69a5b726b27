"""The value of one measurement."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Evidence", "Quality", "Reading"]


class Quality(IntEnum):
    """How far a reading can be trusted (names after OPC UA Part 8)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Evidence(IntEnum):
    """What stands behind an arrival."""

    UNSIGNED = 0
    """Bare SenML from a plain device."""
    SIGNED = 1
    """A gateway's signature was checked."""


class Reading(NamedTuple):
    """One value of one channel.

    Attributes:
        name: the channel's name in its gateway, `device/metric`.
        unit: SenML unit, or "" when the record carried none (booleans).
        observed_ms: the device's time, Unix milliseconds UTC.
        value: finite number; booleans are 1.0 and 0.0.
        quality: how far it can be trusted, as the edge judged it.
    """

    name: str
    unit: str
    observed_ms: int
    value: float
    quality: Quality = Quality.GOOD
