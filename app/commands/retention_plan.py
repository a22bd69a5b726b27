"""Show what a retention run would delete now, and delete nothing.

Reads the rules (`hanlu retention rule`) and the holds (`hanlu retention hold`). Rows in chunks are as the database last
counted them.

examples:
  hanlu retention plan
  hanlu retention plan --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.db.pool import translated
from hanlu.ingest.history.prune import Plan, as_owner, make_plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make the plan and print it."""
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), as_owner(url) as connection:
        plan = make_plan(connection, SystemClock().now_ms())
    print(json.dumps(plan.summary(), indent=2) if args.json else as_text(plan))
    return 0


def as_text(plan: Plan) -> str:
    """Return a plan for people."""
    lines = [f"{len(plan.rules)} rules, {plan.held} channels under a hold"]
    summary = plan.summary()
    arrivals = summary.pop("arrival")
    for table, each in summary.items():
        if each["before"] is None:
            lines.append(f"{table:<8} nothing: kept for ever, or not old enough")
            continue
        lines.append(
            f"{table:<8} before {each['before']['latest']}: {each['chunks']} whole chunks (about"
            f" {each['rows_in_chunks_about']:,} rows, {each['bytes_of_chunks'] / 1e9:.1f} GB), and what is left of"
            f" {each['channels_row_by_row']} channels row by row"
        )
    if arrivals["before"] is None:
        lines.append("arrival  nothing: kept for ever")
    else:
        waits = (
            f"; not what these have yet to read: {', '.join(arrivals['waits_for'])}" if arrivals["waits_for"] else ""
        )
        lines.append(f"arrival  before {arrivals['before']}: about {arrivals['rows_about']:,} rows{waits}")
    return "\n".join(lines)
