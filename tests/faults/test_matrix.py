"""The fault matrix as a user runs it: every quick fault once, and those with gateways of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hanlu.app.embedded.broker import find_mosquitto
from hanlu.app.faults.catalogue import FAULTS
from hanlu.app.faults.special import SPECIALS

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]

QUICK = [fault.name for fault in FAULTS if not fault.slow]


def matrix(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "hanlu.app", "faults", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.skipif(find_mosquitto() is None and "HANLU_REQUIRE_SERVERS" not in os.environ, reason="no Mosquitto here")
def test_nothing_is_lost_or_twice_whatever_breaks() -> None:
    names = [*QUICK, *(special.name for special in SPECIALS)]
    answer = matrix("--json", "--only", ",".join(names), "--seed", "20260618")
    assert answer.returncode == 0, answer.stderr[-6_000:]
    found = json.loads(answer.stdout)
    assert (found["lost"], found["twice"], found["unexplained"]) == (0, 0, 0)
    assert found["alarms"] == {"due": len(QUICK), "wrong": 0}
    assert found["sent"] == found["stored"] + found["declared_lost"]
    assert set(found["counts"]) | set(found["skipped"]) == set(names)
    assert set(found["skipped"]) <= {"packets-lost", "disk-full"}
    assert found["faults"]["duplicate-storm"]["rounds"] == 1


def test_unknown_fault_is_refused_with_the_way_to_the_list() -> None:
    answer = matrix("--only", "meteorite")
    assert answer.returncode == 2
    assert "hanlu faults --list" in answer.stderr
