"""Signed messages left out by the throttle, counted: nothing is lost by it, and a person should know all the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hanlu.core.limits import CODE_PATTERN
from hanlu.db.pool import Connection
from hanlu.db.queries import Queries
from hanlu.ingest.message import Left, Outcome

__all__ = ["count_left"]

_CODE: Final = re.compile(CODE_PATTERN)


def count_left(connection: Connection, queries: Queries, outcomes: Iterable[Outcome]) -> None:
    """Count what a batch left out, by gateway; one statement, and none where nothing was left out.

    Names no gateway has are not counted: whoever invents some fills no table.

    Args:
        connection: in the batch's transaction.
        queries: of this room.
        outcomes: of the batch.
    """
    counts: dict[str, list[int]] = {}
    for each in outcomes:
        if isinstance(each, Left) and _CODE.fullmatch(each.gateway):
            counts.setdefault(each.gateway, []).append(each.received_ms)
    if counts:
        connection.execute(
            queries["count_left"],
            {
                "gateways": list(counts),
                "messages": [len(each) for each in counts.values()],
                "first_ms": [min(each) for each in counts.values()],
                "last_ms": [max(each) for each in counts.values()],
            },
        )
