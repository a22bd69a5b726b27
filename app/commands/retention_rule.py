"""Show, set or drop the rules that say how long readings are kept.

A rule names all channels, a site, a kind of site or a metric, and says for how many days readings, hours and days are
kept (`forever` is a number of days too). A channel that rules name by its site, kind or metric is kept by the longest
of them, any other by the rule for all. Without any days the rules are listed.

Arrivals, the messages as they came, with their readings once more, are kept for one number of days for everybody. They
go when all who follow them have read them; a message that is sent again later is still known.

examples:
  hanlu retention rule
  hanlu retention rule --metric rssi --raw-days 180 --hour-days 730 --day-days forever --note "radio, for maintenance"
  hanlu retention rule --site store-1 --raw-days forever --hour-days forever --day-days forever
  hanlu retention rule --metric rssi --drop
  hanlu retention rule --arrival-days 180
"""

from __future__ import annotations

import argparse
import getpass
import json
from dataclasses import asdict

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.errors import UsageError
from hanlu.db.pool import translated
from hanlu.ingest.history.keep import drop_rule, rules, set_arrival_days, set_rule
from hanlu.ingest.history.prune import as_owner
from hanlu.ingest.history.retention import Rule

_MOST_DAYS = 36_525
_FEWEST_ARRIVAL_DAYS = 7


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="the rule for channels no other names (the default)")
    what.add_argument("--site", metavar="CODE", help="a rule for a site")
    what.add_argument("--site-kind", metavar="KIND", help="a rule for a kind of site, e.g. truck")
    what.add_argument("--metric", metavar="METRIC", help="a rule for a metric, e.g. rssi")
    parser.add_argument("--raw-days", type=_days, metavar="DAYS", help="days readings are kept")
    parser.add_argument("--hour-days", type=_days, metavar="DAYS", help="days hours are kept, no less than readings")
    parser.add_argument("--day-days", type=_days, metavar="DAYS", help="days days are kept, no less than hours")
    parser.add_argument(
        "--arrival-days", type=_days, metavar="DAYS", help=f"days arrivals are kept, at least {_FEWEST_ARRIVAL_DAYS}"
    )
    parser.add_argument("--note", default="", help="why, for whoever reads the rules later")
    parser.add_argument("--drop", action="store_true", help="drop the rule")
    parser.add_argument("--json", action="store_true", help="list as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Set, drop or list."""
    kinds = {"site": args.site, "site_kind": args.site_kind, "metric": args.metric}
    kind, code = next(((kind, code) for kind, code in kinds.items() if code), ("all", ""))
    given = (args.raw_days, args.hour_days, args.day_days)
    if any(given) != all(given):
        raise UsageError("a rule needs --raw-days, --hour-days and --day-days; forever is allowed")
    if args.arrival_days and (args.drop or code):
        raise UsageError("--arrival-days is for everybody: give it without --site, --site-kind, --metric and --drop")
    if args.arrival_days and args.arrival_days != _FOREVER and args.arrival_days < _FEWEST_ARRIVAL_DAYS:
        raise UsageError(f"--arrival-days is at least {_FEWEST_ARRIVAL_DAYS}")
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), as_owner(url) as connection:
        if args.drop:
            drop_rule(connection, kind, code)
        elif all(given):
            raw, hour, day = (None if days == _FOREVER else days for days in given)
            if not _rises(given):
                raise UsageError("hours are kept no shorter than readings, and days no shorter than hours")
            set_rule(connection, Rule(kind, code, raw, hour, day), note=args.note, by=getpass.getuser())
        if args.arrival_days:
            days = None if args.arrival_days == _FOREVER else args.arrival_days
            set_arrival_days(connection, days, by=getpass.getuser())
        found = rules(connection)
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return 0
    print(f"{'for':<32}{'readings':>12}{'hours':>12}{'days':>12}{'arrivals':>12}")
    for each in found:
        words = [_said(days) for days in (each.raw_days, each.hour_days, each.day_days)]
        words.append(_said(each.arrival_days) if each.kind == "all" else "")
        print(f"{f'{each.kind} {each.code}'.strip():<32}" + "".join(f"{word:>12}" for word in words))
    return 0


_FOREVER = -1


def _days(text: str) -> int:
    if text == "forever":
        return _FOREVER
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_DAYS):
        raise argparse.ArgumentTypeError(f"{text!r}: give 1 to {_MOST_DAYS} days, or forever")
    return int(text)


def _rises(days: tuple[int, int, int]) -> bool:
    raw, hour, day = (_MOST_DAYS + 1 if each == _FOREVER else each for each in days)
    return raw <= hour <= day


def _said(days: int | None) -> str:
    return "forever" if days is None else f"{days:,} d"
