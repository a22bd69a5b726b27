"""Bytes on disk an arrival takes beside its readings, and what is left of it when retention has been there.

Starts a PostgreSQL of its own. For each shape real messages are decoded and committed by ingest's own writer, batch by
batch, and the table with its indices is measured. Then the rows are made old, followed to their end and forgotten as
`hanlu retention run` does it. The folder is deleted in the end.

examples:
  .venv/bin/python -P benchmarks/arrival_disk.py
  .venv/bin/python -P benchmarks/arrival_disk.py --readings 500000 --json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from hanlu.app import process
from hanlu.app.bench.messages import Shape, messages, register
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.settings import DatabaseSettings
from hanlu.db.migrate import migrate
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.history.forget import find_old, forget
from hanlu.ingest.history.prune import as_owner
from hanlu.ingest.writer import Writer

SHAPES = ((True, 1), (True, 10), (True, 50), (False, 1), (False, 10))
BATCH = 500
START_MS = time.time_ns() // 1_000_000
SITE = (
    "INSERT INTO registry.level_name VALUES (1, '县', 'county')",
    "INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path)"
    " OVERRIDING SYSTEM VALUE VALUES (1, 1, 'county', '县', 'county', '/1/')",
    "INSERT INTO registry.site (organisation_id, code, name_zh, name_en, kind)"
    " VALUES (1, 'store', '冷库', 'store', 'cold_store')",
)
FOLLOWERS = (("telemetry", "follower", "rollup"), ("telemetry", "follower", "quality"))
FOLLOWERS += (("alerts", "cursor", "engine"), ("trace", "cursor", "arrival"))
SIZE = (
    "SELECT sum(stored), pg_total_relation_size('telemetry.arrival'), pg_indexes_size('telemetry.arrival')"
    " FROM telemetry.arrival"
)
GONE = "SELECT pg_total_relation_size('telemetry.arrival_gone')"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=200_000, help="of each shape, at most 50,000 messages")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with served() as url:
        found = [measured(url, signed=signed, size=size, readings=args.readings) for signed, size in SHAPES]
    print(json.dumps(found, indent=2) if args.json else as_text(found))


@contextmanager
def served() -> Iterator[str]:
    """A server of its own, gone with its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hanlu-arrivals-"))
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


def measured(admin_url: str, *, signed: bool, size: int, readings: int) -> dict[str, Any]:
    """Return bytes a reading, before and after retention, and what forgetting a message costs."""
    name = f"{'signed' if signed else 'bare'}_{size}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = make_conninfo(admin_url, dbname=name)
    migrate(url)
    with psycopg.connect(url) as connection:
        for statement in SITE:
            connection.execute(statement.encode())
        register(connection)
    sent = min(readings // size, 50_000)
    moments = count(START_MS)
    with closing(Writer(url)) as writer:
        snapshot = read_snapshot(writer.connection)
        source = messages(Shape(signed, size, sent), START_MS)
        while batch := list(islice(source, BATCH)):
            writer.commit([decode(*each, next(moments), snapshot) for each in batch])
    with as_owner(url) as owner:
        owner.execute("VACUUM ANALYZE telemetry.arrival")
        stored, total, index = owner.execute(SIZE.encode()).fetchone() or (0, 0, 0)
        age(owner)
        begun = time.perf_counter()
        now = owner.execute("SELECT (extract(epoch FROM now()) * 1000)::bigint").fetchone() or (0,)
        gone = sum(forget(owner, find_old(owner, 90, now[0])))
        took = time.perf_counter() - begun
        (kept,) = owner.execute(GONE.encode()).fetchone() or (0,)
    return {
        "shape": name,
        "messages": sent,
        "readings": int(stored),
        "bytes_a_reading": round(total / stored, 1),
        "of_which_index": round(index / stored, 1),
        "forgotten": gone,
        "forgetting_us_a_message": round(took / gone * 1e6, 1),
        "left_bytes_a_reading": round(kept / stored, 2) if signed else 0.0,
    }


def age(owner: psycopg.Connection[Any]) -> None:
    """Make all arrivals old and followed."""
    owner.execute("UPDATE telemetry.arrival SET recorded_at = recorded_at - INTERVAL '100 days'")
    for schema, table, name in FOLLOWERS:
        owner.execute(
            f"INSERT INTO {schema}.{table} (name, txid, arrival_id) SELECT '{name}', txid, arrival_id"
            " FROM telemetry.arrival ORDER BY txid DESC, arrival_id DESC LIMIT 1".encode()
        )
    owner.execute("VACUUM ANALYZE telemetry.arrival")


def as_text(found: list[dict[str, Any]]) -> str:
    """Return the table of the page."""
    lines = ["| messages | bytes a reading | of which index | left when forgotten | forgetting, us a message |"]
    lines.append("|---|---:|---:|---:|---:|")
    lines += [
        f"| {each['shape']} | {each['bytes_a_reading']} | {each['of_which_index']} | {each['left_bytes_a_reading']}"
        f" | {each['forgetting_us_a_message']} |"
        for each in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
