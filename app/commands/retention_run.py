"""Delete readings, hours, days and arrivals that have served their time.

Does what `hanlu retention plan` shows: whole chunks of TimescaleDB at once, rows in small transactions. Hours and days
are written before the readings they follow from go. What a hold covers stays. Each run leaves a row in
telemetry.retention_run. Nothing is ever deleted unless this command is run: have a timer run it daily.

examples:
  hanlu retention run
  hanlu retention run --json
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from dataclasses import asdict

from hanlu.app.commands.retention_plan import as_text
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.db.pool import translated
from hanlu.ingest.history.prune import Deleted, as_owner, delete, make_plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--by", metavar="NAME", help="who runs it, for the record; the account's name by default")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Plan and delete."""
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), as_owner(url) as connection:
        plan = make_plan(connection, SystemClock().now_ms())
        print(as_text(plan), file=sys.stderr)
        run_id, done = delete(connection, plan, args.by or getpass.getuser(), _say if sys.stderr.isatty() else None)
    if args.json:
        print(json.dumps({"run_id": run_id, **asdict(done)}))
    else:
        chunks, rows = sum(done.chunks.values()), sum(done.rows.values())
        print(f"run {run_id}: {chunks:,} chunks dropped, {rows:,} rows deleted")
    return 0


def _say(done: Deleted) -> None:
    chunks, rows = sum(done.chunks.values()), sum(done.rows.values())
    print(f"\r{chunks:,} chunks, {rows:,} rows", end="", file=sys.stderr, flush=True)
