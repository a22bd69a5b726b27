"""The stage of the fault matrix: database, broker, ingest, alarm engine, gateways, each a process that can be killed.

They are the programs `hanlu up` runs, on free ports in a folder of their own, without its supervisor: who breaks them
here also mends them.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg

from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.store import shipped_rules, write_rule
from hanlu.app import process
from hanlu.app.datafolder import DataFolder
from hanlu.app.edge_process import read_status
from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.faults.link import Link
from hanlu.app.process import Command
from hanlu.app.settings import BrokerSettings, DatabaseSettings, Settings, process_environment
from hanlu.core.errors import FatalError, TransientError
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.db.migrate import migrate
from hanlu.db.pool import connect, open_pool
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LimitsConfig, LineConfig, UplinkConfig
from hanlu.gateway.identity import load_or_create_key
from hanlu.registry import records
from hanlu.registry.store import Registry

__all__ = ["LIVE", "REPLAY", "Child", "Edge", "Stage", "staged"]

REPLAY: Final = "faults-replay"
"""The gateway whose readings are judged in their own time: its alarms are known beforehand."""
LIVE: Final = "faults-live"
"""The gateway whose devices measure now."""

METRIC: Final = "air_temperature"
PROFILE: Final = "faults-room"

_ORGANISATION: Final = "faults"
_LIKE: Final = "air-high"
"""The shipped rule whose words the trial's own borrows."""
_LONG_AGO: Final = date(2020, 1, 1)
_START_S: Final = 30.0
_SILENT_S: Final = 2.0
_POLL_S: Final = 0.02
_PARTITIONS: Final = {REPLAY: 1, LIVE: 2}


@dataclass(slots=True)
class Child:
    """One process of the stage.

    Attributes:
        name: also of its log.
        command: says how to start it.
        ready: whether it answers.
        log: file of its output.
    """

    name: str
    command: Callable[[], Command]
    ready: Callable[[], bool]
    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            FatalError: it ends instead, or takes too long.
        """
        with self.log.open("ab") as output:
            self.running = process.start(self.command(), output)
        end = time.monotonic() + _START_S
        while not self.ready():
            if self.running.poll() is not None or time.monotonic() > end:
                raise FatalError(f"{self.name} does not start; its log ends: {self.log.read_text()[-600:]}")
            time.sleep(_POLL_S)

    def stop(self, asked: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end and wait; after ten seconds it is killed."""
        if self.running is not None:
            process.stop(self.running, asked, 10.0)
            self.running = None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.running is not None:
            self.running.kill()
            process.kill_group(self.running)
            self.running.wait()
            self.running = None

    def end_with(self, how: signal.Signals) -> None:
        """End it by a signal of its own and wait however long that takes it."""
        if self.running is not None:
            self.running.send_signal(how)
            self.running.wait(30)
            self.running = None


@dataclass(slots=True)
class Edge:
    """A gateway on the stage.

    Attributes:
        config: of the gateway.
        child: its process.
        link: between it and the broker.
        status_file: what it says of itself.
        clock_file: milliseconds its wall clock is wrong by.
    """

    config: GatewayConfig
    child: Child
    link: Link
    status_file: Path
    clock_file: Path

    @property
    def code(self) -> str:
        """The gateway's code."""
        return self.config.code

    def connect(self) -> socket.socket:
        """Connect to its line driver as a device."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(2.0)
            sock.connect(self.config.line.listen.removeprefix("unix:"))
        except BaseException:
            sock.close()
            raise
        return sock

    def pending(self, since_s: float = 0.0) -> int | None:
        """Return how much it still owes the platform: messages without a receipt and readings not yet declared lost.

        None when its process has said nothing of late.

        Args:
            since_s: monotonic seconds; what was said before does not count.
        """
        try:
            status = read_status(self.status_file)
        except ValueError:
            return None
        if status is None or self.child.running is None or status.pid != self.child.running.pid:
            return None
        owed = status.pending + status.undeclared
        return owed if status.at_s > max(since_s, time.monotonic() - _SILENT_S) else None

    def set_clock(self, offset_ms: int) -> None:
        """Put its wall clock wrong by `offset_ms`."""
        draft = self.clock_file.with_suffix(".draft")
        draft.write_text(str(offset_ms))
        draft.replace(self.clock_file)


@dataclass(slots=True)
class Stage:
    """Everything that runs.

    Attributes:
        folder: of it all.
        chance: the dice of this run.
        postgres: the database's service.
        broker: the broker's service.
        children: `postgres`, `broker`, `ingest`, `alerts`, and the gateways by code.
        edges: the gateways by code.
    """

    folder: Path
    chance: random.Random
    postgres: EmbeddedPostgres
    broker: EmbeddedBroker
    children: dict[str, Child] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """The database, as its owner."""
        return self.postgres.url

    def rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query of ours."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def add_edge(self, stack: ExitStack, code: str, partition: int, **how: Any) -> Edge:
        """Register a gateway and prepare its process.

        Args:
            stack: closes its link at the end.
            code: of the gateway.
            partition: of the gateway.
            how: `data_dir`, `max_spool_bytes`, `link_host`, `prefix` (words before the command) where they differ.
        """
        folder = self.folder / code
        folder.mkdir(mode=0o700)
        data_dir: Path = how.get("data_dir", folder / "data")
        link = stack.enter_context(Link(self.broker.settings.port, self.chance, how.get("link_host", "127.0.0.1")))
        config = GatewayConfig(
            code=code,
            partition=partition,
            data_dir=data_dir,
            key_file=folder / "gateway.key",
            replay=code == REPLAY,
            health_period_s=0,
            broker=BrokerConfig(
                host=how.get("link_host", "127.0.0.1"),
                port=link.port,
                username=code,
                password=self.broker.logins.password(code),
                keepalive_s=5,
            ),
            line=LineConfig(listen=f"unix:{folder / 'line'}"),
            uplink=UplinkConfig(receipt_timeout_s=1.0, reconnect_min_s=0.1, reconnect_max_s=0.5, backlog_rate=2_000),
            limits=LimitsConfig(max_spool_bytes=how.get("max_spool_bytes", 1 << 30)),
        )
        status, clock = folder / "status.json", folder / "clock"
        configuration = folder / "gateway.json"
        _write_private(configuration, config.model_dump())
        words = (*how.get("prefix", ()), sys.executable, "-P", "-m", "hanlu.app.faults.edge")
        command = Command(
            argv=(*words, str(configuration), str(status), str(clock)),
            env=process_environment() | {"PYTHONUNBUFFERED": "1"},
        )
        child = Child(code, lambda: command, lambda: True, self.folder / f"{code}.log")
        edge = Edge(config, child, link, status, clock)
        child.ready = lambda: edge.pending() is not None
        self.children[code] = child
        self.edges[code] = edge
        self._register(edge)
        return edge

    def add_rooms(self, gateway: str, devices: Iterable[str]) -> None:
        """Register thermometers behind a gateway, each in a room of its own."""
        with self._editing() as editor:
            for device in devices:
                editor.put_zone(records.Zone(f"{gateway}-{device}", gateway, device, device, limit_profile=PROFILE))
                editor.put_device(records.Device(gateway, device, "cold_room", f"{gateway}-{device}"))
                editor.put_channel(records.Channel(gateway, device, METRIC, "Cel", 5.0))

    def _register(self, edge: Edge) -> None:
        public = public_bytes(load_or_create_key(edge.config.key_path))
        with self._editing() as editor:
            editor.put_site(records.Site(edge.code, _ORGANISATION, edge.code, edge.code, "cold_store"))
            editor.put_gateway(records.Gateway(edge.code, edge.code, edge.config.partition))
            editor.enrol_key(records.GatewayKey(edge.code, key_id(public), public))

    def prepare_register(self) -> None:
        """Write what all gateways stand under, and the limits their rooms are judged by."""
        with self._editing() as editor:
            editor.put_level_name(records.LevelName(1, "省", "province"))
            editor.put_organisation(records.Organisation(_ORGANISATION, None, "故障试验", "Fault trials"))
            editor.put_limit_profile(
                records.LimitProfile(
                    PROFILE,
                    effective_from=_LONG_AGO,
                    source="made for this trial",
                    high=-15.0,
                    on_delay_s=60,
                    off_delay_s=60,
                    no_data_s=604_800,
                )
            )
        shipped = next(rule for rule in shipped_rules() if rule.code == _LIKE)
        # The bare limit and the profile's delays: what is shipped waits longer for a frozen room than a round lasts.
        plain = shipped.model_dump(mode="json") | {
            "code": f"{_LIKE}-{PROFILE}",
            "applies": {"metric": METRIC, "profile": PROFILE},
            "parameters": {"hold_defrost": False},
        }
        with closing(connect(self.database_url, "hanlu_alerts", name="hanlu faults", autocommit=True)) as connection:
            write_rule(connection, Rule.model_validate(plain), seen=0, author="hanlu faults")

    @contextmanager
    def _editing(self) -> Iterator[Any]:
        pool = open_pool(self.database_url, "hanlu_registry", name="hanlu faults", max_size=1)
        try:
            with Registry(pool).editing() as editor:
                yield editor
        finally:
            pool.close()


@contextmanager
def staged(folder: Path, chance: random.Random, rooms: int, say: Callable[[str], None]) -> Iterator[Stage]:
    """Build the stage, start everything on it, and take it down afterwards.

    Args:
        folder: empty; reachable by the database's account.
        chance: the dice.
        rooms: behind either gateway, `room-0` and so on.
        say: takes one line of progress.

    Raises:
        HanluError: a server cannot be had on this machine; the message says what to do.
    """
    work = Work(say=say)
    postgres = EmbeddedPostgres(folder / "postgres", DatabaseSettings())
    broker = EmbeddedBroker(folder / "broker", BrokerSettings(port=_free_port(), kind="mosquitto"), tuple(_PARTITIONS))
    for service in (postgres, broker):
        service.prepare(work)
    stage = Stage(folder, chance, postgres, broker)
    with ExitStack() as stack:
        stack.callback(_stop_all, stage)
        for service in (postgres, broker):
            child = Child(service.name, service.command, service.ready, folder / f"{service.name}.log")
            stage.children[service.name] = child
            child.start()
        migrate(stage.database_url)
        stage.prepare_register()
        _add_roles(stage)
        for code, partition in _PARTITIONS.items():
            stage.add_edge(stack, code, partition)
            stage.add_rooms(code, (f"room-{number}" for number in range(rooms)))
        for name in ("ingest", "alerts", *_PARTITIONS):
            stage.children[name].start()
        yield stage


def _add_roles(stage: Stage) -> None:
    settings = Settings().with_values(
        data={"folder": stage.folder / "platform"},
        database={"url": stage.database_url},
        broker={"url": stage.broker.url},
        chain={"enabled": False},
    )
    file = stage.folder / "settings.json"
    _write_private(file, settings.model_dump())
    for role in ("ingest", "alerts"):
        argv = (sys.executable, "-P", "-m", "hanlu.app", "run", role, "--config", str(file))
        command = partial(Command, argv=argv, env=process_environment() | {"PYTHONUNBUFFERED": "1"})
        # Not waited for: a platform that is still starting is one more thing a gateway must stand.
        stage.children[role] = Child(role, command, lambda: True, stage.folder / f"{role}.log")


def _stop_all(stage: Stage) -> None:
    for child in reversed(list(stage.children.values())):
        asked = signal.SIGINT if child.name == stage.postgres.name else signal.SIGTERM
        with contextlib.suppress(OSError, TransientError):
            child.stop(asked)


def _write_private(path: Path, values: Any) -> None:
    DataFolder(path.parent).write(path, values)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
