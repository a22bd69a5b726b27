"""The pages of people, and the page a link in a message opens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from fix_alerts import OTHER_SCOPE
from fix_console import console_site, operator
from fix_people import HUNAN, YANLING, ChannelServer, Team

from hanlu.alerts.people.directory import read_directory
from hanlu.alerts.people.model import ReceiverKind
from hanlu.registry.access import Role

pytestmark = pytest.mark.postgres
ADMIN = frozenset({Role.ADMIN})
CSRF = {"csrf": "the-csrf-token"}


@pytest.fixture
def desk(team: Team) -> Iterator[TestClient]:
    """The console as an administrator of the county sees it."""
    with console_site(team.county, notify=team.config) as site, TestClient(site.app, follow_redirects=False) as client:
        site.person = operator(roles=ADMIN)
        client.site = site  # type: ignore[attr-defined]
        yield client


def text(client: TestClient, path: str, status: int = 200, lang: str = "zh") -> str:
    answer = client.get(path, headers={"Accept": "text/html", "Accept-Language": lang})
    assert answer.status_code == status, answer.text[:400]
    return answer.text


PATHS = (
    "/console/people", "/console/people/rotas/new", "/console/people/receivers", "/console/people/escalation",
    "/console/people/escalation/yanling", "/console/people/mutes", "/console/people/holidays", "/console/people/log",
    *(f"/console/people/receivers/new?kind={kind.value}" for kind in ReceiverKind),
)  # fmt: skip


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_shows_in_both_languages(desk: TestClient, lang: str) -> None:
    for path in PATHS:
        page = text(desk, path, lang=lang)
        assert "<h1>" in page
        assert "people." not in re.sub(r'(href|src)="[^"]*"', "", page)


def receiver_form(**more: str) -> dict[str, str]:
    return {
        "kind": "wecom", "organisation": "yanling", "code": "li", "name": "李师傅", "lang": "zh", "enabled": "1",
        "key": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abcd-1234-efgh", **CSRF, **more,
    }  # fmt: skip


def test_secret_is_taken_out_of_the_address_and_never_shown_again(desk: TestClient, team: Team) -> None:
    assert desk.post("/console/people/receivers", data=receiver_form()).status_code == 303
    assert team.rows("SELECT secret->>'key' FROM alerts.receiver_secret") == [("abcd-1234-efgh",)]
    for path in ("/console/people/receivers", "/console/people/receivers/li", "/console/people/log"):
        assert "abcd-1234" not in text(desk, path)
    everything = team.rows("SELECT to_jsonb(r)::text FROM alerts.receiver AS r") + team.rows(
        "SELECT to_jsonb(h)::text FROM alerts.people_history AS h"
    )
    assert "abcd-1234" not in str(everything)
    assert "abcd-1234" not in str(desk.site.audit)  # type: ignore[attr-defined]


def test_change_without_a_key_keeps_it_but_another_address_needs_it_again(desk: TestClient, team: Team) -> None:
    desk.post("/console/people/receivers", data=receiver_form())
    changed = receiver_form(version="1", name="王师傅", key="")
    assert desk.post("/console/people/receivers", data=changed).status_code == 303
    assert team.rows("SELECT name, version FROM alerts.receiver") == [("王师傅", 2)]
    stolen = receiver_form(version="2", key="", base_url=team.channels.url("/thief"))
    answer = desk.post("/console/people/receivers", data=stolen)
    assert answer.status_code == 422
    assert "请重新填写密钥" in answer.text
    late = receiver_form(version="1", key="")
    assert desk.post("/console/people/receivers", data=late).status_code == 409


@pytest.mark.parametrize(
    ("fields", "english", "chinese"),
    [
        ({"key": "short"}, "paste the bot", "密钥：请粘贴机器人地址"),
        ({"kind": "email", "to": "nobody"}, "is no e-mail address", "不是电子邮件地址"),
        ({"kind": "email", "to": ""}, "must not be empty", "不能为空，请填写。"),
        ({"kind": "sms", "numbers": "12ab", "sign_name": "x", "template_code": "SMS_1",
          "access_key_id": "abcd", "access_key_secret": "abcd"}, "no telephone number", "不是电话号码"),
        ({"kind": "webhook", "url": "http://192.0.2.7/x", "key": ""}, "webhooks need https", "必须使用 https"),
        ({"kind": "webhook", "url": "https://10.0.0.7/x", "key": ""}, "not a public address", "不是公网地址"),
        ({"kind": "webhook", "url": "https://user:pass@example.org/x", "key": ""}, "without user", "不能带用户名"),
    ],
)  # fmt: skip
def test_bad_receiver_is_refused_with_what_to_do_in_the_readers_language(
    desk: TestClient, fields: dict[str, str], english: str, chinese: str
) -> None:
    for lang, words, not_these in (("en", english, chinese), ("zh", chinese, english)):
        answer = desk.post("/console/people/receivers", data=receiver_form(**fields), headers={"Accept-Language": lang})
        assert answer.status_code == 422
        assert words in answer.text
        assert not_these not in answer.text


def test_webhook_key_that_was_made_is_shown_once(desk: TestClient) -> None:
    made = desk.post(
        "/console/people/receivers",
        data=receiver_form(kind="webhook", url="https://example.org/hook", key="", code="hook"),
    )
    key = re.search(r"whsec_[A-Za-z0-9+/=]{44}", made.text)
    assert key is not None
    assert key[0] not in text(desk, "/console/people/receivers")


def test_test_button_shows_what_the_channel_said(desk: TestClient, team: Team, channels: ChannelServer) -> None:
    team.receiver("li", name="李师傅")
    good = desk.post("/console/people/receivers/li/test", data=CSRF)
    assert "测试消息已送达 李师傅" in good.text
    assert "寒露测试消息" in channels.calls[0].json["markdown"]["content"]
    channels.answer("/wecom", {"errcode": 93000, "errmsg": "invalid webhook url, hint: key-of-li"})
    bad = desk.post("/console/people/receivers/li/test", data=CSRF)
    assert "errcode 93000" in bad.text
    assert "key-of-li" not in bad.text
    assert team.states() == ["sent", "failed"]


def test_operator_sees_but_does_not_change(desk: TestClient, team: Team) -> None:
    team.receiver("li")
    desk.site.person = operator()  # type: ignore[attr-defined]
    assert "/receivers/li/test" not in text(desk, "/console/people/receivers")
    assert desk.get("/console/people/receivers/new").status_code == 403
    assert desk.post("/console/people/receivers", data=receiver_form()).status_code == 403
    assert desk.post("/console/people/escalation/yanling", data=CSRF).status_code == 403


def test_neighbouring_county_is_not_there(desk: TestClient, team: Team) -> None:
    team.receiver("li")
    desk.site.person = operator(scope=OTHER_SCOPE, roles=ADMIN)  # type: ignore[attr-defined]
    assert "<code>li</code>" not in text(desk, "/console/people/receivers")
    text(desk, "/console/people/receivers/li", 404)
    text(desk, "/console/people/escalation/yanling", 404)
    assert desk.post("/console/people/receivers", data=receiver_form()).status_code == 404
    assert desk.post("/console/people/receivers/li/test", data=CSRF).status_code == 404


def test_rota_from_the_form_says_who_is_on_call(desk: TestClient, team: Team) -> None:
    for code in ("li", "wang"):
        team.receiver(code, name={"li": "李师傅", "wang": "王师傅"}[code])
    form = {
        "organisation": "yanling", "code": "night", "name": "冷库值班", "starts_on": "2026-01-05", "turn_days": "7",
        "handover": "08:00", "s0_name": "全天", "s0_days": "all", "s0_begins": "08:00", "s0_ends": "08:00",
        "s0_members": "li, wang", "s1_members": "", **CSRF,
    }  # fmt: skip
    assert desk.post("/console/people/rotas", data=form).status_code == 303
    page = text(desk, "/console/people")
    assert "李师傅" in page
    assert "王师傅" in page
    wrong = desk.post("/console/people/rotas", data=form | {"code": "other", "s0_members": "ghost"})
    assert wrong.status_code == 422
    assert "没有这个接收人：ghost" in wrong.text
    again = desk.post("/console/people/rotas", data=form | {"version": "1", "name": "新名"})
    assert again.status_code == 303
    assert desk.post("/console/people/rotas", data=form | {"version": "1"}).status_code == 409


def test_escalation_from_the_form_previews_who_is_called_when(desk: TestClient, team: Team) -> None:
    team.receiver("li", name="李师傅")
    team.receiver("wang", "sms", name="王师傅")
    team.receiver("province", name="省值班", organisation=HUNAN)
    team.policy((0, "province"), organisation=HUNAN)
    form = {
        "t0_after": "0", "t0_receivers": "li", "t0_rotas": "", "t0_priority": ["1", "2"],
        "t1_after": "15", "t1_receivers": "wang", "t1_rotas": "", "t1_priority": ["1"],
        "upward_min": "30", "rounds": "1", "repeat_min": "60", "tell_return": "1", "act": "preview", **CSRF,
    }  # fmt: skip
    preview = desk.post("/console/people/escalation/yanling", data=form)
    assert preview.status_code == 200
    assert [name for name in re.findall(r"<b>(\S+?)</b>", preview.text) if "值班" in name or "师傅" in name] == [
        "李师傅", "王师傅", "省值班",
    ]  # fmt: skip
    assert YANLING not in read_directory(team.connection, 0).policies
    assert desk.post("/console/people/escalation/yanling", data=form | {"act": "save"}).status_code == 303
    assert read_directory(team.connection, 0).policies[YANLING].steps[1].priorities == (1,)
    wrong = desk.post("/console/people/escalation/yanling", data=form | {"act": "save", "t0_receivers": "ghost"})
    assert wrong.status_code == 422
    assert "ghost" in wrong.text


def test_mute_begins_and_ends_by_the_form(desk: TestClient, team: Team) -> None:
    form = {
        "where": "site:yanling-store", "begins": "2026-01-01T08:00", "ends": "2026-01-20T08:00", "priority": "2",
        "reason": "", **CSRF,
    }  # fmt: skip
    assert "静默需要写明原因" in desk.post("/console/people/mutes", data=form).text
    assert desk.post("/console/people/mutes", data=form | {"reason": "检修"}).status_code == 303
    assert desk.post("/console/people/mutes", data=form | {"where": "site:anren-store"}).status_code == 404
    assert "检修" in text(desk, "/console/people/mutes")
    assert team.rows("SELECT site_id, priorities FROM alerts.mute") == [(1, [2])]


def test_calendar_is_changed_by_the_head_only(desk: TestClient, team: Team) -> None:
    form = {"day": "2027-02-06", "work": "0", "name": "春节", **CSRF}
    assert desk.post("/console/people/holidays", data=form).status_code == 404
    desk.site.person = operator(scope="/1/", roles=ADMIN)  # type: ignore[attr-defined]
    assert desk.post("/console/people/holidays", data=form).status_code == 303
    assert "2027-02-06" in text(desk, "/console/people/holidays")
    assert desk.post("/console/people/holidays", data=form | {"act": "delete"}).status_code == 303
    assert team.rows("SELECT count(*) FROM alerts.holiday") == [(0,)]


def link_of(team: Team) -> str:
    found = re.search(r"/alarm/acknowledge/[\w-]+", team.channels.calls[-1].json["markdown"]["content"])
    assert found is not None
    return found[0]


@pytest.fixture
def called(team: Team) -> int:
    """An alarm Li was just told of, at the machine's time."""
    from hanlu.core.clock import SystemClock

    team.clock.step(SystemClock().now_ms())
    team.receiver("li", login="li", name="李师傅")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1)
    team.settle()
    return alarm


def test_opening_a_link_changes_nothing_and_the_button_acknowledges_once(
    desk: TestClient, team: Team, called: int
) -> None:
    link = link_of(team)
    state = "SELECT process_state, acknowledged_by FROM alerts.alarm"
    for _ in range(3):
        page = text(desk, link)
        assert "1 号冻结间" in page
        assert "<button" in page
    assert team.rows(state) == [("UNACKNOWLEDGED", None)]
    done = desk.post(link)
    assert "已确认" in done.text
    assert team.rows(state) == [("ACKNOWLEDGED", "li")]
    assert done.headers["referrer-policy"] == "no-referrer"
    for answer in (desk.post(link), desk.get(link)):
        assert answer.status_code == 410
        assert "用过" in answer.text
        assert "李" not in answer.text
        assert "1 号冻结间" not in answer.text
    events = team.rows("SELECT event, actor FROM alerts.journal WHERE alarm_id = %s ORDER BY version", called)
    assert events == [("raise", "engine"), ("acknowledge", "li")]


def test_link_after_somebody_else_says_so_without_a_name(desk: TestClient, team: Team, called: int) -> None:
    team.acknowledge(called)
    page = desk.post(link_of(team))
    assert "已有人确认" in page.text
    assert page.status_code == 200


def test_link_of_an_earlier_call_does_not_acknowledge_a_later_one(desk: TestClient, team: Team, called: int) -> None:
    old = link_of(team)
    team.acknowledge(called)
    team.happens(called, "re_alarm", process_state="UNACKNOWLEDGED")
    assert "已有人确认，或报警已有变化" in desk.post(old).text
    assert team.rows("SELECT process_state FROM alerts.alarm") == [("UNACKNOWLEDGED",)]


def test_expired_link_and_invented_link_open_nothing(desk: TestClient, team: Team, called: int) -> None:
    link = link_of(team)
    team.rows(
        "UPDATE alerts.acknowledge_link SET made_at = now() - INTERVAL '2 day', expires_at = now() - INTERVAL '1 day'"
    )
    assert desk.post(link).status_code == 410
    assert desk.get("/alarm/acknowledge/" + "a" * 32).status_code == 404
    assert desk.post("/alarm/acknowledge/" + "a" * 32).status_code == 404
    assert team.rows("SELECT process_state FROM alerts.alarm") == [("UNACKNOWLEDGED",)]


def test_log_shows_the_message_and_its_attempts(desk: TestClient, team: Team, called: int) -> None:
    page = text(desk, "/console/people/log")
    assert "已送达" in page
    assert "errcode 0 ok" in page
    assert "确认收到：（链接不留记录）" in page
