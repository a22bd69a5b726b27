"""What is missing: asking for it, and saying in the end that it will not come.

A gateway that is connected and has not filled a gap after some time is told to send the range again, less and less
often; every step forward of its watermark begins the count anew. A gateway that signs and has never announced itself is
asked to. Two keepers ask once: whoever gets the row in the database does.

A spool that was replaced by a newer one (its gateway lost it, or began anew) will not fill its gaps: they are declared
lost, with the reason, and by the gateway's own running total it is known how many readings that makes. Should some of
them come after all, the account is corrected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import groupby
from typing import Final

from hanlu.core.observe import log
from hanlu.core.wire.documents import Command
from hanlu.core.wire.topics import Lane, Topic
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import Queries
from hanlu.ingest.keeper_config import KeeperConfig

__all__ = ["Post", "ask_for_births", "ask_for_gaps", "close_epoch", "close_replaced", "pause_s", "pauses"]

_log = logging.getLogger(__name__)

Post = Callable[[Topic, bytes], None]
"""Hands a command to whoever has a connection to the broker; may be called from any thread."""

_RANGES: Final = 10
"""Missing ranges asked for at once."""

_MOST: Final = 500
"""Rows looked at in one round."""


def pause_s(first_s: float, most_s: float, asked: int) -> float:
    """Return the seconds to wait after having asked so many times (0: none yet): doubling, up to `most_s`."""
    return 0.0 if asked == 0 else min(most_s, first_s * 2.0 ** min(asked - 1, 60))


def pauses(first_s: float, config: KeeperConfig) -> dict[str, float]:
    """Return what tells the database which pauses are over: `pause_s` in its own words."""
    return {"pause_s": first_s, "pause_most_s": config.gap_ask_max_s}


def ask_for_gaps(connection: Connection, queries: Queries, config: KeeperConfig, post: Post) -> int:
    """Tell gateways to send again what has been missing for too long; return how many were asked.

    Args:
        connection: in autocommit.
        queries: of this room.
        config: of the keeper.
        post: takes the commands.

    Raises:
        TransientError: the database is away.
    """
    with translated():
        closed = connection.execute(queries["forget_resends"]).rowcount
        rows = connection.execute(
            queries["stale_gaps"],
            {"age_s": config.gap_ask_s, "ranges": _RANGES, "most": _MOST} | pauses(config.gap_ask_s, config),
        ).fetchall()
        asked_gateways = 0
        for (gateway_id, epoch), group in groupby(rows, key=lambda row: (row[0], row[1])):
            ranges = list(group)
            _, _, code, partition, watermark, *_, asked, asked_s = ranges[0]
            pause = pause_s(config.gap_ask_s, config.gap_ask_max_s, asked)
            if asked_s is not None and asked_s < pause:
                continue
            claim = {"gateway_id": gateway_id, "epoch": epoch, "watermark": watermark, "pause_s": pause}
            if connection.execute(queries["claim_resend"], claim).fetchone() is None:
                continue
            for row in ranges:
                _command(post, code, partition, Command(action="resend", from_seq=row[5], to_seq=row[6]))
            asked_gateways += 1
            log(_log, logging.INFO, "ingest.gap.asked", "asked for what is missing", gateway=code, asked=asked + 1)
        if asked_gateways or closed:
            connection.execute(queries["announce_gaps"])
    return asked_gateways


def ask_for_births(connection: Connection, queries: Queries, config: KeeperConfig, post: Post) -> int:
    """Ask gateways that speak without ever having announced themselves to do so; return how many were asked.

    Raises:
        TransientError: the database is away.
    """
    with translated():
        connection.execute(queries["forget_rebirths"])
        bounds = {"age_s": config.rebirth_s, "most": _MOST} | pauses(config.rebirth_s, config)
        rows = connection.execute(queries["unannounced"], bounds).fetchall()
        count = 0
        for gateway_id, code, partition, asked, asked_s in rows:
            pause = pause_s(config.rebirth_s, config.gap_ask_max_s, asked)
            if asked_s is not None and asked_s < pause:
                continue
            claim = {"gateway_id": gateway_id, "pause_s": pause}
            if connection.execute(queries["claim_rebirth"], claim).fetchone() is not None:
                _command(post, code, partition, Command(action="rebirth"))
                count += 1
    return count


def close_replaced(connection: Connection, queries: Queries, config: KeeperConfig) -> int:
    """Declare lost what is missing of spools that a newer one replaced long enough ago; return how many.

    Raises:
        TransientError: the database is away.
    """
    with translated():
        rows = connection.execute(queries["replaced_epochs"], {"age_s": config.gap_lost_s, "most": _MOST}).fetchall()
        for gateway_id, epoch in rows:
            close_epoch(connection, queries, gateway_id, bytes(epoch), "epoch_replaced", "keeper")
        connection.execute(queries["correct_closed"])
    return len(rows)


def close_epoch(
    connection: Connection, queries: Queries, gateway_id: int, epoch: bytes, reason: str, done_by: str
) -> bool:
    """Declare lost all that is missing of a spool, and tell whether there is such a spool.

    Args:
        connection: in autocommit or in a transaction.
        queries: of this room.
        gateway_id: of the registry.
        epoch: of the spool.
        reason: why it will not come, snake_case.
        done_by: `keeper`, or the sign-in name of the person.

    Raises:
        TransientError: the database is away.
    """
    spool = {"gateway_id": gateway_id, "epoch": epoch}
    with translated(), connection.transaction():
        row = connection.execute(queries["lost_of_epoch"], spool).fetchone()
        if row is None:
            return False
        connection.execute(queries["close_epoch"], spool | {"lost": row[0], "reason": reason, "done_by": done_by})
        connection.execute(queries["announce_gaps"])
    log(_log, logging.WARNING, "ingest.gap.lost", "declared lost what is missing", gateway_id=gateway_id, reason=reason)
    return True


def _command(post: Post, code: str, partition: int, command: Command) -> None:
    body = command.model_dump_json(exclude_none=True).encode()
    post(Topic(partition, code, Lane.COMMAND), body)
