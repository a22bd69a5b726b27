"""Where a set of rules holds, on all channels at once, and everything that is wrong with the set as a whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules.assign import Assigner, ChannelFacts, Problem, Reason, Versioned
from hanlu.alerts.rules.check import Fault
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.parameters import LimitParameters

__all__ = ["Names", "Survey", "TroubleSpot", "clashes", "strangers", "survey"]

_PAIRS: Final = (
    (Kind.LOW, Kind.HIGH, "crossed"),
    (Kind.HIGH, Kind.HIGH_HIGH, "order"),
    (Kind.LOW_LOW, Kind.LOW, "order"),
)
_PLACES: Final = frozenset({"organisation", "site", "zone", "gateway", "channel"})
"""What names a place; a profile or a sort of device may well be used nowhere yet."""


class TroubleSpot(NamedTuple):
    """One problem with all the channels it concerns.

    Attributes:
        problem: the first of them.
        channels: how many.
    """

    problem: Problem
    channels: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Where rules hold.

    Attributes:
        holds: channel ids by code.
        off: channel ids by code of a rule that switches its kind off there.
        spots: problems, each once with the number of its channels; those on most channels first.
    """

    holds: Mapping[str, tuple[int, ...]]
    off: Mapping[str, tuple[int, ...]]
    spots: tuple[TroubleSpot, ...]

    def count(self, code: str) -> int:
        """Return on how many channels a rule is in force, or switches its kind off."""
        return len(self.holds.get(code, ())) + len(self.off.get(code, ()))


@dataclass(frozen=True, slots=True)
class Names:
    """Every name the registry knows, for rules to be compared with."""

    profiles: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    device_kinds: frozenset[str] = frozenset()
    metrics: frozenset[str] = field(default=frozenset())


def survey(rules: Sequence[Versioned], channels: Iterable[ChannelFacts]) -> Survey:
    """Assign the rules to every channel and gather what that gives."""
    assigner = Assigner(rules)
    holds: dict[str, list[int]] = defaultdict(list)
    off: dict[str, list[int]] = defaultdict(list)
    first: dict[tuple[str, str, str, str], Problem] = {}
    count: Counter[tuple[str, str, str, str]] = Counter()
    matched: set[str] = set()
    for facts in channels:
        found = assigner.assign(facts)
        for held in found.assigned:
            holds[held.code].append(facts.channel_id)
        for code in found.off.values():
            off[code].append(facts.channel_id)
        for problem in found.problems:
            key = (problem.reason, problem.code, problem.other, problem.detail)
            first.setdefault(key, problem)
            count[key] += 1
            matched |= {problem.code, problem.other}
    spots = [TroubleSpot(first[key], number) for key, number in count.most_common()]
    for each in rules:
        rule = each.rule
        named = _PLACES & {name for name, value in rule.applies if value is not None}
        if named and rule.kind not in ITEM_KINDS and not {rule.code} & (holds.keys() | off.keys() | matched):
            spots.append(TroubleSpot(Problem(Reason.NOWHERE, rule.kind, rule.code), 0))
    return Survey(
        {code: tuple(ids) for code, ids in holds.items()}, {code: tuple(ids) for code, ids in off.items()}, tuple(spots)
    )


def strangers(rule: Rule, names: Names) -> list[Fault]:
    """Return what a rule names that the registry does not know."""
    known = {
        "profile": names.profiles, "zone": names.zones, "site": names.sites, "gateway": names.gateways,
        "organisation": names.organisations, "channel": names.channels, "device_kind": names.device_kinds,
        "metric": names.metrics,
    }  # fmt: skip
    found = []
    for name, values in known.items():
        value = getattr(rule.applies, name)
        if value is not None and value not in values:
            found.append(Fault(f"applies.{name}", f"stranger_{name}", value))
    return found


def clashes(rules: Sequence[Rule]) -> list[tuple[str, Fault]]:
    """Return what is wrong between rules of one and the same place, without asking the registry: (code, fault)."""
    found: list[tuple[str, Fault]] = []
    places: dict[str, list[Rule]] = defaultdict(list)
    for rule in sorted(rules, key=lambda rule: rule.code):
        places[rule.applies.model_dump_json()].append(rule)
    for here in places.values():
        by_kind: dict[Kind, Rule] = {}
        for rule in here:
            other = by_kind.setdefault(rule.kind, rule)
            if other is not rule:
                found.append((rule.code, Fault("applies", "same_place", other.code)))
        for below, above, reason in _PAIRS:
            lower, upper = by_kind.get(below), by_kind.get(above)
            if lower is None or upper is None:
                continue
            low, high = _limit(lower), _limit(upper)
            if low is not None and high is not None and low >= high:
                goes, stays = (lower, upper) if below is Kind.LOW_LOW else (upper, lower)
                found.append((goes.code, Fault("parameters.setpoint", reason, f"{low:g} ≥ {high:g} ({stays.code})")))
    return found


def _limit(rule: Rule) -> float | None:
    return rule.parameters.setpoint if isinstance(rule.parameters, LimitParameters) else None
