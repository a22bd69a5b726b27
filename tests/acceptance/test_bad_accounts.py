"""Readings said twice, said differently or not said, and events that break the standard, sent to a running system: the
accounts balance, nothing waits, and operators see what was refused and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from fix_edge import temperature
from fix_field import HUMIDITY, PROMPT_S, Field, FieldGateway, balances, beside, falsely_signed, good, instants, now_ms
from fix_running import RunningHanlu, running_hanlu
from fix_services import wait_until
from fix_trace import document, event
from fix_visitor import table_rows, visiting

from hanlu.core.wire.topics import Lane

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.postgres]


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    with running_hanlu(roles="ingest,alerts,trace,web") as one:
        yield one


@pytest.fixture(scope="module")
def field(hanlu: RunningHanlu) -> Iterator[Field]:
    field = Field(hanlu)
    yield field
    field.check("ingest", "alerts", "trace", "web")


@pytest.fixture(scope="module")
def gateway(field: Field) -> FieldGateway:
    return field.enrol("trial-1")


def console_account(page: str, gateway: str) -> dict[str, int]:
    """Return the account of a gateway as the console's gateways page shows it."""
    names = ("produced", "stored", "duplicate", "lost", "dead", "outstanding")
    row = next(row for row in table_rows(page) if len(row) == 11 and row[0].startswith(gateway))
    return {name: int(cell.replace(",", "")) for name, cell in zip(names, row[3:9], strict=True)}


def console_letters(page: str, gateway: str) -> dict[str, int]:
    """Return how many messages of a gateway became dead letters, by the reason's name, as the console shows it."""
    return {row[1]: int(row[2].replace(",", "")) for row in table_rows(page) if len(row) == 6 and row[0] == gateway}


# Said twice, said differently, not said -------------------------------------------------------------------------------


def test_same_message_again_counts_as_redelivered_and_changes_nothing(field: Field, gateway: FieldGateway) -> None:
    edge = gateway.edge()
    message = good(edge, 5)
    with gateway.client() as client:
        client.listen(edge)
        client.publish(message, message, good(edge), message)
        client.await_receipt(2)
        wait_until(lambda: field.platform.account(edge)["redelivered"] == 2, "both repetitions")
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["produced"], account["stored"], account["duplicate"]) == (6, 6, 0)


def test_same_readings_in_another_message_are_stored_once_and_counted_twice(
    field: Field, gateway: FieldGateway
) -> None:
    edge = gateway.edge()
    readings = [temperature(4.0, each) for each in instants(5)]
    with gateway.client() as client:
        client.listen(edge)
        client.publish(edge.readings(readings), edge.readings(readings, Lane.BACKLOG))
        client.await_receipt(2)
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["produced"], account["stored"], account["duplicate"]) == (10, 5, 5)


def test_another_value_for_the_same_instant_is_refused_and_the_first_stays(field: Field, gateway: FieldGateway) -> None:
    edge = gateway.edge()
    at_ms = instants(1)[0]
    first, other = edge.readings([temperature(4.0, at_ms)]), edge.readings([temperature(5.0, at_ms)])
    with gateway.client() as client:
        client.listen(edge)
        client.publish(first, other)
        client.await_receipt(2)
    assert "offered 5.0" in field.letter(other, "conflicting_value")["detail"]
    assert field.platform.rows(
        "SELECT value FROM telemetry.reading_v JOIN registry.channel_v USING (channel_id)"
        " WHERE gateway = 'trial-1' AND metric = 'air_temperature' AND observed_at = to_timestamp(%s::bigint / 1000.0)",
        at_ms,
    ) == [(4.0,)]
    account = field.platform.account(edge)
    assert balances(account)
    assert (account["stored"], account["dead"]) == (1, 1)


def test_missing_message_is_asked_for_shown_as_outstanding_and_closes_when_it_comes(
    hanlu: RunningHanlu, field: Field
) -> None:
    gateway = field.enrol("trial-gap", partition=10)
    edge = gateway.edge()
    first, held_back, third = good(edge), good(edge, 4), good(edge)
    with gateway.client() as client, visiting(hanlu, "operator") as visitor:
        client.listen(edge)
        client.publish(first, third)
        wait_until(lambda: any(each["missing"] for each in client.receipts), "a receipt that asks")
        assert client.receipts[-1]["committed"] == 1
        assert client.receipts[-1]["missing"] == [[2, 2]]
        assert console_account(visitor.get("/console/gateways").text, "trial-gap")["outstanding"] == 4
        client.publish(held_back)
        client.await_receipt(3)
        shown = console_account(visitor.get("/console/gateways").text, "trial-gap")
    assert (shown["produced"], shown["stored"], shown["outstanding"]) == (6, 6, 0)
    assert balances(field.platform.account(edge))


def test_exchanged_message_shows_as_a_broken_chain_and_its_readings_as_unproven(
    field: Field, gateway: FieldGateway
) -> None:
    edge = gateway.edge()
    first = good(edge)
    edge.prev = bytes(range(32))
    second = good(edge)
    with gateway.client() as client:
        client.listen(edge)
        client.publish(first, second)
        client.await_receipt(2)
    assert field.letter(second, "broken_chain")["reading_count"] == 0
    assert balances(field.platform.account(edge))
    assert field.platform.rows(
        "SELECT seq, evidence FROM telemetry.arrival WHERE epoch = %s ORDER BY seq", edge.epoch
    ) == [(1, 1), (2, 0)]


# Events that break the standard ---------------------------------------------------------------------------------------


def harvest(**fields: Any) -> dict[str, Any]:
    lot = f"https://id.gs1.org/01/06901234567892/10/{uuid4().hex[:12]}"
    return event(ms=now_ms(), step="commissioning", action="ADD", quantityList=[{"epcClass": lot}]) | fields


EVENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    # what is sent, words of the detail
    "no JSON": (lambda: b"<epcis:EPCISDocument/>", "JSON"),
    "no document": (lambda: b'{"type":"Invoice"}', "type"),
    "no event list": (lambda: document().replace(b"eventList", b"events"), "eventList"),
    "no time": (lambda: document({k: v for k, v in harvest().items() if k != "eventTime"}), "eventTime"),
    "no such time": (lambda: document(harvest(eventTime="2026-02-30T08:00:00Z")), "eventTime"),
    "no such action": (lambda: document(harvest(action="STEAL")), "action"),
    "no such type": (lambda: document(harvest(type="TheftEvent")), "type"),
    "second event of two": (lambda: document(harvest(), harvest(eventTimeZoneOffset="+99:00")), "[1]"),
    "what no database holds": (lambda: document(harvest(**{"cbvmda:note": "a\0b"})), "U+0000"),
}


@pytest.mark.parametrize("case", EVENTS)
def test_event_document_that_breaks_the_schema_is_a_dead_letter_that_names_the_place(
    field: Field, gateway: FieldGateway, case: str
) -> None:
    make, words = EVENTS[case]
    edge = gateway.edge()
    bad, fine = edge.event(make()), edge.event(document(harvest()))
    with gateway.client() as client:
        client.listen(edge)
        began = time.monotonic()
        client.publish(bad, fine)
        client.await_receipt(2)
        captured = "SELECT count(*) FROM trace.event AS e JOIN telemetry.arrival AS a ON a.epoch = %s AND a.seq = 2"
        captured += (
            " WHERE convert_from(a.event, 'UTF8') LIKE '%%' || (e.document #>> '{quantityList,0,epcClass}') || '%%'"
        )
        wait_until(lambda: field.platform.one(captured, edge.epoch) == 1, "the event after it")
        assert time.monotonic() - began < PROMPT_S
    ((reason, detail, body),) = field.platform.rows(
        "SELECT d.reason, d.detail, d.body FROM trace.dead_letter AS d JOIN telemetry.arrival AS a USING (arrival_id)"
        " WHERE a.epoch = %s",
        edge.epoch,
    )
    assert reason == "invalid_event"
    assert words in detail
    assert bytes(body) in bad[1]


# What operators see ---------------------------------------------------------------------------------------------------


def test_console_counts_every_dead_letter_by_gateway_and_reason(hanlu: RunningHanlu, field: Field) -> None:
    gateway = field.enrol("trial-seen", partition=11)
    edge = gateway.edge()
    forged = falsely_signed(replace(edge))
    with gateway.client() as client:
        client.listen(edge)
        client.publish(good(edge, 3), forged, forged, beside(HUMIDITY | {"v": 150})(edge), edge.event(b"<epcis/>"))
        client.await_receipt(3)
        event_letter = (
            "SELECT count(*) FROM trace.dead_letter JOIN telemetry.arrival USING (arrival_id) WHERE epoch = %s"
        )
        wait_until(lambda: field.platform.one(event_letter, edge.epoch) == 1, "the event's dead letter")
    with visiting(hanlu, "operator") as visitor:
        page = visitor.get("/console/gateways").text
    assert console_letters(page, "trial-seen") == {"Bad signature": 2, "Impossible value": 1, "Invalid event": 1}
    shown = console_account(page, "trial-seen")
    assert shown == {"produced": 5, "stored": 4, "duplicate": 0, "lost": 0, "dead": 1, "outstanding": 0}
