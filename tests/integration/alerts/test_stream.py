"""The live stream over real HTTP: what is told, when, to whom, and what a browser that was away is told."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from fix_alerts import CHILL, FOREIGN, FROZEN, OTHER_SCOPE, County
from fix_console import Site, console_site, operator, served

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.alerts.operate import acknowledge
from hanlu.core.clock import ManualClock, SystemClock
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres
START = 1_750_000_000_000


class Stream:
    """A browser's end of a stream."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.last_id = ""

    def next(self, wanted: str | None = None) -> tuple[str, Any]:
        """Return the next event, or the next of a name."""
        while True:
            fields = {}
            while line := self._answer.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            self.last_id = fields.get("id", self.last_id)
            if "event" in fields and wanted in (None, fields["event"]):
                return fields["event"], json.loads(fields["data"])
            if not fields:
                raise EOFError

    def run_out(self) -> None:
        """Read until the server ends the stream."""
        try:
            while True:
                self.next()
        except EOFError:
            return


@contextmanager
def stream(address: str, query: str = "", last_id: str = "") -> Iterator[Stream]:
    """Open the console's stream."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    headers = {"Last-Event-ID": last_id} if last_id else {}
    connection.request("GET", f"/console/stream{query}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Type", "").startswith("text/event-stream")
    try:
        yield Stream(answer)
    finally:
        connection.close()


@pytest.fixture
def address(console: Site) -> Iterator[str]:
    """The console served on this machine."""
    with served(console) as address:
        yield address


def raise_alarm(county: County) -> int:
    county.query("UPDATE registry.limit_profile SET on_delay_s = 0")
    county.arrive([(FROZEN, START, -5.0)])
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        Engine(EngineConfig(), connection, ManualClock()).turn()
    [(alarm_id,)] = county.query("SELECT alarm_id FROM alerts.alarm")
    assert isinstance(alarm_id, int)
    return alarm_id


def test_first_event_is_a_tick_with_the_counts(county: County, address: str) -> None:
    county.link(1)
    with stream(address) as events:
        name, data = events.next()
    assert name == "tick"
    assert (data["gateways"], data["online"], data["waiting"]) == (2, 1, 0)
    assert abs(data["now"] - SystemClock().now_ms()) < 5000


def test_reading_is_told_within_a_second(county: County, address: str) -> None:
    with stream(address) as events:
        events.next("tick")
        took = []
        for turn in range(10):
            began = time.monotonic()
            county.arrive([(FROZEN, START + turn, float(-turn))])
            assert events.next("reading")[1]["readings"] == [[FROZEN, START + turn, float(-turn)]]
            took.append(time.monotonic() - began)
    assert sorted(took)[8] < 1.0


def test_person_is_told_the_own_subtree_only(county: County, console: Site, address: str) -> None:
    console.person = operator(OTHER_SCOPE)
    with stream(address) as events:
        events.next("tick")
        county.arrive([(FROZEN, START, -18.0)])
        county.arrive([(FOREIGN, START, -17.0)])
        assert events.next("reading")[1]["readings"] == [[FOREIGN, START, -17.0]]


def test_page_of_a_zone_is_told_its_own_readings(county: County, address: str) -> None:
    with stream(address, "?zone=yanling-chill") as events:
        events.next("tick")
        county.arrive([(FROZEN, START, -18.0), (CHILL, START, 4.0)])
        assert events.next("reading")[1]["readings"] == [[CHILL, START, 4.0]]


def test_alarm_raised_and_acknowledged_is_told(county: County, address: str) -> None:
    with stream(address) as events:
        events.next("tick")
        alarm_id = raise_alarm(county)
        told = events.next("alarm")[1]
        assert (told["alarm_id"], told["event"], told["state"]) == (alarm_id, "raise", "UNACKNOWLEDGED")
        with connect(county.url, "hanlu_alerts", name="test") as connection:
            acknowledge(connection, alarm_id, 1, "li", "", START)
        assert events.next("alarm")[1]["event"] == "acknowledge"
        assert events.next("tick")[1]["waiting"] == 0


def test_counts_follow_an_alarm_and_do_not_wait_for_the_next_tick(county: County) -> None:
    with console_site(county, stream_tick_s=60) as site, served(site) as address, stream(address) as events:
        assert events.next("tick")[1]["waiting"] == 0
        raise_alarm(county)
        began = time.monotonic()
        while events.next("tick")[1]["waiting"] == 0:
            pass  # the follower's own first
        assert time.monotonic() - began < 3


def test_what_happened_while_the_line_was_down_is_told_first(county: County, address: str) -> None:
    with stream(address) as events:
        events.next("tick")
        county.arrive([(CHILL, START, 4.0)])
        events.next("reading")
        last_id = events.last_id
    county.arrive([(CHILL, START + 1, 5.0)])
    raise_alarm(county)
    county.arrive([(CHILL, START + 2, 6.0)])
    with stream(address, "?after=0-0-0-0", last_id) as events:
        told: list[tuple[int, int, float]] = []
        alarms = 0
        while (CHILL, START + 2, 6.0) not in told or not alarms:
            name, data = events.next()
            alarms += name == "alarm"
            told += [tuple(each) for each in data.get("readings", [])]
    # Readings of one channel may come as the newest alone; none comes twice, and none from before the break.
    assert (FROZEN, START, -5.0) in told
    assert (CHILL, START, 4.0) not in told
    assert len(told) == len(set(told))
    assert alarms == 1


def test_nothing_is_told_twice_after_coming_back(county: County, address: str) -> None:
    with stream(address) as events:
        events.next("tick")
        raise_alarm(county)
        events.next("alarm")
        last_id = events.last_id
    with stream(address, "", last_id) as events:
        assert events.next()[0] == "tick"


def test_page_is_told_to_load_anew_when_too_much_was_missed(county: County) -> None:
    county.arrive_all([[(CHILL, START + index, 4.0)] for index in range(12)])
    with (
        console_site(county, replay_arrivals=10) as site,
        served(site) as address,
        stream(address, "?after=0-0-0-0") as events,
    ):
        assert [events.next()[0], events.next()[0]] == ["reset", "tick"]


@pytest.mark.parametrize("last_id", ["nonsense", "1-2", "99999999999999999999-1-1-1"])
def test_id_that_is_none_of_ours_is_as_good_as_none(address: str, last_id: str) -> None:
    with stream(address, "", last_id) as events:
        assert events.next()[0] == "tick"


def test_stream_ends_at_once_when_the_server_stops(county: County) -> None:
    with console_site(county) as site, served(site) as address, stream(address) as events:
        events.next("tick")
        began = time.monotonic()
        site.stopping.set()
        events.run_out()
        assert time.monotonic() - began < 2.0


def test_stream_ends_after_its_life_so_that_a_revoked_sign_in_is_noticed(county: County) -> None:
    with (
        console_site(county, stream_life_s=1.0, stream_tick_s=0.2) as site,
        served(site) as address,
        stream(address) as events,
    ):
        began = time.monotonic()
        events.run_out()
        assert 0.5 < time.monotonic() - began < 4.0


def test_many_browsers_share_one_follower(county: County, address: str) -> None:
    with ExitStack() as stack:
        browsers = [stack.enter_context(stream(address)) for _ in range(12)]
        for each in browsers:
            each.next("tick")
        county.arrive([(CHILL, START, 4.5)])
        for each in browsers:
            assert each.next("reading")[1]["readings"] == [[CHILL, START, 4.5]]
        [(listening,)] = county.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
            " OR application_name = 'test console' AND datname = current_database()"
        )
        assert isinstance(listening, int)
        assert listening <= 8  # the pool's bound, whatever the number of browsers


def test_follower_goes_on_after_the_database_was_away(county: County, address: str) -> None:
    with stream(address) as events:
        events.next("tick")
        county.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'test console'"
        )
        county.arrive([(CHILL, START, 7.5)])
        assert events.next("reading")[1]["readings"] == [[CHILL, START, 7.5]]
