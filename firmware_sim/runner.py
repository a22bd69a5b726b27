"""The demo county at work: models, events and line clients in one loop, as long as it is told to run.

The first start makes a past: it begins an hour before the harvest of the newest lot that has reached its buyers, so
that the lot's whole curve exists, and catches up with the present as fast as the gateways take it. Then it is live. A
later start goes on where the last one was completely answered; what is sent twice counts once at the platform.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.observe import log
from hanlu.firmware_sim import day
from hanlu.firmware_sim.county import County
from hanlu.firmware_sim.faults import Fault
from hanlu.firmware_sim.fleet import Fleet, door_left_open
from hanlu.firmware_sim.journey import TimedEvent, journeys
from hanlu.firmware_sim.line_client import LineClient, LineHub, tcp
from hanlu.firmware_sim.line_session import LineSession
from hanlu.firmware_sim.physics.schedule import HOUR_MS
from hanlu.firmware_sim.sample import Sample, packs

__all__ = ["RunSummary", "beginning", "run"]

_logger = logging.getLogger(__name__)

_HISTORY_CHUNK_MS: Final = 30 * 60_000
"""Span of one history pack: a device hands over what it has logged, half an hour at a time."""
_TICKS_A_ROUND: Final = 120
"""Instants worked off before the sockets are looked at again."""
_MOST_OWED: Final = 1_000
"""Unanswered lines of a connected gateway beyond which catching up waits for it."""
_IDLE_S: Final = 0.25
_SAVE_EVERY_S: Final = 5.0


@dataclass(slots=True)
class RunSummary:
    """What was done.

    Attributes:
        samples: values handed to line sessions.
        events: documents handed to line sessions.
        dropped: values no session had room for; declared lost as soon as there was.
        answers: lines taken, and refused ones by reason.
    """

    samples: int = 0
    events: int = 0
    dropped: int = 0
    answers: Counter[str] = field(default_factory=Counter)


def beginning(now_ms: int, state: Path | None, *, past: bool = True) -> int:
    """Return where to begin, Unix milliseconds.

    Args:
        now_ms: the present.
        state: where the last run left its mark, if it is kept at all.
        past: whether a first start makes a history.
    """
    first = day.newest_finished_harvest(now_ms) - HOUR_MS if past else now_ms
    if state is None or not state.exists():
        return first
    try:
        until_ms = int(json.loads(state.read_text(encoding="utf-8"))["until_ms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log(_logger, logging.WARNING, "firmware_sim.state.unreadable", f"{state}: {error}; beginning now")
        return now_ms
    return min(now_ms, max(first, until_ms))


def run(
    county: County,
    address_of: Mapping[str, tuple[str, int]],
    stop: threading.Event,
    *,
    clock: Clock | None = None,
    speed: float = 1.0,
    seed: int = 1,
    start_ms: int | None = None,
    until_ms: int | None = None,
    past: bool = True,
    state: Path | None = None,
    faults: Sequence[Fault] = (),
    ready: Callable[[], None] = lambda: None,
    watch: Callable[[int, RunSummary], None] = lambda at_ms, summary: None,
) -> RunSummary:
    """Run the county's devices until `stop` is set.

    Args:
        county: whose devices.
        address_of: gateway code -> (host, port) of its line driver; devices of other gateways stay silent.
        stop: ends the run within half a second.
        clock: the time that is live.
        speed: simulated seconds per second; above 1 the run leaves the present, so give `start_ms` in the past.
        seed: of all chance.
        start_ms: where to begin, Unix milliseconds; None decides by `state` and `past`.
        until_ms: where to end, Unix milliseconds: the run is over when everything up to there has its answer; None
            goes on until `stop`.
        past: whether a first start makes a history.
        state: file that remembers how far everything was answered; None forgets.
        faults: what goes wrong on the wire.
        ready: called once, when the models run and before the first line.
        watch: called every round, at least four times a second, with the instant the devices have reached (Unix
            milliseconds) and what was done so far.

    Returns:
        What was done.
    """
    clock = clock or SystemClock()
    live_ms = clock.now_ms() if start_ms is None or speed == 1.0 else start_ms
    begin_ms = beginning(live_ms, state, past=past) if start_ms is None else start_ms
    fleet = Fleet(county, begin_ms, seed=seed, scenario=(door_left_open(live_ms),), faults=faults)
    clients = {code: LineClient(code, tcp(*address), LineSession(), clock) for code, address in address_of.items()}
    loop = _Loop(fleet, LineHub(clients), _Time(clock, live_ms, speed), live_ms, until_ms, state)
    ready()
    log(_logger, logging.INFO, "firmware_sim.run.begin", f"{len(clients)} gateways", from_ms=begin_ms, live_ms=live_ms)
    try:
        while not stop.is_set() and not loop.over:
            loop.round()
            watch(fleet.at_ms, loop.summary)
        loop.finish()
    finally:
        loop.hub.close()
    return loop.summary


class _Time:
    """Simulated time: the clock's own at speed 1, otherwise an origin and the elapsed time multiplied."""

    def __init__(self, clock: Clock, origin_ms: int, speed: float) -> None:
        self._clock, self._origin_ms, self._speed = clock, origin_ms, speed
        self._begun = clock.monotonic()

    def now_ms(self) -> int:
        if self._speed == 1.0:
            return self._clock.now_ms()
        return self._origin_ms + round(self.elapsed_s() * 1000 * self._speed)

    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self._begun

    def until(self, at_ms: int) -> float:
        """Return real seconds until simulated `at_ms`."""
        return (at_ms - self.now_ms()) / 1000 / self._speed


class _Loop:
    """One round after another: work off what is due, hand it over, see to the sockets."""

    def __init__(
        self, fleet: Fleet, hub: LineHub, time: _Time, live_ms: int, until_ms: int | None, state: Path | None
    ) -> None:
        self.hub = hub
        self.summary = RunSummary()
        self._fleet = fleet
        self._time = time
        self._live_ms = live_ms
        self._until_ms = until_ms
        self._state = state
        self._saved_s = 0.0
        self._logged: list[Sample] = []
        self._logged_since_ms = fleet.at_ms
        self._events_until_ms = fleet.at_ms
        self._events: dict[str, deque[TimedEvent]] = {gateway: deque() for gateway in hub.clients}
        self._dropped: dict[str, _Dropped] = {}

    @property
    def over(self) -> bool:
        """Whether the end is reached and nobody owes or is owed anything."""
        return self._through and not self._unsettled

    def round(self) -> None:
        now_ms = self._time.now_ms()
        if self._until_ms is not None:
            now_ms = min(now_ms, self._until_ms)
        self._work(now_ms)
        if self._through:
            self._flush()
        self._hand_over_events(now_ms)
        self._declare_dropped()
        wait = 0.0 if self._behind(now_ms) else min(_IDLE_S, self._time.until(self._fleet.next_ms))
        if self._through:
            wait = _IDLE_S  # only answers are waited for
        for gateway, answer in self.hub.pump(max(0.0, wait)):
            self.summary.answers[answer.reason or "taken"] += 1
            if answer.reason is not None:
                message = f"{gateway} refused a line: {answer.reason} {answer.detail}"
                log(_logger, logging.WARNING, "firmware_sim.line.refused", message, gateway=gateway)
        self._remember()

    def finish(self) -> None:
        """Hand over what a device had logged when it was switched off, as far as the gateways take it at once."""
        self._flush()
        self.hub.pump(_IDLE_S)

    @property
    def _through(self) -> bool:
        """Whether the devices have reached the end."""
        return self._until_ms is not None and self._fleet.next_ms > self._until_ms

    @property
    def _unsettled(self) -> bool:
        """Whether something measured or done has no answer yet."""
        owed = any(client.session.owed for client in self.hub.clients.values())
        return owed or any(self._events.values()) or bool(self._dropped or self._logged)

    def _behind(self, now_ms: int) -> bool:
        return self._fleet.next_ms <= now_ms and not self._held_up()

    def _held_up(self) -> bool:
        return any(client.connected and client.session.owed > _MOST_OWED for client in self.hub.clients.values())

    def _work(self, now_ms: int) -> None:
        for _ in range(_TICKS_A_ROUND):
            if self._fleet.next_ms > now_ms or self._held_up():
                return
            live = self._fleet.next_ms > self._live_ms
            samples = self._fleet.tick(live=live)
            if live:
                self._flush()
                self._offer(samples)
            else:
                self._logged += samples
                if self._fleet.at_ms - self._logged_since_ms >= _HISTORY_CHUNK_MS:
                    self._flush()

    def _flush(self) -> None:
        self._logged_since_ms = self._fleet.at_ms
        if self._logged:
            logged, self._logged = self._logged, []
            self._offer(logged)

    def _offer(self, samples: Iterable[Sample]) -> None:
        for gateway, pack in packs(sample for sample in samples if sample.gateway in self.hub.clients):
            if self.hub.clients[gateway].session.offer({"senml": pack}):
                self.summary.samples += len(pack)
            else:
                self.summary.dropped += len(pack)
                self._dropped.setdefault(gateway, _Dropped()).add(pack)

    def _hand_over_events(self, now_ms: int) -> None:
        """Hand over what happened up to the instant the samples have reached, never ahead of them."""
        until_ms = min(now_ms, self._fleet.at_ms)
        if until_ms > self._events_until_ms:
            events = journeys(self._fleet.county, self._events_until_ms, until_ms)
            for event in events:
                if event.gateway in self._events:
                    self._events[event.gateway].append(event)
            self._events_until_ms = until_ms
        for gateway, waiting in self._events.items():
            session = self.hub.clients[gateway].session
            while waiting and session.offer({"epcis": waiting[0].document}):
                waiting.popleft()
                self.summary.events += 1

    def _declare_dropped(self) -> None:
        for gateway in list(self._dropped):
            session = self.hub.clients[gateway].session
            if session.room > 0 and session.offer({"lost": self._dropped[gateway].loss()}):
                del self._dropped[gateway]

    def _remember(self) -> None:
        """Keep how far everything is answered, so that a later start goes on from there."""
        if self._state is None or self._time.elapsed_s() - self._saved_s < _SAVE_EVERY_S:
            return
        if self._unsettled:
            return
        self._saved_s = self._time.elapsed_s()
        fresh = self._state.with_suffix(".new")
        try:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"until_ms": self._fleet.at_ms}), encoding="utf-8")
            fresh.replace(self._state)
        except OSError as error:  # a later start repeats more; the run itself goes on
            log(_logger, logging.WARNING, "firmware_sim.state.unwritable", f"{self._state}: {error}")


@dataclass(slots=True)
class _Dropped:
    """Values a device had no room for."""

    count: int = 0
    from_ms: int | None = None
    to_ms: int | None = None

    def add(self, pack: list[dict[str, Any]]) -> None:
        base_ms = round(pack[0]["bt"] * 1000)
        times = [base_ms + round(record.get("t", 0) * 1000) for record in pack]
        self.count += len(pack)
        self.from_ms = min(times) if self.from_ms is None else min(self.from_ms, *times)
        self.to_ms = max(times) if self.to_ms is None else max(self.to_ms, *times)

    def loss(self) -> dict[str, Any]:
        return {"reason": "device_buffer_full", "count": self.count, "from_ms": self.from_ms, "to_ms": self.to_ms}
