"""A kept letter looked at again: whole as it came, a part record by record, and never a record that was taken."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from fix_edge import NOON_MS, Edge, temperature
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.envelope import digest
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import Channel, Gateway, Key, Snapshot
from hanlu.ingest.message import Accepted, Refused
from hanlu.ingest.replay import Letter, Part, cause, revive, taken_again, waiting_names

EDGE = Edge()


def _gateway(*devices: str, key: Key | None = None) -> Gateway:
    channels = {f"{name}/air_temperature": Channel.of(place, "Cel") for place, name in enumerate(devices, 1)}
    return Gateway(1, EDGE.code, 0, True, {EDGE.kid: key or Key(EDGE.public, NOON_MS - 1)}, channels)


def _part(body: bytes, places: tuple[int, ...] | None, **fields: object) -> Letter:
    letter = Letter(
        1, NOON_MS, EDGE.topic(), EDGE.code, Reason.UNKNOWN_CHANNEL, "", len(places or ()), body, digest(body),
        places=places, arrival_id=1, gateway_id=1, epoch=EDGE.epoch, arrived_count=10,
    )  # fmt: skip
    return replace(letter, **fields)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), st.sets(st.sampled_from("abcd")), st.booleans())
def test_approvals_in_two_steps_take_each_record_once(devices: list[str], known: set[str], signed: bool) -> None:
    readings = [temperature(-18, NOON_MS - place, name) for place, name in enumerate(devices)]
    topic, raw = Edge().readings(readings)
    first = decode(topic, raw, NOON_MS, Snapshot.of(_gateway("a")))
    assert isinstance(first, Accepted)
    taken = Counter(first.observed_ms)
    places = next((each.places for each in first.dead), ()) or ()
    for gateway in (_gateway("a", *known - {"a"}), _gateway("a", "b", "c", "d")):
        part = revive(_part(raw, places), gateway)
        assert isinstance(part, Part)
        taken += Counter(part.good.observed_ms)
        places = next((each.places for each in part.good.dead), ()) or ()
    assert places == ()
    assert taken == Counter(reading.observed_ms for reading in readings)


def test_names_that_are_waited_for_are_those_of_the_refused_records() -> None:
    _, raw = Edge().readings([temperature(-18, NOON_MS, name) for name in "abb"])
    assert waiting_names(_part(raw, (1, 2))) == {("b/air_temperature", "Cel"): 2}
    assert waiting_names(_part(raw, (1,), reason=Reason.UNIT_MISMATCH)) == {}
    assert waiting_names(_part(b"", (1,), dropped=True)) == {}


def test_part_whose_records_are_not_told_apart_is_left_alone() -> None:
    _, raw = Edge().readings([temperature(-18)])
    assert isinstance(revive(_part(raw, None), _gateway("room-1")), Rejected)
    assert isinstance(revive(_part(raw, (7,)), _gateway("room-1")), Rejected)


def test_key_enrolled_since_counts_from_the_reception_and_a_revoked_one_never() -> None:
    topic, raw = Edge().readings([temperature(-18)])
    letter = Letter(1, NOON_MS, topic, EDGE.code, Reason.UNKNOWN_KEY, "", 0, raw, digest(raw))
    later = NOON_MS + 86_400_000
    fresh = Snapshot.of(_gateway("room-1", key=Key(EDGE.public, later)))
    assert isinstance(taken_again(letter, fresh, later), Accepted)
    revoked = Snapshot.of(_gateway("room-1", key=Key(EDGE.public, later, later)))
    assert isinstance(taken_again(letter, revoked, later), Refused)


def test_time_given_as_seconds_ago_counts_back_from_the_first_reception() -> None:
    body = json.dumps([{"n": "a/air_temperature", "u": "Cel", "v": 1, "t": -30}]).encode()
    part = revive(_part(body, (0,)), _gateway("a"))
    assert isinstance(part, Part)
    assert part.good.observed_ms == [NOON_MS - 30_000]


def test_cause_changes_with_everything_that_decides_over_letters() -> None:
    causes = [
        cause(each)
        for each in (
            None,
            _gateway("a"),
            _gateway("a", "b"),
            _gateway("a", key=Key(EDGE.public, 0, 5)),
            replace(_gateway("a"), accepts_unsigned=False),
            replace(_gateway("a"), partition=3),
        )
    ]
    assert len(set(causes)) == len(causes)
    assert cause(_gateway("a")) == cause(_gateway("a"))
