"""Passwords: kept as hashes, made up at random, judged by length."""

from __future__ import annotations

import pytest
from argon2 import extract_parameters

from hanlu.core.errors import FatalError
from hanlu.registry import passwords
from hanlu.registry.passwords import Passwords, random_password, weakness


@pytest.fixture(scope="module")
def quick() -> Passwords:
    return Passwords(time_cost=1, memory_kib=64, lanes=1)


def test_a_hash_is_verified_by_its_password_alone(quick: Passwords):
    stored = quick.hash("peaches in the morning dew")
    assert quick.verify(stored, "peaches in the morning dew")
    assert not quick.verify(stored, "peaches in the morning dew ")
    assert not quick.verify(stored, "")


def test_the_same_password_hashes_differently_each_time(quick: Passwords):
    assert quick.hash("peaches in the morning dew") != quick.hash("peaches in the morning dew")


def test_a_full_width_spelling_is_the_same_password(quick: Passwords):
    assert quick.verify(quick.hash("abc露水１２３４５６"), "ａｂｃ露水123456")


def test_nobody_has_no_password_that_fits(quick: Passwords):
    assert not quick.verify(None, "")
    assert not quick.verify(None, "peaches in the morning dew")


def test_a_novel_is_not_hashed_and_does_not_fit(quick: Passwords):
    novel = "露" * (passwords.MAX_LENGTH + 1)
    assert not quick.verify(quick.hash(novel), novel)


def test_a_stored_value_that_is_no_hash_stops_us(quick: Passwords):
    with pytest.raises(FatalError):
        quick.verify("plain text", "plain text")


def test_the_parameters_in_use_are_the_ones_named():
    parameters = extract_parameters(Passwords().hash("peaches in the morning dew"))
    assert parameters.type.name == "ID"
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (3, 65_536, 4)


def test_a_hash_with_other_parameters_is_outdated(quick: Passwords):
    stored = quick.hash("peaches in the morning dew")
    assert not quick.outdated(stored)
    assert Passwords(time_cost=2, memory_kib=64, lanes=1).outdated(stored)


def test_random_passwords_are_long_readable_and_never_the_same():
    made = {random_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(each.replace("-", "")) == 20 and not set(each) & set("0O1lI") for each in made)
    assert all(weakness(each, "admin") is None for each in made)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "short"),
        ("x" * 129, "long"),
        ("aaaabbbbccccaaaa", "simple"),
        ("my name is OPERATOR ok", "simple"),
        ("peaches in the morning dew", None),
        ("清晨露水打湿了一筐黄桃子啊", None),
    ],
)
def test_a_chosen_password_is_judged(password: str, why: str | None):
    assert weakness(password, "operator") == why
