"""People: added and changed by administrators of their own subtree only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from fix_register import QUICK, Register, administrator_of

from hanlu.core.clock import SystemClock
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from hanlu.db.pool import open_pool
from hanlu.registry.access import Role
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import NewPerson, People
from hanlu.registry.signin import Opened, Refused, token_hash

pytestmark = pytest.mark.postgres

ADDRESS = "192.0.2.1"
WANG = NewPerson("wang", "王值班", frozenset({Role.OPERATOR}), "yanling")


def test_a_person_added_signs_in_and_sees_their_subtree(register: Register):
    made = register.people.add(register.person("admin"), WANG)
    opened = register.sign_in.attempt("wang", made.password, ADDRESS)
    assert isinstance(opened, Opened)
    person = register.sign_in.person(opened.token)
    assert person is not None
    paths = {node.code: node.path for node in register.registry.organisations()}
    assert person.sees(paths["pingle"])
    assert not person.sees(paths["changsha"])
    assert not person.has(Role.ADMIN)


def test_an_administrator_acts_in_their_own_subtree_only(register: Register):
    admin = register.person("admin")
    register.people.add(admin, WANG)
    wang = next(each for each in register.people.list("/") if each.login == "wang")
    paths = {node.code: node.path for node in register.registry.organisations()}
    stranger = administrator_of(paths["changsha"])
    for act in (
        lambda: register.people.add(stranger, NewPerson("li", "李", frozenset({Role.ADMIN}), "yanling")),
        lambda: register.people.reset_password(stranger, wang.person_id),
        lambda: register.people.set_disabled(stranger, wang.person_id, True),
        lambda: register.people.reset_password(stranger, 999_999),
    ):
        with pytest.raises(NotFoundError):
            act()
    assert register.people.list(paths["changsha"]) == ()


def test_a_name_that_is_taken_is_a_conflict(register: Register):
    with pytest.raises(ConflictError, match="operator"):
        register.people.add(register.person("admin"), NewPerson("operator", "x", frozenset({Role.OPERATOR}), "hunan"))


@pytest.mark.parametrize(
    "unfit",
    [
        NewPerson("Wang", "王", frozenset({Role.OPERATOR}), "hunan"),
        NewPerson("w", "王", frozenset({Role.OPERATOR}), "hunan"),
        NewPerson("wang", " ", frozenset({Role.OPERATOR}), "hunan"),
        NewPerson("wang", "王" * 81, frozenset({Role.OPERATOR}), "hunan"),
        NewPerson("wang", "王", frozenset(), "hunan"),
    ],
)
def test_values_that_do_not_fit_are_refused(register: Register, unfit: NewPerson):
    with pytest.raises(UsageError):
        register.people.add(register.person("admin"), unfit)


def test_barring_ends_the_sessions_and_letting_in_again_opens_the_door(register: Register):
    admin, token = register.person("admin"), register.enter("operator").token
    operator = register.sign_in.person(token)
    assert operator is not None
    register.people.set_disabled(admin, operator.person_id, True)
    assert register.sign_in.person(token) is None
    register.people.set_disabled(admin, operator.person_id, False)
    assert register.sign_in.person(token) is None, "an ended session does not come back"
    register.enter("operator")


def test_nobody_bars_themselves(register: Register):
    admin = register.person("admin")
    with pytest.raises(PermissionDeniedError):
        register.people.set_disabled(admin, admin.person_id, True)


def test_a_reset_replaces_the_password_and_ends_the_sessions(register: Register):
    admin, token = register.person("admin"), register.enter("operator").token
    operator = register.sign_in.person(token)
    assert operator is not None
    made = register.people.reset_password(admin, operator.person_id)
    assert register.sign_in.person(token) is None
    assert register.sign_in.attempt("operator", register.passwords["operator"], ADDRESS) == Refused("wrong")
    assert isinstance(register.sign_in.attempt("operator", made.password, ADDRESS), Opened)
    assert register.actions().count("registry.person.reset") == 1


def test_a_reset_at_the_machine_needs_nobody_signed_in(register: Register):
    made = register.people.reset_password_at_the_machine("admin")
    assert isinstance(register.sign_in.attempt("admin", made.password, ADDRESS), Opened)
    with pytest.raises(NotFoundError):
        register.people.reset_password_at_the_machine("nobody")


def test_changing_ones_password_keeps_this_session_and_ends_the_others(register: Register):
    here, there = register.enter("operator").token, register.enter("operator").token
    person = register.sign_in.person(here)
    assert person is not None
    assert register.sign_in.confirm(person, "not this one", ADDRESS) == Refused("wrong")
    assert register.sign_in.confirm(person, register.passwords["operator"], ADDRESS) is None
    register.people.change_password(person, "peaches in the morning dew", token_hash(here))
    assert register.sign_in.person(here) is not None
    assert register.sign_in.person(there) is None
    assert isinstance(register.sign_in.attempt("operator", "peaches in the morning dew", ADDRESS), Opened)


def test_guessing_the_present_password_of_an_open_session_is_slowed(register: Register):
    person = register.person("operator")
    outcomes = [register.sign_in.confirm(person, f"guess {number}", ADDRESS) for number in range(6)]
    assert outcomes[:5] == [Refused("wrong")] * 5
    assert outcomes[5] is not None
    assert outcomes[5].reason == "wait"


def test_the_first_people_are_made_once_however_many_start(register: Register):
    with psycopg.connect(register.url) as connection:
        connection.execute("DELETE FROM registry.audit")
        connection.execute("DELETE FROM registry.person")
    pool = open_pool(register.url, "hanlu_registry", name="tests", max_size=4)
    clock = SystemClock()
    people = People(pool, clock, Passwords(**QUICK, at_once=4), Audit(pool, clock))
    try:
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: people.add_first([WANG]), range(4)))
    finally:
        pool.close()
    assert sorted(len(each) for each in made) == [0, 0, 0, 1]
