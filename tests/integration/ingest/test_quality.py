"""The hourly figures of how well a gateway is heard, against the arrivals themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_edge import NOON_MS, Edge, temperature
from fix_ingest import Platform

from hanlu.core.wire.topics import Lane
from hanlu.db.pool import Connection, connect
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.quality import add_up
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
START_MS = NOON_MS - NOON_MS % HOUR_MS


@pytest.fixture
def edge(platform: Platform) -> Edge:
    edge = Edge()
    platform.register(edge)
    return edge


@pytest.fixture
def follower(platform: Platform) -> Iterator[Connection]:
    with connect(platform.url, "hanlu_ingest", name="test", autocommit=True) as connection:
        connection.execute("INSERT INTO telemetry.follower VALUES ('quality', '0', 0)")
        yield connection


@pytest.fixture
def heard(platform: Platform, edge: Edge) -> None:
    """Six messages: five as they happened, at minutes 0, 0, 7, 59 and 60, and one from the backlog."""
    writer = Writer(platform.url)
    snapshot = read_snapshot(writer.connection)
    received = [0, 10_000, 7 * MINUTE_MS, 59 * MINUTE_MS, HOUR_MS]
    lateness = [500, 4_000, 200, 400_000, 100]
    for at, late in zip(received, lateness, strict=True):
        message = edge.readings([temperature(-18.0, START_MS + at - late)])
        writer.commit([decode(*message, START_MS + at, snapshot)])
    backlog = edge.readings([temperature(-18.0, START_MS - 86_400_000)], lane=Lane.BACKLOG)
    writer.commit([decode(*backlog, START_MS + HOUR_MS + 1_000, snapshot)])
    writer.close()


def figures(platform: Platform) -> list[tuple[object, ...]]:
    return platform.rows(
        "SELECT extract(epoch FROM hour_at)::bigint * 1000, minutes_heard, messages, backlog_messages, stored,"
        " live_messages, late_1s, late_5s, late_30s, late_5min, late_most_s"
        " FROM telemetry.gateway_hour_v ORDER BY hour_at"
    )


EXPECTED = [
    (START_MS, 1 | 1 << 7 | 1 << 59, 4, 0, 4, 4, 2, 3, 3, 3, 400.0),
    (START_MS + HOUR_MS, 1, 2, 1, 2, 1, 1, 1, 1, 1, 0.1),
]


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("most", [1, 2, 100])
def test_hours_add_up_whatever_the_page(platform: Platform, follower: Connection, most: int) -> None:
    counted = 0
    while number := add_up(follower, most):
        counted += number
    assert counted == 6
    assert figures(platform) == EXPECTED


@pytest.mark.usefixtures("heard")
def test_each_arrival_counts_once_after_a_kill(platform: Platform, follower: Connection) -> None:
    with follower.transaction(force_rollback=True):  # killed before the commit
        assert add_up(follower) == 6
    assert figures(platform) == []
    assert add_up(follower) == 6
    assert add_up(follower) == 0
    assert figures(platform) == EXPECTED


@pytest.mark.usefixtures("heard")
def test_second_worker_leaves_the_page_to_the_first(platform: Platform, follower: Connection) -> None:
    with (
        follower.transaction(),
        connect(platform.url, "hanlu_ingest", name="second", autocommit=True) as second,
    ):
        assert add_up(follower) == 6
        assert add_up(second) == 0
    assert figures(platform) == EXPECTED


def test_gateway_not_heard_for_a_quarter_of_an_hour_is_offline_without_a_will(platform: Platform, edge: Edge) -> None:
    writer = Writer(platform.url)
    writer.commit([decode(*edge.birth(), NOON_MS, read_snapshot(writer.connection))])
    writer.close()
    ages = (("14 minutes", True), ("16 minutes", False))
    for age, online in ages:
        platform.execute(f"UPDATE telemetry.gateway_link SET last_seen_at = now() - INTERVAL '{age}'")
        assert platform.one("SELECT online FROM telemetry.gateway_link_v") is online
