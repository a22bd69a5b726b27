"""Give somebody a new random password, when nobody who could is able to sign in.

Needs access to the database, which is what makes it safe: whoever has that could write there anyway. The person's open
sessions end, and the audit keeps that it was done at the machine.

examples:
  hanlu password admin
  hanlu password operator --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.db.pool import open_pool
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import People


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("login", metavar="NAME", help="sign-in name of the person")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make the password and print it, this once."""
    url = (settings if args.config else settings_of_running(settings)).database.url
    if url is None:
        raise UsageError("database.url is not set: start `hanlu up` first, or name a PostgreSQL server")
    pool = open_pool(url, "hanlu_registry", name="hanlu password", max_size=1)
    try:
        clock = SystemClock()
        made = People(pool, clock, Passwords(), Audit(pool, clock)).reset_password_at_the_machine(args.login)
    finally:
        pool.close()
    print(json.dumps({"login": made.login, "password": made.password}) if args.json else made.password)
    return 0
