"""An export on its way: rows become lines, lines are sent until each has its answer.

Exact across kills: a line without an answer is sent again, and what the gateway has twice the platform counts once: a
value by its channel and time, a declared loss by its source, which names the file's digest and the rows. Losses are
declared for the same stretches of rows at every speed, so that a file played twice loses nothing twice.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import TransientError
from hanlu.core.observe import log
from hanlu.firmware_sim.line_client import Connect, LineClient, LineHub
from hanlu.firmware_sim.line_session import LineSession
from hanlu.firmware_sim.replay.mapping import Column, Kind
from hanlu.firmware_sim.replay.plan import Plan, rows_of
from hanlu.firmware_sim.replay.reader import Invalid, Reason, Row, Value

__all__ = ["ROWS_IN_A_PACK", "Body", "Summary", "bodies", "play", "tqdm_progress"]

_logger = logging.getLogger(__name__)

ROWS_IN_A_PACK: Final = 100
_PACK_BYTES: Final = 48_000
"""Estimated size at which a pack is closed; a line may have 65,536."""
_AHEAD: Final = 300
"""Lines made ready beyond those answered."""
_MAX_DETAIL: Final = 900
_TEXTS_QUOTED: Final = 3


@dataclass(frozen=True, slots=True)
class Body:
    """One line's content.

    Attributes:
        content: `senml` or `lost`.
        rows: rows that count as sent with this line.
        values: values in it.
        invalid: cells it declares lost, by reason.
        observed_ms: latest time in it, where it has one.
    """

    content: dict[str, Any]
    rows: int = 0
    values: int = 0
    invalid: Counter[Reason] = field(default_factory=Counter)
    observed_ms: int | None = None


@dataclass(slots=True)
class Summary:
    """What was answered.

    Attributes:
        rows: rows taken.
        values: values taken by the gateway.
        invalid: cells declared lost, by reason.
        lines: lines taken.
        sent_again: lines sent more than once after a broken connection.
        refused: values and declared cells in lines the gateway refused for good, by its reason.
        complete: everything in the plan has its answer and nothing was refused.
    """

    rows: int = 0
    values: int = 0
    invalid: Counter[Reason] = field(default_factory=Counter)
    lines: int = 0
    sent_again: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    complete: bool = False


def bodies(rows: Iterable[Row], source: str, rows_in_a_pack: int = ROWS_IN_A_PACK) -> Iterator[Body]:
    """Yield the lines for `rows`: values of up to `rows_in_a_pack` rows each, and after a stretch what is lost of it.

    Args:
        rows: of one file, in its order.
        source: what a declared loss says it comes from, e.g. the file's name and digest.
        rows_in_a_pack: 1 or more.
    """
    remaining = iter(rows)
    while stretch := list(islice(remaining, max(ROWS_IN_A_PACK, rows_in_a_pack))):
        yield from _stretch(stretch, source, rows_in_a_pack)


def play(
    plan: Plan,
    connect: Connect,
    progress: Callable[[int], None],
    stop: threading.Event,
    *,
    speed: float | None = None,
    patience_s: float = 120.0,
    clock: Clock | None = None,
) -> Summary:
    """Send the plan's file through a gateway and return when everything has its answer.

    Args:
        plan: of the file.
        connect: makes a connection to the gateway's line driver.
        progress: called with rows that were answered since the last call.
        stop: ends early, with what was answered so far.
        speed: recorded seconds per second; None plays as fast as the gateway takes it.
        patience_s: seconds without any answer, while one is owed, after which to give up.
        clock: for `speed` and `patience_s`.

    Raises:
        ConflictError: the file has changed since it was planned.
        TransientError: the gateway did not answer for `patience_s`.
    """
    clock = clock or SystemClock()
    session = LineSession(capacity=_AHEAD)
    hub = LineHub({"replay": LineClient("replay", connect, session, clock)})
    rows = rows_of(plan.path, plan.mapping, plan.now_ms, sha256=plan.sha256)
    source = f"{plan.path.name} sha256:{plan.sha256[:16]}"
    waiting = bodies(rows, source, ROWS_IN_A_PACK if speed is None else 1)
    player = _Player(session, hub, waiting, _Pace(plan.first_ms, speed, clock), progress)
    try:
        player.run(stop, patience_s, clock)
    finally:
        hub.close()
    summary = player.summary
    summary.sent_again = session.counts["sent_again"]
    summary.complete = player.done and not summary.refused and summary.values == plan.values
    return summary


def tqdm_progress(total_rows: int, label: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return (progress, close) of a progress bar on standard error, counting rows."""
    from tqdm import tqdm

    bar = tqdm(total=total_rows, unit="row", desc=label, dynamic_ncols=True)

    def progress(rows: int) -> None:
        bar.update(rows)

    return progress, bar.close


class _Pace:
    """When a line may go."""

    def __init__(self, first_ms: int | None, speed: float | None, clock: Clock) -> None:
        self._first_ms, self._speed, self._clock = first_ms, speed, clock
        self._begun = clock.monotonic()

    def wait_s(self, observed_ms: int | None) -> float:
        """Return seconds until a line of `observed_ms` is due; 0 when it is."""
        if self._speed is None or observed_ms is None or self._first_ms is None:
            return 0.0
        due_s = (observed_ms - self._first_ms) / 1000 / self._speed
        return max(0.0, due_s - (self._clock.monotonic() - self._begun))


class _Player:
    """Keeps the session filled and books the answers."""

    def __init__(
        self, session: LineSession, hub: LineHub, waiting: Iterator[Body], pace: _Pace, progress: Callable[[int], None]
    ) -> None:
        self.summary = Summary()
        self.done = False
        self._session, self._hub, self._waiting, self._pace, self._progress = session, hub, waiting, pace, progress
        self._next = next(waiting, None)
        self._open: deque[tuple[int, Body]] = deque()
        self._answered: dict[int, tuple[str | None, str]] = {}

    def run(self, stop: threading.Event, patience_s: float, clock: Clock) -> None:
        heard = clock.monotonic()
        while not stop.is_set():
            wait_s = self._fill()
            if self._next is None and not self._open:
                self.done = True
                return
            answers = self._hub.pump(min(0.2, wait_s) if wait_s else 0.2)
            for _, answer in answers:
                # The session has matched an answer without an id to the oldest line already.
                line_id = answer.id if answer.id is not None else self._oldest()
                self._answered[line_id] = (answer.reason, answer.detail)
            self._book()
            if answers or not self._open:
                heard = clock.monotonic()
            elif clock.monotonic() - heard > patience_s:
                raise TransientError(f"the gateway has not answered for {patience_s:.0f} s")

    def _fill(self) -> float:
        """Offer what is due and fits; return seconds until the next line is due."""
        while self._next is not None and self._session.room:
            wait_s = self._pace.wait_s(self._next.observed_ms)
            if wait_s > 0:
                return wait_s
            line_id = self._session.offer(self._next.content, replay=True)
            assert line_id is not None  # there was room
            self._open.append((line_id, self._next))
            self._next = next(self._waiting, None)
        return 0.0

    def _oldest(self) -> int:
        return next(line_id for line_id, _ in self._open if line_id not in self._answered)

    def _book(self) -> None:
        """Book answered lines in the order of the file, so that progress means rows that are safe."""
        rows = 0
        while self._open and self._open[0][0] in self._answered:
            line_id, body = self._open.popleft()
            reason, detail = self._answered.pop(line_id)
            if reason is None:
                self.summary.lines += 1
                self.summary.values += body.values
                self.summary.invalid.update(body.invalid)
                rows += body.rows
            else:
                self.summary.refused[reason] += body.values + body.invalid.total()
                log(_logger, logging.ERROR, "firmware_sim.replay.refused", f"the gateway refused: {reason} {detail}")
        if rows:
            self.summary.rows += rows
            self._progress(rows)


def _stretch(rows: Sequence[Row], source: str, rows_in_a_pack: int) -> Iterator[Body]:
    """Yield one stretch's lines: packs, then losses. Rows count with their pack, rows without values with what follows.

    Where one pack holds the whole stretch, as at full speed, the last line counts all its rows.
    """
    made: list[Body] = []
    losses = list(_losses(rows, source))
    uncounted = 0
    for start in range(0, len(rows), rows_in_a_pack):
        batch = rows[start : start + rows_in_a_pack]
        uncounted += len(batch)
        made += _packs(batch)
        if len(batch) < len(rows) and made:
            made[-1] = replace(made[-1], rows=made[-1].rows + uncounted)
            uncounted = 0
    made += losses
    made[-1] = replace(made[-1], rows=made[-1].rows + uncounted)
    yield from made


def _packs(rows: Sequence[Row]) -> Iterator[Body]:
    by_device: dict[str, list[tuple[int, Value]]] = {}
    for row in rows:
        for cell in row.cells:
            if isinstance(cell, Value):
                assert row.observed_ms is not None  # a row without a time has no values
                by_device.setdefault(cell.column.device, []).append((row.observed_ms, cell))
    for device, values in by_device.items():
        start = size = 0
        for position, (_, cell) in enumerate(values):
            size += 56 + len(cell.column.metric) + len(cell.column.unit)
            if size > _PACK_BYTES:
                yield _pack(device, values[start:position])
                start, size = position, 0
        yield _pack(device, values[start:])


def _pack(device: str, values: Sequence[tuple[int, Value]]) -> Body:
    base_ms = values[0][0]
    records: list[dict[str, Any]] = []
    for observed_ms, (column, value) in values:
        record: dict[str, Any] = {} if records else {"bn": f"{device}/", "bt": _seconds(base_ms)}
        record["n"] = column.metric
        if observed_ms != base_ms:
            record["t"] = _seconds(observed_ms - base_ms)
        if column.kind is Kind.BOOLEAN:
            record["vb"] = value == 1.0
        else:
            if column.unit:
                record["u"] = column.unit
            record["v"] = value
        records.append(record)
    return Body({"senml": records}, values=len(values), observed_ms=max(at for at, _ in values))


def _losses(rows: Sequence[Row], source: str) -> Iterator[Body]:
    """Yield one declared loss for each column and reason in `rows`."""
    lost: dict[tuple[Column, Reason], list[tuple[Row, Invalid]]] = {}
    for row in rows:
        for cell in row.cells:
            if isinstance(cell, Invalid):
                lost.setdefault((cell.column, cell.reason), []).append((row, cell))
    for (column, reason), cells in lost.items():
        times = [row.observed_ms for row, _ in cells if row.observed_ms is not None]
        content: dict[str, Any] = {"reason": reason.value, "count": len(cells), "channel": column.channel}
        if times:
            content |= {"from_ms": min(times), "to_ms": max(times)}
        numbers = [row.number for row, _ in cells]
        content["detail"] = _detail(source, numbers, [cell.text for _, cell in cells])
        content["source"] = f"sha256:{hashlib.sha256(f'{source} {numbers}'.encode()).hexdigest()[:32]}"
        invalid = Counter({reason: len(cells)})
        yield Body({"lost": content}, invalid=invalid, observed_ms=max(times, default=None))


def _detail(source: str, numbers: Sequence[int], texts: Sequence[str]) -> str:
    """Return e.g. `L1.csv sha256:ab12 rows 12-40, 55: '---'`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    rows = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
    distinct = list(dict.fromkeys(texts))
    quoted = ", ".join(repr(text) for text in distinct[:_TEXTS_QUOTED])
    more = f" and {len(distinct) - _TEXTS_QUOTED} other texts" if len(distinct) > _TEXTS_QUOTED else ""
    return f"{source} rows {rows}: {quoted}{more}"[:_MAX_DETAIL]


def _seconds(ms: int) -> float | int:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
