"""Fonts and words of the report, and the report itself from values alone."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pypdf import PdfReader

from hanlu.alerts.excursion.fonts import BOLD, LATIN, chinese_font, find_font, marked, runs
from hanlu.alerts.excursion.read import Act, AlarmOf, Curve, Detail, Excursion, Lot, Profile, Version
from hanlu.alerts.excursion.report import report_pdf
from hanlu.alerts.excursion.say import Say
from hanlu.core.curve import Sample, Span

START = 1_750_000_000_000
MINUTE = 60_000
DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
POSTSCRIPT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"

EXCURSION = Excursion(
    excursion_id=17, channel_id=1, side="high", limit_value=-15.0, standing=False, unit="Cel", gap_ms=600_000,
    from_ms=START, to_ms=START + 400 * MINUTE, known_until_ms=START + 401 * MINUTE, minutes=400.0, unknown_minutes=12.0,
    degree_minutes=1234.5, peak=-9.94, peak_ms=START + 7 * MINUTE, mean=-12.0, kinetic=-11.25, kinetic_day=-14.5,
    known_day=1439.0, kinetic_month=None, known_month=0.0, readings=402, digest="ab" * 32, windows_ms=START,
    computed_ms=START, version=4, corrections=1, organisation_zh="炎陵县社", organisation_en="Yanling", site="store",
    site_zh="炎陵冷库", site_en="Yanling cold store", zone="room", zone_zh="冻结间", zone_en="Frozen room",
    channel="gw/room/air_temperature", metric="air_temperature", period_s=60.0, limit_profile="frozen",
    locations=["https://id.gs1.org/414/6901234000016"], unacknowledged=False, held=False, lots=1,
)  # fmt: skip
CURVE = Curve(
    Span(START - 60 * MINUTE, START + 460 * MINUTE),
    [Sample(START + (minute - 60) * MINUTE, -18.0 + 8 * (60 <= minute < 460)) for minute in range(520)],
    [("defrost", [Span(START, START + 40 * MINUTE)]), ("door_open", [])],
    600_000,
)
DETAIL = Detail(
    EXCURSION,
    Profile("frozen", "GB 31605-2020 <第5条> & 企业标准", None, -15.0, date(2026, 1, 1)),
    [AlarmOf(5, "high", 1, "NORMAL", -15.0, "defrost", "frozen-air-high", 3, "过热", "Warm", START, None, False)],
    [Act(5, START, "acknowledge", "li", "已关门 <script>alert(1)</script> " + "很长的备注" * 80)],
    [Lot("https://id.gs1.org/01/06901234567892/10/A%2F7", START, None, "黄桃", "Peach")],
    [
        Version(1, START, "begun", None, {"minutes": 300.0}),
        Version(2, START, "late_data", {"minutes": 300.0}, {"minutes": 400.0}),
    ],
    CURVE,
)  # fmt: skip


def text_of(data: bytes) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages))


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_report_of_values_says_them_and_takes_words_for_words(lang: str) -> None:
    text = text_of(report_pdf(DETAIL, lang, START))  # type: ignore[arg-type]
    for each in (
        "GB 31605-2020 <",
        "& ",
        "<script>alert(1)</script>",
        "A/7",
        "frozen-air-high",
        "1,234.5 K·min",
        "ab" * 32,
    ):
        assert each in text
    assert "400" in text or "6 h 40 min" in text or "6 小时 40 分" in text


def test_report_of_a_lone_reading_and_of_none_can_be_printed() -> None:
    lone = replace(DETAIL, curve=Curve(CURVE.span, CURVE.samples[100:101], [], 600_000))
    none = replace(
        DETAIL, curve=Curve(CURVE.span, [], [], 600_000), alarms=[], lots=[], acts=[], versions=[], profile=None
    )
    assert report_pdf(lone, "en", START).startswith(b"%PDF-")
    assert "not kept any more" in text_of(report_pdf(none, "en", START))


def test_report_of_a_hundred_lots_goes_on_over_pages_that_are_counted() -> None:
    many = replace(DETAIL, lots=[replace(DETAIL.lots[0], from_ms=START + index) for index in range(100)])
    pages = PdfReader(io.BytesIO(report_pdf(many, "en", START))).pages
    assert len(pages) >= 3
    assert f"Page {len(pages)} of {len(pages)}" in text_of(report_pdf(many, "en", START))


def test_report_twice_is_the_same_text() -> None:
    assert text_of(report_pdf(DETAIL, "zh", START)) == text_of(report_pdf(DETAIL, "zh", START))


def test_letters_are_written_in_the_font_that_has_them() -> None:
    assert list(runs("−15 °C 冷库")) == [(LATIN, "–15 °C "), (chinese_font(), "冷库")]
    assert marked("a<b>库\n", BOLD) == (
        f'<font name="{BOLD}">a&lt;b&gt;</font><font name="{chinese_font()}">库</font><font name="{BOLD}"><br/></font>'
    )


def test_font_is_embedded_only_when_it_has_the_letters() -> None:
    if not Path(DEJAVU).is_file():
        pytest.skip("no DejaVu fonts here")
    assert find_font(["/no/such/font.ttf", DEJAVU], needed="Aé") is not None
    assert find_font([DEJAVU]) is None


def test_font_with_postscript_outlines_is_passed_over() -> None:
    if not Path(POSTSCRIPT).is_file():
        pytest.skip("no Noto CJK fonts here")
    assert find_font([POSTSCRIPT]) is None


def test_broken_font_file_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\x00\x01\x00\x00 no font at all")
    assert find_font([str(broken)]) is None


def test_figures_are_written_for_people() -> None:
    say = Say("en")
    assert say.duration(0.5) == "0.5 min"
    assert say.duration(119.94) == "119.9 min"
    assert say.duration(120.4) == "2 h 0 min"
    assert say.duration(None) == "—"
    assert say.value(-0.04, "Cel") == "0.0 °C"
    assert say.value(-1234.5, "Cel") == "−1,234.5 °C"
    assert say.window(EXCURSION) == "−14.50 °C (99.9% of the time known)"
    assert say.window(EXCURSION, month=True) == "—"
    assert say.window(replace(EXCURSION, windows_ms=None)) == "being computed"
    assert say.window(replace(EXCURSION, unit="%RH")) == "—"
    assert say.degree_minutes(replace(EXCURSION, unit="%RH")) == "1,234.5 %RH·min"


def test_lot_of_another_form_is_shown_as_it_is() -> None:
    assert Lot("urn:lot:7", START, None, None, None).code == "urn:lot:7"
    assert DETAIL.lots[0].code == "A/7"
