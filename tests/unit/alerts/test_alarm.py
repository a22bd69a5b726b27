"""The alarm's two tables: complete, lawful, and drawn as they stand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.alarm import (
    PROCESS,
    SUPPRESSION,
    Event,
    ProcessState,
    SuppressionEvent,
    SuppressionState,
    calls,
    diagram,
    process,
    suppress,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "alarms.md"
S = ProcessState


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ("raise acknowledge return", S.NORMAL),
        ("raise return acknowledge", S.NORMAL),
        ("raise return", S.RTN_UNACKNOWLEDGED),
        ("raise acknowledge", S.ACKNOWLEDGED),
        ("raise acknowledge acknowledge", S.ACKNOWLEDGED),
        ("raise return raise", S.RTN_UNACKNOWLEDGED),
        ("acknowledge", S.NORMAL),
        ("return", S.NORMAL),
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


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_occurrence_is_over_only_when_returned_and_acknowledged(events: list[Event]) -> None:
    state = S.NORMAL
    seen: set[Event] = set()
    for event in events:
        after = process(state, event)
        if event is Event.RAISE and after is not state:
            seen = set()
        elif after is not state:
            seen.add(event)
            assert (after is S.NORMAL) == (seen == {Event.RETURN, Event.ACKNOWLEDGE})
        state = after


@given(st.lists(st.sampled_from(SuppressionEvent), max_size=30))
def test_out_of_service_ends_only_by_returning_to_service(events: list[SuppressionEvent]) -> None:
    state = SuppressionState.OUT_OF_SERVICE
    for event in events:
        state = suppress(state, event)
        if event is SuppressionEvent.RETURN_TO_SERVICE:
            return
        assert state is SuppressionState.OUT_OF_SERVICE


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
