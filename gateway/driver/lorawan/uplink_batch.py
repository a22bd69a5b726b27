"""From an uplink and its codec to what the gateway keeps; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import BirthChannel, Loss
from hanlu.gateway.driver.body import number
from hanlu.gateway.driver.contract import Batch, Undecodable
from hanlu.gateway.driver.json_path import find
from hanlu.gateway.driver.lorawan.codec import Codec
from hanlu.gateway.driver.lorawan.envelope import Status, Uplink
from hanlu.gateway.driver.lorawan.payload import Decoded, decode
from hanlu.gateway.driver.mapping import ChannelRule

__all__ = ["Device", "channels_of", "status_batch", "uplink_batch"]

_BATTERY: Final = "battery"


@dataclass(frozen=True, slots=True)
class Device:
    """How one device is read.

    Attributes:
        code: its device code.
        codec: for its bytes; None: there is none.
        parameters: its own numbers for the codec.
        rules: values to take from what the network server decoded, instead of or beside the codec.
    """

    code: str
    codec: Codec | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    rules: tuple[ChannelRule, ...] = ()

    @property
    def battery_metric(self) -> str:
        """Return the metric of a battery level in percent that the network tells: not that of the codec's volts."""
        units = (
            {}
            if self.codec is None
            else {each.metric: each.rule.senml_unit for each in self.codec.fields() if each.rule}
        )
        return _BATTERY if units.get(_BATTERY, "%EL") == "%EL" else "battery_level"


def uplink_batch(source: str, uplink: Uplink, device: Device, now_ms: int) -> Batch:
    """Return what an uplink says.

    Args:
        source: for people, driver and device.
        uplink: as the network server told it.
        device: how to read it.
        now_ms: time of reception, Unix milliseconds, where the network told none.
    """
    at_ms = now_ms if uplink.observed_ms is None else uplink.observed_ms
    readings = [
        Reading(f"{device.code}/{metric}", unit, at_ms, value)
        for metric, unit, value in (("rssi", "dBm", uplink.rssi), ("snr", "dB", uplink.snr))
        if value is not None
    ]
    losses: list[Loss] = []
    undecodable: list[Undecodable] = []
    live = True
    if uplink.payload and device.codec is not None:
        decoded = decode(device.codec, uplink.port, uplink.payload, device.parameters)
        # Times of the device's own stand or fall by themselves: a record of last week is not one of a broken clock.
        live = all(each.at_ms is None for each in decoded.values)
        _take(decoded, device, uplink, at_ms, readings, losses)
        if decoded.problem:
            undecodable.append(_bad(source, uplink, Reason.MALFORMED, f"{device.codec.name}: {decoded.problem}"))
    elif uplink.payload and not device.rules:
        names = ", ".join(uplink.profiles) or "none of its names"
        detail = f"no codec for it: give one under profiles or devices; it goes by {names}"
        undecodable.append(_bad(source, uplink, Reason.FOREIGN_SCHEMA, detail))
    _take_decoded(device, uplink, at_ms, readings, losses)
    if uplink.battery is not None and not any(each.name == f"{device.code}/{_BATTERY}" for each in readings):
        level, seen_ms = uplink.battery
        readings.append(Reading(f"{device.code}/{device.battery_metric}", "%EL", seen_ms, level))
    return Batch(tuple(readings), tuple(losses), undecodable=tuple(undecodable), live=live)


def status_batch(status: Status, device: Device, now_ms: int) -> Batch:
    """Return what a device status says."""
    at_ms = now_ms if status.observed_ms is None else status.observed_ms
    told = ((device.battery_metric, "%EL", status.battery), ("link_margin", "dB", status.margin))
    return Batch(
        tuple(
            Reading(f"{device.code}/{metric}", unit, at_ms, value) for metric, unit, value in told if value is not None
        )
    )


def channels_of(device: Device) -> Iterable[BirthChannel]:
    """Yield the channels a known device may have, those counted through excepted."""
    yield BirthChannel(name=f"{device.code}/rssi", unit="dBm", period_s=600)
    yield BirthChannel(name=f"{device.code}/snr", unit="dB", period_s=600)
    for each in () if device.codec is None else device.codec.fields():
        if each.rule is not None and "{" not in each.metric:
            unit, period_s = each.rule.senml_unit, each.rule.period_s
            yield BirthChannel(name=f"{device.code}/{each.metric}", unit=unit, period_s=period_s)
    for rule in device.rules:
        yield BirthChannel(name=f"{device.code}/{rule.metric}", unit=rule.senml_unit, period_s=rule.period_s)


def _take(
    decoded: Decoded, device: Device, uplink: Uplink, at_ms: int, readings: list[Reading], losses: list[Loss]
) -> None:
    """Turn decoded values into readings; of two for one channel and instant the later in the payload counts."""
    taken: dict[tuple[str, int], Reading] = {}
    for value in decoded.values:
        if value.rule is None:
            continue
        name = f"{device.code}/{value.metric}"
        observed_ms = at_ms if value.at_ms is None else value.at_ms
        if value.number is None:
            if value.lost:
                losses.append(_loss("no_value", name, observed_ms, f"the device says: {value.missing}", uplink))
            continue
        reading = value.rule.reading(value.number, observed_ms, device.code, value.quality)._replace(name=name)
        if not math.isfinite(reading.value):
            losses.append(_loss(Reason.NOT_FINITE.value, name, observed_ms, "scaled beyond all numbers", uplink))
            continue
        before = taken.get((name, observed_ms))
        if before is not None and before.value != reading.value:
            detail = f"{before.value} in the same payload, before {reading.value}"
            losses.append(_loss("superseded", name, observed_ms, detail, uplink))
        taken[name, observed_ms] = reading
    readings.extend(taken.values())


def _take_decoded(device: Device, uplink: Uplink, at_ms: int, readings: list[Reading], losses: list[Loss]) -> None:
    """Take what the configuration wants of the network server's own decoding."""
    for rule in device.rules:
        name = f"{device.code}/{rule.metric}"
        value = number(find(uplink.decoded, rule.source))
        if value is None:
            continue
        if isinstance(value, Rejected):
            losses.append(_loss(value.reason.value, name, at_ms, value.detail, uplink))
            continue
        reading = rule.reading(value, at_ms, device.code)._replace(name=name)
        if math.isfinite(reading.value):
            readings.append(reading)
        else:
            losses.append(_loss(Reason.NOT_FINITE.value, name, at_ms, "scaled beyond all numbers", uplink))


def _loss(reason: str, channel: str, at_ms: int, detail: str, uplink: Uplink) -> Loss:
    """Return one lost value; delivered again, the same uplink declares the same loss."""
    source = f"lorawan:{uplink.dev_eui}:{uplink.counter}:{at_ms}" if uplink.observed_ms is not None else ""
    return Loss(
        reason=reason, count=1, channel=channel, from_ms=at_ms, to_ms=at_ms, detail=detail[:1_000], source=source[:200]
    )


def _bad(source: str, uplink: Uplink, reason: Reason, detail: str) -> Undecodable:
    return Undecodable(f"{source} port {uplink.port}"[:200], Rejected(reason, detail[:1_000]), uplink.payload)
