"""Test alarm rules on the readings on record: what they would have raised in one room.

By the rules in force; with the code of one of them only its alarms are printed. With a file its rules are put in their
place, so that a change can be tried before it is imported. Nothing is written. Judges learn a room's habits anew, so
look at a few days.

examples:
  hanlu rules test --channel gw-yanling/room-1/air_temperature
  hanlu rules test room-5-high --channel gw-yanling/room-5/air_temperature
  hanlu rules test summer.toml --channel gw-yanling/room-1/air_temperature --days 14
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from hanlu.alerts.rules.file import read_rules
from hanlu.alerts.rules.rehearse import Would, newest_reading_ms, past_readings, rehearse, room_of
from hanlu.alerts.rules.store import Versioned, read_facts, rules_in_force
from hanlu.app.rule_desk import add_database_flags, rules_connection
from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.core.errors import UsageError

_DAY_MS = 86_400_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "rule",
        nargs="?",
        metavar="CODE-OR-FILE",
        help="the code of one rule in force, or a file of rules to put in place of those in force (all in force)",
    )
    parser.add_argument("--channel", required=True, metavar="GATEWAY/DEVICE/METRIC", help="one of the room's channels")
    parser.add_argument(
        "--days", type=float, default=7.0, metavar="N", help="so many days up to the newest reading (7)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the alarms there would have been."""
    if not 0 < args.days <= 400:
        raise UsageError("--days must be more than 0 and at most 400")
    named: str | None = args.rule
    put = read_rules(Path(named)) if named and (Path(named).is_file() or not _may_be_code(named)) else None
    if put is not None and put.faults:
        raise UsageError("\n".join(str(each) for each in put.faults))
    with rules_connection(args, settings) as connection:
        every = read_facts(connection)
        facts = next((each for each in every if each.channel == args.channel), None)
        if facts is None:
            raise UsageError(f"there is no channel {args.channel}; it is written gateway/device/metric")
        rules = {each.rule.code: each for each in rules_in_force(connection)}
        if named and put is None and named not in rules:
            raise UsageError(_unknown(named, rules))
        rules |= {rule.code: Versioned(rule, 0) for rule in (put.rules if put else ())}
        channels = room_of(facts, every)
        ids = [each.channel_id for each in channels]
        newest = newest_reading_ms(connection, ids)
        found: list[Would] = []
        if newest is not None:
            with connection.transaction():
                past = past_readings(connection, ids, newest - round(args.days * _DAY_MS), newest)
                found = rehearse(list(rules.values()), channels, past)
    if named and put is None:
        found = [each for each in found if each.code == named]
    if args.json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
        return 0
    if newest is None:
        print("this room has no readings yet")
        return 0
    called = [each for each in found if each.called_ms is not None]
    print(f"{facts.zone or facts.device}: {len(channels)} channels, {args.days:g} days up to {_time(newest)}")
    for each in found:
        state = "held: " + str(each.hold) if each.called_ms is None else f"called {_time(each.called_ms)}"
        end = "still standing" if each.returned_ms is None else f"to {_time(each.returned_ms)}"
        peak = "" if each.peak is None else f", peak {each.peak:g}"
        print(f"  {_time(each.start_ms)}  {each.kind:<18}{each.code:<28}priority {each.priority}  {state}, {end}{peak}")
        print(f"{'':<20}{each.channel}{'' if each.cause == 'unknown' else ', cause ' + each.cause}")
    print(f"{len(called)} alarms would have called, {len(found) - len(called)} held by design")
    return 0


def _may_be_code(text: str) -> bool:
    return "/" not in text and "\\" not in text and not text.endswith(".toml")


def _unknown(text: str, codes: Collection[str]) -> str:
    near = difflib.get_close_matches(text, codes, n=3, cutoff=0.5)
    hint = f"near: {', '.join(near)}" if near else "hanlu rules list names them"
    return f"{text} is neither a file nor the code of a rule in force on this database; {hint}"


def _time(ms: int) -> str:
    return from_ms(ms).isoformat(sep=" ", timespec="minutes")[:16]
