"""The real `hanlu up` as a process: it refuses what it must, repairs what falls, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from fix_services import free_port, temporary_folder, wait_until

from hanlu.app.settings import load, process_environment

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

HANLU = [sys.executable, "-P", "-m", "hanlu.app"]


@dataclass(slots=True)
class Running:
    """A `hanlu up` with its embedded services and no roles."""

    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]

    def hanlu(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*HANLU, *words, "--data", str(self.data)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> dict[str, dict[str, Any]]:
        status = json.loads(self.hanlu("status", "--json").stdout)
        return {one["name"]: one for one in status["processes"]}

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def environment() -> dict[str, str]:
    """Plain PostgreSQL, for it starts without a build; free ports."""
    return process_environment() | {
        "HANLU_DATABASE__TIMESCALEDB": "off",
        "HANLU_DATABASE__SHARED_BUFFERS_MB": "32",
        "HANLU_BROKER__PORT": str(free_port()),
        "HANLU_CHAIN__PORT": str(free_port()),
        "HANLU_CHAIN__STATE_INTERVAL_S": "1",
        "HANLU_SUPERVISOR__BACKOFF_FIRST_S": "0.1",
    }


@contextmanager
def up(data: Path, variables: dict[str, str]) -> Iterator[Running]:
    log = data.parent / "up.out"
    with log.open("w") as output:
        child = subprocess.Popen(
            [*HANLU, "up", "--roles", "", "--data", str(data)],
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:

        def is_ready() -> bool:
            assert child.poll() is None, log.read_text()
            return "Hanlu is ready" in log.read_text()

        wait_until(is_ready, "hanlu up", 60)
        yield Running(data, variables, child)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with temporary_folder() as folder, up(folder / "data", environment()) as one:
        yield one


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def test_status_names_every_process_and_ends_with_zero(running: Running) -> None:
    wait_until(lambda: running.hanlu("status").returncode == 0, "everything ready")
    answer = running.hanlu("status")
    for word in ("postgres", "broker", "setup", "ready", "done", "plain PostgreSQL 16: database.timescaledb is off"):
        assert word in answer.stdout


def test_second_up_on_the_same_folder_is_refused_with_the_pid(running: Running) -> None:
    answer = running.hanlu("up", "--roles", "")
    assert answer.returncode == 1
    assert f"pid {running.process.pid}" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_taken_port_is_refused_before_anything_is_started(running: Running, tmp_path: Path) -> None:
    other = tmp_path / "other"
    answer = subprocess.run(
        [*HANLU, "up", "--roles", "", "--data", str(other)],
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 2
    port = running.environment["HANLU_BROKER__PORT"]
    assert f"port {port} is taken" in answer.stderr
    assert "HANLU_BROKER__PORT" in answer.stderr
    assert not (other / "postgres").exists()


def test_killed_process_is_started_again_and_keeps_its_data(running: Running) -> None:
    url = running_url(running)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 1 AS one")
    before = running.processes()["postgres"]
    psutil.Process(before["pid"]).kill()

    def is_back() -> bool:
        now = running.processes()["postgres"]
        return now["state"] == "ready" and now["pid"] != before["pid"]

    wait_until(is_back, "postgres")
    assert running.processes()["postgres"]["starts"] == before["starts"] + 1
    assert running.processes()["postgres"]["last_exit"] == -signal.SIGKILL
    assert running.processes()["broker"]["starts"] == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM public.kept").fetchone() == (1,)


def test_commands_find_the_running_database_and_hide_its_url(running: Running) -> None:
    assert running.hanlu("migrate").returncode == 0
    shown = running.hanlu("config")
    assert 'url = "***"' in shown.stdout
    assert "postgresql://" not in shown.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_everything_and_leaves_no_process(number: signal.Signals) -> None:
    with temporary_folder() as folder, up(folder / "data", environment()) as one:
        family = one.family()
        assert len(family) > 3
        one.process.send_signal(number)
        assert one.process.wait(20) == 0
        assert gone(family)
        assert one.hanlu("status").returncode == 1


def test_killed_supervisor_leaves_no_process_and_the_next_start_works() -> None:
    variables = environment()
    with temporary_folder() as folder, up(folder / "data", variables) as one:
        family = one.family()
        one.process.kill()
        one.process.wait()
        # At once: the services of the killed run may still be ending.
        with up(folder / "data", variables) as next_one:
            wait_until(lambda: gone(family), "the killed run's processes")
            assert next_one.processes()["postgres"]["state"] == "ready"


def test_stop_while_services_are_prepared_ends_soon() -> None:
    with temporary_folder() as folder:
        child = subprocess.Popen(
            [*HANLU, "up", "--roles", "", "--data", str(folder / "data")],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until((folder / "data" / "run" / "up.lock").exists, "the lock")
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) in {0, 130}
        with up(folder / "data", environment()) as one:
            assert one.processes()["setup"]["state"] == "done"


def test_program_that_never_starts_ends_up_with_its_last_words() -> None:
    with temporary_folder() as folder:
        data = folder / "data"
        variables = environment()
        with up(data, variables) as one:
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(20)
        control = (data / "postgres").resolve() / "cluster" / "global" / "pg_control"
        control.write_bytes(b"broken")
        answer = one.hanlu("up", "--roles", "")
        assert answer.returncode == 1
        assert "postgres does not start" in answer.stderr
        assert "pg_control" in answer.stderr


def running_url(running: Running) -> str:
    settings = load(running.data / "run" / "settings.json", environ={})
    assert settings.database.url
    return settings.database.url
