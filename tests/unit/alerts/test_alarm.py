"""The alarm's tables: complete, lawful, coupled, and drawn as they stand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.alarm import (
    ACTIVE,
    COUPLING,
    PROCESS,
    SUPPRESSION,
    Event,
    ProcessState,
    SuppressionEvent,
    SuppressionState,
    bring,
    calls,
    diagram,
    process,
    resume,
    settle,
    suppress,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "alarms.md"
S = ProcessState
Q = SuppressionState
LATCHED = {S.LATCHED_UNACKNOWLEDGED, S.LATCHED_ACKNOWLEDGED}


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ("raise acknowledge return", S.NORMAL),
        ("raise return acknowledge", S.NORMAL),
        ("raise return", S.RTN_UNACKNOWLEDGED),
        ("raise acknowledge", S.ACKNOWLEDGED),
        ("raise acknowledge acknowledge", S.ACKNOWLEDGED),
        ("raise acknowledge re_alarm", S.UNACKNOWLEDGED),
        ("raise re_alarm", S.UNACKNOWLEDGED),
        ("raise return raise", S.RTN_UNACKNOWLEDGED),
        ("raise return close", S.NORMAL),
        ("raise latch", S.LATCHED_UNACKNOWLEDGED),
        ("raise latch reset", S.LATCHED_UNACKNOWLEDGED),
        ("raise latch acknowledge", S.LATCHED_ACKNOWLEDGED),
        ("raise acknowledge latch", S.LATCHED_ACKNOWLEDGED),
        ("raise acknowledge latch reset", S.NORMAL),
        ("raise latch close", S.LATCHED_UNACKNOWLEDGED),
        ("acknowledge", S.NORMAL),
        ("return", S.NORMAL),
        ("reset", S.NORMAL),
    ],
)
def test_occurrence_after_these_events_is_in_this_state(events: str, end: ProcessState) -> None:
    state = S.NORMAL
    for event in events.split():
        state = process(state, Event(event))
    assert state is end


def test_event_absent_from_the_table_changes_nothing() -> None:
    for state, event in product(ProcessState, Event):
        if (state, event) not in PROCESS:
            assert process(state, event) is state
    for quiet, act in product(SuppressionState, SuppressionEvent):
        if (quiet, act) not in SUPPRESSION:
            assert suppress(quiet, act) is quiet


def test_every_step_in_the_tables_leads_somewhere_else() -> None:
    assert all(before is not after for (before, _), after in PROCESS.items())
    assert all(before is not after for (before, _), after in SUPPRESSION.items())


def test_every_state_is_reached_and_left() -> None:
    for table, states in ((PROCESS, ProcessState), (SUPPRESSION, SuppressionState)):
        assert {before for before, _ in table} == set(states)
        assert set(table.values()) == set(states)


def test_coupling_names_only_lawful_events_and_comes_to_an_end() -> None:
    for (state, quiet), event in COUPLING.items():
        assert (state, event) in PROCESS
        after, events = settle(state, quiet)
        assert events
        assert settle(after, quiet) == (after, ())


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_occurrence_is_over_only_by_a_lawful_end(events: list[Event]) -> None:
    """Returned and acknowledged in either order, reset after both, or closed because nobody was called."""
    state = S.NORMAL
    gone = seen = False
    for event in events:
        after = process(state, event)
        if after is state:
            continue
        gone = event in {Event.RETURN, Event.LATCH} or (gone and event is not Event.RAISE)
        seen = event is Event.ACKNOWLEDGE or (seen and event not in {Event.RAISE, Event.RE_ALARM})
        if after is S.NORMAL:
            assert gone
            assert seen or event is Event.CLOSE
        if state in LATCHED and after not in LATCHED:
            assert event is Event.RESET
        state = after


@given(st.lists(st.sampled_from(SuppressionEvent), max_size=30))
def test_out_of_service_ends_only_by_returning_to_service_or_by_its_end(events: list[SuppressionEvent]) -> None:
    state = Q.OUT_OF_SERVICE
    for event in events:
        state = suppress(state, event)
        if event in {SuppressionEvent.RETURN_TO_SERVICE, SuppressionEvent.EXPIRE}:
            assert state is Q.NONE
            return
        assert state is Q.OUT_OF_SERVICE


STEPS = st.one_of(st.sampled_from(Event), st.sampled_from(SuppressionEvent))


@given(st.lists(STEPS, max_size=40))
def test_two_machines_coupled_never_leave_their_laws(steps: list[Event | SuppressionEvent]) -> None:
    state, quiet = S.NORMAL, Q.NONE
    for step in steps:
        before, was_quiet = state, quiet
        if isinstance(step, Event):
            state = process(state, step)
        else:
            quiet = suppress(quiet, step)
            if was_quiet is not Q.NONE and quiet is Q.NONE and (again := resume(state)) is not None:
                state = process(state, again)
        state, _ = settle(state, quiet)
        # What is over or latched is not revived by suppression, and an active one stays active.
        if not isinstance(step, Event):
            assert (state in ACTIVE) == (before in ACTIVE)
            assert (state in LATCHED) == (before in LATCHED)
        # Nobody is asked for while suppressed, and a return while suppressed is the end.
        if quiet is not Q.NONE:
            assert not calls(state, quiet)
            assert state is not S.RTN_UNACKNOWLEDGED
        # What leaves suppression with its condition still true always calls.
        if was_quiet is not Q.NONE and quiet is Q.NONE and before in ACTIVE:
            assert calls(state, quiet)


@given(
    st.sampled_from(SuppressionState), st.sets(st.sampled_from([Q.SHELVED, Q.SUPPRESSED_BY_DESIGN, Q.OUT_OF_SERVICE]))
)
def test_alarm_is_brought_by_lawful_steps_to_a_state_there_is_reason_for(
    state: SuppressionState, reasons: set[SuppressionState]
) -> None:
    before = state
    for event in bring(state, reasons):
        assert (state, event) in SUPPRESSION
        state = SUPPRESSION[state, event]
    assert state in reasons or (state is Q.NONE and not reasons)
    assert bring(state, reasons) == ()
    if before in reasons and Q.OUT_OF_SERVICE not in reasons:
        assert state is before


def test_suppression_that_ran_out_by_itself_is_told_as_such() -> None:
    assert bring(Q.SHELVED, set(), expired=True) == (SuppressionEvent.EXPIRE,)
    assert bring(Q.SHELVED, {Q.SUPPRESSED_BY_DESIGN}, expired=True) == (
        SuppressionEvent.EXPIRE,
        SuppressionEvent.SUPPRESS,
    )


@pytest.mark.parametrize("state", list(ProcessState))
@pytest.mark.parametrize("suppression", list(SuppressionState))
def test_alarm_calls_only_while_unacknowledged_and_not_suppressed(
    state: ProcessState, suppression: SuppressionState
) -> None:
    expected = state.endswith("UNACKNOWLEDGED") and suppression is SuppressionState.NONE
    assert calls(state, suppression) is expected


def test_document_shows_the_diagrams_of_the_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram(PROCESS)}```" in text
    assert f"```mermaid\n{diagram(SUPPRESSION)}```" in text
