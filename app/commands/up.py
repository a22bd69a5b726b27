"""Start everything on this machine and keep it running.

The first start fetches or builds what is missing (database extension, trial chain), makes the data folder and prints
the first passwords; that takes about half a minute, later starts a few seconds. Nothing needs to be configured; a
database, broker or chain given by URL replaces the embedded one. Ctrl-C or SIGTERM stops everything in order; a
second one hurries.

examples:
  hanlu up
  hanlu up --port 9000 --data /srv/hanlu
  hanlu up --no-simulator
  HANLU_DATABASE__URL=postgresql://hanlu@db/hanlu hanlu up
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from hanlu.app.compose import Composition, compose, listeners, units
from hanlu.app.datafolder import DataFolder, check_ports
from hanlu.app.embedded.service import StoppedError
from hanlu.app.lifecycle import Limits
from hanlu.app.roles import ROLES
from hanlu.app.settings import Settings
from hanlu.app.stop_signals import StopSignals
from hanlu.app.supervisor import Supervisor
from hanlu.core.errors import UsageError

_SIMULATED = ("gateway", "simulator")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    names = ", ".join(role.name for role in ROLES)
    parser.add_argument("--port", type=int, help="TCP port of the web pages (HANLU_WEB__PORT, default 8077)")
    parser.add_argument(
        "--no-simulator", action="store_true", help="without simulated devices; real ones are expected to send"
    )
    parser.add_argument("--roles", metavar="LIST", help=f"only these, comma-separated; empty for none: {names}")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Start, keep, stop."""
    begun = time.monotonic()
    if args.port is not None:
        settings = settings.with_values(web={"port": args.port})
    settings = settings.with_values(data={"folder": settings.data.folder.absolute()})
    roles = _roles(args)
    folder = DataFolder(settings.data.folder)
    folder.make()
    with folder.owned(), StopSignals() as stop:
        folder.forget_figures()
        check_ports(listeners(settings, roles), patient=not folder.ended_cleanly())
        try:
            composition = compose(settings, _progress, stop.event)
        except StoppedError:
            _progress("stopped before everything was prepared; the next start goes on from here")
            return 130
        for what, text in composition.descriptions.items():
            _say(f"{what + ':':<10}{text}")
        return _keep(composition, folder, roles, stop, begun)


def _keep(composition: Composition, folder: DataFolder, roles: list[str], stop: StopSignals, begun: float) -> int:
    settings = composition.settings
    folder.write(folder.settings_file, settings.model_dump())
    about = {"url": settings.web.base_url, "data": str(folder.path), "services": composition.descriptions}

    def publish(status: dict[str, Any]) -> None:
        folder.write(folder.status_file, status | about)

    def all_ready() -> None:
        seconds = time.monotonic() - begun
        where = settings.web.base_url if "web" in roles else str(folder.path)
        _say(f"Hanlu is ready: {where}  ({seconds:.1f} s)")

    kept = settings.supervisor
    supervisor = Supervisor(
        units=units(composition, roles),
        limits=Limits(
            kept.ready_deadline_s, kept.stop_deadline_s, kept.backoff_first_s, kept.backoff_max_s, kept.stable_after_s
        ),
        stop=stop,
        say=_say,
        on_ready=all_ready,
        publish=publish,
    )
    outcome = supervisor.run()
    if outcome.reason:
        print(f"hanlu: {outcome.reason}", file=sys.stderr)
    return outcome.code


def _roles(args: argparse.Namespace) -> list[str]:
    known = [role.name for role in ROLES]
    if args.roles is None:
        return [name for name in known if not (args.no_simulator and name in _SIMULATED)]
    asked = [name.strip() for name in args.roles.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in known]:
        raise UsageError(f"--roles: there is no role {unknown[0]!r}; there are {', '.join(known)}")
    return [name for name in known if name in asked]


def _say(line: str) -> None:
    print(line, flush=True)


def _progress(line: str) -> None:
    print(f"· {line}", file=sys.stderr, flush=True)
