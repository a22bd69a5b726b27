"""Which channels are silent, and which silences are one."""

from __future__ import annotations

import itertools

import pytest

from hanlu.alerts.silence import PARENT_WAIT_MS, Due, Listened, Silence

S = 1_000
START = 1_000_000 * S
HEALTH, AIR, SLOW = 1, 2, 3
GATEWAY = [
    Listened(HEALTH, "gw", True, 600 * S, 60 * S),
    Listened(AIR, "gw", False, 300 * S, 10 * S),
    Listened(SLOW, "gw", False, 9_000 * S, 900 * S),
]


def watching(heard: dict[int, int] | None = None, channels: list[Listened] = GATEWAY) -> Silence:
    silence = Silence({each.channel_id: START for each in channels} if heard is None else heard, {}, {}, START)
    silence.use(channels, START)
    return silence


def raised(silence: Silence, until_s: int, step_s: int = 1) -> list[Due]:
    found: list[Due] = []
    for second in range(0, until_s, step_s):
        found += silence.due(START + second * S)
    return found


def test_gateway_that_falls_silent_makes_one_silence_that_explains_the_others() -> None:
    found = raised(watching(), 10_000, 5)
    assert [(due.channel_id, due.parent) for due in found] == [(HEALTH, None), (AIR, HEALTH), (SLOW, HEALTH)]
    assert found[0].at_ms == START + 300 * S + PARENT_WAIT_MS


@pytest.mark.parametrize("after", list(itertools.permutations([300, 600, 900])))
def test_one_loss_is_one_call_whichever_channel_is_due_first(after: tuple[int, int, int]) -> None:
    channels = [each._replace(after_ms=seconds * S) for each, seconds in zip(GATEWAY, after, strict=True)]
    found = raised(watching(channels=channels), 2_000)
    assert [due.channel_id for due in found if due.parent is None] == [HEALTH]
    assert {due.channel_id for due in found} == {HEALTH, AIR, SLOW}


def test_channel_that_falls_silent_while_its_gateway_is_heard_calls_at_once_by_itself() -> None:
    silence = watching()
    found: list[Due] = []
    for second in range(0, 400, 10):
        silence.hear(HEALTH, "gw", START + second * S)
        found += silence.due(START + second * S)
    assert found == [Due(AIR, START + 300 * S, START)]


def test_channel_that_fell_silent_long_before_its_gateway_does_not_speak_for_it() -> None:
    channels = [
        GATEWAY[1],
        GATEWAY[2]._replace(after_ms=400 * S, period_ms=10 * S),
        GATEWAY[2]._replace(channel_id=4, after_ms=400 * S),
    ]
    silence = watching({AIR: START, SLOW: START, 4: START}, channels)
    found: list[Due] = []
    for second in range(0, 3_000, 10):
        if second < 1_500:
            for channel in (SLOW, 4):
                silence.hear(channel, "gw", START + second * S)
        found += silence.due(START + second * S)
    assert [(due.channel_id, due.parent) for due in found] == [(AIR, None), (SLOW, None), (4, SLOW)]


def test_gateway_without_a_health_channel_is_spoken_for_by_the_first_that_is_due() -> None:
    channels = [each for each in GATEWAY if not each.health]
    found = raised(watching(channels=channels), 10_000, 5)
    assert [(due.channel_id, due.parent) for due in found] == [(AIR, None), (SLOW, AIR)]


def test_channels_never_heard_are_waited_for_from_when_they_were_first_watched() -> None:
    silence = Silence({}, {AIR: START - 200 * S}, {}, START)
    _, began = silence.use(GATEWAY[1:], START)
    assert began == {SLOW: START}
    assert silence.due(START + 99 * S) == []
    assert [due.channel_id for due in silence.due(START + 100 * S)] == [AIR]


def test_silence_is_raised_once_and_heard_again_once() -> None:
    silence = watching(channels=[GATEWAY[1]])
    assert len(raised(silence, 2_000)) == 1
    assert silence.hear(AIR, "gw", START + 2_000 * S)
    assert not silence.hear(AIR, "gw", START + 2_001 * S)
    assert silence.due(START + 2_299 * S) == []
    assert len(silence.due(START + 2_301 * S)) == 1


def test_engine_started_anew_in_the_middle_of_a_loss_comes_to_the_same_silences() -> None:
    whole = raised(watching(), 10_000, 5)
    for cut in (100, 310, 400, 700):
        first = raised(watching(), cut, 5)
        again = Silence(
            dict.fromkeys((HEALTH, AIR, SLOW), START),
            {},
            {due.channel_id: due.parent is not None for due in first},
            START,
        )
        again.use(GATEWAY, START + cut * S)
        later = [due for second in range(cut, 10_000, 5) for due in again.due(START + second * S)]
        assert first + later == whole
