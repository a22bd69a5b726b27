"""The stand of the ingest measurement: a whole Hanlu in a folder of its own, with one console open.

`hanlu up` runs database, broker, alarm engine and web application as a user would; the ingest worker is started for
each run and ended after it, so that nobody takes messages while a subscriber is measured that does nothing with them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlencode

import psycopg

from hanlu.app.bench.messages import Channels, register
from hanlu.app.datafolder import DataFolder
from hanlu.app.settings import Settings, load, process_environment
from hanlu.app.wiring import ingest_config
from hanlu.core.clock import SystemClock
from hanlu.core.errors import FatalError, TransientError
from hanlu.db.pool import open_pool
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.subscriber import Subscriber
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import People

__all__ = ["Publisher", "Stand", "standing"]

_START_S: Final = 300.0
"""Seconds for the first start, which may build what is missing."""
_STOP_S: Final = 30.0
_TABLES: Final = (
    "telemetry.reading, telemetry.arrival, telemetry.gateway_epoch, telemetry.gap, telemetry.latest,"
    " telemetry.dead_letter, telemetry.loss"
)


@dataclass(slots=True)
class Publisher:
    """A publisher that is ready and waits for its beginning."""

    process: subprocess.Popen[str]

    def begin(self) -> float:
        """Let it begin and return when it did, seconds of the monotonic clock."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> float:
        """Wait until the broker has everything and return when that was."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.stdin.close()
        if self.process.wait(_STOP_S) != 0 or not line:
            raise FatalError("the publisher failed")
        return float(line)


@dataclass(slots=True)
class Stand:
    """What a measurement works with.

    Attributes:
        settings: in force, with the URLs of the private services.
        config: of the ingest worker, as it comes.
        url: the database's, as its owner.
        channels: of the measurement's gateways.
        folder: for message files.
        log: where the workers' logs go.
        about: what the services are.
    """

    settings: Settings
    config: IngestConfig
    url: str
    channels: Channels
    folder: Path
    log: IO[bytes]
    about: dict[str, str]

    def clear(self) -> None:
        """Forget all readings; the register stays."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {_TABLES} CASCADE".encode())
            connection.execute("CHECKPOINT")

    def forget(self, config: IngestConfig) -> None:
        """Have the broker drop a session with all that waits in it."""
        with Subscriber(config, SystemClock(), clean=True) as subscriber:

            def forgotten() -> bool:
                subscriber.turn(0.05)
                return subscriber.ready

            _until(forgotten, "the broker to forget a session", 10.0)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run an ingest worker, from its readiness to its end; its session is forgotten afterwards."""
        child = subprocess.Popen(
            [*_HANLU, "run", "ingest", "--config", str(DataFolder(self.settings.data.folder).settings_file)],
            env=process_environment(), stdout=self.log, stderr=self.log,
        )  # fmt: skip
        try:
            _until(lambda: self._subscribed(child), "the ingest worker", 30.0)
            yield
        finally:
            child.terminate()
            child.wait(_STOP_S)
            self.forget(self.config)

    def _subscribed(self, child: subprocess.Popen[bytes]) -> bool:
        if child.poll() is not None:
            raise FatalError(f"the ingest worker ended, see {self.log.name}")
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT count(*) FROM telemetry.ingest_session WHERE worker IS NOT NULL AND expires_at > now()"
            (held,) = connection.execute(query).fetchone() or (0,)
        if held:
            time.sleep(0.5)  # the subscription follows the lease within milliseconds
        return bool(held)

    def publisher(self, messages: Path, rate: float | None = None) -> Publisher:
        """Return a publisher of the file's messages, signed in and ready."""
        broker = self.config.broker
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hanlu.app.bench.publisher", str(broker.port), str(messages),
             *([str(rate)] if rate else [])],
            env=process_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        password = broker.password.get_secret_value() if broker.password else ""
        process.stdin.write(json.dumps({"username": broker.username or "", "password": password}) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "ready\n":
            raise FatalError("the publisher cannot sign in at the broker")
        return Publisher(process)


_HANLU: Final = (sys.executable, "-P", "-m", "hanlu.app")


@contextmanager
def standing(folder: Path, say: Callable[[str], None]) -> Iterator[Stand]:
    """Start everything in `folder`, open a console, and stop it all at the end."""
    ports = iter(_free_ports(3))
    data = DataFolder(folder / "hanlu")
    settings = Settings().with_values(
        data={"folder": data.path}, web={"port": next(ports)}, broker={"port": next(ports)}, chain={"enabled": False}
    )
    first = folder / "settings.json"
    DataFolder(folder).write(first, settings.model_dump())
    say("starting database, broker, alarm engine and web application")
    with (folder / "up.log").open("ab") as log, (folder / "ingest.log").open("ab") as worker_log:
        up = subprocess.Popen(
            [*_HANLU, "up", "--config", str(first), "--roles", "alerts,web"],
            env=process_environment(), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _until(lambda: _is_up(up, folder / "up.log"), "hanlu up", _START_S)
            running = load(data.settings_file, environ={})
            url = str(running.database.url)
            with psycopg.connect(url) as connection:
                channels = register(connection)
            about = (data.status() or {}).get("services", {})
            with _console(running, say):
                yield Stand(running, ingest_config(running), url, channels, folder, worker_log, about)
        finally:
            up.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                up.wait(_STOP_S)


def _is_up(child: subprocess.Popen[bytes], log: Path) -> bool:
    text = log.read_text(errors="replace")
    if child.poll() is not None:
        raise FatalError(f"`hanlu up` ended: {text[-500:]}")
    return "Hanlu is ready" in text


def _until(condition: Callable[[], object], what: str, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TransientError(f"waited {deadline_s:g} s for {what}")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextmanager
def _console(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """Keep a live stream open as a browser does, opened again when it ends; what comes is read and dropped."""
    pool = open_pool(str(settings.database.url), "hanlu_registry", name="hanlu bench", max_size=1)
    try:
        clock = SystemClock()
        made = People(pool, clock, Passwords(), Audit(pool, clock)).reset_password_at_the_machine("operator")
    finally:
        pool.close()
    stop, opened = threading.Event(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                _stream(settings.web.port, made.password, opened, stop)
            stop.wait(1.0)

    threading.Thread(target=watch, name="console", daemon=True).start()
    if not opened.wait(30.0):
        raise TransientError("the console's stream does not open")
    say("a console is open")
    try:
        yield
    finally:
        stop.set()


def _stream(port: int, password: str, opened: threading.Event, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/signin", urlencode({"login": "operator", "password": password}), form)
    answer = connection.getresponse()
    answer.read()
    cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    connection.request("GET", "/console/stream", headers={"Cookie": cookie})
    stream = connection.getresponse()
    if stream.status == HTTPStatus.OK:
        opened.set()
    while not stop.is_set() and stream.read1(65_536):
        pass
    connection.close()
