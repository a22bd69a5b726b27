"""What people do with alarms, on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import pytest
from fix_alerts import CHILL, FROZEN, County

from hanlu.alerts import operate
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.ledger import Ledger
from hanlu.alerts.occurrence import Occurrence, Subject
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from hanlu.db.pool import Connection, connect

pytestmark = pytest.mark.postgres

NOW = 1_750_000_000_000
HOUR = 3_600_000


@pytest.fixture
def db(county: County) -> Iterator[Connection]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield connection


def raised(connection: Connection, channel: int = FROZEN, kind: Kind = Kind.HIGH, **marks: object) -> int:
    alarm = Occurrence(Subject(channel, kind), 1, NOW, NOW, NOW, respond_s=600, **marks)  # type: ignore[arg-type]
    with connection.transaction():
        ledger = Ledger(connection)
        ledger.add(alarm)
        alarm.begin(NOW, NOW, ledger.quiets([channel]).of(alarm.subject))
        ledger.flush()
    assert alarm.alarm_id is not None
    return alarm.alarm_id


def given_back(connection: Connection, alarm_id: int) -> None:
    with connection.transaction():
        ledger = Ledger(connection)
        ledger.load([alarm_id])[alarm_id].give_back(NOW + HOUR)
        ledger.flush()


def states(county: County) -> list[tuple[object, ...]]:
    return county.query(
        "SELECT process_state, suppression_state, called_at IS NOT NULL FROM alerts.alarm ORDER BY alarm_id"
    )


def events(county: County) -> list[object]:
    return [row[0] for row in county.query("SELECT event FROM alerts.journal ORDER BY journal_id")]


def test_several_alarms_are_acknowledged_with_one_note_and_those_that_changed_are_named(
    county: County, db: Connection
) -> None:
    first, second = raised(db), raised(db, CHILL)
    given_back(db, second)
    result = operate.acknowledge_many(db, [(first, 1), (second, 1)], "li", "门已关", NOW)
    assert result == ((first,), (second,))
    assert operate.acknowledge_many(db, [(second, None)], "li", "", NOW).done == (second,)
    assert [row[0] for row in states(county)] == ["ACKNOWLEDGED", "NORMAL"]
    with pytest.raises(NotFoundError):
        operate.acknowledge_many(db, [(first, 2), (999, 1)], "li", "", NOW)


def test_shelved_alarm_that_was_acknowledged_calls_again_when_it_leaves_the_shelf(
    county: County, db: Connection
) -> None:
    alarm = raised(db)
    operate.acknowledge(db, alarm, 1, "li", "", NOW)
    shelf = {"until_ms": NOW + HOUR, "reason": "door repair", "note": "", "actor": "li", "at_ms": NOW}
    assert operate.shelve(db, [(FROZEN, "high")], **shelf).done == ((FROZEN, "high"),)  # type: ignore[arg-type]
    assert states(county) == [("ACKNOWLEDGED", "SHELVED", True)]
    assert county.query("SELECT hold_reason FROM alerts.alarm") == [("door repair",)]
    with pytest.raises(ConflictError):
        operate.shelve(db, [(FROZEN, "high")], **shelf)  # type: ignore[arg-type]
    assert operate.expire(db, NOW + HOUR - 1) == 0
    assert operate.expire(db, NOW + HOUR) == 1
    assert states(county) == [("UNACKNOWLEDGED", "NONE", True)]
    assert events(county) == ["raise", "acknowledge", "shelve", "expire", "re_alarm"]
    assert county.query("SELECT event, actor FROM alerts.suppression_journal ORDER BY 1") == [
        ("expire", "engine"),
        ("shelve", "li"),
    ]


def test_alarm_raised_on_a_point_out_of_service_calls_only_when_the_point_returns(
    county: County, db: Connection
) -> None:
    operate.remove_from_service(db, [(FROZEN, "*")], reason="sensor swap", note="", actor="li", at_ms=NOW)
    raised(db)
    assert states(county) == [("UNACKNOWLEDGED", "OUT_OF_SERVICE", False)]
    operate.return_to_service(db, [(FROZEN, "*")], note="", actor="li", at_ms=NOW + HOUR)
    assert states(county) == [("UNACKNOWLEDGED", "NONE", True)]
    assert county.query("SELECT respond_by - called_at = INTERVAL '10 min' FROM alerts.alarm") == [(True,)]


def test_what_the_plant_holds_stays_quiet_when_it_leaves_the_shelf(county: County, db: Connection) -> None:
    operate.shelve(db, [(FROZEN, "*")], until_ms=NOW + HOUR, reason="r", note="", actor="li", at_ms=NOW)
    raised(db, plant_hold=Hold.DEFROST)
    assert states(county) == [("UNACKNOWLEDGED", "SHELVED", False)]
    operate.unshelve(db, [(FROZEN, "*")], note="", actor="li", at_ms=NOW)
    assert states(county) == [("UNACKNOWLEDGED", "SUPPRESSED_BY_DESIGN", False)]
    assert events(county) == ["raise", "shelve", "unshelve", "suppress"]
    assert county.query("SELECT hold_reason FROM alerts.alarm") == [("defrost",)]


def test_earlier_occurrence_that_called_stays_to_be_acknowledged_when_its_point_is_shelved(
    county: County, db: Connection
) -> None:
    given_back(db, raised(db))
    operate.shelve(db, [(FROZEN, "*")], until_ms=NOW + HOUR, reason="r", note="", actor="li", at_ms=NOW)
    assert states(county) == [("RTN_UNACKNOWLEDGED", "NONE", True)]


def test_empty_room_calls_nobody_and_what_returns_in_it_is_over(county: County, db: Connection) -> None:
    operate.suppress(db, [(FROZEN, "*")], note="", actor="li", at_ms=NOW)
    alarm = raised(db)
    assert states(county) == [("UNACKNOWLEDGED", "SUPPRESSED_BY_DESIGN", False)]
    given_back(db, alarm)
    assert events(county) == ["raise", "suppress", "return", "close"]
    operate.unsuppress(db, [(FROZEN, "*")], note="", actor="li", at_ms=NOW)
    assert states(county) == [("NORMAL", "SUPPRESSED_BY_DESIGN", False)]


def test_latched_alarm_leaves_by_the_word_of_a_second_person(county: County, db: Connection) -> None:
    alarm = raised(db, latches=True)
    given_back(db, alarm)
    with pytest.raises(ConflictError):
        operate.reset(db, alarm, 2, "wang", "", NOW)
    operate.acknowledge(db, alarm, 2, "li", "", NOW)
    with pytest.raises(PermissionDeniedError):
        operate.reset(db, alarm, 3, "li", "", NOW)
    operate.reset(db, alarm, 3, "wang", "looked at the plant", NOW)
    assert [row[0] for row in states(county)] == ["NORMAL"]


def test_alarm_is_taken_on_once(county: County, db: Connection) -> None:
    alarm = raised(db)
    operate.assign(db, alarm, 1, "wang", "li", NOW)
    with pytest.raises(ConflictError):
        operate.assign(db, alarm, 1, "li", "li", NOW)
    assert county.query("SELECT assignee, version FROM alerts.alarm") == [("wang", 2)]
    assert county.query("SELECT event, note FROM alerts.journal ORDER BY version")[1] == ("assign", "wang")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda db: operate.unshelve(db, [(FROZEN, "*")], note="", actor="li", at_ms=NOW), ConflictError),
        (
            lambda db: operate.shelve(
                db, [(FROZEN, "*")], until_ms=NOW + 8 * 24 * HOUR, reason="r", note="", actor="li", at_ms=NOW
            ),
            UsageError,
        ),
        (
            lambda db: operate.shelve(
                db, [(FROZEN, "*")], until_ms=NOW + 1, reason=" ", note="", actor="li", at_ms=NOW
            ),
            UsageError,
        ),
        (
            lambda db: operate.suppress(db, [(FROZEN, "hihg")], note="", actor="li", at_ms=NOW),
            UsageError,
        ),
        (lambda db: operate.suppress(db, [(999, "*")], note="", actor="li", at_ms=NOW), NotFoundError),
        (lambda db: operate.suppress(db, [], note="", actor="li", at_ms=NOW), UsageError),
        (lambda db: operate.acknowledge(db, 1, 1, "li", "x" * 501, NOW), UsageError),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    county: County, db: Connection, act: Callable[[Connection], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(db)
    assert county.query("SELECT count(*) FROM alerts.suppression_journal") == [(0,)]


def test_calibration_is_recorded_for_a_channel_there_is(county: County, db: Connection) -> None:
    operate.record_calibration(db, FROZEN, due_on=date(2027, 1, 1), certificate="A-1", actor="li")
    with pytest.raises(NotFoundError):
        operate.record_calibration(db, 999, due_on=date(2027, 1, 1), certificate="", actor="li")
    assert county.query("SELECT channel_id, due_on, certificate FROM alerts.calibration") == [
        (FROZEN, date(2027, 1, 1), "A-1")
    ]
