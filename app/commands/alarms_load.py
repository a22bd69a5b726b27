"""Tell the alarm load: how many alarms each operator bears, against the targets of ISA-18.2 and EEMUA 191.

The same figures as the console's page, for China days up to now. Exit code 1 when a figure is over its target and
--check is given.

examples:
  hanlu alarms load
  hanlu alarms load --span 7d --place site:yanling-store --json
  hanlu alarms load --span 30d --place org:yanling --operators 2
  hanlu alarms load --span 7d --check
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing

from hanlu.alerts.shift.figures import Verdict, figures, summary
from hanlu.alerts.shift.period import PERIODS, period_until
from hanlu.alerts.shift.read import Place, ShiftRead, find_place, staffing
from hanlu.alerts.wording import words
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import SystemClock, from_ms
from hanlu.core.errors import UsageError
from hanlu.db.pool import connect, translated

_EVERYTHING = Place("/", 0, None, "全部", "everything")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--span", choices=list(PERIODS), default="today", help="China days up to now (today)")
    parser.add_argument("--place", default="", metavar="KIND:CODE", help="org:CODE or site:CODE; everything without")
    parser.add_argument("--operators", type=int, metavar="N", help="people on shift; what the console keeps without")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a figure is over its target")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the figures."""
    if args.operators is not None and not 1 <= args.operators <= 500:
        raise UsageError("--operators lies between 1 and 500")
    url = database_url(settings if args.config else settings_of_running(settings))
    with translated(), closing(connect(url, "hanlu_alerts", name="hanlu alarms load")) as connection:
        place = find_place(connection, "/", args.place) if args.place else _EVERYTHING
        people = args.operators or staffing(connection, place)
        now_ms = SystemClock().now_ms()
        period = period_until(args.span, now_ms)
        read = ShiftRead(connection, place)
        load, now, held = read.load(period, people), read.now(now_ms), read.held(period)
    found = figures(load, now, held)
    if args.json:
        document = {"place": args.place, "span": args.span} | summary(found, load, held)
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        say = words("en")
        since, until = (from_ms(each).isoformat(timespec="minutes") for each in (period.from_ms, period.to_ms))
        print(f"{place.name_en}, {since} to {until}, {people} on shift")
        for each in found:
            unit = f" {each.unit}" if each.unit else ""
            verdict = "" if each.verdict is Verdict.NONE else say(f"shift.verdict.{each.verdict}")
            print(f"  {say(f'shift.figure.{each.key}'):<30}{each.text + unit:>12}  {each.target_text:>8}  {verdict}")
        for reason, alarms in held.items():
            print(f"    {reason:<28}{alarms:>12}")
    return int(args.check and any(each.verdict is Verdict.OVER for each in found))
