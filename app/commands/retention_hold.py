"""Hold readings for a case, whatever the rules say, or list the holds.

Names a site, a zone, a channel, a lot or everything, and a time; whole days of China time are held. A lot means the
thermometers of the places it stood at, while it stood there. Without --reason the holds are listed.

examples:
  hanlu retention hold
  hanlu retention hold --site store-1 --from 2026-03-01T00:00+08:00 --to 2026-04-01T00:00+08:00 --reason "claim 26-17"
  hanlu retention hold --lot https://id.gs1.org/01/06912345678901/10/A1 --from 2026-03-01T00:00+08:00 --reason "recall"
"""

from __future__ import annotations

import argparse
import getpass
import json

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.db.pool import translated
from hanlu.ingest.history.keep import holds, place_hold
from hanlu.ingest.history.plan import Span, moment
from hanlu.ingest.history.prune import as_owner


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="hold everything")
    what.add_argument("--site", metavar="CODE", help="hold a site")
    what.add_argument("--zone", metavar="CODE", help="hold a zone")
    what.add_argument("--channel", metavar="NAME", help="hold a channel, gateway/device/metric")
    what.add_argument("--lot", metavar="URI", help="hold what was measured where a lot stood")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="ISO 8601 with offset, or Unix milliseconds")
    parser.add_argument("--to", dest="end", metavar="TIME", help="end, not included; without it also what is to come")
    parser.add_argument("--reason", help="why, for whoever asks later")
    parser.add_argument("--by", metavar="NAME", help="who places it; the account's name by default")
    parser.add_argument("--json", action="store_true", help="list as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Place a hold, or list them."""
    kinds = {"site": args.site, "zone": args.zone, "channel": args.channel, "lot": args.lot}
    named = next(((kind, code) for kind, code in kinds.items() if code), ("all", "") if args.all else None)
    if (named is None) != (args.reason is None) or (named is not None and args.begin is None):
        raise UsageError("a hold needs what to hold, --from and --reason")
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), as_owner(url) as connection:
        if named is not None:
            begin = moment(args.begin)
            end = SystemClock().now_ms() if args.end is None else moment(args.end)
            if args.end is not None and begin >= end:
                raise UsageError("--to must come after --from")
            kind, code = named
            hold_id, channels = place_hold(
                connection, kind, code, Span(begin, end),
                open_ended=args.end is None, reason=args.reason, by=args.by or getpass.getuser(),
            )  # fmt: skip
            print(f"hold {hold_id}: {channels} channels")
            return 0
        found = holds(connection)
    if args.json:
        print(json.dumps(found, default=str, ensure_ascii=False, indent=2))
        return 0
    for each in found:
        state = (
            "stands" if each["released_at"] is None else f"released by {each['released_by']} {each['released_at']:%F}"
        )
        until = "open" if each["to_at"] is None else f"{each['to_at']:%F}"
        print(
            f"{each['hold_id']:>5}  {each['kind']} {each['code']}  {each['from_at']:%F} to {until}, {each['channels']}"
            f" channels, {state}: {each['reason']} (placed by {each['placed_by']} {each['placed_at']:%F})"
        )
    return 0
