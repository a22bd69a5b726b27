"""A payload by its codec; pure, never raises.

What was understood before something strange is kept, and the strange part is named.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from hanlu.core.reading import Quality
from hanlu.gateway.driver.lorawan.codec import Codec, Field, Frame, Item, Pattern
from hanlu.gateway.driver.lorawan.text import spelled
from hanlu.gateway.driver.mapping import ChannelRule

__all__ = ["MAX_PAYLOAD_BYTES", "MAX_VALUES", "Decoded", "Value", "decode"]

MAX_PAYLOAD_BYTES: Final = 512
"""Longest payload read, bytes; LoRaWAN carries at most 242 (Regional Parameters RP002-1.0.4)."""
MAX_VALUES: Final = 1_000
"""Most values one payload may give: a codec that finds more is wrong."""


@dataclass(frozen=True, slots=True)
class Value:
    """One decoded value.

    Attributes:
        key: what the maker calls it.
        number: in the maker's unit; None for text, and where the device says that it has none.
        text: the maker's word for the number, or the value where it is no number.
        at_ms: its own time, Unix milliseconds; None: that of the uplink.
        quality: bad beyond the device's range.
        missing: why there is no value; empty: there is.
        lost: whether one was due.
        rule: channel it becomes; None: it is only shown.
        metric: of that channel.
    """

    key: str
    number: float | None
    text: str | None = None
    at_ms: int | None = None
    quality: Quality = Quality.GOOD
    missing: str = ""
    lost: bool = False
    rule: ChannelRule | None = None
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a payload says.

    Attributes:
        values: in the order of the payload.
        problem: what could not be read, with its place; empty: all was.
    """

    values: tuple[Value, ...] = ()
    problem: str = ""


def decode(codec: Codec, port: int | None, payload: bytes, parameters: Mapping[str, float] | None = None) -> Decoded:
    """Return what `payload`, received on LoRaWAN port `port` (1..223), says.

    Args:
        codec: how to read it.
        port: LoRaWAN port; None where the network server told none.
        payload: the application's bytes, decrypted.
        parameters: of this device, instead of the codec's usual ones.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Decoded(problem=f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read")
    frame = next((each for each in codec.frames if each.fits(port, payload)), None)
    if frame is None:
        start = payload[:4].hex(" ") or "nothing"
        return Decoded(problem=f"{codec.name} knows no payload on port {port} that begins with {start}")
    return _Reader(payload, {**codec.parameters, **(parameters or {})}).read(frame)


class _Reader:
    """Reads one payload once."""

    def __init__(self, payload: bytes, parameters: Mapping[str, float]) -> None:
        self.payload = payload
        self.parameters = parameters
        self.values: list[Value] = []
        self.frame_ms: int | None = None
        self.seen: Counter[str] = Counter()

    def read(self, frame: Frame) -> Decoded:
        problem = self.record(frame.fields, self.payload) if frame.fields else ""
        end = max((len(self.payload) if each.reaches_end else each.at + each.size for each in frame.fields), default=0)
        end = max(end, frame.header, len(frame.head))
        if not problem and frame.groups:
            problem, end = self.groups(frame, end)
        if not problem and frame.items:
            problem, end = self.items(frame, end)
        if not problem and any(self.payload[end:]):
            problem = f"nothing is known of the last {len(self.payload) - end} bytes"
        if self.frame_ms is not None:
            own = self.frame_ms
            self.values = [each if each.at_ms is not None else replace(each, at_ms=own) for each in self.values]
        return Decoded(tuple(self.values), problem)

    def groups(self, frame: Frame, at: int) -> tuple[str, int]:
        flags_end = frame.flags_at + 2
        if len(self.payload) < flags_end:
            return "the payload ends before its flags", at
        flags = int.from_bytes(self.payload[frame.flags_at : flags_end], "big")
        at = max(at, flags_end)
        for bit, group in enumerate(frame.groups):
            if not flags >> bit & 1:
                continue
            record = self.payload[at : at + group.size]
            if len(record) < group.size:
                return f"the payload ends inside group {group.name}", at
            self.record(group.fields, record)
            at += group.size
        if flags >> len(frame.groups):
            return f"flags {flags:#06x} name groups this codec does not know", at
        return "", at

    def items(self, frame: Frame, at: int) -> tuple[str, int]:
        while at < len(self.payload) and len(self.values) < MAX_VALUES:
            found = _find(frame.items, self.payload, at)
            if found is None:
                if not any(self.payload[at:]):
                    break  # some devices fill up with zeros
                return f"type {self.payload[at : at + 2].hex(' ')} at byte {at} is unknown", at
            pattern, item = found
            start = at + len(pattern)
            size = item.length(self.payload[start:])
            record = self.payload[start : start + size]
            if len(record) < size:
                return f"the payload ends inside item {item.name} at byte {at}", at
            channel = next(
                (byte for wanted, byte in zip(pattern, self.payload[at:], strict=False) if wanted is None), 0
            )
            self.record(item.fields, record, channel, self.seen[item.name])
            self.seen[item.name] += 1
            at = start + size
        if at < len(self.payload) and any(self.payload[at:]):
            return f"more than {MAX_VALUES} values", at
        return "", len(self.payload)

    def record(self, fields: tuple[Field, ...], record: bytes, channel: int = 0, nth: int = 0) -> str:
        """Read the fields of one record; return what is missing of it."""
        first = len(self.values)
        time_ms: int | None = None
        short = ""
        for each in fields:
            if each.when is not None and not each.when.holds(record):
                continue
            if each.at + each.size > len(record):
                short = short or f"the payload ends before {each.key or 'its time'}"
                continue
            if each.time:
                stamp = int.from_bytes(record[each.at : each.at + each.size], "little" if each.little else "big") * 1000
                if each.time == "frame":
                    self.frame_ms = stamp
                else:
                    time_ms = stamp
                continue
            value = _value(each, record, self.parameters)
            if value is not None:
                self.values.append(_placed(value, channel, nth))
        if time_ms is not None:
            self.values[first:] = [replace(each, at_ms=time_ms) for each in self.values[first:]]
        return short


def _find(items: Mapping[Pattern, tuple[Item, ...]], payload: bytes, at: int) -> tuple[Pattern, Item] | None:
    """Return the item that begins at `at`: longer types first, exact ones before those with a channel of any number."""
    for length in (3, 2, 1):
        exact: Pattern = tuple(payload[at : at + length])
        if len(exact) < length:
            continue
        if exact in items:
            return _form(exact, items[exact], payload, at)
        for pattern, forms in items.items():
            if len(pattern) == length and None in pattern and _agrees(pattern, payload, at):
                return _form(pattern, forms, payload, at)
    return None


def _agrees(pattern: Pattern, payload: bytes, at: int) -> bool:
    return all(wanted is None or wanted == payload[at + i] for i, wanted in enumerate(pattern))


def _form(pattern: Pattern, forms: tuple[Item, ...], payload: bytes, at: int) -> tuple[Pattern, Item] | None:
    rest = payload[at + len(pattern) :]
    item = next((each for each in forms if each.when is None or each.when.holds(rest)), None)
    return None if item is None else (pattern, item)


def _placed(value: Value, channel: int, nth: int) -> Value:
    if "{" not in value.key and "{" not in value.metric:
        return value
    key, metric = (
        text.replace("{channel}", str(channel)).replace("{n}", str(nth)) for text in (value.key, value.metric)
    )
    return replace(value, key=key, metric=metric)


def _value(spec: Field, record: bytes, parameters: Mapping[str, float]) -> Value | None:
    """Return the field's value; None where an enumeration that lists all its numbers has no such number."""
    raw = record[spec.at : spec.at + spec.size] if spec.size else record[spec.at :]
    if spec.kind in {"hex", "ascii", "text"}:
        return Value(spec.key, None, spelled(spec.kind, raw, spec.template))
    whole = _integer(spec, raw) if spec.kind == "int" else None
    if whole is not None and (why := spec.missing.get(whole) or spec.failed.get(whole)):
        lost = whole in spec.failed
        return Value(spec.key, None, missing=why, lost=lost, rule=spec.rule, metric=spec.metric)
    if whole is not None and spec.names and not spec.unlisted and whole not in spec.names:
        return None
    number = _number(spec, raw, whole, record, parameters)
    if not math.isfinite(number):
        return Value(spec.key, None, missing="not a number", lost=True, rule=spec.rule, metric=spec.metric)
    text = _word(spec, whole)
    quality = Quality.GOOD if spec.low <= number <= spec.high else Quality.BAD
    if quality is Quality.GOOD and spec.names and whole not in spec.names:
        quality = Quality.UNCERTAIN
    return Value(spec.key, number, text, quality=quality, rule=spec.rule, metric=spec.metric)


def _integer(spec: Field, raw: bytes) -> int:
    order = "little" if spec.little else "big"
    whole = int.from_bytes(raw, order, signed=spec.signed)  # type: ignore[arg-type]
    if spec.least is not None and whole < spec.least:
        whole = int.from_bytes(raw, order)  # type: ignore[arg-type]
    if spec.mask:
        whole = (whole >> spec.shift) & spec.mask
        top = spec.mask + 1
        if spec.signed and whole >= top // 2:
            whole -= top
    return whole


def _number(spec: Field, raw: bytes, whole: int | None, record: bytes, parameters: Mapping[str, float]) -> float:
    if whole is not None:
        number: float = whole
    elif spec.kind == "float":
        number = struct.unpack(("<" if spec.little else ">") + {2: "e", 4: "f", 8: "d"}[len(raw)], raw)[0]
    else:
        number = 0.0
    if spec.scale != 1.0 or spec.div != 1.0 or spec.offset != 0.0:
        number = number * spec.scale / spec.div + spec.offset
    if spec.expression is None:
        return float(number)
    known = {**parameters, "x": float(number)}
    for i in range(len(record) // 2):
        known[f"x{i}"] = float(int.from_bytes(record[2 * i : 2 * i + 2], "big"))
    return spec.expression(known)


def _word(spec: Field, whole: int | None) -> str | None:
    if whole is None:
        return None
    if spec.flags:
        return ", ".join(name for bit, name in spec.flags.items() if whole >> bit & 1)
    if spec.names:
        return spec.names.get(whole, spec.other)
    return None
