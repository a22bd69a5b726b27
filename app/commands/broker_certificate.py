"""Make certificates for the broker of a small site: its own, and those of gateways that must show one.

The first use makes a private certificate authority in the folder (default: `certificates` in the data folder). Its
ca.key signs for everybody: keep it off the broker's machine where you can. With --csr a gateway's key is made at the
gateway and never leaves it (openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 ...).

examples:
  hanlu broker certificate --server broker.example.cn --server 10.1.2.3
  hanlu broker certificate --client gw-yanling-2
  hanlu broker certificate --client gw-yanling-2 --csr gw-yanling-2.csr
  hanlu broker certificate --revoke gw-yanling-2
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from hanlu.app.certificates import Authority, Made
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.core.limits import CODE_PATTERN

_SERVER_DAYS, _CLIENT_DAYS = 825, 730


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    act = parser.add_mutually_exclusive_group(required=True)
    act.add_argument("--server", action="append", metavar="HOST", help="name or address of the broker; repeatable")
    act.add_argument("--client", metavar="CODE", help="code of a gateway")
    act.add_argument("--revoke", metavar="CODE", help="code of a gateway whose certificates count no more")
    parser.add_argument("--csr", type=Path, metavar="FILE", help="with --client: sign this request, make no key")
    parser.add_argument("--days", type=int, help=f"good for so long (default {_SERVER_DAYS}, client {_CLIENT_DAYS})")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="where the authority is kept")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make or revoke, and say where things are."""
    if args.csr and not args.client:
        raise UsageError("--csr goes with --client")
    if args.days is not None and args.days < 1:
        raise UsageError("--days is at least 1")
    code = args.client or args.revoke
    if code is not None and not re.fullmatch(CODE_PATTERN, code):
        raise UsageError(f"{code!r} is not a gateway's code")
    authority = Authority((args.dir or settings.data.folder / "certificates").absolute(), datetime.now(UTC))
    if authority.ensure():
        print(f"made an authority: {authority.certificate}")
    if args.revoke:
        count = authority.revoke(args.revoke)
        print(f"{count} certificate(s) of {args.revoke} revoked; give {authority.revoked} to the broker, restart it")
    elif args.client:
        made = authority.client(args.client, args.days or _CLIENT_DAYS, args.csr)
        _say(made)
        print("in the gateway's configuration, beside its broker's lines:")
        print('  broker.certificate_file = "..."')
        print('  broker.certificate_key_file = "..."')
    else:
        made = authority.server(args.server, args.days or _SERVER_DAYS)
        _say(made)
        print("settings of the embedded broker:\n  [broker]\n  tls_port = 8883")
        print(f'  certificate_file = "{made.certificate}"\n  key_file = "{made.key}"')
        print(f'  ca_file = "{authority.certificate}"')
    return 0


def _say(made: Made) -> None:
    print(f"certificate: {made.certificate}, until {made.not_after:%Y-%m-%d}")
    if made.key is not None:
        print(f"key:         {made.key}")
