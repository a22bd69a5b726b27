"""A gateway that reads a logger's export is killed again and again: every row is kept, few are offered twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROWS = 120_000
PIECE = 4_000
"""Rows in one piece, as the importer cuts them: more than this a kill cannot repeat."""

READER = """
import os, sys
from hanlu.core.clock import SystemClock
from hanlu.gateway.driver.contract import Verdict
from hanlu.gateway.driver.csv_folder import CsvFolderConfig

class Disk:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def offer(self, batch):
        os.write(self.file, b"".join(b"%d\\n" % each.observed_ms for each in batch.readings))
        os.fsync(self.file)
        return Verdict.KEPT

config = CsvFolderConfig.model_validate({
    "name": "handover",
    "folder": {"path": sys.argv[1], "pattern": "*.csv", "poll_s": 0.05, "stable_s": 0},
    "time": {"columns": ["Time"], "format": "unix_ms"},
    "device": {"code": "box-1"},
    "columns": [{"source": "Temperature", "metric": "air_temperature", "unit": "°C"}],
})
config.build(Disk(sys.argv[2]), SystemClock()).run()
"""


@pytest.mark.slow
def test_export_survives_kills_at_any_moment(tmp_path: Path) -> None:
    folder, disk = tmp_path / "in", tmp_path / "disk"
    folder.mkdir()
    first_ms = 1_750_000_000_000
    with (folder / "a.csv").open("w") as export:
        export.write("Time,Temperature\n")
        export.writelines(f"{first_ms + 1_000 * row},4.5\n" for row in range(ROWS))
    chance = random.Random(11)
    kills = 0
    end = time.monotonic() + 60
    while not (folder / "done" / "a.csv").exists():
        assert time.monotonic() < end, "the export is never read to its end"
        child = subprocess.Popen([sys.executable, "-P", "-c", READER, str(folder), str(disk)])
        patience = time.monotonic() + (chance.uniform(0.3, 0.9) if kills < 12 else 30)
        while time.monotonic() < patience and not (folder / "done" / "a.csv").exists():
            time.sleep(0.01)
        child.kill()
        child.wait()
        kills += 1
    kept = Counter(int(line) for line in disk.read_bytes().splitlines())
    assert set(kept) == {first_ms + 1_000 * row for row in range(ROWS)}
    assert kept.total() - ROWS <= kills * PIECE, "more than the piece that was being kept came twice"
    assert kills > 1, "nothing was interrupted"
