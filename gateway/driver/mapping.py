"""From a device's own words to channels: what every driver's configuration has in common. Pure.

A rule names one source (what it is called where it comes from: a JSON path, a register, a metric) and the channel it
becomes. The device part may hold `{device}`, which the driver fills with the device's own id made safe for a code.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from hanlu.core.clock import Clock
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.reading import Quality, Reading
from hanlu.gateway.driver.contract import Driver, Intake
from hanlu.gateway.driver.units import conversion

__all__ = ["METRIC_PATTERN", "ChannelRule", "DriverConfig", "Section", "code_of"]

METRIC_PATTERN: Final = r"[a-z][a-z0-9_]{0,59}"
"""Shape of a metric's name, e.g. `air_temperature`."""

_UNSAFE: Final = re.compile(r"[^a-z0-9]+")


class Section(BaseModel):
    """Base of the drivers' configuration: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DriverConfig(Section):
    """Base of every driver's configuration; each has a `kind` of its own (`driver/catalogue.py`)."""

    kind: str
    name: str = Field(pattern=rf"^{CODE_PATTERN}$", description="what it is called in logs; unique in its gateway")

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver, listening or connected to nothing it cannot wait for.

        Raises:
            UsageError: it can never work as configured: an address taken, a port that is not there.
        """
        raise TypeError(f"{type(self).__name__} builds no driver")


class ChannelRule(Section):
    """One source and the channel it becomes."""

    source: str = Field(min_length=1, max_length=200, description="what the device or its protocol calls it")
    device: str = Field(
        default="{device}",
        pattern=rf"^(\{{device\}}|{CODE_PATTERN})$",
        description="device code of the channel; `{device}`: made of the device's own id",
    )
    metric: str = Field(pattern=rf"^{METRIC_PATTERN}$", description="metric of the channel, e.g. air_temperature")
    unit: str = Field(
        default="", max_length=16, description="what the source measures in, e.g. °C, °F, %, mV; empty: none"
    )
    to: str | None = Field(
        default=None, max_length=16, description="SenML unit of the channel; none: the usual one for `unit`"
    )
    scale: float = Field(default=1.0, allow_inf_nan=False, description="multiplies the raw value first")
    offset: float = Field(default=0.0, allow_inf_nan=False, description="added after scale, in `unit`")
    period_s: float = Field(default=60.0, gt=0, le=86_400, description="seconds expected between readings")

    def model_post_init(self, _: object, /) -> None:
        """Refuse units without a conversion where the configuration is read, not when the first value comes."""
        conversion(self.unit, self.to)

    @property
    def senml_unit(self) -> str:
        """Return the SenML unit of the channel."""
        return conversion(self.unit, self.to).unit

    def channel(self, device_id: str = "") -> str:
        """Return the channel's name, `device/metric`."""
        device = code_of(device_id) if self.device == "{device}" else self.device
        return f"{device}/{self.metric}"

    def reading(self, raw: float, observed_ms: int, device_id: str = "", quality: Quality = Quality.GOOD) -> Reading:
        """Return the reading for a raw value (booleans 1 and 0) taken at `observed_ms`, Unix milliseconds."""
        convert = conversion(self.unit, self.to)
        value = raw if self.scale == 1.0 and self.offset == 0.0 else raw * self.scale + self.offset
        return Reading(self.channel(device_id), convert.unit, observed_ms, convert(value), quality)


def code_of(device_id: str) -> str:
    """Return a device code made of a foreign id: lower case, anything unusual a hyphen, at most 40 characters.

    Raises:
        ValueError: nothing usable is left of it.
    """
    code = _UNSAFE.sub("-", device_id.lower()).strip("-")[:40].rstrip("-")
    if not code:
        raise ValueError(f"{device_id[:80]!r} has no letter or digit to make a device code of")
    return code
