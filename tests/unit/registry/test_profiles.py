"""The shipped limit profiles: dated, sourced, and within what the database takes."""

from __future__ import annotations

from datetime import date

from hanlu.registry.profiles import shipped_profiles

BY_KEY = {(each.code, each.metric): each for each in shipped_profiles()}


def test_every_profile_has_a_source_and_a_date_that_has_come():
    assert all(len(each.source) > 20 and each.effective_from < date(2026, 11, 20) for each in BY_KEY.values())


def test_no_profile_stands_twice_for_a_metric_and_a_day():
    assert len(BY_KEY) == len(shipped_profiles())


def test_every_profile_limits_something_within_the_bounds_of_the_table():
    for each in shipped_profiles():
        assert each.low is not None or each.high is not None
        if each.low is not None and each.high is not None:
            assert each.low + 2 * each.deadband < each.high, f"{each.code}: the deadbands leave no room between"
        assert 0 <= each.on_delay_s <= 86_400
        assert 0 <= each.off_delay_s <= 86_400
        assert 10 <= each.no_data_s <= 604_800
        assert each.priority in {1, 2, 3}


def test_frozen_rooms_alarm_at_minus_fifteen_after_a_defrost_has_had_its_time():
    frozen = BY_KEY["frozen-room", "air_temperature"]
    assert frozen.high == -15.0
    assert 30 * 60 <= frozen.on_delay_s <= 60 * 60


def test_peaches_are_kept_from_the_range_where_chilling_hurts_most():
    peach = BY_KEY["peach-fresh", "air_temperature"]
    assert (peach.low, peach.high) == (-1.0, 3.0)
