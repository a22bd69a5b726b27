"""What a message says, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from fix_people import RECEIVERS, facts

from hanlu.alerts.people.chain import Line
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.text import ACKNOWLEDGE, Composed, compose, letter_of, minutes_text
from hanlu.alerts.people.workdays import CHINA
from hanlu.core.clock import to_ms

NOW = to_ms(datetime(2026, 9, 21, 22, 40, tzinfo=CHINA))
MINUTE = 60_000


def room(**more: object) -> AlarmFacts:
    values = {
        "site_zh": "炎陵冷库", "site_en": "Yanling store", "zone_zh": "1 号冻结间", "zone_en": "Frozen room 1",
        "priority": 1,
        "value": -10.24, "peak": -9.8, "exceeded_ms": NOW - 35 * MINUTE, "respond_by_ms": NOW + 30 * MINUTE,
        "cause": "door_open", "response_zh": "查看库门是否关好", "response_en": "See whether the door is shut",
        "title_zh": "冻结间温度过高", "title_en": "Frozen room too warm",
    }  # fmt: skip
    return facts(**(values | more))


def said(alarm: AlarmFacts, lang: str = "zh", **more: object) -> Composed:
    values = {"purpose": "call", "now_ms": NOW, "repeat": False, "public_url": "https://h.example", "link": True}
    line = Line(alarm, 1, "call", 0, "r0", RECEIVERS[0], NOW)
    return compose([line], lang=lang, **(values | more))  # type: ignore[arg-type]


def test_message_says_what_where_how_bad_since_when_how_long_and_what_to_do() -> None:
    assert said(room()).text.split("\n") == [
        "【紧急】炎陵冷库 · 1 号冻结间：冻结间温度过高",
        "现在 −10.2 °C，最严重 −9.8 °C，限值 −15.0 °C",
        "自 22:05 起，已 35 分钟",
        "请在 23:10 前处理，还有 30 分钟",
        "可能原因：门没关",
        "处理办法：查看库门是否关好",
        "确认收到：{acknowledge}",
        "详情：https://h.example/console/alarms/1",
    ]
    assert said(room(), "en").text.split("\n") == [
        "[Critical] Yanling store · Frozen room 1: Frozen room too warm",
        "Now −10.2 °C, worst −9.8 °C, limit −15.0 °C",
        "Since 22:05, for 35 min",
        "Act before 23:10: 30 min left",
        "Probable cause: Door left open",
        "What to do: See whether the door is shut",
        "Acknowledge: {acknowledge}",
        "Details: https://h.example/console/alarms/1",
    ]


def test_switch_is_told_in_words() -> None:
    door = room(
        kind="door", metric="door_open", unit="", value=1.0, peak=1.0, limit_value=None, title_en="Door open long"
    )
    text = said(door, "en").text
    assert "Now Door open" in text
    assert "1.0" not in text
    assert said(door).short["value"] == "门开"
    assert "Now" not in said(replace(door, returned_ms=NOW), "en").text


def test_time_that_has_run_out_says_so() -> None:
    assert "应在 22:30 前处理，已过 10 分钟" in said(room(respond_by_ms=NOW - 10 * MINUTE)).text


def test_possible_repetition_says_so() -> None:
    assert "may be a repetition" in said(room(), "en", repeat=True).text


def test_without_a_link_its_line_is_left_out_and_html_is_escaped() -> None:
    letter = letter_of(said(room(zone_zh="<b>间</b>")), "u", NOW, None)
    assert ACKNOWLEDGE not in letter.text
    assert "acknowledge" not in letter.data["data"]
    assert "<b>" not in letter.html
    assert '<a href="https://h.example/console/alarms/1">' in letter.html


def test_alarm_of_days_ago_names_its_date() -> None:
    assert "自 09-19 22:40 起，已 2 天 0 小时" in said(room(exceeded_ms=NOW - 2 * 1440 * MINUTE)).text


def test_durations_read_like_speech() -> None:
    assert [minutes_text(each, "en") for each in (5, 60, 95, 3000)] == ["5 min", "1 h", "1 h 35 min", "2 d 2 h"]


def test_variables_of_an_sms_are_short() -> None:
    short = said(room(site_zh="很长很长很长很长很长的冷库名字", zone_zh="很长很长很长的房间")).short
    assert set(short) == {"place", "what", "value", "since", "more"}
    assert all(0 < len(each) <= 20 for each in short.values())
