"""Names of a replay: the same for the same file, never shared by two."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.app.replay_names import gateway_code, is_code, partition_of, place_of
from hanlu.core.limits import PARTITIONS
from hanlu.registry.records import Zone


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cam_congelados_1min.csv", "replay-cam-congelados-1min"),
        ("atacadao_bangu_RJ__L1.csv", "replay-atacadao-bangu-rj-l1"),
        ("/data/2026/room 5.CSV", "replay-room-5"),
    ],
)
def test_plain_file_name_becomes_the_code(name: str, code: str) -> None:
    assert gateway_code(PurePath(name)) == code


def test_names_of_which_little_is_left_stay_apart() -> None:
    codes = {gateway_code(PurePath(name)) for name in ("一号冷库.csv", "二号冷库.csv", "冷库 1.csv", "1.csv", "..csv")}
    assert len(codes) == 5
    assert all(is_code(code) for code in codes)


def test_long_names_stay_apart() -> None:
    one, other = (gateway_code(PurePath(f"{'temperature-' * 9}{end}.csv")) for end in "ab")
    assert one != other
    assert len(one) <= 40


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text and PurePath(text).name == text))
def test_any_name_becomes_a_code_and_the_same_one_again(name: str) -> None:
    code = gateway_code(PurePath(f"x/{name}"))
    assert is_code(code)
    assert code == gateway_code(PurePath(f"elsewhere/{name}"))
    assert 0 <= partition_of(code) < PARTITIONS


def test_zone_keeps_its_name_until_another_is_given() -> None:
    file = PurePath("room.csv")
    first = place_of(file, "replay-room", "county", None, None, "frozen-room")
    assert (first.zone_zh, first.zone_en, first.zone.limit_profile) == ("room", "room", "frozen-room")
    known = Zone("replay-room", "replay-room", "一号库", "Room one")
    kept = place_of(file, "replay-room", "county", known, None, None)
    assert (kept.zone_zh, kept.zone_en, kept.zone.limit_profile) == ("一号库", "Room one", None)
    named = place_of(file, "replay-room", "county", known, "二号库", None)
    assert (named.zone_zh, named.zone_en) == ("二号库", "二号库")
    assert (named.site.code, named.zone.site, named.gateway.site) == ("replay-room",) * 3
