"""Give a gateway another configuration from here: drivers, channels, rates, limits, priorities.

The file (TOML) is checked as the gateway will check it, kept in the register under a new number, and sent as soon as
the gateway is heard, again and again until its birth names that number or says why it cannot be (`hanlu gateways list`
shows both). Each section replaces the gateway's own as a whole; no secret may stand in it. docs/how-to/gateway.md tells
more.

examples:
  hanlu gateways configure gw-yanling-2 store-3.toml
  hanlu gateways configure gw-yanling-2 store-3.toml --check
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.remote import merged

_LONGEST = 200_000
"""Characters a command can carry."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code")
    parser.add_argument("file", metavar="FILE", type=Path, help="the configuration, TOML")
    parser.add_argument("--check", action="store_true", help="only check the file")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Check it, keep it, and say under which number."""
    try:
        text = args.file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{args.file} is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{args.file}: cannot be read: {error}") from error
    if len(text) > _LONGEST:
        raise UsageError(f"{args.file} has {len(text):,} characters, a command carries {_LONGEST:,}")
    try:
        # The gateway's own file is not here; who it is and where its data lie may not be touched anyway.
        merged(GatewayConfig(code=args.code, partition=0, data_dir=Path("/nowhere")), text, bounded=False)
    except UsageError as error:
        raise UsageError(f"{args.file}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{args.code!r} is no gateway's code") from error
    if args.check:
        print(json.dumps({"gateway": args.code, "good": True}) if args.json else "a gateway would take this")
        return 0
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        version = here.gateways.configure(None, args.code, text)
    words = f"version {version} is kept for {args.code}; `hanlu gateways list` shows when it is in force"
    print(json.dumps({"gateway": args.code, "version": version}) if args.json else words)
    return 0
