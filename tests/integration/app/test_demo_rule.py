"""The demo county's exception to a shipped rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_alerts import County, new_county

from hanlu.alerts.rules.assign import ChannelFacts, assign
from hanlu.alerts.rules.parameters import LimitParameters
from hanlu.alerts.rules.store import current, history, rules_in_force, seed_defaults, withdraw
from hanlu.app.demo import seed_exception
from hanlu.db.pool import Connection, connect

pytestmark = pytest.mark.postgres
CODE = "air-high-room-3"


@pytest.fixture(scope="module")
def county(postgres_url: str) -> Iterator[County]:
    with new_county(postgres_url) as made:
        yield made


@pytest.fixture
def connection(county: County) -> Iterator[Connection]:
    county.query("DELETE FROM alerts.rule")
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield connection


def _hold_door_s(connection: Connection, zone: str) -> int:
    facts = ChannelFacts(
        1, "gw/c/air_temperature", "air_temperature", "Cel", 30, "cold_room",
        zone=zone, limit_profile="peach", low=-1.0, high=3.0,
    )  # fmt: skip
    [high] = [each for each in assign(rules_in_force(connection), facts).assigned if each.kind == "high"]
    assert isinstance(high.parameters, LimitParameters)
    return high.parameters.hold_door_s


def test_exception_holds_in_its_room_only_and_outlives_the_shipped_rules(connection: Connection) -> None:
    assert seed_exception(connection)
    seed_defaults(connection)
    assert _hold_door_s(connection, "room-3") == 0
    assert _hold_door_s(connection, "room-2") > 0
    assert not seed_exception(connection)
    assert len(history(connection, CODE)) == 1


def test_exception_that_somebody_withdrew_does_not_come_back(connection: Connection) -> None:
    seed_exception(connection)
    withdraw(connection, CODE, seen=1, author="admin")
    assert not seed_exception(connection)
    [newest] = current(connection, CODE)
    assert newest.withdrawn
