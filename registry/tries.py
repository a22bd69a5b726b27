"""How many wrong passwords are too many: decisions as pure functions, and the count per address kept in memory.

Per sign-in name the count stands in the database, the same for names that exist and names that do not. Per address it
stays in this process: an address is personal data, forgotten with the process and never written down.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from hanlu.core.clock import Clock
from hanlu.registry.config import SignInSettings

__all__ = ["AddressTries", "Tries", "next_try"]

_MOST_ADDRESSES: Final = 10_000
"""Addresses remembered; beyond that the one quiet for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Tries:
    """Passwords tried for a sign-in name since the last right one.

    Attributes:
        failures: how many; the try being made counts until it turns out right.
        last_ms: when the last one was, Unix milliseconds.
        locked_until_ms: no password is looked at before.
    """

    failures: int
    last_ms: int
    locked_until_ms: int


def next_try(tries: Tries, now_ms: int, settings: SignInSettings) -> Tries | int:
    """Decide whether a password may be looked at now.

    The try is counted before the password is checked, so that many at the same moment gain nothing.

    Returns:
        The tries with this one counted as wrong; or the seconds (>= 1) to wait, when it may not be looked at.
    """
    if now_ms < tries.locked_until_ms:
        return math.ceil((tries.locked_until_ms - now_ms) / 1000)
    forgotten = now_ms - tries.last_ms >= settings.forget_after_s * 1000
    failures = 1 if forgotten else tries.failures + 1
    return Tries(failures, now_ms, now_ms + 1000 * _lock_s(failures, settings))


def _lock_s(failures: int, settings: SignInSettings) -> int:
    """Return the wait after so many wrong ones: none, then doubling up to the longest."""
    beyond = failures - settings.free_tries
    if beyond < 0:
        return 0
    return min(settings.max_lock_s, settings.first_lock_s << min(beyond, 20))


class AddressTries:
    """Wrong passwords per network address in a sliding window, in memory, addresses as keyed hashes."""

    def __init__(self, clock: Clock, settings: SignInSettings) -> None:
        """Start with nothing known."""
        self._clock = clock
        self._most = settings.address_tries
        self._window_s = settings.address_window_s
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._wrong: OrderedDict[bytes, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Return the seconds until this address may try again; 0 when it may now."""
        now = self._clock.monotonic()
        with self._lock:
            times = self._recent(self._name(address), now)
            if len(times) < self._most:
                return 0
            return max(1, math.ceil(times[0] + self._window_s - now))

    def count(self, address: str) -> None:
        """Note one wrong password from this address."""
        now = self._clock.monotonic()
        name = self._name(address)
        with self._lock:
            times = self._recent(name, now)
            times.append(now)
            while len(times) > self._most:
                times.popleft()
            self._wrong[name] = times
            self._wrong.move_to_end(name)
            while len(self._wrong) > _MOST_ADDRESSES:
                self._wrong.popitem(last=False)

    def _recent(self, name: bytes, now: float) -> deque[float]:
        times = self._wrong.get(name, deque())
        while times and times[0] <= now - self._window_s:
            times.popleft()
        return times

    def _name(self, address: str) -> bytes:
        return hashlib.blake2b(address.encode(), key=self._key, digest_size=16).digest()
