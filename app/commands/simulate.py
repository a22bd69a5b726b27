"""Let the devices of the demo county work, in the foreground, faster or with faults.

Feeds the gateways of a running system that has no simulator of its own. At speed 1 the devices live in the present; a
faster run begins --hours ago and ends when it has come to the moment at which it was started.

examples:
  hanlu up --roles ingest,alerts,trace,web,gateway      in one terminal, and in another:
  hanlu simulate
  hanlu simulate --speed 60 --hours 6 --seed 7
  hanlu simulate --fault stuck@room-3 --fault link-loss@gw-yanling
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any

from hanlu.app.datafolder import DataFolder
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.simulate_faults import FAULT_WORDS, fault_of
from hanlu.app.stop_signals import StopSignals
from hanlu.app.wiring import line_ports
from hanlu.core.clock import SystemClock, from_ms
from hanlu.core.errors import ConflictError, UsageError
from hanlu.firmware_sim.runner import RunSummary
from hanlu.firmware_sim.runner import run as run_county
from hanlu.firmware_sim.yanling import demo_county

_HOUR_MS = 3_600_000
_SHOW_EVERY_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--speed", type=float, default=1.0, metavar="N", help="simulated seconds per second, 1 or more")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="how long ago a faster run begins")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of all chance: the same seed, the same values"
    )
    parser.add_argument("--no-past", action="store_true", help="at speed 1: without the history of the first start")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[@PLACE]", help=FAULT_WORDS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Simulate until a signal, or until a faster run is through."""
    if not 1.0 <= args.speed <= 10_000 or not 0 < args.hours <= 24 * 365:
        raise UsageError("--speed is between 1 and 10000, --hours above 0 and within a year")
    settings = settings if args.config else settings_of_running(settings)
    _demand_gateways_alone(DataFolder(settings.data.folder).status())
    county = demo_county()
    now_ms = SystemClock().now_ms()
    faster = args.speed > 1.0
    start_ms = now_ms - round(args.hours * _HOUR_MS) if faster else None
    faults = [fault_of(text, county, start_ms or now_ms) for text in args.fault]
    with StopSignals() as stop:
        line = _StatusLine()

        summary = run_county(
            county,
            {code: ("127.0.0.1", port) for code, port in line_ports(settings, county).items()},
            stop.event,
            speed=args.speed,
            seed=args.seed,
            start_ms=start_ms,
            until_ms=now_ms if faster else None,
            past=not args.no_past,
            state=None if faster else settings.data.folder / "gateway" / "simulator.json",
            faults=faults,
            watch=line.show,
        )
        line.end()
    refused = {reason: count for reason, count in sorted(summary.answers.items()) if reason != "taken"}
    print(
        f"{summary.samples:,} values, {summary.events:,} events, {summary.dropped:,} dropped, refused: {refused or 0}"
    )
    return 1 if refused else 0


def _demand_gateways_alone(status: dict[str, Any] | None) -> None:
    """Refuse where two simulators would contradict each other, or nobody takes what the devices say."""
    processes = (status or {}).get("processes", [])
    living = {each["name"] for each in processes if each["state"] in {"starting", "ready", "backing_off"}}
    if "simulator" in living:
        raise ConflictError("a simulator runs already: start `hanlu up --roles ingest,alerts,trace,web,gateway`")
    if "gateway" not in living:
        raise UsageError("no gateway runs here: start `hanlu up --roles ingest,alerts,trace,web,gateway` first")


@dataclass(slots=True)
class _StatusLine:
    """One line on standard error that is written over; where that is no terminal, nothing."""

    _shown_at: float = 0.0

    def show(self, at_ms: int, summary: RunSummary) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self._shown_at < _SHOW_EVERY_S:
            return
        self._shown_at = now
        taken = summary.answers["taken"]
        refused = summary.answers.total() - taken
        words = f"{summary.samples:,} values, {summary.events:,} events; lines taken {taken:,}, refused {refused:,}"
        print(f"\r{from_ms(at_ms):%Y-%m-%d %H:%M:%S} UTC  {words}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown_at:
            print(file=sys.stderr)
