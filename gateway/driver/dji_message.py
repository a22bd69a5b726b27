"""DJI Cloud API messages to readings and replies; pure. The table of properties is data (`data/dji.toml`).

Source: DJI Cloud API, MQTT topic definition (osd, state, events, requests, status and their replies) and the thing
model's properties.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from pydantic import Field, TypeAdapter

from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import Loss
from hanlu.gateway.driver.body import number
from hanlu.gateway.driver.json_path import MISSING, find
from hanlu.gateway.driver.mapping import ChannelRule, code_of
from hanlu.gateway.driver.mqtt_dialogue import Publication

__all__ = ["DjiMessage", "Property", "parse_message", "properties", "readings_of", "reply_to"]

_TOPIC: Final = re.compile(r"(thing|sys)/product/([^/+#]+)/([a-z_]+(?:/[a-z]+)?)")
_MAX_INDEX: Final = 100
"""Largest `index` of an element that is believed."""
_FIX_FAILED: Final = (0, 3)
"""`position_state.is_fixed`: not started, failed."""


class Property(ChannelRule):
    """A property and the channel it becomes."""

    method: str = Field(default="", max_length=100, description="event it belongs to; empty: osd and state")
    absent: float | None = Field(default=None, description="value that says there is none")


@dataclass(frozen=True, slots=True)
class DjiMessage:
    """One message.

    Attributes:
        sn: serial number in its topic.
        kind: last part of the topic: osd, state, events, requests, status …
        method: of events and requests; empty: none.
        timestamp_ms: Unix milliseconds by the device; time of reception where it told none.
        data: what it says, a JSON value; None: nothing.
        document: all of it.
    """

    sn: str
    kind: str
    method: str
    timestamp_ms: int
    data: Any
    document: dict[str, Any]


def parse_message(topic: str, raw: bytes, now_ms: int) -> DjiMessage | Rejected:
    """Return the message; times that are none become that of reception."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        return Rejected(Reason.BAD_TOPIC, "neither thing/product/<sn>/… nor sys/product/<sn>/…")
    try:
        document = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Rejected(Reason.MALFORMED, f"not JSON: {error}")
    if not isinstance(document, dict):
        return Rejected(Reason.FOREIGN_SCHEMA, "not an object")
    method = document.get("method")
    stamp = number(document.get("timestamp"))
    timestamp_ms = int(stamp) if isinstance(stamp, float) and 0 < stamp < 1e15 else now_ms
    return DjiMessage(
        found[2], found[3], method if isinstance(method, str) else "", timestamp_ms, document.get("data"), document
    )


def readings_of(message: DjiMessage, rules: Iterable[Property]) -> tuple[list[Reading], list[Loss]] | Rejected:
    """Return the readings of osd, state or an event, and the values that are no numbers."""
    try:
        code_of(message.sn)
    except ValueError as error:
        return Rejected(Reason.UNKNOWN_CHANNEL, str(error))
    if message.kind in {"osd", "state"} and not isinstance(message.data, dict):
        return Rejected(Reason.FOREIGN_SCHEMA, f"{message.kind} without data")
    data = _by_index(message.data)
    readings: list[Reading] = []
    losses: list[Loss] = []
    for rule in rules:
        raw = find(data, rule.source)
        if raw is MISSING or isinstance(raw, list | dict):
            continue
        value = number(raw)
        if value is None or (rule.absent is not None and value == rule.absent):
            continue
        if isinstance(value, Rejected):
            losses.append(
                Loss(reason=value.reason.value, count=1, channel=rule.channel(message.sn), detail=value.detail[:1_000])
            )
            continue
        reading = rule.reading(value, message.timestamp_ms, message.sn)
        if math.isfinite(reading.value):
            readings.append(reading)
        else:
            losses.append(Loss(reason=Reason.NOT_FINITE.value, count=1, channel=reading.name))
    return (_doubt_position(readings, data) if isinstance(data, dict) else readings), losses


def reply_to(message: DjiMessage, now_ms: int) -> Publication | None:
    """Return the answer a device waits for: to a topology update always, to an event that asks for one."""
    wanted = message.kind == "status" or (
        message.kind == "events" and number(message.document.get("need_reply")) == 1.0
    )
    if not wanted:
        return None
    root = "sys" if message.kind == "status" else "thing"
    echoed = ("tid", "bid", "gateway", "method")
    reply: dict[str, Any] = {key: message.document[key] for key in echoed if key in message.document}
    reply |= {"timestamp": now_ms, "data": {"result": 0}}
    return Publication(f"{root}/product/{message.sn}/{message.kind}_reply", json.dumps(reply).encode())


@lru_cache(maxsize=1)
def properties() -> tuple[Property, ...]:
    """Return the table that comes with the driver."""
    text = (resources.files("hanlu.gateway.driver") / "data" / "dji.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return TypeAdapter(tuple[Property, ...]).validate_python(tables["property"] + tables["event"])


def _by_index(value: Any) -> Any:
    """Return `value` with the elements of each list at the place their `index` says, where all have a small one."""
    if isinstance(value, dict):
        return {key: _by_index(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    items = [_by_index(each) for each in value]
    places = [each.get("index") if isinstance(each, dict) else None for each in items]
    small = [place for place in places if isinstance(place, int) and 0 <= place < _MAX_INDEX]
    if not small or len(set(small)) < len(items):
        return items
    placed: list[Any] = [None] * (max(small) + 1)
    for place, item in zip(small, items, strict=True):
        placed[place] = item
    return placed


def _doubt_position(readings: list[Reading], data: dict[str, Any]) -> list[Reading]:
    """Mark a position without a fix as bad: an aircraft indoors says 0, 0, which is in the Gulf of Guinea."""
    nowhere = data.get("latitude") == 0 and data.get("longitude") == 0
    if not nowhere and find(data, "position_state.is_fixed") not in _FIX_FAILED:
        return readings
    position = ("/latitude", "/longitude", "/height_ellipsoid")
    return [each._replace(quality=Quality.BAD) if each.name.endswith(position) else each for each in readings]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
