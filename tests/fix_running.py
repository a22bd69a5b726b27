"""The real `hanlu up` as a process on free ports and in a folder of its own, for tests of the whole system.

    with running_hanlu(roles="ingest,alerts,trace,web") as hanlu:
        hanlu.url, hanlu.passwords["operator"], hanlu.database_url, hanlu.pid("ingest")
        hanlu.run("replay", "room.csv", "--yes")

At the end of the block it is stopped by SIGTERM, and the test fails when that takes long, ends badly, or leaves a
process behind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from fix_services import free_port, temporary_folder, wait_until

from hanlu.app.settings import Settings, load, process_environment

__all__ = ["RunningHanlu", "free_port_run", "running_hanlu"]

HANLU = (sys.executable, "-P", "-m", "hanlu.app")
READY_S = 120.0
"""Seconds a start may take; the first on a machine builds TimescaleDB."""
STOP_S = 30.0
GATEWAY_PORTS = 8
"""Consecutive ports kept free for the line drivers of the simulated gateways."""
_PASSWORD = re.compile(r"^  \w+ +(\w+) +([a-z0-9-]{16,})$", re.MULTILINE)


@dataclass(slots=True)
class RunningHanlu:
    """A running system.

    Attributes:
        data: its data folder.
        environment: of its process; for further commands too.
        process: the supervisor.
        output: file with what `hanlu up` printed.
        passwords: sign-in name -> password, as printed at the first start.
    """

    data: Path
    environment: dict[str, str] = field(repr=False)
    process: subprocess.Popen[str]
    output: Path
    passwords: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings in force, with the URLs of the embedded services."""
        return load(self.data / "run" / "settings.json", environ={})

    @property
    def url(self) -> str:
        """Base URL of the web pages, without a trailing slash."""
        return self.settings.web.base_url

    @property
    def database_url(self) -> str:
        """URL of the database, as its owner."""
        url = self.settings.database.url
        assert url is not None
        return url

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what the supervisor says about each process, by name: state, pid, starts, last_exit, log."""
        found = json.loads((self.data / "run" / "status.json").read_text(encoding="utf-8"))
        return {one["name"]: one for one in found["processes"]}

    def pid(self, name: str) -> int:
        """Return the pid of a service or role once it is ready."""
        wait_until(lambda: self.status()[name]["state"] == "ready", f"{name} ready", 60)
        return int(self.status()[name]["pid"])

    def kill(self, name: str) -> int:
        """Kill a service or role with SIGKILL and return the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self, name: str) -> str:
        """Return what a process has written to its log."""
        return (self.data / "log" / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start another `hanlu` command on this system; `options` are those of `subprocess.Popen`."""
        return subprocess.Popen(
            [*HANLU, *words, "--data", str(self.data)],
            env=self.environment,
            **{"stdin": subprocess.DEVNULL, "text": True} | options,
        )

    def run(self, *words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run another `hanlu` command on this system to its end, whatever its exit status."""
        return subprocess.run(
            [*HANLU, *words, "--data", str(self.data)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@contextmanager
def running_hanlu(
    *, roles: str | None = None, data: Path | None = None, environment: dict[str, str] | None = None
) -> Iterator[RunningHanlu]:
    """Run `hanlu up` for the time of the block.

    Args:
        roles: comma-separated; None starts all, the simulated county included.
        data: data folder, to start one a second time; None makes a fresh one that is removed at the end.
        environment: more variables for it, e.g. `{"HANLU_DATABASE__TIMESCALEDB": "off"}`.
    """
    with ExitStack() as stack:
        data = data or stack.enter_context(temporary_folder()) / "data"
        variables = process_environment() | _ports() | (environment or {})
        output = data.parent / f"{data.name}.up.out"
        words = [*HANLU, "up", "--data", str(data)] + (["--roles", roles] if roles is not None else [])
        with output.open("w") as file:
            child = subprocess.Popen(
                words, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, text=True
            )
        one = RunningHanlu(data, variables, child, output)
        try:
            _await_ready(one)
            yield one
        except BaseException:
            _stop(one)
            raise
        leftovers = _stop(one)
        assert leftovers == [], f"processes left behind: {leftovers}"
        assert child.returncode == 0, f"hanlu up ended with {child.returncode}:\n{output.read_text()}"


def free_port_run(count: int) -> int:
    """Return the first of `count` consecutive TCP ports nobody listens on now."""
    for _ in range(100):
        first = free_port()
        if first + count < 65_536 and all(_is_free(port) for port in range(first, first + count)):
            return first
    pytest.fail(f"there are no {count} consecutive free ports")


def _ports() -> dict[str, str]:
    return {
        "HANLU_WEB__PORT": str(free_port()),
        "HANLU_BROKER__PORT": str(free_port()),
        "HANLU_CHAIN__PORT": str(free_port()),
        "HANLU_GATEWAY__LINE_PORT": str(free_port_run(GATEWAY_PORTS)),
    }


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _await_ready(one: RunningHanlu) -> None:
    end = time.monotonic() + READY_S
    while "Hanlu is ready" not in (said := one.output.read_text(encoding="utf-8")):
        if one.process.poll() is not None or time.monotonic() > end:
            pytest.fail(f"hanlu up did not become ready:\n{said}")
        time.sleep(0.05)
    one.passwords.update(_PASSWORD.findall(said))


def _stop(one: RunningHanlu) -> list[str]:
    """Stop it as a service manager would and return the processes that are left; those are killed."""
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(one.process.pid).children(recursive=True)
    if one.process.poll() is None:
        one.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(STOP_S)
    # A service that has been told to end may still be on its way out for a moment; a forgotten one stays.
    _, alive = psutil.wait_procs([*family, *_strangers(one.data)], timeout=3)
    alive = [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    found = [f"{each.pid} {' '.join(each.cmdline())[:200]}" for each in alive]
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    if one.process.poll() is None:
        found.append(f"{one.process.pid} hanlu up")
        one.process.kill()
        one.process.wait()
    return found


def _strangers(data: Path) -> list[psutil.Process]:
    """Return the processes whose command line names the data folder, whoever started them."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if each.pid != os.getpid() and any(str(data) in word for word in each.info["cmdline"] or ())
    ]
