"""Import alarm rules from a file: new versions of what differs, nothing of what does not.

Shows what would change and asks before it writes; a file with errors writes nothing at all. With --all the file is the
whole set: rules in force that are not in it are withdrawn.

examples:
  hanlu rules import rules.toml --note "summer limits"
  hanlu rules import rules.toml --all --yes
  hanlu rules import rules.toml --dry-run
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hanlu.alerts.rules.compare import Change, compare
from hanlu.alerts.rules.file import RuleFile, read_rules
from hanlu.alerts.rules.store import rules_in_force, withdraw, write_rule
from hanlu.alerts.rules.survey import clashes
from hanlu.app.rule_desk import Found, add_database_flags, author, change_lines, check_against, rules_connection
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.db.pool import Connection


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("file", type=Path, metavar="FILE", help="TOML with [[rule]] tables")
    parser.add_argument("--note", default="", help="why, for the history")
    parser.add_argument("--author", metavar="LOGIN", help="who, for the history (the machine's user)")
    parser.add_argument("--all", action="store_true", help="withdraw the rules that are not in the file")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would change and stop")
    parser.add_argument("--json", action="store_true", help="what was done as JSON; needs --yes or --dry-run")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Import the file."""
    if args.json and not (args.yes or args.dry_run):
        raise UsageError("--json does not ask; add --yes or --dry-run")
    file = read_rules(args.file)
    with rules_connection(args, settings) as connection:
        if not _good(connection, file, whole=args.all):
            print(f"{args.file.name} has errors; nothing was written", file=sys.stderr)
            return 1
        changes = compare(rules_in_force(connection), file.rules, whole=args.all)
        if changes and not args.json:
            print("\n".join(change_lines(changes)))
        if changes and not args.dry_run:
            if not (args.yes or _agreed(len(changes))):
                print("nothing was written")
                return 1
            _write(connection, changes, author(args.author), args.note)
    if args.json:
        rows = [{"code": each.code, "what": each.what, "version": each.seen + 1} for each in changes]
        print(json.dumps({"written": not args.dry_run, "changes": rows}, indent=2))
    elif not changes:
        print("all of it is in force already")
    elif not args.dry_run:
        print(f"{len(changes)} rules written; the engine follows at once")
    return 0


def _good(connection: Connection, file: RuleFile, *, whole: bool) -> bool:
    """Check the file and print what is wrong; true when it may be imported."""
    found = Found()
    found.errors += [str(each) for each in file.faults]
    found.errors += [f"{code}: {fault}" for code, fault in clashes(file.rules)]
    if not file.faults:
        check_against(connection, file, found, whole=whole)
    sys.stderr.write(str(found))
    return not found.errors


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{count} rules would be written; add --yes to agree where nobody can be asked")
    return input(f"write these {count}? [y/N] ").strip().lower() in {"y", "yes"}


def _write(connection: Connection, changes: tuple[Change, ...], who: str, note: str) -> None:
    with connection.transaction():
        for each in changes:
            if each.rule is None:
                withdraw(connection, each.code, seen=each.seen, author=who, note=note)
            else:
                write_rule(connection, each.rule, seen=each.seen, author=who, note=note)
