"""The pages over the dead letters in the real look, without sign-in: the person is whoever the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from fix_console import operator
from fix_edge import NOON_MS, Edge, temperature
from fix_ingest import Platform

from hanlu.app.pages import HtmlPages
from hanlu.app.problems import Problems
from hanlu.core.clock import ManualClock
from hanlu.core.errors import PermissionDeniedError
from hanlu.db.pool import open_pool
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.letter_pages import router
from hanlu.ingest.letter_read import preview
from hanlu.ingest.writer import Writer
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

pytestmark = pytest.mark.postgres


class Desk:
    """The pages over a platform; `person` is who is signed in."""

    def __init__(self, platform: Platform) -> None:
        self.person = operator("/1/")
        self.audit: list[tuple[Any, ...]] = []
        app, pages = FastAPI(), HtmlPages(rooms=("app", "alerts", "ingest"))
        Problems(pages).install(app)

        def require(*roles: Role) -> Callable[[Request], Person]:
            def signed_in(request: Request) -> Person:
                if not any(self.person.has(role) for role in roles):
                    raise PermissionDeniedError("app.role")
                request.state.person = self.person
                return self.person

            return signed_in

        def audit(person_id: int | None, action: str, subject: str, detail: Mapping[str, Any]) -> None:
            self.audit.append((action, subject, dict(detail)))

        self.pool = open_pool(platform.url, "hanlu_ingest", name="test letters", max_size=2)
        options = {"database_url": platform.url}
        clock = ManualClock(NOON_MS)
        app.include_router(router(RoomWeb(self.pool, clock, pages, require, audit, "http://127.0.0.1", options)))
        self.client = TestClient(app)

    def page(self, path: str = "", status: int = 200, lang: str = "en") -> str:
        separator = "&" if "?" in path else "?"
        answer = self.client.get(f"/console/letters{path}{separator}lang={lang}")
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture
def edge(one_platform: Platform) -> Edge:
    edge = Edge()
    one_platform.register(edge)
    writer = Writer(one_platform.url)
    snapshot = read_snapshot(writer.connection)
    messages = [
        edge.readings([temperature(-18, NOON_MS, "room-9")]),
        (edge.topic(), b"\xff<script>alert(1)</script>"),
        ("hanlu/1/00/stranger/live", b"[<b>]"),
    ]
    writer.commit([decode(*message, NOON_MS, snapshot) for message in messages])
    writer.close()
    return edge


@pytest.fixture
def desk(one_platform: Platform, edge: Edge) -> Iterator[Desk]:
    desk = Desk(one_platform)
    yield desk
    desk.pool.close()


def test_list_shows_every_letter_and_its_filters_narrow_it(desk: Desk) -> None:
    page = desk.page()
    assert [word for word in ("Unknown channel", "Malformed", "Unknown gateway", "stranger") if word not in page] == []
    assert page.count('<a href="/console/letters/') == 3
    assert desk.page("?reason=malformed").count('<a href="/console/letters/') == 1
    assert desk.page("?gateway=stranger").count('<a href="/console/letters/') == 1
    assert desk.page("?state=resolved").count('<a href="/console/letters/') == 0
    assert "死信" in desk.page(lang="zh")


def test_bytes_are_shown_and_never_become_markup(desk: Desk, one_platform: Platform) -> None:
    for letter_id, _ in one_platform.rows("SELECT dead_letter_id, reason FROM telemetry.dead_letter"):
        page = desk.page(f"/{letter_id}")
        assert "<script>alert(1)" not in page
        assert "<b>]" not in page
    letter_id = one_platform.one("SELECT dead_letter_id FROM telemetry.dead_letter WHERE reason = 'malformed'")
    assert "ff 3c 73 63" in desk.page(f"/{letter_id}")


def test_letters_of_others_are_not_there(desk: Desk, one_platform: Platform) -> None:
    desk.person = operator("/1/7/")
    assert desk.page().count('<a href="/console/letters/') == 0
    letter_id = one_platform.one("SELECT min(dead_letter_id) FROM telemetry.dead_letter")
    desk.page(f"/{letter_id}", 404)
    assert desk.client.post(f"/console/letters/{letter_id}/replay").status_code == 404
    assert desk.client.post(f"/console/letters/{letter_id}/close").status_code == 404
    assert desk.audit == []


def test_inspector_may_not_look(desk: Desk) -> None:
    desk.person = operator("/1/", roles=frozenset({Role.INSPECTOR}))
    desk.page("", 403)


def test_replay_tells_what_came_of_it_and_who_said_so(desk: Desk, one_platform: Platform, edge: Edge) -> None:
    letter_id = one_platform.one("SELECT dead_letter_id FROM telemetry.dead_letter WHERE reason = 'unknown_channel'")
    answer = desk.client.post(f"/console/letters/{letter_id}/replay?lang=en")
    assert "Tried again; something is still refused" in desk.page(f"/{letter_id}?outcome=open")
    assert answer.url.path == f"/console/letters/{letter_id}"
    one_platform.add_device(one_platform.one("SELECT gateway_id FROM registry.gateway"), "room-9")
    answer = desk.client.post(f"/console/letters/{letter_id}/replay")
    assert str(answer.url).endswith("?outcome=replayed")
    assert one_platform.account(edge) | {"stored": 1, "dead": 0} == one_platform.account(edge)
    assert desk.audit[-1] == ("ingest.letter.replay", f"dead letter {letter_id}", {"outcome": "replayed"})
    assert one_platform.one("SELECT done_by FROM telemetry.replay") == "li"


def test_all_letters_of_a_gateway_are_replayed_by_one_press(desk: Desk, one_platform: Platform, edge: Edge) -> None:
    one_platform.add_device(one_platform.one("SELECT gateway_id FROM registry.gateway"), "room-9")
    desk.client.post("/console/letters/replay", data={"gateway": edge.code})
    assert one_platform.account(edge)["stored"] == 1
    outcomes = dict(one_platform.rows("SELECT reason, outcome FROM telemetry.dead_letter"))
    assert outcomes == {"unknown_channel": "replayed", "malformed": None, "unknown_gateway": None}
    assert desk.client.post("/console/letters/replay", data={"gateway": ""}).status_code in {400, 422}


def test_closed_letter_leaves_the_list_of_open_ones(desk: Desk, one_platform: Platform) -> None:
    letter_id = one_platform.one("SELECT dead_letter_id FROM telemetry.dead_letter WHERE reason = 'malformed'")
    desk.client.post(f"/console/letters/{letter_id}/close")
    assert desk.page().count('<a href="/console/letters/') == 2
    assert "Closed" in desk.page(f"/{letter_id}")
    assert desk.audit == [("ingest.letter.close", f"dead letter {letter_id}", {})]


@pytest.mark.parametrize(
    ("body", "text"), [(b"[]", "[]"), ("冷".encode() * 1_000, "冷" * 682), (b"\x00a", None), (b"\xff", None)]
)
def test_preview_gives_text_where_it_is_text(body: bytes, text: str | None) -> None:
    shown = preview(body)
    assert shown.text == text
    assert sum(len(row[2]) for row in shown.rows) + shown.cut == len(body)
