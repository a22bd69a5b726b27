"""Send a test message to a receiver and print what the channel said.

The message says that it is a test. It counts in the channel's limits and is on record like any other. Exit code 0 when
the channel took it, 1 when it did not.

examples:
  hanlu notify test li-wecom
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from hanlu.alerts.people.directory import read_directory
from hanlu.alerts.people.trial import send_trial
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.db.pool import connect, translated


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("receiver", metavar="RECEIVER", help="code of the receiver")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Send and say what came of it."""
    effective = settings if args.config else settings_of_running(settings)
    clock = SystemClock()
    with (
        translated(),
        closing(
            connect(database_url(effective), "hanlu_alerts", name="hanlu notify test", autocommit=True)
        ) as connection,
    ):
        receivers = read_directory(connection, clock.now_ms()).receivers
        if args.receiver not in receivers:
            known = ", ".join(sorted(receivers)) or "none yet: add one in the console, People"
            raise UsageError(f"there is no receiver {args.receiver}; there are: {known}")
        outcome = send_trial(connection, effective.notify, receivers[args.receiver], clock)
    print(f"{outcome.kind}: {outcome.detail}", file=sys.stdout if outcome.kind == "sent" else sys.stderr)
    return 0 if outcome.kind == "sent" else 1
