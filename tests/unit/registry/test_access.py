"""Who sees what: roles and subtrees."""

from __future__ import annotations

from hanlu.registry.access import Person, Role


def person(*roles: Role, scope: str = "/1/4/") -> Person:
    return Person(7, "li", "李", frozenset(roles), scope, csrf="x")


def test_a_person_acts_in_their_own_roles_only():
    assert person(Role.OPERATOR).has(Role.OPERATOR)
    assert not person(Role.OPERATOR).has(Role.INSPECTOR)


def test_an_administrator_acts_in_every_role():
    assert all(person(Role.ADMIN).has(role) for role in Role)


def test_a_person_sees_their_node_and_below_and_nothing_beside_or_above():
    someone = person(Role.OPERATOR)
    assert someone.sees("/1/4/")
    assert someone.sees("/1/4/9/")
    assert not someone.sees("/1/")
    assert not someone.sees("/1/40/")
    assert not someone.sees("/1/5/")
