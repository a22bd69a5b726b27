"""One web process and a thousand open consoles: its share of a core, its memory, and how soon an alarm is on them.

Starts a PostgreSQL of its own (with TimescaleDB where it can), registers counties below one province, and runs the real
`hanlu run alerts` and `hanlu run web` on it as processes of their own. So many signed-in people open `/console/stream`
over plain sockets, most of them scoped to a county, one in twenty to the province; every other one has the alarm list
open, which is told its lines as well. A feeder writes what gateways would have sent, a transaction a message, as ingest
leaves it: arrival, readings, notification.

Measured: the web process at rest with everything open; with readings flowing; and while alarms come in a minute on top
of that, each raised by one reading over the limit of a rule without an on-delay. Every console that may see an alarm is
timed: from the return of the reading's COMMIT (the engine's work is in it), and from when another session reads the
journal's entry. Consoles, feeder, database, engine and web application share this machine.

examples:
  .venv/bin/python -P benchmarks/consoles.py
  .venv/bin/python -P benchmarks/consoles.py --consoles 200 --flood 100 --seconds 15 --json
  .venv/bin/python -P benchmarks/consoles.py --counties 1        (everybody sees everything)
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import multiprocessing
import os
import random
import re
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from hanlu.app import process
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.settings import DatabaseSettings, process_environment
from hanlu.db.migrate import migrate
from hanlu.registry.signin import token_hash

READINGS_OF_A_MESSAGE: Final = 10
PROVINCE_SHARE: Final = 20
"""One console in so many is scoped to the whole province."""
FOLLOWER_KNOWS_S: Final = 3.0
TAIL_S: Final = 5.0
"""What has not come this long after the last reading counts as missing."""
OPENED_AT_ONCE: Final = 40
TICKS: Final = os.sysconf("SC_CLK_TCK")
START_UP_S: Final = 60.0
RAISED: Final = re.compile(rb'event: alarm\r?\ndata: \{"alarm_id":(\d+),"event":"raise"')
LONGEST_HEAD: Final = 120
"""Bytes in which the beginning of an alarm event fits; kept of each piece in case it is cut there."""

REGISTRY = (
    "INSERT INTO registry.level_name VALUES (1, '省', 'province'), (2, '县', 'county') ON CONFLICT DO NOTHING",
    "INSERT INTO registry.organisation (organisation_id, level, code, name_zh, name_en, path) OVERRIDING SYSTEM VALUE"
    " VALUES (1, 1, 'province', '省', 'province', '/1/')",
    "INSERT INTO registry.organisation (organisation_id, parent_id, level, code, name_zh, name_en, path) OVERRIDING"
    " SYSTEM VALUE SELECT 1 + n, 1, 2, 'county-' || n, '县', 'county', '/1/' || 1 + n || '/'"
    " FROM generate_series(1, %(counties)s) AS n",
    "INSERT INTO registry.limit_profile (code, effective_from, metric, high, deadband, on_delay_s, off_delay_s,"
    " no_data_s, priority, source)"
    " VALUES ('flood', '2020-01-01', 'relative_humidity', 90, 1, 0, 0, 36000, 2, 'benchmark')",
    "INSERT INTO registry.site (site_id, organisation_id, code, name_zh, name_en, kind) OVERRIDING SYSTEM VALUE"
    " SELECT n, 1 + n, 'site-' || n, '冷库', 'store', 'cold_store' FROM generate_series(1, %(counties)s) AS n",
    "INSERT INTO registry.gateway (gateway_id, site_id, code, partition) OVERRIDING SYSTEM VALUE"
    " SELECT n, n, 'gw-' || n, n %% 64 FROM generate_series(1, %(counties)s) AS n",
    "INSERT INTO registry.zone (zone_id, site_id, code, name_zh, name_en) OVERRIDING SYSTEM VALUE"
    " SELECT n, n, 'zone-' || n, '库', 'room' FROM generate_series(1, %(counties)s) AS n",
    "INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE"
    " SELECT n, (n - 1) %% %(counties)s + 1, (n - 1) %% %(counties)s + 1, 'device-' || n, 'cold_room'"
    " FROM generate_series(1, %(steady)s + %(flood)s) AS n",
    "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
    " SELECT n, n, 'air_temperature', 'Cel', 1 FROM generate_series(1, %(steady)s) AS n",
    "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s, limit_profile_code) OVERRIDING SYSTEM"
    " VALUE SELECT n, n, 'relative_humidity', '%%RH', 3600, 'flood'"
    " FROM generate_series(%(steady)s + 1, %(steady)s + %(flood)s) AS n",
)
STORE = (
    "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, reading_count, stored,"
    " channel_ids, observed_ms, \"values\") VALUES (%s, %s, 1, 'live', now(), %s, %s, %s, %s, %s)",
    "INSERT INTO telemetry.reading (channel_id, observed_at, value) SELECT c, to_timestamp(t / 1000.0), v"
    " FROM unnest(%s::integer[], %s::bigint[], %s::float8[]) AS x (c, t, v)",
    "NOTIFY hanlu_arrival",
)
FOLLOW = (
    "SELECT j.txid::text, j.journal_id, a.channel_id, a.alarm_id FROM alerts.journal_feed AS j JOIN alerts.alarm AS a"
    " USING (alarm_id) WHERE (j.txid, j.journal_id) > (%s::xid8, %s) AND j.event = 'raise'"
    " ORDER BY j.txid, j.journal_id"
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consoles", type=int, default=1_000)
    parser.add_argument("--counties", type=int, default=100, help="distinct subtrees")
    parser.add_argument("--rate", type=int, default=1_000, help="readings a second, ten a message")
    parser.add_argument("--flood", type=int, default=500, help="alarms in the last part")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of the flood; rest and flow take a third of it each"
    )
    parser.add_argument(
        "--profile", default="", help="write the web process' cProfile there; its share is then no figure"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < args.consoles + 100:
        raise SystemExit(f"{args.consoles} consoles need that many files; this account may open {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, args.consoles + 100), hard))
    found = asyncio.run(measured(args))
    print(json.dumps(found, indent=2) if args.json else as_text(found))


async def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Return everything measured."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hanlu-consoles-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(database(folder, args))
        port = free_port()
        stack.enter_context(role("alerts", folder, url, port, ""))
        web = stack.enter_context(role("web", folder, url, port, args.profile))
        found: dict[str, Any] = {"web_mb_alone": memory_mb(web)}
        consoles = [Console(scope) for scope in scopes(args)]
        cookies = sign_in(url, args)
        began = time.monotonic()
        for first in range(0, len(consoles), OPENED_AT_ONCE):
            part = consoles[first : first + OPENED_AT_ONCE]
            await asyncio.gather(
                *(each.open(port, cookies[each.county], ROWS[(first + n) % len(ROWS)]) for n, each in enumerate(part))
            )
        found["open_s"] = round(time.monotonic() - began, 1)
        await asyncio.sleep(FOLLOWER_KNOWS_S)
        found["web_mb_open"] = memory_mb(web)
        found["at_rest"] = await share(web, consoles, args.seconds / 3)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        feeder = multiprocessing.get_context("spawn").Process(target=feed, args=(url, vars(args), theirs), daemon=True)
        feeder.start()
        await asyncio.to_thread(ours.recv)
        await asyncio.sleep(1)
        found["readings"] = await share(web, consoles, args.seconds / 3)
        ours.send("flood")
        found["flood"] = await share(web, consoles, args.seconds)
        await asyncio.sleep(TAIL_S)
        ours.send("end")
        told = await asyncio.to_thread(ours.recv)
        found["web_mb_after"] = memory_mb(web)
        found["consoles_lost"] = sum(each.lost for each in consoles)
        found |= latencies(consoles, told, args)
        for each in consoles:
            each.close()
        feeder.join(10)
        return found


ROWS = ("", "zh", "", "en")
"""Pages open: overview, alarm list in Chinese, overview, alarm list in English."""


@dataclass(eq=False)
class Console(asyncio.Protocol):
    """One open stream; remembers when each alarm came."""

    county: int
    seen: dict[int, float] = field(default_factory=dict)
    received: int = 0
    lost: bool = False
    _tail: bytes = b""
    _transport: asyncio.Transport | None = None
    _opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, port: int, cookie: str, rows: str) -> None:
        """Ask for the stream and wait for its first words."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        assert self._transport is not None
        self._transport.write(
            f"GET /console/stream?rows={rows} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
            f"Cookie: hanlu={cookie}\r\n\r\n".encode()
        )
        await asyncio.wait_for(self._opened.wait(), 30)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the server."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Look for alarms, and little else: what parses a thousand streams must not be what is measured."""
        now = time.monotonic()
        if not self.received and b"200" not in data[:20]:
            raise SystemExit(f"the stream was refused: {data[:200]!r}")
        self.received += len(data)
        if b"event: tick" in data:
            self._opened.set()
        text = self._tail + data
        for match in RAISED.finditer(text):
            self.seen.setdefault(int(match[1]), now)
        self._tail = text[-LONGEST_HEAD:]

    def connection_lost(self, exc: Exception | None) -> None:
        """The server ended it; the benchmark itself never does before its end."""
        self.lost = True

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()


def scopes(args: argparse.Namespace) -> list[int]:
    """Return the county of each console; 0 is the province."""
    return [0 if n % PROVINCE_SHARE == 0 else 1 + n % args.counties for n in range(args.consoles)]


def sign_in(url: str, args: argparse.Namespace) -> list[str]:
    """Register somebody for the province and for each county, and return the cookies of their sessions."""
    cookies = []
    with psycopg.connect(url) as connection:
        for number in range(args.counties + 1):
            row = connection.execute(
                "INSERT INTO registry.person (organisation_id, login, display_name, roles, password_hash)"
                " VALUES (%s, %s, 'bench', '{operator}', 'none') RETURNING person_id",
                (1 + number, f"bench-{number}"),
            ).fetchone()
            assert row is not None
            token = secrets.token_urlsafe(32)
            connection.execute(
                "INSERT INTO registry.session VALUES (%s, %s, %s, now(), now(), now() + INTERVAL '1 day')",
                (token_hash(token), row[0], secrets.token_urlsafe(32)),
            )
            cookies.append(token)
    return cookies


@contextmanager
def database(folder: Path, args: argparse.Namespace) -> Iterator[str]:
    """A server of its own with the register filled; yields the database's URL."""
    folder.chmod(0o711)
    service = EmbeddedPostgres(folder / "postgres", DatabaseSettings(timescaledb="auto"))
    service.prepare(Work(say=lambda line: print(line, file=sys.stderr)))
    command = service.command()
    with (folder / "postgres.log").open("ab") as log:
        child = process.start(command, log)
    try:
        while not service.ready():
            time.sleep(0.1)
        with psycopg.connect(service.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        url = make_conninfo(service.url, dbname="bench")
        migrate(url)
        with psycopg.connect(url) as connection:
            known = {"counties": args.counties, "steady": args.rate, "flood": args.flood}
            for statement in REGISTRY:
                connection.execute(statement.encode(), known)
        yield url
    finally:
        process.stop(child, command.stop_signal, 60.0)


@contextmanager
def role(name: str, folder: Path, url: str, port: int, profile: str) -> Iterator[int]:
    """Run `hanlu run NAME` until the end; yields its process id once it is ready."""
    config = folder / "settings.json"
    config.write_text(json.dumps({"database": {"url": url}, "web": {"port": port}, "data": {"folder": str(folder)}}))
    log = (folder / f"{name}.log").open("w+b")
    command = [sys.executable, "-P", *(["-m", "cProfile", "-o", profile] if profile else []), "-m", "hanlu.app", "run",
               name, "--config", str(config)]  # fmt: skip
    child = subprocess.Popen(command, env=process_environment(), stdout=log, stderr=log)
    try:
        end = time.monotonic() + START_UP_S
        while not (answers(port) if name == "web" else engine_works(url)):
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"hanlu run {name} did not start: {(folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield child.pid
    finally:
        child.terminate()
        child.wait(30)
        log.close()


def answers(port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def engine_works(url: str) -> bool:
    """Tell whether the engine holds its lock and follows."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')").fetchone()
    return bool(row and row[0])


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


async def share(pid: int, consoles: list[Console], seconds: float) -> dict[str, float]:
    """Return the web process' share of a core, and what went out, for so many seconds."""
    began, spent, sent = time.monotonic(), cpu_s(pid), sum(each.received for each in consoles)
    await asyncio.sleep(seconds)
    length = time.monotonic() - began
    return {
        "cores": round((cpu_s(pid) - spent) / length, 3),
        "mb_per_s": round((sum(each.received for each in consoles) - sent) / length / 1e6, 2),
    }


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def feed(url: str, args: dict[str, Any], pipe: Pipe) -> None:
    """Write readings, in a process of its own, and tell in the end when each alarm's reading was committed.

    Answers "flowing" once readings flow; begins the flood when told so; in the end sends (commits by channel, journal
    entries as (alarm, channel, when another session read it)).
    """
    counties, rate = args["counties"], args["rate"]
    committed: dict[int, float] = {}
    entries: list[tuple[int, int, float]] = []
    stop = threading.Event()
    follower = threading.Thread(target=follow, args=(url, entries, stop))
    follower.start()
    messages_s = rate / READINGS_OF_A_MESSAGE
    begun: float | None = None
    waiting = list(range(rate + 1, rate + args["flood"] + 1))
    random.Random(1).shuffle(waiting)
    due: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        number, began = 0, time.monotonic()
        pipe.send("flowing")
        while True:
            if pipe.poll():
                if pipe.recv() == "end":
                    break
                begun = time.monotonic()
                # The last second is left for the last alarm to arrive.
                due = sorted(random.Random(2).uniform(0, args["seconds"] - 1) for _ in waiting)
            county = number % counties
            first = 1 + number * READINGS_OF_A_MESSAGE % rate
            store(connection, county + 1, [(first + n, 4.0 + number % 7) for n in range(READINGS_OF_A_MESSAGE)])
            number += 1
            while begun is not None and due and time.monotonic() >= begun + due[0]:
                due.pop(0)
                channel = waiting.pop()
                committed[channel] = store(connection, (channel - 1) % counties + 1, [(channel, 95.0)])
            time.sleep(max(0.0, began + number / messages_s - time.monotonic()))
    stop.set()
    follower.join()
    pipe.send((committed, entries, number * READINGS_OF_A_MESSAGE / (time.monotonic() - began)))


def store(connection: psycopg.Connection[Any], gateway: int, cells: list[tuple[int, float]]) -> float:
    """Store one message as ingest does and return when its COMMIT had returned."""
    at_ms = time.time_ns() // 1_000_000
    channels, values = [channel for channel, _ in cells], [value for _, value in cells]
    times = [at_ms] * len(cells)
    digest = hashlib.sha256(secrets.token_bytes(16)).digest()
    with connection.transaction(), connection.pipeline():
        connection.execute(STORE[0], (gateway, digest, len(cells), len(cells), channels, times, values))
        connection.execute(STORE[1], (channels, times, values))
        connection.execute(STORE[2])
    return time.monotonic()


def follow(url: str, entries: list[tuple[int, int, float]], stop: threading.Event) -> None:
    """Note when alarms are in the journal, as another session sees it."""
    txid, journal_id = "0", 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN hanlu_alarm")
        while not stop.is_set():
            rows = connection.execute(FOLLOW, (txid, journal_id)).fetchall()
            now = time.monotonic()
            entries += [(alarm, channel, now) for _, _, channel, alarm in rows]
            if rows:
                txid, journal_id = rows[-1][:2]
            else:
                for _ in connection.notifies(timeout=0.02, stop_after=1):
                    pass


def latencies(consoles: list[Console], told: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return how soon alarms were on the consoles that may see them."""
    committed, entries, rate = told
    journal = {alarm: at for alarm, _, at in entries}
    channel_of = {alarm: channel for alarm, channel, _ in entries}
    alarm_of = {channel: alarm for alarm, channel in channel_of.items()}
    viewers = defaultdict(list)
    for each in consoles:
        viewers[each.county].append(each)
    every, last, behind, missing = [], [], [], 0
    for channel, at in committed.items():
        alarm = alarm_of.get(channel)
        mine = viewers[0] + viewers[(channel - 1) % args.counties + 1]
        came = [each.seen[alarm] for each in mine if alarm in each.seen] if alarm is not None else []
        missing += len(mine) - len(came)
        every += [each - at for each in came]
        if came and alarm is not None:
            last.append(max(came) - at)
            behind += [each - journal[alarm] for each in came]
    return {
        "readings_per_s": round(rate),
        "alarms": len(committed),
        "missing": missing,
        "committed_to_console_ms": figures(every),
        "committed_to_last_console_ms": figures(last),
        "journal_to_console_ms": figures(behind),
        "committed_to_journal_ms": figures([at - committed[c] for _, c, at in entries if c in committed]),
    }


def figures(took_s: list[float]) -> dict[str, float]:
    """Return percentiles by nearest rank in milliseconds."""
    ordered = sorted(took_s)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    at = {k: ordered[math.ceil(rank * len(ordered)) - 1] if ordered else math.nan for k, rank in ranks.items()}
    return {"count": len(ordered)} | {name: round(1000 * value, 1) for name, value in at.items()}


def as_text(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines.append(f"{name:<34}" + "  ".join(f"{key} {number:g}" for key, number in value.items()))
        else:
            lines.append(f"{name:<34}{value:g}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
