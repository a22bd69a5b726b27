"""A gateway's process whose wall clock somebody else sets: milliseconds to add, read from a file.

python -P -m hanlu.app.faults.edge CONFIG STATUS CLOCK
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hanlu.app import log_format
from hanlu.app.edge_process import read_config, serve
from hanlu.app.settings import LogSettings
from hanlu.app.stop_signals import StopSignals
from hanlu.core.clock import SystemClock

__all__ = ["OffsetClock"]


class OffsetClock:
    """The machine's clock, put wrong by what a file says; its monotonic time stays right, as a machine's does."""

    def __init__(self, file: Path) -> None:
        """Read the offset whenever `file` changes; no file is no offset."""
        self._file, self._system = file, SystemClock()
        self._stamp = 0
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Return Unix milliseconds, wrong by the offset."""
        try:
            stamp = os.stat(self._file).st_mtime_ns  # noqa: PTH116 - asked often
            if stamp != self._stamp:
                self._offset_ms, self._stamp = int(self._file.read_text() or 0), stamp
        except (OSError, ValueError):
            pass  # written at this moment: the next look reads it
        return self._system.now_ms() + self._offset_ms

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return self._system.monotonic()


def main() -> None:
    """Serve until a signal."""
    config, status, clock = (Path(each) for each in sys.argv[1:4])
    configuration = read_config(config)
    log_format.configure(LogSettings(), configuration.code)
    with StopSignals() as stop:
        serve(configuration, status, stop.event, lambda: None, OffsetClock(clock))


if __name__ == "__main__":
    main()
