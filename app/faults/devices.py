"""The devices of the trial: thermometers that keep what is not answered, and a record of all they ever measured."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hanlu.app.faults.stage import METRIC, Edge
from hanlu.firmware_sim.line_client import LineClient, LineHub
from hanlu.firmware_sim.line_session import LineSession

__all__ = ["Devices", "Series", "excursion", "steady"]

COLD: Final = -18.0
WARM: Final = -10.0
_PUMP_S: Final = 0.005
_CAPACITY: Final = 200_000


@dataclass(frozen=True, slots=True)
class Series:
    """What one thermometer measures in one round.

    Attributes:
        device: its code.
        points: Unix milliseconds and degrees Celsius, in order; no instant twice.
        exceeded_ms: when the only excursion begins, None when there is none.
    """

    device: str
    points: tuple[tuple[int, float], ...]
    exceeded_ms: int | None = None

    def lines(self, size: int) -> list[dict[str, Any]]:
        """Return it as lines of `size` readings each."""
        return [self._line(self.points[at : at + size]) for at in range(0, len(self.points), size)]

    def _line(self, points: Sequence[tuple[int, float]]) -> dict[str, Any]:
        records: list[dict[str, Any]] = [{"n": METRIC, "u": "Cel", "t": ms / 1000, "v": value} for ms, value in points]
        records[0]["bn"] = f"{self.device}/"
        return {"senml": records}


def steady(device: str, start_ms: int, step_ms: int, count: int, chance: random.Random) -> Series:
    """Return a cold room with some noise, no value like another's by rule."""
    return Series(
        device,
        tuple((start_ms + at * step_ms, round(COLD + chance.uniform(-1, 1), 3)) for at in range(count)),
    )


def excursion(device: str, start_ms: int, step_ms: int, count: int, chance: random.Random) -> Series:
    """Return a cold room whose middle third is warm: one alarm, whatever the order of arrival."""
    points = list(steady(device, start_ms, step_ms, count, chance).points)
    for at in range(count // 3, 2 * count // 3):
        points[at] = points[at][0], round(WARM + chance.uniform(-1, 1), 3)
    return Series(device, tuple(points), points[count // 3][0])


class Devices:
    """All devices behind all gateways, on one thread."""

    def __init__(self, edges: Mapping[str, Edge]) -> None:
        """Prepare a session for each gateway."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._hub = LineHub({})
        for edge in edges.values():
            self.add(edge.code, edge.connect)
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)
        self._thread.start()

    def add(self, code: str, connect: Callable[[], Any]) -> None:
        """Serve one more gateway."""
        with self._lock:
            self._hub.clients[code] = LineClient(code, connect, LineSession(capacity=_CAPACITY))

    def close(self) -> None:
        """End the thread and the connections."""
        self._stop.set()
        self._thread.join(5)
        self._hub.close()

    def send(self, code: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Offer lines to a gateway; they are sent until they are answered."""
        with self._lock:
            session = self._hub.clients[code].session
            for line in lines:
                if session.offer(line) is None:
                    raise MemoryError("the devices hold more lines than the trial allows")

    def owed(self) -> int:
        """Return how many lines have no answer yet."""
        with self._lock:
            return sum(client.session.owed for client in self._hub.clients.values())

    def refused(self, code: str) -> int:
        """Return how many lines a gateway refused for good."""
        with self._lock:
            counts = self._hub.clients[code].session.counts
            return sum(count for name, count in counts.items() if name not in {"taken", "sent_again"})

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._hub.pump(_PUMP_S)
            self._stop.wait(0.001)
