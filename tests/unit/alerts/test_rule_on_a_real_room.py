"""The limit rule on three weeks of a real frozen room, against excursions computed by others from the same file."""

from __future__ import annotations

from typing import Any

from frozen_room import MINUTE, frozen_room, known_excursions, local_ms

from hanlu.alerts.judge.contract import Move, Verdict
from hanlu.alerts.judge.room import Assigned, ChannelPlan, Room
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.rules.parameters import LimitParameters


def verdicts(**given: Any) -> list[Verdict]:
    plain = {
        "setpoint": -15.0,
        "unit": "Cel",
        "deadband": 1.0,
        "on_delay_s": 1800,
        "off_delay_s": 60,
        "gap_s": 600,
        "hold_defrost": False,
    }
    rule = Assigned(Kind.HIGH, "rule", 1, 1, LimitParameters(**(plain | given)))
    room = Room([ChannelPlan(1, "air_temperature", "Cel", 600_000, (rule,))], {})
    return [verdict for at, value in frozen_room() for _, verdict in room.take(1, at, value).verdicts]


def alarms(**given: Any) -> list[tuple[Verdict, Verdict]]:
    found = verdicts(**given)
    assert [each.move for each in found] == [Move.RAISE, Move.RETURN] * (len(found) // 2)
    return list(zip(found[::2], found[1::2], strict=True))


def test_without_deadband_the_alarms_are_exactly_the_known_excursions() -> None:
    found = alarms(deadband=0.0, off_delay_s=0)
    assert [(raised.start_ms, returned.peak) for raised, returned in found] == [
        (first, peak) for first, _, peak in known_excursions()
    ]


def test_known_incidents_have_an_alarm_that_tells_their_start() -> None:
    starts = {raised.start_ms: (raised, returned) for raised, returned in alarms()}
    raised, returned = starts[local_ms("2025-06-18 06:40")]
    assert raised.at_ms == local_ms("2025-06-18 07:10")
    assert returned.peak == 4.1
    # The limit was first exceeded at 04:50; at 05:10 the room had been above it for 20 minutes.
    raised, returned = starts[local_ms("2025-06-25 04:50")]
    assert raised.at_ms == local_ms("2025-06-25 05:20")
    assert raised.start_ms < local_ms("2025-06-25 05:10") < returned.at_ms
    assert returned.peak == -5.9


def test_deadband_loses_no_known_excursion_and_adds_at_most_a_tenth() -> None:
    found = alarms()
    known = known_excursions()
    for first, last, _ in known:
        assert any(raised.start_ms <= last and first <= returned.at_ms for raised, returned in found)
    assert len(found) <= len(known) * 1.1


def test_curve_alone_holds_most_defrosts_and_the_long_incident_calls_within_fifty_minutes() -> None:
    found = verdicts(hold_defrost=True, on_delay_s=2100, recover_s=1800)
    calls = [each for each in found if each.move is Move.RELEASE or (each.move is Move.RAISE and each.hold is None)]
    held = [each for each in found if each.hold is Hold.DEFROST_SEEN]
    assert len(held) > len(calls)
    assert any(0 <= each.at_ms - local_ms("2025-06-18 06:40") <= 50 * MINUTE for each in calls)
