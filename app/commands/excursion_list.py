"""List excursions beyond a limit with their figures.

The newest first. Times are China's; figures are those of the account, made from the readings (docs/excursions.md).

examples:
  hanlu excursion list
  hanlu excursion list --site yanling-store --state standing
  hanlu excursion list --from 2026-11-01 --to 2026-11-30 --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone

from hanlu.alerts.excursion.read import STATES, Excursion, Reader
from hanlu.alerts.excursion.say import Say
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import to_ms
from hanlu.core.errors import UsageError
from hanlu.db.pool import connect, translated

_CHINA = timezone(timedelta(hours=8))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--site", metavar="CODE", help="of this site only, by code or a part of its name")
    parser.add_argument("--state", choices=STATES, default="all", help="only those that stand so (all)")
    parser.add_argument("--from", dest="begin", metavar="DAY", help="that ended on this day or later, e.g. 2026-11-01")
    parser.add_argument("--to", dest="end", metavar="DAY", help="that began on this day or before")
    parser.add_argument("--most", type=int, default=50, metavar="N", help="rows at most (50)")
    parser.add_argument("--json", action="store_true", help="as JSON, times in Unix milliseconds")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the list."""
    if args.most < 1:
        raise UsageError("--most: at least 1")
    begin, end = _midnight("--from", args.begin, 0), _midnight("--to", args.end, 1)
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), connect(url, "hanlu_alerts", name="hanlu excursion list") as connection:
        found = Reader(connection, "/").excursions(
            site=args.site, from_at_ms=begin, to_at_ms=end, state=args.state, limit=args.most
        )
    if args.json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
    elif not found:
        print("no excursions")
    else:
        print(
            f"{'number':>8}  {'began':<16}  {'ended':<16}  {'beyond':>14}  {'peak':>10}  {'degree-minutes':>16}  place"
        )
        for each in found:
            print(as_line(each))
    return 0


def as_line(one: Excursion) -> str:
    """Return an excursion as a line for people."""
    say = Say("en")
    ended = "still going on" if one.standing else say.time(one.to_ms)
    corrected = f", corrected {one.corrections} times" if one.corrections else ""
    return (
        f"{one.excursion_id:>8}  {say.time(one.from_ms)}  {ended:<16}  {say.duration(one.minutes):>14}"
        f"  {say.value(one.peak, one.unit):>10}  {say.degree_minutes(one):>16}  {one.channel} ({one.site}{corrected})"
    )


def _midnight(flag: str, day: str | None, days: int) -> int | None:
    if day is None:
        return None
    try:
        moment = datetime.combine(date.fromisoformat(day), datetime.min.time(), tzinfo=_CHINA)
        return to_ms(moment + timedelta(days=days))
    except (ValueError, OverflowError):
        raise UsageError(f"{flag}: {day!r} is no day; write year-month-day, e.g. 2026-11-20") from None
