"""Which rule is in force on a channel: of each kind the most specific one that can hold there.

A rule matches a channel when every field of its `applies` does. Of several of one kind the most specific wins: what
names the channel, then the zone, then the site or the gateway, then the organisation (the deeper node first), then the
limit profile, then the height of its upper limit, then device kind and metric, then `profiled`. The order the rules
come in never matters.

A rule can match and still not hold: its unit is another one, the profile has no limit of that side, its limits cross.
Then the next one in order is tried, so that a mistake in an exception never leaves a room unwatched; the mistake is a
`Problem`, for people to see and mend. Two rules equally specific are one too; the code that comes first in the alphabet
holds meanwhile. A rule that is switched off wins its place like any other, and nothing of its kind is in force there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from hanlu.alerts.judge.room import Assigned
from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules.model import Applies, Rule
from hanlu.alerts.rules.parameters import LimitParameters, Parameters
from hanlu.alerts.rules.resolve import ChannelFacts, Refused, resolve

__all__ = [
    "Assigner",
    "Assignment",
    "ChannelFacts",
    "Place",
    "Problem",
    "Reason",
    "Specificity",
    "Versioned",
    "assign",
    "assign_place",
    "matches",
    "specificity",
]

_KINDS: Final = tuple(Kind)
_MEMO_MOST: Final = 50_000
"""Shapes of channels remembered by an `Assigner`; a province has a few hundred."""


class Versioned(NamedTuple):
    """A rule as it stands in the table.

    Attributes:
        rule: what it says.
        version: counts from 1 for each code.
    """

    rule: Rule
    version: int


class Reason(StrEnum):
    """Why a rule does not hold where it should."""

    UNIT = "unit"
    """Its setpoint is in another unit than the channel."""
    NO_LIMIT = "no_limit"
    """It takes its limit from the profile, and there is none of that side."""
    CROSSED = "crossed"
    """The upper limit does not lie above the lower one."""
    ORDER = "order"
    """Far above lies below above, or far below above below."""
    TIE = "tie"
    """Two rules of a kind are equally specific."""
    NOWHERE = "nowhere"
    """It names a place, and holds on no channel at all."""


class Problem(NamedTuple):
    """A rule that does not hold where it should, and why.

    Attributes:
        reason: why.
        kind: of alarm.
        code: of the rule.
        channel_id: where; None for a problem of the rule as a whole.
        channel: the channel's name, "" for none.
        other: code of the other rule, where there is one.
        detail: numbers and units, e.g. `Cel, %RH` or `-20 < -18`.
    """

    reason: Reason
    kind: Kind
    code: str
    channel_id: int | None = None
    channel: str = ""
    other: str = ""
    detail: str = ""

    def text(self, lang: str = "en") -> str:
        """Return what is wrong and what to do about it, in "zh" or "en"."""
        from hanlu.alerts.wording import words

        place = self.channel or "—"
        return words(lang)(f"rules.problem.{self.reason}").format(
            code=self.code, other=self.other, channel=place, detail=self.detail
        )

    def __str__(self) -> str:
        """Return the English text."""
        return self.text("en")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is in force on a channel.

    Attributes:
        assigned: at most one rule a kind, in the order of `Kind`.
        problems: what does not hold and should.
        off: kinds that a rule switches off there, with that rule's code.
    """

    assigned: tuple[Assigned, ...] = ()
    problems: tuple[Problem, ...] = ()
    off: Mapping[Kind, str] = field(default_factory=dict)


class Specificity(NamedTuple):
    """How closely a rule describes where it holds; compared from the first field on."""

    channel: int = 0
    zone: int = 0
    place: int = 0
    """Site and gateway: 0 to 2 of them are named."""
    organisation: int = 0
    """Depth of the node named, 1 for the root."""
    profile: int = 0
    limit: int = 0
    """The height of the profile's upper limit is asked for; a rule that names the profile itself goes before."""
    sort: int = 0
    """Device kind and metric: 0 to 2 of them are named."""
    profiled: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A place for rules about goods.

    Attributes:
        site: code.
        organisations: codes from the root of the tree to the site's own.
    """

    site: str
    organisations: tuple[str, ...] = ()


def matches(applies: Applies, facts: ChannelFacts) -> bool:
    """Tell whether every field of `applies` that is given fits the channel."""
    return (
        (applies.metric is None or applies.metric == facts.metric)
        and (applies.profiled is None or applies.profiled is (facts.limit_profile is not None))
        and (applies.profile is None or applies.profile == facts.limit_profile)
        and (applies.high_at_most is None or (facts.high is not None and facts.high <= applies.high_at_most))
        and (applies.device_kind is None or applies.device_kind == facts.device_kind)
        and (applies.zone is None or applies.zone == facts.zone)
        and (applies.site is None or applies.site == facts.site)
        and (applies.gateway is None or applies.gateway == facts.gateway)
        and (applies.channel is None or applies.channel == facts.channel)
        and (applies.organisation is None or applies.organisation in facts.organisations)
    )


def specificity(applies: Applies, organisations: Sequence[str]) -> Specificity:
    """Return how specific a matching rule is.

    Args:
        applies: where the rule holds.
        organisations: codes from the root to the channel's own organisation; say how deep the rule's node lies.
    """
    depth = organisations.index(applies.organisation) + 1 if applies.organisation in organisations else 0
    return Specificity(
        int(applies.channel is not None),
        int(applies.zone is not None),
        (applies.site is not None) + (applies.gateway is not None),
        depth,
        int(applies.profile is not None),
        int(applies.high_at_most is not None),
        (applies.device_kind is not None) + (applies.metric is not None),
        int(applies.profiled is not None),
    )


def assign(rules: Sequence[Versioned], facts: ChannelFacts) -> Assignment:
    """Return what is in force on one channel; for many channels use an `Assigner`, which says the same faster."""
    return Assigner(rules).assign(facts)


def assign_place(rules: Sequence[Versioned], place: Place) -> tuple[Assigned, ...]:
    """Return the rules about goods (`ITEM_KINDS`) in force at a site; fields other than site and node do not match."""
    found: list[Assigned] = []
    for kind in _KINDS:
        if kind not in ITEM_KINDS:
            continue
        fitting = [
            each
            for each in rules
            if each.rule.kind is kind
            and each.rule.applies.model_dump(exclude={"site", "organisation"}, exclude_none=True) == {}
            and each.rule.applies.site in {None, place.site}
            and (each.rule.applies.organisation is None or each.rule.applies.organisation in place.organisations)
        ]
        if fitting:
            best = min(fitting, key=lambda each: _rank(each, place.organisations))
            if best.rule.enabled:
                found.append(_assigned(best, best.rule.parameters, 3))
    return tuple(found)


class Assigner:
    """A set of rules made ready for many channels.

    Channels that differ in nothing a rule looks at share one answer.
    """

    def __init__(self, rules: Iterable[Versioned]) -> None:
        """Use these rules; at most one of a code."""
        by_kind: dict[Kind, list[Versioned]] = defaultdict(list)
        for each in sorted(rules, key=lambda each: each.rule.code):
            if each.rule.kind not in ITEM_KINDS:
                by_kind[each.rule.kind].append(each)
        self._by_kind = {kind: by_kind[kind] for kind in _KINDS if kind in by_kind}
        every = [each.rule.applies for some in by_kind.values() for each in some]
        self._named = {
            name: frozenset(value for each in every if (value := getattr(each, name)) is not None)
            for name in ("channel", "zone", "site", "gateway")
        }
        self._memo: dict[ChannelFacts, Assignment] = {}

    def assign(self, facts: ChannelFacts) -> Assignment:
        """Return what is in force on a channel."""
        if any(getattr(facts, name) in named for name, named in self._named.items()):
            return self._judge(facts)
        shape = replace(facts, channel_id=0, channel="", zone=None, site="", gateway="", device="")
        known = self._memo.get(shape)
        if known is None:
            known = self._judge(shape)
            if len(self._memo) < _MEMO_MOST:
                self._memo[shape] = known
        if not known.problems:
            return known
        here = tuple(each._replace(channel_id=facts.channel_id, channel=facts.channel) for each in known.problems)
        return replace(known, problems=here)

    def _judge(self, facts: ChannelFacts) -> Assignment:
        chosen: dict[Kind, tuple[Versioned, Parameters]] = {}
        problems: list[Problem] = []
        off: dict[Kind, str] = {}
        for kind, rules in self._by_kind.items():
            fitting = [each for each in rules if matches(each.rule.applies, facts)]
            picked = _pick(fitting, facts, problems)
            if picked is None:
                continue
            if picked[0].rule.enabled:
                chosen[kind] = picked
            else:
                off[kind] = picked[0].rule.code
        _drop_disordered(chosen, facts, problems)
        assigned = tuple(_assigned(each, parameters, facts.priority) for each, parameters in chosen.values())
        return Assignment(assigned, tuple(problems), off)


def _rank(each: Versioned, organisations: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """Return what sorts the most specific first, and among equals the code that comes first in the alphabet."""
    return tuple(-part for part in specificity(each.rule.applies, organisations)), each.rule.code


def _pick(
    fitting: list[Versioned], facts: ChannelFacts, problems: list[Problem]
) -> tuple[Versioned, Parameters] | None:
    """Return the most specific rule that can hold, with its parameters resolved; note what cannot and should."""
    found: tuple[Versioned, Parameters] | None = None
    found_rank: tuple[int, ...] = ()
    for each in sorted(fitting, key=lambda each: _rank(each, facts.organisations)):
        rank = _rank(each, facts.organisations)[0]
        if found is not None and rank != found_rank:
            break
        outcome = resolve(each.rule, facts)
        if isinstance(outcome, Refused):
            if found is None and _is_meant(each.rule.applies, facts, outcome):
                problems.append(_problem(Reason(outcome.reason), each.rule, facts, detail=outcome.detail))
            continue
        if found is None:
            found, found_rank = (each, outcome), rank
        else:
            problems.append(_problem(Reason.TIE, found[0].rule, facts, other=each.rule.code))
    return found


def _is_meant(applies: Applies, facts: ChannelFacts, refused: Refused) -> bool:
    """Tell whether it is a mistake that the rule does not hold here.

    One for all rooms of a kind simply does not hold where a profile has no such limit. One that names the channel is
    meant for it; one that names the zone is meant for what the profile judges there, not for its door as well.
    """
    if applies.channel is not None:
        return True
    if refused.reason == Reason.NO_LIMIT:
        return applies.zone is not None and (applies.metric is not None or facts.limit_profile is not None)
    return applies.metric is not None or refused.reason == Reason.CROSSED


def _drop_disordered(
    chosen: dict[Kind, tuple[Versioned, Parameters]], facts: ChannelFacts, problems: list[Problem]
) -> None:
    """Take out one rule of each pair whose limits stand in the wrong order: the far one, else the less specific."""
    pairs = (
        (Kind.LOW, Kind.HIGH, Reason.CROSSED),
        (Kind.HIGH, Kind.HIGH_HIGH, Reason.ORDER),
        (Kind.LOW_LOW, Kind.LOW, Reason.ORDER),
    )
    for below, above, reason in pairs:
        if below not in chosen or above not in chosen:
            continue
        lower, upper = (_setpoint(chosen[kind][1]) for kind in (below, above))
        if lower is None or upper is None or lower < upper:
            continue
        goes, stays = (below, above) if below is Kind.LOW_LOW else (above, below)
        if reason is Reason.CROSSED and _depth(chosen[below][0], facts) < _depth(chosen[above][0], facts):
            goes, stays = below, above
        gone, kept = chosen.pop(goes)[0].rule, chosen[stays][0].rule
        detail = f"{lower:g} ≥ {upper:g} {facts.unit}"
        problems.append(_problem(reason, gone, facts, other=kept.code, detail=detail))


def _depth(each: Versioned, facts: ChannelFacts) -> Specificity:
    return specificity(each.rule.applies, facts.organisations)


def _setpoint(parameters: Parameters) -> float | None:
    return parameters.setpoint if isinstance(parameters, LimitParameters) else None


def _problem(reason: Reason, rule: Rule, facts: ChannelFacts, *, other: str = "", detail: str = "") -> Problem:
    return Problem(reason, rule.kind, rule.code, facts.channel_id, facts.channel, other, detail)


def _assigned(each: Versioned, parameters: Parameters, profile_priority: int) -> Assigned:
    rule = each.rule
    return Assigned(
        rule.kind,
        rule.code,
        each.version,
        profile_priority if rule.priority is None else rule.priority,
        parameters,
        rule.latch,
        None if rule.re_alarm_min is None else rule.re_alarm_min * 60_000,
        rule.rationalization.time_to_respond_min * 60_000,
    )
