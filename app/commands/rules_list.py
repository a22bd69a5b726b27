"""List the alarm rules in force, or what is in force on one channel and why.

With --channel: of each kind the rule that holds there, its numbers after the limit profile has filled in what the rule
leaves open, and the rules it was preferred to.

examples:
  hanlu rules list
  hanlu rules list --kind high
  hanlu rules list --channel gw-yanling/room-1/air_temperature
  hanlu rules list --json
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.assign import assign, matches, specificity
from hanlu.alerts.rules.store import Versioned, current, read_facts, rules_in_force
from hanlu.alerts.rules.survey import survey
from hanlu.app.rule_desk import add_database_flags, plain, rules_connection, where
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.db.pool import Connection


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], metavar="KIND", help="of this kind only")
    parser.add_argument("--channel", metavar="GATEWAY/DEVICE/METRIC", help="what holds there, and why")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the list."""
    with rules_connection(args, settings) as connection:
        rules = [each for each in rules_in_force(connection) if args.kind in {None, each.rule.kind}]
        if args.channel:
            return _channel(connection, rules, args)
        found = survey(rules, read_facts(connection))
        unreadable = [each for each in current(connection) if each.rule is None and not each.withdrawn]
    if args.json:
        rows = [
            {**each.rule.model_dump(mode="json"), "version": each.version, "channels": found.count(each.rule.code)}
            for each in rules
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    print(f"{'code':<24}{'kind':<18}{'priority':<10}{'state':<6}{'version':>8}{'channels':>10}  where")
    for each in rules:
        rule = each.rule
        state = "on" if rule.enabled else "off"
        print(
            f"{rule.code:<24}{rule.kind:<18}{rule.priority or 'profile':<10}{state:<6}{each.version:>8}"
            f"{found.count(rule.code):>10}  {where(rule)}"
        )
    for spot in found.spots:
        print(f"problem: {spot.problem}" + (f" ({spot.channels} channels)" if spot.channels > 1 else ""))
    for lost in unreadable:
        print(f"problem: rule {lost.code} version {lost.version} cannot be read, it is not in force: {lost.trouble}")
    return 0


def _channel(connection: Connection, rules: list[Versioned], args: argparse.Namespace) -> int:
    facts = next(iter(read_facts(connection, channel=args.channel)), None)
    if facts is None:
        raise UsageError(f"there is no channel {args.channel}; it is written gateway/device/metric")
    found = assign(rules, facts)
    by_code = {each.rule.code: each for each in rules}
    rows: list[dict[str, Any]] = []
    held = {each.kind: each for each in found.assigned}
    for kind in Kind:
        code = held[kind].code if kind in held else found.off.get(kind)
        if code is None:
            continue
        others = [
            each.rule.code
            for each in rules
            if each.rule.kind is kind and each.rule.code != code and matches(each.rule.applies, facts)
        ]
        named = specificity(by_code[code].rule.applies, facts.organisations)._asdict()
        why = [name for name, depth in named.items() if depth]
        row: dict[str, Any] = {"kind": kind.value, "code": code, "version": by_code[code].version, "on": kind in held}
        if kind in held:
            row["priority"] = held[kind].priority
            row["parameters"] = held[kind].parameters.model_dump(mode="json")
        rows.append(row | {"names": why, "preferred_to": others})
    problems = [str(each) for each in found.problems]
    if args.json:
        print(json.dumps({"channel": args.channel, "rules": rows, "problems": problems}, ensure_ascii=False, indent=2))
        return 0
    print(f"{args.channel}: profile {facts.limit_profile or 'none'}, unit {facts.unit or 'none'}, site {facts.site}")
    for row in rows:
        priority = f"priority {row['priority']}" if row["on"] else "switched off here"
        print(f"{row['kind']:<18}{row['code']} (version {row['version']}), {priority}")
        if row["on"]:
            print(f"{'':<18}{plain(held[Kind(row['kind'])].parameters)}")
        more = f"; before {', '.join(row['preferred_to'])}" if row["preferred_to"] else ""
        print(f"{'':<18}chosen because it names: {', '.join(row['names']) or 'nothing, it holds everywhere'}{more}")
    for problem in problems:
        print(f"problem: {problem}")
    return 0
