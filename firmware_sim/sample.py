"""A value on its way from an instrument to a gateway, and the SenML pack it travels in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["BOOLEAN_METRICS", "Sample", "packs", "senml"]

BOOLEAN_METRICS: Final = frozenset({"door_open", "defrost", "compressor", "mains"})
"""Metrics that travel as `vb` and are stored as 1.0 and 0.0."""


class Sample(NamedTuple):
    """One value of one channel.

    Attributes:
        gateway: code of the gateway the device talks to.
        device: code of the device, unique in its gateway.
        metric: e.g. `air_temperature`.
        unit: SenML unit, "" for booleans.
        observed_ms: the device's time, Unix milliseconds UTC.
        value: finite number; booleans are 1.0 and 0.0.
    """

    gateway: str
    device: str
    metric: str
    unit: str
    observed_ms: int
    value: float


def senml(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return the pack of `samples` of one device, times relative to the first.

    Raises:
        ValueError: the samples are none, or of several devices.
    """
    if len({(sample.gateway, sample.device) for sample in samples}) != 1:
        raise ValueError("a pack belongs to exactly one device")
    first = samples[0]
    pack: list[dict[str, Any]] = []
    for sample in samples:
        record: dict[str, Any] = {} if pack else {"bn": f"{first.device}/", "bt": _seconds(first.observed_ms)}
        record["n"] = sample.metric
        if sample.observed_ms != first.observed_ms:
            record["t"] = _seconds(sample.observed_ms - first.observed_ms)
        if sample.metric in BOOLEAN_METRICS and sample.value in {0.0, 1.0}:
            record["vb"] = sample.value == 1.0
        else:
            if sample.unit:
                record["u"] = sample.unit
            record["v"] = sample.value
        pack.append(record)
    return pack


def packs(samples: Iterable[Sample], most: int = 500) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return (gateway, pack) for `samples` of any devices, at most `most` records each, order kept per device.

    500 records with six-figure values stay below half of the longest line a gateway takes.
    """
    by_device: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        by_device.setdefault((sample.gateway, sample.device), []).append(sample)
    return [
        (gateway, senml(group[start : start + most]))
        for (gateway, _), group in by_device.items()
        for start in range(0, len(group), most)
    ]


def _seconds(ms: int) -> float | int:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
