"""Run one role in the foreground.

`hanlu up` runs each role this way; on several machines a service manager does. A role stops in good order on SIGTERM or
Ctrl-C. Its settings come from --config or the environment, and from the `hanlu up` on the data folder when one runs.

examples:
  hanlu run ingest --config /etc/hanlu/hanlu.toml
  HANLU_DATABASE__URL=postgresql://... HANLU_BROKER__URL=mqtt://... hanlu run ingest
"""

from __future__ import annotations

import argparse

from hanlu.app.role_process import run_role
from hanlu.app.roles import ROLES
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.epilog = "roles:\n" + "\n".join(f"  {role.name:<10} {role.summary}" for role in ROLES)
    parser.add_argument("role", choices=[role.name for role in ROLES], metavar="ROLE", help="one of those below")
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="answer Prometheus at this TCP port of the loopback with what this process counts about itself",
    )
    parser.add_argument("--notify-fd", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run the role until it is asked to stop."""
    effective = settings if args.config else settings_of_running(settings)
    return run_role(args.role, effective, args.notify_fd, args.metrics_port)
