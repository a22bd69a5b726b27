"""A gateway as a running thing: drivers, spool, uplink; one or several in a process.

A thread for each driver, one for the uplink and one that looks after it all (`steward.py`), asleep unless something
happens. Ready means that devices are served: the spool is open and the drivers are built. The link to the broker may
come later, or be gone for days.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError, HanluError
from hanlu.core.observe import log
from hanlu.gateway.beats import Beats
from hanlu.gateway.clocks import ClockReport, GatewayClock, MachineClock, boot_identity
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.courier import Courier
from hanlu.gateway.driver.line import LineServer
from hanlu.gateway.driver_set import DriverSet
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.item import SpoolStats
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission
from hanlu.gateway.spool import Spool
from hanlu.gateway.steward import Steward, announced, configured, priorities_of
from hanlu.gateway.uplink import Uplink

__all__ = ["Gateway", "GatewayStatus", "run", "run_many"]

_logger = logging.getLogger(__name__)

_SOFTWARE: Final = "hanlu-gateway"
_LOOK_S: Final = 1.0
"""How often a running gateway's threads are looked after."""
_REPORT_EVERY: Final = 60
"""Looks between two lines of figures in the log."""
_STOP_S: Final = 5.0
"""Time for the threads to end."""


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One gateway at one moment.

    Attributes:
        code: the gateway.
        address: where devices connect.
        connected: the broker has accepted us.
        last_receipt_ms: time of the last receipt, Unix milliseconds; None before the first.
        config_version: of the remote configuration in force; 0: the file's own.
        counts: the line driver's counters since the start: lines, readings, connections, refused lines by reason.
        drivers: the other drivers' counters, by the driver's name.
        intake: what was taken in since the start: readings, held, restamped, undecodable, dropped, commits.
        clocks: the clocks, and where the time comes from.
        spool: its figures.
    """

    code: str
    address: str
    connected: bool
    last_receipt_ms: int | None
    config_version: int
    counts: dict[str, int]
    drivers: dict[str, dict[str, int]]
    intake: dict[str, int]
    clocks: ClockReport
    spool: SpoolStats


class Gateway:
    """One gateway; a context manager that leaves no thread, socket or open file behind."""

    def __init__(self, config: GatewayConfig, clock: Clock | None = None, *, boot: str | None = None) -> None:
        """Open spool and sockets, so that what cannot work fails here.

        Args:
            config: its own settings; a configuration the platform sent before is merged into them.
            clock: the machine's, or a test's.
            boot: identity of this run of the machine, for tests.

        Raises:
            UsageError: an address is taken, a driver cannot work, or the key is unusable.
            ConflictError: the spool is open in another process.
            FatalError: a newer version made the spool.
            TransientError: the disk refuses.
        """
        machine = clock or MachineClock()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        key = load_or_create_key(config.key_path)
        own, (config, version, error) = config, configured(config)
        self._beats = Beats(machine)
        self._spool = Spool(config.spool_path, key, machine, max_bytes=config.limits.max_spool_bytes)
        with contextlib.ExitStack() as undo:
            undo.callback(self._spool.close)
            known = self._spool.known_time()
            self._clock = GatewayClock(machine, boot or boot_identity(), known)
            self._spool.use_clock(self._clock, self._beats.all_alive)
            packing = Packing(config.limits.max_readings, config.replay)
            admission = Admission(priorities_of(config))
            self._intake = SpoolIntake(self._spool, packing, self._clock, admission, self._wake)
            self._line = LineServer(config.line, self._intake, self._clock)
            undo.callback(self._line.close)
            self._drivers = DriverSet(config.drivers, self._intake, self._clock, self._beats)
            undo.callback(self._drivers.close)
            born = announced(config, self._drivers)
            self._courier = Courier(
                born, self._spool, self._clock, software=_SOFTWARE, boot_ms=self._clock.now_ms(),
                config_version=version, config_error=error,
            )  # fmt: skip
            self._uplink = Uplink(config, self._courier, self._clock)
            self._steward = Steward(
                own, config, version,
                spool=self._spool, clock=self._clock, intake=self._intake, courier=self._courier,
                drivers=self._drivers, beats=self._beats,
            )  # fmt: skip
            undo.pop_all()

    @property
    def config(self) -> GatewayConfig:
        """Return the configuration in force."""
        return self._steward.config

    @property
    def address(self) -> str:
        """Return where devices connect, with the port really taken."""
        return self._line.address

    @property
    def driver_addresses(self) -> dict[str, str]:
        """Return where each other driver is reached or what it reads, by its name."""
        return self._drivers.addresses

    def start(self) -> None:
        """Serve devices and seek the link."""
        code = self.config.code
        self._line.beat = self._beats.of("line")
        self._uplink.beat = self._beats.of("uplink")
        for name, work in (("line", self._line.run), ("uplink", self._uplink.run), ("steward", self._steward.run)):
            thread = threading.Thread(target=self._guarded, args=(work,), name=f"{code}-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._drivers.start(code, self._failed)

    def check(self) -> None:
        """Raise FatalError when a thread died of something, or hangs: only a new process helps then."""
        if self._failure is not None:
            raise FatalError(f"gateway {self.config.code} failed: {self._failure}") from self._failure
        if hanging := self._beats.hanging():
            faulthandler.dump_traceback(sys.__stderr__ or 2)
            raise FatalError(f"gateway {self.config.code} hangs: no word from {', '.join(hanging)}")

    def is_alive(self, within_s: float) -> bool:
        """Tell whether every thread was heard of within so many seconds and none died: what a watchdog may be told."""
        return self._failure is None and not self._beats.hanging(within_s)

    def status(self) -> GatewayStatus:
        """Return the figures now."""
        return GatewayStatus(
            code=self.config.code,
            address=self.address,
            connected=self._uplink.connected,
            last_receipt_ms=self._courier.last_receipt_ms,
            config_version=self._steward.version,
            counts=dict(self._line.counts),
            drivers=self._drivers.counts,
            intake=dict(self._intake.counts),
            clocks=self._clock.report(),
            spool=self._spool.stats(),
        )

    def begin_stop(self) -> None:
        """Ask all threads to end, without waiting."""
        self._steward.stop()
        self._line.stop()
        self._drivers.begin_stop()
        self._uplink.stop()

    def close(self) -> None:
        """Stop, wait, and give everything back; what is in the spool stays there."""
        self.begin_stop()
        for thread in self._threads:
            thread.join(_STOP_S + self.config.broker.connect_timeout_s)
        ended = self._drivers.close()
        if ended and not any(thread.is_alive() for thread in self._threads):
            if not self._threads:
                self._line.close()
            self._uplink.close()
            self._spool.close()

    def __enter__(self) -> Self:
        """Return the gateway, not yet started."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _wake(self) -> None:
        self._uplink.wake()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        log(_logger, logging.CRITICAL, "gateway.thread.failed", f"{self.config.code}: {error!r}")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `check` in the main thread
            self._failed(error)


def run(config: GatewayConfig, stop: threading.Event, ready: Callable[[], None], clock: Clock | None = None) -> None:
    """Run one gateway until `stop` is set.

    Args:
        config: its settings.
        stop: set by the caller to end it.
        ready: called once, when devices are served.
        clock: for tests; the machine's by default.

    Raises:
        HanluError: it cannot start (see `Gateway`), or FatalError when its state became unknown.
    """
    run_many([config], stop, ready, clock)


def run_many(
    configs: Sequence[GatewayConfig], stop: threading.Event, ready: Callable[[], None], clock: Clock | None = None
) -> None:
    """Run several gateways in this process until `stop` is set; each has its own spool, key, drivers and link.

    Args:
        configs: their settings; data folders and addresses must differ.
        stop: set by the caller to end all.
        ready: called once, when all serve devices.
        clock: for tests; the machine's by default.

    Raises:
        HanluError: one of them cannot start, or FatalError when one's state became unknown; all are stopped then.
    """
    with contextlib.ExitStack() as stack:
        gateways = [stack.enter_context(_opened(config, clock)) for config in configs]
        for gateway in gateways:
            gateway.start()
            log(_logger, logging.INFO, "gateway.started", f"{gateway.config.code} serves devices on {gateway.address}")
        ready()
        looks = 0
        while not stop.wait(_LOOK_S):
            looks += 1
            for gateway in gateways:
                gateway.check()
                if looks % _REPORT_EVERY == 0:
                    _report(gateway.status())
        for gateway in gateways:
            gateway.begin_stop()


def _opened(config: GatewayConfig, clock: Clock | None) -> Gateway:
    try:
        return Gateway(config, clock)
    except HanluError as error:
        raise type(error)(f"gateway {config.code}: {error}") from error


def _report(status: GatewayStatus) -> None:
    spool = status.spool
    words = (
        f"{status.code}: {'connected' if status.connected else 'no link'}, {spool.pending} messages pending,"
        f" oldest {spool.oldest_age_s:.0f} s, {spool.produced} readings produced"
    )
    level = logging.ERROR if spool.full else logging.INFO
    log(_logger, level, "gateway.status.reported", words, counts=status.counts, pending_bytes=spool.pending_bytes)
