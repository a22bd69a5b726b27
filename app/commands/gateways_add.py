"""Add a gateway to the register and make its one-time enrolment token.

The partition is the least used one, chosen by itself. The token is printed this once; at the gateway, `hanlu enrol`
spends it. The gateway page of administrators does the same.

examples:
  hanlu gateways add gw-yanling-2 --site yanling-store
  hanlu gateways add gw-yanling-2 --site yanling-store --hours 72 --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code: a-z 0-9 -, at most 40; it cannot change")
    parser.add_argument("--site", required=True, help="code of the site it stands at")
    parser.add_argument(
        "--hours", type=int, help="the token is good for so long (default HANLU_ENROLMENT__TOKEN_HOURS)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Add it and print the token."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        partition = here.gateways.add(None, args.code, args.site)
        token = here.gateways.token(None, args.code, args.hours)
        line = here.enrol_line(token)
    if args.json:
        until = token.expires_at.isoformat()
        print(json.dumps({"gateway": args.code, "partition": partition, "token": token.token, "expires_at": until}))
    else:
        print(f"gateway {args.code}, partition {partition:02d}; at the gateway, until {token.expires_at:%F %R} UTC:")
        print(f"  {line}")
    return 0
