"""The console's pages on a real database: what is shown, to whom, and acknowledging."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from fix_alerts import CHILL, DEFROST, DOOR, FOREIGN, FROZEN, HUMIDITY, OTHER_SCOPE, TRUCK, County
from fix_console import Site, operator, put_alarm

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


def places(page: str) -> list[int]:
    """Return the alarms of the list's lines in order, those folded under others not counted."""
    return [int(each) for each in re.findall(r'class="place" href="/console/alarms/(\d+)"', page)]


def test_alarm_list_puts_standing_unacknowledged_first_then_priority_then_newest(
    client: TestClient, warm: County
) -> None:
    [(first,)] = warm.query("SELECT alarm_id FROM alerts.alarm WHERE channel_id = %s", FROZEN)
    low = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED", priority=3)
    returned = [
        put_alarm(warm, CHILL, "rate", "RTN_UNACKNOWLEDGED", priority=1, ago=120),
        put_alarm(warm, HUMIDITY, "high", "RTN_UNACKNOWLEDGED", ago=240),
        put_alarm(warm, HUMIDITY, "low", "RTN_UNACKNOWLEDGED", ago=300),
    ]
    put_alarm(warm, CHILL, "low", "NORMAL", priority=1)
    assert places(text(client, "/console/alarms")) == [first, low, *returned]
    assert len(places(text(client, "/console/alarms?state=all"))) == 6


def test_line_says_place_value_limit_time_left_cause_and_what_to_do(client: TestClient, warm: County) -> None:
    warm.query(
        "INSERT INTO alerts.rule (code, version, document, author) VALUES ('warm', 1, %s, 'hanlu')",
        '{"rationalization": {"response_zh": "先看门", "response_en": "Look at the door", "consequence_zh": "货坏",'
        ' "consequence_en": "Goods spoil", "cause_zh": "门", "cause_en": "Door"}}',
    )
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED", rule="warm", respond=23.5, cause="door_open", ago=42)
    page = text(client, "/console/alarms?kind=high&priority=2")
    line = re.search(rf'<tbody class="line" data-key="a{alarm}".*?</tbody>', page, re.DOTALL)
    assert line is not None
    said = (
        "2 号保鲜间", "炎陵冷库", "超上限", "9.5", "限值 8.0", "已 42 分钟", "还剩 23 分钟", "门没关", "先看门", "重要",
        "/console/runbook/high",
    )  # fmt: skip
    assert [each for each in said if each not in line[0]] == []
    english = text(client, f"/console/alarms/{alarm}?lang=en")
    told = ("Look at the door", "Goods spoil", "Door left open", "23 min left", "Above limit: Chill room 2")
    assert [each for each in told if each not in english] == []


def test_earlier_occurrences_stay_visible_under_the_newest(client: TestClient, warm: County) -> None:
    old = put_alarm(warm, CHILL, "high", "RTN_UNACKNOWLEDGED", ago=300)
    new = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED", ago=10)
    page = text(client, "/console/alarms?kind=high&priority=2")
    assert places(page) == [new]
    assert "同一点还有 1 次更早的未处理" in page
    assert f'href="/console/alarms/{old}"' in page
    assert f'value="{old}:1"' in page  # and can be acknowledged there
    assert f'href="/console/alarms/{old}"' in text(client, f"/console/alarms/{new}")


def test_held_alarm_stands_on_its_own_tab_with_its_reason_and_under_what_explains_it(
    client: TestClient, warm: County
) -> None:
    power = put_alarm(warm, DOOR, "power", "UNACKNOWLEDGED", priority=1)
    held = put_alarm(
        warm, CHILL, "high", "UNACKNOWLEDGED",
        suppression="SUPPRESSED_BY_DESIGN", hold="explained", explained_by=power,
    )  # fmt: skip
    frost = put_alarm(warm, CHILL, "rate", "UNACKNOWLEDGED", suppression="SUPPRESSED_BY_DESIGN", hold="defrost")
    page = text(client, "/console/alarms")
    assert held not in places(page)
    assert "由它引起的报警 1 条" in page
    tab = text(client, "/console/alarms?state=held")
    assert set(places(tab)) == {held, frost}
    assert "正在除霜" in tab
    assert f"由报警 {power} 说明" in tab
    chill = card(text(client, "/console"), "yanling-chill")
    assert "正在除霜" in chill


def test_flood_is_one_line_with_its_alarms_inside(client: TestClient, warm: County) -> None:
    for channel in (CHILL, HUMIDITY):
        for kind in ("high", "low", "rate", "stuck", "drift", "no_data"):
            put_alarm(warm, channel, kind, "UNACKNOWLEDGED")
    page = text(client, "/console/alarms")
    assert "报警集中：炎陵冷库，10 分钟内 12 条" in page
    assert page.count('class="line line--flood"') == 1
    assert "报警集中" in text(client, "/console")
    assert 'class="line line--flood"' not in text(client, "/console/alarms?flat=1")


def test_goods_without_a_channel_stand_on_the_list_and_have_a_page(client: TestClient, warm: County) -> None:
    warm.query(
        "INSERT INTO alerts.alarm (site_id, item, item_zh, item_en, kind, priority, process_state, exceeded_at,"
        " raised_at, detected_at) VALUES (1, 'lime', '石灰', 'Lime', 'stock', 3, 'UNACKNOWLEDGED', now(), now(), now())"
    )
    assert "石灰" in text(client, "/console/alarms?kind=stock")
    [(alarm,)] = warm.query("SELECT alarm_id FROM alerts.alarm WHERE item = 'lime'")
    page = text(client, f"/console/alarms/{alarm}")
    assert "库存不足" in page
    assert "/quiet" not in page
    answer = client.post(f"/console/alarms/{alarm}/quiet", data={"minutes": 60, "reason": "known"})
    assert answer.status_code == 400


def test_several_are_acknowledged_with_one_note_and_those_that_changed_are_named(
    client: TestClient, console: Site, warm: County
) -> None:
    one, two, three = (put_alarm(warm, CHILL, kind, "UNACKNOWLEDGED") for kind in ("high", "rate", "low"))
    client.post(f"/console/alarms/{three}/acknowledge", data={"version": 1})
    console.audit.clear()
    answer = client.post(
        "/console/alarms/acknowledge",
        data={"alarm": [f"{one}:1", f"{two}:1", f"{three}:1"], "note": "停电", "back": "/console/alarms?site=x"},
        follow_redirects=False,
    )
    assert answer.headers["location"] == f"/console/alarms?site=x&done=2&changed={three}"
    assert [each[2] for each in console.audit] == [str(one), str(two)]
    assert warm.query("SELECT count(*) FROM alerts.alarm WHERE note = '停电'") == [(2,)]
    page = text(client, f"/console/alarms?done=2&changed={three}")
    assert "已确认 2 条" in page
    assert f'<a href="/console/alarms/{three}">' in page


@pytest.mark.parametrize("named", ["1", "x:1", "1:x", "1:1:1", "²:1"])
def test_alarm_named_otherwise_than_by_number_and_version_is_refused(client: TestClient, named: str) -> None:
    assert client.post("/console/alarms/acknowledge", data={"alarm": named}).status_code == 400


def test_several_with_one_of_another_county_are_refused_whole(client: TestClient, warm: County) -> None:
    foreign, own = put_alarm(warm, FOREIGN, "rate", "UNACKNOWLEDGED"), put_alarm(warm, CHILL, "rate", "UNACKNOWLEDGED")
    data = {"alarm": [f"{own}:1", f"{foreign}:1"]}
    assert client.post("/console/alarms/acknowledge", data=data, follow_redirects=False).status_code == 404
    assert warm.query("SELECT DISTINCT process_state FROM alerts.alarm WHERE kind = 'rate'") == [("UNACKNOWLEDGED",)]


def test_shelved_alarm_is_off_the_list_says_why_and_comes_back_when_taken_off(
    client: TestClient, console: Site, warm: County
) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    answer = client.post(
        f"/console/alarms/{alarm}/quiet",
        data={
            "act": "shelve",
            "of": "alarm",
            "minutes": 60,
            "reason": "repair",
            "note": "换门封",
            "back": "/console/alarms",
        },
        follow_redirects=False,
    )
    assert answer.headers["location"] == "/console/alarms"
    assert alarm not in places(text(client, "/console/alarms"))
    tab = text(client, "/console/alarms?state=shelved")
    assert alarm in places(tab)
    assert [each for each in ("正在维修", "换门封", "取消搁置", "li") if each not in tab] == []
    assert "已搁置" in card(text(client, "/console"), "yanling-chill")
    assert [each[1] for each in console.audit] == ["alerts.point.shelve"]
    [(channel, kind)] = warm.query("SELECT channel_id, kind FROM alerts.suppression")
    data = {"state": "SHELVED", "points": f"{channel}:{kind}", "back": "/console/alarms?state=shelved"}
    assert client.post("/console/quiet/end", data=data, follow_redirects=False).status_code == 303
    assert alarm in places(text(client, "/console/alarms"))
    assert [each[1] for each in console.audit] == ["alerts.point.shelve", "alerts.point.unshelve"]


@pytest.mark.parametrize(
    ("act", "end", "state", "word"),
    [
        ("shelve", "SHELVED", "shelved", "已搁置"),
        ("remove_from_service", "OUT_OF_SERVICE", "out", "停用"),
        ("room_empty", "SUPPRESSED_BY_DESIGN", "held", "库内无货"),
    ],
)
def test_whole_room_is_kept_quiet_and_called_back(
    client: TestClient, console: Site, warm: County, act: str, end: str, state: str, word: str
) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    client.post("/console/zone/yanling-chill/quiet", data={"act": act, "minutes": 30, "reason": "cleaning"})
    assert warm.query("SELECT count(*), min(kind) FROM alerts.suppression") == [(3, "*")]
    assert alarm not in places(text(client, "/console/alarms"))
    tab = text(client, f"/console/alarms?state={state}")
    assert alarm in places(tab)
    assert word in tab
    [points] = re.findall(r'name="points" value="([^"]+)"', tab)
    assert client.post("/console/quiet/end", data={"state": end, "points": points}).status_code == 200
    assert warm.query("SELECT count(*) FROM alerts.suppression") == [(0,)]
    assert alarm in places(text(client, "/console/alarms"))
    assert len(console.audit) == 6


@pytest.mark.parametrize(
    "data", [{"minutes": 7, "reason": "repair"}, {"minutes": 60, "reason": "because"}, {"minutes": 60, "reason": ""}]
)
def test_shelf_without_a_reason_or_with_a_length_of_ones_own_is_refused(
    client: TestClient, warm: County, data: dict[str, object]
) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    assert client.post(f"/console/alarms/{alarm}/quiet", data={"act": "shelve", **data}).status_code == 400
    assert warm.query("SELECT count(*) FROM alerts.suppression") == [(0,)]


def test_neighbour_cannot_keep_our_rooms_quiet_nor_wake_them(client: TestClient, console: Site, warm: County) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    client.post(f"/console/alarms/{alarm}/quiet", data={"minutes": 60, "reason": "known"})
    console.person = operator(OTHER_SCOPE)
    assert client.post(f"/console/alarms/{alarm}/quiet", data={"minutes": 60, "reason": "known"}).status_code == 404
    assert client.post("/console/zone/yanling-chill/quiet", data={"reason": "known"}).status_code == 404
    data = {"state": "SHELVED", "points": f"{CHILL}:high"}
    assert client.post("/console/quiet/end", data=data, follow_redirects=False).status_code == 303
    assert warm.query("SELECT count(*) FROM alerts.suppression") == [(1,)]


def test_alarm_is_taken_on_and_handed_back(client: TestClient, console: Site, warm: County) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    client.post(f"/console/alarms/{alarm}/assign", data={"version": 1, "who": "me"})
    assert 'class="small who">li<' in text(client, "/console/alarms?kind=high&priority=2")
    answer = client.post(f"/console/alarms/{alarm}/assign", data={"version": 1, "who": "nobody"})
    assert answer.status_code == 409
    assert "情况有了变化" in answer.text
    client.post(f"/console/alarms/{alarm}/assign", data={"version": 2, "who": "nobody"})
    assert [each[3]["assignee"] for each in console.audit] == ["li", ""]


def test_latched_alarm_is_reset_by_another_person_than_who_acknowledged_it(
    client: TestClient, console: Site, warm: County
) -> None:
    alarm = put_alarm(warm, CHILL, "high", "LATCHED_ACKNOWLEDGED", by="li")
    assert "待复位" in text(client, "/console/alarms")
    answer = client.post(f"/console/alarms/{alarm}/reset", data={"version": 1, "note": "看过了"})
    assert answer.status_code == 403
    assert "须由另一人复位" in answer.text
    assert "看过了" in answer.text
    console.person = operator(login="wang")
    client.post(f"/console/alarms/{alarm}/reset", data={"version": 1, "note": "看过了"})
    assert warm.query("SELECT process_state FROM alerts.alarm WHERE alarm_id = %s", alarm) == [("NORMAL",)]
    assert "已复位" in text(client, f"/console/alarms/{alarm}")


@pytest.mark.parametrize("path", ["acknowledge", "reset", "assign", "quiet"])
def test_inspector_may_change_nothing(client: TestClient, console: Site, warm: County, path: str) -> None:
    alarm = put_alarm(warm, CHILL, "high", "UNACKNOWLEDGED")
    console.person = operator(roles=frozenset({Role.INSPECTOR}))
    for url in (f"/console/alarms/{alarm}/{path}", "/console/alarms/acknowledge", "/console/zone/yanling-chill/quiet"):
        assert client.post(url, data={"version": 1, "reason": "known", "minutes": 60}).status_code == 403
    assert warm.query("SELECT version FROM alerts.alarm WHERE alarm_id = %s", alarm) == [(1,)]


def test_wallboard_puts_the_worst_room_first_and_always_shows_age_and_link(client: TestClient) -> None:
    page = text(client, "/console/wallboard")
    tiles = re.findall(r'<article class="tile[^"]*" data-zone="([^"]+)"', page)
    assert tiles[0] == "yanling-frozen"
    assert len(tiles) == 3
    assert [each for each in ('id="live"', 'data-age-count="heard_ms"', 'id="wall-clock"') if each not in page] == []
    assert "Unacknowledged" in text(client, "/console/wallboard?lang=en")


def test_long_list_is_paged(client: TestClient, warm: County) -> None:
    warm.query(
        "INSERT INTO alerts.alarm (site_id, item, item_zh, item_en, kind, priority, process_state, exceeded_at,"
        " raised_at, detected_at) SELECT 1, 'item-' || n, '货', 'Goods', 'stock', 3, 'ACKNOWLEDGED', now(),"
        " now() - n * interval '1 hour', now() FROM generate_series(1, 120) AS n"
    )
    first, third = text(client, "/console/alarms?kind=stock"), text(client, "/console/alarms?kind=stock&page=3")
    assert (len(places(first)), len(places(third))) == (50, 20)
    assert set(places(first)).isdisjoint(places(third))
    assert "kind=stock&amp;page=2" in first


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
