"""Real servers for the tests: PostgreSQL with and without TimescaleDB, Mosquitto, anvil, each started once a session.

They are the very services `hanlu up` runs, in temporary folders and on free ports. Where one cannot run here, the
tests that need it are skipped with the reason; with `HANLU_REQUIRE_SERVERS=1` they fail instead, so that silence is
never success.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from hanlu.app import process
from hanlu.app.embedded.broker import EmbeddedBroker, find_mosquitto
from hanlu.app.embedded.chain import EmbeddedChain
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Service, ToolError, Work
from hanlu.app.settings import BrokerSettings, ChainSettings, DatabaseSettings
from hanlu.core.errors import UsageError

READY_DEADLINE_S = 30.0
TEST_GATEWAYS = ("gw-1", "gw-2", "gw-3")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server.

    Attributes:
        url: of its first database, as superuser.
        timescaledb: whether the extension can be created there.
    """

    url: str
    timescaledb: bool
    service: EmbeddedPostgres

    def url_of(self, database: str) -> str:
        """Return the URL of another database on it."""
        return self.service.url_of(database)


@dataclass(frozen=True, slots=True)
class BrokerServer:
    """A running broker.

    Attributes:
        host: its address.
        port: its TCP port.
        url: of the platform's login, `mqtt://user:password@host:port`.
    """

    host: str
    port: int
    url: str
    service: EmbeddedBroker

    def password(self, user: str) -> str:
        """Return a user's password: `platform` or a gateway of `TEST_GATEWAYS` or of `add_gateways`."""
        return self.service.logins.password(user)

    def add_gateways(self, *codes: str) -> None:
        """Give more gateways a login and wait until the broker knows them."""
        from hanlu.app.embedded.broker import signs_in

        self.service.add_gateways(codes)
        for code in codes:
            wait_until(lambda code=code: signs_in(self.host, self.port, code, self.password(code)), f"login of {code}")


def free_port() -> int:
    """Return a TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = READY_DEADLINE_S) -> None:
    """Wait for a condition; fail the test when it does not come true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {deadline_s:g} s")
        time.sleep(0.02)


def unavailable(reason: str) -> NoReturn:
    """Skip the calling test for want of a server, or fail it where servers are required."""
    if os.environ.get("HANLU_REQUIRE_SERVERS"):
        pytest.fail(f"HANLU_REQUIRE_SERVERS is set, but: {reason}")
    pytest.skip(reason)


@contextmanager
def temporary_folder(prefix: str = "hanlu-test-") -> Iterator[Path]:
    """A folder with a short path that the database's account can reach also when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(service: Service, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a prepared service for the time of the block."""
    command = service.command()
    with log.open("ab") as output:
        child = process.start(command, output)
    try:
        end = time.monotonic() + READY_DEADLINE_S
        while not service.ready():
            if child.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{service.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield child
    finally:
        process.stop(child, command.stop_signal, 10.0)


def prepared(service: Service) -> None:
    """Prepare a service; skip or fail the calling test when this machine cannot have it."""
    try:
        service.prepare(Work(say=lambda line: None))
    except (ToolError, UsageError) as exc:
        unavailable(f"{service.name}: {exc}")


@contextmanager
def postgres(timescaledb: bool) -> Iterator[PostgresServer]:
    """Run a PostgreSQL of one edition, without fsync."""
    settings = DatabaseSettings(
        timescaledb="auto" if timescaledb else "off", shared_buffers_mb=128, max_connections=100
    )
    with temporary_folder() as folder:
        service = EmbeddedPostgres(folder / "postgres", settings, durable=False)
        prepared(service)
        if timescaledb and not service.has_timescaledb:
            unavailable(service.description)
        with running(service, folder / "postgres.log"):
            yield PostgresServer(service.url, service.has_timescaledb, service)


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[PostgresServer]:
    """PostgreSQL with TimescaleDB; its `url` is the admin URL."""
    with postgres(timescaledb=True) as server:
        yield server


@pytest.fixture(scope="session")
def plain_server() -> Iterator[PostgresServer]:
    """Plain PostgreSQL, the extension not even on offer; its `url` is the admin URL."""
    with postgres(timescaledb=False) as server:
        yield server


@pytest.fixture(scope="session", params=["timescaledb", "plain"])
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """Both kinds of server in turn, for tests that must hold on either."""
    name = "timescale_server" if request.param == "timescaledb" else "plain_server"
    server: PostgresServer = request.getfixturevalue(name)
    return server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """URL of one PostgreSQL, for tests to which the kind does not matter: TimescaleDB's where it can run."""
    from hanlu.app.embedded import timescaledb

    name = "plain_server" if timescaledb.missing_tools() else "timescale_server"
    server: PostgresServer = request.getfixturevalue(name)
    return server.url


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerServer]:
    """Mosquitto with logins for the platform and for `TEST_GATEWAYS`."""
    if find_mosquitto() is None:
        unavailable("Mosquitto is not installed")
    with temporary_folder() as folder:
        settings = BrokerSettings(port=free_port(), kind="mosquitto")
        service = EmbeddedBroker(folder / "broker", settings, gateways=TEST_GATEWAYS)
        prepared(service)
        with running(service, folder / "broker.log"):
            yield BrokerServer("127.0.0.1", settings.port, service.url, service)


@dataclass(frozen=True, slots=True)
class ChainServer:
    """A running trial chain.

    Attributes:
        url: of its JSON-RPC.
        private_key: hex, of an account with funds.
        address: of that account.
    """

    url: str
    private_key: str
    address: str


@pytest.fixture(scope="session")
def anvil() -> Iterator[ChainServer]:
    """An anvil with a funded account, shared by the session."""
    with temporary_folder() as folder:
        service = EmbeddedChain(folder / "chain", ChainSettings(port=free_port()))
        prepared(service)
        with running(service, folder / "chain.log"):
            yield ChainServer(service.url, service.key_file.read_text().strip(), service.address)


@pytest.fixture(scope="session")
def anvil_url(anvil: ChainServer) -> str:
    """JSON-RPC URL of the session's anvil."""
    return anvil.url


def pytest_report_header() -> list[str]:
    """Say at the top of a run which servers there are, so that a skip is no surprise."""
    from hanlu.app.embedded import timescaledb

    return [
        f"mosquitto: {find_mosquitto() or 'not installed'}; chromium: {shutil.which('chromium') or 'not installed'}; "
        f"npm: {shutil.which('npm') or 'from wheel'}; timescaledb: {timescaledb.missing_tools() or timescaledb.VERSION}"
    ]
