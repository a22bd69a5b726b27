"""Alarms of limits as the engine would write them, and the follower that keeps their accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from fix_alerts import DEFROST, FROZEN, Cell, County

from hanlu.alerts.excursion.follower import Follower
from hanlu.alerts.excursion.store import Store
from hanlu.core.clock import ManualClock, from_ms
from hanlu.db.pool import connect

MINUTE = 60_000
START = 1_750_000_000_000
"""2025-06-15 23:06:40 in China."""

WARM = [-18.0] * 10 + [-16.0, -14.0, -12.0] + [-10.0] * 30 + [-12.0, -14.0, -16.0] + [-18.0] * 10
"""A frozen room that stands open for three quarters of an hour: one reading a minute, limit -15."""

LOT = "https://id.gs1.org/01/06901234567892/10/TAO-2026-07"
GLN = "6901234000016"
"""A lot of peaches, and the frozen room as a place."""


def minutes(values: Sequence[float], channel: int = FROZEN, start: int = START, step: int = 1) -> list[Cell]:
    """Return readings every `step` minutes."""
    return [(channel, start + index * step * MINUTE, value) for index, value in enumerate(values)]


@dataclass(slots=True)
class Accounts:
    """The alarms of a county and the accounts of their excursions."""

    county: County
    clock: ManualClock

    def raised(
        self,
        exceeded: float,
        *,
        channel: int = FROZEN,
        kind: str = "high",
        limit: float = -15.0,
        peak: float = -10.0,
        returned: float | None = None,
        hold: str | None = None,
        rule: tuple[str, int] | None = ("frozen-air-high", 3),
    ) -> int:
        """Write an alarm of a limit; times in minutes after START."""
        with psycopg.connect(self.county.url) as connection:
            row = connection.execute(
                "INSERT INTO alerts.alarm (channel_id, kind, priority, process_state, suppression_state, hold_reason,"
                " limit_value, exceeded_at, raised_at, detected_at, peak, peak_at, rule_code, rule_version, unit)"
                " VALUES (%s, %s, 2, 'UNACKNOWLEDGED', %s, %s, %s, %s, %s, now(), %s, %s, %s, %s, 'Cel')"
                " RETURNING alarm_id",
                (
                    channel, kind, "SUPPRESSED_BY_DESIGN" if hold else "NONE", hold, limit, at(exceeded),
                    at(exceeded + 10), peak, at(exceeded + 5), *(rule or (None, None)),
                ),
            ).fetchone()  # fmt: skip
            assert row is not None
            self._journal(connection, row[0], "raise", "NORMAL", "UNACKNOWLEDGED", exceeded + 10)
        if returned is not None:
            self.returned(row[0], returned)
        return int(row[0])

    def returned(self, alarm_id: int, minute: float) -> None:
        """Let an alarm return."""
        with psycopg.connect(self.county.url) as connection:
            connection.execute(
                "UPDATE alerts.alarm SET process_state = 'RTN_UNACKNOWLEDGED', returned_at = %s, version = version + 1"
                " WHERE alarm_id = %s",
                (at(minute), alarm_id),
            )
            self._journal(connection, alarm_id, "return", "UNACKNOWLEDGED", "RTN_UNACKNOWLEDGED", minute)

    def acknowledged(self, alarm_id: int, minute: float, actor: str, note: str) -> None:
        """Let a person have seen an alarm that has returned."""
        with psycopg.connect(self.county.url) as connection:
            connection.execute(
                "UPDATE alerts.alarm SET process_state = 'NORMAL', version = version + 1, acknowledged_at = %s,"
                " acknowledged_by = %s, note = %s WHERE alarm_id = %s",
                (at(minute), actor, note, alarm_id),
            )
            self._journal(connection, alarm_id, "acknowledge", "RTN_UNACKNOWLEDGED", "NORMAL", minute, actor, note)

    def corrected(self, alarm_id: int) -> None:
        """Say in the journal that a late reading has changed an alarm."""
        with psycopg.connect(self.county.url) as connection:
            connection.execute("UPDATE alerts.alarm SET version = version + 1 WHERE alarm_id = %s", (alarm_id,))
            self._journal(connection, alarm_id, "correct", "NORMAL", "NORMAL", 0)

    def stands_in(self, lot: str, gln: str, from_minute: float, to_minute: float | None) -> None:
        """Let a lot have stood at a place."""
        with psycopg.connect(self.county.url) as connection:
            connection.execute("SET session_replication_role = replica")  # without the events it follows from
            connection.execute(
                "INSERT INTO trace.custody (lot_uri, from_at, to_at, location, event_id) VALUES"
                " (%s, %s, %s, 'https://id.gs1.org/414/' || %s, (SELECT count(*) + 1 FROM trace.custody))",
                (lot, at(from_minute), None if to_minute is None else at(to_minute), gln),
            )

    @contextmanager
    def follower(self) -> Iterator[Follower]:
        """Yield a follower on a connection of its own, as after a start."""
        with connect(self.county.url, "hanlu_alerts", name="test follower", autocommit=True) as connection:
            yield Follower(Store(connection), self.clock)

    def settle(self) -> None:
        """Let a fresh follower do all there is to do now."""
        with self.follower() as follower:
            while follower.turn():
                pass

    def figures(self, columns: str = "*", where: str = "merged_into IS NULL") -> list[tuple[object, ...]]:
        """Return columns of the accounts."""
        return self.county.query(f"SELECT {columns} FROM alerts.excursion WHERE {where} ORDER BY excursion_id")

    def story(self, excursion_id: int | None = None) -> list[tuple[object, ...]]:
        """Return why accounts changed: (excursion, version, why)."""
        return self.county.query(
            "SELECT excursion_id, version, why FROM alerts.excursion_version"
            " WHERE excursion_id = coalesce(%s, excursion_id) ORDER BY excursion_id, version",
            excursion_id,
        )

    @staticmethod
    def _journal(
        connection: psycopg.Connection, alarm_id: int, event: str, before: str, after: str, minute: float,
        actor: str = "engine", note: str = "",
    ) -> None:  # fmt: skip
        connection.execute(
            "INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor, note)"
            " SELECT %s, coalesce(max(version), 0) + 1, %s, %s, %s, %s, %s, %s FROM alerts.journal WHERE alarm_id = %s",
            (alarm_id, at(minute), event, before, after, actor, note, alarm_id),
        )
        connection.execute("NOTIFY hanlu_alarm")


def at(minute: float) -> object:
    """Return the instant so many minutes after START."""
    return from_ms(START + round(minute * MINUTE))


@pytest.fixture
def accounts(county: County) -> Accounts:
    """A county with a frozen room, its alarms and their accounts; the clock stands two hours after START."""
    return Accounts(county, ManualClock(START + 120 * MINUTE))


@pytest.fixture
def reported(accounts: Accounts) -> int:
    """A frozen room's excursion with lots, an acknowledgement and a correction; returns its alarm."""
    county = accounts.county
    county.query("UPDATE registry.zone SET gln = %s WHERE zone_id = 1", GLN)
    county.query(
        "INSERT INTO registry.product (gtin, name_zh, name_en, limit_profile_code)"
        " VALUES ('06901234567892', '炎陵黄桃', 'Yanling peach', 'chilled')"
    )
    cells = minutes(WARM)
    county.arrive(cells[:20] + cells[25:])
    county.arrive(minutes([0, 0] + [1] * 30 + [0] * 20, channel=DEFROST))
    alarm = accounts.raised(11, returned=47)
    accounts.acknowledged(alarm, 60, "li", "门封条已更换 <b>door seal</b>")
    accounts.stands_in(LOT, GLN, -600, 30)
    accounts.stands_in(LOT.replace("07", "08"), GLN, -600, None)
    accounts.stands_in(LOT.replace("07", "09"), GLN, -600, 5)
    accounts.settle()
    county.arrive([(FROZEN, cells[22][1], -9.0)], lane="backlog")
    accounts.clock.advance(10)
    accounts.settle()
    return alarm
