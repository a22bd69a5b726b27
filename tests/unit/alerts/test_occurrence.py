"""One alarm under any sequence of what engine, clock and people may do to it and to its point."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hanlu.alerts.alarm import ACTIVE, PROCESS, SUPPRESSION, Event, ProcessState, SuppressionEvent, SuppressionState
from hanlu.alerts.kind import Cause, Hold, Kind
from hanlu.alerts.occurrence import Entry, Occurrence, Quiet, Subject

S, Q = ProcessState, SuppressionState
SHELF = Quiet(Q.SHELVED, "repair", "li")
SERVICE = Quiet(Q.OUT_OF_SERVICE, "sensor swap", "li")
EMPTY = Quiet(Q.SUPPRESSED_BY_DESIGN, "room_empty", "li")


def alarm(**marks: object) -> Occurrence:
    return Occurrence(Subject(1, Kind.HIGH), 1, 0, 0, 0, **marks)  # type: ignore[arg-type]


def lawful(entries: list[Entry]) -> None:
    """Every line of the journal is a step of a table, and follows the line before of its machine."""
    process, quiet = S.NORMAL, Q.NONE
    for version, entry in enumerate(entries, 1):
        assert entry.version == version
        if entry.event in set(Event):
            assert entry.from_state == process
            process = PROCESS[process, Event(entry.event)]
            assert entry.to_state == process
        elif entry.event in set(SuppressionEvent):
            assert entry.from_state == quiet
            quiet = SUPPRESSION[quiet, SuppressionEvent(entry.event)]
            assert entry.to_state == quiet


@dataclass
class Said:
    quiets: set[Quiet] = field(default_factory=set)


class Life(RuleBasedStateMachine):
    """The alarm's whole life, with everything that may happen to it in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.alarm = alarm(latches=False)
        self.said = Said()
        self.now = 1_000
        self.over = False

    @rule(latches=st.booleans(), hold=st.sampled_from([None, Hold.DEFROST]))
    @precondition(lambda self: self.alarm.version == 0)
    def begins(self, latches: bool, hold: Hold | None) -> None:
        self.alarm.latches, self.alarm.plant_hold = latches, hold
        self.alarm.begin(self.now, self.now, self.said.quiets)

    @rule(quiet=st.sampled_from([SHELF, SERVICE, EMPTY]), on=st.booleans())
    def people_change_the_point(self, quiet: Quiet, on: bool) -> None:
        (self.said.quiets.add if on else self.said.quiets.discard)(quiet)
        self.alarm.requiet(self.said.quiets, self.tick(), "li")

    @rule(hold=st.sampled_from([None, Hold.DEFROST, Hold.DOOR]))
    @precondition(lambda self: self.alarm.active)
    def judge_holds_or_releases(self, hold: Hold | None) -> None:
        self.alarm.hold(hold, self.tick(), self.now, self.said.quiets)

    @rule()
    @precondition(lambda self: self.alarm.active and self.alarm.explained_by is None)
    def something_explains_it(self) -> None:
        self.alarm.explain(99, self.tick(), self.said.quiets)

    @rule()
    @precondition(lambda self: self.alarm.active and self.alarm.explained_by is not None)
    def explanation_is_over(self) -> None:
        self.alarm.stand_alone(self.tick(), self.said.quiets)

    @rule()
    def somebody_acknowledges(self) -> None:
        self.alarm.acknowledge(self.tick(), "li", "")

    @rule()
    def it_returns(self) -> None:
        self.alarm.give_back(self.tick())

    @rule()
    def somebody_resets(self) -> None:
        self.alarm.reset(self.tick(), "wang", "")

    @rule()
    def its_time_has_passed(self) -> None:
        self.alarm.call_again(self.tick())

    @rule()
    def another_cause_is_told(self) -> None:
        self.alarm.suspect(Cause.ICE, self.tick())

    def tick(self) -> int:
        self.now += 1_000
        return self.now

    @invariant()
    def journal_is_lawful_and_ends_where_the_alarm_stands(self) -> None:
        lawful(self.alarm.entries)
        for machine, state in ((Event, self.alarm.process_state), (SuppressionEvent, self.alarm.suppression_state)):
            told = [entry.to_state for entry in self.alarm.entries if entry.event in set(machine)]
            assert (told[-1] if told else type(state).__members__[next(iter(type(state).__members__))]) == state

    @invariant()
    def active_alarm_is_quiet_exactly_while_there_is_a_reason(self) -> None:
        if self.alarm.process_state not in ACTIVE:
            return
        held = self.alarm.plant_hold is not None or self.alarm.explained_by is not None
        reasons = {quiet.state for quiet in self.said.quiets} | ({Q.SUPPRESSED_BY_DESIGN} if held else set())
        assert (self.alarm.suppression_state is Q.NONE) == (not reasons)
        assert not reasons or self.alarm.suppression_state in reasons
        assert (self.alarm.hold_reason is None) == (not reasons)

    @invariant()
    def called_once_it_asks_for_a_person(self) -> None:
        if self.alarm.active and self.alarm.suppression_state is Q.NONE:
            assert self.alarm.called_ms is not None


TestLife = Life.TestCase


def test_occurrence_that_was_never_raised_takes_nothing() -> None:
    quiet = alarm()
    assert not quiet.acknowledge(0, "li", "")
    assert not quiet.give_back(0)
    assert not quiet.reset(0, "li", "")
    assert not quiet.call_again(0)
    assert not quiet.requiet([SHELF], 0, "li")
    assert quiet.entries == []


def test_latching_alarm_that_called_waits_for_a_reset_and_one_that_was_held_does_not() -> None:
    loud, held = alarm(latches=True), alarm(latches=True, plant_hold=Hold.DEFROST)
    for each in (loud, held):
        each.begin(0, 0)
        each.give_back(1)
    assert loud.process_state is S.LATCHED_UNACKNOWLEDGED
    assert held.process_state is S.NORMAL
    assert [entry.event for entry in held.entries] == ["raise", "suppress", "return", "close"]


def test_time_of_the_next_call_begins_with_the_acknowledgement_and_ends_with_the_return() -> None:
    each = alarm(re_alarm_s=60)
    each.begin(0, 0)
    assert each.re_alarm_ms is None
    each.acknowledge(1_000, "li", "")
    assert each.re_alarm_ms == 61_000
    each.give_back(2_000)
    assert each.re_alarm_ms is None


@given(st.permutations([SHELF, SERVICE, EMPTY]))
def test_alarm_calls_only_when_the_last_of_several_reasons_is_gone(order: list[Quiet]) -> None:
    each = alarm()
    each.begin(0, 0, order)
    assert each.called_ms is None
    while order:
        order = order[1:]
        each.requiet(order, 5, "li")
        assert (each.called_ms is None) == bool(order)
