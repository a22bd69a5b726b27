"""What a gateway measures of itself: one device `gateway`, the same channels everywhere.

Gateways publish them through their own spool like any device's readings; the register knows them for every gateway
(`registry.store.Editor.put_gateway_health`). Batteries and radios are their devices' own channels: `<device>/battery`
(%EL or V), `<device>/rssi` (dBm), `<device>/snr` (dB).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hanlu.core.reading import Reading
from hanlu.core.wire.documents import BirthChannel

__all__ = [
    "CLOCK_DRIFT",
    "CLOCK_OFFSET",
    "CLOCK_STEPS",
    "DEVICE",
    "KIND",
    "MEMORY",
    "METRICS",
    "PERIOD_S",
    "SPOOL_OLDEST",
    "SPOOL_USED",
    "UPTIME",
    "HealthMetric",
    "channels",
    "readings",
]

DEVICE: Final = "gateway"
"""Device code of the gateway itself; no other device behind it may have it."""

KIND: Final = "gateway"
"""Kind of that device in the register; nothing else is of this kind."""

PERIOD_S: Final = 60.0
"""Seconds between two health readings of a channel, unless configured otherwise."""


@dataclass(frozen=True, slots=True)
class HealthMetric:
    """One thing a gateway says of itself.

    Attributes:
        metric: its name.
        unit: SenML unit.
        meaning: for people.
    """

    metric: str
    unit: str
    meaning: str

    @property
    def channel(self) -> str:
        """Return the channel's name, `gateway/metric`."""
        return f"{DEVICE}/{self.metric}"


SPOOL_USED: Final = HealthMetric("spool_used", "/", "share of the spool in use; above 1 its reserve for events")
SPOOL_OLDEST: Final = HealthMetric("spool_oldest", "s", "age of the oldest message without a receipt")
CLOCK_OFFSET: Final = HealthMetric("clock_offset", "s", "the platform's clock minus the gateway's")
CLOCK_DRIFT: Final = HealthMetric("clock_drift", "ppm", "how much too slow the gateway's clock runs")
CLOCK_STEPS: Final = HealthMetric("clock_steps", "count", "times the gateway's clock was set since its start")
UPTIME: Final = HealthMetric("uptime", "s", "since the gateway's process started")
MEMORY: Final = HealthMetric("memory", "B", "resident memory of the gateway's process")

METRICS: Final = (SPOOL_USED, SPOOL_OLDEST, CLOCK_OFFSET, CLOCK_DRIFT, CLOCK_STEPS, UPTIME, MEMORY)
"""All of them. What a gateway cannot know at the moment (its offset while there is no link) it does not publish."""


def channels(period_s: float = PERIOD_S) -> tuple[BirthChannel, ...]:
    """Return the channels as a birth announces them."""
    return tuple(BirthChannel(name=each.channel, unit=each.unit, period_s=period_s) for each in METRICS)


def readings(observed_ms: int, values: Mapping[HealthMetric, float | None]) -> tuple[Reading, ...]:
    """Return the readings for what is known; None leaves one out."""
    return tuple(
        Reading(metric.channel, metric.unit, observed_ms, float(value))
        for metric, value in values.items()
        if value is not None
    )
