"""Rotas, the calendar, escalation, limits and the chain as pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from itertools import pairwise

import pytest
from fix_people import RECEIVERS, facts
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.alerts.people import chain
from hanlu.alerts.people.chain import Batch, Line, Mute, Sent, content_of
from hanlu.alerts.people.channels.contract import cut_utf8
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.escalation import NodePolicy, Policy, Quiet, Step, ladder
from hanlu.alerts.people.limits import LIMITS, Limit, free_at, off_the_hour, pause_s
from hanlu.alerts.people.model import ReceiverKind, parse_secret
from hanlu.alerts.people.rota import Rota, Shift, on_call, stretches
from hanlu.alerts.people.workdays import CHINA, Workdays
from hanlu.core.clock import to_ms

MINUTE = 60_000


def at(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=CHINA))


def rota(*shifts: Shift, **more: object) -> Rota:
    values = {"code": "r", "name": "值班", "starts_on": date(2026, 1, 5), "turn_days": 7, "handover": time(8)}
    return Rota(**(values | more), shifts=shifts)  # type: ignore[arg-type]


ALL_DAY = Shift(name="全天", begins=time(8), ends=time(8), members=("li", "wang"))


def who(found: Rota, text: str, workdays: Workdays | None = None) -> list[str]:
    return [each.receiver for each in on_call(found, at(text), workdays or Workdays())]


def test_turn_changes_at_the_hand_over_of_its_day() -> None:
    weekly = rota(ALL_DAY)
    assert who(weekly, "2026-01-05T08:00") == ["li"]
    assert who(weekly, "2026-01-12T07:59") == ["li"]
    assert who(weekly, "2026-01-12T08:00") == ["wang"]
    assert who(weekly, "2026-01-19T08:00") == ["li"]
    assert who(weekly, "2026-01-04T12:00") == ["wang"], "turns are counted backwards too"


def test_night_shift_reaches_into_the_morning_and_belongs_to_its_evening() -> None:
    night = Shift(name="夜班", days="5", begins=time(20), ends=time(8), members=("li",))
    found = rota(night, turn_days=1)
    assert who(found, "2026-01-09T19:59") == []
    assert who(found, "2026-01-09T20:00") == ["li"], "a Friday"
    assert who(found, "2026-01-10T07:59") == ["li"]
    assert who(found, "2026-01-10T08:00") == []
    assert who(found, "2026-01-10T20:00") == []


def test_make_up_day_is_worked_and_a_holiday_is_not() -> None:
    office = Shift(name="白班", days="work", begins=time(8), ends=time(18), members=("li",))
    home = Shift(name="假日", days="free", begins=time(8), ends=time(18), members=("wang",))
    found = rota(office, home)
    assert who(found, "2026-10-10T12:00") == ["li"], "a Saturday that is worked"
    assert who(found, "2026-10-01T12:00") == ["wang"], "a Thursday, National Day"
    assert who(found, "2026-11-21T12:00") == ["wang"], "an ordinary Saturday"


def test_override_is_stronger_than_the_official_calendar() -> None:
    workdays = Workdays({date(2026, 10, 1): (True, "抢收")})
    assert workdays.day(date(2026, 10, 1)).work
    assert workdays.day(date(2026, 10, 1)).source == "override"
    assert workdays.day(date(2026, 10, 2)).source == "official"


def test_year_nobody_has_announced_is_judged_by_weekday_and_says_so() -> None:
    workdays = Workdays()
    assert not workdays.known(2099)
    assert workdays.known(2026)
    assert workdays.day(date(2099, 10, 1)).source == "weekday"
    assert workdays.day(date(2099, 10, 1)).work == (date(2099, 10, 1).isoweekday() < 6)


@given(st.integers(min_value=0, max_value=400 * 24 * 60), st.sampled_from(["all", "work", "free", "135"]))
def test_stretches_join_and_agree_with_every_instant(minute: int, days: str) -> None:
    found = rota(
        Shift(name="a", days=days, begins=time(20), ends=time(7, 30), members=("li", "wang", "zhao")), turn_days=1
    )
    start = at("2026-01-01T00:00") + minute * MINUTE
    seen = list(stretches(found, start, Workdays(), days=5))
    assert seen[0].from_ms == start
    for before, after in pairwise(seen):
        assert before.to_ms == after.from_ms
        assert before.people != after.people
    for each in seen:
        for instant in (each.from_ms, (each.from_ms + each.to_ms) // 2, each.to_ms - 1):
            assert on_call(found, instant, Workdays()) == each.people


def steps(*minutes: int, **more: object) -> Policy:
    return Policy(steps=tuple(Step(after_min=each, receivers=(f"r{each}",)) for each in minutes), **more)  # type: ignore[arg-type]


def minutes(policies: list[NodePolicy], priority: int = 1) -> list[tuple[int, int]]:
    return [(each.at_ms // MINUTE, each.organisation_id) for each in ladder(policies, priority, 0)]


def test_ladder_climbs_the_tree_and_is_gone_through_again() -> None:
    county = NodePolicy(2, steps(0, 15, upward_min=30, rounds=2, repeat_min=60))
    province = NodePolicy(1, steps(0, 10))
    assert minutes([county, province]) == [
        (0, 2), (15, 2), (45, 1), (55, 1),
        (115, 2), (130, 2), (160, 1), (170, 1),
    ]  # fmt: skip


def test_ladder_that_may_not_climb_stays() -> None:
    assert minutes([NodePolicy(2, steps(0, upward_min=None, rounds=1)), NodePolicy(1, steps(0))]) == [(0, 2)]


def test_node_with_nobody_for_a_priority_passes_the_call_on_at_once() -> None:
    only_critical = Policy(steps=(Step(receivers=("a",), priorities=(1,)),), rounds=1, upward_min=30)
    assert minutes([NodePolicy(2, only_critical), NodePolicy(1, steps(0))], priority=2) == [(0, 1)]


@given(
    st.lists(
        st.lists(st.integers(0, 120), max_size=4).map(sorted), max_size=4,
    ),
    st.integers(1, 5),
)  # fmt: skip
def test_ladder_never_goes_back_in_time_and_ends(nodes: list[list[int]], rounds: int) -> None:
    policies = [NodePolicy(number, steps(*each, rounds=rounds)) for number, each in enumerate(nodes)]
    found = ladder(policies, 1, 5)
    times = [each.at_ms for each in found]
    assert times == sorted(times)
    assert [each.number for each in found] == list(range(len(found)))
    if policies and any(nodes):
        assert len(found) == min(200, rounds * sum(len(each) for each in nodes))


def test_steps_out_of_order_and_empty_ones_are_refused() -> None:
    with pytest.raises(ValidationError, match="in the order of their minutes"):
        steps(10, 5)
    with pytest.raises(ValidationError, match="needs a receiver or a rota"):
        Step()


@pytest.mark.parametrize(
    ("now", "until"),
    [("2026-01-05T21:59", None), ("2026-01-05T22:00", "2026-01-06T07:30"), ("2026-01-06T07:29", "2026-01-06T07:30"),
     ("2026-01-06T07:30", None)],
)  # fmt: skip
def test_quiet_hours_span_midnight(now: str, until: str | None) -> None:
    assert Quiet().until(at(now), 3) == (None if until is None else at(until))
    assert Quiet().until(at(now), 1) is None


KINDS = st.sampled_from(sorted(LIMITS))


@given(KINDS, st.lists(st.integers(0, 90_000), min_size=1, max_size=150), st.integers(0, 5_000))
def test_limits_are_never_exceeded_in_any_window(kind: ReceiverKind, waits: list[int], takes: int) -> None:
    """Whatever comes when, and wherever between its begin and end an attempt reaches the channel."""
    now, spans = 0, []
    for wait in waits:
        now = free_at(LIMITS[kind], [end for _, end in spans], now + wait)
        spans.append((now, now + takes))
        now += takes
    for limit in LIMITS[kind]:
        for number in range(len(spans) - limit.count):
            first, last = spans[number], spans[number + limit.count]
            # So many plus one: even the latest arrival of the first and the earliest of the last are a window apart.
            assert last[0] - first[1] > limit.window_ms


def test_free_line_is_free_at_once() -> None:
    assert free_at((Limit(2, 1000),), [], 7) == 7
    assert free_at((Limit(2, 1000),), [0, 5], 7) == 1001


def test_full_and_half_hours_are_left_alone() -> None:
    assert off_the_hour(at("2026-01-05T10:00") + 3_000) == at("2026-01-05T10:00") + 10_000
    assert off_the_hour(at("2026-01-05T10:30")) == at("2026-01-05T10:30") + 10_000
    assert off_the_hour(at("2026-01-05T10:00") + 10_000) == at("2026-01-05T10:00") + 10_000
    assert off_the_hour(at("2026-01-05T10:15")) == at("2026-01-05T10:15")


@given(st.integers(1, 200), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_pause_grows_to_its_end_and_never_undercuts_what_was_asked(
    attempts: int, jitter: float, asked: float | None
) -> None:
    config = NotifyConfig()
    pause = pause_s(config, attempts, jitter, asked)
    assert pause >= config.retry_first_s / 2
    if asked is None:
        assert pause <= config.retry_max_s
    else:
        assert pause >= min(asked, config.give_up_s)


@given(st.text(max_size=400), st.integers(30, 300))
def test_cut_text_fits_and_is_text(text: str, most: int) -> None:
    cut = cut_utf8(text, most, "… more")
    assert len(cut.encode()) <= most or cut == text
    if len(text.encode(errors="surrogatepass")) > most:
        assert cut.endswith("… more")


STATES = ["UNACKNOWLEDGED", "ACKNOWLEDGED", "RTN_UNACKNOWLEDGED", "NORMAL", "LATCHED_UNACKNOWLEDGED"]
ALARMS = st.builds(
    facts,
    alarm_id=st.integers(1, 6),
    priority=st.integers(1, 3),
    process_state=st.sampled_from(STATES),
    suppression_state=st.sampled_from(["NONE", "SHELVED", "SUPPRESSED_BY_DESIGN"]),
    explained_by=st.none() | st.integers(7, 9),
    replayed=st.booleans(),
    site_id=st.integers(1, 3),
)
LINES = st.builds(
    Line,
    alarm=ALARMS,
    version=st.integers(1, 3),
    purpose=st.sampled_from(["call", "return"]),
    step=st.integers(0, 4),
    target=st.sampled_from(["r0", "r1", "r2", "rota:x", "-", "ghost"]),
    receiver=st.none(),
    due_ms=st.just(0),
).map(lambda line: replace(line, receiver=next((each for each in RECEIVERS if each.code == line.target), None)))


@given(
    st.lists(LINES, max_size=30),
    st.lists(st.builds(Mute, st.integers(1, 9), st.sampled_from([1, 2, 5]), st.none() | st.integers(1, 3),
                       st.just((2, 3)), st.just(0), st.integers(1, 10**13)), max_size=3),
    st.integers(0, 10**12),
)  # fmt: skip
def test_chain_neither_invents_nor_loses_a_line_and_gives_a_reason_for_each_it_drops(
    lines: list[Line], mutes: list[Mute], now: int
) -> None:
    config = NotifyConfig()
    policies = {2: Policy(quiet=Quiet(priorities=(2, 3)))}
    planned = chain.run(
        (
            chain.address,
            chain.quieten,
            chain.mute(mutes, now),
            chain.quiet_hours(policies, now),
            chain.group(config, {}, now),
        ),
        Batch(tuple(lines)),
    )
    sent = chain.run((chain.still_true({}), chain.deduplicate(config, (), now)), planned)
    out = [each.alarm for each in sent.lines] + [each.line.alarm for each in sent.dropped]
    assert sorted(map(repr, out)) == sorted(repr(each.alarm) for each in lines)
    assert all(each.reason for each in sent.dropped)
    for line in sent.lines:
        assert line.receiver is not None
        assert line.receiver.enabled
        assert line.group_key
        assert line.due_ms >= now
        assert not line.alarm.replayed
        assert line.alarm.explained_by is None


def test_content_forgets_the_step_and_knows_the_call() -> None:
    first = Line(facts(), 1, "call", 0, "r0", RECEIVERS[0], 0)
    assert content_of([first]) == content_of([replace(first, step=3)])
    assert content_of([first]) != content_of([replace(first, version=2)])
    assert content_of([first]) != content_of([replace(first, purpose="return")])


def test_repeated_content_is_dropped_within_its_time_and_told_after_it() -> None:
    config = NotifyConfig(repeat_s=300)
    line = Line(facts(), 1, "call", 0, "r0", RECEIVERS[0], 0)
    before = [Sent(content_of([line]), 0)]
    assert chain.deduplicate(config, before, 299_999)(Batch((line,))).dropped[0].reason == "repeated"
    assert chain.deduplicate(config, before, 300_000)(Batch((line,))).lines == (line,)


@pytest.mark.parametrize(
    "address",
    ["https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-DEF-123", "https://x/robot/send?access_token=abc-DEF-123",
     "https://open.feishu.cn/open-apis/bot/v2/hook/abc-DEF-123", "abc-DEF-123"],
)  # fmt: skip
def test_key_is_taken_out_of_the_address_a_service_shows(address: str) -> None:
    secret = parse_secret(ReceiverKind.WECOM, {"key": address})
    assert secret.key.get_secret_value() == "abc-DEF-123"
    assert "abc-DEF-123" not in repr(secret)
