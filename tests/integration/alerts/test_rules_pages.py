"""The pages of rules: who may, what is written, what is refused, and that nothing typed is obeyed as markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from fix_alerts import County, new_county
from fix_console import Site, operator

from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.form import values_of
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.override import override_code
from hanlu.alerts.rules.store import current, history, rules_in_force, seed_defaults, shipped_rules, write_rule
from hanlu.db.pool import Connection, connect
from hanlu.registry.access import Role

pytestmark = pytest.mark.postgres
ADMIN = operator(scope="/1/", login="wang", roles=frozenset({Role.ADMIN}))
COUNTY_ADMIN = operator(login="zhao", roles=frozenset({Role.ADMIN}))
AIR = next(rule for rule in shipped_rules() if rule.code == "air-high")
DOOR = next(rule for rule in shipped_rules() if rule.code == "door")


@pytest.fixture(scope="module")
def county(postgres_url: str) -> Iterator[County]:
    """One county for all tests of this file: they differ in its rules only, and each begins with the shipped ones."""
    with new_county(postgres_url) as made:
        yield made


@pytest.fixture
def connection(county: County) -> Iterator[Connection]:
    """The county with the shipped rules and no others."""
    county.query("DELETE FROM alerts.rule")
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        seed_defaults(connection)
        yield connection


@pytest.fixture
def client(connection: Connection, console: Site) -> Iterator[TestClient]:
    """An administrator of everything at the console, in English."""
    console.person = ADMIN
    with TestClient(console.app, headers={"accept": "text/html", "accept-language": "en"}) as client:
        yield client


def page(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:400]
    return answer.text


def form(rule: Rule, **changes: str) -> dict[str, str]:
    """Return what the browser sends for a rule's form; dots are written as double underscores."""
    return {**values_of(rule), **{name.replace("__", "."): value for name, value in changes.items()}}


def post(client: TestClient, path: str, data: dict[str, Any], status: int = 303) -> str:
    answer = client.post(path, data=data, follow_redirects=False)
    assert answer.status_code == status, answer.text[:2000]
    return answer.headers.get("location", "") or answer.text


def one(connection: Connection, code: str) -> Rule:
    rule = current(connection, code)[0].rule
    assert rule is not None
    return rule


def test_the_list_shows_every_rule_with_its_channels_and_filters(client: TestClient) -> None:
    everything = page(client, "/console/rules")
    assert all(f'href="/console/rules/{rule.code}"' in everything for rule in shipped_rules())
    doors = page(client, "/console/rules?kind=door")
    assert "/console/rules/door" in doors
    assert "/console/rules/air-high" not in doors
    chilled = page(client, "/console/rules?profile=chilled")
    assert "/console/rules/air-low" in chilled
    assert "/console/rules/door" not in chilled, "no limit profile judges a door"
    assert "/console/rules/air-high" not in page(client, "/console/rules?site=nowhere")
    assert "/console/rules/air-high" not in page(client, "/console/rules?state=edited")
    assert client.get("/console/rules?state=odd").status_code == 422


def test_the_list_works_in_chinese(client: TestClient) -> None:
    text = page(client, "/console/rules?lang=zh")
    assert "空气温度超上限" in text
    assert "rules." not in re.sub(r'(href|src)="[^"]*"', "", text)


def test_operators_read_rules_and_write_none(client: TestClient, console: Site, connection: Connection) -> None:
    console.person = operator()
    assert "Edit" not in page(client, "/console/rules/air-high")
    assert 'type="checkbox"' not in page(client, "/console/rules")
    before = history(connection, "air-high")
    for path in ("/console/rules/new", "/console/rules/air-high/edit", "/console/rules/bulk"):
        assert client.get(path).status_code == 403
    for path in ("", "/air-high", "/air-high/off", "/air-high/withdraw", "/air-high/restore", "/bulk"):
        assert client.post(f"/console/rules{path}", data=form(AIR, seen="1", zone="yanling-frozen")).status_code == 403
    assert history(connection, "air-high") == before


def test_inspectors_are_not_let_in(client: TestClient, console: Site) -> None:
    console.person = operator(roles=frozenset({Role.INSPECTOR}))
    assert client.get("/console/rules").status_code == 403
    assert client.get("/console/runbook/high").status_code == 403


def test_an_edit_is_a_new_version_with_its_author_and_note(
    client: TestClient, console: Site, connection: Connection
) -> None:
    assert 'name="parameters.hold_door_s"' in page(client, "/console/rules/air-high/edit")
    sent = form(AIR, seen="1", note="summer", parameters__on_delay_s="1800", parameters__hold_defrost="false")
    assert post(client, "/console/rules/air-high", sent).startswith("/console/rules/air-high?")
    found = history(connection, "air-high")[0]
    assert (found.version, found.author, found.note) == (2, "wang", "summer")
    assert one(connection, "air-high").parameters.model_dump()["on_delay_s"] == 1800
    assert one(connection, "air-high").parameters.model_dump()["hold_defrost"] is False
    assert console.audit[-1][1:] == ("alerts.rule.write", "air-high", {"version": 2, "note": "summer"})
    text = page(client, "/console/rules/air-high")
    assert "30 min" in text
    assert "summer" in text


def test_every_form_carries_the_session_s_token(client: TestClient) -> None:
    for path in ("/air-high", "/air-high/edit", "/new?kind=door", "/bulk?code=air-high"):
        text = page(client, f"/console/rules{path}")
        forms = re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
        own = [each for each in forms if "/console/" in each]
        assert own
        assert all('name="csrf" value="the-csrf-token"' in each for each in own), path


def test_what_is_wrong_is_told_at_its_field_and_nothing_is_written(client: TestClient, connection: Connection) -> None:
    sent = form(AIR, seen="1", parameters__setpoint="-20", parameters__on_delay_s="-1", title_en="")
    text = post(client, "/console/rules/air-high", sent, 422)
    assert "must be at least 0" in text
    assert "title_en" in text
    assert 'aria-invalid="true"' in text
    assert 'value="-20"' in text, "what was typed is still there"
    text = post(client, "/console/rules/air-high", form(AIR, seen="1", parameters__setpoint="-20"), 422)
    assert "a setpoint needs its unit" in text
    text = post(client, "/console/rules/air-high", form(AIR, seen="1", applies__zone="atlantis"), 422)
    assert "there is no zone atlantis" in text
    assert len(history(connection, "air-high")) == 1


def test_a_form_that_another_has_overtaken_is_refused_and_keeps_what_was_typed(
    client: TestClient, connection: Connection
) -> None:
    theirs = Rule.model_validate({**AIR.model_dump(mode="json"), "priority": 1})
    write_rule(connection, theirs, seen=1, author="li")
    text = post(client, "/console/rules/air-high", form(AIR, seen="1", parameters__on_delay_s="1234"), 409)
    assert "li wrote version 2" in text
    assert 'value="1234"' in text
    assert one(connection, "air-high") == theirs
    post(client, "/console/rules/air-high", form(AIR, seen="2", parameters__on_delay_s="1234"))
    assert history(connection, "air-high")[0].version == 3


def test_a_preview_says_what_would_hold_where_and_writes_nothing(client: TestClient, connection: Connection) -> None:
    sent = form(DOOR, seen="1", act="preview", parameters__open_s="60")
    text = post(client, "/console/rules/door", sent, 200)
    assert "nothing is saved yet" in text
    assert "1 min" in text
    assert "gw-yanling/room-2/door_open" in text
    assert len(history(connection, "door")) == 1


def test_a_new_rule_is_written_once(client: TestClient, connection: Connection) -> None:
    page(client, "/console/rules/new")
    page(client, "/console/rules/new?kind=door")
    sent = form(DOOR, code="door-chill", applies__zone="yanling-chill", parameters__open_s="120")
    assert "/console/rules/door-chill" in post(client, "/console/rules", sent)
    assert one(connection, "door-chill").applies.zone == "yanling-chill"
    assert "is taken" in post(client, "/console/rules", {**sent, "applies.zone": "yanling-frozen"}, 409)
    again = form(DOOR, code="door-again", applies__zone="yanling-chill")
    assert "same place" in post(client, "/console/rules", again, 422).replace("very same", "same")
    assert client.post("/console/rules", data={"kind": "weather"}).status_code == 404


@pytest.mark.parametrize("kind", list(Kind))
def test_the_form_of_every_kind_opens(client: TestClient, kind: Kind) -> None:
    page(client, f"/console/rules/new?kind={kind.value}")


def test_one_room_is_set_apart_by_a_copy(client: TestClient, connection: Connection) -> None:
    assert "yanling-frozen" in page(client, "/console/rules/new?copy=air-high")
    text = page(client, "/console/rules/new?copy=air-high&zone=yanling-frozen")
    code = override_code("air-high", "yanling-frozen")
    assert f'value="{code}"' in text
    copied = one(connection, "air-high").model_dump(mode="json")
    copied |= {"code": code, "applies": {**copied["applies"], "zone": "yanling-frozen"}}
    post(
        client, "/console/rules", form(Rule.model_validate(copied), parameters__setpoint="-18", parameters__unit="Cel")
    )
    assert one(connection, code).parameters.model_dump()["setpoint"] == -18.0
    answer = client.get("/console/rules/new?copy=air-high&zone=yanling-frozen", follow_redirects=False)
    assert answer.headers["location"] == f"/console/rules/{code}/edit"
    assert code in page(client, "/console/rules/air-high"), "the general rule names its exception"


def test_a_kind_is_switched_off_in_one_room(client: TestClient, connection: Connection) -> None:
    code = override_code("door", "yanling-chill")
    assert code in post(client, "/console/rules/door/off", {"zone": "yanling-chill"})
    found = one(connection, code)
    assert (found.enabled, found.applies.zone) == (False, "yanling-chill")
    assert one(connection, "door").enabled
    assert client.post("/console/rules/door/off", data={"zone": "atlantis"}).status_code == 404


def test_a_rule_is_withdrawn_and_an_older_version_restored(client: TestClient, connection: Connection) -> None:
    post(client, "/console/rules/door", form(DOOR, seen="1", parameters__open_s="60"))
    assert "conflict" in post(client, "/console/rules/door/withdraw", {"seen": "1", "note": "x"})
    post(client, "/console/rules/door/withdraw", {"seen": "2", "note": "no doors here"})
    assert "door" not in {each.rule.code for each in rules_in_force(connection)}
    assert "no doors here" in page(client, "/console/rules/door")
    post(client, "/console/rules/door/restore", {"seen": "3", "version": "1"})
    assert one(connection, "door") == DOOR
    assert client.post("/console/rules/door/restore", data={"seen": "4", "version": "9"}).status_code == 404


def test_several_rules_are_changed_together_after_a_preview(client: TestClient, connection: Connection) -> None:
    codes = ["air-high", "air-low", "door"]
    page(client, "/console/rules/bulk?" + "&".join(f"code={code}" for code in codes))
    wanted = {"code": codes, "priority": "1", "on_delay_s": "900", "note": "audit"}
    text = post(client, "/console/rules/bulk", {**wanted, "act": "preview"}, 200)
    assert len(history(connection, "air-high")) == 1
    seen = dict(re.findall(r'name="(seen\.[a-z-]+)" value="(\d+)"', text))
    assert set(seen) == {f"seen.{code}" for code in codes}
    assert "done=3" in post(client, "/console/rules/bulk", {**wanted, **seen, "act": "write"})
    for code in codes:
        newest = history(connection, code)[0]
        assert (newest.version, newest.note, one(connection, code).priority) == (2, "audit", 1)
    assert one(connection, "air-low").parameters.model_dump()["on_delay_s"] == 900
    assert one(connection, "door").parameters == DOOR.parameters, "a door has no on-delay"


def test_several_rules_are_written_all_or_none(client: TestClient, connection: Connection) -> None:
    wanted = {"code": ["air-high", "air-low"], "priority": "1"}
    text = post(client, "/console/rules/bulk", {**wanted, "act": "preview"}, 200)
    seen = dict(re.findall(r'name="(seen\.[a-z-]+)" value="(\d+)"', text))
    theirs = Rule.model_validate({**one(connection, "air-low").model_dump(mode="json"), "priority": 3})
    write_rule(connection, theirs, seen=1, author="li")
    text = post(client, "/console/rules/bulk", {**wanted, **seen, "act": "write"}, 409)
    assert "nothing was written" in text
    assert len(history(connection, "air-high")) == 1


def test_rules_get_exceptions_for_several_rooms(client: TestClient, connection: Connection) -> None:
    rooms = ["yanling-frozen", "yanling-chill"]
    wanted = {"code": ["drift"], "zone": rooms, "enabled": "false"}
    text = post(client, "/console/rules/bulk", {**wanted, "act": "preview"}, 200)
    seen = dict(re.findall(r'name="(seen\.[a-z-]+)" value="(\d+)"', text))
    post(client, "/console/rules/bulk", {**wanted, **seen, "act": "write"})
    assert [one(connection, override_code("drift", room)).enabled for room in rooms] == [False, False]
    assert one(connection, "drift").enabled


def test_a_bulk_change_that_says_nothing_or_nonsense_is_told(client: TestClient) -> None:
    assert "nothing would change" in post(client, "/console/rules/bulk", {"code": ["door"]}, 422)
    assert "at most 3" in post(client, "/console/rules/bulk", {"code": ["door"], "priority": "7"}, 422)
    assert "needs its unit" in post(client, "/console/rules/bulk", {"code": ["air-high"], "setpoint": "5"}, 422)
    assert "not there any more" in post(client, "/console/rules/bulk", {"code": ["gone"], "priority": "1"}, 422)


def test_an_administrator_of_a_county_changes_their_rooms_and_nothing_wider(
    client: TestClient, console: Site, connection: Connection
) -> None:
    console.person = COUNTY_ADMIN
    assert client.get("/console/rules/air-high/edit").status_code == 403
    assert client.post("/console/rules/air-high", data=form(AIR, seen="1", priority="1")).status_code == 403
    assert client.post("/console/rules/air-high/withdraw", data={"seen": "1"}).status_code == 403
    bulk = {"code": ["door"], "priority": "1", "act": "preview"}
    assert client.post("/console/rules/bulk", data=bulk).status_code == 403
    abroad = form(DOOR, code="door-abroad", applies__zone="anren-frozen")
    assert "there is no zone anren-frozen" in post(client, "/console/rules", abroad, 422)
    everywhere = form(DOOR, code="door-all", applies__metric="mains")
    assert client.post("/console/rules", data=everywhere).status_code == 403
    post(client, "/console/rules", form(DOOR, code="door-mine", applies__zone="yanling-chill"))
    assert one(connection, "door-mine").applies.zone == "yanling-chill"


def test_a_rule_about_a_room_elsewhere_is_not_there(client: TestClient, console: Site, connection: Connection) -> None:
    abroad = {**DOOR.model_dump(mode="json"), "code": "door-anren", "applies": {"zone": "anren-frozen"}}
    write_rule(connection, Rule.model_validate(abroad), seen=0, author="x")
    assert "door-anren" in page(client, "/console/rules")
    console.person = replace(COUNTY_ADMIN, roles=frozenset({Role.OPERATOR}))
    assert "door-anren" not in page(client, "/console/rules")
    assert client.get("/console/rules/door-anren").status_code == 404


def test_a_change_that_would_move_a_rule_out_of_one_s_area_is_refused(
    client: TestClient, console: Site, connection: Connection
) -> None:
    console.person = COUNTY_ADMIN
    mine = form(DOOR, code="door-mine", applies__zone="yanling-chill")
    post(client, "/console/rules", mine)
    wider = {**mine, "seen": "1", "applies.zone": "", "applies.metric": "mains"}
    assert client.post("/console/rules/door-mine", data=wider).status_code == 403
    assert len(history(connection, "door-mine")) == 1


def test_problems_stand_on_top_with_their_remedy(client: TestClient, connection: Connection) -> None:
    for code in ("a-one", "b-two"):
        data = {**DOOR.model_dump(mode="json"), "code": code, "applies": {"zone": "yanling-chill"}}
        write_rule(connection, Rule.model_validate(data), seen=0, author="li")
    for path in ("/console/rules", "/console/rules/a-one", "/console/rules/b-two"):
        text = page(client, path)
        assert "equally specific" in text
        assert "Merge them" in text


def test_a_rule_that_cannot_be_read_is_told_and_breaks_no_page(
    client: TestClient, connection: Connection, county: County
) -> None:
    county.query(
        "INSERT INTO alerts.rule (code, version, document, author)"
        " SELECT 'future', 1, document || '{\"colour\": \"<b>\"}', author FROM alerts.rule WHERE code = 'door'"
    )
    assert "cannot be read" in page(client, "/console/rules")
    assert "cannot be read" in page(client, "/console/rules/future")
    assert client.get("/console/rules/future/edit").status_code == 404
    assert "withdrawn" in post(client, "/console/rules/future/withdraw", {"seen": "1", "note": "of another version"})


def test_markup_in_a_rule_is_shown_and_not_obeyed(client: TestClient, connection: Connection) -> None:
    odd = "<script>alert(1)</script>\"'><img src=x onerror=1>"
    why = {
        f"rationalization__{part}_{lang}": odd for part in ("cause", "consequence", "response") for lang in ("zh", "en")
    }
    post(client, "/console/rules/door", form(DOOR, seen="1", note=odd, title_en=odd, title_zh=odd, **why))
    assert one(connection, "door").title_en == odd
    for path in ("", "/door", "/door/edit", "/bulk?code=door", "/new?copy=door", "?done=<script>alert(1)"):
        text = page(client, f"/console/rules{path}")
        assert "<script>alert(1)" not in text, path
        assert "<img src=x" not in text, path


def test_every_runbook_opens_in_both_languages(client: TestClient) -> None:
    for kind in Kind:
        assert "First look" in page(client, f"/console/runbook/{kind.value}?lang=en")
        assert "先看什么" in page(client, f"/console/runbook/{kind.value}?lang=zh")
    assert client.get("/console/runbook/weather").status_code == 404


def test_codes_nobody_knows_are_not_found(client: TestClient) -> None:
    for path in ("/console/rules/none", "/console/rules/none/edit", "/console/rules/new?copy=none"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("code", "place"),
    [("a", "x" * 80), ("a" * 60, "room"), ("a", "1 号库"), ("a", "Room_1"), ("a", "room-1"), ("a", "冷库")],
)
def test_an_exception_s_code_is_a_code_and_always_the_same(code: str, place: str) -> None:
    made = override_code(code, place)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", made)
    assert made == override_code(code, place)
    assert made != override_code(code, place + "x")


def test_an_older_version_of_ones_own_does_not_replace_what_holds_for_all(
    client: TestClient, connection: Connection, console: Site
) -> None:
    mine = Rule.model_validate(
        {**DOOR.model_dump(mode="json"), "code": "my-door", "applies": {"zone": "yanling-chill", "metric": "door_open"}}
    )
    write_rule(connection, mine, seen=0, author="zhao")
    everywhere = Rule.model_validate({**mine.model_dump(mode="json"), "applies": {"metric": "door_open"}})
    write_rule(connection, everywhere, seen=1, author="wang")
    console.person = COUNTY_ADMIN
    post(client, "/console/rules/my-door/restore", {"seen": "2", "version": "1"}, 403)
    assert current(connection, "my-door")[0].version == 2
