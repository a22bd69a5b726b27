"""Measure how fast readings become durable, beside what the parts alone can do.

A private Hanlu is started in a temporary folder: database, broker, alarm engine, web application with an open console,
and for each run an ingest worker and a publisher. Your own data is not touched. Every round measures a subscriber that
does nothing, COPY of the same rows, a bare insert that leaves out duplicates, and ingest; medians count, and ratios
compare between machines. What else the machine does is in the figures.

examples:
  hanlu bench ingest                     1, 10, 50 and 500 readings a message, plain and signed, three rounds
  hanlu bench ingest --json --rounds 5
  hanlu bench ingest --only signed-50,plain-1 --rounds 1
  hanlu bench ingest --latency           publish to commit at 6,440 readings a second
  hanlu bench ingest --backlog           an hour of a province beside its live readings
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hanlu.app.bench.ingest import SHAPES, Row, measured
from hanlu.app.bench.latency import BacklogFigures, Percentiles, backlog, latency
from hanlu.app.bench.messages import Shape
from hanlu.app.bench.stand import Stand, standing
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError

_MOST_ROUNDS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds, of which the median counts (3)")
    parser.add_argument("--only", metavar="LIST", help="only these shapes, comma-separated: plain-1, signed-50, ...")
    parser.add_argument("--latency", action="store_true", help="measure publish to commit instead")
    parser.add_argument("--rate", type=float, default=6_440.0, help="readings a second for --latency (6440)")
    parser.add_argument("--seconds", type=float, help="length of --latency (20) or of the sending of --backlog (100)")
    parser.add_argument("--backlog", action="store_true", help="measure a backlog beside live readings instead")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Measure and print."""
    if not 1 <= args.rounds <= _MOST_ROUNDS:
        raise UsageError(f"--rounds: 1 to {_MOST_ROUNDS}")
    shapes = _chosen(args.only)
    logging.getLogger("hanlu").setLevel(logging.ERROR)  # what subscribers say at each end belongs to no figure
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"· {time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="hanlu-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the database may run as another user, who has to get through
        with standing(folder, say) as stand:
            about = _about(stand)
            if args.latency:
                return _told(args, about, "latency", latency(stand, args.rate, args.seconds or 20.0, say))
            if args.backlog:
                return _told(args, about, "backlog", backlog(stand, args.seconds or 100.0, say))
            rows = [_shown(row, args, first=n == 0) for n, row in enumerate(measured(stand, shapes, args.rounds, say))]
    if args.json:
        print(json.dumps(about | {"rounds": args.rounds, "ingest": [row.as_json() for row in rows]}, indent=1))
    return 0


def _chosen(only: str | None) -> tuple[Shape, ...]:
    named = {f"{'signed' if each.signed else 'plain'}-{each.size}": each for each in SHAPES}
    if only is None:
        return SHAPES
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in named]:
        raise UsageError(f"--only: there is no {unknown[0]!r}; there are {', '.join(named)}")
    return tuple(named[name] for name in names)


def _about(stand: Stand) -> dict[str, Any]:
    """Return what was measured on."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "services": stand.about,
    }


def _told(args: argparse.Namespace, about: dict[str, Any], name: str, figures: Percentiles | BacklogFigures) -> int:
    told = figures.as_json()
    if args.json:
        print(json.dumps(about | {name: told}, indent=1))
    else:
        _lines(told, print)
    return 0


def _lines(told: dict[str, Any], say: Callable[[str], None], before: str = "") -> None:
    for key, value in told.items():
        if isinstance(value, dict):
            _lines(value, say, f"{before}{key} ")
        else:
            say(f"{before + key:<28} {value:,}")


def _shown(row: Row, args: argparse.Namespace, *, first: bool) -> Row:
    """Print one line of the table, before the first one its head."""
    if args.json:
        return row
    if first:
        heads = ["messages", "readings each", "no-op subscriber", "COPY", "dedup insert", "ingest, readings/s"]
        print(f"| {' | '.join([*heads, 'of no-op', 'of COPY', 'of dedup insert'])} |\n|---|{'---:|' * 8}")
    cells = ["signed" if row.shape.signed else "plain", str(row.shape.size)]
    cells += [f"{rate:,.0f}" for rate in (row.noop, row.copy, row.insert, row.ingest)]
    cells += [f"{row.ingest / other:.2f}" for other in (row.noop, row.copy, row.insert)]
    print(f"| {' | '.join(cells)} |", flush=True)
    told = ", ".join(f"{part} {each:,.0f}" for part, each in row.cpu_us.items())
    print(f"· processor time of a message, us: {told or 'not told by this system'}", file=sys.stderr)
    return row
