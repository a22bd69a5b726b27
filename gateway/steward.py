"""What a gateway does about itself, once a second, on a thread of its own.

It looks at the clocks and the disk, lets go of readings that waited for their time, publishes how the gateway is,
and puts a configuration from the platform into force. None of it holds a device or the uplink up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Final

from hanlu.core import gateway_health as health
from hanlu.core.errors import HanluError, TransientError, UsageError
from hanlu.core.observe import log
from hanlu.gateway.beats import Beats
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.courier import Courier
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver_set import DriverSet
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.item import KnownTime
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.remote import Remote, load_remote, merged, save_remote
from hanlu.gateway.spool import Spool

__all__ = ["Steward", "announced", "configured", "priorities_of", "resident_bytes"]

_logger = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_KEEP_TIME_S: Final = 60.0
"""Seconds between two records of the known time on the disk."""
_COMPLAIN_EVERY: Final = 60
"""Looks between two log lines about a disk that goes on refusing."""


def configured(config: GatewayConfig) -> tuple[GatewayConfig, int, str]:
    """Return the configuration in force at the start, its version (0: the file's own), and what was wrong with it."""
    try:
        kept = load_remote(config.data_dir)
        return (config, 0, "") if kept is None else (merged(config, kept.text), kept.version, "")
    except UsageError as error:
        log(_logger, logging.ERROR, "gateway.config.refused", f"{config.code}: the one kept here: {error}")
        return config, 0, str(error)


def announced(config: GatewayConfig, drivers: DriverSet) -> GatewayConfig:
    """Return `config` with all channels for the birth: its own, the drivers' and those of its health, each once."""
    found = {channel.name: channel for channel in drivers.channels}
    if config.health_period_s and not config.replay:
        found |= {channel.name: channel for channel in health.channels(config.health_period_s)}
    found |= {channel.name: channel for channel in config.channels}
    return config.model_copy(update={"channels": tuple(found.values())})


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


class Steward:
    """Looks after one gateway."""

    def __init__(
        self,
        own: GatewayConfig,
        config: GatewayConfig,
        version: int,
        *,
        spool: Spool,
        clock: GatewayClock,
        intake: SpoolIntake,
        courier: Courier,
        drivers: DriverSet,
        beats: Beats,
    ) -> None:
        """Look after what is given.

        Args:
            own: the gateway's own configuration, which nothing from afar changes.
            config: the one in force.
            version: of the remote configuration in it; 0: none.
            spool: to be tidied.
            clock: to be watched.
            intake: for health readings and held ones.
            courier: tells of receipts and configurations.
            drivers: exchanged by a configuration.
            beats: hears that this thread is alive.
        """
        self.config, self.version = config, version
        self._own = own
        self._spool, self._clock, self._intake, self._courier = spool, clock, intake, courier
        self._drivers, self._beats = drivers, beats
        self._begun_s = self._next_health_s = clock.monotonic()
        self._next_health_s += config.health_period_s
        self._stop, self._wake = threading.Event(), threading.Event()
        self._known: KnownTime | None = None
        self._known_kept_s = float("-inf")
        self._ordered: Remote | None = None
        self._refusals = 0
        courier.hears_time = self._hear_time
        courier.hears_configuration = self._hear_configuration

    def run(self) -> None:
        """Look every second until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        beat = self._beats.of("steward")
        while not self._stop.is_set():
            beat()
            self.look()
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def stop(self) -> None:
        """Make `run` return soon; from any thread."""
        self._stop.set()
        self._wake.set()

    def look(self) -> None:
        """Do what is due now."""
        self._clock.look()
        try:
            self._spool.tidy()
            if self._spool.has_held and self._clock.is_known:
                released = self._intake.release_held()
                words = f"{self.config.code}: {released} batches that waited for their time have it now"
                log(_logger, logging.INFO, "gateway.held.released", words)
            self._keep_time()
            self._publish_health()
            self._refusals = 0
        except TransientError as error:
            if self._refusals % _COMPLAIN_EVERY == 0:
                log(_logger, logging.ERROR, "gateway.spool.unwritable", f"{self.config.code}: {error}")
            self._refusals += 1
        if (ordered := self._ordered) is not None:
            self._ordered = None
            self._configure(ordered)

    def _hear_time(self, platform_ms: int) -> None:
        """Take in the platform's time; on the uplink's thread."""
        first = self._known is None
        self._known = self._clock.heard(platform_ms)
        if first:
            self._wake.set()

    def _hear_configuration(self, version: int, text: str) -> None:
        """Take an order; on the uplink's thread."""
        self._ordered = Remote(version, text)
        self._wake.set()

    def _keep_time(self) -> None:
        now = self._clock.monotonic()
        if self._known is not None and now - self._known_kept_s >= _KEEP_TIME_S:
            self._spool.keep_known_time(self._known)
            self._known_kept_s = now

    def _publish_health(self) -> None:
        now = self._clock.monotonic()
        if not self.config.health_period_s or self.config.replay or now < self._next_health_s:
            return
        self._next_health_s = now + self.config.health_period_s
        spool, clocks = self._spool.stats(), self._clock.report()
        values = {
            health.SPOOL_USED: spool.used,
            health.SPOOL_OLDEST: spool.oldest_age_s,
            health.CLOCK_OFFSET: None if clocks.offset_ms is None else clocks.offset_ms / 1000,
            health.CLOCK_DRIFT: clocks.drift_ppm,
            health.CLOCK_STEPS: clocks.steps,
            health.UPTIME: round(now - self._begun_s, 1),
            health.MEMORY: resident_bytes(),
        }
        self._intake.offer(Batch(readings=health.readings(self._clock.now_ms(), values)))

    def _configure(self, ordered: Remote) -> None:
        """Put a configuration into force, or say at a birth why not; what is in the spool is not touched."""
        if ordered.version <= self.version:
            words = f"{self.config.code}: configuration {ordered.version} came, {self.version} is in force"
            log(_logger, logging.INFO, "gateway.config.old", words)
            self._announce("")
            return
        try:
            config = merged(self._own, ordered.text)
            self._drivers.exchange(config.drivers)
        except HanluError as error:
            words = f"{self.config.code}: configuration {ordered.version} is refused: {error}"
            log(_logger, logging.ERROR, "gateway.config.refused", words)
            self._announce(f"version {ordered.version}: {error}")
            return
        self.config, self.version = config, ordered.version
        self._put_into_force(config)
        error_words = ""
        try:
            save_remote(self._own.data_dir, ordered)
        except OSError as error:
            error_words = f"version {ordered.version} is in force, but will not survive a restart: {error}"
            log(_logger, logging.ERROR, "gateway.config.unkept", f"{config.code}: {error_words}")
        log(_logger, logging.WARNING, "gateway.config.changed", f"{config.code}: version {ordered.version} is in force")
        self._announce(error_words)

    def _put_into_force(self, config: GatewayConfig) -> None:
        self._spool.set_max_bytes(config.limits.max_spool_bytes)
        self._intake.reconfigure(
            Packing(config.limits.max_readings, config.replay), Admission(priorities_of(config))
        )  # fmt: skip
        self._courier.change_uplink(config.uplink)
        self._next_health_s = self._clock.monotonic() + config.health_period_s

    def _announce(self, error: str) -> None:
        self._courier.reborn(announced(self.config, self._drivers).channels, self.version, error)
        self._intake.wake()


def priorities_of(config: GatewayConfig) -> Priorities:
    """Return the channels' priorities as configured."""
    return Priorities(config.priorities.high, config.priorities.normal, config.priorities.low)
