"""The load page and the handover notes over a real database: figures, lists, CSV, signatures."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fix_alerts import CHILL, FOREIGN, FROZEN, OTHER_SCOPE, SCOPE, TRUCK, County
from fix_console import Site, console_site, operator
from fix_shift import add_alarm
from starlette.testclient import TestClient

from hanlu.db.pool import open_pool
from hanlu.db.queries import load_queries

pytestmark = pytest.mark.postgres


@pytest.fixture
def site(county: County) -> Iterator[Site]:
    with console_site(county) as made:
        yield made


@pytest.fixture
def client(site: Site) -> TestClient:
    return TestClient(site.app, follow_redirects=False)


def now() -> datetime:
    """A moment of today in China that is over: the figures of today are asked for."""
    return datetime.now(UTC)


def figures(client: TestClient, query: str = "span=7d&lang=en") -> dict[str, dict[str, str]]:
    text = client.get(f"/console/load.csv?{query}").text.removeprefix("\ufeff")
    body = text.split("\r\n\r\n", 1)[1]
    return {row["figure"]: row for row in csv.DictReader(io.StringIO(body))}


class TestLoad:
    def test_flood_is_counted_and_its_alarms_listed(self, county: County, client: TestClient) -> None:
        began = now() - timedelta(days=2)
        ids = [add_alarm(county, CHILL, began + timedelta(seconds=20 * n), seen_s=60 + n) for n in range(12)]
        add_alarm(county, FROZEN, began - timedelta(hours=5), priority=1, seen_s=300)
        found = figures(client)
        assert found["calls"]["value"] == "13"
        assert found["peak_ten"]["value"] == "12.0"
        assert found["peak_ten"]["verdict"] == "over"
        assert found["floods"]["value"] == "1"
        assert found["priority_1"]["verdict"] == "too few to tell"
        assert found["acknowledged_p50"]["value"] == str(66 / 60)
        listed = client.get("/console/load/alarms?figure=flood&span=7d").text
        assert {int(each) for each in re.findall(r'href="/console/alarms/(\d+)"', listed)} == set(ids)

    def test_every_figure_opens_a_list(self, county: County, client: TestClient) -> None:
        add_alarm(county, CHILL, now() - timedelta(hours=30), state="UNACKNOWLEDGED", lasted_s=None)
        page = client.get("/console/load?span=7d").text
        links = {each.replace("&amp;", "&") for each in re.findall(r'href="(/console/load/alarms\?[^"]+)"', page)}
        assert len(links) >= 20
        for link in links:
            assert client.get(link).status_code == 200, link
        assert client.get("/console/load/alarms?figure=nonsense").status_code == 404

    def test_more_operators_share_the_load_and_what_is_kept_holds_below(
        self, county: County, site: Site, client: TestClient
    ) -> None:
        for number in range(20):
            add_alarm(county, CHILL, now() - timedelta(days=1, seconds=number))
        alone = float(figures(client)["per_hour"]["value"])
        assert float(figures(client, "span=7d&operators=4")["per_hour"]["value"]) == pytest.approx(alone / 4, rel=1e-3)
        answer = client.post("/console/load/operators", data={"operators": "2", "span": "7d", "place": "org:yanling"})
        assert answer.status_code == 303
        assert site.audit[-1][1:] == ("alerts.staffing.put", SCOPE, {"operators": 2})
        kept = figures(client, "span=7d&place=site:yanling-store")["per_hour"]["value"]
        assert float(kept) == pytest.approx(alone / 2, rel=1e-3)

    def test_neighbours_alarms_are_not_counted_and_their_places_not_there(
        self, county: County, client: TestClient
    ) -> None:
        foreign = add_alarm(county, FOREIGN, now() - timedelta(days=1))
        add_alarm(county, TRUCK, now() - timedelta(days=1))
        assert figures(client)["calls"]["value"] == "1"
        assert figures(client, "span=7d&place=site:yanling-store")["calls"]["value"] == "0"
        assert client.get("/console/load?place=site:anren-store").status_code == 404
        assert client.get("/console/load?place=org:hunan").status_code == 404
        assert str(foreign) not in client.get("/console/load/alarms.csv?span=7d").text.splitlines()[-1].split(",")[0]

    def test_held_alarms_are_told_by_reason_and_are_no_load(self, county: County, client: TestClient) -> None:
        at = now() - timedelta(days=1)
        for number, hold in enumerate(("defrost", "defrost", "door")):
            add_alarm(
                county, FROZEN, at + timedelta(hours=number), quiet="SUPPRESSED_BY_DESIGN", hold=hold, called=False
            )
        add_alarm(county, FROZEN, at + timedelta(hours=4), quiet="SHELVED", hold="门封待修", called=False)
        found = figures(client)
        assert found["calls"]["value"] == "0"
        assert found["held"]["value"] == "4"
        assert found["held.defrost"]["value"] == "2"
        assert found["held.shelved"]["value"] == "1"
        listed = client.get("/console/load/alarms?figure=held%3Ddefrost&span=7d").text
        assert len(re.findall(r'href="/console/alarms/\d+"', listed)) == 2

    def test_stale_are_those_standing_over_a_day_and_not_those_on_the_shelf(
        self, county: County, client: TestClient
    ) -> None:
        old = now() - timedelta(hours=25)
        add_alarm(county, CHILL, old, state="ACKNOWLEDGED", lasted_s=None)
        add_alarm(county, FROZEN, old, state="UNACKNOWLEDGED", lasted_s=None, quiet="SHELVED", hold="x")
        add_alarm(county, TRUCK, old, state="RTN_UNACKNOWLEDGED")
        found = figures(client)
        assert (found["standing"]["value"], found["waiting"]["value"], found["stale"]["value"]) == ("1", "1", "1")

    def test_csv_keeps_names_from_being_formulas(self, county: County, client: TestClient) -> None:
        county.query("UPDATE registry.zone SET name_en = '=1+1' WHERE code = 'yanling-chill'")
        add_alarm(county, CHILL, now() - timedelta(days=1))
        answer = client.get("/console/load/alarms.csv?span=7d&lang=en")
        assert "'=1+1" in answer.text
        assert "attachment" in answer.headers["content-disposition"]

    def test_calls_are_read_from_the_index_alone(self, county: County) -> None:
        with psycopg.connect(county.url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO alerts.alarm (channel_id, kind, priority, process_state, exceeded_at, raised_at,"
                " detected_at, called_at) SELECT 3, 'high', 3, 'NORMAL', t, t, t, t FROM generate_series("
                "now() - INTERVAL '300 days', now(), INTERVAL '10 minutes') AS t"
            )
            connection.execute("VACUUM ANALYZE alerts.alarm")
            plan = connection.execute(
                "EXPLAIN " + load_queries("hanlu.alerts.shift")["load_calls"],
                {"scope": SCOPE, "site": None, "from_at": now() - timedelta(days=7), "to_at": now()},
            ).fetchall()
        assert any("Index Only Scan using alarm_called" in line for (line,) in plan), plan


class TestHandover:
    def write(self, client: TestClient, body: str = "3 号门封待修", site: str = "yanling-store", **more: str) -> int:
        answer = client.post("/console/handover", data={"site": site, "body": body, **more})
        assert answer.status_code == 303, answer.text
        return int(answer.headers["location"].rsplit("/", 1)[1])

    def test_note_keeps_what_stood_open_when_it_was_signed(
        self, county: County, site: Site, client: TestClient
    ) -> None:
        alarm_id = add_alarm(county, CHILL, now(), state="UNACKNOWLEDGED", lasted_s=None)
        county.query(
            "INSERT INTO alerts.suppression VALUES (1, '*', 'SHELVED', 'repair', 'fan', 'wang', now(),"
            " now() + INTERVAL '2 hours')"
        )
        before = client.get("/console/handover?site=yanling-store&lang=en").text
        assert "Ends within 12 h" in before
        assert "gw-yanling" in before
        number = self.write(client)
        county.query("UPDATE alerts.alarm SET process_state = 'NORMAL' WHERE alarm_id = %s", alarm_id)
        county.query("DELETE FROM alerts.suppression")
        county.query("UPDATE registry.zone SET name_en = 'renamed'")
        page = client.get(f"/console/handover/{number}?lang=en").text
        assert "Chill room 2" in page
        assert "renamed" not in page
        assert "Ends within 12 h" in page
        assert "3 号门封待修" in page
        assert site.audit[-1][1:3] == ("alerts.handover.sign", str(number))

    def test_another_person_takes_over_once(self, site: Site, client: TestClient) -> None:
        number = self.write(client)
        assert client.post(f"/console/handover/{number}/take").status_code == 409
        site.person = operator(login="zhao")
        assert client.post(f"/console/handover/{number}/take", data={"remark": "好"}).status_code == 303
        site.person = operator(login="sun")
        late = client.post(f"/console/handover/{number}/take")
        assert late.status_code == 409
        assert "zhao" in late.text
        assert [each[1] for each in site.audit] == ["alerts.handover.sign", "alerts.handover.take"]

    def test_correction_is_a_new_note_that_names_the_old_one_once(self, client: TestClient) -> None:
        old = self.write(client)
        new = self.write(client, "是 2 号门", corrects=str(old))
        assert f"/console/handover/{new}" in client.get(f"/console/handover/{old}").text
        assert f"/console/handover/{old}" in client.get(f"/console/handover/{new}").text
        again = client.post(
            "/console/handover", data={"site": "yanling-store", "body": "还是 3 号", "corrects": str(old)}
        )
        assert again.status_code == 409
        assert "还是 3 号" in again.text

    def test_correction_of_another_sites_note_is_refused(self, client: TestClient) -> None:
        old = self.write(client, site="truck-7")
        answer = client.post("/console/handover", data={"site": "yanling-store", "body": "x", "corrects": str(old)})
        assert answer.status_code == 404

    @pytest.mark.parametrize("body", ["", "  \n ", "长" * 4001])
    def test_empty_or_endless_note_is_asked_for_anew_with_its_text(self, client: TestClient, body: str) -> None:
        answer = client.post("/console/handover", data={"site": "yanling-store", "body": body})
        assert answer.status_code == 422
        assert body.strip() in answer.text

    def test_notes_are_found_by_text_name_and_room(self, county: County, client: TestClient) -> None:
        add_alarm(county, CHILL, now(), state="UNACKNOWLEDGED", lasted_s=None)
        number = self.write(client, "门封 100%_坏")
        other = self.write(client, "两车到货", site="truck-7")
        for words, found in (("100%_", {number}), ("LI", {number, other}), ("保鲜间", {number}), ("nothing", set())):
            page = client.get("/console/handover", params={"q": words}).text
            assert {int(each) for each in re.findall(r'"/console/handover/(\d+)"', page)} == found, words

    def test_neighbours_notes_are_not_there(self, site: Site, client: TestClient) -> None:
        number = self.write(client)
        site.person = operator(scope=OTHER_SCOPE, login="zhao")
        assert client.get(f"/console/handover/{number}").status_code == 404
        assert client.post(f"/console/handover/{number}/take").status_code == 404
        assert client.get("/console/handover?site=yanling-store").status_code == 404
        assert client.post("/console/handover", data={"site": "yanling-store", "body": "x"}).status_code == 404
        assert f"handover/{number}" not in client.get("/console/handover").text

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE alerts.handover SET body = 'x'",
            "DELETE FROM alerts.handover",
            "UPDATE alerts.handover_taken SET taken_by = 'x'",
            "DELETE FROM alerts.handover_taken",
            "DELETE FROM alerts.staffing",
        ],
    )
    def test_what_is_signed_stays(self, county: County, statement: str) -> None:
        pool = open_pool(county.url, "hanlu_alerts", name="test", max_size=1)
        with pool.connection() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
        pool.close()
