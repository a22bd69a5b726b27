"""Who is alive: every thread of a gateway says so at least every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from hanlu.core.clock import Clock

__all__ = ["HANG_S", "Beats"]

HANG_S: Final = 180.0
"""Seconds without a word after which a thread hangs: longer than any name look-up and connection attempt."""


class Beats:
    """When each thread was last heard of; any thread may call."""

    def __init__(self, clock: Clock) -> None:
        """Know nobody yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[str, float] = {}

    def of(self, name: str) -> Callable[[], None]:
        """Begin to watch the thread `name`; return what it calls to say that it is alive."""

        def beat() -> None:
            with self._lock:
                if name in self._heard:
                    self._heard[name] = self._clock.monotonic()

        with self._lock:
            self._heard[name] = self._clock.monotonic()
        return beat

    def forget(self, name: str) -> None:
        """Stop watching a thread that has ended."""
        with self._lock:
            self._heard.pop(name, None)

    def all_alive(self) -> None:
        """Note that work which holds all of them up gets on."""
        with self._lock:
            now = self._clock.monotonic()
            self._heard = dict.fromkeys(self._heard, now)

    def hanging(self, limit_s: float = HANG_S) -> list[str]:
        """Return the threads not heard of for `limit_s` seconds, by name."""
        with self._lock:
            now = self._clock.monotonic()
            return sorted(name for name, at in self._heard.items() if now - at > limit_s)
