"""Where the time goes: processor time of the parts of a stand, from Linux' /proc. Elsewhere nothing is told.

Source: proc(5), /proc/pid/stat: fields 4 (ppid), 14 and 15 (utime, stime), clock ticks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["PARTS", "spent"]

PARTS: Final = {
    "publisher": "hanlu.app.bench.publisher",
    "broker": "mosquitto",
    "ingest": "run\0ingest",
    "database": "postgres",
    "alerts": "run\0alerts",
    "web": "run\0web",
}
"""Part to a piece of the command line of its processes."""


def spent() -> dict[str, float]:
    """Return processor seconds so far by part, of the processes that descend from this one and live."""
    processes = {pid: found for pid in _pids() if (found := _read(pid)) is not None}
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _, _) in processes.items() if parent in ours} - ours:
        ours |= more
    seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for pid in ours & processes.keys():
        _, command, ticks = processes[pid]
        for part, piece in PARTS.items():
            if piece in command:
                seconds[part] += ticks / os.sysconf("SC_CLK_TCK")
                break
    return seconds


def _pids() -> list[int]:
    root = Path("/proc")
    return [int(each.name) for each in root.iterdir() if each.name.isdigit()] if root.is_dir() else []


def _read(pid: int) -> tuple[int, str, int] | None:
    """Return parent, command line and clock ticks; None when the process has gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[1]), Path(f"/proc/{pid}/cmdline").read_text(), int(words[11]) + int(words[12])
    except (OSError, ValueError):
        return None
