"""Deletes arrivals that have served their time, and remembers of each just enough to know the message again.

An arrival goes when it is older than the rule for all allows, everybody who follows the arrivals has passed it, and
nothing speaks of it any more: it carries no event, declares no loss, no dead letter and no replay refers to it, and no
reading of it is held. Of a numbered message the first 8 bytes of its digest stay, in `telemetry.arrival_gone`: the
gateway that sends it again after years is told that it is here, its readings count once, and a copied spool that
numbers other messages the same way is still found out. The newest message of each spool stays, because receipts quote
its digest. Bare messages need nothing: their readings are known by channel and time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from hanlu.core.clock import from_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.ingest.history.plan import DAY_MS

__all__ = ["OldArrivals", "Run", "find_old", "forget", "runs_of"]

_QUERIES = load_queries("hanlu.ingest.history")
_PAGE: Final = 5_000
"""Arrivals looked at, and deleted at most, in one transaction."""

_SHARE: Final = 0.5
"""Most of a database process's time spent on it."""

RUN: Final = 200
"""Messages in one row of `telemetry.arrival_gone`: 1.6 kB of digests, which stay within the row."""


class Run(NamedTuple):
    """Messages one after the other: the first seq, the last, and the beginnings of their digests in order."""

    from_seq: int
    to_seq: int
    digests: bytes


class _Row(NamedTuple):
    arrival_id: int
    seq: int
    digest: bytes
    is_old: bool
    may_go: bool


@dataclass(frozen=True, slots=True)
class OldArrivals:
    """What of the arrivals has served its time.

    Attributes:
        before_ms: recorded before this instant, Unix milliseconds; None: they are kept for ever.
        last_id: the newest of them; 0 for none.
        about: how many there are, from the database's own statistics.
        followed: up to which transaction and arrival everybody has followed.
        waits_for: followers that have not passed all of them; what they have not seen stays.
    """

    before_ms: int | None
    last_id: int = 0
    about: int = 0
    followed: tuple[str, int] = ("0", 0)
    waits_for: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what a person wants to know of it, and what the audit keeps."""
        return {
            "before": None if self.before_ms is None else from_ms(self.before_ms).isoformat(),
            "rows_about": self.about,
            "waits_for": list(self.waits_for),
        }


def find_old(connection: Connection, days: int | None, now_ms: int) -> OldArrivals:
    """Return which arrivals have served their time.

    Args:
        connection: acting as the installing user, in autocommit.
        days: arrivals are kept; None for ever.
        now_ms: the time from which days are counted back.
    """
    if days is None:
        return OldArrivals(None)
    before_ms = now_ms - days * DAY_MS
    cut = {"cut": from_ms(before_ms)}
    bounds = connection.execute(_QUERIES["forget_bounds"]).fetchone()
    oldest = connection.execute(_QUERIES["forget_probe"], cut | {"arrival_id": 0}).fetchone()
    if bounds is None or oldest is None or not oldest[1]:
        return OldArrivals(before_ms)
    first, last, estimate = bounds
    # Numbers rise with the time of recording, but for transactions that overlap: seconds, of many days.
    low, high = oldest[0], last
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(_QUERIES["forget_probe"], cut | {"arrival_id": middle}).fetchone()
        if row is not None and row[1]:
            low = row[0]
        else:
            high = middle - 1
    about = round(max(estimate, 0) * (low - first + 1) / (last - first + 1))
    followers = connection.execute(_QUERIES["forget_followers"], {"last_id": low}).fetchall()
    behind = tuple(name for name, _, _, has_passed in followers if not has_passed)
    return OldArrivals(before_ms, low, about, (followers[0][1], followers[0][2]), behind)


def forget(connection: Connection, old: OldArrivals) -> Iterator[int]:
    """Delete what may go; yield after every transaction how many arrivals it deleted.

    Args:
        connection: acting as the installing user, in autocommit.
        old: found just now on this connection.
    """
    if not old.last_id:
        return
    held = connection.execute(_QUERIES["forget_any_hold"]).fetchone() == (True,)
    limits = {"last_id": old.last_id, "txid": old.followed[0], "arrival_id": old.followed[1], "held": held}
    limits["page"] = _PAGE
    for gateway_id, epoch, watermark in connection.execute(_QUERIES["forget_spools"]).fetchall():
        spool = {"gateway_id": gateway_id, "epoch": epoch, "watermark": watermark}
        yield from _of_spool(connection, limits | spool)
    yield from _bare(connection, limits)


def runs_of(rows: Sequence[tuple[int, bytes, bool]], most: int = RUN) -> list[Run]:
    """Return the runs that hold messages: rows one after the other, no longer than `most`, with one that goes in each.

    Args:
        rows: seq, beginning of the digest and whether it goes, by seq, none of them in a run already.
        most: messages in a run.
    """
    if not rows:
        return []
    cuts = [0]
    for place, (before, after) in enumerate(pairwise(rows), 1):
        if after[0] != before[0] + 1 or place - cuts[-1] >= most:
            cuts.append(place)
    pieces = [rows[begin:end] for begin, end in pairwise([*cuts, len(rows)])]
    return [
        Run(piece[0][0], piece[-1][0], b"".join(digest for _, digest, _ in piece))
        for piece in pieces
        if any(goes for _, _, goes in piece)
    ]


def _of_spool(connection: Connection, values: dict[str, Any]) -> Iterator[int]:
    """Go through a spool in its own order, so that runs are long."""
    after = 0
    while True:
        begun = time.monotonic()
        page = [_Row(*row) for row in connection.execute(_QUERIES["forget_page"], values | {"after": after})]
        if not any(row.is_old for row in page):
            return
        after = page[-1].seq
        if gone := [row.arrival_id for row in page if row.may_go]:
            with connection.transaction():
                _remember(connection, values, [row for row in page if row.is_old])
                count = connection.execute(_QUERIES["forget_delete"], {"arrival_ids": gone}).rowcount
            yield count
            time.sleep((time.monotonic() - begun) * (1 / _SHARE - 1))
        if len(page) < _PAGE:
            return


def _remember(connection: Connection, values: dict[str, Any], rows: Sequence[_Row]) -> None:
    bounds = {"from_seq": rows[0].seq, "to_seq": rows[-1].seq}
    known = connection.execute(_QUERIES["forget_known"], values | bounds).fetchall()
    fresh = [
        (row.seq, row.digest, row.may_go)
        for row in rows
        if not any(from_seq <= row.seq <= to_seq for from_seq, to_seq in known)
    ]
    if runs := runs_of(fresh):
        connection.execute(
            _QUERIES["forget_remember"],
            {
                "gateway_id": values["gateway_id"],
                "epoch": values["epoch"],
                "from_seqs": [run.from_seq for run in runs],
                "to_seqs": [run.to_seq for run in runs],
                "digests": [run.digests for run in runs],
            },
        )


def _bare(connection: Connection, values: dict[str, Any]) -> Iterator[int]:
    """Go through what is left of the old ones in order, and delete those without a number."""
    after = 0
    while True:
        begun = time.monotonic()
        row = connection.execute(_QUERIES["forget_bare"], values | {"after": after}).fetchone()
        if row is None or row[0] is None:
            return
        after = row[0]
        if row[1]:
            yield int(row[1])
            time.sleep((time.monotonic() - begun) * (1 / _SHARE - 1))
