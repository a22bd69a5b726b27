"""A flood from one gateway is held to its allowance, whatever it sends, and no other gateway feels it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hanlu.ingest import throttle
from hanlu.ingest.throttle import Throttle, ThrottleLimits, Verdict

LIMITS = ThrottleLimits(messages=100, bytes=10_000, refused=5, burst_s=2)


def _send(
    subject: Throttle, gateway: str, size: int, now: float, *, signed: bool = False, bad: bool = False
) -> Verdict:
    """Send one message as a batch of its own."""
    verdict = subject.judge(gateway, now, signed=signed)
    if verdict is Verdict.TAKEN:
        subject.spend(gateway, 1, size, int(bad), now)
    return verdict


def _flood(
    subject: Throttle, gateway: str, per_second: int, seconds: int, *, size: int = 10, signed: bool = False,
    bad: bool = False,
) -> Counter[Verdict]:  # fmt: skip
    return Counter(
        _send(subject, gateway, size, number / per_second, signed=signed, bad=bad)
        for number in range(per_second * seconds)
    )


def test_gateway_within_its_allowance_is_taken_whole() -> None:
    assert _flood(Throttle(LIMITS), "a", 99, 60) == {Verdict.TAKEN: 99 * 60}


def test_flood_of_messages_is_held_to_rate_and_burst() -> None:
    found = _flood(Throttle(LIMITS), "a", 1_000, 10, signed=True)
    assert abs(found[Verdict.TAKEN] - (100 * 10 + 200)) <= 2
    assert found[Verdict.LEFT] == 10_000 - found[Verdict.TAKEN]


def test_flood_of_bytes_is_held_too() -> None:
    found = _flood(Throttle(LIMITS), "a", 50, 10, size=1_000, signed=True)
    assert abs(found[Verdict.TAKEN] - 120) <= 2


def test_flood_of_nonsense_is_held_to_the_allowance_of_refusals() -> None:
    found = _flood(Throttle(LIMITS), "a", 90, 10, bad=True)
    assert abs(found[Verdict.TAKEN] - 60) <= 2
    assert abs(found[Verdict.KEPT] - 5 * 9) <= 10
    assert found[Verdict.LEFT] == 0
    assert sum(found.values()) == 900


def test_neighbour_of_a_flood_loses_nothing() -> None:
    subject = Throttle(LIMITS)
    found: Counter[Verdict] = Counter()
    for number in range(10_000):
        _send(subject, "loud", 5_000, number / 1_000)
        if number % 20 == 0:
            found[_send(subject, "quiet", 10, number / 1_000, signed=True)] += 1
    assert found == {Verdict.TAKEN: 500}


def test_gateway_is_taken_again_soon_after_its_flood() -> None:
    subject = Throttle(LIMITS)
    _flood(subject, "a", 10_000, 1, size=100_000)
    assert subject.judge("a", 1.0, signed=True) is Verdict.LEFT
    assert subject.judge("a", 1.0 + 2 * LIMITS.burst_s, signed=True) is Verdict.TAKEN


def test_invented_names_fill_no_memory() -> None:
    subject = Throttle(LIMITS)
    for number in range(throttle._MOST_GATEWAYS + 500):
        subject.spend(f"gw-{number}", 10_000, 0, 0, 0.0)
    assert len(subject) == len(subject.loud) == throttle._MOST_GATEWAYS


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300_000), st.floats(0, 2), st.booleans(), st.booleans()))
)
def test_never_more_is_taken_than_rate_and_burst_allow(messages: list[tuple[str, int, float, bool, bool]]) -> None:
    subject, now = Throttle(LIMITS), 0.0
    taken: Counter[str] = Counter()
    for gateway, size, pause, signed, bad in messages:
        now += pause
        verdict = _send(subject, gateway, size, now, signed=signed, bad=bad)
        assert (verdict is Verdict.LEFT) <= signed
        taken[gateway] += verdict is Verdict.TAKEN
    assert all(count <= LIMITS.messages * (LIMITS.burst_s + now) + 1 for count in taken.values())
