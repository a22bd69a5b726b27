"""The site as a whole: languages, headers, hosts, sizes, errors, static files, health."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from fix_register import Register
from fix_site import BROWSER, Site, settings_of
from starlette.testclient import TestClient

from hanlu.app.guard import CONTENT_SECURITY_POLICY, MAX_DOCUMENT_BYTES, MAX_FORM_BYTES
from hanlu.app.web import create_app

pytestmark = pytest.mark.postgres

JSON = {"Accept": "application/json"}


def test_the_front_page_opens_for_everybody_with_the_county_in_numbers(site: Site):
    page = site.client.get("/")
    assert page.status_code == 200
    assert "每一度都有记录" in page.text
    assert site.client.get("/summary.json").json()["sites"] == 6


@pytest.mark.parametrize(
    ("query", "cookie", "header", "expected"),
    [
        ("", None, None, "zh-CN"),
        ("", None, "en-US,en;q=0.9", "en"),
        ("", None, "de, en;q=0.4, zh;q=0.3", "en"),
        ("", None, "fr", "zh-CN"),
        ("", "en", "zh-CN", "en"),
        ("?lang=zh", "en", "en", "zh-CN"),
        ("?lang=xx", None, "en", "en"),
    ],
)
def test_the_language_follows_the_address_then_the_cookie_then_the_browser(
    site: Site, query: str, cookie: str | None, header: str | None, expected: str
):
    headers = BROWSER | {"Accept-Language": header or ""} | ({"Cookie": f"lang={cookie}"} if cookie else {})
    page = site.client.get(f"/{query}", headers=headers)
    assert page.headers["content-language"] == expected
    assert f'<html lang="{expected}">' in page.text


def test_a_language_once_asked_for_is_kept(site: Site):
    site.client.get("/?lang=en")
    assert site.client.get("/signin").headers["content-language"] == "en"


def test_the_language_link_keeps_the_rest_of_the_address(site: Site):
    page = site.client.get("/signin?next=%2Fconsole&lang=zh").text
    assert 'href="/signin?next=%2Fconsole&amp;lang=en"' in page


@pytest.mark.parametrize("path", ["/", "/nothing", "/healthz", "/static/app/hanlu.css", "/summary.json", "/console/x"])
def test_every_answer_carries_the_security_headers(site: Site, path: str):
    headers = site.client.get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in headers
    assert "server" not in headers


def test_pages_have_nothing_inline(site: Site):
    site.enter("admin")
    for path in ("/", "/me", "/admin/people", "/nothing"):
        page = site.client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_pages_are_kept_nowhere_and_static_files_for_a_year(site: Site):
    page = site.client.get("/")
    assert page.headers["cache-control"] == "no-store"
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
        file = site.client.get(address)
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]


def test_a_static_file_asked_again_with_its_tag_is_not_sent_again(site: Site):
    file = site.client.get("/static/app/hanlu.css")
    assert file.headers["cache-control"] == "public, no-cache"
    for tag in (file.headers["etag"], f"W/{file.headers['etag']}", f'"other", {file.headers["etag"]}', "*"):
        again = site.client.get("/static/app/hanlu.css", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert site.client.get("/static/app/hanlu.css", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_static_file_is_the_same_compressed_and_plain(site: Site):
    with site.client.stream("GET", "/static/app/hanlu.css", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = site.client.get("/static/app/hanlu.css", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 3
    assert packed.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["/static/app/none.css", "/static/../app/settings.py", "/static/app/%2e%2e/settings.py", "/static/registry/"],
)
def test_nothing_beside_the_static_files_is_served(site: Site, path: str):
    assert site.client.get(path).status_code == 404


def test_a_file_of_an_older_version_is_answered_but_not_kept(site: Site):
    file = site.client.get("/static/app/~000000000000/hanlu.css")
    assert (file.status_code, file.headers["cache-control"]) == (200, "public, no-cache")


def test_pages_are_compressed_where_the_browser_takes_it(site: Site):
    assert site.client.get("/", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"


def test_an_unknown_address_is_a_page_for_browsers_and_a_problem_for_programs(site: Site):
    page = site.client.get("/nothing")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "没有找到" in page.text
    problem = site.client.get("/nothing", headers=JSON)
    assert problem.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert (problem.json()["status"], problem.json()["instance"]) == (404, "/nothing")


def test_the_api_answers_with_problems_even_to_browsers(site: Site):
    assert site.client.get("/api/nothing").headers["content-type"].startswith("application/problem+json")


def test_a_method_that_does_not_fit_is_named_with_those_that_do(site: Site):
    answer = site.client.delete("/signin")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]


def test_an_unforeseen_error_tells_a_number_and_nothing_else(site: Site, caplog: pytest.LogCaptureFixture):
    @site.client.app.get("/api/broken")
    def broken() -> None:
        raise RuntimeError("the secret sauce")

    answer = site.client.get("/api/broken", headers=JSON)
    assert answer.status_code == 500
    assert "sauce" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert caplog.records[-1].fields["number"] == answer.json()["number"]


def test_a_database_that_is_away_is_answered_by_503_and_the_front_page_stays(register: Register, site: Site):
    with_nobody = "postgresql://nobody@127.0.0.1:1/none"
    app = create_app(settings_of(with_nobody))
    with TestClient(app, base_url="http://127.0.0.1", headers=JSON) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
    assert site.client.get("/readyz").text == "ready\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example", "[::1"])
def test_a_request_for_another_host_is_refused(site: Site, host: str):
    assert site.client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8077", "localhost:9", "LOCALHOST", "[::1]:8077"])
def test_a_request_for_this_host_is_taken(site: Site, host: str):
    assert site.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_sent_from_another_site_is_refused(site: Site, headers: dict[str, str]):
    credentials = {"login": "operator", "password": site.register.passwords["operator"]}
    assert site.client.post("/signin", data=credentials, headers=headers).status_code == 403
    assert "set-cookie" not in site.client.post("/signin", data=credentials, headers=headers).headers


def test_a_body_beyond_the_limit_is_refused_whether_it_says_so_or_not(site: Site):
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def stream(size: int):
        for _ in range(0, size, 8192):
            yield b"x" * 8192

    assert site.client.post("/signin", content=b"x" * (MAX_FORM_BYTES + 1), headers=form).status_code == 413
    assert site.client.post("/signin", content=stream(2 * MAX_FORM_BYTES), headers=form).status_code == 413
    assert site.client.post("/signin", content=b"x" * MAX_FORM_BYTES, headers=form).status_code == 401
    large = site.client.post("/api/x", content=b"x", headers={"Content-Length": str(MAX_DOCUMENT_BYTES + 1)})
    assert large.status_code == 413


def test_behind_https_the_cookie_is_bound_and_browsers_insist(register: Register):
    settings = settings_of(register.url).with_values(web={"public_url": "https://trace.example.cn"})
    app = create_app(settings, clock=register.clock)
    with TestClient(app, base_url="https://trace.example.cn", headers=BROWSER, follow_redirects=False) as client:
        credentials = {"login": "operator", "password": register.passwords["operator"]}
        answer = client.post("/signin", data=credentials)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-hanlu=")
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(cookie.lower().split("; "))
    assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_the_description_of_the_api_is_served(site: Site):
    assert json.loads(site.client.get("/api/openapi.json").text)["info"]["title"] == "Hanlu"


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("(01)06999999200017(10)TAO-1", "/01/06999999200017/10/TAO-1"),
        ("https://trace.example.cn/01/06999999200017/10/TAO-1?lang=en", "/01/06999999200017/10/TAO-1"),
        ("/01/06999999200017/10/TAO-1", "/01/06999999200017/10/TAO-1"),
        (" 01/06999999200017/10/TAO-1 ", "/01/06999999200017/10/TAO-1"),
    ],
)
def test_a_label_read_by_hand_leads_to_its_page(site: Site, code: str, target: str):
    answer = site.client.get("/find", params={"code": code})
    assert (answer.status_code, answer.headers.get("location")) == (303, target)


@pytest.mark.parametrize(
    "code",
    ["", "TAO-1", "(01)06999999200018(10)X", "https://evil.example/", "<script>alert(1)</script>", "%", "x" * 9999],
)
def test_a_code_that_is_none_is_told_beside_the_field(site: Site, code: str):
    answer = site.client.get("/find", params={"code": code})
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    if code:
        assert "没有找到这个编码" in answer.text


def know_of(site: Site, *lots: tuple[str, str]) -> None:
    """Let the trace room have seen lots, each of a GTIN and a number."""
    import psycopg

    with psycopg.connect(site.register.url) as connection:
        for number, (gtin, lot) in enumerate(lots):
            row = connection.execute(
                "INSERT INTO trace.event (event_hash, jcs_sha256, event_type, event_time, event_offset, source,"
                " document, canonical)"
                " VALUES (%s, %s, 'ObjectEvent', now(), '+08:00', 'test', '{}', '') RETURNING event_id",
                (f"ni:///sha-256;{number}", bytes(32)),
            ).fetchone()
            assert row is not None
            uri = f"https://id.gs1.org/01/{gtin}/10/{lot}"
            connection.execute(
                "INSERT INTO trace.event_thing (event_id, role, uri, lot_uri) VALUES (%s, 'epc', %s, %s)",
                (row[0], uri, uri),
            )


PEACHES, SHIITAKE = "06999999200017", "06999999200031"


def test_a_lot_number_alone_leads_to_the_lot_that_has_it(site: Site):
    know_of(site, (PEACHES, "TAO-1"), (PEACHES, "TAO%252"), (PEACHES, "A%2F1"), (SHIITAKE, "GU-1"))
    for code, path in (
        ("TAO-1", f"/01/{PEACHES}/10/TAO-1"),
        ("TAO%2", f"/01/{PEACHES}/10/TAO%252"),
        ("A/1", f"/01/{PEACHES}/10/A%2F1"),
    ):
        assert site.client.get("/find", params={"code": code}).headers["location"] == path


def test_a_lot_number_of_two_products_is_asked_about(site: Site):
    know_of(site, (PEACHES, "1"), (SHIITAKE, "1"))
    answer = site.client.get("/find", params={"code": "1"})
    assert answer.status_code == 300
    for gtin in (PEACHES, SHIITAKE):
        assert f'href="/01/{gtin}/10/1"' in answer.text
