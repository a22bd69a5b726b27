"""Which alarm explains which."""

from __future__ import annotations

import pytest

from hanlu.alerts.explain import Place, Standing, explains, parent_of
from hanlu.alerts.kind import Kind
from hanlu.alerts.occurrence import Subject

ROOM = Place("store", "room-1", "gw")
NEXT_ROOM = Place("store", "room-2", "gw")
MAINS = Place("store", None, "gw")
HEALTH = Place("store", None, "gw", health=True)
ELSEWHERE = Place("other", "room-9", "gw-9")


def standing(kind: Kind, place: Place, channel: int = 1) -> Standing:
    return Standing(Subject(channel, kind), place)


@pytest.mark.parametrize(
    ("parent", "child", "explained"),
    [
        (standing(Kind.POWER, ROOM), standing(Kind.HIGH, ROOM, 2), True),
        (standing(Kind.POWER, ROOM), standing(Kind.COMPRESSOR, ROOM, 2), True),
        (standing(Kind.POWER, ROOM), standing(Kind.HIGH, NEXT_ROOM, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.HIGH, NEXT_ROOM, 2), True),
        (standing(Kind.POWER, MAINS), standing(Kind.HIGH, ELSEWHERE, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.POWER, ROOM, 2), True),
        (standing(Kind.POWER, MAINS), standing(Kind.POWER, MAINS, 2), False),
        (standing(Kind.POWER, ROOM), standing(Kind.POWER, MAINS, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.HIGH_HIGH, ROOM, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.DOSE, ROOM, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.OUT_OF_RANGE, ROOM, 2), False),
        (standing(Kind.POWER, MAINS), standing(Kind.NO_DATA, ROOM, 2), True),
        (standing(Kind.POWER, MAINS), standing(Kind.NO_DATA, HEALTH, 2), False),
        (standing(Kind.NO_DATA, HEALTH), standing(Kind.GAP, HEALTH), True),
        (standing(Kind.NO_DATA, ROOM), standing(Kind.GAP, HEALTH, 2), False),
        (standing(Kind.NO_DATA, HEALTH), standing(Kind.HIGH, ROOM, 2), False),
        (standing(Kind.HIGH, ROOM), standing(Kind.RATE, ROOM, 2), False),
    ],
)
def test_loss_explains_what_follows_from_it_and_nothing_else(
    parent: Standing, child: Standing, explained: bool
) -> None:
    assert explains(parent, child) is explained


def test_of_several_explanations_the_one_with_the_longest_reach_speaks() -> None:
    site, room = standing(Kind.POWER, MAINS, 7), standing(Kind.POWER, ROOM, 3)
    child = standing(Kind.HIGH, ROOM, 2)
    assert parent_of(child, [room, site]) == site
    assert parent_of(child, [room]) == room
    assert parent_of(child, [standing(Kind.HIGH, ROOM, 5)]) is None
