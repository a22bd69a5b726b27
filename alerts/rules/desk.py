"""What the pages of rules read: the rules in force, where they hold for the reader, and what the reader may change.

Where rules hold is the same for everybody who asks within a few seconds and by the same rules, so it is kept that long:
a province has tens of thousands of channels.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hanlu.alerts.desk import Desk
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.assign import ChannelFacts, Versioned, matches
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.store import (
    StoredVersion,
    current,
    read_facts,
    read_names,
    read_reach,
    sees_everything,
)
from hanlu.alerts.rules.survey import Names, Survey, survey
from hanlu.core.clock import Clock
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.registry.access import Person, Role

__all__ = ["GROUPS", "Picture", "RuleReader", "framed"]

KEEP_MS: Final = 15_000
"""How long a picture of where rules hold is kept for others, milliseconds."""

GROUPS: Final[dict[str, tuple[Kind, ...]]] = {
    "limits": (Kind.HIGH, Kind.HIGH_HIGH, Kind.LOW, Kind.LOW_LOW),
    "course": (Kind.RATE, Kind.TIME_TO_LIMIT, Kind.DOSE, Kind.OUT_OF_RANGE),
    "machine": (
        Kind.DOOR, Kind.POWER, Kind.COMPRESSOR, Kind.DEFROST_LONG, Kind.DEFROST_OFTEN, Kind.DEFROST_RECOVERY,
    ),
    "data": (Kind.NO_DATA, Kind.GAP, Kind.STUCK, Kind.DRIFT, Kind.SPOOL, Kind.CLOCK, Kind.CALIBRATION),
    "goods": (Kind.STOCK, Kind.RESERVE, Kind.EXPIRY),
}  # fmt: skip
"""Kinds as the list shows them, under a heading each."""

_PLACES: Final = ("channel", "zone", "site", "gateway", "organisation")


@dataclass(frozen=True, slots=True)
class Picture:
    """The rules as one person sees them.

    Attributes:
        stored: newest version of every code, unreadable and withdrawn ones too.
        rules: in force.
        facts: the person's channels, by key.
        survey: where rules hold on them.
        names: what exists in the person's subtree.
        whole: the person's subtree is everything there is.
    """

    stored: dict[str, StoredVersion]
    rules: dict[str, Versioned]
    facts: dict[int, ChannelFacts]
    survey: Survey
    names: Names
    whole: bool

    def visible(self, rule: Rule) -> bool:
        """Tell whether the person may know of a rule: one about a place elsewhere is not there."""
        above = {code for each in self.facts.values() for code in each.organisations}
        return self.whole or all(
            value in getattr(self.names, f"{name}s") or (name == "organisation" and value in above)
            for name in _PLACES
            if (value := getattr(rule.applies, name)) is not None
        )

    def may_edit(self, rule: Rule, person: Person) -> bool:
        """Tell whether the person may change a rule: an administrator, and the rule reaches no further than theirs."""
        if not person.has(Role.ADMIN):
            return False
        return self.whole or any(
            getattr(rule.applies, name) in getattr(self.names, f"{name}s")
            for name in _PLACES
            if getattr(rule.applies, name) is not None
        )

    def one(self, code: str) -> StoredVersion:
        """Return the newest version of a code.

        Raises:
            NotFoundError: there is none, or it is about a place the person may not see.
        """
        stored = self.stored.get(code)
        if stored is None or (stored.rule is not None and not self.visible(stored.rule)):
            raise NotFoundError(f"there is no rule {code}")
        return stored

    def zones_of(self, rule: Rule) -> list[str]:
        """Return the zones in which a rule matches some channel, whether or not it is the one in force there."""
        zones = {each.zone for each in self.facts.values() if each.zone and matches(rule.applies, each)}
        return sorted(zones)

    def sites(self) -> list[str]:
        """Return the person's sites."""
        return sorted(self.names.sites)


class RuleReader:
    """Reads pictures, keeping what many readers share."""

    def __init__(self, clock: Clock) -> None:
        """Take the time from `clock`."""
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[int, frozenset[tuple[str, int]], Sequence[ChannelFacts], Survey]] = {}

    def picture(self, connection: Connection, person: Person) -> Picture:
        """Return the rules as a person sees them."""
        stored = {each.code: each for each in current(connection)}
        rules = {
            code: Versioned(each.rule, each.version)
            for code, each in stored.items()
            if each.rule is not None and not each.withdrawn
        }
        facts, found = self._survey(connection, person.scope, rules)
        whole = sees_everything(connection, person.scope)
        names = read_names(connection, facts) if whole else read_reach(connection, person.scope, facts)
        return Picture(stored, rules, {each.channel_id: each for each in facts}, found, names, whole)

    def _survey(
        self, connection: Connection, scope: str, rules: dict[str, Versioned]
    ) -> tuple[Sequence[ChannelFacts], Survey]:
        now_ms = self._clock.now_ms()
        mark = frozenset((code, each.version) for code, each in rules.items())
        with self._lock:
            kept = self._kept.get(scope)
        if kept is not None and kept[1] == mark and 0 <= now_ms - kept[0] < KEEP_MS:
            return kept[2], kept[3]
        facts = read_facts(connection, scope)
        found = survey(list(rules.values()), facts)
        with self._lock:
            self._kept[scope] = (now_ms, mark, facts, found)
        return facts, found


def framed(desk: Desk, person: Person) -> dict[str, Any]:
    """Return the frame of a page, its connection given back before the page asks for one of its own."""
    with desk.reading(person) as (_, _, frame):
        return frame
