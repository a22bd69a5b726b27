"""Run one gateway, the edge: devices in, signed messages out, nothing lost in between.

For the computer on the spot, which needs no database: the configuration file (TOML, or JSON) names the gateway, its
partition, the folder of its spool, its drivers, and the broker with this gateway's own login. Its key is made at the
first start; the public half is enrolled in the register. The gateways of the simulated county run as the role `gateway`
of `hanlu up` instead. docs/how-to/gateway.md tells all about it.

examples:
  hanlu gateway /etc/hanlu/gateway.toml
  hanlu gateway gateway.toml --check
  hanlu gateway gateway.toml --status /run/hanlu/gateway.json
  hanlu gateway /etc/hanlu/gateway.toml --install-unit /etc/systemd/system
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path

from hanlu.app import log_format
from hanlu.app.edge_process import checked, read_config, serve
from hanlu.app.edge_unit import install_unit
from hanlu.app.notify import Notifier
from hanlu.app.role_process import run_main
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("file", type=Path, metavar="CONFIG", help="the gateway's configuration, TOML or .json")
    parser.add_argument("--status", type=Path, metavar="FILE", help="say twice a second in this file how it is")
    parser.add_argument("--check", action="store_true", help="say what would run, and end; 2: it cannot run so")
    parser.add_argument(
        "--install-unit", type=Path, metavar="DIR", help="write hanlu-gateway.service for this file there, and end"
    )
    parser.add_argument("--notify-fd", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run it until it is asked to stop."""
    config = read_config(args.file)
    if args.check:
        print(checked(config))
        return 0
    if args.install_unit is not None:
        print(install_unit(args.install_unit, args.file, config))
        return 0

    def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
        serve(config, args.status, stop, ready)
        return 0

    log_format.configure(settings.log, config.code)
    return run_main(config.code, main, settings, Notifier(args.notify_fd))
