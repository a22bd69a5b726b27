"""Signing in through the site: forged cookies, missing tokens, wrong passwords in series, and the way back."""

from __future__ import annotations

import re
import secrets

import pytest
from fix_site import Site

from hanlu.registry.config import SignInSettings

pytestmark = pytest.mark.postgres

JSON = {"Accept": "application/json"}


def test_a_closed_page_leads_to_sign_in_and_back(site: Site):
    answer = site.client.get("/me?x=1&y=2")
    assert answer.status_code == 303
    page = site.client.get(answer.headers["location"]).text
    target = re.search(r'name="next" value="([^"]*)"', page)
    assert target is not None
    assert target[1].replace("&amp;", "&") == "/me?x=1&y=2"
    credentials = {"login": "operator", "password": site.register.passwords["operator"], "next": "/me?x=1&y=2"}
    assert site.client.post("/signin", data=credentials).headers["location"] == "/me?x=1&y=2"
    assert site.client.get("/me?x=1&y=2").status_code == 200


def test_a_program_is_told_401(site: Site):
    answer = site.client.get("/me", headers=JSON)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Cookie realm="hanlu"')
    assert site.client.post("/signout").status_code == 401


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/\tx", "javascript:alert(1)", "/" + "x" * 3000],
)
def test_sign_in_never_leads_off_the_site(site: Site, target: str):
    credentials = {"login": "inspector", "password": site.register.passwords["inspector"], "next": target}
    assert site.client.post("/signin", data=credentials).headers["location"] == "/inspect"
    assert site.client.get("/signin", params={"next": target}).headers["location"] == "/inspect"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site):
    credentials = {"login": "operator", "password": site.register.passwords["operator"]}
    cookie = site.client.post("/signin", data=credentials).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "domain" not in cookie


def test_wrong_passwords_in_series_are_answered_audited_and_slowed(site: Site):
    limits = SignInSettings()
    for _ in range(limits.free_tries):
        answer = site.client.post("/signin", data={"login": "operator", "password": "wrong"})
        assert answer.status_code == 401
        assert "用户名或密码不对" in answer.text
    answer = site.client.post("/signin", data={"login": "operator", "password": site.register.passwords["operator"]})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(limits.first_lock_s))
    assert f"{limits.first_lock_s} 秒后再试" in answer.text
    assert site.register.actions().count("registry.session.refuse") == limits.free_tries
    site.register.clock.advance(limits.first_lock_s)
    site.enter("operator")


def test_names_that_exist_and_names_that_do_not_look_the_same(site: Site):
    answers = [
        site.client.post("/signin", data={"login": login, "password": "wrong"}).text.replace(login, "NAME")
        for login in ("operator", "nobody-x")
    ]
    assert answers[0] == answers[1]


def test_what_was_typed_comes_back_escaped_and_the_password_never(site: Site):
    page = site.client.post("/signin", data={"login": '"><script>x</script>', "password": "my secret"}).text
    assert "<script>x" not in page
    assert "my secret" not in page


@pytest.mark.parametrize(
    "cookie", ["x", "A" * 43, "'; DROP TABLE registry.session; --", "露", secrets.token_urlsafe(32)]
)
def test_a_forged_cookie_opens_nothing_and_is_audited(site: Site, cookie: str):
    forged = {"Cookie": f"hanlu={cookie}".encode()}
    answer = site.client.get("/me", headers=forged)
    assert answer.status_code == 303
    assert site.client.get("/me", headers=forged | {"Accept": b"application/json"}).status_code == 401
    assert site.register.actions().count("registry.session.forged") == 2
    page = site.client.get(answer.headers["location"], headers=forged)
    assert "您的登录已结束" in page.text
    assert 'hanlu=""' in page.headers["set-cookie"]


def test_a_flood_of_forged_cookies_does_not_fill_the_audit(site: Site):
    for _ in range(60):
        site.client.get("/me", headers=JSON | {"Cookie": f"hanlu={secrets.token_urlsafe(32)}"})
    assert site.register.actions().count("registry.session.forged") == 30


def test_a_session_that_has_ended_is_no_forgery(site: Site):
    site.enter("operator")
    site.register.clock.advance(SignInSettings().session_idle_s + 1)
    assert site.client.get("/me").headers["location"] == "/signin?next=%2Fme&ended=1"
    assert "registry.session.forged" not in site.register.actions()


def test_a_new_sign_in_has_a_new_cookie_and_ends_the_old_session(site: Site):
    site.enter("operator")
    first = site.client.cookies["hanlu"]
    site.enter("inspector")
    second = site.client.cookies["hanlu"]
    assert first != second
    assert site.client.get("/me", headers=JSON | {"Cookie": f"hanlu={first}"}).status_code == 401


def test_a_cookie_from_before_sign_in_is_not_adopted(site: Site):
    chosen = secrets.token_urlsafe(32)
    site.client.cookies.set("hanlu", chosen)
    site.enter("operator")
    assert site.client.get("/me", headers=JSON | {"Cookie": f"hanlu={chosen}"}).status_code == 401


def test_signing_out_ends_the_session_on_the_server(site: Site):
    site.enter("operator")
    held = site.client.cookies["hanlu"]
    assert site.client.post("/signout", data={"csrf": site.token()}).headers["location"] == "/"
    assert site.client.get("/me", headers=JSON | {"Cookie": f"hanlu={held}"}).status_code == 401
    assert site.register.actions()[-1] == "registry.session.close"


@pytest.mark.parametrize("token", [None, "", "x", "A" * 86])
def test_a_changing_request_without_the_token_is_refused_and_audited(site: Site, token: str | None):
    site.enter("operator")
    answer = site.client.post("/signout", data={} if token is None else {"csrf": token})
    assert answer.status_code == 403
    assert site.client.get("/me").status_code == 200
    assert site.register.actions()[-1] == "registry.request.forged"


def test_another_persons_token_does_not_fit(site: Site):
    site.enter("inspector")
    others = site.token()
    site.enter("operator")
    assert site.client.post("/signout", data={"csrf": others}).status_code == 403


def test_the_token_goes_in_the_header_as_well(site: Site):
    site.enter("operator")
    answer = site.client.post("/signout", headers={"X-CSRF": site.token()})
    assert answer.status_code == 303


def test_a_role_opens_its_own_pages_only(site: Site):
    site.enter("operator")
    answer = site.client.get("/admin/people")
    assert answer.status_code == 403
    assert "没有打开这一页的权限" in answer.text
    assert site.register.actions()[-1] == "registry.access.refuse"
    assert 'href="/admin/people"' not in site.client.get("/me").text


def test_ones_own_password_is_changed_with_the_old_one_only(site: Site):
    site.enter("operator")
    new = "peaches in the morning dew"
    form = {"csrf": site.token(), "old": site.register.passwords["operator"], "new": new, "again": new}
    for wrong, text in (
        ({"again": new + "!"}, "两次输入的新密码不一样"),
        ({"new": "short", "again": "short"}, "至少 12 个字符"),
        ({"new": "operator operator", "again": "operator operator"}, "太简单"),
        ({"old": "not mine"}, "当前密码不对"),
    ):
        answer = site.client.post("/me", data=form | wrong)
        assert answer.status_code == 422
        assert text in answer.text
    assert "密码已修改" in site.client.post("/me", data=form).text
    assert site.client.get("/me").status_code == 200
    assert site.register.actions()[-1] == "registry.person.password"


def test_an_administrator_adds_bars_and_resets(site: Site):
    site.enter("admin")
    form = {"csrf": site.token(), "login": "Wang", "display_name": "王", "organisation": "yanling", "roles": "operator"}
    page = site.client.post("/admin/people", data=form).text
    shown = re.search(r'id="made-password">([^<]+)<', page)
    assert shown is not None
    assert shown[1] not in site.client.get("/admin/people").text
    assert site.client.post("/admin/people", data=form).status_code == 409
    assert site.client.post("/admin/people", data=form | {"roles": []}).status_code == 422
    assert site.client.post("/admin/people", data=form | {"roles": "king"}).status_code == 422
    assert site.client.post("/admin/people", data=form | {"login": "li", "organisation": "x"}).status_code == 404
    wang = next(each for each in site.register.people.list("/") if each.login == "wang")
    barred = site.client.post(f"/admin/people/{wang.person_id}/disabled", data=form | {"disabled": "true"})
    assert barred.status_code == 303
    assert site.client.post("/signin", data={"login": "wang", "password": shown[1]}).status_code == 401
    reset = site.client.post(f"/admin/people/{wang.person_id}/password", data=form).text
    assert 'id="made-password"' in reset
    assert site.client.post("/admin/people/999/password", data=form).status_code == 404
