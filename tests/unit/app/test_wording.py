"""Numbers, times and languages as people read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.app.wording import Wording, fmt_age, fmt_time, fmt_value, preferred_language
from hanlu.core.errors import FatalError

MOMENT = datetime(2026, 11, 20, 16, 3, 7, tzinfo=UTC)
MOMENT_MS = 1_795_190_587_000


@pytest.mark.parametrize(
    ("style", "expected"),
    [("minute", "2026-11-21 00:03"), ("second", "2026-11-21 00:03:07"), ("date", "2026-11-21"), ("clock", "00:03")],
)
def test_time_is_chinas_in_24_hours(style: str, expected: str):
    assert fmt_time(MOMENT, style) == expected
    assert fmt_time(MOMENT_MS, style) == expected


def test_what_is_absent_is_a_dash():
    assert fmt_time(None) == fmt_value(None, "Cel") == fmt_age(None, MOMENT_MS, "zh") == "—"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (-18.24, "Cel", "−18.2\u202f°C"),
        (-0.04, "Cel", "0.0\u202f°C"),
        (0.0, "Cel", "0.0\u202f°C"),
        (84.6, "%RH", "85\u202f%"),
        (1_234_567, "", "1,234,567.0"),
        (12.5, "furlong", "12.5\u202ffurlong"),
    ],
)
def test_values_have_their_units_and_a_true_minus(value: float, unit: str, expected: str):
    assert fmt_value(value, unit) == expected


def test_decimals_may_be_asked_for():
    assert fmt_value(3.14159, "Cel", 3) == "3.142\u202f°C"


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (0, "0 秒前", "0 s ago"),
        (89, "89 秒前", "89 s ago"),
        (90, "1 分钟前", "1 min ago"),
        (5_400, "1 小时前", "1 h ago"),
        (36 * 3600, "1 天前", "1 d ago"),
        (-5, "0 秒前", "0 s ago"),
    ],
)
def test_ages_are_told_in_the_unit_that_fits(seconds: int, zh: str, en: str):
    then = MOMENT_MS - seconds * 1000
    assert (fmt_age(then, MOMENT_MS, "zh"), fmt_age(then, MOMENT_MS, "en")) == (zh, en)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB", "en"),
        ("zh;q=0.2, en;q=0.9", "en"),
        ("de-DE, de;q=0.9", "zh"),
        ("en;q=0, zh;q=0", "zh"),
        ("", "zh"),
    ],
)
def test_the_language_ranked_first_is_taken(header: str, expected: str):
    assert preferred_language(header) == expected


@given(st.text(max_size=80))
def test_any_header_gives_one_of_the_languages(header: str):
    assert preferred_language(header) in {"zh", "en"}


def write(folder: Path, name: str, texts: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(texts), encoding="utf-8")
    return path


def test_a_text_of_two_rooms_or_of_one_language_is_refused(tmp_path: Path):
    first = write(tmp_path, "a.json", {"a.x": {"zh": "甲", "en": "a"}})
    second = write(tmp_path, "b.json", {"a.x": {"zh": "乙", "en": "b"}})
    half = write(tmp_path, "c.json", {"c.x": {"zh": "丙"}})
    assert Wording([first]).text("zh", "a.x") == "甲"
    with pytest.raises(FatalError, match="another room"):
        Wording([first, second])
    with pytest.raises(FatalError, match="both zh and en"):
        Wording([half])
    with pytest.raises(FatalError, match=r"a\.y"):
        Wording([first]).text("zh", "a.y")
