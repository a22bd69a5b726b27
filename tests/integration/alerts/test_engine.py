"""The alarm engine on a real database: readings in, alarms and journal out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from fix_alerts import CHILL, DEFROST, FOREIGN, FROZEN, PLAIN, Cell, County, rule

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine, run
from hanlu.alerts.operate import acknowledge
from hanlu.core.clock import ManualClock, SystemClock, from_ms
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

MINUTE = 60_000
START = 1_750_000_000_000
CONFIG = EngineConfig(seed_rules=False, page_arrivals=50)


@contextmanager
def engine(county: County, clock: ManualClock | None = None) -> Iterator[Engine]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield Engine(CONFIG, connection, clock or ManualClock())


def judge_all(county: County, clock: ManualClock | None = None) -> None:
    with engine(county, clock) as each:
        while each.turn():
            pass


def warm_hour(channel: int = FROZEN, start: int = START) -> list[list[Cell]]:
    values = [-18.0] * 10 + [-10.0] * 40 + [-18.0] * 5
    return [[(channel, start + index * MINUTE, value)] for index, value in enumerate(values)]


def events(county: County) -> list[tuple[object, ...]]:
    return county.query("SELECT event, from_state, to_state FROM alerts.journal ORDER BY journal_id")


def test_warm_room_raises_an_alarm_that_returns_unacknowledged(county: County) -> None:
    county.arrive_all(warm_hour())
    judge_all(county)
    alarm = county.query(
        "SELECT kind, priority, process_state, limit_value, exceeded_at, raised_at, returned_at, peak, replayed,"
        " version FROM alerts.alarm"
    )
    assert alarm == [
        (
            "high", 1, "RTN_UNACKNOWLEDGED", -15.0, from_ms(START + 10 * MINUTE), from_ms(START + 40 * MINUTE),
            from_ms(START + 51 * MINUTE), -10.0, False, 2,
        )
    ]  # fmt: skip
    assert events(county) == [
        ("raise", "NORMAL", "UNACKNOWLEDGED"),
        ("return", "UNACKNOWLEDGED", "RTN_UNACKNOWLEDGED"),
    ]


def test_engine_started_anew_after_every_page_comes_to_the_same_journal(county: County) -> None:
    messages = warm_hour()
    county.arrive_all(messages)
    for _ in range(10):
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            Engine(EngineConfig(seed_rules=False, page_arrivals=7), connection, ManualClock()).turn()
    in_pieces = county.journal()
    county.forget()
    judge_all(county)
    assert county.journal() == in_pieces
    assert len(in_pieces) == 2


def test_transactions_are_followed_by_number_and_not_by_their_digits(county: County) -> None:
    county.query("UPDATE registry.limit_profile SET on_delay_s = 0")
    for minute, value in ((1, -5.0), (2, -18.0)):
        county.arrive([(FROZEN, START + minute * MINUTE, value)])
    county.query("UPDATE telemetry.arrival SET txid = (CASE arrival_id WHEN 1 THEN '99' ELSE '100' END)::xid8")
    for page in (1, 2):
        county.forget()
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            running = Engine(EngineConfig(seed_rules=False, page_arrivals=page), connection, ManualClock())
            while running.turn():
                pass
        assert events(county)[0] == ("raise", "NORMAL", "UNACKNOWLEDGED")
        assert county.query(
            "SELECT (state ->> 'newest_ms')::bigint FROM alerts.memory WHERE channel_id = %s", FROZEN
        ) == [(START + 2 * MINUTE,)]


def test_transaction_that_fails_leaves_nothing_of_its_page(county: County) -> None:
    county.arrive_all(warm_hour())
    county.query("ALTER TABLE alerts.cursor ADD CONSTRAINT broken CHECK (arrival_id < 0)")
    with engine(county) as broken, pytest.raises(Exception, match="broken"):
        broken.turn()
    assert county.query("SELECT count(*) FROM alerts.journal") == [(0,)]
    county.query("ALTER TABLE alerts.cursor DROP CONSTRAINT broken")
    judge_all(county)
    assert len(events(county)) == 2


def test_channel_without_limits_alarms_nobody(county: County) -> None:
    county.arrive([(DEFROST, START, 1.0), (DEFROST, START + MINUTE, 99.0)])
    judge_all(county)
    assert events(county) == []


def test_channel_announced_after_the_last_look_is_judged_from_its_first_reading(county: County) -> None:
    with engine(county) as running:
        running.turn()
        county.query(
            "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s, limit_profile_code)"
            " OVERRIDING SYSTEM VALUE VALUES (90, 2, 'product_temperature', 'Cel', 60, 'new')"
        )
        county.query(
            "INSERT INTO registry.limit_profile (code, effective_from, metric, high, on_delay_s, source)"
            " VALUES ('new', '2020-01-01', 'product_temperature', 8, 0, 'test')"
        )
        county.arrive([(90, START, 20.0)])
        running.turn()
    assert events(county) == [("raise", "NORMAL", "UNACKNOWLEDGED")]


def test_backlog_never_raises_a_live_alarm_but_corrects_the_peak_it_falls_into(county: County) -> None:
    county.arrive_all(warm_hour()[:45])
    judge_all(county)
    yesterday = START - 24 * 60 * MINUTE
    county.arrive([(FROZEN, yesterday + index * MINUTE, -5.0) for index in range(60)], lane="backlog")
    county.arrive([(FROZEN, START + 20 * MINUTE + 30_000, -3.5)], lane="backlog")
    judge_all(county)
    assert [row[0] for row in events(county)] == ["raise", "correct"]
    assert county.query("SELECT peak, peak_at, version FROM alerts.alarm") == [
        (-3.5, from_ms(START + 20 * MINUTE + 30_000), 2)
    ]


def test_late_readings_before_an_excursion_move_its_beginning(county: County) -> None:
    hour = warm_hour()
    first_warm = next(index for index, cells in enumerate(hour) if cells[0][2] > -15)
    county.arrive_all(hour[: first_warm - 1] + hour[first_warm + 3 :])
    judge_all(county)
    began = county.query("SELECT exceeded_at FROM alerts.alarm")
    assert began == [(from_ms(hour[first_warm + 3][0][1]),)]
    county.arrive(hour[first_warm + 2], lane="backlog")
    county.arrive(hour[first_warm + 1], lane="backlog")
    county.arrive(hour[first_warm], lane="backlog")
    county.arrive(hour[first_warm - 1], lane="backlog")
    judge_all(county)
    assert county.query("SELECT exceeded_at FROM alerts.alarm") == [(from_ms(hour[first_warm][0][1]),)]
    assert [row[0] for row in events(county)].count("correct") >= 1


def test_beginning_is_not_moved_across_a_gap_or_a_good_reading(county: County) -> None:
    hour = warm_hour()
    first_warm = next(index for index, cells in enumerate(hour) if cells[0][2] > -15)
    began_ms = hour[first_warm][0][1]
    county.arrive_all(hour)
    judge_all(county)
    county.arrive([(FROZEN, began_ms - 90_000, -5.0)], lane="backlog")  # a good reading lies between
    judge_all(county)
    assert county.query("SELECT exceeded_at FROM alerts.alarm") == [(from_ms(began_ms),)]


def test_readings_that_came_out_of_order_before_the_alarm_count_when_it_is_raised(county: County) -> None:
    hour = warm_hour()
    first_warm = next(index for index, cells in enumerate(hour) if cells[0][2] > -15)
    order = [*hour[:first_warm], hour[first_warm + 2], hour[first_warm + 1], hour[first_warm], *hour[first_warm + 3 :]]
    county.arrive_all(order)
    judge_all(county)
    assert county.query("SELECT exceeded_at FROM alerts.alarm") == [(from_ms(hour[first_warm][0][1]),)]


def test_correction_found_first_is_not_undone_by_the_live_peak(county: County) -> None:
    county.arrive_all(warm_hour()[:45])
    county.arrive([(FROZEN, START + 20 * MINUTE + 30_000, -3.5)], lane="backlog")
    county.arrive_all(warm_hour()[45:])
    judge_all(county)
    assert county.query("SELECT peak FROM alerts.alarm") == [(-3.5,)]


def test_backlog_before_any_live_reading_raises_nothing(county: County) -> None:
    county.arrive([(FROZEN, START + index * MINUTE, -5.0) for index in range(60)], lane="backlog")
    judge_all(county)
    assert events(county) == []


def test_replay_is_judged_in_its_own_time_whatever_the_lane(county: County) -> None:
    for lane, channel in (("live", FROZEN), ("backlog", FOREIGN)):
        for cells in warm_hour(channel):
            county.arrive(cells, lane=lane, replayed=True)
    judge_all(county)
    assert county.query("SELECT channel_id, replayed FROM alerts.alarm ORDER BY channel_id") == [
        (FROZEN, True),
        (FOREIGN, True),
    ]


def test_silence_raises_once_and_returns_with_the_next_reading(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(county, clock) as running:
        county.arrive([(CHILL, clock.now_ms(), 4.0)])
        running.turn()
        clock.advance(299)
        running.turn()
        assert events(county) == []
        clock.advance(5)
        running.turn()
        clock.advance(600)
        running.turn()
        county.arrive([(CHILL, clock.now_ms(), 4.0)])
        running.turn()
    assert [row[0] for row in events(county)] == ["raise", "return"]
    assert county.query("SELECT kind, process_state FROM alerts.alarm") == [("no_data", "RTN_UNACKNOWLEDGED")]


def test_silence_under_a_limit_withdrawn_and_set_again_is_a_new_alarm(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(county, clock) as running:
        county.arrive([(CHILL, clock.now_ms(), 4.0)])
        running.turn()
        clock.advance(305)
        running.turn()
        for profile in (None, "chilled"):
            county.query("UPDATE registry.zone SET limit_profile_code = %s WHERE zone_id = 2", profile)
            clock.advance(31)
            running.turn()
        assert [row[0] for row in events(county)] == ["raise", "return"]
        clock.advance(305)
        running.turn()
    assert [row[0] for row in events(county)] == ["raise", "return", "raise"]


def test_channel_whose_readings_the_feed_holds_back_is_not_silent(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(county, clock) as running:
        county.arrive([(CHILL, clock.now_ms(), 4.0)])
        running.turn()
        with psycopg.connect(county.url) as forgotten:
            forgotten.execute("CREATE TABLE forgotten (x integer)")
            county.arrive([(CHILL, clock.now_ms() + 1, 4.0)])
            clock.advance(305)
            assert running.turn() == 0
            forgotten.rollback()
        assert events(county) == []
        assert running.turn() == 1
        clock.advance(5)
        running.turn()
    assert [row[0] for row in events(county)] == ["raise"]


def test_silence_while_no_engine_ran_is_not_held_against_the_channel(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    county.arrive([(CHILL, clock.now_ms(), 4.0)])
    clock.advance(24 * 3600)
    with engine(county, clock) as running:
        running.turn()
        running.turn()
        assert events(county) == []
        clock.advance(400)
        running.turn()
    assert [row[0] for row in events(county)] == ["raise"]


def test_replaying_gateway_is_never_silent(county: County) -> None:
    county.link(1, replay=True)
    clock = ManualClock(SystemClock().now_ms())
    county.arrive([(CHILL, START, 4.0)], replayed=True)
    with engine(county, clock) as running:
        running.turn()
        clock.advance(24 * 3600)
        running.turn()
        running.turn()
    assert events(county) == []


def test_alarm_of_a_withdrawn_limit_returns_with_that_reason(county: County) -> None:
    county.arrive_all(warm_hour()[:45])
    clock = ManualClock(SystemClock().now_ms())
    with engine(county, clock) as running:
        running.turn()
        county.query("UPDATE registry.zone SET limit_profile_code = NULL WHERE zone_id = 1")
        clock.advance(31)
        running.turn()
        running.turn()
    assert county.query("SELECT event, note FROM alerts.journal ORDER BY journal_id") == [
        ("raise", ""),
        ("return", "limit_withdrawn"),
    ]


def test_acknowledged_alarm_returns_to_normal_and_the_journal_tells_all(county: County) -> None:
    county.arrive_all(warm_hour()[:45])
    judge_all(county)
    [(alarm_id,)] = county.query("SELECT alarm_id FROM alerts.alarm")
    assert isinstance(alarm_id, int)
    with connect(county.url, "hanlu_alerts", name="test") as connection:
        acknowledge(connection, alarm_id, 1, "li", "门已关", START)
    county.arrive_all(warm_hour()[45:])
    judge_all(county)
    assert county.query("SELECT event, to_state, actor, note FROM alerts.journal ORDER BY version") == [
        ("raise", "UNACKNOWLEDGED", "engine", ""),
        ("acknowledge", "ACKNOWLEDGED", "li", "门已关"),
        ("return", "NORMAL", "engine", ""),
    ]


def test_second_to_acknowledge_is_told_and_changes_nothing(county: County) -> None:
    county.arrive_all(warm_hour()[:45])
    judge_all(county)
    [(alarm_id,)] = county.query("SELECT alarm_id FROM alerts.alarm")
    assert isinstance(alarm_id, int)
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        acknowledge(connection, alarm_id, 1, "li", "", START)
        with pytest.raises(ConflictError):
            acknowledge(connection, alarm_id, 1, "wang", "", START)
        with pytest.raises(ConflictError):
            acknowledge(connection, alarm_id, 2, "wang", "", START)
        with pytest.raises(NotFoundError):
            acknowledge(connection, 999, 1, "wang", "", START)
    assert county.query("SELECT acknowledged_by, version FROM alerts.alarm") == [("li", 2)]


def test_second_engine_waits_until_the_first_is_gone(county: County) -> None:
    stops, readies = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    threads = [
        threading.Thread(target=run, args=(CONFIG, county.url, stop, ready.set))
        for stop, ready in zip(stops, readies, strict=True)
    ]
    threads[0].start()
    assert readies[0].wait(10)
    threads[1].start()
    assert not readies[1].wait(1)
    stops[0].set()
    assert readies[1].wait(10)
    stops[1].set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_notification_brings_the_alarm_within_a_second(county: County) -> None:
    county.query("UPDATE registry.limit_profile SET on_delay_s = 0")
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(EngineConfig(seed_rules=False, poll_s=3), county.url, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(10)
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as listener:
            listener.execute("LISTEN hanlu_alarm")
            county.arrive([(FROZEN, START, 0.0)])
            assert list(listener.notifies(timeout=1.0, stop_after=1))
    finally:
        stop.set()
        thread.join(15)


def test_rule_that_a_person_writes_holds_from_the_next_reading_on(county: County) -> None:
    stop, ready = threading.Event(), threading.Event()
    config = EngineConfig(seed_rules=False, poll_s=3, refresh_s=3_600)
    thread = threading.Thread(target=run, args=(config, county.url, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(10)
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as listener:
            listener.execute("LISTEN hanlu_alarm")
            county.rules(rule("high", "high", applies={"profiled": True}, parameters=PLAIN | {"on_delay_s": 0}))
            for minute in range(20):  # under the rule of before the alarm would come after 30
                county.arrive([(FROZEN, START + minute * MINUTE, 0.0)])
                if list(listener.notifies(timeout=0.5, stop_after=1)):
                    break
            else:
                pytest.fail("the rule was not read anew")
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive()


def test_gap_of_a_gateway_raises_once_and_returns_when_it_is_closed(county: County) -> None:
    (gateway_id,) = county.query("SELECT gateway_id FROM registry.gateway WHERE code = 'gw-yanling'")[0]
    county.query(
        "INSERT INTO registry.device (device_id, gateway_id, code, kind) OVERRIDING SYSTEM VALUE"
        f" VALUES (9001, {gateway_id}, 'gateway', 'gateway')"
    )
    county.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
        " VALUES (9001, 9001, 'spool_used', '/', 60)"
    )
    clock = SystemClock()
    county.query(
        "INSERT INTO telemetry.gap (gateway_id, epoch, from_seq, to_seq, since)"
        f" VALUES ({gateway_id}, decode(repeat('00', 16), 'hex'), 5, 9, now() - INTERVAL '30 seconds')"
    )
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        young = Engine(CONFIG, connection, clock)
        young.turn()
    assert events(county) == []
    county.query("UPDATE telemetry.gap SET since = since - INTERVAL '1 minute'")
    for _ in range(2):  # the second engine finds it standing
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            Engine(CONFIG, connection, clock).turn()
    assert [row[0] for row in events(county)] == ["raise"]
    county.query("DELETE FROM telemetry.gap")
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        Engine(CONFIG, connection, clock).turn()
    assert [row[0] for row in events(county)] == ["raise", "return"]
    assert county.query("SELECT kind, process_state FROM alerts.alarm") == [("gap", "RTN_UNACKNOWLEDGED")]
