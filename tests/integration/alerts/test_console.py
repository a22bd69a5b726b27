"""The console's pages on a real database: what is shown, to whom, and acknowledging."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from fix_alerts import CHILL, DEFROST, DOOR, FOREIGN, FROZEN, HUMIDITY, OTHER_SCOPE, TRUCK, County
from fix_console import Site, operator

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.core.clock import SystemClock
from hanlu.db.pool import connect
from hanlu.db.queries import load_queries
from hanlu.registry.access import Role

pytestmark = pytest.mark.postgres
MINUTE = 60_000


def judge(county: County) -> None:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        engine = Engine(EngineConfig(), connection, SystemClock())
        while engine.turn():
            pass


@pytest.fixture
def warm(county: County) -> County:
    """The county with three hours of readings, a frozen room that has been warm for one, and a gap in the middle."""
    end = SystemClock().now_ms()
    cells = []
    for minute in range(-180, 1):
        at = end + minute * MINUTE
        if -100 < minute < -80:
            continue
        cells += [(FROZEN, at, -10.0 if minute > -60 else -18.0), (DEFROST, at, float(-60 < minute < -20))]
        cells += [(CHILL, at, 4.0), (HUMIDITY, at, 85.0), (DOOR, at, float(minute == -5))]
    county.arrive(cells)
    county.arrive([(TRUCK, end, 5.0)])
    county.arrive([(FOREIGN, end, -2.0)])
    for gateway in (1, 2, 3):
        county.link(gateway)
    judge(county)
    return county


@pytest.fixture
def client(warm: County, console: Site) -> Iterator[TestClient]:
    """A browser without a browser, at the console of the warm county."""
    with TestClient(console.app) as client:
        yield client


def text(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text[:500]
    return answer.text


def test_overview_shows_value_unit_limits_state_and_age_of_each_zone(client: TestClient) -> None:
    page = text(client, "/console")
    card = re.search(r'data-zone="yanling-frozen">(.*?)</article>', page, re.DOTALL)
    assert card is not None
    assert "−10.0" in card[1]
    assert "°C" in card[1]
    assert "未确认" in card[1]
    assert "上限 −15.0" in card[1]
    assert "data-age=" in card[1]
    assert 'class="spark"' in card[1]
    assert "card--alarm" in page


def card(page: str, zone: str) -> str:
    found = re.search(rf'data-zone="{zone}">(.*?)</article>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_value_beyond_its_limit_within_the_delay_is_neither_normal_nor_in_alarm(
    client: TestClient, warm: County
) -> None:
    warm.arrive([(CHILL, SystemClock().now_ms() + 1, 9.5)])
    judge(warm)
    chill = card(text(client, "/console"), "yanling-chill")
    assert "超限·延时中" in chill
    assert "正常" not in chill
    assert "data-beyond" in chill
    assert "超限·延时中" in text(client, "/console/zone/yanling-chill")
    assert "超限·延时中" not in card(text(client, "/console"), "yanling-frozen")  # its alarm stands: that says it all


def test_device_in_no_zone_is_shown_with_its_alarm_as_a_zone_of_its_own(client: TestClient, warm: County) -> None:
    warm.query(
        "INSERT INTO registry.device (device_id, gateway_id, zone_id, code, kind) OVERRIDING SYSTEM VALUE"
        " VALUES (9, 1, NULL, 'probe-9', 'station')"
    )
    warm.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s, limit_profile_code)"
        " OVERRIDING SYSTEM VALUE VALUES (90, 9, 'air_temperature', 'Cel', 60, 'chilled')"
    )
    end = SystemClock().now_ms()
    warm.arrive([(90, end + minute * MINUTE, 11.5) for minute in range(-10, 1)])
    judge(warm)
    shown = card(text(client, "/console"), "gw-yanling~probe-9")
    assert "11.5" in shown
    assert "未确认" in shown
    page = text(client, "/console/zone/gw-yanling~probe-9")
    assert "超上限" in page
    assert "curve-line" in page
    assert "gw-yanling~probe-9" in text(client, "/console/alarms/2")
    assert "gw-yanling~probe-9" not in text(client, "/console?site=truck-7")


def test_position_never_stands_for_a_zone(client: TestClient, warm: County) -> None:
    warm.query("DELETE FROM alerts.alarm WHERE channel_id = %s", TRUCK)
    for metric, unit, channel in (("lat", "lat", TRUCK), ("tank", "l", HUMIDITY), ("battery", "%EL", CHILL)):
        warm.query(
            "UPDATE registry.channel SET metric = %s, unit = %s, device_id = 3 WHERE channel_id = %s",
            metric, unit, channel,
        )  # fmt: skip
    warm.arrive([(CHILL, SystemClock().now_ms() + 1, 76.0)])
    box = card(text(client, "/console"), "truck-7-box")
    assert "76" in re.search(r'<p class="big">(.*?)</p>', box, re.DOTALL)[1]  # type: ignore[index]
    assert "纬度" not in box


def test_overview_keeps_to_the_persons_subtree(client: TestClient, console: Site) -> None:
    assert "anren" not in text(client, "/console")
    console.person = operator(OTHER_SCOPE)
    page = text(client, "/console")
    assert "anren-frozen" in page
    assert "yanling" not in page


def test_what_lies_outside_the_subtree_is_not_there(client: TestClient, console: Site, warm: County) -> None:
    [(alarm_id,)] = warm.query("SELECT alarm_id FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    console.person = operator(OTHER_SCOPE)
    for path in ("/console/zone/yanling-frozen", "/console/zone/yanling-frozen/series", f"/console/alarms/{alarm_id}"):
        text(client, path, 404)
    answer = client.post(f"/console/alarms/{alarm_id}/acknowledge", data={"version": 1}, follow_redirects=False)
    assert answer.status_code == 404
    assert warm.query("SELECT process_state FROM alerts.alarm WHERE alarm_id = %s", alarm_id) == [("UNACKNOWLEDGED",)]


def test_inspector_may_not_see_the_console(client: TestClient, console: Site) -> None:
    console.person = operator(roles=frozenset({Role.INSPECTOR}))
    for path in (
        "/console",
        "/console/alarms",
        "/console/gateways",
        "/console/quality",
        "/console/zone/yanling-frozen",
        "/console/stream",
    ):
        text(client, path, 403)


def test_site_filter_shows_that_site_only(client: TestClient) -> None:
    page = text(client, "/console?site=truck-7")
    assert 'data-zone="truck-7-box"' in page
    assert 'data-zone="yanling-frozen"' not in page


def test_zone_page_draws_curve_limit_gap_alarm_and_strip(client: TestClient) -> None:
    page = text(client, "/console/zone/yanling-frozen?range=6h")
    line = re.search(r'class="curve-line"[^>]* d="([^"]*)"', page)
    assert line is not None
    assert line[1].count("M") == 2
    assert "curve-limit-high" in page
    assert "curve-mark-alarm" in page
    assert "curve-shade" in page
    assert "curve-strip-defrost" in page
    assert "curve-strip-on" in page


def test_zone_page_in_english_says_so_in_english(client: TestClient) -> None:
    page = text(client, "/console/zone/yanling-frozen?lang=en")
    assert "Frozen room 1" in page
    assert "Unacknowledged" in page
    assert "冻结" not in page


def test_series_gives_readings_with_a_hole_where_they_are_missing(client: TestClient) -> None:
    data = client.get("/console/zone/yanling-frozen/series?range=6h").json()
    assert data["high"] == -15.0
    assert data["v"].count(None) == 1
    assert len([each for each in data["v"] if each is not None]) == 162
    assert data["strips"][0]["on"]
    assert len(data["alarms"]) == 1


def test_series_of_a_week_is_summarised_with_least_and_greatest(client: TestClient) -> None:
    data = client.get("/console/zone/yanling-frozen/series?range=7d").json()
    assert len(data["t"]) < 30
    assert min(each for each in data["lo"] if each is not None) == -18.0
    assert max(each for each in data["hi"] if each is not None) == -10.0


@pytest.mark.parametrize(
    "path", ["/console/zone/yanling-frozen?range=9y", "/console/alarms?state=x", "/console?page=0"]
)
def test_nonsense_in_the_address_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in {400, 422}


def test_alarm_list_puts_standing_unacknowledged_first_then_priority_then_newest(
    client: TestClient, warm: County
) -> None:
    warm.query(
        "INSERT INTO alerts.alarm (channel_id, kind, priority, process_state, exceeded_at, raised_at, detected_at)"
        " SELECT 3, 'high', p, s, now(), now() - n * interval '1 hour', now() FROM (VALUES"
        " (3, 'UNACKNOWLEDGED', 1), (1, 'RTN_UNACKNOWLEDGED', 2), (1, 'NORMAL', 3), (2, 'RTN_UNACKNOWLEDGED', 4),"
        " (2, 'RTN_UNACKNOWLEDGED', 5)) AS x (p, s, n)"
    )
    order = [
        int(each) for each in re.findall(r'class="place" href="/console/alarms/(\d+)"', text(client, "/console/alarms"))
    ]
    told = {row[0]: row[1:] for row in warm.query("SELECT alarm_id, process_state, priority FROM alerts.alarm")}
    assert [told[each] for each in order] == [
        ("UNACKNOWLEDGED", 1), ("UNACKNOWLEDGED", 3), ("RTN_UNACKNOWLEDGED", 1), ("RTN_UNACKNOWLEDGED", 2),
        ("RTN_UNACKNOWLEDGED", 2),
    ]  # fmt: skip
    assert order[3] < order[4]  # the newer of two equals, here the one made first
    assert len(re.findall(r'class="place"', text(client, "/console/alarms?state=all"))) == 6


def test_acknowledging_goes_back_to_the_page_and_into_journal_and_audit(
    client: TestClient, console: Site, warm: County
) -> None:
    [(alarm_id, version)] = warm.query("SELECT alarm_id, version FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    answer = client.post(
        f"/console/alarms/{alarm_id}/acknowledge",
        data={"version": version, "note": " 门已关 ", "back": "/console/alarms?state=open"},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/alarms?state=open")
    page = text(client, f"/console/alarms/{alarm_id}")
    assert "门已关" in page
    assert "已确认" in page
    assert console.audit == [(1, "alerts.alarm.acknowledge", str(alarm_id), {"version": version, "note": "门已关"})]


def test_second_to_acknowledge_is_told_kindly_who_was_first(client: TestClient, console: Site, warm: County) -> None:
    [(alarm_id, version)] = warm.query("SELECT alarm_id, version FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    client.post(f"/console/alarms/{alarm_id}/acknowledge", data={"version": version})
    console.person = operator(login="wang")
    answer = client.post(f"/console/alarms/{alarm_id}/acknowledge", data={"version": version, "note": "我的<b>备注"})
    assert answer.status_code == 409
    assert "li 已先确认" in answer.text
    assert "我的&lt;b&gt;备注" in answer.text
    assert warm.query("SELECT acknowledged_by FROM alerts.alarm WHERE alarm_id = %s", alarm_id) == [("li",)]
    assert len(console.audit) == 1


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/consolex\\@evil", ""])
def test_form_cannot_send_people_elsewhere(client: TestClient, warm: County, back: str) -> None:
    [(alarm_id, version)] = warm.query("SELECT alarm_id, version FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    answer = client.post(
        f"/console/alarms/{alarm_id}/acknowledge", data={"version": version, "back": back}, follow_redirects=False
    )
    assert answer.headers["location"] == f"/console/alarms/{alarm_id}"


def test_note_that_is_too_long_is_refused(client: TestClient, warm: County) -> None:
    [(alarm_id, version)] = warm.query("SELECT alarm_id, version FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    answer = client.post(f"/console/alarms/{alarm_id}/acknowledge", data={"version": version, "note": "x" * 501})
    assert answer.status_code in {400, 422}


def test_gateways_page_shows_the_account_losses_and_dead_letters(
    client: TestClient, console: Site, warm: County
) -> None:
    warm.query(
        "INSERT INTO telemetry.gateway_epoch (gateway_id, epoch, produced, stored, duplicate, lost, dead)"
        " VALUES (1, decode(repeat('00', 16), 'hex'), 1000, 950, 20, 17, 3)"
    )
    warm.query("INSERT INTO telemetry.gap VALUES (1, decode(repeat('00', 16), 'hex'), 5, 9)")
    warm.query(
        "INSERT INTO telemetry.loss (arrival_id, gateway_id, reason, reading_count) VALUES (1, 1, 'no_value', 17)"
    )
    warm.query(
        "INSERT INTO telemetry.dead_letter (received_at, topic, gateway, reason, detail, body, body_sha256) VALUES"
        " (now(), 't', 'gw-yanling', 'bad_signature', '<script>alert(1)</script>', 'SECRET',"
        " decode(repeat('01', 32), 'hex')),"
        " (now(), 't', 'stranger', 'unknown_gateway', 'who is this', 'x', decode(repeat('02', 32), 'hex'))"
    )
    page = text(client, "/console/gateways")
    row = re.search(r"<b>gw-yanling</b>.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert [each for each in ("1,000", "950", "20", "17", ">3<", ">10<") if each not in row[0]] == []
    assert "无数值" in page
    assert "签名无效" in page
    assert "<script>alert" not in page
    assert "SECRET" not in page
    assert "who is this" not in page  # of no known gateway: for those who see the whole tree
    console.person = operator("/1/")
    assert "who is this" in text(client, "/console/gateways")


def test_quality_page_shows_uptime_lateness_and_what_is_missing(warm: County, client: TestClient) -> None:
    warm.query(
        "INSERT INTO telemetry.gateway_hour SELECT gateway_id, date_trunc('hour', now()) - n * INTERVAL '1 hour',"
        " (1::bigint << 30) - 1, 60, 0, 900, 100, 3, 0, 60, 0, 60, 60, 60, 4.0"
        " FROM registry.gateway, generate_series(1, 30) AS n WHERE code = 'gw-yanling'"
    )
    page = text(client, "/console/quality?lang=en")
    row = re.search(r"<b>gw-yanling</b>.*?</tr>", page, re.DOTALL)
    assert row is not None
    shares = [float(each) for each in re.findall(r"([0-9.]+)\u202f%", row[0])]
    day, week, duplicates = shares[:3]
    assert 47 < day < 51  # half of each hour, and nothing in the one under way
    assert 47 < week < 51
    assert duplicates == 10.0
    assert ">5 s<" in row[0]
    assert "72 / 0" in row[0]  # 24 hours with three lost readings each
    assert "check" in row[0]
    assert "throttled" not in row[0]


def test_gateway_that_was_throttled_in_the_last_day_is_marked(warm: County, client: TestClient) -> None:
    warm.query(
        "INSERT INTO telemetry.throttled SELECT gateway_id, 5, now() - INTERVAL '2 days', now() - CASE code"
        " WHEN 'gw-yanling' THEN INTERVAL '3 hours' ELSE INTERVAL '30 hours' END FROM registry.gateway"
    )
    page = text(client, "/console/quality?lang=en")
    row = re.search(r"<b>gw-yanling</b>.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert "throttled" in row[0]
    assert page.count('badge--warn">throttled<') == 1


def test_what_the_platform_declared_lost_is_listed_with_its_reason(warm: County, client: TestClient) -> None:
    warm.query(
        "INSERT INTO telemetry.epoch_closed"
        " SELECT gateway_id, decode('00', 'hex'), now(), 'li', 'gateway_destroyed', 3, 4321"
        " FROM registry.gateway WHERE code = 'gw-yanling'"
    )
    page = text(client, "/console/gateways?lang=en")
    assert "4,321" in page.split('id="losses"')[1]
    assert "gateway destroyed" in page.split('id="losses"')[1].lower()


def test_county_without_anything_says_so(county: County, console: Site) -> None:
    console.person = operator("/9/")
    with TestClient(console.app) as client:
        assert "还没有" in text(client, "/console")
        assert "没有未结束的报警" in text(client, "/console/alarms")
        assert "还没有网关" in text(client, "/console/gateways")


def test_every_statement_is_valid_sql(county: County) -> None:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        for name, statement in load_queries("hanlu.alerts").items():
            numbered = statement
            for number, place in enumerate(dict.fromkeys(re.findall(r"%\(\w+\)s", statement)), start=1):
                numbered = numbered.replace(place, f"${number}")
            connection.execute(f"PREPARE {name} AS {numbered}")
