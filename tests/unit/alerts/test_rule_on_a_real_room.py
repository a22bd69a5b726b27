"""The limit rule on three weeks of a real frozen room, against excursions computed by others from the same file."""

from __future__ import annotations

from dataclasses import replace

from frozen_room import MINUTE, frozen_room, known_excursions, local_ms

from hanlu.alerts.alarm import Event
from hanlu.alerts.judge.limit import QUIET, Limit, Transition, step
from hanlu.alerts.kind import Kind

FROZEN = Limit(Kind.HIGH, -15.0, 1.0, 30 * MINUTE, 1 * MINUTE, 10 * MINUTE)


def alarms(limit: Limit) -> list[tuple[Transition, Transition]]:
    state, found = QUIET, []
    for at, value in frozen_room():
        state, transition = step(state, limit, at, value)
        if transition is not None:
            found.append(transition)
    assert [each.event for each in found] == [Event.RAISE, Event.RETURN] * (len(found) // 2)
    return list(zip(found[::2], found[1::2], strict=True))


def test_without_deadband_the_alarms_are_exactly_the_known_excursions() -> None:
    found = alarms(replace(FROZEN, deadband=0.0, off_delay_ms=0))
    assert [(raised.start_ms, returned.peak) for raised, returned in found] == [
        (first, peak) for first, _, peak in known_excursions()
    ]


def test_known_incidents_have_an_alarm_that_tells_their_start() -> None:
    starts = {raised.start_ms: (raised, returned) for raised, returned in alarms(FROZEN)}
    raised, returned = starts[local_ms("2025-06-18 06:40")]
    assert raised.at_ms == local_ms("2025-06-18 07:10")
    assert returned.peak == 4.1
    # The limit was first exceeded at 04:50; at 05:10 the room had been above it for 20 minutes.
    raised, returned = starts[local_ms("2025-06-25 04:50")]
    assert raised.at_ms == local_ms("2025-06-25 05:20")
    assert raised.start_ms < local_ms("2025-06-25 05:10") < returned.at_ms
    assert returned.peak == -5.9


def test_deadband_loses_no_known_excursion_and_adds_at_most_a_tenth() -> None:
    found = alarms(FROZEN)
    known = known_excursions()
    for first, last, _ in known:
        assert any(raised.start_ms <= last and first <= returned.at_ms for raised, returned in found)
    assert len(found) <= len(known) * 1.1
