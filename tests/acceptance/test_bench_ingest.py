"""`hanlu bench ingest` starts what it needs, measures and prints, and leaves nothing running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]


def _bench(*flags: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "hanlu.app", "bench", "ingest", *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def test_one_shape_is_measured_beside_its_parts(tmp_path: Path) -> None:
    done = _bench("--only", "plain-500", "--rounds", "1", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (row,) = told["ingest"]
    assert (row["signed"], row["readings_per_message"], told["rounds"]) == (False, 500, 1)
    for name in (
        "noop_subscriber_readings_per_s",
        "copy_rows_per_s",
        "dedup_insert_rows_per_s",
        "ingest_readings_per_s",
    ):
        assert row[name] > 0
    assert row["of_copy"] == pytest.approx(row["ingest_readings_per_s"] / row["copy_rows_per_s"], rel=0.01)
    assert list(tmp_path.iterdir()) == []


def test_unknown_shape_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = _bench("--only", "plain-7", folder=tmp_path)
    assert done.returncode == 2
    assert "plain-7" in done.stderr
