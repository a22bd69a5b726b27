"""What strangers send to the web pages of a running system: forged and expired cookies, another's request token, wrong
passwords in series, other hosts, ways out of the static files, broken HTTP, broken EPCIS. Each is answered clearly, and
those who come rightly are not kept waiting.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fix_field import Field, now_ms
from fix_running import RunningHanlu, running_hanlu
from fix_trace import document, event
from fix_visitor import Visitor, text_of, visiting

from hanlu.app.guard import MAX_DOCUMENT_BYTES, MAX_FORM_BYTES
from hanlu.registry.config import SignInSettings

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]

LIMITS = SignInSettings()
PROMPT_S = 1.0
"""A rightful request is answered within this while wrong ones are being dealt with."""


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    with running_hanlu(roles="trace,web", environment={"HANLU_CHAIN__ENABLED": "false"}) as one:
        yield one
        Field(one).check("web", "trace")


@pytest.fixture(scope="module")
def field(hanlu: RunningHanlu) -> Field:
    return Field(hanlu)


@pytest.fixture(scope="module")
def operator(hanlu: RunningHanlu) -> Iterator[Visitor]:
    with visiting(hanlu, "operator") as visitor:
        yield visitor


def raw_answer(hanlu: RunningHanlu, *pieces: bytes) -> tuple[int, bytes]:
    """Send bytes as they are, piece by piece, and return status and body of the answer."""
    where = urlsplit(hanlu.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has heard enough; its answer may still be read
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


# Cookies and tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie",
    ["A" * 43, "A" * 42, "' OR 1=1 --", "..%2f..%2fetc", "x" * 4000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 20],
)
def test_forged_cookie_leads_to_the_sign_in_page(hanlu: RunningHanlu, cookie: str) -> None:
    with visiting(hanlu) as visitor:
        header = {"Cookie": b"hanlu=" + cookie.encode()}
        answer = visitor.get("/console", headers=header)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/signin?next=%2Fconsole&ended=1"
        api = visitor.get("/api/epcis/events", headers=header | {"Accept": "application/json"})
        assert api.status_code == 401
        assert api.headers["content-type"].startswith("application/problem+json")
        assert api.json()["title"] == "Please sign in"


def test_forged_cookies_are_noted_and_never_fill_the_audit(hanlu: RunningHanlu, field: Field) -> None:
    count = "SELECT count(*) FROM registry.audit WHERE action = 'registry.session.forged'"
    with visiting(hanlu) as visitor:
        for number in range(80):
            visitor.get("/console", headers={"Cookie": f"hanlu={number:043d}"})
    assert 1 <= field.platform.one(count) <= 62  # thirty a minute, and this may be the turn of one


@pytest.mark.parametrize(
    "ending",
    ["expires_at = now() - interval '1 second'", f"last_seen_at = now() - interval '{LIMITS.session_idle_s + 1} s'"],
)
def test_expired_cookie_says_so_and_the_next_sign_in_returns_to_the_page(
    hanlu: RunningHanlu, field: Field, ending: str
) -> None:
    with visiting(hanlu, "inspector") as visitor:
        assert visitor.get("/inspect").status_code == 200
        field.platform.execute(
            f"UPDATE registry.session SET {ending} WHERE person_id ="
            " (SELECT person_id FROM registry.person WHERE login = 'inspector')"
        )
        answer = visitor.get("/inspect?q=A1")
        assert answer.headers["location"] == "/signin?next=%2Finspect%3Fq%3DA1&ended=1"
        page = visitor.get(answer.headers["location"])
        assert "Your sign-in has ended. Please sign in again." in text_of(page.text)
        assert "hanlu" not in visitor.cookies
        again = {"login": "inspector", "password": hanlu.passwords["inspector"], "next": "/inspect?q=A1"}
        assert visitor.post("/signin", data=again).headers["location"] == "/inspect?q=A1"


def test_request_token_of_somebody_else_is_refused_and_nothing_is_done(hanlu: RunningHanlu, operator: Visitor) -> None:
    with visiting(hanlu, "inspector") as inspector:
        for given in (inspector.token(), "A" * 86, ""):
            answer = operator.post("/signout", data={"csrf": given})
            assert answer.status_code == 403
            assert "This page is out of date" in text_of(answer.text)
        assert operator.get("/console").status_code == 200
        assert inspector.get("/inspect").status_code == 200


def test_request_from_another_site_is_refused_even_with_the_right_token(operator: Visitor) -> None:
    answer = operator.post("/signout", data={"csrf": operator.token()}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert operator.get("/me").status_code == 200


@pytest.mark.parametrize(
    ("login", "path"), [("operator", "/inspect"), ("operator", "/admin/people"), ("inspector", "/console")]
)
def test_page_of_another_role_is_refused_in_clear_words(hanlu: RunningHanlu, login: str, path: str) -> None:
    with visiting(hanlu, login) as visitor:
        answer = visitor.get(path)
    assert answer.status_code == 403
    assert "Your account may not open this page." in text_of(answer.text)


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\tevil"])
def test_sign_in_sends_nobody_to_another_site(hanlu: RunningHanlu, target: str) -> None:
    with visiting(hanlu) as visitor:
        form = {"login": "operator", "password": hanlu.passwords["operator"], "next": target}
        assert visitor.post("/signin", data=form).headers["location"] == "/console"


# Wrong passwords ------------------------------------------------------------------------------------------------------


def test_wrong_passwords_in_series_must_wait_longer_each_time_and_the_right_one_opens_after_it(
    hanlu: RunningHanlu, field: Field
) -> None:
    right = hanlu.passwords["admin"]
    with visiting(hanlu) as visitor:
        for _ in range(LIMITS.free_tries):
            answer = visitor.try_password("admin", "wrong-" + right)
            assert answer.status_code == 401
            assert "The name or the password is wrong." in text_of(answer.text)
        early = visitor.try_password("admin", right)
        assert early.status_code == 429
        first_wait = int(early.headers["retry-after"])
        assert 1 <= first_wait <= LIMITS.first_lock_s
        assert f"Please try again in {first_wait} s." in text_of(early.text)
        time.sleep(first_wait)
        assert visitor.try_password("admin", "wrong-" + right).status_code == 401
        longer = int(visitor.try_password("admin", right).headers["retry-after"])
        assert LIMITS.first_lock_s < longer <= 2 * LIMITS.first_lock_s
        _let_pass(field, longer)
        assert visitor.try_password("admin", right).status_code == 303
        assert visitor.get("/admin/people").status_code == 200
    with visiting(hanlu) as visitor:
        assert visitor.try_password("admin", "wrong").status_code == 401, "the count begins anew"


def test_name_that_does_not_exist_is_answered_as_one_that_does(hanlu: RunningHanlu) -> None:
    with visiting(hanlu) as visitor:
        there, absent = visitor.try_password("operator", "wrong"), visitor.try_password("nobody-here", "wrong")
        assert (there.status_code, absent.status_code) == (401, 401)
        assert text_of(there.text).replace("operator", "") == text_of(absent.text).replace("nobody-here", "")
        visitor.enter("operator")


def test_flood_of_wrong_passwords_keeps_nobody_else_waiting(hanlu: RunningHanlu, operator: Visitor) -> None:
    def guess(number: int) -> int:
        with visiting(hanlu) as visitor:
            return visitor.try_password(f"guest-{number}", "wrong").status_code

    with ThreadPoolExecutor(8) as pool:
        guesses = [pool.submit(guess, number) for number in range(8)]
        took = []
        while not all(each.done() for each in guesses):
            began = time.monotonic()
            assert operator.get("/me").status_code == 200
            took.append(time.monotonic() - began)
    assert {each.result() for each in guesses} <= {401, 429}
    assert sorted(took)[len(took) // 2] < PROMPT_S


def _let_pass(field: Field, seconds: int) -> None:
    """Let time pass for whoever must wait, by setting their clock back."""
    field.platform.execute(
        "UPDATE registry.signin_failure SET locked_until = locked_until - %s * interval '1 s'", seconds
    )


# Addresses, hosts, sizes ----------------------------------------------------------------------------------------------


def test_unknown_address_is_a_page_that_leads_home_and_a_problem_for_programs(hanlu: RunningHanlu) -> None:
    with visiting(hanlu) as visitor:
        page = visitor.get("/no/such/page")
        assert page.status_code == 404
        assert "There is nothing at this address" in text_of(page.text)
        assert 'href="/"' in page.text
        problem = visitor.get("/no/such/page", headers={"Accept": "application/json"})
    assert problem.headers["content-type"].startswith("application/problem+json")
    assert (problem.json()["status"], problem.json()["instance"]) == (404, "/no/such/page")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../../etc/passwd",
        "/static/app/../../pyproject.toml",
        "/static/app/..%2f..%2fpyproject.toml",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/app/%252e%252e/pyproject.toml",
        "/static//etc/passwd",
        "/static/app/\\..\\..\\pyproject.toml",
        "/static/app/hanlu.css%00.txt",
    ],
)
def test_way_out_of_the_static_files_leads_nowhere(hanlu: RunningHanlu, path: str) -> None:
    status, body = raw_answer(hanlu, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert status == 404
    assert b"root:" not in body
    assert b"[project]" not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::", "169.254.169.254"])
def test_wrong_host_is_refused(hanlu: RunningHanlu, host: str) -> None:
    status, body = raw_answer(hanlu, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert status == 421
    assert json.loads(body)["title"]


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/signin", "application/x-www-form-urlencoded", MAX_FORM_BYTES),
        ("/api/epcis/capture", "application/json", MAX_DOCUMENT_BYTES),
    ],
)
def test_oversized_body_is_refused_whether_it_says_so_or_not(
    hanlu: RunningHanlu, operator: Visitor, path: str, kind: str, most: int
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nConnection: close\r\n"
        f"Cookie: hanlu={operator.cookies['hanlu']}\r\nX-CSRF: {operator.token()}\r\n"
    )
    assert raw_answer(hanlu, f"{head}Content-Length: {most + 1}\r\n\r\n".encode())[0] == 413
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    silent = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    assert raw_answer(hanlu, silent, *[chunk] * (most // 65_536 + 1), b"0\r\n\r\n")[0] == 413


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /signin HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /signin HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
    ],
)
def test_broken_http_is_a_bad_request(hanlu: RunningHanlu, request_bytes: bytes) -> None:
    assert raw_answer(hanlu, request_bytes)[0] == 400


# EPCIS ----------------------------------------------------------------------------------------------------------------


def broken(**fields: Any) -> dict[str, Any]:
    lot = {"epcClass": "https://id.gs1.org/01/06901234567892/10/B1"}
    return event(ms=now_ms(), step="commissioning", action="ADD", quantityList=[lot]) | fields


def post(visitor: Visitor, path: str, body: bytes, kind: str = "application/json") -> httpx2.Response:
    headers = {"Content-Type": kind, "X-CSRF": visitor.token(), "Accept": "application/json"}
    return visitor.post(f"/api/epcis/{path}", content=body, headers=headers)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"eventTime": "yesterday"}, "eventTime"),
        ({"eventTimeZoneOffset": "+99:00"}, "eventTimeZoneOffset"),
        ({"action": "STEAL"}, "action"),
        ({"quantityList": [{"quantity": 5}]}, "quantityList[0]"),
        ({"quantityList": "all of it"}, "quantityList"),
        ({"bizLocation": {"id": "not a URI"}}, "bizLocation.id"),
    ],
)
def test_broken_event_is_answered_with_the_path_of_each_fault(
    operator: Visitor, fields: dict[str, Any], path: str
) -> None:
    answer = post(operator, "events", json.dumps(broken(**fields)).encode())
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["type"] == "epcisException:ValidationException"
    assert [path in each["path"] for each in problem["errors"]] == [True]
    assert all(each["message"] for each in problem["errors"])


def test_broken_document_is_a_failed_capture_that_names_the_event_and_stores_nothing(
    operator: Visitor, field: Field
) -> None:
    before = field.platform.one("SELECT count(*) FROM trace.event")
    answer = post(operator, "capture", document(broken(), broken(eventTime="yesterday"), broken(action="STEAL")))
    assert answer.status_code == 202
    job = operator.get(answer.headers["location"], headers={"Accept": "application/json"}).json()
    assert (job["success"], job["running"], job["captured"]) == (False, False, 0)
    said = " | ".join(each["detail"] for each in job["errors"])
    assert "[1]" in said
    assert "eventTime" in said
    assert "[2]" in said
    assert "action" in said
    assert field.platform.one("SELECT count(*) FROM trace.event") == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<epcis/>", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"<epcis/>", "application/xml", 415),
        (b'{"type":"EPCISDocument","x":"' + b"x" * MAX_DOCUMENT_BYTES + b'"}', "application/json", 413),
    ],
    ids=["xml", "deep", "no utf-8", "media type", "oversized"],
)
def test_body_that_is_no_document_is_a_problem(operator: Visitor, body: bytes, kind: str, status: int) -> None:
    answer = post(operator, "capture", body, kind)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["detail"]
