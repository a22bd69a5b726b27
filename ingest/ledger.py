"""The accounts of the gateways' spools: locked, read, and settled, in the transaction that stores the readings.

For each spool: how far its messages are committed, what is missing, and what became of its readings. Once nothing is
missing, produced = stored + duplicate + declared lost + dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hanlu.db.pool import Connection
from hanlu.db.queries import Queries
from hanlu.ingest.account import Range, Standing, advance
from hanlu.ingest.chain import Link, Links
from hanlu.ingest.message import Accepted, Spool

__all__ = ["Tally", "add_links", "lock_accounts", "read_digests", "settle_accounts"]


@dataclass(slots=True)
class Account:
    """One spool's account as it was when the transaction began.

    Attributes:
        standing: what has arrived.
        produced: the gateway's claim at the highest seq, readings.
        since: when each gap was first seen.
    """

    standing: Standing
    produced: int
    since: dict[Range, datetime]


@dataclass(slots=True)
class Tally:
    """What a batch brought for one spool; messages in `repeated`, readings in the others."""

    seqs: list[int]
    produced: int = 0
    produced_at: int = 0
    stored: int = 0
    duplicate: int = 0
    lost: int = 0
    dead: int = 0
    repeated: int = 0


def lock_accounts(connection: Connection, queries: Queries, spools: Iterable[Spool]) -> dict[Spool, Account]:
    """Return the accounts of `spools`, locked until the transaction ends; those of new spools are opened."""
    wanted = sorted(set(spools))
    if not wanted:
        return {}
    accounts = _locked(connection, queries, wanted)
    new = [spool for spool in wanted if spool not in accounts]
    if new:
        connection.execute(queries["open_spools"], _columns(new))
        accounts = _locked(connection, queries, wanted)
    holed = [spool for spool, (watermark, highest, _) in accounts.items() if watermark < highest]
    gaps: dict[Spool, dict[Range, datetime]] = {}
    if holed:
        for gateway_id, epoch, first, last, since in connection.execute(queries["list_gaps"], _columns(holed)):
            gaps.setdefault((gateway_id, epoch), {})[(first, last)] = since
    return {
        spool: Account(Standing(highest, tuple(gaps.get(spool, {}))), produced, gaps.get(spool, {}))
        for spool, (_, highest, produced) in accounts.items()
    }


def add_links(connection: Connection, queries: Queries, places: Sequence[tuple[Spool, int]], links: Links) -> None:
    """Look up the messages at `places` and add those that have arrived to `links`, gone arrivals included."""
    if not places:
        return
    columns = _columns([spool for spool, _ in places]) | {"seqs": [seq for _, seq in places]}
    for gateway_id, epoch, seq, digest, prev in connection.execute(queries["list_links"], columns):
        if digest is not None:
            links.setdefault((gateway_id, epoch), {})[seq] = Link(digest, prev)


def read_digests(connection: Connection, queries: Queries, messages: Sequence[Accepted]) -> set[tuple[int, bytes]]:
    """Return gateway and digest of those of `messages` that arrived before without a number."""
    if not messages:
        return set()
    columns = {"gateway_ids": [each.gateway_id for each in messages], "digests": [each.digest for each in messages]}
    return set(connection.execute(queries["list_digests"], columns))


def settle_accounts(
    connection: Connection, queries: Queries, accounts: Mapping[Spool, Account], tallies: Mapping[Spool, Tally]
) -> dict[Spool, Standing]:
    """Add what a batch brought and return how the spools stand now."""
    if not tallies:
        return {}
    standings = {spool: advance(accounts[spool].standing, tally.seqs) for spool, tally in tallies.items()}
    spools, counts = list(tallies), list(tallies.values())
    columns = _columns(spools) | {
        "watermarks": [standings[spool].watermark for spool in spools],
        "highests": [standings[spool].highest for spool in spools],
        "produced": [_claim(accounts[spool], tallies[spool]) for spool in spools],
        "stored": [each.stored for each in counts],
        "duplicate": [each.duplicate for each in counts],
        "lost": [each.lost for each in counts],
        "dead": [each.dead for each in counts],
        "redelivered": [each.repeated for each in counts],
    }
    connection.execute(queries["settle_spools"], columns)
    _settle_gaps(connection, queries, accounts, standings)
    return standings


def _locked(connection: Connection, queries: Queries, spools: Sequence[Spool]) -> dict[Spool, tuple[int, int, int]]:
    rows = connection.execute(queries["lock_spools"], _columns(spools))
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def _claim(account: Account, tally: Tally) -> int:
    return tally.produced if tally.produced_at > account.standing.highest else account.produced


def _settle_gaps(
    connection: Connection, queries: Queries, accounts: Mapping[Spool, Account], standings: Mapping[Spool, Standing]
) -> None:
    closed: list[tuple[Spool, Range]] = []
    opened: list[tuple[Spool, Range]] = []
    for spool, standing in standings.items():
        before = accounts[spool].standing.gaps
        if before == standing.gaps:
            continue
        kept, starts = set(before), {first for first, _ in standing.gaps}
        closed += [(spool, gap) for gap in before if gap[0] not in starts]
        opened += [(spool, gap) for gap in standing.gaps if gap not in kept]
    if closed:
        columns = _columns([spool for spool, _ in closed]) | {"from_seqs": [gap[0] for _, gap in closed]}
        connection.execute(queries["close_gaps"], columns)
    if opened:
        columns = _columns([spool for spool, _ in opened]) | {
            "from_seqs": [gap[0] for _, gap in opened],
            "to_seqs": [gap[1] for _, gap in opened],
            "since": [_age(accounts[spool], gap) for spool, gap in opened],
        }
        connection.execute(queries["open_gaps"], columns)


def _age(account: Account, gap: Range) -> datetime | None:
    """Return since when the older gap is known that `gap` is a part of."""
    return next((since for (first, last), since in account.since.items() if first <= gap[0] <= last), None)


def _columns(spools: Sequence[Spool]) -> dict[str, object]:
    return {"gateway_ids": [spool[0] for spool in spools], "epochs": [spool[1] for spool in spools]}
