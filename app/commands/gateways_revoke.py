"""Stop taking anything from a gateway, at once: its keys, token and broker login end, what was received stays.

The embedded Mosquitto closes its connection now; another broker refuses it as docs/how-to/brokers.md tells. What the
gateway sends is refused by ingest within 15 s, whatever the broker does. It can come back with a new token and a new
key.

examples:
  hanlu gateways revoke gw-yanling-2
"""

from __future__ import annotations

import argparse

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Revoke it."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        here.gateways.revoke(None, args.code)
        embedded = here.settings.broker.embedded
    print(f"gateway {args.code} is revoked")
    if not embedded:
        print("your broker still holds its files or sessions: see docs/how-to/brokers.md")
    return 0
