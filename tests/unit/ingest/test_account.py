"""Watermark and gaps against the plainest model there is: a set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hanlu.ingest.account import EMPTY, Standing, advance, ranges_of

seqs = st.lists(st.integers(1, 60), max_size=40)


def _numbers(ranges: object) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(st.lists(seqs, max_size=6))
def test_standing_after_any_batches_equals_the_set_of_what_arrived(batches: list[list[int]]) -> None:
    standing, arrived = EMPTY, set[int]()
    for batch in batches:
        standing = advance(standing, batch)
        arrived |= set(batch)
        highest = max(arrived, default=0)
        assert standing.highest == highest
        assert _numbers(standing.gaps) == set(range(1, highest + 1)) - arrived
        assert standing.watermark == next(n for n in range(highest + 1) if n + 1 not in arrived)


@given(st.lists(seqs, max_size=6))
def test_gaps_are_ascending_disjoint_and_not_adjacent(batches: list[list[int]]) -> None:
    standing = EMPTY
    for batch in batches:
        standing = advance(standing, batch)
        for (_, last), (first, _) in zip(standing.gaps, standing.gaps[1:], strict=False):
            assert last + 1 < first
        assert all(first <= last for first, last in standing.gaps)


@given(seqs, st.randoms(use_true_random=False))
def test_order_of_arrival_makes_no_difference(numbers: list[int], random: object) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert advance(EMPTY, numbers) == advance(EMPTY, shuffled)
    one_by_one = EMPTY
    for number in shuffled:
        one_by_one = advance(one_by_one, [number])
    assert one_by_one == advance(EMPTY, numbers)


@given(seqs)
def test_ranges_hold_exactly_the_numbers_given(numbers: list[int]) -> None:
    assert _numbers(ranges_of(numbers)) == set(numbers)


def test_hole_that_closes_lifts_the_watermark_to_the_highest() -> None:
    standing = advance(EMPTY, [1, 2, 5, 6])
    assert standing == Standing(6, ((3, 4),))
    assert standing.watermark == 2
    assert advance(standing, [4]) == Standing(6, ((3, 3),))
    assert advance(standing, [3, 4]).watermark == 6


def test_a_seq_far_ahead_is_one_gap_and_costs_nothing() -> None:
    assert advance(EMPTY, [2**61]).gaps == ((1, 2**61 - 1),)
