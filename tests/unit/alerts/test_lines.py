"""How the alarm list is arranged: order, what stands under what, floods; nothing is ever lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.lines import FLOOD_ALARMS, FLOOD_MS, Line, Slim, Tab, Wanted, arrange, order_key, tally

MINUTE = 60_000
ALARM = Slim(1, 7, "7/high", "high", 1, "UNACKNOWLEDGED", "NONE", None, 0, "store", "冷库", "Store")
OPEN = Wanted()


def made(alarm_id: int, **what: object) -> Slim:
    return replace(ALARM, alarm_id=alarm_id, **({"point": f"{alarm_id}/high"} | what))


def heads(lines: list[Line]) -> list[int]:
    return [each.head.alarm_id for each in lines]


def test_unacknowledged_come_first_then_priority_then_the_newest() -> None:
    alarms = [
        made(1, process_state="ACKNOWLEDGED"), made(2, priority=3), made(3, priority=2, raised_ms=5),
        made(4, priority=2, raised_ms=9), made(5, process_state="RTN_UNACKNOWLEDGED"),
        made(6, process_state="LATCHED_ACKNOWLEDGED"), made(7, process_state="LATCHED_UNACKNOWLEDGED", priority=2),
    ]  # fmt: skip
    assert heads(arrange(alarms, OPEN)) == [4, 3, 2, 5, 7, 1, 6]


def test_earlier_occurrences_stand_under_the_newest_at_the_place_of_the_worst() -> None:
    newest = made(3, point="7/high", raised_ms=30, process_state="ACKNOWLEDGED")
    older = [made(each, point="7/high", raised_ms=each, process_state="RTN_UNACKNOWLEDGED") for each in (1, 2)]
    lines = arrange([*older, made(9, process_state="ACKNOWLEDGED", raised_ms=99), newest], OPEN)
    assert heads(lines) == [3, 9]
    assert [each.alarm_id for each in lines[0].older] == [2, 1]


def test_what_an_alarm_explains_stands_under_it_although_it_is_held() -> None:
    child = made(2, suppression_state="SUPPRESSED_BY_DESIGN", explained_by=1)
    [line] = arrange([made(1), child], OPEN)
    assert line.explained == (child,)
    assert heads(arrange([made(1), child], Wanted(Tab.HELD))) == [2]


@pytest.mark.parametrize(
    ("state", "tab"),
    [
        ("NONE", Tab.OPEN),
        ("SUPPRESSED_BY_DESIGN", Tab.HELD),
        ("SHELVED", Tab.SHELVED),
        ("OUT_OF_SERVICE", Tab.OUT),
    ],
)
def test_alarm_stands_on_the_tab_of_its_suppression_only(state: str, tab: Tab) -> None:
    for each in (Tab.OPEN, Tab.HELD, Tab.SHELVED, Tab.OUT):
        assert bool(arrange([made(1, suppression_state=state)], Wanted(each))) is (each is tab)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(site="store"),
        Wanted(site="冷"),
        Wanted(site="STORE"),
        Wanted(priority=1),
        Wanted(kind="high"),
        Wanted(process="UNACKNOWLEDGED"),
    ],
)
def test_filter_keeps_what_matches_and_leaves_out_the_rest(wanted: Wanted) -> None:
    other = made(
        2, site="x", site_zh="丙", site_en="X", priority=2, kind="low", process_state="ACKNOWLEDGED", point="2/low"
    )
    assert heads(arrange([made(1), other], wanted)) == [1]


def flood(count: int, apart_ms: int, **what: object) -> list[Slim]:
    return [made(number, raised_ms=number * apart_ms, **what) for number in range(1, count + 1)]


def test_more_than_ten_alarms_of_a_site_within_ten_minutes_are_one_line() -> None:
    [line] = arrange(flood(FLOOD_ALARMS + 1, FLOOD_MS // FLOOD_ALARMS), OPEN)
    assert len(line.flood) == FLOOD_ALARMS + 1


@pytest.mark.parametrize(
    "alarms",
    [
        flood(FLOOD_ALARMS, 1),
        flood(FLOOD_ALARMS + 1, FLOOD_MS // FLOOD_ALARMS + 1),
        [replace(each, site=f"store-{each.alarm_id % 2}") for each in flood(2 * FLOOD_ALARMS, 1)],
        flood(FLOOD_ALARMS + 1, 1, process_state="ACKNOWLEDGED"),
    ],
    ids=["ten", "slower", "two sites", "acknowledged"],
)
def test_fewer_or_slower_or_elsewhere_or_acknowledged_is_no_flood(alarms: list[Slim]) -> None:
    assert not any(each.flood for each in arrange(alarms, OPEN))


def test_flood_keeps_its_alarms_apart_when_asked_for() -> None:
    assert len(arrange(flood(30, 1), Wanted(flat=True))) == 30


def test_flood_stands_where_its_first_alarm_would() -> None:
    alarms = [*flood(20, 1, priority=2), made(50, priority=1, site="far"), made(60, priority=3, site="far")]
    lines = arrange(alarms, OPEN)
    assert [bool(each.flood) for each in lines] == [False, True, False]


def test_tabs_and_sites_are_counted_under_the_filter() -> None:
    far = made(2, site="far", site_zh="远", site_en="Far")
    alarms = [made(1), far, made(3, suppression_state="SHELVED"), made(4, priority=2)]
    tabs, sites = tally(alarms, Wanted(site="store", priority=1))
    assert (tabs[Tab.OPEN], tabs[Tab.SHELVED]) == (1, 1)
    assert sites == {"store": 1, "far": 1}


slims = st.lists(
    st.builds(
        made,
        st.integers(1, 60),
        point=st.sampled_from(["a", "b", "c", "d"]),
        priority=st.sampled_from([1, 2, 3]),
        process_state=st.sampled_from(["UNACKNOWLEDGED", "ACKNOWLEDGED", "RTN_UNACKNOWLEDGED", "LATCHED_ACKNOWLEDGED"]),
        suppression_state=st.sampled_from(["NONE", "NONE", "SUPPRESSED_BY_DESIGN", "SHELVED", "OUT_OF_SERVICE"]),
        explained_by=st.one_of(st.none(), st.integers(1, 60)),
        raised_ms=st.integers(0, 20 * MINUTE),
        site=st.sampled_from(["s", "t"]),
    ),
    unique_by=lambda each: each.alarm_id,
    max_size=50,
)


@given(slims)
def test_every_open_alarm_stands_on_exactly_one_tab_as_its_own(alarms: list[Slim]) -> None:
    own: list[int] = []
    for tab in (Tab.OPEN, Tab.HELD, Tab.SHELVED, Tab.OUT):
        for line in arrange(alarms, Wanted(tab)):
            for each in line.flood or (line,):
                own += [each.head.alarm_id, *(older.alarm_id for older in each.older)]
    assert sorted(own) == sorted(each.alarm_id for each in alarms)


@given(slims)
def test_order_as_text_is_the_order_of_the_list(alarms: list[Slim]) -> None:
    assert sorted(alarms, key=lambda each: each.order) == sorted(alarms, key=order_key)
