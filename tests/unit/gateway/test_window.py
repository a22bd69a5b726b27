from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.gateway.config import UplinkConfig
from hanlu.gateway.lane import Rate
from hanlu.gateway.window import Flow, Send, Window

_CONFIG = UplinkConfig(live_rate=1000, backlog_rate=1000, live_window=20, backlog_window=30, receipt_timeout_s=10)


def drain(window: Window, head: int, now: float, room: int = 1000) -> list[Send]:
    """Send all that may go."""
    sends = []
    while (send := window.next_send(head, now, room)) is not None:
        window.sent(send, now)
        sends.append(send)
    return sends


def seqs(sends: list[Send], flow: Flow | None = None) -> list[int]:
    return [seq for send in sends if flow in (None, send.flow) for seq in range(send.first, send.last + 1)]


def connected(committed: int, birth: int, config: UplinkConfig = _CONFIG, *, in_order: bool = False) -> Window:
    window = Window(config, committed, in_order=in_order)
    window.connected(birth, birth, now=0.0)
    return window


def test_nothing_pending_sends_nothing_after_the_birth():
    assert drain(connected(committed=4, birth=5), head=5, now=0.0) == []


def test_nothing_pending_in_order_sends_nothing_after_the_birth():
    assert drain(connected(committed=4, birth=5, in_order=True), head=5, now=0.0) == []


def test_backlog_and_live_send_live_first_then_backlog_oldest_first():
    window = connected(committed=0, birth=6)
    sends = drain(window, head=8, now=0.0)
    assert seqs(sends) == [7, 8, 1, 2, 3, 4, 5]
    assert seqs(sends, Flow.LIVE) == [7, 8]


def test_replay_in_order_lets_nothing_overtake():
    assert seqs(drain(connected(committed=0, birth=6, in_order=True), head=8, now=0.0)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_backlog_larger_than_the_window_waits_for_receipts():
    window = connected(committed=0, birth=101)
    assert seqs(drain(window, head=101, now=0.0)) == list(range(1, 31))
    assert window.receipt(10, (), now=0.1)
    assert seqs(drain(window, head=101, now=0.2)) == list(range(31, 41))


def test_backlog_faster_than_its_rate_is_held_back():
    window = connected(committed=0, birth=101, config=_CONFIG.model_copy(update={"backlog_rate": 5.0}))
    assert seqs(drain(window, head=101, now=0.0)) == [1, 2, 3, 4, 5]
    assert window.wait_s(101, 0.0, 100) == pytest.approx(0.2)
    assert seqs(drain(window, head=101, now=1.0)) == [6, 7, 8, 9, 10]


def test_silent_platform_stops_the_live_lane_at_its_window():
    window = connected(committed=0, birth=1)
    assert len(seqs(drain(window, head=100, now=0.0))) == 20
    assert window.wait_s(100, 0.0, 100) == pytest.approx(10.0)
    window.receipt(0, (), now=1.0)
    assert len(seqs(drain(window, head=100, now=1.0))) == 20


def test_no_room_sends_nothing_and_waits_only_for_the_receipt():
    window = connected(committed=0, birth=1)
    assert window.next_send(5, 0.0, room=0) is None
    assert window.wait_s(5, 0.0, room=0) == pytest.approx(10.0)


def test_receipt_of_everything_leaves_nothing_to_wait_for():
    window = connected(committed=0, birth=1)
    drain(window, head=5, now=0.0)
    window.receipt(5, (), now=0.1)
    assert window.wait_s(5, 0.2, 100) is None
    assert not window.overdue(1e6)


def test_missing_message_overtaken_by_a_later_one_is_repeated_at_once_and_only_once():
    window = connected(committed=0, birth=1)
    drain(window, head=10, now=0.0)
    window.receipt(3, [(4, 6)], now=0.1)
    window.receipt(3, [(4, 6)], now=0.1)
    assert drain(window, head=10, now=0.1) == [Send(Flow.REPEAT, 4, 6)]
    window.receipt(4, [(5, 6)], now=0.2)
    assert drain(window, head=10, now=60.0) == []


def test_repetition_lost_again_is_repeated_once_something_later_arrives():
    window = connected(committed=0, birth=1)
    drain(window, head=6, now=0.0)
    window.receipt(3, [(4, 4)], now=0.1)
    drain(window, head=6, now=0.1)
    drain(window, head=8, now=0.2)
    window.receipt(3, [(4, 4), (7, 7)], now=0.3)
    assert seqs(drain(window, head=8, now=0.3)) == [4, 7]


def test_backlog_on_its_way_is_not_repeated_because_live_messages_overtook_it():
    window = connected(committed=0, birth=11)
    drain(window, head=13, now=0.0)
    for second in range(9):
        window.receipt(0, [(1, 10)], now=float(second))
        assert drain(window, head=13, now=float(second)) == []


def test_backlog_sent_a_second_time_is_not_repeated_because_its_first_sending_left_a_gap():
    window = connected(committed=0, birth=11)
    drain(window, head=11, now=0.0)
    window.connected(head=12, birth=12, now=1.0)
    drain(window, head=12, now=1.0)
    window.receipt(2, [(3, 4), (6, 8)], now=1.1)
    assert drain(window, head=12, now=1.1) == []


def test_missing_message_never_sent_is_left_to_its_lane():
    window = connected(committed=0, birth=101)
    drain(window, head=110, now=0.0)
    window.receipt(0, [(31, 100)], now=60.0)
    assert drain(window, head=110, now=60.0) == []


def test_wanted_range_far_outside_is_cut_to_what_was_sent():
    window = connected(committed=2, birth=3)
    drain(window, head=8, now=0.0)
    window.receipt(2, (), now=5.0)
    window.repeat(1, 10**15)
    assert seqs(drain(window, head=8, now=5.0)) == [3, 4, 5, 6, 7, 8]


def test_no_receipt_in_time_sends_everything_again_with_doubling_patience():
    window = connected(committed=0, birth=1)
    drain(window, head=5, now=0.0)
    assert not window.overdue(9.9)
    assert window.overdue(10.0)
    window.resend_all(10.0)
    assert seqs(drain(window, head=5, now=10.0), Flow.BACKLOG) == [1, 2, 3, 4, 5]
    assert not window.overdue(29.9)
    assert window.overdue(30.0)
    window.receipt(1, (), now=31.0)
    assert not window.overdue(40.9)
    assert window.overdue(41.0)


def test_live_messages_grown_old_become_backlog_without_a_second_sending_of_the_sent():
    window = connected(committed=0, birth=1)
    window.sent(Send(Flow.LIVE, 2, 3), 0.0)
    window.demote(head=9)
    assert seqs(drain(window, head=10, now=0.0), Flow.LIVE) == [10]
    assert window.backlog_next == 10


def test_connection_without_a_birth_sends_all_that_is_pending():
    window = Window(_CONFIG, 3)
    window.connected(head=6, birth=None, now=0.0)
    assert seqs(drain(window, head=7, now=0.0)) == [7, 4, 5, 6]


def test_rate_never_exceeds_its_average_over_time():
    rate, taken = Rate(10.0), 0
    for step in range(1_000):
        count = rate.available(step / 100)
        rate.take(count)
        taken += count
    assert 100 <= taken <= 110


def test_rate_below_one_a_second_still_passes_single_messages():
    rate = Rate(0.1)
    assert rate.available(0.0) == 1
    rate.take(1)
    assert rate.available(5.0) == 0
    assert rate.wait_s() == pytest.approx(5.0)
    assert rate.available(10.0) == 1


class World:
    """A spool, a link that loses and breaks, and a platform, on a clock of their own."""

    def __init__(self, seed: int, *, in_order: bool, timeout_s: float = 10.0) -> None:
        self.random = random.Random(seed)
        config = _CONFIG.model_copy(update={"live_rate": 50.0, "backlog_rate": 20.0, "receipt_timeout_s": timeout_s})
        self.window = Window(config, 0, in_order=in_order)
        self.head, self.now, self.stored, self.up = 0, 0.0, set[int](), False
        self.wire: list[int] = []
        self.spared, self.lucky = set[int](), False  # lucky: nothing is lost twice

    def watermark(self) -> int:
        seq = 0
        while seq + 1 in self.stored:
            seq += 1
        return seq

    def missing(self) -> list[tuple[int, int]]:
        edges = [self.watermark(), *sorted(seq for seq in self.stored if seq > self.watermark())]
        return [(a + 1, b - 1) for a, b in pairwise(edges) if b > a + 1][:100]

    def connect(self) -> None:
        self.head += 1
        self.window.connected(self.head, self.head, self.now)
        self.wire, self.up = [self.head], True

    def send(self) -> None:
        if not self.up:
            return
        if self.window.overdue(self.now):
            self.window.resend_all(self.now)
        while (send := self.window.next_send(self.head, self.now, 100)) is not None:
            assert self.window.committed < send.first <= send.last <= self.head
            self.window.sent(send, self.now)
            self.wire.extend(range(send.first, send.last + 1))

    def deliver(self, loss: float) -> None:
        count = self.random.randint(0, len(self.wire))
        arriving, self.wire = self.wire[:count], self.wire[count:]
        lost = {seq for seq in arriving if seq not in self.spared and self.random.random() < loss}
        if self.lucky:
            self.spared |= lost
        self.stored.update(set(arriving) - lost)

    def answer(self) -> None:
        self.window.receipt(self.watermark(), self.missing(), self.now)

    def step(self, action: int) -> None:
        self.now += self.random.random() * 3
        if action == 0:
            self.head += self.random.randint(1, 10)
        elif action == 1:
            self.connect()
        elif action == 2:
            self.up, self.wire = False, []
        elif action == 3 and self.up:
            self.window.demote(self.head)
        elif action in (4, 5):
            self.deliver(loss=0.3)
        elif action == 6 and self.up:
            self.answer()
        self.send()


@given(st.integers(0, 2**32), st.lists(st.integers(0, 6), max_size=120), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_history_of_faults_ends_with_everything_committed_once_the_link_holds(seed, actions, in_order):
    world = World(seed, in_order=in_order)
    for action in actions:
        world.step(action)
    world.connect()
    for _ in range(1_000):
        if world.window.committed == world.head:
            break
        world.send()
        world.deliver(loss=0.0)
        world.answer()
        world.now += 0.5
    assert world.window.committed == world.head
    assert world.stored >= set(range(1, world.head + 1))


@given(st.integers(0, 2**32), st.lists(st.integers(0, 6), max_size=120))
@settings(max_examples=50, deadline=None)
def test_receipts_alone_heal_losses_without_waiting_for_the_time_out(seed, actions):
    world = World(seed, in_order=False, timeout_s=3_000.0)
    world.lucky = True
    world.connect()
    for action in actions:
        world.step(action if action in (0, 4, 6) else 5)
    for _ in range(1_000):
        if world.window.committed == world.head and not world.wire:
            break
        if world.random.random() < 0.1:
            world.head += 1  # something later must arrive, or nobody can know that the last was lost
        world.send()
        world.deliver(loss=0.0)
        world.answer()
        world.now += 0.5
    assert world.window.committed == world.head
