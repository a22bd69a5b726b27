"""Show what runs on the data folder: each process, its state, since when, and its log.

Exit code 0 when Hanlu runs and every process is ready, 1 otherwise.

examples:
  hanlu status
  hanlu status --json
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from hanlu.app.datafolder import DataFolder
from hanlu.app.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the status."""
    folder = DataFolder(settings.data.folder)
    status = folder.status() if folder.owner() is not None else None
    if status is None:
        status = {"state": "not running", "data": str(folder.path), "processes": []}
    if args.json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
    else:
        print("\n".join(_lines(status)))
    return 0 if status["state"] == "ready" and all(_is_fine(p) for p in status["processes"]) else 1


def _is_fine(process: dict[str, Any]) -> bool:
    return process["state"] in {"ready", "done"}


def _lines(status: dict[str, Any]) -> list[str]:
    lines = [f"Hanlu is {status['state']}" + (f": {status['url']}" if status.get("url") else f" on {status['data']}")]
    lines += [f"{name}: {text}" for name, text in status.get("services", {}).items()]
    if status["processes"]:
        lines += ["", f"{'process':<12}{'state':<14}{'pid':>8}{'since':>10}{'starts':>8}  log"]
    for one in status["processes"]:
        since = _duration(one["since_s"])
        lines.append(
            f"{one['name']:<12}{one['state']:<14}{one['pid'] or '-':>8}{since:>10}{one['starts']:>8}  {one['log']}"
        )
    return lines


def _duration(seconds: float) -> str:
    """Say a duration in its two largest units."""
    whole = int(seconds)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // small}{small_unit}"
    return f"{whole}s"
