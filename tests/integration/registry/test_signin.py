"""Signing in: guessing is slowed, nothing tells which names exist, sessions end when they should."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from argon2 import PasswordHasher, extract_parameters
from fix_register import Register

from hanlu.registry.config import SignInSettings
from hanlu.registry.passwords import Passwords
from hanlu.registry.signin import Opened, Refused, SignIn, token_hash

pytestmark = pytest.mark.postgres

LIMITS = SignInSettings()


def guess(register: Register, login: str, times: int) -> list[Opened | Refused]:
    return [register.sign_in.attempt(login, f"wrong {number}", f"192.0.2.{number}") for number in range(times)]


def test_the_right_password_opens_a_session_of_that_person(register: Register):
    opened = register.enter("operator")
    person = register.sign_in.person(opened.token)
    assert person is not None
    assert (person.login, sorted(person.roles)) == ("operator", ["operator"])
    assert person.scope == register.registry.organisations()[0].path
    assert register.actions()[-1] == "registry.session.open"


def test_the_database_holds_the_hash_of_the_token_only(register: Register):
    opened = register.enter("operator")
    dump = str(register.all("SELECT * FROM registry.session")) + str(register.all("SELECT * FROM registry.audit"))
    assert opened.token not in dump
    assert register.all("SELECT token_sha256 FROM registry.session") == [(token_hash(opened.token),)]


def test_a_sign_in_name_is_taken_as_people_type_it(register: Register):
    assert isinstance(register.sign_in.attempt(" Operator ", register.passwords["operator"], "192.0.2.1"), Opened)


def test_wrong_passwords_in_series_bring_a_growing_wait(register: Register):
    assert guess(register, "operator", 5) == [Refused("wrong")] * 5
    assert guess(register, "operator", 1) == [Refused("wait", LIMITS.first_lock_s)]
    register.clock.advance(LIMITS.first_lock_s)
    assert guess(register, "operator", 2) == [Refused("wrong"), Refused("wait", 2 * LIMITS.first_lock_s)]
    assert register.actions().count("registry.session.refuse") == 6
    assert register.actions().count("registry.session.wait") == 2


def test_under_a_lock_the_right_password_is_not_looked_at(register: Register):
    guess(register, "operator", 5)
    right = register.passwords["operator"]
    assert isinstance(register.sign_in.attempt("operator", right, "192.0.2.9"), Refused)
    register.clock.advance(LIMITS.first_lock_s)
    assert isinstance(register.sign_in.attempt("operator", right, "192.0.2.9"), Opened)


def test_the_right_password_forgives_the_wrong_ones(register: Register):
    guess(register, "operator", 4)
    register.enter("operator")
    assert guess(register, "operator", 5) == [Refused("wrong")] * 5


def test_a_lock_survives_a_restart(register: Register):
    guess(register, "operator", 5)
    again = SignIn(
        register.pool, register.clock, LIMITS, Passwords(time_cost=1, memory_kib=64, lanes=1), register.audit
    )
    assert again.attempt("operator", register.passwords["operator"], "192.0.2.9") == Refused(
        "wait", LIMITS.first_lock_s
    )


def test_a_name_nobody_has_is_answered_and_locked_like_any_other(register: Register):
    assert guess(register, "nobody", 6) == guess(register, "operator", 6)


def test_a_name_nobody_has_costs_the_same_hashing_as_any_other(register: Register, monkeypatch: pytest.MonkeyPatch):
    costs: list[tuple[int, int, int]] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, stored: str, password: str) -> bool:
        parameters = extract_parameters(stored)
        costs.append((parameters.time_cost, parameters.memory_cost, parameters.parallelism))
        return verify(hasher, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    assert guess(register, "operator", 1) == guess(register, "nobody", 1)
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_one_address_is_slowed_over_all_names(register: Register):
    for number in range(LIMITS.address_tries):
        assert register.sign_in.attempt(f"name{number}", "wrong", "198.51.100.7") == Refused("wrong")
    refused = register.sign_in.attempt("operator", register.passwords["operator"], "198.51.100.7")
    assert refused == Refused("wait", LIMITS.address_window_s)
    assert isinstance(register.sign_in.attempt("operator", register.passwords["operator"], "198.51.100.8"), Opened)


def test_many_at_the_same_moment_gain_no_more_tries(register: Register):
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda n: register.sign_in.attempt("operator", "wrong", f"192.0.2.{n}"), range(24)))
    assert sum(1 for each in outcomes if each == Refused("wrong")) == LIMITS.free_tries


def test_what_was_typed_as_a_name_that_is_none_is_not_kept(register: Register):
    register.sign_in.attempt("my secret password", "", "192.0.2.1")
    assert "my secret" not in str(register.all("SELECT * FROM registry.audit"))
    assert "my secret" not in str(register.all("SELECT * FROM registry.signin_failure"))


def test_a_barred_person_is_refused_like_a_wrong_password(register: Register):
    admin = register.person("admin")
    operator = register.person("operator")
    register.people.set_disabled(admin, operator.person_id, True)
    assert register.sign_in.attempt("operator", register.passwords["operator"], "192.0.2.1") == Refused("wrong")


def test_a_session_ends_when_it_is_not_used(register: Register):
    token = register.enter("operator").token
    register.clock.advance(LIMITS.session_idle_s - 1)
    assert register.sign_in.person(token) is not None
    register.clock.advance(LIMITS.session_idle_s)
    assert register.sign_in.person(token) is None


def test_a_session_ends_after_a_shift_however_much_it_is_used(register: Register):
    token = register.enter("operator").token
    for _ in range(LIMITS.session_absolute_s // 3600 - 1):
        register.clock.advance(3600)
        assert register.sign_in.person(token) is not None
    register.clock.advance(3600)
    assert register.sign_in.person(token) is None


def test_a_session_that_ended_is_not_called_forged(register: Register):
    token = register.enter("operator").token
    register.sign_in.end(token)
    assert register.sign_in.person(token) is None
    assert not register.sign_in.is_forged(token)
    assert register.sign_in.is_forged("A" * 43)
    assert register.sign_in.is_forged("x")


def test_an_outdated_hash_is_made_anew_at_the_next_sign_in(register: Register):
    stronger = Passwords(time_cost=2, memory_kib=64, lanes=1)
    sign_in = SignIn(register.pool, register.clock, LIMITS, stronger, register.audit)
    query = "SELECT password_hash FROM registry.person WHERE login = 'operator'"
    assert stronger.outdated(register.all(query)[0][0])
    assert isinstance(sign_in.attempt("operator", register.passwords["operator"], "192.0.2.1"), Opened)
    assert not stronger.outdated(register.all(query)[0][0])
    assert isinstance(sign_in.attempt("operator", register.passwords["operator"], "192.0.2.1"), Opened)


def test_old_sessions_and_failures_are_swept(register: Register):
    register.enter("operator")
    guess(register, "nobody", 1)
    register.clock.advance(LIMITS.session_absolute_s + 2 * 86_400)
    register.enter("inspector")
    assert len(register.all("SELECT FROM registry.session")) == 1
    assert register.all("SELECT FROM registry.signin_failure") == []


def test_the_audit_can_be_added_to_and_nothing_else(register: Register):
    register.enter("operator")
    for statement in ("DELETE FROM registry.audit", "UPDATE registry.audit SET action = 'x'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), register.pool.connection() as connection:
            connection.execute(statement)
