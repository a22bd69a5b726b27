"""Roll-ups against the same sums done from scratch in Python, whatever came late, twice or in whatever order."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from fix_edge import Edge
from fix_ingest import Platform
from fix_services import wait_until

from hanlu.db.pool import Connection, connect
from hanlu.ingest.history.rollup import RollUp, RollUpConfig, run

pytestmark = pytest.mark.postgres

HOUR_S = 3600
START = datetime(2026, 3, 1, 14, tzinfo=UTC)
"""22:00 in China: two of the hours lie before its midnight, the rest after."""

SETTLED = RollUpConfig(settle_s=0)
Reading = tuple[float, float, int]  # seconds since START, value, quality


class Room:
    """One room's channels and what they measured, known to the test as well as to the database."""

    def __init__(self, platform: Platform, connection: Connection) -> None:
        self.platform = platform
        self.connection = connection
        self.gateway_id = platform.register(Edge(), ("room-1",))
        rows = platform.rows("SELECT metric, channel_id FROM registry.channel")
        self.channels: dict[str, int] = dict(rows)
        self.known: dict[int, dict[float, Reading]] = {channel: {} for channel in self.channels.values()}
        self.rollup = RollUp(connection, SETTLED)
        self._messages = 0

    def arrive(self, channel_id: int, readings: list[Reading]) -> None:
        """Let a message arrive as ingest stores it: what is on record already is not repeated."""
        fresh = {s: (s, value, quality) for s, value, quality in readings if s not in self.known[channel_id]}
        self.known[channel_id] |= fresh
        self._messages += 1
        with self.connection_of_owner() as owner, owner.transaction():
            owner.cursor().executemany(
                "INSERT INTO telemetry.reading VALUES (%s, %s, %s, %s)",
                [(channel_id, at(s), value, quality) for s, value, quality in fresh.values()],
            )
            owner.execute(
                "INSERT INTO telemetry.arrival (gateway_id, digest, evidence, lane, received_at, reading_count, stored,"
                ' channel_ids, observed_ms, "values") VALUES (%s, %s, 0, \'live\', now(), %s, %s, %s, %s, %s)',
                (
                    self.gateway_id, sha256(str(self._messages).encode()).digest(), len(fresh), len(fresh),
                    [channel_id] * len(fresh), [round(at(s).timestamp() * 1000) for s in fresh],
                    [value for _, value, _ in fresh.values()],
                ),
            )  # fmt: skip

    def connection_of_owner(self) -> Any:
        import psycopg

        return psycopg.connect(self.platform.url, autocommit=True)

    def settle(self) -> None:
        """Follow and calculate until nothing is left to do."""
        while self.rollup.follow():
            pass
        while self.rollup.calculate():
            pass
        assert self.platform.rows("SELECT 1 FROM telemetry.hour_due UNION ALL SELECT 1 FROM telemetry.day_due") == []

    def asked(self, channel_id: int) -> dict[float, tuple[Any, ...]]:
        rows = self.connection.execute(
            "SELECT hour_at, readings, uncertain, bad, covered_s, least, greatest, mean, weighted, first_at,"
            " first_value, last_at, last_value FROM telemetry.hours(%s, %s, %s)",
            (channel_id, at(-48 * HOUR_S), at(96 * HOUR_S)),
        )
        return {(row[0] - START).total_seconds(): tuple(row[1:]) for row in rows}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def hours_of(readings: list[Reading], *, stepped: bool, gap_s: float) -> dict[float, tuple[Any, ...]]:
    """Return the hours of readings, in the plainest manner: the line between neighbours, cut at the hours."""
    good = sorted(each for each in readings if each[2] < 2)
    firsts = {each[0] // HOUR_S * HOUR_S for each in readings}
    for a, b in pairwise(good):
        if b[0] - a[0] <= gap_s:
            firsts |= {float(h) for h in range(int(a[0] // HOUR_S * HOUR_S), int(b[0]) + 1, HOUR_S)}
    found = {}
    for first in sorted(firsts):
        inside = [each for each in good if first <= each[0] < first + HOUR_S]
        bad = sum(first <= each[0] < first + HOUR_S for each in readings if each[2] == 2)
        covered = area = 0.0
        for (s0, v0, _), (s1, v1, _) in pairwise(good):
            begin, end = max(s0, first), min(s1, first + HOUR_S)
            if s1 - s0 > gap_s or end <= begin:
                continue
            slope = 0.0 if stepped else (v1 - v0) / (s1 - s0)
            covered += end - begin
            area += (v0 + slope * ((begin + end) / 2 - s0)) * (end - begin)
        if not inside and not bad and not covered:
            continue
        values = [value for _, value, _ in inside]
        found[first] = (
            len(inside),
            sum(quality == 1 for *_, quality in inside),
            bad,
            pytest.approx(covered, rel=1e-6, abs=1e-6),
            min(values, default=None),
            max(values, default=None),
            pytest.approx(sum(values) / len(values)) if values else None,
            pytest.approx(area / covered, rel=1e-6, abs=1e-5) if covered else None,
            at(inside[0][0]) if inside else None,
            inside[0][1] if inside else None,
            at(inside[-1][0]) if inside else None,
            inside[-1][1] if inside else None,
        )
    return found


@pytest.fixture
def room(platform: Platform) -> Iterator[Room]:
    with closing(connect(platform.url, "hanlu_ingest", name="test roll-up", autocommit=True)) as connection:
        yield Room(platform, connection)


def _random_readings(chance: random.Random, period_s: float) -> list[Reading]:
    s, readings = chance.uniform(0, period_s), []
    while s < 8 * HOUR_S:
        quality = chance.choices((0, 1, 2), (20, 1, 1))[0]
        readings.append((round(s, 3), round(chance.uniform(-25, 8), 2), quality))
        s += period_s * chance.choice((0.2, 1, 1, 1, 1, 1, 2.9, 3.2, 40 if chance.random() < 0.1 else 1))
    return readings


@pytest.mark.parametrize("seed", range(8))
def test_hours_and_days_are_what_the_readings_say_however_these_came(room: Room, seed: int) -> None:
    chance = random.Random(seed)
    period_s = chance.choice((60.0, 60.0, 10.0, 1500.0))
    room.platform.execute("UPDATE registry.channel SET period_s = %s", period_s)
    gap_s = max(3 * period_s, 60)
    channels = {room.channels["air_temperature"]: False, room.channels["door_open"]: True}
    messages = []
    for channel_id in channels:
        readings = _random_readings(chance, period_s)
        while readings:
            size = chance.randint(1, 120)
            messages.append((channel_id, readings[:size]))
            readings = readings[size:]
    messages += chance.sample(messages, len(messages) // 5)
    # Late, twice and out of order: half of the messages come anywhere.
    for _ in range(len(messages) // 2):
        messages.insert(chance.randrange(len(messages)), messages.pop(chance.randrange(len(messages))))
    for number, (channel_id, readings) in enumerate(messages):
        room.arrive(channel_id, readings)
        if chance.random() < 0.3:
            room.rollup.follow()
            expected = hours_of([*room.known[channel_id].values()], stepped=channels[channel_id], gap_s=gap_s)
            assert room.asked(channel_id) == expected, f"asked after message {number}"
        if chance.random() < 0.3:
            room.rollup.calculate()
    room.settle()
    for channel_id, stepped in channels.items():
        readings = [*room.known[channel_id].values()]
        hours = hours_of(readings, stepped=stepped, gap_s=gap_s)
        assert room.asked(channel_id) == hours
        _check_days(room, channel_id, readings)


def _check_days(room: Room, channel_id: int, readings: list[Reading]) -> None:
    good = [each for each in readings if each[2] < 2]
    rows = room.platform.rows("SELECT * FROM telemetry.daily WHERE channel_id = %s ORDER BY day", channel_id)
    assert [str(row[1]) for row in rows] == ["2026-03-01", "2026-03-02"], "the day ends at midnight in China"
    hours = room.asked(channel_id)
    for row, (low, high) in zip(rows, ((0, 2 * HOUR_S), (2 * HOUR_S, 26 * HOUR_S)), strict=True):
        inside = sorted(each for each in good if low <= each[0] < high)
        values = [value for _, value, _ in inside]
        of_day = [each for s, each in hours.items() if low <= s < high]
        covered = sum(each[3] for each in of_day)
        assert row[2] == len(values)
        assert row[4] == sum(low <= s < high for s, _, quality in readings if quality == 2)
        assert row[5] == pytest.approx(covered, rel=1e-5)
        assert (row[6], row[7]) == (min(values), max(values))
        assert row[8] == pytest.approx(sum(values) / len(values))
        assert row[9] == pytest.approx(sum(each[7] * each[3] for each in of_day if each[3]) / covered, rel=1e-5)
        assert (row[11], row[13]) == (inside[0][1], inside[-1][1])
    asked = room.connection.execute(
        "SELECT * FROM telemetry.days(%s, '2026-02-01', '2026-04-01') ORDER BY day", (channel_id,)
    )
    assert asked.fetchall() == rows


def test_mean_by_time_weighs_what_lasted_and_not_what_was_sent_often(room: Room) -> None:
    channel = room.channels["air_temperature"]
    slow = [(float(s), 0.0, 0) for s in range(0, 3000, 60)]
    fast = [(float(s), 10.0, 0) for s in range(3000, 3600)]
    room.arrive(channel, [*slow, *fast])
    room.settle()
    (hour,) = room.asked(channel).values()
    assert hour[6] == pytest.approx(6000 / 650), "the mean of the readings"
    # Zero until 2,940 s, a line to ten until 3,000 s, then ten until the last reading.
    assert hour[7] == pytest.approx((60 * 5 + 599 * 10) / 3599)
    assert hour[3] == 3599


def test_hole_in_the_readings_is_no_cover_and_a_bad_reading_is_no_value(room: Room) -> None:
    channel = room.channels["air_temperature"]
    room.arrive(channel, [(0.0, 1.0, 0), (180.0, 1.0, 0), (361.0, 3.0, 0), (400.0, 99.0, 2), (420.0, 3.0, 1)])
    room.settle()
    (hour,) = room.asked(channel).values()
    assert hour[:6] == (4, 1, 1, 180 + 59, 1.0, 3.0), "three minutes are joined at one a minute, a second more is not"


def test_late_reading_is_seen_at_once_and_rolled_up_later(room: Room) -> None:
    channel = room.channels["air_temperature"]
    room.arrive(channel, [(float(s), 2.0, 0) for s in range(0, 3600, 60)])
    room.settle()
    room.arrive(channel, [(90.0, 30.0, 0)])
    room.rollup.follow()
    assert room.asked(channel)[0][5] == 30.0
    assert room.platform.one("SELECT greatest FROM telemetry.hourly WHERE hour_at = %s", START) == 2.0
    room.settle()
    assert room.platform.one("SELECT greatest FROM telemetry.hourly WHERE hour_at = %s", START) == 30.0


def test_hour_under_way_waits_for_its_end(room: Room) -> None:
    now = datetime.now(tz=UTC)
    seconds = (now - START).total_seconds()
    room.arrive(room.channels["air_temperature"], [(round(seconds - 5, 3), 1.0, 0)])
    room.rollup.follow()
    waiting = room.platform.rows("SELECT hour_at, due_at FROM telemetry.hour_due ORDER BY hour_at DESC LIMIT 1")
    assert waiting[0][1] >= waiting[0][0] + timedelta(hours=1, minutes=3)
    assert room.rollup.calculate() == 0
    assert room.platform.one("SELECT count(*) FROM telemetry.hourly") == 0


def test_another_follower_goes_on_where_the_first_was_cut_off(room: Room) -> None:
    channel = room.channels["air_temperature"]
    room.arrive(channel, [(10.0, 1.0, 0)])
    room.rollup.follow()
    room.arrive(channel, [(70.0, 5.0, 0)])
    room.rollup = RollUp(room.connection, SETTLED)
    room.settle()
    (hour,) = room.asked(channel).values()
    assert hour[:6] == (2, 0, 0, 60, 1.0, 5.0)


def test_service_rolls_up_what_arrives_until_stopped(room: Room) -> None:
    stop = threading.Event()
    config = RollUpConfig(poll_s=0.05, settle_s=0)
    threads = [threading.Thread(target=run, args=(config, room.platform.url, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    room.arrive(room.channels["air_temperature"], [(0.0, 4.0, 0), (60.0, 4.0, 0)])
    wait_until(lambda: room.platform.rows("SELECT weighted FROM telemetry.daily") == [(4.0,)], "the day", 10)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
