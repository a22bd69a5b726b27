"""SIGTERM, SIGINT and SIGHUP as something a program can look at and wait for, instead of an exception anywhere."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["StopSignals"]

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class StopSignals:
    """Counts the signals that ask us to end, for the time of a `with` block in the main thread.

    Attributes:
        event: set by the first one.
        count: how many came; the second one means that somebody is in a hurry.
    """

    event: threading.Event = field(default_factory=threading.Event)
    count: int = 0
    _before: dict[int, Any] = field(init=False, default_factory=dict)

    def __enter__(self) -> Self:
        """Take the signals over."""
        for number in _NUMBERS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.event.set()
