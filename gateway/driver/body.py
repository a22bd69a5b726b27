"""What a plain device sends, whatever brought it (MQTT, HTTP): SenML or a JSON document with a mapping. Pure.

Each value a device claims is accounted for: it becomes a reading or a declared loss, and a body nobody can read is kept
with its bytes.
Source: RFC 8428 5 (SenML JSON) and 6 (SenML CBOR); RFC 3339 (times as text).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from hanlu.core.clock import to_ms
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import Pack, decode_cbor, decode_json
from hanlu.core.wire.documents import BirthChannel, Loss
from hanlu.gateway.driver.contract import Batch, Undecodable
from hanlu.gateway.driver.json_path import MISSING, find, parse_path
from hanlu.gateway.driver.mapping import METRIC_PATTERN, ChannelRule, Section, code_of

__all__ = ["BodyRule", "TimeRule", "channels_of", "decode_body", "metric_of", "number"]

Format = Literal["auto", "senml_json", "senml_cbor", "json"]

_OURS: Final = re.compile(rf"{CODE_PATTERN}/{METRIC_PATTERN}")
_NUMBER: Final = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_UNSAFE: Final = re.compile(r"[^a-z0-9]+")
_MAX_UNIT: Final = 16
_MAX_SECONDS: Final = 1e11
"""Unix seconds beyond which no calendar of ours reaches (year 5138)."""


class TimeRule(Section):
    """Where a document says when its values were taken."""

    source: str = Field(min_length=1, max_length=200, description="path of the time, e.g. `ts` or `data.time`")
    form: Literal["s", "ms", "iso"] = Field(
        description="`s` or `ms`: Unix time in seconds or milliseconds; `iso`: RFC 3339 text"
    )
    zone: str | None = Field(
        default=None, max_length=60, description="time zone of `iso` texts without an offset, e.g. Asia/Shanghai"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        parse_path(self.source)
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (OSError, KeyError, ValueError) as error:
                raise ValueError(f"there is no time zone {self.zone!r}") from error
        return self


class BodyRule(Section):
    """How to read what devices send."""

    format: Format = Field(
        default="auto",
        description="`auto`: by the first byte: `{` mapped JSON, `[` SenML JSON, a CBOR array SenML CBOR",
    )
    device_source: str | None = Field(
        default=None, max_length=200, description="mapped JSON: path of the device's id in the body; none: not in it"
    )
    time: TimeRule | None = Field(default=None, description="mapped JSON: where the time is; none: when it arrived")
    channels: tuple[ChannelRule, ...] = Field(
        default=(),
        max_length=1_000,
        description="mapped JSON: path of each value; SenML: names that become another channel than their own",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.format == "json" and not self.channels:
            raise ValueError("format json needs channels")
        if self.format in {"auto", "json"}:
            for path in [rule.source for rule in self.channels] + [self.device_source]:
                if path is not None:
                    parse_path(path)
        return self


def channels_of(rules: Iterable[ChannelRule]) -> tuple[BirthChannel, ...]:
    """Return the channels rules name outright, each once; those of `{device}` are known when the device speaks."""
    fixed = {
        rule.channel(): BirthChannel(name=rule.channel(), unit=rule.senml_unit, period_s=rule.period_s)
        for rule in rules
        if rule.device != "{device}"
    }
    return tuple(fixed.values())


def decode_body(rule: BodyRule, device_id: str, source: str, raw: bytes, now_ms: int) -> Batch:
    """Return what a body says.

    Args:
        rule: how to read it.
        device_id: the device by its address; may be empty where the body or the rules name it.
        source: for people, where it came from.
        raw: the body.
        now_ms: time of reception, Unix milliseconds, for values without a time.
    """
    form = rule.format if rule.format != "auto" else _form(raw)
    if form == "json":
        outcome = _mapped(rule, device_id, raw, now_ms)
    else:
        pack = decode_cbor(raw, now_ms) if form == "senml_cbor" else decode_json(raw, now_ms)
        outcome = pack if isinstance(pack, Rejected) else _named(rule, device_id, pack)
    if isinstance(outcome, Rejected):
        return Batch(undecodable=(Undecodable(source[:200], outcome, raw),))
    return outcome


def number(raw: Any) -> float | Rejected | None:
    """Return a raw value as a number: booleans 1 and 0, decimal text as its value; None: the device has none."""
    if raw is None or raw is MISSING or raw == "":
        return None
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw):
            return Rejected(Reason.NOT_NUMERIC, f"{raw[:40]!r} is no number")
        raw = float(raw)
    if not isinstance(raw, bool | int | float):
        return Rejected(Reason.NOT_NUMERIC, f"{type(raw).__name__} is no number")
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    return value if math.isfinite(value) else Rejected(Reason.NOT_FINITE, f"{value} is no measurement")


def metric_of(name: str) -> str:
    """Return a metric's name made of a foreign one: lower case, anything unusual an underscore, at most 60 characters.

    Raises:
        ValueError: nothing usable is left of it.
    """
    metric = _UNSAFE.sub("_", name.lower()).strip("_")
    if metric and not metric[0].isalpha():
        metric = f"m_{metric}"
    if not metric:
        raise ValueError(f"{name[:80]!r} has no letter or digit to make a metric of")
    return metric[:60].rstrip("_")


def _form(raw: bytes) -> Format:
    first = raw.lstrip()[:1]
    if first == b"{":
        return "json"
    # CBOR arrays (major type 4) start with 0x80 to 0x9f, none of which begins a JSON text.
    return "senml_cbor" if b"\x80" <= first <= b"\x9f" else "senml_json"


def _mapped(rule: BodyRule, device_id: str, raw: bytes, now_ms: int) -> Batch | Rejected:
    try:
        document = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Rejected(Reason.MALFORMED, f"not JSON: {error}")
    if not rule.channels:
        return Rejected(Reason.FOREIGN_SCHEMA, "a JSON document, but no channels are configured for it")
    if rule.device_source is not None:
        found = find(document, rule.device_source)
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            return Rejected(Reason.FOREIGN_SCHEMA, f"no device id at {rule.device_source}")
        device_id = str(found)
    observed_ms, quality = _time(rule.time, document, now_ms)
    readings: list[Reading] = []
    losses: list[Loss] = []
    try:
        for each in rule.channels:
            value = number(find(document, each.source))
            if value is None:
                continue
            if not isinstance(value, Rejected):
                reading = each.reading(value, observed_ms, device_id, quality)
                if math.isfinite(reading.value):
                    readings.append(reading)
                    continue
                value = Rejected(Reason.NOT_FINITE, "scaled beyond all numbers")
            losses.append(_loss(value, each.channel(device_id)))
    except ValueError as error:
        return Rejected(Reason.UNKNOWN_CHANNEL, f"no device code: {error}")
    if not readings and not losses:
        return Rejected(Reason.FOREIGN_SCHEMA, "none of the configured paths holds a value")
    return Batch(tuple(readings), tuple(losses))


def _time(rule: TimeRule | None, document: Any, now_ms: int) -> tuple[int, Quality]:
    """Return when the values were taken; a time that was expected and cannot be read makes them uncertain."""
    if rule is None:
        return now_ms, Quality.GOOD
    found = find(document, rule.source)
    if rule.form == "iso":
        moment = _moment(found, rule.zone)
        return (now_ms, Quality.UNCERTAIN) if moment is None else (moment, Quality.GOOD)
    value = number(found)
    seconds = value * (0.001 if rule.form == "ms" else 1.0) if isinstance(value, float) else math.nan
    if not abs(seconds) <= _MAX_SECONDS:
        return now_ms, Quality.UNCERTAIN
    assert isinstance(value, float)
    return math.floor((value if rule.form == "ms" else value * 1000) + 0.5), Quality.GOOD


def _moment(text: Any, zone: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            if zone is None:
                return None
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return to_ms(moment)
    except (TypeError, ValueError, OverflowError):
        return None


def _named(rule: BodyRule, device_id: str, pack: Pack) -> Batch:
    """Give a pack's records the names of channels."""
    by_name = {each.source: each for each in rule.channels}
    readings: list[Reading] = []
    losses = [_loss(rejected, None) for rejected in pack.rejected]
    for record in pack.readings:
        metric = _own_part(record.name, device_id)
        found = by_name.get(record.name) or by_name.get(metric)
        try:
            if found is not None:
                reading = found.reading(record.value, record.observed_ms, device_id, record.quality)
            else:
                reading = record._replace(name=_channel(record.name, metric, device_id))
        except ValueError as error:
            losses.append(_loss(Rejected(Reason.UNKNOWN_CHANNEL, str(error)), None))
            continue
        if len(reading.unit) > _MAX_UNIT or not reading.unit.isascii() or not reading.unit.isprintable():
            losses.append(_loss(Rejected(Reason.MALFORMED, f"{reading.unit[:20]!r} is no unit"), reading.name))
        elif not math.isfinite(reading.value):
            losses.append(_loss(Rejected(Reason.NOT_FINITE, "scaled beyond all numbers"), reading.name))
        else:
            readings.append(reading)
    return Batch(tuple(readings), tuple(losses))


def _own_part(name: str, device_id: str) -> str:
    """Return a name without its device where it repeats the one the message came from."""
    if device_id and name.startswith(device_id) and len(name) > len(device_id) + 1 and name[len(device_id)] in "/:._-":
        return name[len(device_id) + 1 :]
    return name


def _channel(name: str, metric: str, device_id: str) -> str:
    if _OURS.fullmatch(name):
        return name
    if device_id:
        return f"{code_of(device_id)}/{metric_of(metric)}"
    device, _, last = name.replace(":", "/").rpartition("/")
    if not device:
        raise ValueError(f"{name[:80]!r} names no device, and neither does where it came from")
    return f"{code_of(device)}/{metric_of(last)}"


def _loss(why: Rejected, channel: str | None) -> Loss:
    return Loss(reason=why.reason.value, count=1, channel=channel, detail=why.detail[:1_000])


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
