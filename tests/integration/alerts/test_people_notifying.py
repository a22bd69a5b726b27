"""From an alarm in the journal to messages at the channels: who, when, once, and what is on record."""

from __future__ import annotations

import re

import pytest
from fix_people import HUNAN, YANLING, Team

from hanlu.alerts.operate import acknowledge_many, shelve, unshelve
from hanlu.alerts.people.manage import NewMute, add_mute
from hanlu.alerts.people.read import read_notifications

pytestmark = pytest.mark.postgres
MINUTE = 60


def texts(team: Team, path: str = "/wecom") -> list[str]:
    return [each.json["markdown"]["content"] for each in team.channels.to(path)]


def test_alarm_is_told_once_to_the_first_step_after_the_group_wait(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm()
    team.settle(1)
    assert texts(team) == []
    team.settle(20)
    team.settle(20)
    (text,) = texts(team)
    assert "炎陵冷库 · 1 号冻结间" in text
    assert "现在" not in text  # nothing measured yet
    assert "最严重 −9.8 °C，限值 −15.0 °C" in text
    assert "可能原因：门没关" in text
    assert f"https://hanlu.example/console/alarms/{alarm}" in text
    assert re.search(r"https://hanlu\.example/alarm/acknowledge/[\w-]{32}", text)
    assert team.lines() == [(alarm, "call", 0, "li", "told", "")]
    assert team.states() == ["sent"]
    outcomes = team.rows("SELECT number, outcome FROM alerts.notification_attempt ORDER BY notification_attempt_id")
    assert outcomes == [(1, "begun"), (1, "sent")]


def test_critical_alarm_does_not_wait_for_company(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    team.alarm(priority=1)
    team.settle()
    assert len(texts(team)) == 1


def test_text_on_record_has_no_link_that_acknowledges(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    team.alarm(priority=1)
    team.settle()
    token = re.search(r"/alarm/acknowledge/([\w-]{32})", texts(team)[0])
    assert token is not None
    dump = team.rows("SELECT message, row_to_json(l)::text FROM alerts.notification, alerts.acknowledge_link AS l")
    assert "确认收到：{acknowledge}" in dump[0][0]
    assert token[1] not in str(dump)


def test_nobody_acknowledging_climbs_the_ladder_and_then_the_tree(team: Team) -> None:
    for code, organisation in (("li", YANLING), ("wang", YANLING), ("province", HUNAN)):
        team.receiver(code, organisation=organisation, path=f"/{code}")
        team.channels.answer(f"/{code}", {"errcode": 0})
    team.policy((0, "li"), (15, "wang"), upward_min=30, rounds=1)
    team.policy((0, "province"), organisation=HUNAN)
    team.alarm(priority=1)
    told: list[tuple[int, str]] = []
    for minute in range(60):
        before = len(team.channels.calls)
        team.settle(0 if minute == 0 else MINUTE)
        told += [(minute, each.path) for each in team.channels.calls[before:]]
    assert told == [(0, "/li"), (15, "/wang"), (45, "/province")]
    assert "这是升级的第 2 步" in texts(team, "/wang")[0]


def test_acknowledging_ends_the_ladder_and_what_waits(team: Team) -> None:
    team.receiver("li")
    team.receiver("wang", path="/wang")
    team.policy((0, "li"), (15, "wang"))
    alarm = team.alarm(priority=1)
    team.settle()
    team.acknowledge(alarm)
    team.settle(3600)
    assert len(team.channels.calls) == 1
    other = team.alarm(channel=3, priority=2)
    team.settle(1)
    team.acknowledge(other)
    team.settle(60)
    assert len(team.channels.calls) == 1
    assert team.lines()[-1] == (other, "call", 0, "li", "dropped", "over:acknowledge")


def test_re_alarm_calls_anew(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1)
    team.settle()
    team.acknowledge(alarm)
    team.settle(3600)
    team.happens(alarm, "re_alarm", process_state="UNACKNOWLEDGED")
    team.settle()
    assert len(texts(team)) == 2


def test_rounds_repeat_until_they_are_used_up(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"), rounds=3, repeat_min=10, upward_min=None)
    team.alarm(priority=1)
    for _ in range(60):
        team.settle(MINUTE)
    assert len(texts(team)) == 3


def test_alarms_of_one_site_share_a_message_and_a_flood_is_counted(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    kinds = ("high", "low", "rate", "door", "stuck", "drift", "power", "compressor", "dose", "spool", "clock")
    for kind in kinds:
        team.alarm(kind=kind)
    team.settle()
    team.settle(25)
    (text,) = texts(team)
    assert "炎陵冷库：11 个报警" in text
    assert "另有 3 个" in text
    assert len(team.lines()) == 11
    assert {each[4] for each in team.lines()} == {"told"}


def test_next_message_about_a_site_keeps_its_distance(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    team.alarm()
    team.settle()
    team.settle(25)
    team.alarm(kind="low")
    team.settle(30)
    assert len(texts(team)) == 1
    team.settle(120)
    assert len(texts(team)) == 2


def test_return_is_told_to_those_who_were_told(team: Team) -> None:
    team.receiver("li")
    team.receiver("wang", path="/wang")
    team.policy((0, "li"), (15, "wang"))
    alarm = team.alarm(priority=1)
    team.settle()
    team.clock.advance(300)
    team.returns(alarm)
    team.settle()
    team.settle(3600)
    assert [each.path for each in team.channels.calls] == ["/wecom", "/wecom"]
    assert "（已恢复）" in texts(team)[1]
    assert "现已恢复正常" in texts(team)[1]


def test_alarm_over_before_anybody_was_told_is_told_once_as_over(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"), (5, "li"))
    alarm = team.alarm()
    team.returns(alarm)
    team.settle()
    team.settle()
    team.settle(25)
    team.settle(3600)
    (text,) = texts(team)
    assert "现已恢复正常" in text


def test_held_alarm_calls_nobody_until_it_is_released(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1, suppression_state="SUPPRESSED_BY_DESIGN", hold_reason="defrost")
    team.settle(3600)
    assert texts(team) == []
    assert team.lines() == []
    team.happens(alarm, "unsuppress", suppression_state="NONE", hold_reason=None)
    team.settle()
    assert len(texts(team)) == 1


def test_explained_alarm_is_never_told_separately(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    power = team.alarm(kind="power")
    room = team.alarm(kind="high")
    team.settle(1)
    team.happens(
        room, "suppress", suppression_state="SUPPRESSED_BY_DESIGN", hold_reason="explained", explained_by=power
    )
    team.settle()
    team.settle(25)
    (text,) = texts(team)
    assert "2 个报警" not in text
    assert team.lines() == [
        (power, "call", 0, "li", "told", ""),
        (room, "call", 0, "li", "dropped", f"explained:{power}"),
    ]


def test_replayed_alarm_calls_nobody_and_says_why(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm(replayed=True)
    team.settle(60)
    assert team.lines() == [(alarm, "call", 0, "li", "dropped", "replayed")]


def test_alarm_nobody_is_named_for_says_so_and_asks_again(team: Team) -> None:
    alarm = team.alarm(priority=1)
    team.settle()
    assert team.lines() == [(alarm, "call", 0, "-", "dropped", "nobody_named")]
    team.receiver("li")
    team.policy((0, "li"))
    team.settle(601)
    assert len(texts(team)) == 1


def test_muted_alarm_is_dropped_with_the_mute_named(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    now = team.clock.now_ms()
    mute = add_mute(team.connection, NewMute(YANLING, 1, (1, 2, 3), now, now + 3_600_000, "检修"), "li")
    alarm, elsewhere = team.alarm(), team.alarm(channel=6)
    team.settle()
    team.settle(25)
    assert sorted(team.lines()) == [
        (alarm, "call", 0, "li", "dropped", f"muted:{mute}"),
        (elsewhere, "call", 0, "li", "told", ""),
    ]


def test_low_priority_in_quiet_hours_waits_for_the_morning_digest(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"), quiet={"begins": "21:00", "ends": "07:30", "priorities": [3]}, rounds=1, upward_min=None)
    team.alarm(priority=3)
    team.alarm(channel=6, priority=3)
    team.settle(3600)
    assert texts(team) == []
    team.settle(9 * 3600)
    (text,) = texts(team)
    assert "（夜间汇总）" in text
    assert "2 个报警" in text


def test_same_person_named_twice_hears_once(team: Team) -> None:
    team.receiver("li")
    team.policy((0, "li"), (1, "li"), rounds=1, upward_min=None)
    alarm = team.alarm(priority=1)
    team.settle()
    team.settle(61)
    assert len(texts(team)) == 1
    assert team.lines()[1] == (alarm, "call", 1, "li", "dropped", "repeated")


def test_switched_off_and_unknown_receivers_are_on_record(team: Team) -> None:
    team.receiver("li", enabled=False)
    team.policy((0, "li"), (0, "ghost"))
    team.alarm(priority=1)
    team.settle()
    assert [each[3:] for each in team.lines()] == [
        ("li", "dropped", "receiver_off"),
        ("ghost", "dropped", "unknown_receiver"),
    ]


def test_what_was_told_of_an_alarm_can_be_read(team: Team) -> None:
    team.receiver("li", name="李师傅")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1)
    team.settle()
    (told,) = read_notifications(team.connection, alarm)
    assert (told.name, told.kind, told.state, told.attempts, told.possible_repeat) == (
        "李师傅", "wecom", "told", 1, False,
    )  # fmt: skip
    assert told.sent_ms == team.clock.now_ms()


def test_ladder_held_up_by_a_stop_keeps_its_distances(team: Team) -> None:
    for code in ("li", "wang", "zhao"):
        team.receiver(code, path=f"/{code}")
        team.channels.answer(f"/{code}", {"errcode": 0})
    team.policy((0, "li"), (15, "wang"), (30, "zhao"), rounds=1)
    team.alarm(priority=1)
    team.settle(7200)  # the platform stood still
    assert [each.path for each in team.channels.calls] == ["/li"]
    team.settle(900)
    team.settle(900)
    assert [each.path for each in team.channels.calls] == ["/li", "/wang", "/zhao"]


def test_first_policy_calls_for_what_stands_and_not_for_what_returned_long_ago(team: Team) -> None:
    team.receiver("li")
    stands, gone = team.alarm(priority=1), team.alarm(priority=1, kind="low")
    team.settle(MINUTE)
    team.returns(gone)
    team.settle(16 * 3600)
    team.policy((0, "li"))
    team.settle(600)
    assert team.lines()[-2:] == [
        (stands, "call", 0, "li", "told", ""),
        (gone, "call", 0, "li", "dropped", "past"),
    ]
    assert len(texts(team)) == 1
    told = len(team.lines())
    team.settle(3600)
    assert [each[0] for each in team.lines()[told:]] in ([], [stands])


@pytest.mark.parametrize(("still_min", "outcome"), [(25, ("told", "")), (35, ("dropped", "past"))])
def test_return_during_a_standstill_is_told_up_to_half_an_hour(
    team: Team, still_min: int, outcome: tuple[str, str]
) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1)
    team.returns(alarm)
    team.settle(still_min * MINUTE)  # the platform stood still
    assert [each[4:] for each in team.lines() if each[1] == "call"] == [outcome]


def test_return_before_a_later_first_step_is_still_told_at_that_step(team: Team) -> None:
    team.receiver("li")
    team.policy((45, "li"))
    alarm = team.alarm(priority=1)
    team.returns(alarm)
    team.settle(MINUTE)
    team.settle(50 * MINUTE)
    assert [each[3:5] for each in team.lines() if each[:2] == (alarm, "call")] == [("li", "told")]


def test_step_that_finds_nobody_does_not_cost_its_wait(team: Team) -> None:
    team.receiver("li", enabled=False)
    team.receiver("wang")
    team.policy((0, "li"), (30, "wang"), rounds=1, upward_min=None)
    team.alarm(priority=1)
    team.settle()
    assert len(texts(team)) == 1
    assert [each[3:5] for each in team.lines()] == [("li", "dropped"), ("wang", "told")]


def test_rounds_are_not_used_up_where_nobody_is_found(team: Team) -> None:
    team.receiver("li", enabled=False)
    team.policy((0, "li"), rounds=3, repeat_min=60, upward_min=None)
    alarm = team.alarm(priority=1)
    team.settle()
    assert [each[2:] for each in team.lines()] == [(0, "li", "dropped", "receiver_off")]
    team.rows("UPDATE alerts.receiver SET enabled = true")
    team.settle(3600)
    assert team.lines()[-1] == (alarm, "call", 1, "li", "told", "")


def test_what_people_do_in_the_console_is_followed(team: Team) -> None:
    """The real operations: shelving ends the call, taking from the shelf calls anew, acknowledging ends it for good."""
    team.receiver("li")
    team.policy((0, "li"), (60, "li"), upward_min=None)
    alarm = team.alarm(priority=1)
    team.settle()
    now = team.clock.now_ms()
    shelve(team.connection, [(1, "high")], until_ms=now + 3_600_000, reason="检修", note="", actor="wang", at_ms=now)
    team.settle(1800)
    assert team.rows("SELECT ended_by FROM alerts.summons") == [("shelve",)]
    unshelve(team.connection, [(1, "high")], note="", actor="wang", at_ms=team.clock.now_ms())
    team.settle()
    assert len(texts(team)) == 2
    acknowledge_many(team.connection, [(alarm, None)], "li", "", team.clock.now_ms())
    team.settle(7200)
    assert len(texts(team)) == 2
    assert team.rows("SELECT ended_by FROM alerts.summons ORDER BY summons_id") == [("shelve",), ("acknowledge",)]
