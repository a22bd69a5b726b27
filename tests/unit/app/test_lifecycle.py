"""The life of a supervised process: what is due when, and what follows from what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.app import lifecycle
from hanlu.app.lifecycle import Action, Life, Limits, State

LIMITS = Limits(ready_deadline_s=60, stop_deadline_s=10, backoff_first_s=0.5, backoff_max_s=30, stable_after_s=30)


def life(state: State, since_s: float = 100.0, crashes: int = 0) -> Life:
    return Life(state=state, since_s=since_s, crashes=crashes)


@pytest.mark.parametrize(
    ("before", "now_s", "may_start", "expected"),
    [
        (life(State.WAITING), 100.0, True, Action.START),
        (life(State.WAITING), 9999.0, False, None),
        (life(State.STARTING), 160.0, True, None),
        (life(State.STARTING), 160.1, True, Action.KILL),
        (life(State.READY), 9999.0, True, None),
        (life(State.BACKING_OFF, crashes=1), 100.4, True, None),
        (life(State.BACKING_OFF, crashes=1), 100.5, True, Action.START),
        # One that has served before is started again whatever became of the others.
        (life(State.BACKING_OFF, crashes=1), 100.5, False, Action.START),
        (life(State.STOPPING), 110.0, True, None),
        (life(State.STOPPING), 110.1, True, Action.KILL),
        (life(State.DONE), 9999.0, True, None),
        (life(State.STOPPED), 9999.0, True, None),
    ],
)
def test_due_follows_state_and_time(before: Life, now_s: float, may_start: bool, expected: Action | None) -> None:
    assert lifecycle.due(before, now_s, LIMITS, may_start=may_start) is expected


def test_pause_doubles_up_to_the_longest() -> None:
    pauses = [lifecycle.pause_before_restart(n, LIMITS) for n in range(1, 9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(min_value=0, max_value=10**9))
def test_pause_stays_within_its_limits(crashes: int) -> None:
    assert LIMITS.backoff_first_s <= lifecycle.pause_before_restart(crashes, LIMITS) <= LIMITS.backoff_max_s


def test_crash_after_a_stable_time_counts_as_the_first() -> None:
    running = life(State.READY, since_s=100.0, crashes=5)
    assert lifecycle.exited(running, 129.9, -9, LIMITS, once=False).crashes == 6
    assert lifecycle.exited(running, 130.0, -9, LIMITS, once=False).crashes == 1


def test_long_start_without_ready_is_no_stable_time() -> None:
    assert lifecycle.exited(life(State.STARTING, crashes=2), 1000.0, 1, LIMITS, once=False).crashes == 3


def test_good_end_of_a_service_is_a_crash_and_of_a_task_is_done() -> None:
    running = life(State.READY)
    assert lifecycle.exited(running, 101.0, 0, LIMITS, once=False).state is State.BACKING_OFF
    done = lifecycle.exited(life(State.STARTING), 101.0, 0, LIMITS, once=True)
    assert done.state is State.DONE
    assert done.was_ready


def test_failed_task_is_not_done() -> None:
    assert lifecycle.exited(life(State.STARTING), 101.0, 1, LIMITS, once=True).state is State.BACKING_OFF


def test_stop_of_what_does_not_live_is_over_at_once() -> None:
    assert lifecycle.asked_to_stop(life(State.BACKING_OFF), 101.0).state is State.STOPPED
    assert lifecycle.asked_to_stop(life(State.WAITING), 101.0).state is State.STOPPED


def test_second_request_to_stop_does_not_move_the_deadline() -> None:
    stopping = lifecycle.asked_to_stop(life(State.READY), 101.0)
    assert lifecycle.asked_to_stop(stopping, 105.0) == stopping


@pytest.mark.parametrize("state", [s for s in State if s is not State.STARTING])
def test_ready_notice_out_of_turn_changes_nothing(state: State) -> None:
    before = life(state)
    assert lifecycle.became_ready(before, 101.0) == before


def test_start_counts_and_keeps_the_history() -> None:
    before = replace(life(State.BACKING_OFF, crashes=2), was_ready=True, last_exit=-9)
    after = lifecycle.started(before, 101.0)
    assert (after.state, after.starts, after.crashes, after.was_ready, after.last_exit) == (
        State.STARTING,
        1,
        2,
        True,
        -9,
    )
