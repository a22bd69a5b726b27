"""Which spans may go: rules by what they name, holds over everything."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hanlu.ingest.history.plan import CHINA_MS, DAY_MS, Span, moment
from hanlu.ingest.history.retention import Cut, Rule, Subject, cuts, droppable, free_of, on_boundary

NOW = moment("2026-11-21T12:00+08:00")
ALL = Rule("all", "", 1096, 3653, None)
ROOM = Subject(1, "store-1", "cold_store", "air_temperature")
RADIO = Subject(2, "store-1", "cold_store", "rssi")


def day(text: str) -> int:
    return moment(f"{text}T00:00+08:00")


class TestRules:
    def test_channel_no_rule_names_is_kept_by_the_rule_for_all(self) -> None:
        assert cuts([ROOM], [ALL], NOW) == {1: Cut(day("2023-11-21"), day("2016-11-20"), None)}

    def test_rule_that_names_it_counts_instead_of_the_rule_for_all(self) -> None:
        short = Rule("metric", "rssi", 30, 90, 365)
        found = cuts([ROOM, RADIO], [ALL, short], NOW)
        assert found[2] == Cut(day("2026-10-22"), day("2026-08-23"), day("2025-11-21"))
        assert found[1].raw_ms == day("2023-11-21")

    def test_of_several_that_name_it_the_longest_counts(self) -> None:
        rules = [ALL, Rule("metric", "rssi", 30, 90, 365), Rule("site", "store-1", 60, None, None)]
        assert cuts([RADIO], rules, NOW)[2] == Cut(day("2026-09-22"), None, None)

    def test_without_rules_everything_stays(self) -> None:
        assert cuts([ROOM], [], NOW) == {1: Cut(None, None, None)}


spans = st.lists(
    st.tuples(st.integers(0, 100 * DAY_MS), st.integers(1, 9 * DAY_MS)).map(lambda each: Span(each[0], sum(each))),
    max_size=8,
)


class TestHolds:
    @given(st.integers(1, 100).map(lambda days: days * DAY_MS - CHINA_MS), spans, st.integers(0, 100 * DAY_MS))
    def test_a_moment_goes_exactly_if_it_is_before_the_cut_and_in_no_day_that_is_held(
        self, cut_ms: int, held: list[Span], at_ms: int
    ) -> None:
        free = free_of(cut_ms, held)
        assert all(a.to_ms < b.from_ms for a, b in pairwise(free))
        in_a_held_day = any(
            (one.from_ms + CHINA_MS) // DAY_MS <= (at_ms + CHINA_MS) // DAY_MS <= (one.to_ms - 1 + CHINA_MS) // DAY_MS
            for one in held
        )
        goes = any(one.from_ms <= at_ms < one.to_ms for one in free)
        assert goes == (at_ms < cut_ms and not in_a_held_day)

    def test_nothing_goes_of_what_is_kept_for_ever(self) -> None:
        assert free_of(None, []) == []


CHUNKS = [Span(number * DAY_MS, (number + 1) * DAY_MS) for number in range(10)]


class TestChunks:
    def test_cut_inside_a_chunk_waits_for_its_end(self) -> None:
        assert on_boundary(5 * DAY_MS + 1, CHUNKS) == 5 * DAY_MS
        assert on_boundary(5 * DAY_MS, CHUNKS) == 5 * DAY_MS
        assert on_boundary(DAY_MS - 1, CHUNKS) is None
        assert on_boundary(5 * DAY_MS + 1, []) == 5 * DAY_MS + 1
        assert on_boundary(None, CHUNKS) is None

    def test_chunk_goes_whole_only_if_no_channel_needs_it(self) -> None:
        free = {1: [Span(0, 4 * DAY_MS)], 2: [Span(0, DAY_MS), Span(2 * DAY_MS, 9 * DAY_MS)]}
        assert droppable(CHUNKS, free) == [CHUNKS[0], CHUNKS[2], CHUNKS[3]]
        assert droppable(CHUNKS, free | {3: []}) == []
        assert droppable(CHUNKS, {}) == []
