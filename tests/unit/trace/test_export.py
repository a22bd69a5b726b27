"""Exports: each event once and as captured, texts of partners never formulas."""

from __future__ import annotations

import io
from typing import Any

import pytest
from openpyxl import load_workbook

from hanlu.trace.curve import Limits, build_curve
from hanlu.trace.export import epcis_document, workbook
from hanlu.trace.lot import ChannelCurve, ColdChain, Journey, JourneyStep, LotName, Stay, Trace, TraceEdge, TraceNode
from hanlu.trace.places import Place, Product

A, B = (
    LotName(f"https://id.gs1.org/01/06999999200024/10/{code}", Product("06999999200024", "=黄桃", "=Peach"), code, None)
    for code in ("+A", "B")
)
STORE = Place("https://id.gs1.org/414/6999999010210", "6999999010210", "@1 号库", "-Room 1")
T0 = 1_750_000_000_000


def _step(number: int, *, declared: bool = False, **more: Any) -> JourneyStep:
    values: dict[str, Any] = {
        "event_hash": f"ni:///sha-256;{number:064x}?ver=CBV2.0",
        "event_type": "ObjectEvent",
        "action": "OBSERVE",
        "event_ms": T0 + number * 60_000,
        "event_offset": "+08:00",
        "recorded_ms": T0,
        "biz_step": "storing",
        "disposition": "in_progress",
        "read_point": STORE,
        "biz_location": None,
        "parties": (),
        "roles": ("quantity",),
        "quantity": 2.5,
        "uom": "KGM",
        "declared_error": declared,
        "taken_back": False,
        "source": "=cmd|' /C calc'!A0",
        "evidence": 1,
        "document": {"type": "ObjectEvent", "number": number, "declared": declared},
    }
    return JourneyStep(**values | more)


def _traces() -> tuple[Trace, Trace]:
    edge = TraceEdge(A.uri, B.uri, "transformation", "ni:///1", T0, "packing", STORE, 2.0, "KGM", None, None)
    back = Trace("back", (TraceNode(B, 0), TraceNode(A, 1)), (edge,), truncated=False)
    return back, Trace("forward", (TraceNode(B, 0),), (edge,), truncated=False)


def _cold() -> ColdChain:
    curve = build_curve([(T0, 1.0), (T0 + 60_000, 4.0)], T0, T0 + 60_000, 180.0, Limits(0, 3))
    channel = ChannelCurve("gw/room-1/air_temperature", "air_temperature", "Cel", "", "", Limits(0, 3), curve)
    silent = ChannelCurve(
        "gw/room-1/product_temperature", "product_temperature", "Cel", "", "", Limits(),
        build_curve([], T0, T0 + 600_000, 180.0, Limits()),
    )  # fmt: skip
    return ColdChain(B.uri, (Stay(STORE, T0, None, "ni:///1", (channel, silent)),))


def _sheets(lang: str = "en") -> dict[str, list[tuple[Any, ...]]]:
    journeys = [Journey(A, (_step(1),)), Journey(B, (_step(1), _step(2)))]
    book = load_workbook(io.BytesIO(workbook(_traces(), journeys, _cold(), lang)))
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def test_event_of_several_lots_is_exported_once_and_a_declaration_beside_it() -> None:
    journeys = [Journey(A, (_step(2), _step(1))), Journey(B, (_step(2), _step(2, declared=True, event_ms=T0 + 9e6)))]
    document = epcis_document(journeys, T0)
    events = document["epcisBody"]["eventList"]
    assert [(event["number"], event["declared"]) for event in events] == [(1, False), (2, False), (2, True)]
    assert document["creationDate"] == "2025-06-15T15:06:40.000Z"


def test_texts_that_look_like_formulas_stay_texts() -> None:
    book = load_workbook(io.BytesIO(workbook(_traces(), [Journey(A, (_step(1),))], _cold(), "en")))
    kinds = {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None}
    assert "f" not in kinds
    assert book["Events"]["J2"].value == "=cmd|' /C calc'!A0"
    assert book["Lots"]["C2"].value == "=Peach"


def test_sheets_hold_lots_events_links_and_temperatures() -> None:
    sheets = _sheets()
    assert [row[:2] for row in sheets["Lots"][1:]] == [("this lot", 0), ("origin", 1)]
    assert [row[0] for row in sheets["Events"][1:]] == ["+A", "B", "B"]
    assert len(sheets["Links"]) == 2  # the same link of both directions once
    measured, silent = sheets["Temperature"][1:]
    assert measured[5:11] == (2, 1, 4, 2.5, 0.3, 0)
    assert silent[5:9] == (0, None, None, None)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_times_are_chinas_and_heads_name_every_column(lang: str) -> None:
    sheets = _sheets(lang)
    events = sheets["Events" if lang == "en" else "事件"]
    assert str(events[1][1]) == "2025-06-15 23:07:40"
    assert all(cell for rows in sheets.values() for cell in rows[0])
    assert all(len(row) == len(rows[0]) for rows in sheets.values() for row in rows)
