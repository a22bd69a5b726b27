"""The drivers of a gateway: each on a thread of its own, exchanged while everything else goes on.

A driver that breaks (its own fault, for devices and links it must bear) is logged, counted and built anew after a
pause, so that one odd device never takes the others along. Only FatalError, the spool's, ends the gateway.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError, HanluError, UsageError
from hanlu.core.observe import log
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.beats import Beats
from hanlu.gateway.driver.contract import Driver, Intake
from hanlu.gateway.driver.mapping import DriverConfig

__all__ = ["DriverSet"]

_logger = logging.getLogger(__name__)

_STOP_S: Final = 5.0
"""Time for a driver's thread to end."""
_PAUSES_S: Final = (1.0, 5.0, 15.0, 60.0)
"""Seconds before a broken driver is built anew, by how often it broke in a row; the last repeats."""


class _Absent:
    """Stands for a driver that cannot be built yet, a folder not mounted or a port still taken; running it says so."""

    channels: tuple[BirthChannel, ...] = ()

    def __init__(self, error: Exception) -> None:
        self.counts: Counter[str] = Counter()
        self._error = error

    @property
    def address(self) -> str:
        return f"not there: {self._error}"

    def run(self) -> None:
        raise self._error

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing was taken."""


class _Runner:
    """One driver, its configuration and its thread."""

    def __init__(
        self, config: DriverConfig, build: Callable[[], Driver], beats: Beats, standing: Driver | None = None
    ) -> None:
        self.config, self._build, self._beats = config, build, beats
        self.driver = standing or build()
        self.breaks = 0
        self._watched_as = f"driver {config.name}"  # may be called as one of the gateway's own threads is
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str, failed: Callable[[BaseException], None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(failed,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self.driver.stop()

    def join(self) -> bool:
        """Wait for the end; return whether it came."""
        if self._thread is None:
            self.driver.close()
            return True
        self._thread.join(_STOP_S)
        return not self._thread.is_alive()

    def _run(self, failed: Callable[[BaseException], None]) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
            except FatalError as error:
                failed(error)
                return
            except Exception as error:  # noqa: BLE001 - a driver's own fault must not end the others
                self.breaks += 1
                words = f"driver {self.config.name} broke: {error!r}; it is built anew"
                log(_logger, logging.ERROR, "gateway.driver.broken", words)
                self._stopping.wait(_PAUSES_S[min(self.breaks, len(_PAUSES_S)) - 1])
                self._rebuild()

    def _serve(self) -> None:
        """Run the driver; one that offers to say that it is alive (`beat`) is watched while it does."""
        if hasattr(self.driver, "beat"):
            self.driver.beat = self._beats.of(self._watched_as)
        try:
            self.driver.run()
        finally:
            self._beats.forget(self._watched_as)

    def _rebuild(self) -> None:
        while not self._stopping.is_set():
            try:
                self.driver = self._build()
            except Exception as error:  # noqa: BLE001 - whatever it is may pass, and nobody else would try again
                log(_logger, logging.ERROR, "gateway.driver.unbuilt", f"driver {self.config.name}: {error!r}")
                self._stopping.wait(_PAUSES_S[-1])
            else:
                if self._stopping.is_set():
                    self.driver.close()
                return


class DriverSet:
    """All drivers of one gateway but the line driver; used by one thread at a time."""

    def __init__(self, configs: Iterable[DriverConfig], intake: Intake, clock: Clock, beats: Beats) -> None:
        """Build them all; one that cannot be built is told and tried again while the others serve.

        After a power cut a share may not be mounted yet: that must not keep the other devices from being heard.
        """
        self._intake, self._clock, self._beats = intake, clock, beats
        self._prefix: str | None = None
        self._failed: Callable[[BaseException], None] = lambda _: None
        self._runners: dict[str, _Runner] = self._built_somehow(configs)

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels the drivers' configurations name."""
        return tuple(channel for runner in self._runners.values() for channel in runner.driver.channels)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Return each driver's figures, by its name."""
        return {
            name: dict(runner.driver.counts) | ({"broken": runner.breaks} if runner.breaks else {})
            for name, runner in self._runners.items()
        }

    @property
    def addresses(self) -> dict[str, str]:
        """Return where each driver is reached or what it reads, by its name."""
        return {name: runner.driver.address for name, runner in self._runners.items()}

    def start(self, prefix: str, failed: Callable[[BaseException], None]) -> None:
        """Run each on a thread named `prefix` and its name; `failed` hears of a damaged spool."""
        self._prefix, self._failed = prefix, failed
        for name, runner in self._runners.items():
            runner.start(f"{prefix}-{name}", failed)

    def exchange(self, configs: Sequence[DriverConfig]) -> None:
        """Put drivers of `configs` in the place of these; one whose configuration is the same runs on undisturbed.

        Raises:
            UsageError: one of them cannot work; the old ones go on.
        """
        wanted = {config.name: config for config in configs}
        staying = {name: runner for name, runner in self._runners.items() if wanted.get(name) == runner.config}
        going = {name: runner for name, runner in self._runners.items() if name not in staying}
        self._end(going.values())
        self._runners = staying
        try:
            new = self._built(config for name, config in wanted.items() if name not in staying)
        except HanluError:
            new = self._built_somehow(runner.config for runner in going.values())
            raise
        finally:
            self._runners = staying | new
            if self._prefix is not None:
                for name, runner in new.items():
                    runner.start(f"{self._prefix}-{name}", self._failed)

    def begin_stop(self) -> None:
        """Ask all to end, without waiting."""
        for runner in self._runners.values():
            runner.stop()

    def close(self) -> bool:
        """Stop all and wait; return whether all have ended."""
        self.begin_stop()
        ended = [runner.join() for runner in self._runners.values()]
        return all(ended)

    def _end(self, runners: Iterable[_Runner]) -> None:
        runners = list(runners)
        for runner in runners:
            runner.stop()
        for runner in runners:
            if not runner.join():
                words = f"driver {runner.config.name} does not end; it is left behind"
                log(_logger, logging.ERROR, "gateway.driver.hanging", words)

    def _built(self, configs: Iterable[DriverConfig]) -> dict[str, _Runner]:
        built: dict[str, _Runner] = {}
        try:
            for config in configs:
                built[config.name] = self._runner(config)
        except BaseException as error:
            for runner in built.values():
                runner.driver.close()
            if isinstance(error, HanluError) or not isinstance(error, Exception):
                raise
            raise UsageError(f"a driver cannot work as configured: {type(error).__name__}: {error}") from error
        return built

    def _built_somehow(self, configs: Iterable[DriverConfig]) -> dict[str, _Runner]:
        """Build what can be built; what cannot is told, and tried again when it is run."""
        built: dict[str, _Runner] = {}
        for config in configs:
            try:
                built[config.name] = self._runner(config)
            except Exception as error:  # noqa: BLE001 - whatever it is may pass, and the others serve meanwhile
                words = f"driver {config.name}: {error}; it is tried again"
                log(_logger, logging.ERROR, "gateway.driver.unbuilt", words)
                built[config.name] = self._runner(config, _Absent(error))
        return built

    def _runner(self, config: DriverConfig, standing: Driver | None = None) -> _Runner:
        return _Runner(config, lambda: config.build(self._intake, self._clock), self._beats, standing)
