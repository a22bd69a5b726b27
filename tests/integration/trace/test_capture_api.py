"""The REST binding over a real database: what partners and field apps meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from fix_trace import HOUR, T0, Orchard, amount, at, document, event, lot

from hanlu.core.clock import ManualClock, from_ms
from hanlu.core.errors import PermissionDeniedError
from hanlu.db.pool import open_pool
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb
from hanlu.trace.capture_api import router
from hanlu.trace.config import CaptureConfig

pytestmark = pytest.mark.postgres

A = lot("A")
TYPE = {"content-type": "application/json"}


def _seen(hours: float, step: str = "storing", uri: str = A) -> dict[str, Any]:
    return event(ms=T0 + round(hours * HOUR), step=step, to="room", quantityList=[amount(uri, 1)])


def _alone(made: dict[str, Any]) -> dict[str, Any]:
    return {"@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"], **made}


def _require(*roles: Role) -> Callable[[Request], Person]:
    def signed_in(request: Request) -> Person:
        given = request.headers.get("x-roles", "operator")
        has = frozenset({Role(given)} if given != "none" else set())
        person = Person(1, "zhou", "周", has, "/1/", "token")
        if not any(person.has(role) for role in roles):
            raise PermissionDeniedError
        return person

    return signed_in


@pytest.fixture
def api(orchard: Orchard) -> Iterator[TestClient]:
    pool = open_pool(orchard.url, "hanlu_trace", name="trace api test")
    web = RoomWeb(
        pool=pool,
        clock=ManualClock(T0 + 24 * HOUR),
        pages=None,  # type: ignore[arg-type]
        require=_require,
        audit=lambda *_: None,
        public_url="http://127.0.0.1",
        options={"capture": CaptureConfig(max_body_bytes=20_000, max_events=10)},
    )
    app = FastAPI()
    app.include_router(router(web))
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client
    pool.close()


def _capture(api: TestClient, body: bytes, **headers: str) -> dict[str, Any]:
    """Capture a document and return its job."""
    answer = api.post("/api/epcis/capture", content=body, headers=TYPE | headers)
    assert answer.status_code == 202, answer.text
    job = api.get(answer.headers["location"])
    assert job.status_code == 200
    return job.json()  # type: ignore[no-any-return]


def _events(api: TestClient, **query: str) -> list[dict[str, Any]]:
    answer = api.get("/api/epcis/events", params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["type"] == "EPCISQueryDocument"
    return found["epcisBody"]["queryResults"]["resultsBody"]["eventList"]  # type: ignore[no-any-return]


def test_capture_answers_with_its_job_and_the_limits(api: TestClient) -> None:
    answer = api.post("/api/epcis/capture", content=document(_seen(1)), headers=TYPE)
    assert answer.status_code == 202
    assert answer.headers["gs1-epcis-capture-limit"] == "10"
    assert answer.headers["gs1-epcis-capture-file-size-limit"] == "20000"
    job = api.get(answer.headers["location"]).json()
    assert (job["running"], job["success"], job["captureErrorBehaviour"]) == (False, True, "rollback")
    assert (job["captured"], job["duplicate"], job["errors"]) == (1, 0, [])


def test_document_with_a_bad_event_is_rolled_back_or_proceeds_as_asked(api: TestClient) -> None:
    body = document(_seen(1), {**_seen(2), "action": "MAYBE"})
    job = _capture(api, body)
    assert (job["success"], job["captured"]) == (False, 0)
    assert job["errors"][0]["type"] == "epcisException:ValidationException"
    assert "action" in job["errors"][0]["detail"]
    assert _events(api) == []
    job = _capture(api, body, **{"GS1-Capture-Error-Behaviour": "proceed"})
    assert (job["success"], job["captured"]) == (False, 1)
    assert len(_events(api)) == 1


def test_single_event_is_created_once(api: TestClient) -> None:
    made = api.post("/api/epcis/events", json=_alone(_seen(1)))
    assert made.status_code == 201, made.text
    shown = api.get(made.headers["location"]).json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    assert [each["bizLocation"]["id"] for each in shown] == [at("room")]
    assert shown[0]["eventID"].startswith("ni:///sha-256;")
    assert shown[0]["recordTime"] == "2025-06-16T15:06:40.000Z"
    again = api.post("/api/epcis/events", json=_alone(_seen(1)))
    assert again.status_code == 409
    assert again.json()["type"] == "epcisException:ResourceAlreadyExistsException"


def test_event_is_found_by_the_identifier_it_came_with(api: TestClient) -> None:
    name = "urn:uuid:6f9619ff-8b86-4011-b42d-00cf4fc964ff"
    assert api.post("/api/epcis/events", json=_alone({**_seen(1), "eventID": name})).status_code == 201
    assert api.get(f"/api/epcis/events/{quote(name, safe='')}").status_code == 200


REFUSALS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "no JSON": ("POST", "/capture", {"content": b"}{", "headers": TYPE}, 400, "ValidationException"),
    "an event type nobody knows": ("POST", "/events", {"json": {"type": "MagicEvent"}}, 400, "ValidationException"),
    "a broken event": ("POST", "/events", {"json": _alone({**_seen(1), "action": "X"})}, 400, "ValidationException"),
    "XML": (
        "POST",
        "/capture",
        {"content": b"<a/>", "headers": {"content-type": "text/xml"}},
        415,
        "UnsupportedMediaTypeException",
    ),
    "too many bytes": (
        "POST",
        "/capture",
        {"content": b" " * 20_001, "headers": TYPE},
        413,
        "CaptureLimitExceededException",
    ),
    "too many events": (
        "POST",
        "/capture",
        {"content": document(*(_seen(each) for each in range(11))), "headers": TYPE},
        413,
        "CaptureLimitExceededException",
    ),
    "an odd behaviour": (
        "POST",
        "/capture",
        {"content": document(_seen(1)), "headers": TYPE | {"GS1-Capture-Error-Behaviour": "pray"}},
        400,
        "ValidationException",
    ),
    "no such job": ("GET", "/capture/none", {}, 404, "NoSuchResourceException"),
    "no such event": ("GET", "/events/none", {}, 404, "NoSuchResourceException"),
    "an unknown parameter": ("GET", "/events?EQ_weather=rain", {}, 400, "QueryParameterException"),
    "a parameter twice": ("GET", "/events?perPage=1&perPage=2", {}, 400, "QueryParameterException"),
    "a bad time": ("GET", "/events?GE_eventTime=yesterday", {}, 400, "QueryParameterException"),
    "a bad type": ("GET", "/events?eventType=ObjectEvent|Magic", {}, 400, "QueryParameterException"),
    "a page of none": ("GET", "/events?perPage=0", {}, 400, "QueryParameterException"),
    "a forged token": ("GET", "/events?nextPageToken=AAAA", {}, 400, "QueryParameterException"),
    "an empty entry": ("GET", "/events?MATCH_anyEPC=a||b", {}, 400, "QueryParameterException"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_a_problem_with_the_standards_exception(api: TestClient, case: str) -> None:
    method, path, request, status, exception = REFUSALS[case]
    answer = api.request(method, "/api/epcis" + path, **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"epcisException:{exception}"
    assert answer.json()["detail"]


@pytest.mark.parametrize("role", ["operator", "inspector"])
def test_operators_and_inspectors_may_ask(api: TestClient, role: str) -> None:
    assert api.get("/api/epcis/events", headers={"x-roles": role}).status_code == 200


@pytest.mark.parametrize("path", ["GET /events", "GET /events/x", "GET /capture/x", "POST /capture", "POST /events"])
def test_no_route_is_open_without_a_role(api: TestClient, path: str) -> None:
    method, _, where = path.partition(" ")
    with pytest.raises(PermissionDeniedError):
        api.request(method, "/api/epcis" + where, headers={"x-roles": "none"})


def test_query_finds_by_type_step_time_and_thing(api: TestClient) -> None:
    joined = event(
        "TransformationEvent",
        ms=T0 + 4 * HOUR,
        step="commissioning",
        inputQuantityList=[amount(A, 1)],
        outputQuantityList=[amount(lot("C"), 1)],
    )
    item = event(ms=T0 + 5 * HOUR, step="inspecting", epcList=[A + "/21/7"])
    _capture(api, document(_seen(1), _seen(2, "shipping"), _seen(3, uri=lot("B")), joined, item))

    def steps(**query: str) -> list[str]:
        return [each["bizStep"] for each in _events(api, **query)]

    assert len(steps()) == 5
    assert steps(eventType="TransformationEvent|AggregationEvent") == ["commissioning"]
    assert steps(EQ_bizStep="shipping|https://ref.gs1.org/cbv/BizStep-inspecting") == ["shipping", "inspecting"]
    assert steps(GE_eventTime=from_ms(T0 + 2 * HOUR).isoformat(), LT_eventTime=from_ms(T0 + 4 * HOUR).isoformat()) == [
        "shipping",
        "storing",
    ]
    assert steps(MATCH_epc=A + "/21/7") == ["inspecting"]
    assert steps(MATCH_epcClass=A) == ["storing", "shipping"]
    assert steps(MATCH_anyEPCClass=A) == ["storing", "shipping", "commissioning"]
    assert steps(MATCH_anyEPCClass=A.replace("id.gs1.org", "shop.example")) == ["storing", "shipping", "commissioning"]
    assert steps(MATCH_anyEPCClass=A, MATCH_anyEPC=A + "/21/7") == []
    assert steps(MATCH_anyEPCClass=f"{A}|{lot('B')}", EQ_bizStep="storing") == ["storing", "storing"]


def test_pages_follow_one_another_without_loss_or_repetition(api: TestClient) -> None:
    _capture(api, document(*(_seen(1, uri=lot(f"L{each}")) for each in range(7))))
    address, seen = "/api/epcis/events?perPage=3", []
    for _ in range(3):
        answer = api.get(address)
        seen += answer.json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
        link = answer.headers.get("link")
        if link is None:
            break
        address = link.partition("<")[2].partition(">")[0]
    assert link is None
    assert len({each["eventID"] for each in seen}) == len(seen) == 7


def test_stored_bytes_are_given_back_unchanged(api: TestClient, orchard: Orchard) -> None:
    _capture(api, document(_seen(1)))
    ((canonical,),) = orchard.query("SELECT canonical FROM trace.event")
    assert bytes(canonical) in api.get("/api/epcis/events").content
