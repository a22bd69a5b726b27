"""Pieces of a curve become stretches: revisions, overlaps and gaps."""

from __future__ import annotations

import pytest
from fix_page import HARVEST_MS, MINUTE_MS, piece
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.stretches import CURVE_GAP_MS, Kept, Stretch, kept_cool, one_decimal, stretches

A, B = "https://id.gs1.org/01/06999999200024/10/A", "https://id.gs1.org/01/06999999200024/10/B"
ROOM, TRUCK = "https://id.gs1.org/414/6999999010210", "https://id.gs1.org/414/6999999010319"


def _values(stretch: Stretch) -> list[float]:
    return [value for _, value in stretch.points]


def test_newest_revision_of_a_piece_counts() -> None:
    (stretch,) = stretches([piece(A, ROOM, [1, 2, 3], revision=2), piece(A, ROOM, [1, None, 9])])
    assert _values(stretch) == [1, 2, 3]


def test_piece_whose_custody_was_taken_back_is_gone() -> None:
    assert stretches([piece(A, ROOM, [1, 2]), piece(A, ROOM, [], revision=2)]) == ()


def test_lots_side_by_side_are_measured_once() -> None:
    (stretch,) = stretches([piece(A, ROOM, [1, 2, 3]), piece(B, ROOM, [1, 2, 3])])
    assert _values(stretch) == [1, 2, 3]


def test_pieces_of_one_stay_follow_one_another_and_their_gap_stays() -> None:
    later = HARVEST_MS + CURVE_GAP_MS * 3
    (stretch,) = stretches([piece(A, ROOM, [3], from_ms=later), piece(A, ROOM, [1, 2])])
    assert _values(stretch) == [1, 2, 3]
    assert (stretch.from_ms, stretch.to_ms, stretch.low, stretch.high) == (HARVEST_MS, later, 1, 3)


def test_second_stay_at_a_place_is_a_stretch_of_its_own() -> None:
    later = HARVEST_MS + 10 * CURVE_GAP_MS
    found = stretches(
        [
            piece(A, TRUCK, [5], from_ms=later, custody_from="ni:///c"),
            piece(A, ROOM, [3], from_ms=later // 2 + HARVEST_MS // 2, custody_from="ni:///b"),
            piece(A, TRUCK, [1], custody_from="ni:///a"),
        ]
    )
    assert [(each.place, _values(each)) for each in found] == [(TRUCK, [1]), (ROOM, [3]), (TRUCK, [5])]


def test_stay_that_goes_on_under_a_new_event_is_one_stretch() -> None:
    next_at = HARVEST_MS + 3 * MINUTE_MS
    (stretch,) = stretches([piece(A, TRUCK, [1, 2, 3]), piece(A, TRUCK, [4], from_ms=next_at, custody_from="ni:///b")])
    assert _values(stretch) == [1, 2, 3, 4]


def test_thermometers_of_one_place_are_not_mixed() -> None:
    found = stretches([piece(A, ROOM, [1, 1]), piece(A, ROOM, [4, 4], channel="gw-1/room-2/air_temperature")])
    assert [_values(each) for each in found] == [[1, 1], [4, 4]]


@pytest.mark.parametrize("more", [{"channel": "gw-1/room-1/product_temperature"}, {"unit": "K"}])
def test_other_metrics_and_units_are_passed_over(more: dict[str, str]) -> None:
    assert stretches([piece(A, ROOM, [1], **more)]) == ()


def test_share_within_the_range_counts_from_the_first_reading_within() -> None:
    measured = stretches([piece(A, ROOM, [24, 9, 3, 2, 4, 1])])
    assert kept_cool(measured, -1, 3) == Kept(HARVEST_MS + 2 * MINUTE_MS, 3, 4)
    assert kept_cool(measured, None, 3) == Kept(HARVEST_MS + 2 * MINUTE_MS, 3, 4)
    kept = kept_cool(measured, -1, 3)
    assert kept is not None
    assert kept.percent == 75


def test_share_is_unknown_without_limits_or_where_the_range_was_never_reached() -> None:
    measured = stretches([piece(A, ROOM, [24, 9])])
    assert kept_cool(measured, None, None) is None
    assert kept_cool(measured, -1, 3) is None
    assert kept_cool((), -1, 3) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (-0.04, "0.0"), (-0.06, "\u22120.1"), (2.25, "2.3"), (-18.2, "\u221218.2"), (99.96, "100.0")],
)
def test_one_decimal_rounds_half_up_with_a_true_minus(value: float, text: str) -> None:
    assert one_decimal(value) == text


@given(
    st.lists(st.tuples(st.sampled_from([ROOM, TRUCK]), st.integers(0, 40), st.lists(st.floats(-30, 40), max_size=5)))
)
def test_no_reading_is_lost_or_made_up(pieces: list[tuple[str, int, list[float]]]) -> None:
    documents = [
        piece(A, zone, values, from_ms=HARVEST_MS + offset * MINUTE_MS, custody_from=f"ni:///{number}")
        for number, (zone, offset, values) in enumerate(pieces)
    ]
    measured = {(each["zone"], at) for each in documents for at, _ in each["points"]}
    found = stretches(documents)
    assert {(each.place, at) for each in found for at, _ in each.points} == measured
    assert sum(len(each.points) for each in found) == len(measured)
