"""A gateway as a running thing: drivers, spool, uplink; one or several in a process.

A thread for each driver and one for the uplink, all asleep unless something happens. Ready means that devices are
served: the spool is open and the drivers are built. The link to the broker may come later, or be gone for days.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import FatalError, HanluError
from hanlu.core.observe import log
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.courier import Courier
from hanlu.gateway.driver.contract import Driver
from hanlu.gateway.driver.line import LineServer
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.item import SpoolStats
from hanlu.gateway.packing import Packing
from hanlu.gateway.spool import Spool
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
        last_receipt_ms: wall time of the last receipt, Unix milliseconds; None before the first.
        clock_offset_ms: the platform's clock minus ours then, milliseconds.
        counts: the line driver's counters since the start: lines, readings, connections, refused lines by reason.
        drivers: the other drivers' counters, by the driver's name.
        spool: its figures.
    """

    code: str
    address: str
    connected: bool
    last_receipt_ms: int | None
    clock_offset_ms: int | None
    counts: dict[str, int]
    drivers: dict[str, dict[str, int]]
    spool: SpoolStats


class Gateway:
    """One gateway; a context manager that leaves no thread, socket or open file behind."""

    def __init__(self, config: GatewayConfig, clock: Clock | None = None) -> None:
        """Open spool and socket, so that what cannot work fails here.

        Raises:
            UsageError: the address is taken, or the key unusable.
            ConflictError: the spool is open in another process.
            FatalError: a newer version made the spool.
            TransientError: the disk refuses.
        """
        clock = clock or SystemClock()
        self.config = config
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        key = load_or_create_key(config.key_path)
        self._spool = Spool(config.spool_path, key, clock, max_bytes=config.limits.max_spool_bytes)
        self._drivers: dict[str, Driver] = {}
        with contextlib.ExitStack() as undo:
            undo.callback(self._spool.close)
            packing = Packing(config.limits.max_readings, config.replay)
            intake = SpoolIntake(self._spool, packing, clock, self._wake)
            self._line = LineServer(config.line, intake, clock)
            undo.callback(self._line.close)
            for each in config.drivers:
                self._drivers[each.name] = driver = each.build(intake, clock)
                undo.callback(driver.close)
            channels = _all_channels(config.channels, self._drivers.values())
            courier_config = config.model_copy(update={"channels": channels})
            self._courier = Courier(courier_config, self._spool, clock, software=_SOFTWARE, boot_ms=clock.now_ms())
            self._uplink = Uplink(config, self._courier, clock)
            undo.pop_all()

    @property
    def address(self) -> str:
        """Return where devices connect, with the port really taken."""
        return self._line.address

    def start(self) -> None:
        """Serve devices and seek the link."""
        for name, work in self._works():
            thread = threading.Thread(
                target=self._guarded, args=(work,), name=f"{self.config.code}-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def check(self) -> None:
        """Raise FatalError when a thread died of something."""
        if self._failure is not None:
            raise FatalError(f"gateway {self.config.code} failed: {self._failure}") from self._failure

    def status(self) -> GatewayStatus:
        """Return the figures now."""
        return GatewayStatus(
            code=self.config.code,
            address=self.address,
            connected=self._uplink.connected,
            last_receipt_ms=self._courier.last_receipt_ms,
            clock_offset_ms=self._courier.clock_offset_ms,
            counts=dict(self._line.counts),
            drivers={name: dict(driver.counts) for name, driver in self._drivers.items()},
            spool=self._spool.stats(),
        )

    def begin_stop(self) -> None:
        """Ask all threads to end, without waiting."""
        self._line.stop()
        for driver in self._drivers.values():
            driver.stop()
        self._uplink.stop()

    def close(self) -> None:
        """Stop, wait, and give everything back; what is in the spool stays there."""
        self.begin_stop()
        for thread in self._threads:
            thread.join(_STOP_S + self.config.broker.connect_timeout_s)
        if not any(thread.is_alive() for thread in self._threads):
            if not self._threads:
                self._line.close()
                for driver in self._drivers.values():
                    driver.close()
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

    def _works(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "line", self._line.run
        for name, driver in self._drivers.items():
            yield name, driver.run
        yield "uplink", self._uplink.run

    def _wake(self) -> None:
        self._uplink.wake()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised by `check` in the main thread
            self._failure = error
            log(_logger, logging.CRITICAL, "gateway.thread.failed", f"{self.config.code}: {error!r}")


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
    """Run several gateways in this process until `stop` is set; each has its own spool, key, driver and link.

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


def _all_channels(named: Sequence[BirthChannel], drivers: Iterable[Driver]) -> tuple[BirthChannel, ...]:
    """Return the channels of configuration and drivers, each name once, the configuration's word first."""
    found = {channel.name: channel for driver in drivers for channel in driver.channels}
    return tuple((found | {channel.name: channel for channel in named}).values())


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
