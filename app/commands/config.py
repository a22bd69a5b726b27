"""Print the settings in force, secrets hidden.

Defaults, the file given with --config, environment variables and flags, joined. Without --config, and with a `hanlu
up` on the data folder, these are the settings it runs with.

examples:
  hanlu config
  hanlu config --json | jq .web.port
  hanlu config --markdown > docs/reference/config.md
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.settings_text import as_markdown, as_text, hidden


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="as JSON")
    shape.add_argument("--markdown", action="store_true", help="the reference of all settings, whatever their values")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print."""
    effective = settings if args.config else settings_of_running(settings)
    if args.markdown:
        print(as_markdown(), end="")
    elif args.json:
        print(json.dumps(hidden(effective), ensure_ascii=False, indent=2))
    else:
        print(as_text(effective), end="")
    return 0
