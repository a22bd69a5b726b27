"""List dead letters: what could not be taken, with the reason.

The newest first. With --counts, sums by gateway and reason instead.

examples:
  hanlu letters list
  hanlu letters list --gateway gw-yanling --reason unknown_channel
  hanlu letters list --all --json
  hanlu letters list --counts
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from hanlu.app.letter_desk import letters_connection
from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.ingest.letter_read import read_counts, read_letters


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--gateway", metavar="CODE", help="of this gateway only")
    parser.add_argument("--reason", help="refused for this reason only, e.g. unknown_channel")
    parser.add_argument("--all", action="store_true", help="resolved ones too")
    parser.add_argument("--most", type=int, default=50, metavar="N", help="rows at most (50)")
    parser.add_argument("--counts", action="store_true", help="sums by gateway and reason")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the list."""
    with letters_connection(args, settings) as connection:
        if args.counts:
            rows = [asdict(each) for each in read_counts(connection, args.most)]
        else:
            found = read_letters(
                connection, args.most, gateway=args.gateway, reason=args.reason, open_only=None if args.all else True
            )
            rows = [asdict(each) for each in found]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif args.counts:
        print(f"{'gateway':<24}{'reason':<20}{'open':>8}{'readings':>10}{'all':>8}{'bytes':>12}")
        for row in rows:
            name = row["gateway"] or "-"
            print(
                f"{name:<24}{row['reason']:<20}{row['open_messages']:>8}{row['open_readings']:>10}"
                f"{row['messages']:>8}{row['bytes']:>12}"
            )
    elif not rows:
        print("no letters" if args.all else "no open letters")
    else:
        print(f"{'number':>8}  {'received (UTC)':<25}  {'gateway':<20} {'reason':<18} state")
        for row in rows:
            state = row["outcome"] or "open"
            when = from_ms(row["received_ms"]).isoformat(timespec="seconds")
            print(f"{row['dead_letter_id']:>8}  {when}  {row['gateway'] or '-':<20} {row['reason']:<18} {state}")
            print(f"          readings {row['reading_count']}, times {row['times']}: {row['detail'][:200]}")
    return 0
