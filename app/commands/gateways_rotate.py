"""Give a gateway a new broker password, printed this once; the old one ends now.

For who sets it in the gateway's file by hand. Where somebody can work at the gateway, `hanlu enrol --renew` there is
better: it changes key and password together and writes the file itself.

examples:
  hanlu gateways rotate gw-yanling-2
  hanlu gateways rotate gw-yanling-2 --json
"""

from __future__ import annotations

import argparse
import json

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make the password and print it."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        password = here.gateways.new_password(None, args.code)
    print(json.dumps({"gateway": args.code, "password": password}) if args.json else password)
    return 0
