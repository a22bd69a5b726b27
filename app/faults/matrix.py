"""Plays the faults, one round after another on one stage, and holds each round against the record."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from hanlu.app.faults.catalogue import Fault, Scene
from hanlu.app.faults.devices import Devices, Series, excursion, steady
from hanlu.app.faults.special import Special
from hanlu.app.faults.stage import LIVE, REPLAY, Stage
from hanlu.app.faults.verdict import Account, Verdict, judge
from hanlu.core.clock import SystemClock
from hanlu.db.queries import load_queries

__all__ = ["Played", "Report", "figures", "play", "play_special", "sequence"]

REPLAYED: Final = 240
"""Readings of the recorded room in one round, five seconds apart: twenty minutes with one excursion."""
MEASURED: Final = 120
"""Readings of the room that is measured now."""
SPAN_S: Final = 0.8
"""Over which they are told."""
DRAIN_S: Final = 120.0
"""After the fault is mended everything must be on record within so many seconds."""
KNOWN_S: Final = 1.5
"""After which ingest may look a new name up again."""
ROUND_MS: Final = 1_800_000
"""Recorded time between the beginnings of two rounds."""

_QUERIES = load_queries("hanlu.app.faults")
_LINES_AT_ONCE: Final = 200
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Played:
    """One round.

    Attributes:
        fault: its name.
        seconds: from the first reading to the last on record.
        verdict: what it showed.
    """

    fault: str
    seconds: float
    verdict: Verdict


@dataclass(slots=True)
class Report:
    """All rounds.

    Attributes:
        rounds: in their order.
        skipped: faults that could not be played here, with the reason.
    """

    rounds: list[Played] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> Verdict:
        """All rounds together."""
        return sum((each.verdict for each in self.rounds), Verdict())

    def by_fault(self) -> dict[str, tuple[int, Verdict, float]]:
        """Return for each fault its rounds, its verdict and the seconds of its slowest round."""
        found: dict[str, tuple[int, Verdict, float]] = {}
        for each in self.rounds:
            count, verdict, slowest = found.get(each.fault, (0, Verdict(), 0.0))
            found[each.fault] = count + 1, verdict + each.verdict, max(slowest, each.seconds)
        return found


def sequence(faults: Sequence[Fault], rounds: int, shuffle: Callable[[list[Fault]], None]) -> list[Fault]:
    """Return which fault is played in which round: each once, then the quick ones in turns, in random order."""
    order = list(faults)
    shuffle(order)
    quick = [fault for fault in faults if not fault.slow]
    while len(order) < rounds and quick:
        turn = list(quick)
        shuffle(turn)
        order += turn
    return order[:rounds]


def play(stage: Stage, devices: Devices, number: int, fault: Fault) -> Played:
    """Play one round: devices speak, the fault strikes and is mended, all is drained, the record is judged."""
    clock = SystemClock()
    device = f"room-{number}"
    before = {code: _account(stage, code) for code in (REPLAY, LIVE)}
    recorded = excursion(device, _first_ms(clock.now_ms()) + number * ROUND_MS, 5_000, REPLAYED, stage.chance)
    measured = steady(device, clock.now_ms(), round(SPAN_S * 1000 / MEASURED), MEASURED, stage.chance)
    begun = time.monotonic()
    with _told(devices, {REPLAY: recorded, LIVE: measured}, SPAN_S):
        fault.strike(Scene(stage, SPAN_S))
    late = _drained(stage, devices)
    seconds = time.monotonic() - begun
    verdict = sum(
        (_judged(stage, code, series, before[code]) for code, series in ((REPLAY, recorded), (LIVE, measured))),
        Verdict(),
    )
    return Played(fault.name, seconds, verdict + _alarms(stage, recorded) + late)


def play_special(stage: Stage, devices: Devices, special: Special) -> Played:
    """Play a trial with a gateway of its own."""
    code = f"faults-{special.name}"
    clock = SystemClock()
    stage.broker.add_gateways((code,))
    with ExitStack() as stack:
        edge = special.prepare(stage, stack, code)
        stack.callback(stage.edges.pop, code)
        stack.callback(edge.child.stop)
        stage.add_rooms(code, ["room"])
        edge.child.start()
        time.sleep(KNOWN_S)
        devices.add(code, edge.connect)
        before = _account(stage, code)
        count = special.readings
        step_ms = round(special.age_s * 1000 / count) or 1
        first_ms = clock.now_ms() - round(special.age_s * 1000)
        series = steady("room", first_ms, step_ms, count, stage.chance)
        span_s = SPAN_S if count <= 1_000 else 4.0
        begun = time.monotonic()
        with _told(devices, {code: series}, span_s):
            special.strike(Scene(stage, span_s), edge)
        late = _drained(stage, devices)
        seconds = time.monotonic() - begun
        return Played(special.name, seconds, _judged(stage, code, series, before) + late)


@contextmanager
def _told(devices: Devices, series: Mapping[str, Series], span_s: float) -> Iterator[None]:
    """Let the devices speak over `span_s` seconds while the block runs; both have ended afterwards."""
    lines = {code: each.lines(4) for code, each in series.items()}
    failure: list[BaseException] = []

    def tell() -> None:
        steps = max(len(each) for each in lines.values())
        size = max(1, steps // _LINES_AT_ONCE)
        try:
            for at in range(0, steps, size):
                for code, each in lines.items():
                    devices.send(code, each[at : at + size])
                time.sleep(span_s * size / steps)
        except BaseException as error:  # noqa: BLE001 - raised below
            failure.append(error)

    thread = threading.Thread(target=tell, name="tell")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failure:
        raise failure[0]


def _drained(stage: Stage, devices: Devices) -> Verdict:
    """Wait until nothing is on its way any more; a verdict with a remark when that takes too long."""
    end = time.monotonic() + DRAIN_S
    answered_s: float | None = None
    while time.monotonic() < end:
        time.sleep(_POLL_S)
        if devices.owed():
            answered_s = None
            continue
        # What a gateway said of its spool before the last device was answered is not the last word.
        answered_s = answered_s or time.monotonic()
        if all(edge.pending(answered_s) == 0 for edge in stage.edges.values()) and _unjudged(stage) == 0:
            return Verdict()
    waiting = {code: edge.pending() for code, edge in stage.edges.items()}
    remark = f"not drained after {DRAIN_S:.0f} s: {devices.owed()} lines owed, messages pending {waiting}"
    return Verdict(unexplained=1, remarks=(remark,))


def _judged(stage: Stage, code: str, series: Series, before: Account) -> Verdict:
    found = dict(stage.rows(_QUERIES["found"], {"gateway": code, "device": series.device}))
    return judge(dict(series.points), found, before, _account(stage, code))


def _alarms(stage: Stage, series: Series) -> Verdict:
    """Hold the alarms of a recorded room against its only excursion."""
    found = stage.rows(_QUERIES["alarms"], {"gateway": REPLAY, "device": series.device})
    due = [(series.exceeded_ms, True)]
    if found == due:
        return Verdict(alarms_due=1)
    return Verdict(alarms_due=1, alarms_wrong=1, remarks=(f"alarms {found} where {due} was due",))


def _account(stage: Stage, code: str) -> Account:
    return Account(*stage.rows(_QUERIES["account"], {"gateway": code})[0])


def _unjudged(stage: Stage) -> int | None:
    try:
        return int(stage.rows(_QUERIES["unjudged"])[0][0])
    except psycopg.OperationalError:
        return None  # the database is on its way back


def _first_ms(now_ms: int) -> int:
    """Return where the recorded time begins: so far back that a thousand rounds end before now."""
    return (now_ms // ROUND_MS - 1_500) * ROUND_MS


def figures(report: Report) -> dict[str, Any]:
    """Return the report for machines."""
    total = report.total
    return {
        "rounds": len(report.rounds),
        "sent": total.sent,
        "stored": total.stored,
        "declared_lost": total.declared,
        "duplicates": total.duplicate,
        "lost": total.lost,
        "twice": total.twice,
        "unexplained": total.unexplained,
        "alarms": {"due": total.alarms_due, "wrong": total.alarms_wrong},
        "faults": {
            name: {
                "rounds": count,
                "lost": verdict.lost,
                "twice": verdict.twice,
                "unexplained": verdict.unexplained,
                "declared_lost": verdict.declared,
                "duplicates": verdict.duplicate,
                "alarms_wrong": verdict.alarms_wrong,
                "slowest_s": round(slowest, 2),
                "remarks": list(dict.fromkeys(verdict.remarks)),
            }
            for name, (count, verdict, slowest) in sorted(report.by_fault().items())
        },
        "skipped": report.skipped,
        "counts": dict(Counter(each.fault for each in report.rounds)),
    }
