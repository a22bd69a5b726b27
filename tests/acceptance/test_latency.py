"""The whole county at work, and one device more: its values and its alarms reach an open console within a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fix_running import running_hanlu

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "latency.py"
MOST_MS = 1000


def test_value_and_alarm_reach_the_console_within_a_second_of_the_device() -> None:
    with running_hanlu() as hanlu:
        done = subprocess.run(
            [sys.executable, "-P", BENCHMARK, "--data", hanlu.data, "--seconds", "20", "--gateway", "--json"],
            env=hanlu.environment,
            input=hanlu.passwords["operator"],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print(done.stdout)
    committed, console = figures["publish to committed"], figures["publish to console"]
    assert committed["count"] > 1000
    assert committed["missing"] == 0
    assert committed["p95"] < MOST_MS
    # The stream tells the newest value of a channel: two that come at once on a busy machine are one event.
    assert console["missing"] <= console["count"] / 100
    assert console["p95"] < MOST_MS
    for delay in (0, 1, 2):
        alarm = figures[f"publish to alarm, on-delay {delay} s"]
        assert alarm["count"] >= 6
        assert alarm["missing"] == 0
        assert alarm["p95"] < MOST_MS
