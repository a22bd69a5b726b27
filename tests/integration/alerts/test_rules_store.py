"""The table of rules: seeding, versions, conflicts, and what may never be changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fix_alerts import FROZEN, County, new_county

from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.rehearse import past_readings, rehearse, room_of
from hanlu.alerts.rules.store import (
    current,
    history,
    read_facts,
    read_reach,
    rules_in_force,
    seed_defaults,
    sees_everything,
    shipped_rules,
    withdraw,
    write_rule,
)
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.db.pool import Connection, connect

pytestmark = pytest.mark.postgres
DOOR = next(rule for rule in shipped_rules() if rule.code == "door")


@pytest.fixture(scope="module")
def county(postgres_url: str) -> Iterator[County]:
    """One county for all tests of this file: they differ in its rules only, and each begins with none."""
    with new_county(postgres_url) as made:
        yield made


@pytest.fixture
def connection(county: County) -> Iterator[Connection]:
    """The county's rules as the engine's role sees them, none in the table."""
    county.query("DELETE FROM alerts.rule")
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield connection


def changed(**fields: Any) -> Rule:
    return Rule.model_validate({**DOOR.model_dump(mode="json"), **fields})


def test_seeding_writes_every_shipped_rule_once(connection: Connection) -> None:
    assert seed_defaults(connection) == len(shipped_rules())
    assert seed_defaults(connection) == 0
    found = rules_in_force(connection)
    assert tuple(each.rule for each in found) == shipped_rules()
    assert {each.version for each in found} == {1}


def test_two_processes_that_start_at_once_seed_once(connection: Connection, county: County) -> None:
    written: list[int] = []
    together = threading.Barrier(4)

    def start() -> None:
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as own:
            together.wait()
            written.append(seed_defaults(own))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(written) == [0, 0, 0, len(shipped_rules())]
    assert len(rules_in_force(connection)) == len(shipped_rules())


def test_a_shipped_rule_nobody_touched_follows_the_next_release(connection: Connection) -> None:
    seed_defaults(connection, [DOOR])
    assert seed_defaults(connection, [changed(parameters={"open_s": 900})]) == 1
    assert [(each.rule.parameters.model_dump(), each.version) for each in rules_in_force(connection)] == [
        ({"open_s": 900}, 2)
    ]


def test_what_a_person_has_edited_or_withdrawn_is_never_overwritten(connection: Connection) -> None:
    other = changed(code="other")
    seed_defaults(connection, [DOOR, other])
    mine = changed(parameters={"open_s": 60})
    write_rule(connection, mine, seen=1, author="li", note="busy door")
    withdraw(connection, "other", seen=1, author="li")
    assert seed_defaults(connection, [changed(parameters={"open_s": 900}), changed(code="other", priority=1)]) == 0
    assert [each.rule for each in rules_in_force(connection)] == [mine]


def test_a_rule_shipped_no_more_is_withdrawn_and_comes_back_with_the_release_that_ships_it(
    connection: Connection,
) -> None:
    seed_defaults(connection, [DOOR])
    assert seed_defaults(connection, []) == 1
    assert rules_in_force(connection) == []
    assert seed_defaults(connection, [DOOR]) == 1
    assert [each.version for each in rules_in_force(connection)] == [3]


def test_every_change_is_a_version_with_author_and_note(connection: Connection) -> None:
    assert write_rule(connection, DOOR, seen=0, author="li", note="new") == 1
    assert write_rule(connection, changed(priority=1), seen=1, author="wang", note="busy") == 2
    assert withdraw(connection, "door", seen=2, author="li", note="no door") == 3
    found = [(each.version, each.author, each.note, each.withdrawn) for each in history(connection, "door")]
    assert found == [(3, "li", "no door", True), (2, "wang", "busy", False), (1, "li", "new", False)]
    assert rules_in_force(connection) == []
    assert write_rule(connection, DOOR, seen=3, author="li") == 4


def test_writing_what_a_rule_says_already_makes_no_version(connection: Connection) -> None:
    assert write_rule(connection, DOOR, seen=0, author="li") == 1
    assert write_rule(connection, DOOR, seen=1, author="wang") == 1
    assert len(history(connection, "door")) == 1


def test_nobody_writes_over_a_version_they_have_not_seen(connection: Connection) -> None:
    write_rule(connection, DOOR, seen=0, author="li")
    with pytest.raises(ConflictError, match="already a rule door"):
        write_rule(connection, changed(priority=1), seen=0, author="wang")
    write_rule(connection, changed(priority=1), seen=1, author="wang")
    with pytest.raises(ConflictError, match="version 2 by wang, not 1"):
        write_rule(connection, changed(priority=2), seen=1, author="li")
    with pytest.raises(ConflictError):
        withdraw(connection, "door", seen=1, author="li")
    with pytest.raises(ConflictError, match="there is no rule gone"):
        write_rule(connection, changed(code="gone"), seen=4, author="li")
    with pytest.raises(NotFoundError):
        withdraw(connection, "gone", seen=1, author="li")


def test_of_two_who_write_at_once_one_is_refused(connection: Connection, county: County) -> None:
    write_rule(connection, DOOR, seen=0, author="li")
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def write(author: str, priority: int) -> None:
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as own:
            together.wait()
            try:
                with own.transaction():
                    write_rule(own, changed(priority=priority), seen=1, author=author)
                outcomes.append("written")
            except ConflictError:
                outcomes.append("refused")

    threads = [threading.Thread(target=write, args=each) for each in (("li", 1), ("wang", 2))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["refused", "written"]
    assert len(history(connection, "door")) == 2


def test_whoever_listens_hears_of_a_change(connection: Connection, county: County) -> None:
    with psycopg.connect(county.url, autocommit=True) as listener:
        listener.execute("LISTEN hanlu_rule")
        write_rule(connection, DOOR, seen=0, author="li")
        assert [each.payload for each in listener.notifies(timeout=10, stop_after=1)] == ["door"]


def test_a_rule_of_another_version_of_hanlu_leaves_the_others_in_force(connection: Connection, county: County) -> None:
    write_rule(connection, DOOR, seen=0, author="li")
    write_rule(connection, changed(code="future"), seen=0, author="li")
    county.query(
        "INSERT INTO alerts.rule (code, version, document, author)"
        " SELECT code, 2, document || '{\"colour\": 1}', author FROM alerts.rule WHERE code = 'future'"
    )
    assert [each.rule.code for each in rules_in_force(connection)] == ["door"]
    lost = current(connection, "future")[0]
    assert (lost.rule, lost.version) == (None, 2)
    assert lost.trouble.startswith("colour")


def test_versions_can_neither_be_changed_nor_deleted_by_the_engine_s_role(connection: Connection) -> None:
    write_rule(connection, DOOR, seen=0, author="li")
    for statement in ("UPDATE alerts.rule SET note = ''", "DELETE FROM alerts.rule"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_facts_and_names_are_the_registry_s_and_end_at_the_subtree(connection: Connection) -> None:
    everything, mine = read_facts(connection), read_facts(connection, "/1/2/")
    assert len(everything) > len(mine) > 0
    frozen = next(each for each in everything if each.channel_id == FROZEN)
    assert (frozen.limit_profile, frozen.high, frozen.low, frozen.zone) == ("frozen", -15.0, None, "yanling-frozen")
    assert len(frozen.organisations) == 2
    assert read_facts(connection, channel=frozen.channel) == [frozen]
    names = read_reach(connection, "/1/2/", mine)
    assert "yanling-frozen" in names.zones
    assert "anren-frozen" not in names.zones
    assert names.gateways == {"gw-yanling", "gw-truck-7"}
    assert sees_everything(connection, "/1/")
    assert not sees_everything(connection, "/1/2/")


def test_a_rehearsal_says_what_would_have_been_raised_and_keeps_nothing(connection: Connection, county: County) -> None:
    seed_defaults(connection)
    minute, start = 60_000, 1_700_000_000_000
    warm = range(120, 300)
    county.arrive([(FROZEN, start + n * minute, -10.0 if n in warm else -19.0) for n in range(900)])
    every = read_facts(connection)
    room = room_of(next(each for each in every if each.channel_id == FROZEN), every)
    with connection.transaction():
        past = list(past_readings(connection, [each.channel_id for each in room], start, start + 900 * minute))
        found = [each for each in rehearse(rules_in_force(connection), room, past) if each.kind == "high"]
    assert len(past) == 900
    assert [(each.code, each.start_ms) for each in found] == [("frozen-air-high", start + 120 * minute)]
    assert found[0].returned_ms is not None  # hours after the air, with the goods
    assert county.query("SELECT count(*) FROM alerts.alarm")[0][0] == 0


@pytest.mark.parametrize(
    "document",
    ["[]", "null", "7", '"x"', "{}", '{"kind": []}', '{"kind": {"a": 1}}', '{"kind": "high", "parameters": [1]}',
     '{"kind": "high", "parameters": {"setpoint": 1e999}}', '{"kind": 1, "applies": []}', '{"kind": null}'],
)  # fmt: skip
def test_a_document_that_is_no_rule_is_left_out_and_the_others_hold(
    connection: Connection, county: County, document: str
) -> None:
    write_rule(connection, DOOR, seen=0, author="li")
    county.query("INSERT INTO alerts.rule (code, version, document, author) VALUES ('odd', 1, %s, 'x')", document)
    assert [each.rule.code for each in rules_in_force(connection)] == ["door"]
    assert current(connection, "odd")[0].trouble
