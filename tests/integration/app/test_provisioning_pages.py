"""The pages and doors of provisioning over the whole site: enrolling by HTTP, what brokers ask, gateways, approval."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import psycopg
import pytest
from fix_enrolment import EdgeKey
from fix_register import QUICK, Register
from fix_site import BROWSER, Site, settings_of
from starlette.testclient import TestClient

from hanlu.app.web import create_app
from hanlu.core.wire.enrolment import Enrolled
from hanlu.registry.broker_rules import new_password
from hanlu.registry.passwords import Passwords

pytestmark = pytest.mark.postgres

KEY = "a-secret-of-the-broker"
PLATFORM_PASSWORD = "platform-password-of-the-tests"


@pytest.fixture
def asked(register: Register) -> Iterator[Site]:
    """The site behind HTTPS, with an external broker that may ask."""
    settings = settings_of(register.url).with_values(
        broker={"url": f"mqtts://platform:{PLATFORM_PASSWORD}@broker.example:8883", "ask_key": KEY},
        web={"public_url": "https://hanlu.example"},
    )
    app = create_app(settings, clock=register.clock, passwords=Passwords(**QUICK))
    client = TestClient(
        app, base_url="https://hanlu.example", headers=BROWSER, follow_redirects=False, client=("127.0.0.1", 50_000)
    )
    with client:
        yield Site(client, register)


def add(site: Site, code: str = "gw-new", place: str = "yanling-store") -> str:
    """Add a gateway by the page and return the token it shows."""
    answer = site.client.post("/admin/gateways", data={"code": code, "site": place, "csrf": site.token()})
    assert answer.status_code == 200, answer.text
    return token_of(answer.text)


def token_of(page: str) -> str:
    found = re.search(r"--token ([a-z0-9-]+)", html.unescape(page))
    assert found, "no token on the page"
    return found[1]


def enrol(site: Site, token: str, key: EdgeKey) -> Enrolled:
    answer = site.client.post("/api/enrol", json=key.enrol(token).model_dump())
    assert answer.status_code == 200, answer.text
    return Enrolled.model_validate(answer.json())


def ask(site: Site, what: str, body: object, key: str = KEY) -> object:
    answer = site.client.post(f"/broker/emqx/{what}", json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


# Enrolling by HTTP


def test_a_gateway_enrols_by_http_and_is_told_where_the_broker_is(asked: Site):
    asked.enter("admin")
    token, key = add(asked), EdgeKey()
    enrolled = enrol(asked, token, key)
    assert (enrolled.gateway, enrolled.kid) == ("gw-new", key.kid.hex())
    broker = enrolled.broker
    assert (broker.host, broker.port, broker.tls, broker.username) == ("broker.example", 8883, True, "gw-new")
    assert enrolled.platform == "https://hanlu.example"
    challenge = asked.client.post("/api/enrol/challenge").json()["challenge"]
    new = EdgeKey()
    renewal = key.renew(challenge, "gw-new", new).model_dump(exclude_none=True)
    renewed = Enrolled.model_validate(asked.client.post("/api/enrol/renew", json=renewal).json())
    assert renewed.kid == new.kid.hex()
    assert renewed.old_key_until_ms is not None


def test_a_refused_enrolment_says_why_and_when_to_come_back(asked: Site):
    answer = asked.client.post("/api/enrol", json=EdgeKey().enrol("no-such-token").model_dump())
    assert (answer.status_code, answer.json()["reason"]) == (403, "unknown")
    for _ in range(29):
        asked.client.post("/api/enrol", json=EdgeKey().enrol("no-such-token").model_dump())
    answer = asked.client.post("/api/enrol", json=EdgeKey().enrol("no-such-token").model_dump())
    assert (answer.status_code, answer.json()["reason"]) == (429, "wait")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"token": 1}',
        b'{"token": "\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800", "public_key": "x", "signature": "y"}',
        b'{"token": "12345678", "public_key": "' + b"_" * 43 + b'", "signature": "' + b"-" * 86 + b'"}',
        b'{"token": "' + b"x" * 5000 + b'"}',
    ],
)
@pytest.mark.parametrize("path", ["/api/enrol", "/api/enrol/renew"])
def test_whatever_is_sent_to_the_open_doors_is_refused_politely(asked: Site, path: str, body: bytes):
    answer = asked.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {403, 422}


# What a broker asks, in the shape EMQX 5 asks it


def test_emqx_lets_a_gateway_in_by_its_password_only(asked: Site):
    asked.enter("admin")
    password = enrol(asked, add(asked), EdgeKey()).broker.password
    good = {"username": "gw-new", "password": password, "clientid": "hanlu-gw-new", "peerhost": "10.0.0.9"}
    assert ask(asked, "authn", good) == "allow"
    for wrong in (
        {"password": new_password()},
        {"password": ""},
        {"username": "gw-other"},
        {"username": "gw\x00new"},
        {"clientid": "hanlu-gw-yanling"},
        {"clientid": "hanlu-ingest"},
    ):
        assert ask(asked, "authn", good | wrong) == "deny", wrong
    assert ask(asked, "authn", good | {"clientid": "a-plain-sensor"}) == "allow"


def test_emqx_lets_the_platform_in_and_never_calls_anybody_superuser(asked: Site):
    body = {"username": "platform", "password": PLATFORM_PASSWORD, "clientid": "hanlu-ingest"}
    answer = asked.client.post("/broker/emqx/authn", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.json() == {"result": "allow", "is_superuser": False}
    assert ask(asked, "authn", body | {"password": "x"}) == "deny"


def test_emqx_lets_a_gateway_reach_its_own_topics_only(asked: Site):
    asked.enter("admin")
    enrolled = enrol(asked, add(asked), EdgeKey())
    own = f"hanlu/1/{enrolled.partition:02d}/gw-new"
    allowed = [("publish", f"{own}/{lane}") for lane in ("live", "backlog", "event", "birth", "will")]
    allowed += [("subscribe", f"{own}/receipt"), ("subscribe", f"{own}/command")]
    denied = [("subscribe", topic) for _, topic in allowed[:5]] + [("publish", topic) for _, topic in allowed[5:]]
    other = (enrolled.partition + 1) % 64
    denied += [
        ("publish", f"hanlu/1/{other:02d}/gw-new/live"),
        ("publish", f"hanlu/1/{enrolled.partition:02d}/gw-yanling/live"),
        ("publish", f"{own}/live/x"),
        ("publish", "$SYS/x"),
        *(("subscribe", topic) for topic in ("#", "hanlu/#", f"{own}/#", f"{own}/+", "hanlu/1/+/gw-new/receipt", "")),
        ("subscribe", f"$share/x/{own}/receipt"),
        ("all", f"{own}/live"),
    ]
    for action, topic in allowed:
        assert ask(asked, "authz", {"username": "gw-new", "action": action, "topic": topic}) == "allow", topic
    for action, topic in denied:
        assert ask(asked, "authz", {"username": "gw-new", "action": action, "topic": topic}) == "deny", topic
    assert ask(asked, "authz", {"username": "platform", "action": "subscribe", "topic": "hanlu/1/07/+/live"}) == "allow"
    assert ask(asked, "authz", {"username": "platform", "action": "publish", "topic": "other/x"}) == "deny"
    assert ask(asked, "authz", {"username": "nobody", "action": "publish", "topic": f"{own}/live"}) == "deny"


def test_a_revoked_gateway_is_denied_from_the_next_question_on(asked: Site):
    asked.enter("admin")
    enrolled = enrol(asked, add(asked), EdgeKey())
    answer = asked.client.post("/admin/gateways/gw-new/revoke", data={"again": "gw-new", "csrf": asked.token()})
    assert answer.status_code == 303
    signing_in = {"username": "gw-new", "password": enrolled.broker.password, "clientid": ""}
    assert ask(asked, "authn", signing_in) == "deny"
    topic = f"hanlu/1/{enrolled.partition:02d}/gw-new/live"
    assert ask(asked, "authz", {"username": "gw-new", "action": "publish", "topic": topic}) == "deny"


def test_a_renewed_password_leaves_the_old_one_an_hour(asked: Site):
    asked.enter("admin")
    key = EdgeKey()
    old = enrol(asked, add(asked), key).broker.password
    challenge = asked.client.post("/api/enrol/challenge").json()["challenge"]
    asked.client.post("/api/enrol/renew", json=key.renew(challenge, "gw-new").model_dump(exclude_none=True))
    body = {"username": "gw-new", "password": old, "clientid": "hanlu-gw-new"}
    asked.register.clock.advance(3599)
    assert ask(asked, "authn", body) == "allow"
    asked.register.clock.advance(1)
    assert ask(asked, "authn", body) == "deny"


@pytest.mark.parametrize("body", [None, [], {}, {"username": 7}, {"username": "gw-new", "password": "x" * 2000}, "x"])
@pytest.mark.parametrize("what", ["authn", "authz"])
def test_what_cannot_be_understood_is_denied_and_never_left_open(asked: Site, what: str, body: object):
    assert ask(asked, what, body) == "deny"


def test_nobody_asks_without_the_secret_or_from_elsewhere(register: Register, asked: Site, site: Site):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": b"Bearer \xe9"}):
        answer = asked.client.post("/broker/emqx/authn", json={}, headers=headers)
        assert answer.status_code == 401
    bearer = {"Authorization": f"Bearer {KEY}"}
    app = asked.client.app
    with TestClient(app, base_url="https://hanlu.example", client=("192.0.2.1", 1)) as far:
        assert far.post("/broker/emqx/authn", json={}, headers=bearer).status_code == 401
    assert site.client.post("/broker/emqx/authn", json={}, headers=bearer).status_code == 401, "no secret is set here"


# The pages of gateways


def test_the_page_shows_a_token_once_with_the_line_to_type_and_its_code(asked: Site):
    asked.enter("admin")
    answer = asked.client.post(
        "/admin/gateways", data={"code": " GW-New ", "site": "yanling-store", "csrf": asked.token()}
    )
    assert "sudo hanlu enrol --server https://hanlu.example --token " in html.unescape(answer.text)
    assert "data:image/svg+xml;base64," in answer.text
    assert "没有使用 HTTPS" not in answer.text
    token = token_of(answer.text)
    for path in ("/admin/gateways", "/admin/gateways/gw-new"):
        assert token not in asked.client.get(path).text
    again = asked.client.post("/admin/gateways/gw-new/token", data={"hours": "1", "csrf": asked.token()})
    assert token_of(again.text) != token


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"code": "GW 1", "site": "yanling-store"}, 422, "编码不合要求"),
        ({"code": "gw-yanling", "site": "yanling-store"}, 409, "已被使用"),
        ({"code": "gw-x", "site": "nowhere"}, 422, "请选择站点"),
        ({}, 422, "编码不合要求"),
    ],
)
def test_a_gateway_that_cannot_be_added_is_told_beside_the_form(
    asked: Site, fields: dict[str, str], status: int, words: str
):
    asked.enter("admin")
    answer = asked.client.post("/admin/gateways", data=fields | {"csrf": asked.token()})
    assert (answer.status_code, words in answer.text) == (status, True)


def test_revoking_asks_for_the_code_again(asked: Site):
    asked.enter("admin")
    enrol(asked, add(asked), EdgeKey())
    answer = asked.client.post("/admin/gateways/gw-new/revoke", data={"again": "gw-other", "csrf": asked.token()})
    assert answer.status_code == 422
    assert "已吊销" not in asked.client.get("/admin/gateways/gw-new").text
    asked.client.post("/admin/gateways/gw-new/revoke", data={"again": "gw-new", "csrf": asked.token()})
    assert "已吊销" in asked.client.get("/admin/gateways/gw-new").text


def test_a_new_password_is_shown_once_and_ends_the_old_one(asked: Site):
    asked.enter("admin")
    old = enrol(asked, add(asked), EdgeKey()).broker.password
    page = asked.client.post("/admin/gateways/gw-new/password", data={"csrf": asked.token()}).text
    found = re.search(r'id="made-password">([^<]+)<', page)
    assert found
    body = {"username": "gw-new", "clientid": "hanlu-gw-new"}
    assert ask(asked, "authn", body | {"password": found[1]}) == "allow"
    assert ask(asked, "authn", body | {"password": old}) == "deny"


@pytest.mark.parametrize(
    "path", ["/admin/gateways", "/admin/gateways/gw-yanling/token", "/admin/gateways/gw-yanling/revoke",
             "/admin/gateways/gw-yanling/password", "/admin/channels/gw-yanling"]
)  # fmt: skip
def test_a_form_without_the_pages_token_changes_nothing(asked: Site, path: str):
    asked.enter("admin")
    before = asked.register.all("SELECT count(*) FROM registry.gateway")
    data = {"code": "gw-x", "site": "yanling-store", "hours": "1", "again": "gw-yanling"}
    assert asked.client.post(path, data=data).status_code == 403
    assert asked.register.all("SELECT count(*) FROM registry.gateway") == before
    assert asked.register.all("SELECT count(*) FROM registry.gateway WHERE revoked_at IS NOT NULL") == [(0,)]


def test_a_gateway_of_another_subtree_is_not_there(asked: Site):
    asked.enter("admin")
    for path in ("/admin/gateways/nothing", "/admin/gateways/gw-none"):
        assert asked.client.get(path).status_code == 404
    with psycopg.connect(asked.register.url) as connection:
        connection.execute(
            "UPDATE registry.person SET organisation_id = (SELECT organisation_id FROM registry.organisation"
            " WHERE code = 'changsha') WHERE login = 'admin'"
        )
    listed = asked.client.get("/admin/gateways").text
    assert "gw-changsha" in listed
    assert "gw-yanling" not in listed
    assert asked.client.get("/admin/gateways/gw-yanling").status_code == 404
    answer = asked.client.post("/admin/gateways/gw-yanling/revoke", data={"again": "gw-yanling", "csrf": asked.token()})
    assert answer.status_code == 404


# Channels that wait


def wait_for_approval(register: Register, gateway: str, *names: str, unit: str = "Cel") -> None:
    with psycopg.connect(register.url) as connection:
        for name in names:
            connection.execute(
                "INSERT INTO telemetry.unapproved SELECT gateway_id, %s, %s, 30, now(), now(), 1234, true"
                " FROM registry.gateway WHERE code = %s",
                (name, unit, gateway),
            )


def form(*names: str, act: str = "approve", **more: str) -> dict[str, object]:
    fields: dict[str, object] = {"act": act, "pick": list(names)}
    for name in names:
        device = name.partition("/")[0]
        fields |= {f"kind:{device}": "sensor", f"zone:{device}": "room-1", f"unit:{name}": "Cel"}
        fields |= {f"period:{name}": "30", f"profile:{name}": ""}
    return fields | more


def decide(site: Site, gateway: str, fields: dict[str, object]) -> int:
    answer = site.client.post(f"/admin/channels/{gateway}", data=fields | {"csrf": site.token()})
    return answer.status_code


def channels(site: Site, gateway: str) -> dict[str, tuple[str, float, str | None]]:
    rows = site.register.all(
        "SELECT wire_name, unit, period_s, zone FROM registry.channel_v WHERE gateway = %s", gateway
    )
    return {name: (unit, period_s, zone) for name, unit, period_s, zone in rows}


def test_a_waiting_channel_is_listed_prefilled_and_approved_with_its_device(site: Site):
    site.enter("admin")
    wait_for_approval(site.register, "gw-yanling", "probe-9/air_temperature", "probe-9/humidity")
    page = site.client.get("/admin/channels").text
    assert "probe-9" in page
    assert "1,234" in page
    assert 'value="30"' in page
    assert decide(site, "gw-yanling", form("probe-9/air_temperature")) == 303
    assert channels(site, "gw-yanling")["probe-9/air_temperature"] == ("Cel", 30.0, "room-1")
    page = site.client.get("/admin/channels").text
    assert 'value="probe-9/air_temperature"' not in page
    assert 'value="probe-9/humidity"' in page
    assert site.register.actions()[-1] == "registry.channel.approve"


def test_many_channels_are_approved_together_or_not_at_all(site: Site):
    site.enter("admin")
    names = [f"probe-{number}/air_temperature" for number in range(20)]
    wait_for_approval(site.register, "gw-yanling", *names)
    broken = form(*names) | {"period:probe-7/air_temperature": "-1"}
    assert decide(site, "gw-yanling", broken) == 422
    assert not set(names) & set(channels(site, "gw-yanling"))
    assert decide(site, "gw-yanling", form(*names)) == 303
    assert set(names) <= set(channels(site, "gw-yanling"))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"pick": []}, 422),
        ({"act": "other"}, 422),
        ({"zone:probe-9": "nowhere"}, 422),
        ({"kind:probe-9": "Sensor!"}, 422),
        ({"unit:probe-9/air_temperature": "x" * 17}, 422),
        ({"period:probe-9/air_temperature": "nan"}, 422),
        ({"period:probe-9/air_temperature": "86401"}, 422),
        ({"profile:probe-9/air_temperature": "none-such"}, 422),
        ({"pick": ["room-1-air/air_temperature"]}, 422),
        ({"pick": ["not-waiting/air_temperature"], "period:not-waiting/air_temperature": "1",
          "kind:not-waiting": "sensor"}, 422),
    ],
)  # fmt: skip
def test_an_approval_that_does_not_fit_changes_nothing_and_says_so(site: Site, change: dict[str, object], status: int):
    site.enter("admin")
    wait_for_approval(site.register, "gw-yanling", "probe-9/air_temperature")
    before = channels(site, "gw-yanling")
    assert decide(site, "gw-yanling", form("probe-9/air_temperature") | change) == status
    assert channels(site, "gw-yanling") == before


def test_what_an_old_gateway_says_of_itself_is_approved_as_the_gateways_own(site: Site):
    site.enter("admin")
    site.register.all("DELETE FROM registry.channel WHERE metric = 'uptime' RETURNING channel_id")
    wait_for_approval(site.register, "gw-yanling", "gateway/uptime", "gateway/air_temperature", unit="s")
    own = form("gateway/uptime") | {"unit:gateway/uptime": "s"}
    assert decide(site, "gw-yanling", form("gateway/air_temperature")) == 422, "no sensor is called `gateway`"
    assert decide(site, "gw-yanling", own) == 303
    assert channels(site, "gw-yanling")["gateway/uptime"] == ("s", 30.0, None), "in no zone, whatever was chosen"
    assert site.register.all("SELECT DISTINCT kind FROM registry.device WHERE code = 'gateway'") == [("gateway",)]


@pytest.mark.parametrize("name", ["Bad Device/air", "x", "dev/", "/air", "dev/a/b", "dev/<script>"])
def test_a_name_that_cannot_be_registered_is_shown_and_can_only_be_ignored(site: Site, name: str):
    site.enter("admin")
    wait_for_approval(site.register, "gw-yanling", name)
    page = site.client.get("/admin/channels").text
    assert "名称不合规范" in page
    assert "<script>" not in page.split("<main")[1].split("</main")[0]
    assert decide(site, "gw-yanling", form(name)) == 422
    assert decide(site, "gw-yanling", form(name, act="ignore")) == 303


def test_an_ignored_channel_leaves_the_list_and_can_be_put_back(site: Site):
    site.enter("admin")
    wait_for_approval(site.register, "gw-yanling", "probe-9/air_temperature")
    assert decide(site, "gw-yanling", {"act": "ignore", "pick": ["probe-9/air_temperature"]}) == 303
    page = site.client.get("/admin/channels").text
    assert "没有等待批准的通道" in page
    assert "probe-9/air_temperature" in page
    assert decide(site, "gw-yanling", {"act": "restore", "pick": ["probe-9/air_temperature"]}) == 303
    assert 'name="unit:probe-9/air_temperature"' in site.client.get("/admin/channels").text
    acts = ["registry.channel.ignore", "registry.channel.restore"]
    assert site.register.actions()[-2:] == acts


def test_an_administrator_approves_in_their_own_subtree_only(site: Site):
    site.enter("admin")
    wait_for_approval(site.register, "gw-yanling", "probe-9/air_temperature")
    with psycopg.connect(site.register.url) as connection:
        connection.execute(
            "UPDATE registry.person SET organisation_id = (SELECT organisation_id FROM registry.organisation"
            " WHERE code = 'changsha') WHERE login = 'admin'"
        )
    assert "probe-9" not in site.client.get("/admin/channels").text
    for act in ("approve", "ignore", "restore"):
        assert decide(site, "gw-yanling", form("probe-9/air_temperature", act=act)) == 404
    wait_for_approval(site.register, "gw-changsha", "probe-9/air_temperature")
    elsewhere = form("probe-9/air_temperature")  # a zone of Yanling's store
    assert decide(site, "gw-changsha", elsewhere) == 422
    assert "probe-9/air_temperature" not in channels(site, "gw-changsha")


def test_a_thousand_waiting_channels_are_shown_in_parts(site: Site):
    site.enter("admin")
    names = [f"d{number:04}/m" for number in range(1000)]
    wait_for_approval(site.register, "gw-yanling", *names)
    page = site.client.get("/admin/channels").text
    assert page.count('name="pick"') == 50
    assert "950" in page
    assert len(page) < 200_000
