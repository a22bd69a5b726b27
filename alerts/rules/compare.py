"""What differs between two versions of a rule, or between the rules in force and those of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.model import Rule

__all__ = ["Change", "Difference", "What", "compare", "differences"]


class Difference(NamedTuple):
    """One field that changed: dotted name, what it said and says; None for not given."""

    field: str
    before: Any
    after: Any


class What(StrEnum):
    """What happens to a rule."""

    NEW = "new"
    CHANGED = "changed"
    WITHDRAWN = "withdrawn"


class Change(NamedTuple):
    """What a set of rules would do to one that is in force.

    Attributes:
        what: happens.
        code: of the rule.
        seen: version in force, 0 for a new one.
        rule: as it will be; None when withdrawn.
        fields: what differs.
    """

    what: What
    code: str
    seen: int
    rule: Rule | None
    fields: tuple[Difference, ...] = ()


def differences(before: Rule, after: Rule) -> tuple[Difference, ...]:
    """Return the fields that differ, in the order a rule is written."""
    old, new = _flat(before), _flat(after)
    return tuple(
        Difference(name, old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    )


def compare(in_force: Iterable[Versioned], wanted: Iterable[Rule], *, whole: bool = False) -> tuple[Change, ...]:
    """Return what has to be written so that `wanted` is in force; nothing for rules that stay what they are.

    Args:
        in_force: now.
        wanted: from a file or a form.
        whole: what is in force and not wanted is withdrawn.
    """
    known: Mapping[str, Versioned] = {each.rule.code: each for each in in_force}
    changes: list[Change] = []
    codes = set()
    for rule in wanted:
        codes.add(rule.code)
        old = known.get(rule.code)
        if old is None:
            changes.append(Change(What.NEW, rule.code, 0, rule))
        elif fields := differences(old.rule, rule):
            changes.append(Change(What.CHANGED, rule.code, old.version, rule, fields))
    if whole:
        changes += [
            Change(What.WITHDRAWN, code, each.version, None) for code, each in known.items() if code not in codes
        ]
    return tuple(sorted(changes, key=lambda each: each.code))


def _flat(rule: Rule) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in rule.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat
