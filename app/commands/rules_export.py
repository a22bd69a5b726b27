"""Export the alarm rules in force as a file that `hanlu rules import` reads.

examples:
  hanlu rules export > rules.toml
  hanlu rules export --shipped
"""

from __future__ import annotations

import argparse
import sys

from hanlu.alerts.rules.file import write_rules
from hanlu.alerts.rules.store import rules_in_force, shipped_rules
from hanlu.app.rule_desk import add_database_flags, rules_connection
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--shipped", action="store_true", help="those that come with Hanlu, whatever is in force")
    parser.add_argument("codes", nargs="*", metavar="CODE", help="only these")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the file."""
    if args.shipped:
        rules = list(shipped_rules())
    else:
        with rules_connection(args, settings) as connection:
            rules = [each.rule for each in rules_in_force(connection)]
    wanted = set(args.codes) or {rule.code for rule in rules}
    for code in sorted(wanted - {rule.code for rule in rules}):
        print(f"hanlu: there is no rule {code} in force", file=sys.stderr)
    sys.stdout.write(write_rules(rule for rule in rules if rule.code in wanted))
    return 0 if wanted <= {rule.code for rule in rules} else 1
