"""Puts `hanlu up` together: which services are embedded, what the roles are told, what the supervisor keeps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hanlu.app.datafolder import DataFolder, Listener
from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.embedded.chain import EmbeddedChain
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Service, ToolError, Work
from hanlu.app.logfile import LogFile
from hanlu.app.process import Command
from hanlu.app.settings import MULTIPROCESS_VARIABLE, Settings, process_environment
from hanlu.app.supervisor import Unit
from hanlu.app.wiring import line_ports
from hanlu.firmware_sim.yanling import demo_county

__all__ = ["Composition", "compose", "listeners", "units"]

_SERVICES, _SETUP, _ROLES = 0, 1, 2
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Composition:
    """What `up` runs.

    Attributes:
        settings: in force, with the URLs of the embedded services.
        services: the embedded ones, prepared.
        descriptions: for each of database, broker and chain, one line about what it is.
    """

    settings: Settings
    services: tuple[Service, ...]
    descriptions: dict[str, str]


def listeners(settings: Settings, roles: Sequence[str]) -> list[Listener]:
    """Return the TCP addresses that must be free: those of the embedded services and of the web role."""
    found = []
    if "web" in roles:
        found.append(Listener(settings.web.host, settings.web.port, "web.port"))
    if settings.broker.url is None:
        found.append(Listener("127.0.0.1", settings.broker.port, "broker.port"))
        if settings.broker.tls_port is not None:
            found.append(Listener(settings.broker.tls_host, settings.broker.tls_port, "broker.tls_port"))
    if settings.chain.url is None and settings.chain.enabled:
        found.append(Listener("127.0.0.1", settings.chain.port, "chain.port"))
    if "gateway" in roles:
        ports = line_ports(settings, demo_county()).values()
        found += [Listener("127.0.0.1", port, "gateway.line_port") for port in ports]
    return found


def compose(settings: Settings, say: Callable[[str], None], stop: threading.Event) -> Composition:
    """Prepare the embedded services, side by side, and return what is to be run.

    Only the chain may be missing: its reason is said, and nothing is anchored.

    Raises:
        HanluError: when the database or the broker cannot be prepared.
        StoppedError: when `stop` was set meanwhile.
    """
    folder = settings.data.folder
    work = Work(say=say, stop=stop)
    postgres = EmbeddedPostgres(folder / "postgres", settings.database) if settings.database.url is None else None
    broker = (
        EmbeddedBroker(folder / "broker", settings.broker, _gateway_codes()) if settings.broker.url is None else None
    )
    wanted = settings.chain.enabled and settings.chain.url is None
    chain = EmbeddedChain(folder / "chain", settings.chain) if wanted else None
    chain_off = "" if settings.chain.enabled else "chain.enabled is false"
    with ThreadPoolExecutor(max_workers=3) as pool:
        running = {one.name: pool.submit(one.prepare, work) for one in (postgres, broker, chain) if one is not None}
        for name, future in running.items():
            try:
                future.result()
            except ToolError as exc:
                if name != "chain":
                    raise
                chain, chain_off = None, str(exc)
    values: dict[str, dict[str, Any]] = {
        "data": {"folder": folder},
        "metrics": {"shared_folder": DataFolder(folder).figures},
    }
    if postgres:
        values["database"] = {"url": postgres.url, "embedded": True}
    if broker:
        values["broker"] = {"url": broker.url, "embedded": True}
    if chain:
        values["chain"] = {
            "url": chain.url,
            "key_file": settings.chain.key_file or chain.key_file,
            "embedded": True,
        }
    elif chain_off:
        values["chain"] = {"enabled": False}
    return Composition(
        settings=settings.with_values(**values),
        services=tuple(one for one in (postgres, broker, chain) if one is not None),
        descriptions={
            "database": postgres.description if postgres else _external("database", settings.database.url),
            "broker": broker.description if broker else _external("broker", settings.broker.url),
            "chain": f"off: {chain_off}; checkpoints are signed but not anchored"
            if chain_off
            else chain.description
            if chain
            else _external("chain", settings.chain.url),
        },
    )


def units(composition: Composition, roles: Sequence[str], setup: bool = True) -> list[Unit]:
    """Return the services, the setup task and the roles, in the order in which they are started."""
    settings = composition.settings
    folder = DataFolder(settings.data.folder)

    def log(name: str) -> LogFile:
        return LogFile(folder.log(name), settings.supervisor.log_max_mb * _MIB, settings.supervisor.log_files)

    made = [_service_unit(service, log(service.name)) for service in composition.services]
    if setup:
        made.append(
            Unit("setup", partial(_hanlu, folder.settings_file, "setup"), log("setup"), stage=_SETUP, once=True)
        )
    shared = {MULTIPROCESS_VARIABLE: str(folder.figures)}
    made += [
        Unit(name, partial(_hanlu, folder.settings_file, "run", name, also=shared), log(name), stage=_ROLES)
        for name in roles
    ]
    return made


def _service_unit(service: Service, log: LogFile) -> Unit:
    # Nothing waits for the chain: the anchor's sender tries again by itself.
    return Unit(
        service.name,
        lambda notify_fd: service.command(),
        log,
        stage=_SERVICES,
        probe=service.ready,
        awaited=service.name != "chain",
    )


def _hanlu(settings_file: Path, *words_and_fd: Any, also: Mapping[str, str] | None = None) -> Command:
    """Return one of our own commands as a child process; its settings travel by file, for they hold secrets."""
    *words, notify_fd = words_and_fd
    argv = [sys.executable, "-P", "-m", "hanlu.app", *words, "--config", str(settings_file)]
    argv += ["--notify-fd", str(notify_fd)]
    return Command(argv=tuple(argv), env=process_environment() | {"PYTHONUNBUFFERED": "1"} | dict(also or {}))


def _gateway_codes() -> tuple[str, ...]:
    return tuple(gateway.code for gateway in demo_county().gateways)


def _external(what: str, url: str | None) -> str:
    """Name an external service without its credentials."""
    parts = urlsplit(url or "")
    port = f":{parts.port}" if parts.port else ""
    return f"external {what} {parts.hostname or parts.scheme}{port}"
