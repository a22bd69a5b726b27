"""How many wrong passwords are too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.clock import ManualClock
from hanlu.registry.config import SignInSettings
from hanlu.registry.tries import AddressTries, Tries, next_try

SETTINGS = SignInSettings(free_tries=3, first_lock_s=10, max_lock_s=60, forget_after_s=3600)
NOW = 1_750_000_000_000
NONE_YET = Tries(0, NOW, NOW)


def tried(times: int, pause_s: int = 0) -> Tries:
    tries, now = NONE_YET, NOW
    for _ in range(times):
        now = max(now, tries.locked_until_ms) + pause_s * 1000
        following = next_try(tries, now, SETTINGS)
        assert isinstance(following, Tries)
        tries = following
    return tries


def test_the_first_wrong_ones_are_free():
    assert tried(2).locked_until_ms == NOW


def test_the_lock_begins_with_the_last_free_try_and_doubles_up_to_its_longest():
    locks = [(tried(times).locked_until_ms - tried(times).last_ms) // 1000 for times in range(3, 8)]
    assert locks == [10, 20, 40, 60, 60]


def test_a_try_under_a_lock_is_told_the_seconds_left_and_is_not_counted():
    locked = tried(3)
    assert next_try(locked, NOW + 1, SETTINGS) == 10
    assert next_try(locked, NOW + 9_999, SETTINGS) == 1
    after = next_try(locked, NOW + 10_000, SETTINGS)
    assert isinstance(after, Tries)
    assert after.failures == 4


def test_old_failures_are_forgotten():
    tries = next_try(tried(2), NOW + 3600 * 1000, SETTINGS)
    assert isinstance(tries, Tries)
    assert (tries.failures, tries.locked_until_ms) == (1, tries.last_ms)


@given(st.integers(1, 10**9), st.integers(0, 10**12))
def test_no_count_however_large_locks_for_longer_than_the_longest(failures: int, past_ms: int):
    following = next_try(Tries(failures, NOW - past_ms, 0), NOW, SETTINGS)
    assert isinstance(following, Tries)
    assert following.locked_until_ms - NOW <= SETTINGS.max_lock_s * 1000


def addresses(clock: ManualClock) -> AddressTries:
    return AddressTries(clock, SignInSettings(address_tries=3, address_window_s=60))


def test_an_address_waits_once_its_window_is_full_and_others_do_not():
    clock = ManualClock()
    tries = addresses(clock)
    for _ in range(3):
        assert tries.wait_s("192.0.2.1") == 0
        tries.count("192.0.2.1")
        clock.advance(10)
    assert tries.wait_s("192.0.2.1") == 30
    assert tries.wait_s("192.0.2.2") == 0


def test_an_address_may_try_again_when_its_oldest_wrong_one_leaves_the_window():
    clock = ManualClock()
    tries = addresses(clock)
    for _ in range(3):
        tries.count("192.0.2.1")
        clock.advance(10)
    clock.advance(30)
    assert tries.wait_s("192.0.2.1") == 0
    tries.count("192.0.2.1")
    assert tries.wait_s("192.0.2.1") == 10
