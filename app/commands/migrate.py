"""Bring the database to this version.

Applies the migrations that are missing, in order, and the repeatable SQL. Safe to run twice. Prints what was applied.

examples:
  hanlu migrate
  HANLU_DATABASE__URL=postgresql://... hanlu migrate
"""

from __future__ import annotations

import argparse

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.db.migrate import migrate


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no flags of its own."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Apply what is missing."""
    url = (settings if args.config else settings_of_running(settings)).database.url
    if url is None:
        raise UsageError("database.url is not set: start `hanlu up` first, or name a PostgreSQL server")
    for name in migrate(url):
        print(name)
    return 0
