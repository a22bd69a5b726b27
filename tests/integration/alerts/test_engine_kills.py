"""SIGKILL to the engine again and again: the journal is the one of a run that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from fix_alerts import CHILL, FROZEN, TRUCK, Cell, County, rule
from frozen_room import frozen_room

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.core.clock import SystemClock
from hanlu.db.pool import connect

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

_PROGRAM = """
import sys, threading
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
config = EngineConfig(seed_rules=False, page_arrivals=int(sys.argv[2]))
run(config, sys.argv[1], threading.Event(), lambda: print("ready", flush=True))
"""
KILLS = 8


def messages() -> list[Sequence[Cell]]:
    """The real room as it comes through a gateway, beside two others that alarm at other times."""
    readings = frozen_room()
    made: list[Sequence[Cell]] = []
    for index in range(0, len(readings), 10):
        part = readings[index : index + 10]
        made.append([(FROZEN, at, value) for at, value in part] + [(CHILL, at, value + 24) for at, value in part])
        if index % 3 == 0:
            made.append([(TRUCK, at, -value / 2) for at, value in part])
    return made


def start(county: County, page: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, county.url, str(page)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def judged(county: County) -> int:
    [(count,)] = county.query(
        "SELECT count(*) FROM telemetry.arrival_feed AS f, alerts.cursor AS c"
        " WHERE (f.txid, f.arrival_id) <= (c.txid, c.arrival_id)"
    )
    assert isinstance(count, int)
    return count


def test_engine_killed_again_and_again_neither_misses_nor_repeats_a_transition(county: County) -> None:
    # A limit that knows defrosts, so that holds and releases are among what must not be lost.
    county.rules(rule("high", "high", applies={"profiled": True}, parameters={"hold_defrost": True}))
    county.arrive_all(messages(), replayed=True)
    [(total,)] = county.query("SELECT count(*) FROM telemetry.arrival")
    assert isinstance(total, int)
    seen = []
    for kill in range(1, KILLS + 1):
        process = start(county, page=5)
        while judged(county) < total * kill // (KILLS + 1):
            assert process.poll() is None
            time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        seen.append(judged(county))
    process = start(county, page=400)
    while judged(county) < total:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    killed = county.journal()
    assert seen == sorted(seen)
    assert seen[-1] < total

    county.forget()
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        engine = Engine(EngineConfig(seed_rules=False, page_arrivals=400), connection, SystemClock())
        while engine.turn():
            pass
    assert county.journal() == killed
    assert len(killed) > 100
    assert {"raise", "suppress", "unsuppress", "close", "return"} <= {row[9] for row in killed}


def test_catching_up_judges_twenty_thousand_readings_a_second(county: County) -> None:
    """The floor of the load to design for; the figure on an idle core is several times that."""
    readings = frozen_room()
    cells = [
        (channel, at, value + shift) for at, value in readings for channel, shift in ((FROZEN, 0.0), (CHILL, 24.0))
    ]
    county.arrive_all([cells[index : index + 200] for index in range(0, len(cells), 200)])
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        engine = Engine(EngineConfig(seed_rules=False), connection, SystemClock())
        began = time.process_time()
        while engine.turn():
            pass
        spent = time.process_time() - began
    assert len(cells) / spent > 20_000
    print(f"{len(cells) / spent:,.0f} readings a second of the engine's own processor time")
