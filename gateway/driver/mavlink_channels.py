"""MAVLink fields to channels, no more often than telemetry needs; pure.

A drone says where it is fifty times a second; a channel takes one value a period, the first of each.
"""

from __future__ import annotations

import fnmatch
import math
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field, model_validator

from hanlu.core.limits import CODE_PATTERN
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.mapping import ChannelRule, Section
from hanlu.gateway.driver.mavlink_frame import Frame, SequenceWatch
from hanlu.gateway.driver.mavlink_message import messages

__all__ = ["FieldRule", "MavlinkShape", "Thinned", "Translator", "default_rules"]


class FieldRule(ChannelRule):
    """One field and the channel it becomes; `source` is MESSAGE.field, for arrays MESSAGE.field[0]."""

    where: dict[str, int] = Field(default_factory=dict, description="fields that must have this value, e.g. {id = 0}")
    absent: tuple[float, ...] = Field(default=(), description="numbers that mean: no value")
    mask: int | None = Field(default=None, ge=1, description="1 where any of these bits is set, else 0")
    component: int = Field(default=1, ge=0, le=255, description="only from this component; 1: the autopilot; 0: any")

    @model_validator(mode="after")
    def _there_is_such_a_field(self) -> FieldRule:
        message, name, index = self.place
        fields = _field_counts().get(message)
        if fields is None:
            raise ValueError(f"message {message!r} is not read; known are {', '.join(sorted(_field_counts()))}")
        for each in (name, *self.where):
            if each not in fields:
                raise ValueError(f"{message} has no field {each!r}; it has {', '.join(fields)}")
        if (index is None) != (fields[name] == 0) or (index or 0) >= max(1, fields[name]):
            raise ValueError(f"{self.source!r}: {name} has {fields[name] or 'no'} elements")
        return self

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Return message, field and index of the element (None where it is no array)."""
        message, _, name = self.source.partition(".")
        if name.endswith("]") and name[:-1].partition("[")[2].isdecimal():
            name, _, index = name[:-1].partition("[")
            return message, name, int(index)
        return message, name, None

    def raw(self, values: dict[str, Any]) -> float | None:
        """Return the field's number in a message of the right kind, None where it has none."""
        if any(values[name] != wanted for name, wanted in self.where.items()):
            return None
        _, name, index = self.place
        value = values[name] if index is None else values[name][index]
        if not isinstance(value, int | float) or not math.isfinite(value) or value in self.absent:
            return None
        if self.mask is not None:
            return float(bool(int(value) & self.mask))
        return float(value)


@cache
def _field_counts() -> dict[str, dict[str, int]]:
    return {
        message.name: {each.name: each.count for each in message.fields + message.extensions}
        for message, _ in messages().values()
    }


@cache
def default_rules() -> tuple[FieldRule, ...]:
    """Return the channels there are unless the configuration says otherwise."""
    file = resources.files("hanlu.gateway.driver") / "data" / "mavlink" / "channels.toml"
    return tuple(FieldRule.model_validate(each) for each in tomllib.loads(file.read_text(encoding="utf-8"))["channels"])


class MavlinkShape(Section):
    """Whose messages become which channels."""

    systems: dict[int, str] = Field(
        min_length=1, description='device codes by MAVLink system id, e.g. {1 = "drone-7"}; others are not listened to'
    )
    period_s: float = Field(default=10.0, ge=0.1, le=3_600, description="one value a channel every so many seconds")
    channels: tuple[FieldRule, ...] = Field(
        default=(), max_length=200, description="further channels; one with a known metric replaces it"
    )
    without: tuple[str, ...] = Field(default=(), description="metrics to leave out; * stands for anything")

    @model_validator(mode="after")
    def _codes(self) -> MavlinkShape:
        for system, code in self.systems.items():
            if not 1 <= system <= 255 or not re.fullmatch(CODE_PATTERN, code):
                raise ValueError(f"systems: {system} = {code!r}: an id is 1 to 255, a code such as drone-7")
        if len(set(self.systems.values())) < len(self.systems):
            raise ValueError("systems: two have the same device code")
        return self

    def rules(self) -> tuple[FieldRule, ...]:
        """Return the rules in force."""
        own = {rule.metric for rule in self.channels}
        known = [
            rule.model_copy(update={"period_s": self.period_s})
            for rule in default_rules()
            if rule.metric not in own and not any(fnmatch.fnmatchcase(rule.metric, each) for each in self.without)
        ]
        return (*known, *self.channels)

    def birth_channels(self) -> tuple[BirthChannel, ...]:
        """Return every channel of every system."""
        return tuple(
            BirthChannel(name=rule.channel(code), unit=rule.senml_unit, period_s=rule.period_s)
            for code in self.systems.values()
            for rule in self.rules()
        )


@dataclass(slots=True)
class Thinned:
    """Lets one value a period through."""

    _last_ms: dict[str, int] = field(default_factory=dict)

    def wants(self, channel: str, at_ms: int, period_s: float) -> bool:
        """Tell whether a value of `channel` at `at_ms`, Unix milliseconds, is due; a clock set back begins anew."""
        last = self._last_ms.get(channel)
        if last is not None and 0 <= at_ms - last < period_s * 1000:
            return False
        self._last_ms[channel] = at_ms
        return True


class Translator:
    """Frames of all systems to readings; remembers what was let through and each system's clock."""

    def __init__(self, shape: MavlinkShape, clock: Literal["arrival", "vehicle"], counts: Counter[str]) -> None:
        """Translate by `shape`.

        Args:
            shape: systems and channels.
            clock: arrival: a message's time is when it came; vehicle: by the drone's own clock, as soon as SYSTEM_TIME
                has told it, for messages that say when they were measured.
            counts: of the driver.
        """
        self._codes, self._clock, self._counts = shape.systems, clock, counts
        self._rules: defaultdict[str, list[FieldRule]] = defaultdict(list)
        for rule in shape.rules():
            self._rules[rule.place[0]].append(rule)
        self._thinned, self._watch = Thinned(), SequenceWatch()
        self._boot_ms: dict[int, int] = {}

    def readings(self, frames: Iterable[Frame], arrived_ms: int) -> list[Reading]:
        """Return what is due of `frames`, which came at `arrived_ms`, Unix milliseconds."""
        found: list[Reading] = []
        for frame in frames:
            self._counts["messages"] += 1
            self._counts["missing"] += self._watch.missing(frame)
            code = self._codes.get(frame.system)
            if code is None:
                self._counts["other_system"] += 1
            elif frame.message is None:
                self._counts["other_message"] += 1
            else:
                found += self._of(frame, frame.message.name, code, arrived_ms)
        return found

    def _of(self, frame: Frame, name: str, code: str, arrived_ms: int) -> Iterable[Reading]:
        rules = self._rules.get(name, ())
        if not rules and name != "SYSTEM_TIME":
            return
        values = frame.values()
        if name == "SYSTEM_TIME" and values["time_unix_usec"]:
            self._boot_ms[frame.system] = values["time_unix_usec"] // 1000 - values["time_boot_ms"]
        at_ms = self._time(frame.system, values, arrived_ms)
        for rule in rules:
            if rule.component not in (0, frame.component):
                continue
            raw = rule.raw(values)
            if raw is None:
                self._counts["no_value"] += 1
            elif self._thinned.wants(rule.channel(code), at_ms, rule.period_s):
                yield rule.reading(raw, at_ms, code)
            else:
                self._counts["thinned"] += 1

    def _time(self, system: int, values: dict[str, Any], arrived_ms: int) -> int:
        boot_ms = self._boot_ms.get(system)
        if self._clock == "arrival" or boot_ms is None or "time_boot_ms" not in values:
            return arrived_ms
        return boot_ms + int(values["time_boot_ms"])
