"""Declare lost what is missing of a gateway that will not come back: destroyed, stolen, its disk gone.

Shows which messages are missing. With --yes they count as lost, with the reason, on the gateway's account; the gap is
closed and its alarm returns. Should some of them come after all, they are stored and the account is corrected. What the
gateway had measured beyond its last message nobody can count. To stop trusting the device too: `hanlu gateways revoke`.

examples:
  hanlu gateways declare-lost gw-yanling-2
  hanlu gateways declare-lost gw-yanling-2 --reason flooded --yes
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from contextlib import closing

from hanlu.app.gateway_admin import at_the_machine
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.clock import from_ms
from hanlu.db.pool import connect
from hanlu.ingest.declare import USUAL_REASON, MissingSpool, declare_lost, missing_spools
from hanlu.registry.store import ROOT_SCOPE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", metavar="CODE", help="the gateway's code")
    parser.add_argument("--reason", default=USUAL_REASON, help=f"why, snake_case (default {USUAL_REASON})")
    parser.add_argument("--yes", action="store_true", help="do it; without it only what is missing is shown")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show what is missing, or declare it lost; 1 when it waits for --yes."""
    with at_the_machine(settings, own_config=bool(args.config)) as here:
        here.gateways.one(ROOT_SCOPE, args.code)
        url = database_url(here.settings)
        with closing(connect(url, "hanlu_ingest", name="hanlu gateways", autocommit=True)) as connection:
            if not args.yes:
                spools = missing_spools(connection, args.code)
            elif spools := declare_lost(connection, args.code, args.reason, getpass.getuser()):
                here.gateways.note_lost(args.code, args.reason, sum(each.readings for each in spools))
    if args.json:
        print(json.dumps([_as_json(each) | {"declared_lost": args.yes} for each in spools]))
    else:
        print(_as_text(args.code, spools, declared=args.yes))
    if args.yes or not spools:
        return 0
    print("nothing is changed; with --yes this is declared lost", file=sys.stderr)
    return 1


def _as_json(spool: MissingSpool) -> dict[str, object]:
    return {
        "epoch": spool.epoch.hex(),
        "messages": spool.messages,
        "readings": spool.readings,
        "missing_since": from_ms(spool.since_ms).isoformat(),
        "last_heard": from_ms(spool.last_ms).isoformat(),
    }


def _as_text(code: str, spools: Sequence[MissingSpool], *, declared: bool) -> str:
    if not spools:
        return f"nothing is missing of gateway {code}"
    verb = "declared lost" if declared else "missing"
    return "\n".join(
        f"{each.messages:,} messages with {each.readings:,} readings {verb}, since {from_ms(each.since_ms):%F %R} UTC;"
        f" spool {each.epoch.hex()[:8]} last heard {from_ms(each.last_ms):%F %R} UTC"
        for each in spools
    )
