"""Capture into a real database: atomic, idempotent, and its projections."""

from __future__ import annotations

from typing import Any

import pytest
from fix_trace import HOUR, T0, Orchard, amount, at, event, lot, pallet

from hanlu.trace.capture import LimitError, capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig
from hanlu.trace.project import rebuild

pytestmark = pytest.mark.postgres

A, B, C = lot("A"), lot("B"), lot("C")


def _commission(uri: str = A, hours: float = 0, to: str = "field", quantity: float = 100) -> dict[str, Any]:
    return event(
        ms=T0 + round(hours * HOUR),
        step="commissioning",
        to=to,
        action="ADD",
        quantityList=[amount(uri, quantity)],
    )


def _move(hours: float, step: str, to: str | None = None, uri: str = A, **fields: Any) -> dict[str, Any]:
    return event(ms=T0 + round(hours * HOUR), step=step, to=to, quantityList=[{"epcClass": uri}], **fields)


def test_captured_event_keeps_its_bytes_its_things_and_its_place_in_the_queue(orchard: Orchard) -> None:
    done = orchard.capture(_commission())
    assert done.success
    assert len(done.hashes) == 1
    row = orchard.query("SELECT event_hash, event_type, action, biz_step, biz_location, source FROM trace.event")
    assert row == [(done.hashes[0], "ObjectEvent", "ADD", "commissioning", at("field"), "rest:test")]
    assert orchard.query(
        "SELECT jcs_sha256 = sha256(canonical), document = canonical_text::jsonb FROM"
        " (SELECT *, convert_from(canonical, 'UTF8') AS canonical_text FROM trace.event) AS e"
    ) == [(True, True)]
    assert orchard.query("SELECT role, lot_uri, quantity, uom FROM trace.event_thing") == [("quantity", A, 100, "KGM")]
    assert orchard.query("SELECT lot_uri FROM trace.unsequenced") == [(A,)]


def test_event_captured_twice_counts_once(orchard: Orchard) -> None:
    first = orchard.capture(_commission())
    again = orchard.capture(_commission(), now_ms=T0 + HOUR)
    assert again.success
    assert (again.hashes, again.known) == ((), first.hashes)
    twice = orchard.capture(_commission(B), _commission(B))
    assert (len(twice.hashes), len(twice.known)) == (1, 1)
    assert orchard.query("SELECT count(*) FROM trace.event") == [(2,)]


def test_rollback_stores_nothing_of_a_document_with_one_bad_event(orchard: Orchard) -> None:
    done = orchard.capture(_commission(), {**_commission(B), "eventTime": "yesterday"})
    assert not done.success
    assert "eventTime" in str(done.problems[0])
    assert orchard.query("SELECT count(*) FROM trace.event") == [(0,)]


def test_proceed_stores_the_good_events_and_names_the_bad(orchard: Orchard) -> None:
    bad = {**_commission(B), "eventTime": "yesterday"}
    done = orchard.capture(_commission(), bad, _commission(C), behaviour="proceed")
    assert len(done.hashes) == 2
    assert "[1]" in done.problems[0].path
    assert orchard.query("SELECT lot_uri FROM trace.event_thing ORDER BY 1") == [(A,), (C,)]


def test_text_postgres_cannot_keep_is_a_problem_and_not_a_crash(orchard: Orchard) -> None:
    done = orchard.capture(event(action="OBSERVE", epcList=[A], ilmd={}, **{"cbvmda:note": "a\0b"}))
    assert not done.success
    assert orchard.query("SELECT count(*) FROM trace.event") == [(0,)]


def test_oversized_document_is_refused_by_bytes_and_by_events(orchard: Orchard) -> None:
    with pytest.raises(LimitError), orchard.connect() as connection:
        capture_document(
            connection,
            b"[" * 2000,
            source="s",
            evidence=0,
            now_ms=T0,
            capture=CaptureConfig(max_body_bytes=1024),
            curve=CurveConfig(),
        )
    many = [_commission(lot(f"L{number}")) for number in range(3)]
    from fix_trace import document

    with pytest.raises(LimitError), orchard.connect() as connection:
        capture_document(
            connection,
            document(*many),
            source="s",
            evidence=0,
            now_ms=T0,
            capture=CaptureConfig(max_events=2),
            curve=CurveConfig(),
        )
    assert orchard.query("SELECT count(*) FROM trace.event") == [(0,)]


def test_custody_follows_a_lot_from_field_to_shop(orchard: Orchard) -> None:
    orchard.capture(
        _commission(),
        _move(2, "arriving", "precooler"),
        _move(5, "storing", "room"),
        _move(20, "shipping", readPoint={"id": at("store")}),
        _move(21, "loading", readPoint={"id": at("box")}),
        _move(30, "receiving", "shop"),
    )
    assert orchard.custody(A) == [
        ("field", 0, 2),
        ("precooler", 2, 5),
        ("room", 5, 20),
        ("box", 21, 30),
        ("shop", 30, None),
    ]


def test_late_event_corrects_custody_as_if_it_had_come_in_time(orchard: Orchard) -> None:
    orchard.capture(_commission(), _move(10, "receiving", "shop"))
    assert orchard.custody(A) == [("field", 0, 10), ("shop", 10, None)]
    orchard.capture(_move(4, "storing", "room"))
    assert orchard.custody(A) == [("field", 0, 4), ("room", 4, 10), ("shop", 10, None)]


def test_error_declaration_takes_an_event_out_of_every_projection(orchard: Orchard) -> None:
    wrong = event(
        "TransformationEvent",
        ms=T0 + 3 * HOUR,
        step="commissioning",
        to="room",
        inputQuantityList=[amount(A, 10)],
        outputQuantityList=[amount(B, 10)],
    )
    orchard.capture(_commission(), wrong)
    assert orchard.query("SELECT count(*) FROM trace.edge") == [(1,)]
    declared = orchard.capture(
        {**wrong, "errorDeclaration": {"declarationTime": "2025-06-16T00:00:00Z", "reason": "did_not_occur"}}
    )
    assert declared.success
    assert len(declared.hashes) == 1
    assert orchard.query("SELECT count(*) FROM trace.edge") == [(0,)]
    assert orchard.custody(A) == [("field", 0, None)]
    assert orchard.custody(B) == []
    assert orchard.query("SELECT count(*), count(DISTINCT event_hash) FROM trace.event") == [(3, 2)]


def test_declaration_that_comes_before_its_event_still_takes_it_back(orchard: Orchard) -> None:
    wrong = _move(4, "storing", "room")
    orchard.capture({**wrong, "errorDeclaration": {"declarationTime": "2025-06-16T00:00:00Z"}})
    orchard.capture(_commission(), wrong)
    assert orchard.custody(A) == [("field", 0, None)]


def test_transformation_told_in_two_events_joins_its_inputs_and_outputs(orchard: Orchard) -> None:
    ident = "https://id.example/packing/7"
    orchard.capture(
        event(
            "TransformationEvent",
            step="commissioning",
            transformationID=ident,
            inputQuantityList=[amount(A, 5), amount(B, 5)],
        )
    )
    assert orchard.query("SELECT count(*) FROM trace.edge") == [(0,)]
    orchard.capture(
        event(
            "TransformationEvent",
            ms=T0 + HOUR,
            step="commissioning",
            transformationID=ident,
            outputQuantityList=[amount(C, 10)],
        )
    )
    assert orchard.query("SELECT from_uri, to_uri, kind FROM trace.edge ORDER BY 1") == [
        (A, C, "transformation"),
        (B, C, "transformation"),
    ]


def test_lots_on_a_pallet_travel_with_it_also_when_the_packing_is_told_late(orchard: Orchard) -> None:
    load = pallet(1)
    packing = event(
        "AggregationEvent",
        ms=T0 + HOUR,
        step="packing",
        to="field",
        action="ADD",
        parentID=load,
        childQuantityList=[amount(A, 60), amount(B, 40)],
    )
    moving = event(ms=T0 + 3 * HOUR, step="receiving", to="shop", epcList=[load])
    unpacking = event(
        "AggregationEvent",
        ms=T0 + 4 * HOUR,
        step="unpacking",
        to="shop",
        action="DELETE",
        parentID=load,
        childQuantityList=[amount(A, 60)],
    )
    later = event(ms=T0 + 9 * HOUR, step="storing", to="room", epcList=[load])
    orchard.capture(_commission(A, quantity=60), _commission(B, quantity=40), moving, unpacking, later)
    assert orchard.custody(B) == [("field", 0, None)]
    orchard.capture(packing)
    assert orchard.custody(A) == [("field", 0, 3), ("shop", 3, None)]
    assert orchard.custody(B) == [("field", 0, 3), ("shop", 3, 9), ("room", 9, None)]
    waiting = orchard.query("SELECT count(*) FROM trace.unsequenced WHERE lot_uri = %s", B)
    assert waiting == [(5,)]  # commissioning, packing, moving, unpacking of its neighbour, storing


def test_case_in_a_pallet_carries_its_lots_along(orchard: Orchard) -> None:
    case, load = pallet(2), pallet(3)
    orchard.capture(
        _commission(),
        event(
            "AggregationEvent",
            ms=T0 + HOUR,
            step="packing",
            action="ADD",
            parentID=case,
            childQuantityList=[amount(A, 100)],
        ),
        event("AggregationEvent", ms=T0 + 2 * HOUR, step="packing", action="ADD", parentID=load, childEPCs=[case]),
        event(ms=T0 + 3 * HOUR, step="receiving", to="shop", epcList=[load]),
    )
    assert orchard.custody(A) == [("field", 0, 3), ("shop", 3, None)]


def test_rebuilding_from_zero_changes_nothing(orchard: Orchard) -> None:
    test_lots_on_a_pallet_travel_with_it_also_when_the_packing_is_told_late(orchard)
    orchard.capture(
        event(
            "TransformationEvent",
            ms=T0 + 5 * HOUR,
            step="commissioning",
            to="shop",
            inputQuantityList=[amount(A, 60)],
            outputQuantityList=[amount(C, 60)],
        )
    )

    def projections() -> list[Any]:
        return [
            orchard.query(f"SELECT * FROM trace.{table} ORDER BY 1, 2") for table in ("custody", "edge", "unsequenced")
        ] + [orchard.query("SELECT event_id, role, lot_uri FROM trace.event_thing ORDER BY 1, 2, 3")]

    before = projections()
    assert orchard.custody(A)[-1] == ("shop", 3, 5)  # used up
    with orchard.connect() as connection:
        rebuild(connection, CurveConfig(), T0 + 10 * HOUR)
        assert projections() == before
        connection.execute("DELETE FROM trace.custody")
        connection.execute("DELETE FROM trace.edge")
        rebuild(connection, CurveConfig(), T0 + 10 * HOUR)
    assert projections() == before


def test_custody_asks_for_the_curves_of_its_hours(orchard: Orchard) -> None:
    orchard.capture(_commission(), _move(2, "storing", "room"), now_ms=T0 + 4 * HOUR)
    due = orchard.query("SELECT channel_id, count(*) FROM trace.curve_due WHERE lot_uri = %s GROUP BY 1 ORDER BY 1", A)
    assert due == [(2, 3), (4, 3)]  # 17:06 to 19:06 touches three clock hours


def test_trace_room_cannot_change_an_event(orchard: Orchard) -> None:
    import psycopg

    orchard.capture(_commission())
    with orchard.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE trace.event SET source = 'x'")
