"""The calibration page on a real database: what is due first, recording it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from fix_alerts import CHILL, FOREIGN, FROZEN, HUMIDITY, County
from fix_console import Site

from hanlu.alerts import operate
from hanlu.alerts.calibration_page import fault_of
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres
TODAY = (datetime.now(UTC) + timedelta(hours=8)).date()
NEXT = TODAY + timedelta(days=365)


@pytest.fixture
def client(county: County, console: Site) -> Iterator[TestClient]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as db:
        for channel, days in ((CHILL, 400), (FROZEN, -3)):
            operate.record_calibration(
                db, channel, due_on=TODAY + timedelta(days=days), certificate=f"OLD-{channel}", actor="wang"
            )
    with TestClient(console.app, follow_redirects=False) as client:
        yield client


def shown(client: TestClient, path: str = "/console/calibration", status: int = 200) -> str:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    return answer.text


def send(client: TestClient, channel: int, due: object, certificate: str) -> tuple[int, str]:
    answer = client.post(f"/console/calibration/{channel}", data={"due_on": str(due), "certificate": certificate})
    return answer.status_code, answer.text


def test_channels_stand_by_their_date_and_those_overdue_are_marked(client: TestClient) -> None:
    page = shown(client)
    assert page.index(f"OLD-{FROZEN}") < page.index(f"OLD-{CHILL}") < page.rindex("没有登记")
    assert page.index("已过期") < page.index(f"OLD-{FROZEN}")
    only = shown(client, f"/console/calibration?channel={CHILL}")
    assert f"OLD-{CHILL}" in only
    assert f"OLD-{FROZEN}" not in only


def test_recorded_calibration_holds_and_is_audited(client: TestClient, console: Site, county: County) -> None:
    assert send(client, FROZEN, NEXT, " NEW-1 ")[0] == 303
    assert county.query(
        "SELECT due_on, certificate, actor FROM alerts.calibration WHERE channel_id = %s ORDER BY calibration_id DESC",
        FROZEN,
    )[0] == (NEXT, "NEW-1", "li")
    assert "NEW-1" in shown(client)
    assert f"OLD-{FROZEN}" not in shown(client)
    assert [each[1] for each in console.audit] == ["alerts.calibration.record"]


@pytest.mark.parametrize(
    ("due", "certificate", "said"),
    [
        ("31.5.2027", "A", "写下次校准的日期"),
        (TODAY, "A", "要在今天之后"),
        (date(2099, 1, 1), "A", "超过 10 年"),
        (NEXT, "  ", "证书编号，没有它"),
    ],
)
def test_what_is_no_entry_is_told_at_its_field_and_kept_in_the_form(
    client: TestClient, county: County, due: object, certificate: str, said: str
) -> None:
    before = county.query("SELECT count(*) FROM alerts.calibration")
    status, page = send(client, HUMIDITY, due, certificate)
    assert status == 422
    assert said in page
    assert f'value="{due}"' in page
    assert county.query("SELECT count(*) FROM alerts.calibration") == before


def test_channel_of_another_subtree_is_not_there(client: TestClient, county: County) -> None:
    assert send(client, FOREIGN, NEXT, "A")[0] == 404
    shown(client, f"/console/calibration?channel={FOREIGN}", 404)
    assert county.query("SELECT count(*) FROM alerts.calibration WHERE channel_id = %s", FOREIGN) == [(0,)]


def test_fault_of_an_entry_is_none_from_tomorrow_on() -> None:
    today = date(2026, 3, 1)
    assert fault_of("2026-03-02", "A", today) == ""
    assert fault_of("2026-03-01", "A", today) == "past"
