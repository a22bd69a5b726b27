"""Release a hold; what it held goes with the next run if its time is over.

examples:
  hanlu retention release 3
"""

from __future__ import annotations

import argparse
import getpass

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.db.pool import translated
from hanlu.ingest.history.keep import release_hold
from hanlu.ingest.history.prune import as_owner


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("hold", type=int, help="number of the hold, as `hanlu retention hold` lists it")
    parser.add_argument("--by", metavar="NAME", help="who releases it; the account's name by default")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Release it."""
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), as_owner(url) as connection:
        release_hold(connection, args.hold, args.by or getpass.getuser())
    print(f"hold {args.hold} is released")
    return 0
