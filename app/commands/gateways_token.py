"""Make a one-time enrolment token for a gateway: for a replaced device, a new key, or a token that was lost.

A token made before is worth nothing from then on. A key in force still counts for the overlap after the new one is
enrolled; if the old device may be in wrong hands, `hanlu gateways revoke` first.

examples:
  hanlu gateways token gw-yanling-2
  hanlu gateways token gw-yanling-2 --hours 2 --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code")
    parser.add_argument("--hours", type=int, help="it is good for so long (default HANLU_ENROLMENT__TOKEN_HOURS)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make it and print it, this once."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        token = here.gateways.token(None, args.code, args.hours)
        line = here.enrol_line(token)
    if args.json:
        until = token.expires_at.isoformat()
        print(json.dumps({"gateway": args.code, "token": token.token, "expires_at": until}))
    else:
        print(f"at gateway {args.code}, until {token.expires_at:%F %R} UTC:\n  {line}")
    return 0
