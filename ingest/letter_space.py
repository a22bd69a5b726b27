"""What dead letters may take: bodies go first, rows after them, and neither without a word.

The space of one gateway is held before that of all, so that one that talks nonsense cannot push others' letters out.
Within a gateway resolved letters go before open ones, old before new; beyond the space of all, the oldest resolved
ones of anybody, then the oldest of whoever has most. A letter without its body keeps reason, digest and counts; one
whose row goes as well is still counted (`folded`).
"""

from __future__ import annotations

import logging
from typing import Final

from hanlu.core.observe import log
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letters import Replayer

__all__ = ["hold_space"]

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
"""Letters dropped or folded in one round."""


def hold_space(replayer: Replayer, config: KeeperConfig) -> int:
    """Drop bodies and fold rows that are beyond the limits, at most some hundreds; return how many.

    Raises:
        TransientError: the database is away.
    """
    rows = replayer.space()
    done = 0
    for gateway, held_bytes, letters in rows:
        done += _hold(replayer, gateway, held_bytes - config.gateway_letter_bytes, fold=False, room=_AT_ONCE - done)
        done += _hold(replayer, gateway, letters - config.gateway_letter_rows, fold=True, room=_AT_ONCE - done)
    if done or not rows:
        return done  # what is left for all is looked at when each is within its own
    held_bytes, letters = sum(row[1] for row in rows), sum(row[2] for row in rows)
    noisiest, longest = max(rows, key=lambda row: row[1])[0], max(rows, key=lambda row: row[2])[0]
    for whose in (None, noisiest):
        done = done or _hold(replayer, whose, held_bytes - config.letter_bytes, fold=False, room=_AT_ONCE)
    for whose in (None, longest):
        done = done or _hold(replayer, whose, letters - config.letter_rows, fold=True, room=_AT_ONCE)
    return done


def _hold(replayer: Replayer, gateway: str | None, excess: int, *, fold: bool, room: int) -> int:
    """Free `excess` bytes, or rows when folding, of a gateway's letters (None: of resolved ones of anybody)."""
    if excess <= 0 or room <= 0:
        return 0
    count, left = 0, excess
    for dead_letter_id, held_bytes in replayer.oldest(gateway, room, bodies=not fold):
        if left <= 0:
            break
        if replayer.shed(dead_letter_id, fold=fold):
            count += 1
            left -= 1 if fold else held_bytes
    if count:
        what = "rows folded" if fold else "bodies dropped"
        log(
            _log, logging.WARNING, "ingest.letters.shed", f"dead letters take too much: {what}",
            gateway=gateway or "all", letters=count,
        )  # fmt: skip
    return count
