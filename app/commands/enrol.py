"""Enrol this gateway with the platform, or renew its key and broker password.

For the computer on the spot. An administrator makes the one-time token, on the gateway page or by `hanlu gateways
token`. The private key is made here and never leaves; the platform learns the public half and says how to reach the
broker. Writes the configuration, and in the state folder gateway.key and broker-ca.pem, readable by their owner only;
run again, it changes its own part and leaves yours, such as the drivers, alone. If the answer is lost, run the same
line again.

--renew makes a new key, announced by the present one, and a new password; the gateway takes them up when it starts
again. What waits in its spool stays good for the platform's overlap time.

examples:
  sudo hanlu enrol --server https://hanlu.example.cn --token abcdefgh-jkmnpqrs-tuvwxyz2-3456789a
  sudo hanlu enrol --server https://10.1.2.3:8443 --ca site-ca.pem --token ... --out /etc/hanlu/gateway.toml
  sudo hanlu enrol --renew && sudo systemctl restart hanlu-gateway
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.core.wire.enrolment import Enrolled
from hanlu.gateway.enrol import SERVICE_STATE, Files, Platform, enrol, is_exposed, renew

_CLOCK_WARNING_S = 120


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--server", metavar="URL", help="base URL of the platform, https:// in real use")
    parser.add_argument("--token", help="the one-time token")
    parser.add_argument("--renew", action="store_true", help="a new key and password for a gateway already enrolled")
    parser.add_argument("--keep-key", action="store_true", help="with --renew: the password only")
    default = Path("/etc/hanlu/gateway.toml")
    parser.add_argument("--out", type=Path, default=default, metavar="FILE", help=f"configuration (default {default})")
    state = f"folder of key and spool (default {SERVICE_STATE} for a configuration in /etc, else beside it)"
    parser.add_argument("--state", type=Path, metavar="FOLDER", help=state)
    parser.add_argument("--ca", type=Path, metavar="FILE", help="PEM roots to trust for an https server of your own CA")
    parser.add_argument("--json", action="store_true", help="say what was done as JSON, without secrets")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Enrol or renew, and say what comes next."""
    files = Files(args.out.absolute(), args.state.absolute() if args.state else None)
    if args.renew:
        if args.server or args.token:
            raise UsageError("--renew takes neither --server nor --token: it asks where the gateway enrolled")
        enrolled = renew(files, new_key=not args.keep_key)
    else:
        if not (args.server and args.token):
            raise UsageError("name --server and --token, or --renew for a gateway already enrolled")
        platform = Platform(args.server.rstrip("/"), args.ca)
        if is_exposed(platform.url):
            _warn_exposed(platform.url)
        enrolled = enrol(platform, args.token, files)
    offset_s = enrolled.now_ms / 1000 - time.time()
    if abs(offset_s) > _CLOCK_WARNING_S:
        print(f"hanlu: this machine's clock is {offset_s:+.0f} s off the platform's: set it", file=sys.stderr)
    _say(files, enrolled, renewed=args.renew, as_json=args.json)
    return 0


def _warn_exposed(url: str) -> None:
    lines = (
        f"WARNING: {url} is not https.",
        "Whoever listens on the way reads the token and the broker password, and can send in this gateway's name what",
        "the broker lets through. Use this on a bench only; in real use give the platform a certificate.",
    )
    rule = "!" * max(map(len, lines))
    print(rule, *lines, rule, sep="\n", file=sys.stderr)


def _say(files: Files, enrolled: Enrolled, *, renewed: bool, as_json: bool) -> None:
    broker = enrolled.broker
    until_ms = enrolled.old_key_until_ms
    if as_json:
        told = {
            "gateway": enrolled.gateway,
            "partition": enrolled.partition,
            "kid": enrolled.kid,
            "broker": f"{'mqtts' if broker.tls else 'mqtt'}://{broker.host}:{broker.port}",
            "config": str(files.config),
            "old_key_until_ms": until_ms,
        }
        print(json.dumps(told))
        return
    print(f"gateway {enrolled.gateway} {'has renewed' if renewed else 'is enrolled'}: key {enrolled.kid}")
    print(f"  partition      {enrolled.partition:02d}")
    print(f"  broker         {broker.host}:{broker.port}{' with TLS' if broker.tls else ', WITHOUT TLS'}")
    print(f"  configuration  {files.config}")
    if until_ms is not None:
        print(f"  old key        counts until {datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC")
    if renewed:
        print("next: restart the gateway (sudo systemctl restart hanlu-gateway)")
    else:
        print(f"next: add your devices to {files.config}, try it with `sudo hanlu gateway {files.config} --check`, and")
        print(f"install it: sudo hanlu gateway {files.config} --install-unit /etc/systemd/system")
