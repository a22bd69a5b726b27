"""Questions about the past over millions of readings, what inserting and rolling up cost on the way, and the disk used.

Starts a PostgreSQL of its own (with TimescaleDB unless `--plain`), with fsync, registers channels, and stores one
reading a minute of each, in order of time, a transaction each five minutes, as binary COPY: ingest's fast way. Then
hours are rolled up, and questions are asked of random channels at random times, one after the other, through the code
the API uses; beside them the same in plain SQL over the readings. The folder is deleted in the end.

examples:
  .venv/bin/python -P benchmarks/history.py --rows 10000000
  .venv/bin/python -P benchmarks/history.py --rows 100000000 --json     (14 GB of disk)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from hanlu.app import process
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.settings import DatabaseSettings
from hanlu.core.clock import from_ms
from hanlu.db.migrate import migrate
from hanlu.db.pool import connect
from hanlu.ingest.binary import copy_rows
from hanlu.ingest.history import ask
from hanlu.ingest.history.plan import Resolution, Span
from hanlu.ingest.history.read import Channel, Read
from hanlu.ingest.history.rollup import RollUp, RollUpConfig

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_767_196_800_000
"""2026-01-01T00:00 in China."""

BATCH_MINUTES = 5
MARKS = (1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""Rows at which the cost of the last million is told."""

ROLLED_UP = 100_000
"""Hours of channels whose rolling up is timed."""

COPY = "COPY telemetry.reading (channel_id, observed_at, value) FROM STDIN (FORMAT BINARY)"
PLAIN = {
    "latest of all channels: DISTINCT ON": "SELECT DISTINCT ON (channel_id) channel_id, observed_at, value"
    " FROM telemetry.reading ORDER BY channel_id, observed_at DESC",
    "latest of all channels: LATERAL, LIMIT 1": "SELECT c.channel_id, r.observed_at, r.value FROM registry.channel AS c"
    " CROSS JOIN LATERAL (SELECT observed_at, value FROM telemetry.reading AS r WHERE r.channel_id = c.channel_id"
    " ORDER BY observed_at DESC LIMIT 1) AS r",
    "month by the hour: date_bin, GROUP BY": "SELECT date_bin('1 hour', observed_at, 'epoch'), count(*), min(value),"
    " max(value), avg(value) FROM telemetry.reading"
    " WHERE channel_id = %(channel_id)s AND observed_at >= %(from_at)s AND observed_at < %(to_at)s"
    " GROUP BY 1 ORDER BY 1",
}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="readings")
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--asked", type=int, default=300, help="times each question is asked")
    parser.add_argument("--plain", action="store_true", help="PostgreSQL without TimescaleDB")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the data goes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with served(args.folder, plain=args.plain) as url:
        found = measured(url, args)
    print(json.dumps(found, indent=2) if args.json else as_text(found))


@contextmanager
def served(parent: Path, *, plain: bool) -> Iterator[str]:
    """A server of its own, gone with its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hanlu-history-", dir=parent))
    folder.chmod(0o711)
    settings = DatabaseSettings(timescaledb="off" if plain else "auto")
    service = EmbeddedPostgres(folder / "postgres", settings)
    service.prepare(Work(say=say))
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


def measured(admin_url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return everything measured."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench")
    url = make_conninfo(admin_url, dbname="bench")
    migrate(url)
    channels = registered(url, args.channels)
    inserted = insert(url, channels, args.rows)
    minutes = args.rows // len(channels)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO telemetry.latest SELECT channel_id, %s, %s, 1, 0 FROM registry.channel",
            (from_ms(START_MS + (minutes - 1) * MINUTE_MS),) * 2,
        )
        owner.execute("VACUUM ANALYZE telemetry.reading")
        found = {
            "server": owner.execute("SHOW server_version").fetchone()[0],  # type: ignore[index]
            "timescaledb": not args.plain,
            "rows": len(channels) * minutes,
            "channels": len(channels),
            "insert_us_per_reading": inserted,
            "disk": disk(owner, len(channels) * minutes),
            "rollup": rolled_up(url, owner, channels, minutes),
        }
        owner.execute("VACUUM ANALYZE telemetry.hourly")
        owner.execute("VACUUM ANALYZE telemetry.hour_due")
    found["queries_ms"] = asked(url, args.asked, minutes)
    return found


def registered(url: str, count: int) -> list[int]:
    """Register a site with so many channels; return their numbers."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO registry.level_name VALUES (1, '县', 'county')")
        connection.execute(
            "INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path)"
            " OVERRIDING SYSTEM VALUE VALUES (1, 1, 'county', '县', 'county', '/1/')"
        )
        connection.execute(
            "INSERT INTO registry.site (organisation_id, code, name_zh, name_en, kind)"
            " VALUES (1, 'store', '冷库', 'store', 'cold_store')"
        )
        connection.execute(
            "INSERT INTO registry.gateway (site_id, code, partition) SELECT site_id, 'gw-' || n, n FROM registry.site,"
            " generate_series(0, 19) AS n"
        )
        rows = connection.execute(
            "WITH d AS (INSERT INTO registry.device (gateway_id, code, kind)"
            " SELECT gateway_id, 'room-' || n, 'cold_room' FROM registry.gateway, generate_series(1, %s) AS n"
            " RETURNING device_id)"
            " INSERT INTO registry.channel (device_id, metric, unit, period_s)"
            " SELECT device_id, 'air_temperature', 'Cel', 60 FROM d RETURNING channel_id",
            (count // 20,),
        ).fetchall()
    return [row[0] for row in rows]


def insert(url: str, channels: list[int], rows: int) -> dict[str, dict[str, float]]:
    """Store the readings; return microseconds a reading, of the last million before each mark.

    `wall` is what the caller waited, `cpu` what the server's process spent: the second stays when others use the
    machine.
    """
    chance = random.Random(1)
    waves = [[round(chance.gauss(-18, 0.7), 2) for _ in range(997)] for _ in range(7)]
    ids = channels * BATCH_MINUTES
    costs: dict[str, dict[str, float]] = {}
    waited, since, stored = 0.0, 0, 0
    with connect(url, "hanlu_ingest", name="benchmark", autocommit=True) as connection:
        server = connection.info.backend_pid
        spent = cpu_s(server)
        for minute in range(0, rows // len(channels), BATCH_MINUTES):
            times = [START_MS + (minute + each) * MINUTE_MS for each in range(BATCH_MINUTES) for _ in channels]
            wave = waves[minute % 7]
            values = [wave[(minute + place) % 997] for place in range(len(ids))]
            body = copy_rows(ids, times, values)
            begun = time.perf_counter()
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write(body)
            waited += time.perf_counter() - begun
            stored += len(ids)
            if stored - since >= 1_000_000 or stored >= rows:
                now = cpu_s(server)
                cost = {
                    "wall": round(waited / (stored - since) * 1e6, 2),
                    "cpu": round((now - spent) / (stored - since) * 1e6, 2),
                }
                say(f"{stored:,} readings, {cost} us each")
                if any(since < mark <= stored for mark in MARKS) or stored >= rows:
                    costs[f"{stored:,}"] = cost
                waited, since, spent = 0.0, stored, now
    return costs


def cpu_s(process_id: int) -> float:
    """Return the processor time a process has used, seconds."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk(owner: psycopg.Connection[Any], rows: int) -> dict[str, float]:
    """Return the bytes of the readings, all told and by the reading."""
    chunked = owner.execute("SELECT sum(bytes)::bigint FROM telemetry.chunks('reading')").fetchone()
    whole = owner.execute("SELECT pg_total_relation_size('telemetry.reading')").fetchone()
    assert chunked is not None
    assert whole is not None
    size = int(chunked[0] or whole[0])
    index = owner.execute(
        "SELECT sum(pg_relation_size(indexrelid))::bigint FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid"
        " WHERE c.relname LIKE '\\_hyper\\_1\\_%%chunk' OR c.oid = 'telemetry.reading'::regclass"
    ).fetchone()
    assert index is not None
    return {
        "bytes": size,
        "bytes_per_reading": round(size / rows, 1),
        "of_which_index": round(int(index[0]) / rows, 1),
    }


def rolled_up(url: str, owner: psycopg.Connection[Any], channels: list[int], minutes: int) -> dict[str, Any]:
    """Roll up the last hours, and return what it cost by the reading, and what noting arrivals costs.

    The hours before are written by one statement with the same rows, to be asked about.
    """
    hours = min(minutes // 60, ROLLED_UP // len(channels))
    since = from_ms(START_MS + (minutes // 60 - hours) * 60 * MINUTE_MS)
    # Due as they would have been: hour after hour, all channels of one together.
    owner.execute(
        "INSERT INTO telemetry.hour_due SELECT channel_id, at, at FROM"
        " generate_series(%s::timestamptz, %s, INTERVAL '1 hour') AS at, registry.channel",
        (since, from_ms(START_MS + (minutes // 60 * 60 - 1) * MINUTE_MS)),
    )
    owner.execute("VACUUM ANALYZE telemetry.hour_due")
    say("rolling up")
    with connect(url, "hanlu_ingest", name="benchmark roll-up", autocommit=True) as connection:
        rollup = RollUp(connection, RollUpConfig(settle_s=0))
        begun, spent = time.perf_counter(), cpu_s(connection.info.backend_pid)
        while rollup.calculate():
            pass
        calculated, worked = time.perf_counter() - begun, cpu_s(connection.info.backend_pid) - spent
        # Arrivals of ten readings each, a gateway's message, for the last hundred thousand readings.
        size = 10
        owner.execute(
            "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, reading_count, stored,"
            " channel_ids, observed_ms, \"values\") SELECT 1, sha256(n::text::bytea), 0, 'live', now(), 10, 10,"
            " array_agg(c), array_agg(%s::bigint + n / 100 * 60000), array_agg(1::float8)"
            " FROM generate_series(0, 9999) AS n,"
            " LATERAL (SELECT %s + (n %% 100) * 10 + k AS c FROM generate_series(0, 9) AS k) AS k GROUP BY n",
            (START_MS + (minutes - 100) * MINUTE_MS, channels[0]),
        )
        begun = time.perf_counter()
        noted = 0
        while count := rollup.follow():
            noted += count * size
        following = time.perf_counter() - begun
    owner.execute("DELETE FROM telemetry.hour_due")
    owner.execute("DELETE FROM telemetry.day_due")
    owner.execute(
        "INSERT INTO telemetry.hourly SELECT channel_id, date_bin('1 hour', observed_at, 'epoch') AS hour_at,"
        " count(*), 0, 0, 3600, min(value), max(value), avg(value), avg(value), min(observed_at), min(value),"
        " max(observed_at), max(value) FROM telemetry.reading WHERE observed_at < %s GROUP BY channel_id, hour_at",
        (since,),
    )
    row = owner.execute(
        "SELECT (SELECT count(*) FROM telemetry.hourly), coalesce((SELECT sum(bytes) FROM telemetry.chunks('hourly')),"
        " pg_total_relation_size('telemetry.hourly'))::bigint"
    ).fetchone()
    assert row is not None
    return {
        "hours_stored": row[0],
        "bytes_per_hour": round(row[1] / row[0], 1),
        "readings": hours * len(channels) * 60,
        "calculate_us_per_reading": {
            "wall": round(calculated / (hours * len(channels) * 60) * 1e6, 2),
            "cpu": round(worked / (hours * len(channels) * 60) * 1e6, 2),
        },
        "note_us_per_reading": round(following / noted * 1e6, 2),
    }


def asked(url: str, times: int, minutes: int) -> dict[str, dict[str, float]]:
    """Ask every question so many times; return p50, p99 and the longest, milliseconds."""
    chance = random.Random(2)
    end = START_MS + minutes * MINUTE_MS
    with connect(url, "hanlu_reader", name="benchmark", autocommit=True) as connection:
        read = Read(connection, "/1/")
        channels = read.channels(limit=1_000)

        def anyone() -> Channel:
            return chance.choice(channels)

        def somewhere(days: int) -> Span:
            length = min(days * DAY_MS, end - START_MS)
            begin = chance.randrange(START_MS, end - length + 1, MINUTE_MS)
            return Span(begin, begin + length)

        found = {
            "latest of 1,000 channels": timed(times, lambda: read.latest(channels)),
            "latest of 1,000 channels, where they stand included": timed(
                times // 3, lambda: ask.latest(read, read.channels(limit=1_000), end, None)
            ),
            "one channel's day, every reading": timed(
                times, lambda: read.readings(anyone().channel_id, somewhere(1), 10_000)
            ),
            "one channel's day as a picture of 600 points": timed(
                times, lambda: ask.picture(read, [anyone()], somewhere(1), Resolution.RAW, 600)
            ),
            "one channel's month by the hour": timed(
                times, lambda: read.summaries(anyone().channel_id, somewhere(30), Resolution.HOUR)
            ),
        }
    with psycopg.connect(url, autocommit=True) as connection:
        for name, query in PLAIN.items():

            def plainly(query: str = query) -> None:
                span = somewhere(30)
                values = {
                    "channel_id": anyone().channel_id, "from_at": from_ms(span.from_ms), "to_at": from_ms(span.to_ms),
                }  # fmt: skip
                connection.execute(query.encode(), values).fetchall()

            found[f"plain SQL: {name}"] = timed(2 if "DISTINCT" in name else times, plainly)
    return found


def timed(times: int, work: Callable[[], object]) -> dict[str, float]:
    """Return how long something takes, milliseconds; what takes minutes is not tried out before."""
    if times > 2:
        work()
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begun) * 1000)
    spent.sort()
    return {
        "times": times,
        "p50": round(statistics.median(spent), 2),
        "p99": round(spent[min(len(spent) - 1, int(len(spent) * 0.99))], 2),
        "max": round(spent[-1], 2),
    }


def as_text(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = [
        f"PostgreSQL {found['server']}{' with TimescaleDB' if found['timescaledb'] else ''}, {found['rows']:,} rows"
    ]
    lines += [
        f"insert at {rows} rows: {cost['wall']} us a reading, {cost['cpu']} us of them the server's processor"
        for rows, cost in found["insert_us_per_reading"].items()
    ]
    lines += [f"disk: {found['disk']['bytes_per_reading']} B a reading, index {found['disk']['of_which_index']} B"]
    lines += [f"roll-up: {found['rollup']}"]
    lines += [
        f"{name:<56}p50 {each['p50']:>9,.2f} ms   p99 {each['p99']:>9,.2f} ms"
        for name, each in found["queries_ms"].items()
    ]
    return "\n".join(lines)


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
