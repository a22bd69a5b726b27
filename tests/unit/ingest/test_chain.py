"""What is new, what repeats and where a chain breaks, against spools that misbehave in every way at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fix_edge import NOON_MS, Edge, Message, temperature
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.reading import Evidence
from hanlu.core.rejected import Reason
from hanlu.ingest.account import EMPTY, Standing, advance
from hanlu.ingest.chain import Judged, Link, Links, judge, neighbours, without_number
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import Channel, Gateway, Key, Snapshot
from hanlu.ingest.message import Accepted, Spool

SNAPSHOT = Snapshot.of(
    Gateway(1, "gw-1", 0, True, {Edge().kid: Key(Edge().public, 0)}, {"room-1/air_temperature": Channel.of(1, "Cel")})
)


def _accepted(message: Message) -> Accepted:
    outcome = decode(*message, NOON_MS, SNAPSHOT)
    assert isinstance(outcome, Accepted)
    return outcome


def _chain(edge: Edge, count: int) -> list[Accepted]:
    return [_accepted(edge.readings([temperature(-18, NOON_MS - i)])) for i in range(count)]


CHAIN = _chain(Edge(), 30)
SPOOL = CHAIN[0].spool or (0, b"")


class Record:
    """What the database would hold: judges batches as the writer does."""

    def __init__(self) -> None:
        self.standings: dict[Spool, Standing] = {}
        self.links: Links = {}
        self.digests: set[tuple[int, bytes]] = set()

    def take(self, batch: Sequence[Accepted]) -> Judged:
        for message in batch:
            if message.spool:
                self.standings.setdefault(message.spool, EMPTY)
        known: Links = {}
        for spool, seq in neighbours(batch, self.standings, known):
            link = self.links.get(spool, {}).get(seq)
            if link is not None:
                known.setdefault(spool, {})[seq] = link
        lookups = {(each.gateway_id, each.digest) for each in without_number(batch, known)}
        judged = judge(batch, known, lookups & self.digests)
        for each in judged.fresh:
            if each.spool and each.header:
                self.links.setdefault(each.spool, {})[each.header.seq] = Link(each.digest, each.header.prev)
                self.standings[each.spool] = advance(self.standings[each.spool], [each.header.seq])
            else:
                self.digests.add((each.gateway_id, each.digest))
        return judged


def _broken(judged: Judged) -> list[int]:
    return [each.header.seq for each in judged.fresh if each.header and each.evidence is Evidence.UNSIGNED]


@given(st.lists(st.sampled_from(CHAIN), max_size=20), st.integers(0, 29))
def test_message_of_which_only_the_beginning_of_its_digest_is_known_is_judged_like_any_other(
    batch: list[Accepted], gone: int
) -> None:
    record = Record()
    record.take(CHAIN[: gone + 1])
    for seq in range(1, gone + 1):  # all but the newest
        record.links[SPOOL][seq] = Link(record.links[SPOOL][seq].digest[:8], b"")
    copied = Edge(seq=CHAIN[gone // 2].header.seq - 1 if CHAIN[gone // 2].header else 0)
    fork = _accepted(copied.readings([temperature(-1, NOON_MS)]))
    judged = record.take([*batch, fork])
    assert judged.repeated[SPOOL] == len(batch) - len(
        {each.digest for each in CHAIN[gone + 1 :]} & {e.digest for e in batch}
    )
    assert [each.forked for each in judged.fresh if each.digest == fork.digest] == [True]
    assert _broken(judged) == [fork.header.seq if fork.header else 0]


@given(st.lists(st.lists(st.sampled_from(CHAIN), max_size=20), max_size=8))
def test_whole_chain_is_never_broken_and_each_message_fresh_once(batches: list[list[Accepted]]) -> None:
    record, fresh, repeated = Record(), list[Accepted](), 0
    for batch in batches:
        judged = record.take(batch)
        fresh += judged.fresh
        repeated += judged.repeated[SPOOL]
        assert _broken(judged) == []
    delivered = [message for batch in batches for message in batch]
    assert len({each.digest for each in fresh}) == len(fresh)
    assert {each.digest for each in fresh} == {each.digest for each in delivered}
    assert repeated == len(delivered) - len(fresh)


@given(st.permutations(range(6)), st.integers(1, 5))
def test_break_is_told_once_both_neighbours_are_here_in_any_order(order: list[int], place: int) -> None:
    edge = Edge()
    head = _chain(edge, place)
    edge.prev = bytes(32)[:-1] + b"?"
    chain = head + _chain(edge, 6 - place)
    record = Record()
    told = [seq for index in order for seq in _broken(record.take([chain[index]]))]
    assert len(told) == 1
    assert told[0] in (place, place + 1)


def test_first_message_must_name_no_predecessor() -> None:
    judged = Record().take([_accepted(Edge(prev=b"?" * 32).readings([temperature(-18)]))])
    assert [each.dead[0].reason for each in judged.fresh] == [Reason.BROKEN_CHAIN]


@pytest.mark.parametrize("together", [True, False])
def test_fork_goes_without_a_number_and_is_recognised_when_it_comes_again(together: bool) -> None:
    original = _chain(Edge(), 2)
    fork = _accepted(Edge().readings([temperature(-25, NOON_MS + 9)]))
    record = Record()
    if together:
        fresh = record.take([*original, fork, fork]).fresh
    else:
        fresh = record.take(original).fresh + record.take([fork, fork]).fresh
    assert [each.digest for each in fresh] == [original[0].digest, original[1].digest, fork.digest]
    assert (fresh[2].spool, fresh[2].forked, fresh[2].evidence) == (None, True, Evidence.UNSIGNED)
    again = record.take([fork, original[0]])
    assert again.fresh == []
    assert again.repeated == {SPOOL: 1}


def test_only_places_that_can_be_taken_are_looked_up() -> None:
    standings = {SPOOL: Standing(5)}
    assert neighbours(CHAIN[5:7], standings, {}) == [(SPOOL, 5)]
    tip: Links = {SPOOL: {5: Link(CHAIN[4].digest, b"")}}
    assert neighbours(CHAIN[5:7], standings, tip) == []
    assert neighbours(CHAIN[2:3], standings, {}) == [(SPOOL, 2), (SPOOL, 3), (SPOOL, 4)]
    assert neighbours(CHAIN[20:], standings, {}) == []
