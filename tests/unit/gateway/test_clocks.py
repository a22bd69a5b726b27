from __future__ import annotations

import logging
import time

import pytest

from hanlu.core.clock import ManualClock
from hanlu.gateway.clocks import EARLIEST_MS, ClockWatch, GatewayClock, MachineClock, Source, boot_identity
from hanlu.gateway.item import KnownTime

NOW = 1_790_000_000_000
HOUR = 3_600_000


def test_sound_wall_clock_is_used_before_and_after_the_platform_speaks():
    watch = ClockWatch(NOW, 5.0, "a")
    assert watch.source is Source.WALL
    watch.heard(NOW + 900, NOW, 5.0)
    assert (watch.source, watch.now_ms(NOW, 5.0), watch.offset_ms(NOW, 5.0)) == (Source.WALL, NOW, 900)


def test_clock_that_was_never_set_takes_its_time_from_the_platform():
    watch = ClockWatch(60_000, 60.0, "a")
    assert watch.source is Source.NONE
    watch.heard(NOW, 61_000, 61.0)
    assert watch.source is Source.PLATFORM
    assert watch.now_ms(71_000, 71.0) == NOW + 10_000


def test_least_delayed_receipt_of_some_minutes_is_believed():
    watch = ClockWatch(60_000, 0.0, "a")
    watch.heard(NOW, 60_000, 0.0)
    watch.heard(NOW + 10_000 - 8_000, 70_000, 10.0)  # eight seconds on its way
    assert watch.now_ms(80_000, 20.0) == NOW + 20_000
    watch.heard(NOW + 700_000 - 200, 760_000, 700.0)  # the first one is too old by now
    assert watch.now_ms(760_000, 700.0) == NOW + 699_800


def test_wall_clock_a_minute_off_is_left_for_the_platforms_and_taken_again_when_set_right():
    watch = ClockWatch(NOW - HOUR, 0.0, "a")
    watch.heard(NOW, NOW - HOUR, 0.0)
    assert (watch.source, watch.now_ms(NOW - HOUR + 1_000, 1.0)) == (Source.PLATFORM, NOW + 1_000)
    assert watch.look(NOW + 2_000, 2.0) == HOUR
    assert (watch.source, watch.steps) == (Source.WALL, 1)


@pytest.mark.parametrize("step", [-3 * 24 * HOUR, -90_000, 90_000, 365 * 24 * HOUR])
def test_step_of_a_confirmed_wall_clock_does_not_move_the_time(step):
    watch = ClockWatch(NOW, 0.0, "a")
    watch.heard(NOW, NOW, 0.0)
    assert watch.look(NOW + 1_000 + step, 1.0) == step
    assert watch.now_ms(NOW + 1_000 + step, 1.0) == NOW + 1_000
    assert watch.source is Source.PLATFORM


@pytest.mark.parametrize("step", [-24 * HOUR, 24 * HOUR, -NOW])
def test_stepped_wall_clock_is_not_believed_before_the_next_look_either(step):
    watch = ClockWatch(NOW, 0.0, "a")
    watch.heard(NOW, NOW, 0.0)
    assert watch.now_ms(NOW + 200 + step, 0.2) == NOW + 200
    assert watch.now_ms(NOW + 300, 0.3) == NOW + 300


def test_unconfirmed_wall_clock_is_believed_when_it_is_set():
    watch = ClockWatch(NOW, 0.0, "a")
    assert watch.look(NOW + HOUR, 1.0) == HOUR - 1_000
    assert (watch.source, watch.now_ms(NOW + HOUR, 1.0)) == (Source.WALL, NOW + HOUR)


def test_slewing_is_no_step_and_a_minute_of_it_is_noticed_through_the_platform():
    watch = ClockWatch(NOW, 0.0, "a")
    watch.heard(NOW, NOW, 0.0)
    for second in range(1, 100):
        assert watch.look(NOW + second * 1_000 + second * 900, float(second)) == 0
    assert (watch.steps, watch.source) == (0, Source.PLATFORM)


def test_wall_clock_before_a_time_the_platform_confirmed_is_not_believed():
    known = KnownTime(NOW, 9_000, "an earlier run")
    assert ClockWatch(NOW - HOUR, 0.0, "a", known).source is Source.NONE
    assert ClockWatch(NOW + HOUR, 0.0, "a", known).source is Source.WALL
    assert ClockWatch(NOW - HOUR, 0.0, "a", known).floor_ms == NOW
    assert ClockWatch(NOW - HOUR, 0.0, "a").floor_ms == EARLIEST_MS


def test_new_process_in_the_same_run_of_the_machine_goes_on_with_the_known_time():
    known = KnownTime(NOW, 100_000, "a")
    watch = ClockWatch(5_000, 160.0, "a", known)
    assert (watch.source, watch.now_ms(5_000, 160.0)) == (Source.PLATFORM, NOW + 60_000)


def test_drift_is_told_after_an_hour_of_receipts():
    watch = ClockWatch(NOW, 0.0, "a")
    for minute in range(61):
        mono = minute * 60.0
        assert watch.drift_ppm is None
        watch.heard(NOW + round(mono * 1000 * 1.00005), NOW + round(mono * 1000), mono)
    assert watch.drift_ppm == pytest.approx(50, abs=1)


def test_gateway_clock_tells_steps_and_sources_and_logs_them(caplog):
    caplog.set_level(logging.INFO)
    machine = ManualClock(NOW)
    clock = GatewayClock(machine, "a")
    clock.heard(NOW)
    machine.advance(1)
    machine.step(NOW - 24 * HOUR)
    clock.look()
    assert (clock.is_known, clock.now_ms(), clock.monotonic()) == (True, NOW + 1_000, 1.0)
    report = clock.report()
    assert (report.source, report.offset_ms, report.steps) == ("platform", 24 * HOUR + 1_000, 1)
    machine.step(NOW + 2_000)
    machine.advance(1)
    clock.look()
    assert (clock.report().source, clock.report().steps) == ("wall", 2)
    assert {record.action for record in caplog.records} == {"gateway.clock.stepped"}


def test_machines_durations_go_on():
    clock = MachineClock()
    before = clock.monotonic()
    time.sleep(0.01)
    assert 0.01 <= clock.monotonic() - before < 5
    assert clock.now_ms() > EARLIEST_MS


def test_run_of_the_machine_has_a_name_that_stays():
    assert boot_identity() == boot_identity() != ""
