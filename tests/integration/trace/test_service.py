"""The process with its three loops: together, and each when another is in trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from fix_services import free_port
from fix_trace import CHANNEL, MINUTE, T0, Orchard, amount, document, event, lot

from hanlu.core.clock import SystemClock
from hanlu.trace.config import AnchorConfig, CurveConfig, FollowConfig, TraceConfig
from hanlu.trace.log.fsck import fsck
from hanlu.trace.log.inception import create_log
from hanlu.trace.service import run

pytestmark = [pytest.mark.postgres]


def _seen(number: int) -> bytes:
    return document(event(ms=T0 + number * MINUTE, step="storing", to="room", quantityList=[amount(lot("A"), number)]))


def _config(folder: Path, url: str | None = None) -> TraceConfig:
    return TraceConfig(
        key_folder=folder,
        follow=FollowConfig(poll_s=0.05),
        curve=CurveConfig(bucket_s=3_600, settle_s=0),
        anchor=AnchorConfig(url=url, embedded=True, every_s=0, retry_s=0.05),
    )


@contextmanager
def _running(config: TraceConfig, url: str) -> Iterator[None]:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(config, url, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def _created(orchard: Orchard, folder: Path) -> None:
    with orchard.connect() as connection:
        create_log(connection, folder / "log.key", created_by="test", now_ms=SystemClock().now_ms())


def _count(orchard: Orchard, table: str, where: str = "true") -> int:
    return int(orchard.query(f"SELECT count(*) FROM trace.{table} WHERE {where}")[0][0])


def _troubles(orchard: Orchard) -> dict[str, str]:
    return {str(name): str(detail) for name, detail in orchard.query("SELECT name, detail FROM trace.trouble_v")}


@pytest.mark.chain
def test_document_of_a_gateway_ends_up_on_the_chain(orchard: Orchard, anvil_url: str, tmp_path: Path) -> None:
    _created(orchard, tmp_path)
    with _running(_config(tmp_path, anvil_url), orchard.url):
        orchard.arrive(_seen(1))
        orchard.measure(CHANNEL["room"], [(T0 + each * MINUTE, 4.0) for each in range(120)])
        # The event, two clock hours of one thermometer, and none of the third, which goes on.
        _until(lambda: _count(orchard, "leaf") == 3, "three leaves")
        _until(
            lambda: _count(orchard, "anchor", "state = 'final' AND tree_size = 3") == 1, "an anchor of all three leaves"
        )
        _until(lambda: _troubles(orchard) == {}, "no trouble")
    with orchard.connect() as connection:
        assert fsck(connection) == []


def test_chain_that_is_away_is_told_and_delays_nothing(orchard: Orchard, tmp_path: Path) -> None:
    _created(orchard, tmp_path)
    with _running(_config(tmp_path, f"http://127.0.0.1:{free_port()}"), orchard.url):
        _until(lambda: "anchor" in _troubles(orchard), "the anchor's trouble is told")
        for number in range(1, 4):
            orchard.arrive(_seen(number))
        _until(lambda: _count(orchard, "leaf") == 3, "the log goes on")
        assert set(_troubles(orchard)) == {"anchor"}


def test_log_that_was_not_created_is_told_and_capture_goes_on(orchard: Orchard, tmp_path: Path) -> None:
    with _running(_config(tmp_path), orchard.url):
        orchard.arrive(_seen(1))
        _until(lambda: _count(orchard, "event") == 1, "captured")
        _until(lambda: "create-log" in _troubles(orchard).get("sequence", ""), "the missing log is told")
        _created(orchard, tmp_path)
        _until(lambda: _count(orchard, "leaf") == 1, "what waited is in the log")
        _until(lambda: _troubles(orchard) == {}, "no trouble")


def test_loops_come_back_after_the_database_cut_them_off(orchard: Orchard, tmp_path: Path) -> None:
    _created(orchard, tmp_path)
    with _running(_config(tmp_path), orchard.url):
        orchard.arrive(_seen(1))
        _until(lambda: _count(orchard, "leaf") == 1, "the first")
        with psycopg.connect(orchard.url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'hanlu trace %' AND datname = current_database()"
            )
        orchard.arrive(_seen(2))
        _until(lambda: _count(orchard, "leaf") == 2, "the second, after new connections")


def test_second_process_does_nothing_twice(orchard: Orchard, tmp_path: Path) -> None:
    _created(orchard, tmp_path)
    config = _config(tmp_path)
    with _running(config, orchard.url), _running(config, orchard.url):
        for number in range(1, 30):
            orchard.arrive(_seen(number))
        _until(lambda: _count(orchard, "leaf") == 29, "all of them, once")
    with orchard.connect() as connection:
        assert fsck(connection) == []
    assert _count(orchard, "dead_letter") == 0
