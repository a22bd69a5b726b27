"""Location reports to readings, by rules as data; pure.

The standard knows one carriage temperature; reefer terminals add items of their makers, which a rule describes: id,
place, type, scale, unit.
"""

from __future__ import annotations

import fnmatch
import math
import struct
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, Literal

from pydantic import Field, model_validator

from hanlu.core.reading import Quality, Reading
from hanlu.core.wire.documents import Loss
from hanlu.gateway.driver.jt808_message import Location
from hanlu.gateway.driver.mapping import ChannelRule

__all__ = ["ReportRule", "chosen_rules", "readings_of", "standard_rules"]

_FORMATS: Final = {
    "uint8": ">B",
    "int8": ">b",
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "float32": ">f",
    "sign16": ">H",
}


class ReportRule(ChannelRule):
    """One number of a location report and the channel it becomes."""

    field: Literal["latitude", "longitude", "altitude", "speed", "direction", "status", "alarm"] | None = Field(
        default=None, description="of the fixed part"
    )
    item: int | None = Field(default=None, ge=1, le=255, description="id of the additional item")
    at: int = Field(default=0, ge=0, le=254, description="byte in the item at which the number begins")
    type: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "sign16"] = Field(
        default="uint16", description="big-endian; sign16: the highest bit is the sign, the others the amount"
    )
    mask: int | None = Field(default=None, ge=1, description="1 where any of these bits is set, else 0")
    absent: tuple[float, ...] = Field(default=(), description="raw numbers that mean: no sensor or no value")
    low: float | None = Field(default=None, description="least possible value in `unit`; less is declared lost")
    high: float | None = Field(default=None, description="greatest possible value in `unit`; more is declared lost")

    @model_validator(mode="after")
    def _one_place(self) -> ReportRule:
        if (self.field is None) == (self.item is None):
            raise ValueError(f"{self.source}: give either `field` or `item`")
        if self.device != "{device}":
            raise ValueError(f"{self.source}: the device is the terminal's; leave `device` out")
        return self

    def raw(self, report: Location) -> float | None:
        """Return the number in a report, None where it has none."""
        if self.field is not None:
            value = report.number(self.field)
        else:
            value = self._of_item(report.items.get(self.item or 0, b""))
        if value is None or value in self.absent or not math.isfinite(value):
            return None
        return float(bool(int(value) & self.mask)) if self.mask is not None else value

    def _of_item(self, item: bytes) -> float | None:
        layout = _FORMATS[self.type]
        if len(item) < self.at + struct.calcsize(layout):
            return None
        (number,) = struct.unpack_from(layout, item, self.at)
        if self.type == "sign16":
            return float(-(number & 0x7FFF) if number & 0x8000 else number)
        return float(number)

    def is_possible(self, value: float) -> bool:
        """Tell whether `value`, in `unit`, lies within the limits."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@cache
def standard_rules() -> tuple[ReportRule, ...]:
    """Return the channels there are unless the configuration says otherwise."""
    file = resources.files("hanlu.gateway.driver") / "data" / "jt808" / "standard.toml"
    return tuple(
        ReportRule.model_validate(each) for each in tomllib.loads(file.read_text(encoding="utf-8"))["channels"]
    )


def chosen_rules(own: Sequence[ReportRule], without: Sequence[str], period_s: float) -> tuple[ReportRule, ...]:
    """Return the standard's rules without those left out or replaced, then `own`."""
    replaced = {rule.metric for rule in own}
    kept = [
        rule.model_copy(update={"period_s": period_s})
        for rule in standard_rules()
        if rule.metric not in replaced and not any(fnmatch.fnmatchcase(rule.metric, each) for each in without)
    ]
    return (*kept, *own)


def readings_of(
    report: Location, rules: Sequence[ReportRule], device: str, arrived_ms: int, source: str, *, later: bool
) -> tuple[list[Reading], list[Loss]]:
    """Return the readings of a report, and what it claims that cannot be.

    Args:
        report: as decoded.
        rules: of the driver.
        device: code of the terminal.
        arrived_ms: when it came, Unix milliseconds; the time, then uncertain, of a live report that has none.
        source: names the report, so that a loss it causes counts once however often it is sent.
        later: it was sent after the fact; without a time of its own all its values are lost.
    """
    readings: list[Reading] = []
    losses: list[Loss] = []
    quality = Quality.GOOD if report.observed_ms is not None else Quality.UNCERTAIN
    observed_ms = arrived_ms if report.observed_ms is None else report.observed_ms
    for rule in rules:
        raw = rule.raw(report)
        if raw is None:
            continue
        if later and report.observed_ms is None:
            losses.append(_loss("impossible_time", rule, raw, report, device, source))
        elif not rule.is_possible(raw * rule.scale + rule.offset):
            losses.append(_loss("impossible_value", rule, raw, report, device, source))
        else:
            readings.append(rule.reading(raw, observed_ms, device, quality))
    return readings, losses


def _loss(reason: str, rule: ReportRule, raw: float, report: Location, device: str, source: str) -> Loss:
    at_ms = report.observed_ms
    detail = f"{rule.source}: {raw:g}"
    return Loss(
        reason=reason, count=1, channel=rule.channel(device), from_ms=at_ms, to_ms=at_ms, detail=detail, source=source
    )
