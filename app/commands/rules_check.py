"""Check a file of alarm rules: fields, units, limits, and with a database also names, overlaps and profiles.

Where no Hanlu runs and no settings file is named, only what the file says by itself is checked. Exit code 1 when there
are errors; warnings alone are 0.

examples:
  hanlu rules check rules.toml
  hanlu rules check rules.toml --config hanlu.toml
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hanlu.alerts.rules.file import read_rules
from hanlu.alerts.rules.survey import clashes
from hanlu.app.rule_desk import Found, add_database_flags, check_against, rules_connection
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("file", type=Path, metavar="FILE", help="TOML with [[rule]] tables")
    parser.add_argument("--all", action="store_true", help="the file is the whole set of rules, as for import --all")
    parser.add_argument("--no-database", action="store_true", help="look at the file alone")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print what is wrong."""
    file = read_rules(args.file)
    found = Found()
    found.errors += [str(each) for each in file.faults]
    found.errors += [f"{code}: {fault}" for code, fault in clashes(file.rules)]
    asked = not args.no_database
    if asked:
        try:
            with rules_connection(args, settings) as connection:
                check_against(connection, file, found, whole=args.all)
        except UsageError:
            if args.config or args.database:
                raise
            asked = False
    if args.json:
        report = {"rules": len(file.rules), "errors": found.errors, "warnings": found.warnings, "database": asked}
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return 1 if found.errors else 0
    sys.stderr.write(str(found))
    if not asked:
        print("checked without a database: names, profiles and overlaps were not looked at", file=sys.stderr)
    if found.errors:
        print(f"{args.file.name}: {len(found.errors)} errors", file=sys.stderr)
        return 1
    print(f"{args.file.name}: {len(file.rules)} rules, no error" + (", see the warnings" if found.warnings else ""))
    return 0
