from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Quality, Reading
from hanlu.gateway.clocks import EARLIEST_MS
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.stamping import held_body, readings_of, stamped, with_time

NOW = 1_790_000_000_000


def reading(observed_ms: int, value: float = 1.0, quality: Quality = Quality.GOOD) -> Reading:
    return Reading("room-1/air_temperature", "Cel", observed_ms, value, quality)


def test_times_that_can_be_stand():
    batch = Batch((reading(NOW - 86_400_000), reading(NOW + MAX_FUTURE_MS), reading(EARLIEST_MS)))
    assert stamped(batch, NOW).batch is batch


def test_impossible_time_of_a_live_reading_is_replaced_and_its_neighbour_is_not():
    good, old, ahead = reading(NOW - 5), reading(12_500), reading(NOW + MAX_FUTURE_MS + 1, quality=Quality.BAD)
    judged = stamped(Batch((good, old, ahead)), NOW)
    assert judged.batch.readings == (
        good, old._replace(observed_ms=NOW, quality=Quality.UNCERTAIN), ahead._replace(observed_ms=NOW),
    )  # fmt: skip
    assert judged.replaced == 2


def test_replaced_times_keep_their_distances_so_that_no_two_fall_on_one_moment():
    batch = Batch(tuple(reading(1_000 * n, n) for n in range(5)))
    assert [each.observed_ms for each in stamped(batch, NOW).batch.readings] == [
        NOW - 1_000 * n for n in (4, 3, 2, 1, 0)
    ]


def test_impossible_time_in_a_log_is_declared_lost_by_a_name_that_stays():
    batch = Batch((reading(EARLIEST_OBSERVED_MS - 1), reading(EARLIEST_OBSERVED_MS)), live=False)
    judged = stamped(batch, NOW)
    assert judged.batch.readings == (reading(EARLIEST_OBSERVED_MS),)
    (loss,) = judged.batch.losses
    assert (loss.reason, loss.count) == ("impossible_time", 1)
    assert loss.source.startswith("readings:")
    assert with_time(batch, 5_000, NOW).batch.losses == (loss,)
    assert stamped(Batch(batch.readings, replayed=True), NOW).batch.losses == (loss,)


def test_log_times_ahead_are_left_to_the_platform():
    batch = Batch((reading(NOW + 10**9),), live=False)
    assert stamped(batch, NOW).batch is batch


def test_without_a_time_device_clocks_stand_and_the_others_wait_with_their_age():
    own, just, aged = reading(NOW + 50), reading(61_000), reading(31_000)
    strange = reading(700_000_000_000)
    judged = with_time(Batch((own, just, aged, strange)), 61_000, NOW)
    assert judged.batch.readings == (own,)
    assert judged.waiting == (
        reading(0), reading(-30_000), strange._replace(observed_ms=0, quality=Quality.UNCERTAIN),
    )  # fmt: skip


@given(st.lists(st.builds(reading, st.integers(-86_400_000, 0), st.floats(-1e9, 1e9), st.sampled_from(Quality))))
def test_held_readings_come_back_with_the_time_they_came(given_readings):
    back = readings_of(held_body(given_readings), NOW, uncertain=False)
    assert [each._replace(observed_ms=each.observed_ms - NOW) for each in back] == given_readings
    for each, before in zip(readings_of(held_body(given_readings), NOW, uncertain=True), given_readings, strict=True):
        assert each.quality == max(before.quality, Quality.UNCERTAIN)
