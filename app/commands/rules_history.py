"""Show every version of an alarm rule: who wrote it, when, why, and what it changed.

examples:
  hanlu rules history air-high
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from hanlu.alerts.rules.compare import differences
from hanlu.alerts.rules.store import history
from hanlu.app.rule_desk import add_database_flags, plain, rules_connection
from hanlu.app.settings import Settings
from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("code", help="of the rule")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_database_flags(parser)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the versions, the newest first."""
    with rules_connection(args, settings) as connection:
        versions = history(connection, args.code)
    if not versions:
        raise NotFoundError(f"there never was a rule {args.code}; hanlu rules list names them")
    rows: list[dict[str, Any]] = []
    for each, older in zip(versions, [*versions[1:], None], strict=True):
        fields = differences(older.rule, each.rule) if older and older.rule and each.rule else ()
        rows.append(
            {
                "version": each.version,
                "at": from_ms(each.recorded_ms).isoformat(timespec="seconds"),
                "author": each.author,
                "note": each.note,
                "withdrawn": each.withdrawn,
                "changed": {field.field: [field.before, field.after] for field in fields},
            }
        )
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for row in rows:
        what = "withdrawn" if row["withdrawn"] else "first version" if row["version"] == 1 else "changed"
        print(f"{row['version']:>3}  {row['at']}  {row['author']}  {what}{': ' + row['note'] if row['note'] else ''}")
        for name, (before, after) in row["changed"].items():
            print(f"       {name}: {plain(before)} -> {plain(after)}")
    return 0
