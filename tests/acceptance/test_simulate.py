"""`hanlu simulate` against the gateways of a running system."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from subprocess import PIPE

import psycopg
import pytest
from fix_running import RunningHanlu, running_hanlu
from fix_services import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    environment = {"HANLU_DATABASE__TIMESCALEDB": "off", "HANLU_CHAIN__ENABLED": "false"}
    with running_hanlu(roles="ingest,gateway", environment=environment) as one:
        yield one


def stored(hanlu: RunningHanlu) -> int:
    with psycopg.connect(hanlu.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM telemetry.reading").fetchone()
    assert row is not None
    return int(row[0])


def test_faster_run_catches_up_with_the_present_and_ends(hanlu: RunningHanlu) -> None:
    ended = hanlu.run("simulate", "--speed", "2000", "--hours", "0.5", "--fault", "duplicate@room-1")
    assert ended.returncode == 0, ended.stderr
    assert "refused: 0" in ended.stdout
    values = int(ended.stdout.split(" values")[0].replace(",", ""))
    with psycopg.connect(hanlu.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM registry.channel").fetchone()
    assert row is not None
    assert values > 10 * row[0]
    wait_until(lambda: 0.9 * values < stored(hanlu) <= values, "the values are on record")


def test_live_run_ends_in_good_order_at_a_signal(hanlu: RunningHanlu) -> None:
    before = stored(hanlu)
    with hanlu.start("simulate", "--no-past", stdout=PIPE, stderr=PIPE) as child:
        wait_until(lambda: stored(hanlu) > before, "live values", 60)
        child.send_signal(signal.SIGTERM)
        said, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    assert "refused: 0" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--fault", "fire"), "there is no fault 'fire'"),
        (("--fault", "stuck@nowhere"), "no device and no gateway 'nowhere'"),
        (("--speed", "0"), "--speed"),
    ],
)
def test_what_cannot_be_simulated_is_refused(hanlu: RunningHanlu, words: tuple[str, ...], sentence: str) -> None:
    ended = hanlu.run("simulate", *words)
    assert ended.returncode == 2
    assert sentence in ended.stderr


def test_simulator_without_gateways_says_how_to_start_them(hanlu: RunningHanlu, tmp_path) -> None:
    nowhere = RunningHanlu(tmp_path, hanlu.environment, hanlu.process, hanlu.output)
    ended = nowhere.run("simulate")
    assert ended.returncode == 2
    assert "hanlu up --roles ingest,alerts,trace,web,gateway" in ended.stderr
