"""Following ingest: documents captured once, bad ones kept with their reason, readings finding their curves."""

from __future__ import annotations

import json

import psycopg
import pytest
from fix_trace import CHANNEL, HOUR, MINUTE, T0, Orchard, amount, document, event, lot

from hanlu.core.clock import ManualClock
from hanlu.trace import feed
from hanlu.trace.config import CaptureConfig, CurveConfig, FollowConfig
from hanlu.trace.feed import FeedResult, follow_arrivals, follow_events

pytestmark = pytest.mark.postgres

A = lot("A")


def _seen(number: int) -> bytes:
    return document(
        event(ms=T0 + number * MINUTE, step="storing", to="room", quantityList=[amount(lot(f"L{number}"), 1)])
    )


def _follow(orchard: Orchard, batch: int = 200) -> FeedResult:
    with orchard.connect() as connection:
        return follow_events(
            connection, FollowConfig(feed_batch=batch), CaptureConfig(), CurveConfig(), ManualClock(T0)
        )


def test_documents_are_captured_in_order_and_once(orchard: Orchard) -> None:
    for number in range(5):
        orchard.arrive(_seen(number))
    assert _follow(orchard, 3) == FeedResult(3, 3, 0, 0)
    assert _follow(orchard, 3) == FeedResult(2, 2, 0, 0)
    assert _follow(orchard) == FeedResult()
    orchard.arrive(_seen(0))
    assert _follow(orchard) == FeedResult(1, 0, 1, 0)
    assert orchard.query("SELECT count(*), min(source), min(evidence) FROM trace.event") == [(5, "gateway:gw-store", 1)]


BAD = {
    "no JSON": b"\xff\xfe not json",
    "no document": b'{"hello": 1}',
    "half a document": _seen(1)[:-40],
    "a bad event": document({"type": "ObjectEvent", "eventTime": "late"}),
    "one bad event among good ones": document(
        event(step="storing", quantityList=[amount(A, 1)]), event(action="MAYBE", quantityList=[amount(A, 1)])
    ),
    "a character no database keeps": document(event(step="storing", quantityList=[amount(A, 1)], **{"x:y": "\0"})),
    "names beyond every index": document(event(quantityList=[{"epcClass": "https://example.org/" + "x" * 3000}])),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_document_becomes_a_dead_letter_and_delays_nothing(orchard: Orchard, kind: str) -> None:
    orchard.arrive(_seen(1))
    number = orchard.arrive(BAD[kind])
    orchard.arrive(_seen(2))
    assert _follow(orchard) == FeedResult(3, 2, 0, 1)
    ((arrival, reason, detail, body),) = orchard.query("SELECT arrival_id, reason, detail, body FROM trace.dead_letter")
    assert (arrival, reason, bytes(body)) == (number, "invalid_event", BAD[kind])
    assert detail
    assert orchard.query("SELECT count(*) FROM trace.event") == [(2,)]


def test_oversized_document_is_named_so(orchard: Orchard) -> None:
    orchard.arrive(b" " * 3000 + _seen(1))
    with orchard.connect() as connection:
        config = CaptureConfig(max_body_bytes=2048)
        follow_events(connection, FollowConfig(), config, CurveConfig(), ManualClock(T0))
    assert orchard.query("SELECT reason FROM trace.dead_letter") == [("oversized",)]


def test_what_only_the_database_refuses_is_kept_too(orchard: Orchard, monkeypatch: pytest.MonkeyPatch) -> None:
    real = feed.capture_document

    def refused(connection: psycopg.Connection, body: bytes, **more: object) -> object:
        if b"L1" in body:
            connection.execute("SELECT 1 / 0")
        return real(connection, body, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(feed, "capture_document", refused)
    for number in range(3):
        orchard.arrive(_seen(number))
    assert _follow(orchard) == FeedResult(3, 2, 0, 1)
    assert orchard.query("SELECT reason, detail FROM trace.dead_letter") == [("database_refused", "division by zero")]


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_death_around_a_commit_captures_each_document_once(
    orchard: Orchard, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    for number in range(3):
        orchard.arrive(_seen(number))
    real, count = feed._move, 0

    def dying(connection: psycopg.Connection, name: str, row: dict[str, object]) -> None:
        nonlocal count
        count += 1
        real(connection, name, row)  # type: ignore[arg-type]
        if count == 2:
            if after:
                connection.execute("COMMIT")
            raise psycopg.OperationalError("the process is gone")

    monkeypatch.setattr(feed, "_move", dying)
    with pytest.raises(psycopg.Error):
        _follow(orchard)
    monkeypatch.undo()
    rest = _follow(orchard)
    assert rest.documents == (1 if after else 2)
    assert rest.known == 0
    assert orchard.query("SELECT count(*), count(DISTINCT event_hash) FROM trace.event") == [(3, 3)]


def test_readings_mark_the_curves_of_lots_in_their_place_and_time(orchard: Orchard) -> None:
    orchard.capture(json.loads(_seen(0))["epcisBody"]["eventList"][0], now_ms=T0)
    orchard.query("DELETE FROM trace.curve_due")
    orchard.measure(CHANNEL["box"], [(T0 + MINUTE, 1.0)])
    orchard.measure(CHANNEL["room"], [(T0 - 5 * HOUR, 1.0)])
    orchard.measure(CHANNEL["room"], [(T0 + MINUTE, 1.0), (T0 + 2 * MINUTE, 1.0), (T0 + HOUR, 1.0)])
    with orchard.connect() as connection:
        clock = ManualClock(T0 + 2 * HOUR)
        assert follow_arrivals(connection, FollowConfig(), CurveConfig(), clock) == 3
        assert follow_arrivals(connection, FollowConfig(), CurveConfig(), clock) == 0
    due = orchard.query("SELECT channel_id, count(*) FROM trace.curve_due GROUP BY 1")
    assert due == [(CHANNEL["room"], 2)]
