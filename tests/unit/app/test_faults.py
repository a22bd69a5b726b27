"""The pure parts of the fault matrix: what counts as lost, twice and unexplained, and how packets are cut."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.app.faults.catalogue import FAULTS
from hanlu.app.faults.devices import excursion
from hanlu.app.faults.matrix import sequence
from hanlu.app.faults.packets import PUBLISH, Splitter, connect, publish, topic_of
from hanlu.app.faults.special import SPECIALS
from hanlu.app.faults.verdict import Account, Verdict, judge

SENT = {1: -18.0, 2: -17.0, 3: -16.0}
BEFORE = Account(produced=10, stored=10, rows=10)
AFTER = Account(produced=13, stored=13, rows=13)


def test_round_in_which_all_is_stored_once_is_good() -> None:
    verdict = judge(SENT, SENT, BEFORE, AFTER)
    assert verdict == Verdict(sent=3, stored=3)
    assert verdict.good


def test_reading_neither_stored_nor_declared_is_lost() -> None:
    found = {1: -18.0, 2: -17.0}
    verdict = judge(SENT, found, BEFORE, replace(AFTER, produced=12, stored=12, rows=12))
    assert (verdict.lost, verdict.twice, verdict.unexplained) == (1, 0, 0)
    assert not verdict.good


def test_declared_loss_explains_what_is_absent() -> None:
    verdict = judge(SENT, {1: -18.0, 2: -17.0}, BEFORE, replace(AFTER, stored=12, rows=12, lost=1))
    assert (verdict.lost, verdict.declared, verdict.unexplained) == (0, 1, 0)
    assert verdict.good


@pytest.mark.parametrize(
    ("found", "after", "what"),
    [
        (SENT, replace(AFTER, stored=14, produced=14), "twice"),
        (SENT | {4: -18.0}, replace(AFTER, stored=14, produced=14, rows=14), "unexplained"),
        (SENT | {3: 99.0}, AFTER, "unexplained"),
        (SENT, replace(AFTER, produced=15), "unexplained"),
        (SENT, replace(AFTER, gaps=1), "unexplained"),
        (SENT, replace(AFTER, lost=1, produced=14), "unexplained"),
        (SENT, replace(AFTER, dead=1, produced=14), "unexplained"),
    ],
)
def test_every_kind_of_disorder_is_named(found: dict[int, float], after: Account, what: str) -> None:
    verdict = judge(SENT, found, BEFORE, after)
    assert getattr(verdict, what) > 0
    assert not verdict.good


def test_duplicates_are_explained() -> None:
    verdict = judge(SENT, SENT, BEFORE, replace(AFTER, produced=20, duplicate=7))
    assert verdict.good
    assert verdict.duplicate == 7


def test_excursion_is_one_stretch_above_the_limit() -> None:
    series = excursion("room-1", 0, 5_000, 240, random.Random(1))
    warm = [ms for ms, value in series.points if value > -15]
    assert warm == list(range(series.exceeded_ms, series.exceeded_ms + len(warm) * 5_000, 5_000))
    assert len({ms for ms, _ in series.points}) == 240


def test_each_fault_is_played_before_one_is_played_again() -> None:
    order = sequence(FAULTS, 60, random.Random(1).shuffle)
    assert len(order) == 60
    assert {fault.name for fault in order[: len(FAULTS)]} == {fault.name for fault in FAULTS}
    assert not any(fault.slow for fault in order[len(FAULTS) :])


def test_names_of_faults_are_distinct() -> None:
    names = [each.name for each in (*FAULTS, *SPECIALS)]
    assert len(set(names)) == len(names)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=20), st.binary(max_size=400)), max_size=5),
    st.integers(min_value=1, max_value=50),
)
def test_packets_are_cut_wherever_the_stream_was(said: list[tuple[str, bytes]], piece: int) -> None:
    packets = [connect("c", "user", "password"), *(publish(topic, body, 7) for topic, body in said)]
    stream, splitter = b"".join(packets), Splitter()
    cut = [packet for at in range(0, len(stream), piece) for packet in splitter.feed(stream[at : at + piece])]
    assert cut == packets
    assert [topic_of(packet) for packet in cut if packet[0] & 0xF0 == PUBLISH] == [topic for topic, _ in said]
