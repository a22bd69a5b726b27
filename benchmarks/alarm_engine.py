"""What judging costs: the engine's share of a core and its database backend's; how soon an alarm is in the journal.

Starts a PostgreSQL of its own (with TimescaleDB where it can), registers rooms of four channels (air and goods by the
frozen profile, defrost, door) behind gateways of ten rooms, and writes what they would send, a message each ten
seconds a gateway and a transaction a message, as ingest leaves it: arrival, readings, notification. The engine runs as
a process of its own with the shipped rules. Rooms follow a curve of a frozen room with a defrost every eight hours, so
that the judges have something to remember.

Then, with the same load going on, alarms are raised at random moments of a minute on channels whose rule has no
on-delay, timed from the return of the reading's COMMIT until another session reads the entry in alerts.journal_feed.

examples:
  .venv/bin/python -P benchmarks/alarm_engine.py
  .venv/bin/python -P benchmarks/alarm_engine.py --rooms 2500 --seconds 90 --flood 500 --json
  .venv/bin/python -P benchmarks/alarm_engine.py --profile engine.prof     (what the engine's time goes into)
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from hanlu.app import process
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.settings import DatabaseSettings
from hanlu.db.migrate import migrate

PERIOD_S = 10
ROOMS_OF_A_GATEWAY = 10
CHANNELS_OF_A_ROOM = 4
FLOOD_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
START_UP_S = 60.0
WARM_UP_S = 15.0
"""The first readings of every channel are not what is measured."""

REGISTRY = """
INSERT INTO registry.level_name VALUES (1, '县', 'county') ON CONFLICT DO NOTHING;
INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path)
OVERRIDING SYSTEM VALUE VALUES (1, 1, 'county', '县', 'county', '/1/');
INSERT INTO registry.limit_profile
    (code, effective_from, metric, low, high, deadband, on_delay_s, off_delay_s, no_data_s, priority, source)
VALUES
    ('frozen', '2020-01-01', 'air_temperature', NULL, -15, 1, 1800, 60, 600, 1, 'benchmark'),
    ('frozen', '2020-01-01', 'product_temperature', NULL, -15, 1, 1800, 60, 600, 1, 'benchmark'),
    ('flood', '2020-01-01', 'relative_humidity', NULL, 90, 1, 0, 0, 3600, 2, 'benchmark');
"""
GATEWAYS = """
INSERT INTO registry.site (site_id, organisation_id, code, name_zh, name_en, kind)
OVERRIDING SYSTEM VALUE SELECT g, 1, 'site-' || g, 's', 's', 'cold_store' FROM generate_series(1, %(gateways)s) AS g;
"""
ROOMS = (
    "INSERT INTO registry.gateway (gateway_id, site_id, code, partition) OVERRIDING SYSTEM VALUE"
    " SELECT g, g, 'gw-' || g, g %% 64 FROM generate_series(1, %(gateways)s) AS g",
    "INSERT INTO registry.zone (zone_id, site_id, code, name_zh, name_en, limit_profile_code) OVERRIDING SYSTEM VALUE"
    " SELECT r, (r - 1) / %(per)s + 1, 'zone-' || r, 'z', 'z', 'frozen' FROM generate_series(1, %(rooms)s) AS r",
    "INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE"
    " SELECT r, (r - 1) / %(per)s + 1, r, 'room-' || r, 'cold_room' FROM generate_series(1, %(rooms)s) AS r",
    "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
    " SELECT (r - 1) * 4 + m.n, r, m.metric, m.unit, %(period)s FROM generate_series(1, %(rooms)s) AS r,"
    " (VALUES (1, 'air_temperature', 'Cel'), (2, 'product_temperature', 'Cel'), (3, 'defrost', ''),"
    " (4, 'door_open', '')) AS m (n, metric, unit)",
    "INSERT INTO registry.device (device_id, gateway_id, code, kind) OVERRIDING SYSTEM VALUE"
    " SELECT %(rooms)s + f, (f - 1) %% %(gateways)s + 1, 'flood-' || f, 'flood'"
    " FROM generate_series(1, %(flood)s) AS f",
    "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s, limit_profile_code)"
    " OVERRIDING SYSTEM VALUE SELECT %(rooms)s * 4 + f, %(rooms)s + f, 'relative_humidity', '%%RH', 3600, 'flood'"
    " FROM generate_series(1, %(flood)s) AS f",
)
ENGINE = """
import cProfile, sys, threading
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
say = lambda: print("ready", flush=True)
if sys.argv[2]:
    cProfile.run("run(EngineConfig(), sys.argv[1], stop, say)", sys.argv[2])
else:
    run(EngineConfig(), sys.argv[1], stop, say)
"""
STORE = (
    "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, reading_count, stored,"
    " channel_ids, observed_ms, \"values\") VALUES (%s, %s, 1, 'live', now(), %s, %s, %s, %s, %s)",
    "INSERT INTO telemetry.reading (channel_id, observed_at, value) SELECT c, to_timestamp(t / 1000.0), v"
    " FROM unnest(%s::integer[], %s::bigint[], %s::float8[]) AS x (c, t, v)",
)
FOLLOW = (
    "SELECT j.txid::text, j.journal_id, a.channel_id FROM alerts.journal_feed AS j"
    " JOIN alerts.alarm AS a USING (alarm_id)"
    " WHERE (j.txid, j.journal_id) > (%s::xid8, %s) AND j.event = 'raise' ORDER BY j.txid, j.journal_id"
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=2_500, help="of four channels each")
    parser.add_argument("--seconds", type=float, default=60.0, help="of steady load")
    parser.add_argument("--flood", type=int, default=500, help="alarms in the minute after it; 0: none")
    parser.add_argument("--profile", default="", help="write the engine's cProfile there; its share is then no figure")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with served() as url, engine(url, args) as (child, backend):
        feeder = Feeder(url, args.rooms)
        feeder.start()
        time.sleep(WARM_UP_S)
        found = steady(url, args, child.pid, backend)
        if args.flood:
            found |= flood(url, args, child.pid, backend)
        feeder.stop.set()
        feeder.join()
    print(json.dumps(found, indent=2) if args.json else as_text(found))


@contextmanager
def served() -> Iterator[str]:
    """A server of its own, gone with its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hanlu-engine-"))
    folder.chmod(0o711)
    service = EmbeddedPostgres(folder / "postgres", DatabaseSettings(timescaledb="auto"))
    service.prepare(Work(say=lambda line: print(line, file=sys.stderr)))
    command = service.command()
    try:
        with (folder / "log").open("ab") as log:
            child = process.start(command, log)
        while not service.ready():
            time.sleep(0.1)
        try:
            yield service.url
        finally:
            process.stop(child, command.stop_signal, 60.0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def engine(admin_url: str, args: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Fill the database and run the engine as a process of its own; yield it and the pid of its backend."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench")
    url = database(admin_url)
    migrate(url)
    known = {
        "rooms": args.rooms, "gateways": math.ceil(args.rooms / ROOMS_OF_A_GATEWAY), "per": ROOMS_OF_A_GATEWAY,
        "period": PERIOD_S, "flood": args.flood,
    }  # fmt: skip
    with psycopg.connect(url) as connection:
        connection.execute(REGISTRY.encode())
        for statement in (GATEWAYS, *ROOMS):
            connection.execute(statement.encode(), known)
    command = [sys.executable, "-P", "-c", ENGINE, url, args.profile]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        raise SystemExit("the engine did not start")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'hanlu alerts'").fetchall()
    try:
        yield child, rows[0][0]
    finally:
        child.stdin.close()
        child.wait(30)


def database(admin_url: str) -> str:
    """Return the URL of the benchmark's database."""
    return make_conninfo(admin_url, dbname="bench")


class Feeder(threading.Thread):
    """Writes what the rooms send, evenly over time."""

    def __init__(self, admin_url: str, rooms: int) -> None:
        super().__init__(daemon=True)
        self._url = database(admin_url)
        self._rooms = rooms
        self.stop = threading.Event()
        self.written = 0
        self.behind_s = 0.0

    def run(self) -> None:
        gateways = math.ceil(self._rooms / ROOMS_OF_A_GATEWAY)
        began = time.monotonic()
        with psycopg.connect(self._url, autocommit=True) as connection:
            sent = 0
            while not self.stop.is_set():
                due = began + sent * PERIOD_S / gateways
                wait = due - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                self.behind_s = max(self.behind_s, -wait) if sent > gateways else 0.0
                self.written += store(connection, sent % gateways + 1, self._cells(sent % gateways))
                sent += 1

    def _cells(self, gateway: int) -> list[tuple[int, int, float]]:
        at_ms = time.time_ns() // 1_000_000
        cells: list[tuple[int, int, float]] = []
        for room in range(gateway * ROOMS_OF_A_GATEWAY, min((gateway + 1) * ROOMS_OF_A_GATEWAY, self._rooms)):
            phase = (at_ms / 1000 + room * 137) % 28_800
            defrosting = phase < 3_000
            rise = 12 * phase / 3_000 if defrosting else 12 * math.exp(-(phase - 3_000) / 700)
            noise = random.gauss(0, 0.2)
            first = room * CHANNELS_OF_A_ROOM + 1
            values = (-19 + rise + noise, -18.5 + noise / 10, float(defrosting), 0.0)
            cells += [(first + index, at_ms, round(value, 2)) for index, value in enumerate(values)]
        return cells


def store(connection: psycopg.Connection[Any], gateway: int, cells: Sequence[tuple[int, int, float]]) -> int:
    """Store one message in a transaction of its own; return the number of its readings."""
    channels, times, values = (list(column) for column in zip(*cells, strict=True))
    count = len(cells)
    with connection.transaction():
        connection.execute(
            STORE[0].encode(),
            (gateway, random.randbytes(32), count, count, channels, times, values),
        )
        connection.execute(STORE[1].encode(), (channels, times, values))
        connection.execute("NOTIFY hanlu_arrival")
    return count


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def counted(url: str) -> tuple[int, float]:
    """Return the readings judged so far, and the moment."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(a.stored), 0) FROM telemetry.arrival AS a, alerts.cursor AS c"
            " WHERE c.name = 'engine' AND (a.txid, a.arrival_id) <= (c.txid, c.arrival_id)"
        ).fetchone()
    assert row is not None
    return int(row[0]), time.monotonic()


def steady(admin_url: str, args: argparse.Namespace, pid: int, backend: int) -> dict[str, Any]:
    """Measure the shares of a core under steady load."""
    url = database(admin_url)
    (before, began), engine_s, backend_s = counted(url), cpu_s(pid), cpu_s(backend)
    time.sleep(args.seconds)
    after, ended = counted(url)
    lasted = ended - began
    engine_share, backend_share = (cpu_s(pid) - engine_s) / lasted, (cpu_s(backend) - backend_s) / lasted
    return {
        "channels": args.rooms * CHANNELS_OF_A_ROOM,
        "seconds": round(lasted, 1),
        "readings_a_second": round((after - before) / lasted, 1),
        "engine_share": round(engine_share, 4),
        "backend_share": round(backend_share, 4),
        "together": round(engine_share + backend_share, 4),
        "us_a_reading": round((engine_share + backend_share) * lasted / max(after - before, 1) * 1e6, 1),
    }


def flood(admin_url: str, args: argparse.Namespace, pid: int, backend: int) -> dict[str, Any]:
    """Raise alarms at random moments of a minute and time each until its journal entry is read."""
    url = database(admin_url)
    committed: dict[int, float] = {}
    seen: dict[int, float] = {}
    stop = threading.Event()
    follower = threading.Thread(target=follow, args=(url, seen, stop))
    follower.start()
    moments = sorted(random.uniform(0, FLOOD_S) for _ in range(args.flood))
    engine_s, backend_s, began = cpu_s(pid), cpu_s(backend), time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        for index, moment in enumerate(moments):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            channel = args.rooms * CHANNELS_OF_A_ROOM + 1 + index
            gateway = index % math.ceil(args.rooms / ROOMS_OF_A_GATEWAY) + 1
            store(connection, gateway, [(channel, time.time_ns() // 1_000_000, 99.0)])
            committed[channel] = time.monotonic()
    lasted = time.monotonic() - began
    time.sleep(5)
    stop.set()
    follower.join()
    took = sorted(seen[channel] - at for channel, at in committed.items() if channel in seen)
    return {
        "flood_alarms": args.flood,
        "flood_missing": args.flood - len(took),
        "visible_ms_p50": round(1000 * took[len(took) // 2], 1),
        "visible_ms_p99": round(1000 * took[math.ceil(len(took) * 0.99) - 1], 1),
        "visible_ms_most": round(1000 * took[-1], 1),
        "flood_together": round((cpu_s(pid) - engine_s + cpu_s(backend) - backend_s) / (lasted + 5), 4),
    }


def follow(url: str, seen: dict[int, float], stop: threading.Event) -> None:
    """Note when each raise is to be read by another session."""
    position: tuple[str, int] = ("0", 0)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN hanlu_alarm")
        while not stop.is_set():
            for txid, journal_id, channel_id in connection.execute(FOLLOW.encode(), position):
                position = (txid, journal_id)
                seen.setdefault(channel_id, time.monotonic())
            for _ in connection.notifies(timeout=0.02, stop_after=1):
                pass


def as_text(found: dict[str, Any]) -> str:
    """Return the figures as lines."""
    return "\n".join(f"{name:>20}  {value}" for name, value in found.items())


if __name__ == "__main__":
    main()
