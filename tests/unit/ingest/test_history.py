"""Spans, marks and pictures of the past: what is asked for and what thinning may never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.errors import UsageError
from hanlu.ingest.history.downsample import Summary, coarsen, holes, thin
from hanlu.ingest.history.plan import (
    HOUR_MS,
    MOST_READINGS,
    Mark,
    Resolution,
    Span,
    channel_name,
    finest,
    mark,
    moment,
    span,
)

series = st.lists(
    st.tuples(st.integers(0, 9_999), st.floats(-1e6, 1e6)), unique_by=lambda each: each[0], max_size=400
).map(sorted)


class TestThin:
    @given(series, st.integers(1, 100))
    def test_extremes_and_ends_of_every_bucket_stay_and_nothing_is_invented(
        self, readings: list[tuple[int, float]], most: int
    ) -> None:
        at_ms, values = [each[0] for each in readings], [each[1] for each in readings]
        kept = thin(at_ms, values, most, 0, 10_000)
        assert kept == sorted(set(kept))
        assert len(kept) <= max(most, 4)
        if len(readings) <= most:
            assert kept == list(range(len(readings)))
            return
        width = 10_000 / max(most // 4, 1)
        of_bucket: dict[int, list[int]] = {}
        for index, at in enumerate(at_ms):
            of_bucket.setdefault(int(at / width), []).append(index)
        for indices in of_bucket.values():
            left = [values[index] for index in indices if index in kept]
            assert min(left) == min(values[index] for index in indices)
            assert max(left) == max(values[index] for index in indices)
            assert {indices[0], indices[-1]} <= set(kept)

    def test_one_short_excursion_in_a_month_is_there(self) -> None:
        values = [-18.0] * 43_200
        values[20_000] = -2.5
        kept = thin([index * 60_000 for index in range(43_200)], values, 300, 0, 43_200 * 60_000)
        assert -2.5 in [values[index] for index in kept]


def _hour(at_ms: int, readings: list[float], covered_s: float, weighted: float | None) -> Summary:
    if not readings:
        return Summary(at_ms, 0, 0, 0, covered_s, None, None, None, weighted, None, None, None, None)
    mean = sum(readings) / len(readings)
    first, last = readings[0], readings[-1]
    return Summary(
        at_ms, len(readings), 0, 1, covered_s, min(readings), max(readings), mean, weighted,
        at_ms, first, at_ms + len(readings) - 1, last,
    )  # fmt: skip


hours = st.lists(
    st.tuples(
        st.integers(0, 2_000),
        st.lists(st.floats(-100, 100), max_size=5),
        st.floats(1, 3600),
        st.one_of(st.none(), st.floats(-100, 100)),
    ),
    unique_by=lambda each: each[0],
    min_size=1,
    max_size=200,
).map(
    lambda rows: [
        _hour(number * HOUR_MS, values, 0.0 if weighted is None else covered, weighted)
        for number, values, covered, weighted in sorted(rows, key=lambda row: row[0])
    ]
)


class TestCoarsen:
    @given(hours, st.integers(1, 50))
    def test_nothing_counted_is_lost_and_the_extremes_are_those_of_all(self, rows: list[Summary], most: int) -> None:
        found = coarsen(rows, most, HOUR_MS)
        assert len(found) <= max(most + 1, len(rows) if len(rows) <= most else 0)
        assert [each.at_ms for each in found] == sorted({each.at_ms for each in found})
        for column in ("readings", "uncertain", "bad"):
            assert sum(getattr(each, column) for each in found) == sum(getattr(each, column) for each in rows)
        assert sum(each.covered_s for each in found) == pytest.approx(sum(each.covered_s for each in rows))
        lows = [each.least for each in rows if each.least is not None]
        assert min((each.least for each in found if each.least is not None), default=None) == min(lows, default=None)
        highs = [each.greatest for each in rows if each.greatest is not None]
        assert max((each.greatest for each in found if each.greatest is not None), default=None) == max(
            highs, default=None
        )
        area = sum(each.weighted * each.covered_s for each in rows if each.weighted is not None)
        joined = sum(each.weighted * each.covered_s for each in found if each.weighted is not None)
        assert joined == pytest.approx(area, abs=1e-3)
        if any(each.readings for each in rows):
            measured = [each for each in rows if each.readings]
            assert next(each.first for each in found if each.readings) == measured[0].first
            assert [each.last for each in found if each.readings][-1] == measured[-1].last

    def test_stretches_begin_at_the_same_times_whenever_one_looks(self) -> None:
        rows = [_hour(number * HOUR_MS, [1.0], 3600, 1.0) for number in range(100)]
        early, later = coarsen(rows[:96], 12, HOUR_MS), coarsen(rows[4:100], 12, HOUR_MS)
        assert {each.at_ms % (8 * HOUR_MS) for each in early + later} == {0}


class TestHoles:
    def test_hole_is_told_by_the_readings_around_it(self) -> None:
        assert holes([0, 60, 120, 400, 460], 180) == [(120, 400)]
        assert holes([5], 180) == holes([], 180) == []


class TestQuestions:
    @pytest.mark.parametrize(
        ("text", "ms"),
        [
            ("1772352000000", 1_772_352_000_000),
            ("2026-03-01T08:00:00Z", 1_772_352_000_000),
            ("2026-03-01T16:00+08:00", 1_772_352_000_000),
            ("2026-03-01T16:00 08:00", 1_772_352_000_000),
        ],
    )
    def test_instant_is_understood(self, text: str, ms: int) -> None:
        assert moment(text) == ms

    @pytest.mark.parametrize(
        "text",
        ["", "now", "2026-03-01T08:00", "2026-13-01T00:00Z", "-5", "9" * 20, "1e9", "²", "٣", "2026-03-01T\x00Z"],
    )
    def test_what_is_no_instant_is_refused_with_a_hint(self, text: str) -> None:
        with pytest.raises(UsageError):
            moment(text)

    @given(st.text(max_size=40))
    def test_no_text_is_more_than_refused(self, text: str) -> None:
        for understand in (moment, mark, channel_name):
            try:
                understand(text)
            except UsageError:
                continue

    def test_span_that_is_not_said_is_the_last_day(self) -> None:
        assert span(None, None, 100_000_000) == Span(13_600_000, 100_000_000)
        with pytest.raises(UsageError, match="empty"):
            span("1000", "1000", 5000)

    def test_mark_goes_there_and_back(self) -> None:
        assert mark(str(Mark(7, 1_772_352_000_000))) == Mark(7, 1_772_352_000_000)

    def test_channel_is_named_by_number_or_by_its_three_parts(self) -> None:
        assert channel_name("17") == 17
        assert channel_name("gw-1/room-1/air_temperature") == ("gw-1", "room-1", "air_temperature")
        assert channel_name("gw/dji/battery/0") == ("gw", "dji", "battery/0")

    def test_resolution_follows_from_span_and_channels(self) -> None:
        day, year = Span(0, 86_400_000), Span(0, 365 * 86_400_000)
        assert finest(day, [60.0]) is Resolution.RAW
        assert finest(year, [60.0]) is Resolution.HOUR
        assert finest(year, [60.0] * 20) is Resolution.DAY
        assert finest(Span(0, MOST_READINGS * 60_000), [60.0]) is Resolution.RAW

    def test_days_are_those_of_china(self) -> None:
        asked = Span(moment("2026-03-01T10:00+08:00"), moment("2026-03-02T10:00+08:00"))
        assert asked.widened(Resolution.DAY) == Span(moment("2026-03-01T00:00+08:00"), moment("2026-03-03T00:00+08:00"))
        assert asked.widened(Resolution.HOUR) == asked
