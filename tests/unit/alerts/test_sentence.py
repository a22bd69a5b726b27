"""An alarm in one sentence, its times in words, its journal's notes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanlu.alerts.sentence import headline, note_text
from hanlu.alerts.views import Alarm, Entry
from hanlu.alerts.wording import hold_name, span_text, time_left

MINUTE = 60_000
ALARM = Alarm(
    1, 7, "high", 1, "UNACKNOWLEDGED", "NONE", -15.0, -9.7, 0, 5 * MINUTE, 5 * MINUTE, None, None, None, None, None,
    False, 1, "unknown", None, None, False, None, None, None, None, None, None, "/1/", "air_temperature", "Cel", 60.0,
    None, -15.0, "room", "1 号冻结间", "Frozen room 1", "store", "炎陵冷库", "Yanling store", True, None, None, None,
    None, None, None, None, None, None, None, None, None,
)  # fmt: skip


def test_sentence_says_what_where_how_bad_and_how_long() -> None:
    now = 42 * MINUTE
    assert headline(ALARM, now, "zh") == (
        "炎陵冷库 1 号冻结间：超上限，空气温度最差 −9.7\u202f°C（限值 −15.0\u202f°C），已持续 42 分钟。"
    )
    assert headline(ALARM, now, "en") == (
        "Above limit: Frozen room 1, Yanling store; Air temperature at worst −9.7\u202f°C against a limit of"
        " −15.0\u202f°C, for 42 min now."
    )


def test_alarm_that_has_returned_is_told_as_past() -> None:
    assert headline(replace(ALARM, returned_ms=90 * MINUTE), 99 * MINUTE, "zh").endswith(
        "持续了 1 小时 30 分钟，现已恢复。"
    )


@pytest.mark.parametrize("kind", ["no_data", "door", "gap"])
def test_value_that_says_nothing_is_not_told(kind: str) -> None:
    assert "9.7" not in headline(replace(ALARM, kind=kind), MINUTE, "en")


def test_switch_is_told_in_words_while_it_stands_and_never_as_a_number() -> None:
    lost = replace(ALARM, kind="power", metric="mains", unit="", peak=0.0, limit_value=None)
    assert "0.0" not in headline(lost, MINUTE, "en")
    assert [lost.switch_text(lang) for lang in ("zh", "en")] == ["市电停电", "Mains lost"]
    door = replace(ALARM, kind="door", metric="door_open", unit="", peak=1.0)
    assert [door.switch_text(lang) for lang in ("zh", "en")] == ["门开", "Door open"]
    assert replace(door, returned_ms=MINUTE).switch_text("en") == ""
    assert ALARM.switch_text("en") == ""


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0, "0 min"), (59, "59 min"), (60, "1 h"), (125, "2 h 5 min"), (13 * 60 + 5, "13 h"), (49 * 60, "2 days")],
)
def test_length_of_time_is_told_by_its_greatest_parts(minutes: int, said: str) -> None:
    assert span_text(minutes * MINUTE, "en") == said


def test_time_to_respond_counts_down_and_then_up() -> None:
    assert time_left(30 * MINUTE, 7 * MINUTE, "zh") == "还剩 23 分钟"
    assert time_left(30 * MINUTE, 36 * MINUTE, "zh") == "已超时 6 分钟"


def test_reason_is_said_in_words_and_a_persons_own_words_stay() -> None:
    assert hold_name("defrost", "zh") == "正在除霜"
    assert hold_name("repair", "en") == "Being repaired"
    assert hold_name("门坏了", "en") == "门坏了"


def test_note_of_the_platform_is_a_code_in_words_and_a_persons_note_is_theirs() -> None:
    entry = Entry(2, 0, 0, "cause", "UNACKNOWLEDGED", "UNACKNOWLEDGED", "engine", None, "door_open")
    assert note_text(entry, "zh") == "门没关"
    assert note_text(replace(entry, event="suppress", note="defrost"), "en") == "Defrost"
    assert note_text(replace(entry, event="acknowledge", actor="li", note="defrost"), "en") == "defrost"
