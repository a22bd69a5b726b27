"""Curves: nothing drawn that was not measured, well-formed and safe whatever the words."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.curve import Mark, Sample, Span, Strip, curve, segments, sparkline

MINUTE = 60_000
NOON = 1_750_046_400_000  # 2025-06-16T12:00 in China
SVG_PATH = re.compile(r'class="(?:curve|spark)-line"[^>]* d="([^"]*)"')

values = st.floats(min_value=-90, max_value=150, allow_nan=False)


def minutes(*numbers: float | None, start: int = NOON) -> list[Sample]:
    return [Sample(start + index * MINUTE, each) for index, each in enumerate(numbers) if each is not None]


def test_segments_cut_where_readings_are_missing() -> None:
    pieces = list(segments(minutes(1, 2, None, None, 3, 4), 2.5 * MINUTE))
    assert [[point.value for point in piece] for piece in pieces] == [[1, 2], [3, 4]]


def test_segments_cut_before_a_point_that_knows_of_a_gap() -> None:
    points = [Sample(NOON, 1), Sample(NOON + 1, 2, after_gap=True), Sample(NOON + 2, 3)]
    assert [len(piece) for piece in segments(points, MINUTE)] == [1, 2]


def test_line_over_a_gap_is_not_drawn() -> None:
    line = SVG_PATH.search(curve(minutes(1, 2, None, None, 3, 4), gap_ms=2.5 * MINUTE, title="t"))
    assert line is not None
    assert line[1].count("M") == 2


def test_lonely_point_between_gaps_is_still_seen() -> None:
    line = SVG_PATH.search(sparkline(minutes(1, None, None, None, 3), 100, 20, 2 * MINUTE))
    assert line is not None
    assert line[1].count("h.01") == 2


def test_limit_outside_the_values_is_inside_the_picture() -> None:
    picture = curve(minutes(-20, -19), gap_ms=MINUTE, title="t", high=-15.0, height=200)
    limit = re.search(r'curve-limit-high"[^>]* d="M\S+ (\S+?)h', picture)
    assert limit is not None
    assert 0 < float(limit[1]) < 200


def test_area_beyond_the_limit_starts_where_the_curve_crosses_it() -> None:
    picture = curve(minutes(0, 10), gap_ms=MINUTE, title="t", high=5.0, width=154, height=200)
    area = re.search(r'class="curve-over"[^>]* d="([^"]*)"', picture)
    assert area is not None
    assert "L94 " in area[1]  # half way between the plot's edges, 44 and 144


def test_time_labels_are_china_time_in_the_readers_language() -> None:
    midnight = NOON - 12 * 60 * MINUTE
    points = minutes(*range(24 * 60 + 1), start=midnight)
    assert "6月16日" in curve(points, gap_ms=MINUTE, title="t", lang="zh")
    english = curve(points, gap_ms=MINUTE, title="t", lang="en")
    assert "16 Jun" in english
    assert "12:00" in english


def test_marks_shades_and_strips_outside_the_edges_are_left_out() -> None:
    far = Span(NOON - 10 * MINUTE, NOON - 5 * MINUTE)
    picture = curve(
        minutes(1, 2, 3), gap_ms=MINUTE, title="t", marks=[Mark(NOON - MINUTE, "early")], shades=[far],
        strips=[Strip("door", [far])],
    )  # fmt: skip
    assert "early" not in picture
    assert "curve-shade" not in picture
    assert "curve-strip-on" not in picture
    assert "door" in picture


def test_words_from_outside_cannot_become_markup() -> None:
    picture = curve(minutes(1, 2), gap_ms=MINUTE, title="<script>", description='"&', marks=[Mark(NOON, "<b>")])
    assert "<script>" not in picture
    assert "<b>" not in picture
    ET.fromstring(picture)


def test_curve_without_points_is_an_empty_frame() -> None:
    ET.fromstring(curve([], gap_ms=MINUTE, title="t", from_ms=NOON, to_ms=NOON + MINUTE))
    ET.fromstring(sparkline([], 100, 20, MINUTE))


@given(
    st.lists(st.tuples(st.integers(1, 5_000_000), values), max_size=40),
    st.none() | values,
    st.none() | values,
)
def test_any_series_gives_a_well_formed_picture_inside_its_frame(
    steps: list[tuple[int, float]], low: float | None, high: float | None
) -> None:
    at, points = NOON, []
    for step, value in steps:
        at += step
        points.append(Sample(at, value, value - 0.5, value + 0.5))
    root = ET.fromstring(curve(points, gap_ms=100_000, title="t", unit="°C", low=low, high=high, width=300, height=150))
    line = [each.get("d", "") for each in root if each.get("class") == "curve-line"]
    numbers = [float(each) for each in re.findall(r"-?\d+\.?\d*", " ".join(line).replace("h.01", ""))]
    assert all(0 <= x <= 300 for x in numbers[::2])
    assert all(0 <= y <= 150 for y in numbers[1::2])
    ET.fromstring(sparkline(points, 120, 28, 100_000, low, high))


def _strip_texts(picture: str) -> list[tuple[str, float, str]]:
    """Return (anchor, x, text) of the labels of the strips."""
    names = {"s": "http://www.w3.org/2000/svg"}
    root = ET.fromstring(picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    labels = [group.find("s:text", names) for group in root.findall("s:g", names)]
    return [
        (str(each.get("text-anchor")), float(str(each.get("x"))), str(each.text)) for each in labels if each is not None
    ]


def test_label_beside_a_strip_stands_on_the_roomier_side_of_it() -> None:
    strips = [
        Strip("left", [Span(NOON, NOON + 10 * MINUTE)], "place", beside=True),
        Strip("right", [Span(NOON + 50 * MINUTE, NOON + 60 * MINUTE)], "place", beside=True),
        Strip("door", [Span(NOON, NOON + 10 * MINUTE)]),
    ]
    picture = curve(minutes(*range(61)), gap_ms=2 * MINUTE, title="t", strips=strips, width=320)
    first, second, plain = _strip_texts(picture)
    assert (first[0], second[0], plain[0]) == ("start", "end", "end")
    assert first[1] > 44 + 10 / 60 * 266
    assert second[1] < 44 + 50 / 60 * 266
    assert plain[1] < 44


def test_limits_that_recommend_fill_what_lies_between_them_and_blame_nothing() -> None:
    points = minutes(20, 2, 2)
    alarm = curve(points, gap_ms=2 * MINUTE, title="t", low=-1, high=3)
    recommended = curve(points, gap_ms=2 * MINUTE, title="t", low=-1, high=3, limits="range")
    assert ("curve-over" in alarm, "curve-range" in alarm) == (True, False)
    assert ("curve-over" in recommended, "curve-range" in recommended) == (False, True)
    assert recommended.count("curve-limit-") == 2


def test_open_side_of_a_range_reaches_to_the_edge_of_the_plot() -> None:
    picture = curve(minutes(1, 2, 3), gap_ms=2 * MINUTE, title="t", high=2, limits="range", height=200)
    box = re.search(r'curve-range"[^>]* y="([0-9.]+)"[^>]* height="([0-9.]+)"', picture)
    assert box is not None
    assert round(float(box[1]) + float(box[2])) == 200 - 24
    assert "curve-range" not in curve(minutes(1, 2), gap_ms=2 * MINUTE, title="t", limits="range")
