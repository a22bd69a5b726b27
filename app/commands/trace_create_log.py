"""Create the transparency log of a database: once, on purpose, and on record.

`hanlu up` does it by itself for its own, new database. For an external one it is done here, once; the services wait
until then. The log's name stands in every checkpoint and cannot be changed later: choose one that says whose it is.
Keep the key file (`keys/log.key` in the data folder) as you keep the organisation's seal.

examples:
  hanlu trace create-log --origin trace.example.cn/yanling
  hanlu trace create-log --by "Yanling co-op, IT office"
"""

from __future__ import annotations

import argparse
import getpass

from hanlu.app.log_inception import begin_log
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--origin", help="name of the log, no spaces and no plus; default hanlu.local/log/<random>")
    parser.add_argument("--by", help="who creates it, for the record; default the account's name")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Create it and print its name and public key."""
    effective = settings if args.config else settings_of_running(settings)
    identity = begin_log(effective, created_by=args.by or getpass.getuser(), origin=args.origin)
    print(identity.origin)
    print(identity.key)
    return 0
