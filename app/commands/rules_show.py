"""Show one alarm rule: where it holds, its parameters, and why it exists.

examples:
  hanlu rules show air-high
  hanlu rules show air-high --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.alerts.rules.store import current, read_facts, rules_in_force
from hanlu.alerts.rules.survey import survey
from hanlu.app.rule_desk import add_database_flags, plain, rules_connection, where
from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.core.errors import HanluError, NotFoundError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("code", help="of the rule, as `hanlu rules list` prints it")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the rule."""
    with rules_connection(args, settings) as connection:
        stored = next(iter(current(connection, args.code)), None)
        if stored is None:
            raise NotFoundError(f"there is no rule {args.code}; hanlu rules list names them")
        if stored.rule is None:
            raise HanluError(f"rule {args.code} version {stored.version} cannot be read: {stored.trouble}")
        channels = survey(rules_in_force(connection), read_facts(connection)).count(args.code)
    rule = stored.rule
    if args.json:
        row = {**rule.model_dump(mode="json"), "version": stored.version, "withdrawn": stored.withdrawn}
        print(json.dumps(row | {"author": stored.author, "channels": channels}, ensure_ascii=False, indent=2))
        return 0
    state = "withdrawn" if stored.withdrawn else "on" if rule.enabled else "switched off where it holds"
    when = from_ms(stored.recorded_ms).isoformat(timespec="seconds")
    why = rule.rationalization
    print(f"{rule.code}  {rule.title_en} / {rule.title_zh}")
    print(f"  kind          {rule.kind}, priority {rule.priority or 'of the profile'}, {state}")
    print(f"  version       {stored.version} by {stored.author} at {when}{': ' + stored.note if stored.note else ''}")
    print(f"  where         {where(rule)}; in force on {channels} channels")
    print("  parameters")
    for name, value in rule.parameters:
        print(f"    {name:<14}{plain(value)}")
    print(f"  latch         {plain(rule.latch)}, calls again after {rule.re_alarm_min or 'never'}")
    print(f"  cause         {why.cause_en}")
    print(f"  consequence   {why.consequence_en}")
    print(f"  response      {why.response_en} (within {why.time_to_respond_min} min)")
    print(f"  runbook       docs/runbooks/{rule.runbook}.md, or /console/runbook/{rule.runbook}")
    return 0
