"""Bring the database to this version and, the first time, fill in what must be there.

`hanlu up` does this at every start, before the roles. With an external database and roles run by a service manager it
is done once after each upgrade. Passwords made on this occasion are printed once and stored only as hashes.

examples:
  hanlu setup
  HANLU_DATABASE__URL=postgresql://... hanlu setup
"""

from __future__ import annotations

import argparse
import logging

from hanlu.app import log_format
from hanlu.app.first_start import first_start
from hanlu.app.notify import Notifier
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.core.observe import log
from hanlu.db.migrate import migrate

_logger = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--notify-fd", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Migrate, then take the first-start steps."""
    effective = settings if args.config else settings_of_running(settings)
    if effective.database.url is None:
        raise UsageError("database.url is not set: start `hanlu up` first, or name a PostgreSQL server")
    log_format.configure(effective.log, "setup")
    for name in migrate(effective.database.url):
        log(_logger, logging.INFO, "app.migration.applied", "applied", migration=name)
    made = first_start(effective)
    if made:
        lines = ["passwords, shown this once:", *(str(credential) for credential in made)]
        Notifier(args.notify_fd).say("\n".join(lines))
    return 0
