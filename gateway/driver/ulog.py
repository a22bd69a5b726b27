"""The ULog driver: flight logs of PX4, dropped into a folder after the flight.

A log counts microseconds since the vehicle started; what time that was its GPS receiver tells. Without one the log is
taken to have ended when the file was last written, and everything in it is uncertain.
"""

from __future__ import annotations

import fnmatch
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import RemoteError
from hanlu.core.limits import CODE_PATTERN, EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Quality, Reading
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Intake
from hanlu.gateway.driver.folder import FileFacts, FolderConfig, FolderDriver
from hanlu.gateway.driver.mapping import ChannelRule, DriverConfig
from hanlu.gateway.driver.mavlink_channels import Thinned
from hanlu.gateway.driver.ulog_read import Info, Sample, UlogReader

__all__ = ["TopicRule", "UlogConfig", "UlogImporter", "default_rules"]

_GPS: Final = ("vehicle_gps_position", "sensor_gps")
"""Topics that tell the time, in PX4 before and since 1.14."""
_CLOCK: Final = frozenset({"time_utc_usec", "fix_type"})
_FIX_3D: Final = 3
_PIECE: Final = 2_000
"""Readings in one piece."""


class TopicRule(ChannelRule):
    """One field of a topic and the channel it becomes; `source` is topic.field, of arrays topic.field[0]."""

    instance: int = Field(default=0, ge=0, le=255, description="of topics that several sensors publish, from 0")
    absent: tuple[float, ...] = Field(default=(), description="numbers that mean: no value")
    mask: int | None = Field(default=None, ge=1, description="1 where any of these bits is set, else 0")

    @field_validator("source")
    @classmethod
    def _topic_and_field(cls, source: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+\.[a-zA-Z0-9_.\[\]]+", source):
            raise ValueError(f"{source!r}: a source is topic.field, e.g. battery_status.voltage_v")
        return source

    @property
    def topic(self) -> str:
        """Return the topic."""
        return self.source.partition(".")[0]

    @property
    def field(self) -> str:
        """Return the field's path in it."""
        return self.source.partition(".")[2]

    def raw(self, sample: Sample) -> float | None:
        """Return the field's number, None where it has none."""
        value = sample.values.get(self.field)
        if value is None or not math.isfinite(value) or value in self.absent:
            return None
        return value if self.mask is None else float(bool(int(value) & self.mask))


@cache
def default_rules() -> tuple[TopicRule, ...]:
    """Return the channels there are unless the configuration says otherwise."""
    file = resources.files("hanlu.gateway.driver") / "data" / "ulog" / "channels.toml"
    return tuple(TopicRule.model_validate(each) for each in tomllib.loads(file.read_text(encoding="utf-8"))["channels"])


class UlogConfig(DriverConfig):
    """A folder of flight logs."""

    kind: Literal["ulog"] = "ulog"
    folder: FolderConfig
    device: str | None = Field(
        default=None, pattern=rf"^{CODE_PATTERN}$", description="device code of vehicles not named in `vehicles`"
    )
    vehicles: dict[str, str] = Field(default_factory=dict, description="device codes by sys_uuid, as the log tells it")
    period_s: float = Field(default=10.0, ge=0.1, le=3_600, description="one value a channel every so many seconds")
    channels: tuple[TopicRule, ...] = Field(
        default=(), max_length=200, description="further channels; one with a known metric replaces it"
    )
    without: tuple[str, ...] = Field(default=(), description="metrics to leave out; * stands for anything")

    @model_validator(mode="after")
    def _somebody(self) -> UlogConfig:
        if self.device is None and not self.vehicles:
            raise ValueError("say whose logs these are: `device`, or `vehicles` by sys_uuid")
        for code in self.vehicles.values():
            if not re.fullmatch(CODE_PATTERN, code):
                raise ValueError(f"vehicles: {code!r} is no device code such as drone-7")
        return self

    def rules(self) -> tuple[TopicRule, ...]:
        """Return the rules in force."""
        own = {rule.metric for rule in self.channels}
        known = [
            rule.model_copy(update={"period_s": self.period_s})
            for rule in default_rules()
            if rule.metric not in own and not any(fnmatch.fnmatchcase(rule.metric, each) for each in self.without)
        ]
        return (*known, *self.channels)

    def build(self, intake: Intake, clock: Clock) -> FolderDriver:
        """Return the driver.

        Raises:
            UsageError: there is no such folder.
        """
        return FolderDriver(self, self.folder, UlogImporter(self, clock), intake, clock)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the first reading of a log tells.

    Attributes:
        device: code of the vehicle.
        start_us: when the vehicle started, microseconds since 1970.
        quality: how sure that is.
    """

    device: str
    start_us: int
    quality: Quality


class UlogImporter:
    """Reads flight logs, each twice: for the vehicle and its clock, then for the values."""

    def __init__(self, config: UlogConfig, clock: Clock) -> None:
        """Read logs by `config`; `clock` says which times are still to come."""
        self._config, self._clock, self._rules = config, clock, config.rules()

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return every channel of every vehicle that is named."""
        codes = dict.fromkeys(code for code in (*self._config.vehicles.values(), self._config.device) if code)
        return tuple(
            BirthChannel(name=rule.channel(code), unit=rule.senml_unit, period_s=rule.period_s)
            for code in codes
            for rule in self._rules
        )

    def pieces(self, file: FileFacts) -> Iterator[Batch]:
        """Yield the readings of a log.

        Raises:
            RemoteError: it is no ULog, of a vehicle that is not named, or holds none of the topics.
        """
        facts = self._facts(file)
        thinned = Thinned()
        piece: list[Reading] = []
        empty = True
        for sample in self.samples(file):
            at_ms = (facts.start_us + sample.at_us + 500) // 1000
            for rule in self._rules:
                if rule.topic != sample.topic or rule.instance != sample.instance:
                    continue
                raw = rule.raw(sample)
                if raw is not None and thinned.wants(rule.channel(facts.device), at_ms, rule.period_s):
                    piece.append(rule.reading(raw, at_ms, facts.device, facts.quality))
            if len(piece) >= _PIECE:
                empty = False
                yield Batch(tuple(piece), live=False)
                piece = []
        if piece:
            yield Batch(tuple(piece), live=False)
        elif empty:
            raise RemoteError("it holds no value of any topic that is read: see `channels`")

    def samples(self, file: FileFacts) -> Iterator[Sample]:
        """Yield the messages of the topics that are read."""
        topics = {rule.topic for rule in self._rules}
        wanted = {topic: frozenset(rule.field for rule in self._rules if rule.topic == topic) for topic in topics}
        with file.open() as source:
            for found in UlogReader(source, wanted).read():
                if isinstance(found, Sample):
                    yield found

    def _facts(self, file: FileFacts) -> _Facts:
        uuid = ""
        last_us = 0
        best: dict[bool, int] = {}
        wanted = {rule.topic: frozenset[str]() for rule in self._rules} | dict.fromkeys(_GPS, _CLOCK)
        with file.open() as source:
            for found in UlogReader(source, wanted).read():
                if isinstance(found, Info):
                    uuid = found.value if found.key == "sys_uuid" else uuid
                    continue
                last_us = max(last_us, found.at_us)
                utc_us = int(found.values.get("time_utc_usec", 0))
                if self._is_possible(utc_us):
                    has_fix = found.values.get("fix_type", 0) >= _FIX_3D
                    best.setdefault(has_fix, utc_us - found.at_us)
        device = self._config.vehicles.get(uuid, self._config.device)
        if device is None:
            raise RemoteError(f"it is of vehicle {uuid or 'without a sys_uuid'!r}, which is not in `vehicles`")
        if best:
            # A receiver with a fix is right; one without may still show what its own battery kept.
            has_fix = True in best
            return _Facts(device, best[has_fix], Quality.GOOD if has_fix else Quality.UNCERTAIN)
        written_us = file.path.stat().st_mtime_ns // 1000
        return _Facts(device, written_us - last_us, Quality.UNCERTAIN)

    def _is_possible(self, utc_us: int) -> bool:
        return EARLIEST_OBSERVED_MS * 1000 <= utc_us <= (self._clock.now_ms() + MAX_FUTURE_MS) * 1000
