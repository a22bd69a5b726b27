"""Replay dead letters after their cause was mended: what is good now is stored, each reading once.

Unknown channels, gateways and keys are replayed by themselves once they are registered; this is for the rest: a unit
or limit corrected, a program that can read more. Exit code 0 when every letter was resolved, 1 when some stay open.

examples:
  hanlu letters replay 17 18
  hanlu letters replay --gateway gw-yanling --reason unit_mismatch
  hanlu letters replay --close 17        never try it again; its readings stay dead
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from hanlu.app.letter_desk import letters_connection, letters_url
from hanlu.app.settings import Settings
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.db.pool import Connection
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.letter_read import read_letters
from hanlu.ingest.letters import Replayer

_PAGE = 500
_BY = "command line"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("letters", type=int, nargs="*", metavar="NUMBER", help="of letters")
    parser.add_argument("--gateway", metavar="CODE", help="all open letters of this gateway")
    parser.add_argument("--reason", help="all open letters refused for this reason")
    parser.add_argument("--close", action="store_true", help="close them for good instead")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Replay and print what came of it."""
    if not (args.letters or args.gateway or args.reason):
        raise UsageError("name letters by their numbers, or a --gateway, or a --reason")
    url = letters_url(args, settings)
    clock = SystemClock()
    outcomes: Counter[str] = Counter()
    with (
        letters_connection(args, settings) as connection,
        closing(Replayer(url, KeeperConfig().unapproved_channels)) as replayer,
    ):
        snapshot = read_snapshot(connection)
        for letter in args.letters or _found(connection, args.gateway, args.reason):
            if args.close:
                outcome = "closed" if replayer.close_letter(letter) else None
            else:
                outcome = replayer.replay(letter, snapshot, clock.now_ms(), _BY)
            outcomes[outcome or "not_open"] += 1
    if args.json:
        print(json.dumps(dict(outcomes)))
    else:
        print("\n".join(f"{count:>8}  {outcome}" for outcome, count in outcomes.most_common()) or "no open letter")
    return 1 if outcomes["open"] else 0


def _found(connection: Connection, gateway: str | None, reason: str | None) -> Iterator[int]:
    """Yield the open letters, page by page, so that a long list is never in memory."""
    before: int | None = None
    while page := read_letters(connection, _PAGE, gateway=gateway, reason=reason, open_only=True, before=before):
        yield from (each.dead_letter_id for each in page)
        before = page[-1].dead_letter_id
