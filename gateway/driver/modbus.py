"""The Modbus driver: polls the devices of one bus or one TCP address, each by its register map.

One thread, one connection. Every device has its own timetable; one that does not answer is asked less and less often,
so that a dead device costs the others one time-out now and then. What cannot be read is no reading: nothing was
produced, the counts and one line in the log a change of state say so.
"""

from __future__ import annotations

import fnmatch
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import Field, model_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN
from hanlu.core.observe import log
from hanlu.core.reading import Reading
from hanlu.core.wire.documents import BirthChannel, Loss
from hanlu.gateway.driver.contract import Batch, Intake
from hanlu.gateway.driver.mapping import DriverConfig, Section
from hanlu.gateway.driver.modbus_link import Link, LinkConfig, Refusal, Silence
from hanlu.gateway.driver.modbus_map import load_map
from hanlu.gateway.driver.modbus_plan import MAX_WORDS, Request, apart, plan
from hanlu.gateway.driver.modbus_register import Absent, Register, evaluate
from hanlu.gateway.driver.patience import offer_until_settled

__all__ = ["ModbusConfig", "ModbusDevice", "ModbusDriver"]

_logger = logging.getLogger(__name__)

_IDLE_S: Final = 1.0
"""Longest sleep between two looks at the timetable, seconds: `stop` is noticed at once all the same."""
_ILLEGAL: Final = frozenset({2, 3})
"""Exception codes by which a device refuses the range of a request: data address, data value (quantity)."""


class ModbusDevice(Section):
    """One device on the bus."""

    unit_id: int = Field(
        default=1, ge=0, le=255, description="address on the bus, 1 to 247; behind TCP often 1, 0 or 255"
    )
    device: str = Field(pattern=rf"^{CODE_PATTERN}$", description="device code of its channels")
    map: str | None = Field(default=None, description="a ready register map, e.g. siemens-qfa3150")
    without: tuple[str, ...] = Field(default=(), description="metrics of the map not to read; * stands for anything")
    registers: tuple[Register, ...] = Field(
        default=(), max_length=1_000, description="registers of its own; one with a metric of the map replaces it"
    )
    period_s: float | None = Field(
        default=None, ge=0.1, le=86_400, description="read everything this often, seconds; none: as the registers say"
    )
    max_gap: int = Field(default=8, ge=0, le=120, description="unused addresses read along to save a request")
    max_words: int = Field(default=MAX_WORDS, ge=1, le=MAX_WORDS, description="most registers it gives at once")

    @model_validator(mode="after")
    def _something_to_read(self) -> ModbusDevice:
        chosen = self.chosen()
        if not chosen:
            raise ValueError(f"device {self.device}: name a `map` or give `registers`")
        if any(register.words > self.max_words for register in chosen):
            raise ValueError(f"device {self.device}: a value is longer than `max_words`")
        names = Counter(register.channel(self.device) for register in chosen)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two registers become {', '.join(twice)}")
        return self

    def chosen(self) -> tuple[Register, ...]:
        """Return the registers to read, the map's first."""
        of_map = load_map(self.map).registers if self.map else ()
        own = {register.metric for register in self.registers}
        kept = [
            register
            for register in of_map
            if register.metric not in own
            and not any(fnmatch.fnmatchcase(register.metric, pattern) for pattern in self.without)
        ]
        chosen = (*kept, *self.registers)
        if self.period_s is None:
            return chosen
        return tuple(register.model_copy(update={"period_s": self.period_s}) for register in chosen)


class ModbusConfig(DriverConfig):
    """A bus, and what hangs on it."""

    kind: Literal["modbus"] = "modbus"
    link: LinkConfig
    devices: tuple[ModbusDevice, ...] = Field(min_length=1, max_length=247)
    back_off_s: float = Field(
        default=300.0, ge=1, le=86_400, description="longest pause before a silent device is asked again, seconds"
    )

    @model_validator(mode="after")
    def _distinct(self) -> ModbusConfig:
        names = Counter(register.channel(each.device) for each in self.devices for register in each.chosen())
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two registers become {', '.join(twice[:5])}")
        return self

    def build(self, intake: Intake, clock: Clock) -> ModbusDriver:
        """Return the driver; it connects when it runs."""
        return ModbusDriver(self, intake, clock)


@dataclass(slots=True)
class _Group:
    """Registers of one device that are read together: one period.

    Attributes:
        requests: as planned; finer once the device has refused a range.
        due: monotonic second of the next read.
    """

    device: ModbusDevice
    registers: tuple[Register, ...]
    requests: tuple[Request, ...]
    period_s: float
    due: float = 0.0


@dataclass(slots=True)
class _Unit:
    """What is known of one device.

    Attributes:
        silent: times in a row it has not answered.
        not_before: monotonic second before which it is left alone.
        troubles: channels without a value, by channel, so that only a change is logged.
    """

    silent: int = 0
    not_before: float = 0.0
    troubles: dict[str, str] = field(default_factory=dict)


class ModbusDriver:
    """Polls one bus."""

    def __init__(self, config: ModbusConfig, intake: Intake, clock: Clock) -> None:
        """Make the timetable; nothing is opened yet.

        Raises:
            UsageError: the library for this link is not installed.
        """
        self._config, self._intake, self._clock = config, intake, clock
        self._link = Link(config.link)
        self._stopping = threading.Event()
        self._units = {device.device: _Unit() for device in config.devices}
        self._groups = [group for device in config.devices for group in _groups(device)]
        self.beat: Callable[[], None] = lambda: None
        """Called before each request and each sleep: the thread is alive."""
        self.counts: Counter[str] = Counter()
        """`readings`, `requests`, `silences`, `exception_<code>`, `not_read`, `no_value`, `lost`, since the start."""

    @property
    def address(self) -> str:
        """Return the bus or host that is polled."""
        return self._config.link.url

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return every register's channel."""
        return tuple(
            BirthChannel(
                name=register.channel(group.device.device), unit=register.senml_unit, period_s=register.period_s
            )
            for group in self._groups
            for register in group.registers
        )

    def run(self) -> None:
        """Poll until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        try:
            while not self._stopping.is_set():
                self.beat()
                now = self._clock.monotonic()
                for group in self._groups:
                    if group.due <= now and not self._stopping.is_set():
                        self._serve(group)
                soonest = min(group.due for group in self._groups) - self._clock.monotonic()
                if soonest > 0:
                    self._stopping.wait(min(soonest, _IDLE_S))
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return after the request it waits for, at most a time-out and a repetition."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._link.close()

    def _serve(self, group: _Group) -> None:
        """Read one group and set when it is read next: in step with its period, without catching up."""
        now = self._clock.monotonic()
        unit = self._units[group.device.device]
        if unit.not_before > now:
            group.due = max(group.due + group.period_s, unit.not_before)
            return
        words = self._read(group, unit)
        behind = self._clock.monotonic() - group.due
        group.due += group.period_s * (1 + max(0, int(behind // group.period_s)))
        if words is not None:
            self._hand_over(group, unit, words)

    def _read(self, group: _Group, unit: _Unit) -> dict[tuple[int, int], int] | None:
        """Return what the device gave, also what it gave before it fell silent; None where it gave no answer at all."""
        words: dict[tuple[int, int], int] = {}
        pending = list(group.requests)
        while pending and not self._stopping.is_set():
            request = pending.pop(0)
            self.beat()
            self.counts["requests"] += 1
            outcome = self._link.read(group.device.unit_id, request)
            if isinstance(outcome, Silence):
                self._heard_nothing(group.device, unit, outcome)
                return words or None
            self._heard(group.device, unit)
            if isinstance(outcome, Refusal):
                self.counts[f"exception_{outcome.code}"] += 1
                finer = apart(request, group.registers)
                if outcome.code in _ILLEGAL and len(finer) > 1:
                    group.requests = tuple(sorted({*group.requests, *finer} - {request}))
                    pending[:0] = finer
                continue
            words |= {(request.function, request.first + index): word for index, word in enumerate(outcome)}
        return words

    def _hand_over(self, group: _Group, unit: _Unit, words: dict[tuple[int, int], int]) -> None:
        observed_ms = self._clock.now_ms()
        readings: list[Reading] = []
        losses: list[Loss] = []
        for register in group.registers:
            channel = register.channel(group.device.device)
            found = evaluate(register, words)
            trouble = found.why if isinstance(found, Absent) else ""
            self._note(unit, channel, trouble)
            if not isinstance(found, Absent):
                readings.append(register.reading(found.raw, observed_ms, group.device.device, found.quality))
            elif found.produced:
                losses.append(Loss(reason=found.why, count=1, channel=channel, from_ms=observed_ms, to_ms=observed_ms))
            else:
                self.counts[found.why] += 1
        if readings or losses:
            batch = Batch(tuple(readings), tuple(losses))
            offer_until_settled(self._intake, batch, self._stopping, self.counts, self._config.name, self.beat)

    def _note(self, unit: _Unit, channel: str, trouble: str) -> None:
        """Log a channel that loses its value, and when it has one again; never the same state twice."""
        if unit.troubles.get(channel, "") == trouble:
            return
        if trouble:
            unit.troubles[channel] = trouble
            log(_logger, logging.WARNING, "gateway.modbus.no_value", f"{channel}: {trouble}", channel=channel)
        else:
            del unit.troubles[channel]
            log(_logger, logging.INFO, "gateway.modbus.value_again", f"{channel} has a value again", channel=channel)

    def _heard_nothing(self, device: ModbusDevice, unit: _Unit, silence: Silence) -> None:
        self.counts["silences"] += 1
        unit.silent += 1
        pause = min(self._config.back_off_s, self._config.link.timeout_s * 2.0 ** min(unit.silent, 30))
        unit.not_before = self._clock.monotonic() + pause
        if unit.silent == 1:
            who = f"{self._config.name}: {device.device} (unit {device.unit_id})"
            log(_logger, logging.WARNING, "gateway.modbus.silent", f"{who}: {silence.why}", device=device.device)

    def _heard(self, device: ModbusDevice, unit: _Unit) -> None:
        if unit.silent:
            message = f"{self._config.name}: {device.device} answers again after {unit.silent} silences"
            log(_logger, logging.INFO, "gateway.modbus.answers", message, device=device.device)
        unit.silent, unit.not_before = 0, 0.0


def _groups(device: ModbusDevice) -> Iterable[_Group]:
    chosen = device.chosen()
    for period_s in sorted({register.period_s for register in chosen}):
        registers = tuple(register for register in chosen if register.period_s == period_s)
        try:
            requests = plan(registers, device.max_gap, device.max_words)
        except ValueError as error:
            raise UsageError(f"device {device.device}: {error}") from error
        yield _Group(device, registers, requests, period_s)
