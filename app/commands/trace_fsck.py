"""Check the whole log in the database: every leaf, chain, tile, root, signature and anchor, computed anew.

Reads one snapshot and changes nothing; the log may grow meanwhile. Exit code 0 when all is well, 1 when something is
not as it must be: then each finding says where and what.

examples:
  hanlu trace fsck
  hanlu trace fsck --json
  HANLU_DATABASE__URL=postgresql://... hanlu trace fsck
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.db.pool import connect, translated
from hanlu.trace.log.fsck import fsck

_STATEMENT_MS = 3_600_000
"""A statement over a large log may take its time: one hour."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Check and print the findings."""
    url = database_url(settings if args.config else settings_of_running(settings))
    with (
        translated(),
        closing(connect(url, "hanlu_trace", name="hanlu trace fsck", statement_timeout_ms=_STATEMENT_MS)) as connection,
    ):
        findings = fsck(connection)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    elif findings:
        print("\n".join(f"{each.code:<12}{each.subject}: {each.detail}" for each in findings))
        print(f"\n{len(findings)} findings")
    else:
        print("the log is what its checkpoints say")
    return 1 if findings else 0
