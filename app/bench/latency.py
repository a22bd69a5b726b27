"""How long a reading takes from its publish to its commit, at a province's rate and beside a province's backlog.

A message is stamped with the instant it is due and counted from that instant, whenever it really went out, so that a
publisher that is held up does not hide it. Committed is when another database session sees the reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from hanlu.app.bench.messages import GATEWAYS, Shape, messages, paced
from hanlu.app.bench.publisher import write_messages
from hanlu.app.bench.stand import Publisher, Stand
from hanlu.core.errors import TransientError
from hanlu.core.wire.topics import Lane

__all__ = ["BacklogFigures", "Percentiles", "backlog", "latency"]

PROVINCE_LIVE: Final = 1_073
"""Readings a second of a province of 64,400 channels at one a minute."""
BACKLOG_READINGS: Final = 3_900_000
"""What such a province makes in an hour."""

_WARM_UP_S: Final = 2.0
"""Seconds at the beginning that do not count: worker and database read everything for the first time."""
_HOUR_MS: Final = 3_600_000
_SIZE: Final = 500
_GRACE_S: Final = 60.0
_LEAD_MS: Final = 1_500

_NEW: Final = (
    "SELECT arrival_id, channel_ids, observed_ms FROM telemetry.arrival"
    " WHERE arrival_id > %s AND lane = 'live' ORDER BY arrival_id"
)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds from publish to commit.

    Attributes:
        count: readings.
        rate: readings a second.
    """

    count: int
    rate: float
    p50: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, latencies_s: list[float], rate: float) -> Percentiles:
        """Return those of `latencies_s`, seconds, not empty."""
        ordered = sorted(latencies_s)

        def at(share: float) -> float:
            return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(len(ordered), rate, at(0.5), at(0.99), at(0.999), 1000 * ordered[-1])

    def as_json(self) -> dict[str, Any]:
        """Return the figures for machines, milliseconds."""
        names = {"p50": self.p50, "p99": self.p99, "p99_9": self.p999, "max": self.most}
        return {"readings": self.count, "readings_per_s": self.rate} | {
            f"{name}_ms": round(value, 2) for name, value in names.items()
        }


@dataclass(frozen=True, slots=True)
class BacklogFigures:
    """A backlog absorbed beside live readings.

    Attributes:
        readings: of the backlog.
        seconds: from the first message to the commit of the last reading.
        live: how long live readings took meanwhile.
    """

    readings: int
    seconds: float
    live: Percentiles

    def as_json(self) -> dict[str, Any]:
        """Return the figures for machines."""
        rate = round(self.readings / self.seconds)
        return {
            "backlog_readings": self.readings,
            "absorbed_s": round(self.seconds, 1),
            "backlog_readings_per_s": rate,
            "live": self.live.as_json(),
        }


class _Follower:
    """Looks at what is committed and counts from when it was due."""

    def __init__(
        self, stand: Stand, connection: psycopg.Connection[Any], places: dict[tuple[int, int, int], int]
    ) -> None:
        self._number = {
            (stand.channels[gateway, device], at_ms): number for (gateway, device, at_ms), number in places.items()
        }
        self._connection = connection
        self._last = 0
        self.seen: dict[int, float] = {}
        connection.execute("LISTEN hanlu_arrival")

    def look(self) -> None:
        """Wait for a commit, shortly, and note what came with it."""
        for _ in self._connection.notifies(timeout=0.1, stop_after=1):
            pass
        found = self._connection.execute(_NEW, (self._last,)).fetchall()
        now = time.monotonic()
        for arrival_id, channel_ids, observed_ms in found:
            self._last = arrival_id
            for key in zip(channel_ids, observed_ms, strict=True):
                self.seen.setdefault(self._number[key], now)


def latency(stand: Stand, rate: float, seconds: float, say: Callable[[str], None]) -> Percentiles:
    """Publish single plain readings at `rate` a second and return how long they took.

    Raises:
        TransientError: some do not come.
    """
    count = int(rate * seconds)
    say(f"latency: {count:,} messages of one reading, {rate:,.0f} a second")
    with _live(stand, count, rate) as (follower, publisher):
        began = publisher.begin()
        end = began + seconds + _GRACE_S
        while len(follower.seen) < count:
            follower.look()
            _within(end, follower, count)
        publisher.end()
    return _percentiles(follower, began, rate)


def backlog(stand: Stand, seconds: float, say: Callable[[str], None]) -> BacklogFigures:
    """Send an hour of a province in `seconds` on the backlog lane, as gateways pace it, and live readings beside it.

    Raises:
        TransientError: some do not come.
    """
    shape = Shape(signed=True, size=_SIZE, count=-(-BACKLOG_READINGS // _SIZE))
    say(f"backlog: making {shape.count:,} signed messages of {_SIZE} readings")
    path = stand.folder / "backlog"
    step_ms = max(1, _HOUR_MS * GATEWAYS // shape.readings)
    start_ms = time.time_ns() // 1_000_000 - 3 * _HOUR_MS
    write_messages(path, messages(shape, start_ms, Lane.BACKLOG, step_ms=step_ms))
    past = stand.publisher(path, shape.count / seconds)
    count = int(PROVINCE_LIVE * (seconds + 5))
    say(f"backlog: {shape.readings:,} readings within {seconds:g} s beside {PROVINCE_LIVE:,} live ones a second")
    with (
        _live(stand, count, PROVINCE_LIVE) as (follower, publisher),
        psycopg.connect(stand.url, autocommit=True) as connection,
    ):
        began = publisher.begin()
        first = past.begin()
        end, absorbed, looked = began + seconds + _GRACE_S, 0.0, began
        while len(follower.seen) < count or not absorbed:
            follower.look()
            if not absorbed and time.monotonic() - looked > 0.5:
                looked = time.monotonic()
                query = "SELECT coalesce(sum(stored), 0)::bigint FROM telemetry.gateway_epoch"
                (stored,) = connection.execute(query).fetchone() or (0,)
                absorbed = looked - first if stored >= shape.readings else 0.0
            _within(end, follower, count)
        publisher.end()
        past.end()
    return BacklogFigures(shape.readings, absorbed, _percentiles(follower, began, PROVINCE_LIVE))


@contextmanager
def _live(stand: Stand, count: int, rate: float) -> Iterator[tuple[_Follower, Publisher]]:
    """Have a worker, a publisher of `count` live readings that is ready, and somebody who looks for them."""
    stand.clear()
    path = stand.folder / "live"
    with stand.worker(), psycopg.connect(stand.url, autocommit=True) as connection:
        made, places = paced(count, rate, time.time_ns() // 1_000_000 + _LEAD_MS)
        write_messages(path, made)
        yield _Follower(stand, connection, places), stand.publisher(path, rate)


def _within(end: float, follower: _Follower, count: int) -> None:
    if time.monotonic() > end:
        raise TransientError(f"only {len(follower.seen)} of {count} readings are committed")


def _percentiles(follower: _Follower, began: float, rate: float) -> Percentiles:
    skipped = int(_WARM_UP_S * rate)
    taken = [seen - (began + number / rate) for number, seen in follower.seen.items() if number >= skipped]
    return Percentiles.of(taken, rate)
