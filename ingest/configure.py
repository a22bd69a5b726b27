"""Sending gateways the configuration the registry holds for them.

What shall be stands in the registry, what is a gateway says at its birth; the difference is sent, less and less often,
until the gateway names that version or says that it cannot be. Nothing here waits for an answer, so that a gateway that
was away for days is configured when it comes back. Two keepers send once: whoever gets the row in the database does.
"""

from __future__ import annotations

import logging
from typing import Final

from hanlu.core.observe import log
from hanlu.core.wire.documents import Command
from hanlu.core.wire.topics import Lane, Topic
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import Queries
from hanlu.ingest.gaps import Post, pause_s, pauses
from hanlu.ingest.keeper_config import KeeperConfig

__all__ = ["send_configurations"]

_log = logging.getLogger(__name__)

_MOST: Final = 100
"""Gateways looked at in one round."""


def send_configurations(connection: Connection, queries: Queries, config: KeeperConfig, post: Post) -> int:
    """Send those gateways their configuration that have another one; return how many.

    Args:
        connection: in autocommit.
        queries: of this room.
        config: of the keeper.
        post: takes the commands.

    Raises:
        TransientError: the database is away.
    """
    sent = 0
    with translated():
        rows = connection.execute(
            queries["unconfigured"], {"most": _MOST} | pauses(config.rebirth_s, config)
        ).fetchall()
        for gateway_id, code, partition, version, text, asked, asked_s in rows:
            pause = pause_s(config.rebirth_s, config.gap_ask_max_s, asked)
            if asked_s is not None and asked_s < pause:
                continue
            claim = {"gateway_id": gateway_id, "version": version, "pause_s": pause}
            if connection.execute(queries["claim_configure"], claim).fetchone() is None:
                continue
            command = Command(action="configure", version=version, config=text)
            post(Topic(partition, code, Lane.COMMAND), command.model_dump_json(exclude_none=True).encode())
            log(_log, logging.INFO, "ingest.gateway.configured", "sent a configuration", gateway=code, version=version)
            sent += 1
    return sent
