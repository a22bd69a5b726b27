"""Which rule is in force where: the most specific that can hold, whatever the order, with every mistake told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules.assign import (
    Assigner,
    ChannelFacts,
    Place,
    Reason,
    Versioned,
    assign,
    assign_place,
    matches,
    specificity,
)
from hanlu.alerts.rules.check import check_rule
from hanlu.alerts.rules.model import Applies, Rule
from hanlu.alerts.rules.parameters import LimitParameters, NoDataParameters, Parameters
from hanlu.alerts.rules.store import shipped_rules
from hanlu.alerts.rules.survey import Names, clashes, strangers, survey

WHY = {
    **{f"{part}_{lang}": "x" for part in ("cause", "consequence", "response") for lang in ("zh", "en")},
    "time_to_respond_min": 30,
}
ROOM = ChannelFacts(
    1, "gw-1/room-1/air_temperature", "air_temperature", "Cel", 60, "cold_room", "/1/2/", ("province", "county"),
    "store", "room-a", "gw-1", "room-1", "frozen", None, -15.0, 1.0, 2700, 300, 900, 1,
)  # fmt: skip
BARE = ChannelFacts(
    2, "gw-1/room-1/power", "power", "W", 60, "cold_room", "/1/2/", ("province", "county"), "store", "room-a"
)


def rule(code: str, kind: str = "high", parameters: dict[str, Any] | None = None, **more: Any) -> Versioned:
    data = {
        "code": code, "kind": kind, "title_zh": code, "title_en": code, "parameters": parameters or {},
        "rationalization": WHY, **more,
    }  # fmt: skip
    return Versioned(Rule.model_validate(data), 1)


def chosen(rules: list[Versioned], facts: ChannelFacts = ROOM) -> list[str]:
    return [each.code for each in assign(rules, facts).assigned]


def limit(rules: list[Versioned], facts: ChannelFacts = ROOM) -> LimitParameters:
    found = assign(rules, facts).assigned[0].parameters
    assert isinstance(found, LimitParameters)
    return found


@pytest.mark.parametrize(
    ("general", "special"),
    [
        ({}, {"profiled": True}),
        ({"profiled": True}, {"metric": "air_temperature"}),
        ({"metric": "air_temperature"}, {"metric": "air_temperature", "profiled": True}),
        ({"metric": "air_temperature"}, {"metric": "air_temperature", "device_kind": "cold_room"}),
        ({"metric": "air_temperature", "device_kind": "cold_room"}, {"high_at_most": -10}),
        ({"high_at_most": -10, "metric": "air_temperature", "device_kind": "cold_room"}, {"profile": "frozen"}),
        ({"profile": "frozen", "metric": "air_temperature"}, {"organisation": "province"}),
        ({"organisation": "province"}, {"organisation": "county"}),
        ({"organisation": "county", "profile": "frozen"}, {"site": "store"}),
        ({"site": "store"}, {"site": "store", "gateway": "gw-1"}),
        ({"site": "store", "gateway": "gw-1"}, {"zone": "room-a"}),
        ({"zone": "room-a", "site": "store"}, {"channel": "gw-1/room-1/air_temperature"}),
    ],
)
def test_of_two_rules_that_match_the_more_specific_is_in_force(
    general: dict[str, Any], special: dict[str, Any]
) -> None:
    rules = [rule("a-general", applies=general), rule("z-special", applies=special)]
    assert chosen(rules) == ["z-special"]
    assert assign(rules, ROOM).problems == ()


@pytest.mark.parametrize(
    "applies",
    [
        {"metric": "relative_humidity"},
        {"profile": "chilled"},
        {"profiled": False},
        {"device_kind": "reefer"},
        {"organisation": "elsewhere"},
        {"site": "other"},
        {"zone": "room-b"},
        {"gateway": "gw-2"},
        {"channel": "gw-1/room-2/air_temperature"},
        {"metric": "air_temperature", "zone": "room-b"},
        {"high_at_most": -60},
    ],
)
def test_a_rule_holds_nowhere_one_of_its_fields_does_not_match(applies: dict[str, Any]) -> None:
    assert not matches(Applies.model_validate(applies), ROOM)
    assert chosen([rule("elsewhere", applies=applies)]) == []


_FIELDS = {
    "metric": ["air_temperature", "power"],
    "profile": ["frozen", "chilled"],
    "profiled": [True, False],
    "high_at_most": [-10, -60],
    "device_kind": ["cold_room", "reefer"],
    "organisation": ["province", "county", "other"],
    "site": ["store", "other"],
    "zone": ["room-a", "room-b"],
    "gateway": ["gw-1", "gw-2"],
    "channel": ["gw-1/room-1/air_temperature"],
}
_APPLIES = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in _FIELDS.items()}
).filter(lambda made: not (made.keys() & {"profile", "high_at_most"} and made.get("profiled") is False))
_LIMIT = st.fixed_dictionaries(
    {}, optional={"setpoint": st.sampled_from([-30.0, -15.0, -10.0, 5.0]), "unit": st.sampled_from(["Cel", "W"])}
).map(lambda made: made if len(made) == 2 else {})
_RULE = st.tuples(st.sampled_from(["high", "low", "high_high", "door"]), _APPLIES, _LIMIT, st.booleans())


@given(st.lists(_RULE, max_size=8), st.randoms(use_true_random=False), st.sampled_from([ROOM, BARE]))
def test_what_is_in_force_does_not_depend_on_the_order_of_the_rules(
    drawn: list[tuple[str, dict[str, Any], dict[str, Any], bool]], random: Any, facts: ChannelFacts
) -> None:
    rules = [
        rule(f"r{index}", kind, {} if kind == "door" else numbers, applies=applies, enabled=enabled)
        for index, (kind, applies, numbers, enabled) in enumerate(drawn)
    ]
    before = assign(rules, facts)
    shuffled = list(rules)
    random.shuffle(shuffled)
    after = assign(shuffled, facts)
    assert (after.assigned, set(after.problems), after.off) == (before.assigned, set(before.problems), before.off)
    assert Assigner(shuffled).assign(facts) == after, "many channels at once say the same as one"
    kinds = [each.kind for each in after.assigned]
    assert len(kinds) == len(set(kinds))
    by_code = {each.rule.code: each.rule for each in rules}
    for each in after.assigned:
        mine = specificity(by_code[each.code].applies, facts.organisations)
        better = [
            other.rule.code for other in rules
            if other.rule.kind is each.kind and matches(other.rule.applies, facts)
            and specificity(other.rule.applies, facts.organisations) > mine
        ]  # fmt: skip
        told = {problem.code for problem in after.problems} | set(before.off.values())
        unable = {code for code in better if by_code[code].kind is not Kind.DOOR}
        assert set(better) <= unable | told, "nothing more specific that could hold was passed over"


def test_channels_alike_share_one_answer_and_keep_their_own_names_in_problems() -> None:
    rules = [rule("odd", parameters={"setpoint": 5.0, "unit": "W"}, applies={"metric": "air_temperature"})]
    assigner = Assigner(rules)
    for number in (1, 2):
        facts = ChannelFacts(number, f"gw-{number}/room/air_temperature", "air_temperature", "Cel", 60, "cold_room")
        assert [(each.reason, each.channel_id, each.channel) for each in assigner.assign(facts).problems] == [
            (Reason.UNIT, number, facts.channel)
        ]


def test_two_rules_equally_specific_are_a_problem_and_the_first_in_the_alphabet_holds() -> None:
    rules = [rule("b", applies={"zone": "room-a"}), rule("a", applies={"zone": "room-a"}), rule("c")]
    found = assign(rules, ROOM)
    assert [each.code for each in found.assigned] == ["a"]
    assert [(each.reason, each.code, each.other) for each in found.problems] == [(Reason.TIE, "a", "b")]
    assert "b" in str(found.problems[0])
    assert "同样具体" in found.problems[0].text("zh")


def test_a_rule_switched_off_switches_its_kind_off_where_it_is_the_most_specific() -> None:
    rules = [rule("all"), rule("none-here", applies={"zone": "room-a"}, enabled=False)]
    found = assign(rules, ROOM)
    assert found.assigned == ()
    assert found.off == {Kind.HIGH: "none-here"}


@pytest.mark.parametrize(
    ("applies", "told"),
    [
        ({}, False),
        ({"profiled": True}, False),
        ({"metric": "air_temperature", "profiled": True}, False),
        ({"zone": "room-a"}, True),
        ({"channel": "gw-1/room-1/air_temperature"}, True),
    ],
)
def test_a_limit_the_profile_lacks_is_told_only_where_the_rule_was_meant_for_the_place(
    applies: dict[str, Any], told: bool
) -> None:
    found = assign([rule("low", "low", applies=applies)], ROOM)
    assert found.assigned == ()
    assert [each.reason for each in found.problems] == ([Reason.NO_LIMIT] if told else [])


def test_a_zone_rule_is_no_problem_on_the_rooms_other_channels() -> None:
    found = assign([rule("low", "low", applies={"zone": "room-a"})], BARE)
    assert (found.assigned, found.problems) == ((), ())


def test_a_mistake_in_an_exception_leaves_the_general_rule_in_force() -> None:
    rules = [rule("all"), rule("mine", parameters={"setpoint": 5.0, "unit": "%RH"}, applies={"channel": ROOM.channel})]
    found = assign(rules, ROOM)
    assert [each.code for each in found.assigned] == ["all"]
    assert [(each.reason, each.code) for each in found.problems] == [(Reason.UNIT, "mine")]


def test_limits_that_cross_the_profiles_are_told_and_do_not_hold() -> None:
    chilled = ChannelFacts(3, "g/d/air_temperature", "air_temperature", "Cel", 60, "cold_room", low=0.0, high=8.0,
                           zone="z", limit_profile="chilled")  # fmt: skip
    high = rule("high", parameters={"setpoint": -1.0, "unit": "Cel"}, applies={"zone": "z"})
    low = rule("low", "low", {"setpoint": 9.0, "unit": "Cel"}, applies={"zone": "z"})
    found = assign([high, low], chilled)
    assert found.assigned == ()
    assert {each.reason for each in found.problems} == {Reason.CROSSED}


def test_limits_of_two_rules_that_cross_keep_the_more_specific_one() -> None:
    free = ChannelFacts(3, "g/d/air_temperature", "air_temperature", "Cel", 60, "cold_room", zone="z")
    high = rule("high", parameters={"setpoint": -1.0, "unit": "Cel"}, applies={"metric": "air_temperature"})
    low = rule("low", "low", {"setpoint": 2.0, "unit": "Cel"}, applies={"zone": "z"})
    found = assign([high, low], free)
    assert [each.code for each in found.assigned] == ["low"]
    assert [(each.reason, each.code, each.other) for each in found.problems] == [(Reason.CROSSED, "high", "low")]


def test_far_limits_inside_the_plain_ones_do_not_hold() -> None:
    rules = [rule("high", parameters={"setpoint": -12.0, "unit": "Cel"}), rule("far", "high_high", {"beyond": 1.0})]
    found = assign(rules, ROOM)
    assert [each.code for each in found.assigned] == ["high"]
    assert [(each.reason, each.code) for each in found.problems] == [(Reason.ORDER, "far")]


def test_what_a_rule_leaves_open_comes_from_the_profile() -> None:
    found = limit([rule("all")])
    assert found == LimitParameters(
        setpoint=-15.0, unit="Cel", deadband=1.0, on_delay_s=2700, off_delay_s=300, gap_s=900
    )
    assert assign([rule("all")], ROOM).assigned[0].priority == 1


def test_what_a_rule_says_comes_before_the_profile() -> None:
    numbers = {"setpoint": -20.0, "unit": "Cel", "deadband": 0.2, "on_delay_s": 5, "off_delay_s": 6, "gap_s": 7}
    assert limit([rule("mine", parameters=numbers)]) == LimitParameters.model_validate(numbers)
    assert assign([rule("mine", parameters=numbers, priority=3)], ROOM).assigned[0].priority == 3


def test_far_limits_stand_beyond_the_profiles() -> None:
    assert limit([rule("far", "high_high", {"beyond": 5.0})]).setpoint == -10.0
    cold = ChannelFacts(3, "g/d/a", "air_temperature", "Cel", 60, "cold_room", low=0.0, high=8.0, limit_profile="c")
    assert limit([rule("far", "low_low", {"beyond": 2.0})], cold).setpoint == -2.0


def test_a_channel_without_a_profile_gets_default_times_with_a_setpoint_of_its_own() -> None:
    found = limit([rule("mine", parameters={"setpoint": 5.0, "unit": "W"})], BARE)
    assert (found.deadband, found.on_delay_s, found.off_delay_s, found.gap_s) == (0.5, 600, 60, 300)
    assert assign([rule("mine", parameters={"setpoint": 5.0, "unit": "W"})], BARE).assigned[0].priority == 3


def test_silence_takes_the_channels_own_measure() -> None:
    found = assign([rule("quiet", "no_data")], ROOM).assigned[0].parameters
    assert isinstance(found, NoDataParameters)
    assert found.after_s == 900


@pytest.mark.parametrize("kind", ["time_to_limit", "dose", "out_of_range"])
def test_kinds_with_a_side_take_that_sides_limit(kind: str) -> None:
    needed = {"dose": {"degree_minutes": 10.0}, "out_of_range": {"minutes": 10.0}}.get(kind, {})
    found: Parameters = assign([rule("x", kind, needed)], ROOM).assigned[0].parameters
    assert (getattr(found, "setpoint"), getattr(found, "unit")) == (-15.0, "Cel")  # noqa: B009
    assert assign([rule("x", kind, {**needed, "side": "low"})], ROOM).assigned == ()


def test_rules_about_goods_hold_at_sites_and_on_no_channel() -> None:
    rules = [rule("stock", "stock"), rule("stock-here", "stock", {"below": 5.0}, applies={"site": "store"})]
    assert chosen(rules) == []
    assert [each.code for each in assign_place(rules, Place("store", ("province",)))] == ["stock-here"]
    assert [each.code for each in assign_place(rules, Place("other"))] == ["stock"]


def test_every_kind_comes_with_a_rule_and_the_shipped_ones_agree_with_one_another() -> None:
    rules = shipped_rules()
    assert {each.kind for each in rules} == set(Kind)
    assert clashes(rules) == []
    frozen = ChannelFacts(**{**{name: getattr(ROOM, name) for name in ROOM.__slots__}, "limit_profile": "frozen-room"})
    goods = {kind.value for kind in ITEM_KINDS}
    for facts in (ROOM, BARE, frozen):
        found = assign([Versioned(each, 1) for each in rules], facts)
        assert found.problems == ()
        assert not goods & {each.kind for each in found.assigned}


@pytest.mark.parametrize(
    ("profile", "high", "codes"),
    [
        ("frozen-room", -15.0, {Kind.HIGH: "frozen-air-high", Kind.HIGH_HIGH: "frozen-air-high-high"}),
        ("our-own-name", -10.0, {Kind.HIGH: "frozen-air-high", Kind.HIGH_HIGH: "frozen-air-high-high"}),
        ("chilled", -9.9, {Kind.HIGH: "air-high", Kind.HIGH_HIGH: "air-high-high"}),
        ("low-only", None, {}),
        ("tea-green", 5.0, {Kind.HIGH: "tea-air-high", Kind.HIGH_HIGH: "air-high-high"}),
    ],
)
def test_frozen_rooms_are_known_by_their_limit_and_not_by_the_name_of_their_profile(
    profile: str, high: float | None, codes: dict[Kind, str]
) -> None:
    facts = replace(ROOM, limit_profile=profile, high=high)
    found = assign([Versioned(each, 1) for each in shipped_rules()], facts)
    assert {each.kind: each.code for each in found.assigned if each.kind in {Kind.HIGH, Kind.HIGH_HIGH}} == codes
    assert found.problems == ()


def test_a_limit_asked_of_channels_without_a_profile_is_refused_at_its_field() -> None:
    data = rule("odd").rule.model_dump(mode="json") | {"applies": {"high_at_most": -10, "profiled": False}}
    found = check_rule(data)
    assert isinstance(found, list)
    assert [(each.field, each.reason) for each in found] == [("applies.profiled", "high_unprofiled")]
    assert "leave one out" in found[0].text("en")


def test_only_what_spoils_goods_is_shipped_as_critical() -> None:
    critical = {each.kind for each in shipped_rules() if each.priority == 1}
    assert critical <= {Kind.HIGH, Kind.HIGH_HIGH, Kind.LOW_LOW, Kind.DOSE}
    rare = [each for each in shipped_rules() if each.priority == 1]
    assert all(each.rationalization.time_to_respond_min <= 60 for each in rare)


def test_a_survey_counts_where_rules_hold_and_tells_the_ones_that_hold_nowhere() -> None:
    rules = [
        rule("all", applies={"profiled": True}),
        rule("door", "door", applies={"zone": "gone"}),
        rule("off", "drift", applies={"zone": "room-a"}, enabled=False),
    ]
    found = survey(rules, [ROOM, BARE])
    assert (found.count("all"), found.count("door"), found.count("off")) == (1, 0, 2)
    assert [(each.problem.reason, each.problem.code) for each in found.spots] == [(Reason.NOWHERE, "door")]


def test_names_nobody_knows_are_told_field_by_field() -> None:
    names = Names(zones=frozenset({"room-a"}), profiles=frozenset({"frozen"}))
    stranger = rule("x", applies={"zone": "room-z", "profile": "frozen", "site": "nowhere"}).rule
    assert [(each.field, each.detail) for each in strangers(stranger, names)] == [
        ("applies.zone", "room-z"),
        ("applies.site", "nowhere"),
    ]
