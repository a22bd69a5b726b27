"""The live stream's text: to whom, in which shape, and from where on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.live import (
    AlarmChange,
    Batch,
    ChannelPlace,
    Position,
    Viewer,
    messages,
    newest,
    placed,
    reset,
    rows_event,
    tick,
)
from hanlu.alerts.views import Counts

PLACES = {1: ChannelPlace("/1/2/", "room"), 2: ChannelPlace("/1/2/", "chill"), 3: ChannelPlace("/1/3/", "far")}
ALARM = AlarmChange("9", 4, 17, "raise", "UNACKNOWLEDGED", "high", 1, "NONE", "room", "store", "/1/2/")
BATCH = Batch(Position(8, 5, 9, 4), {1: (1000, -18.0), 2: (1000, 4.0), 3: (1000, 2.0)}, (ALARM,))


def events(text: str) -> list[tuple[str, str, object]]:
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_viewer_is_told_the_readings_of_the_subtree_only() -> None:
    [reading, _] = events(messages(BATCH, Viewer("/1/2/"), placed(BATCH, PLACES), 1500))
    assert reading == ("reading", "8-5-9-4", {"now": 1500, "readings": [[1, 1000, -18.0], [2, 1000, 4.0]]})


def test_page_of_one_zone_is_told_its_readings_but_every_alarm_of_the_subtree() -> None:
    [reading, alarm] = events(messages(BATCH, Viewer("/1/2/", "chill"), placed(BATCH, PLACES), 1500))
    assert reading[2] == {"now": 1500, "readings": [[2, 1000, 4.0]]}
    assert alarm[0] == "alarm"


def test_neighbour_is_told_nothing_of_an_alarm_elsewhere() -> None:
    assert [each[0] for each in events(messages(BATCH, Viewer("/1/3/"), placed(BATCH, PLACES), 1500))] == ["reading"]


def test_channel_of_unknown_place_is_told_to_nobody() -> None:
    batch = Batch(BATCH.position, {9: (1, 1.0)}, ())
    assert messages(batch, Viewer("/"), placed(batch, PLACES), 1500) == ""


def test_batch_without_anything_for_the_viewer_is_no_text() -> None:
    assert messages(BATCH, Viewer("/7/"), placed(BATCH, PLACES), 1500) == ""


def test_newest_reading_of_a_channel_wins_whatever_the_order() -> None:
    assert newest([([1, 1], [20, 10], [2.0, 1.0]), ([1, 2], [15, 5], [9.0, 5.0])]) == {1: (20, 2.0), 2: (5, 5.0)}


def test_changed_lines_travel_as_they_were_made() -> None:
    [(name, at, data)] = events(rows_event(['<tbody data-key="a1">"行"</tbody>'], BATCH.position, more=False))
    assert (name, at) == ("rows", "8-5-9-4")
    assert data == {"rows": ['<tbody data-key="a1">"行"</tbody>'], "more": False}


def test_tick_and_reset_carry_the_position() -> None:
    counts = Counts(1, 1, 0, 0, 2, 0, 3, 4, None, 5, 6, 7, 8, 9, 10, 11)
    [(name, at, data)] = events(tick(counts, BATCH.position, 77))
    assert (name, at) == ("tick", "8-5-9-4")
    assert isinstance(data, dict)
    assert (data["now"], data["waiting"], data["dead_letters"]) == (77, 1, 11)
    assert events(reset(BATCH.position)) == [("reset", "8-5-9-4", {})]


@given(st.tuples(*[st.integers(0, 2**63 - 1)] * 4))
def test_position_comes_back_from_its_text(parts: tuple[int, int, int, int]) -> None:
    assert Position.parse(str(Position(*parts))) == Position(*parts)


@pytest.mark.parametrize(
    "text", ["", "1-2-3", "1-2-3-4-5", "a-b-c-d", "1-2-3-4\n", "-1-2-3-4", "1-99999999999999999999-3-4"]
)
def test_position_that_is_none_of_ours_is_none(text: str) -> None:
    assert Position.parse(text) is None


@given(st.text(max_size=60))
def test_any_text_is_a_position_or_none(text: str) -> None:
    position = Position.parse(text)
    assert position is None or Position.parse(str(position)) == position
