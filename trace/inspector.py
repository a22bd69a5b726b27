"""The inspector's pages: find a lot, walk it both ways as a picture and as a table, see its cold chain, take it home.

For the role inspector; every search, opening and export goes into the audit trail. An inspector sees every lot,
whatever subtree they are responsible for: a lot's way crosses counties, and what came from elsewhere is what an
inspection is after. Their scope says whose alarms and people they see, not whose goods.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from hanlu.core.curve import Sample, curve
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb
from hanlu.trace.cold_chain import Stay
from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.export import epcis_document, workbook
from hanlu.trace.graph_picture import MAX_NODES, GraphNode, graph_svg
from hanlu.trace.lineage import CREATING_STEPS
from hanlu.trace.lot import Journey, LotName, Trace, cold_chain, find_lots, journey, trace_back, track_forward
from hanlu.trace.places import Participant
from hanlu.trace.step_words import DISPOSITIONS, amount_text, step_text

__all__ = ["router"]

_SQL = load_queries("hanlu.trace")

MAX_EXPORTED_LOTS: Final = 500
"""Lots in one export; a larger family is exported lot by lot."""

LABELS_ON_A_SHEET: Final = 24
"""3 columns of 8, A4."""

_PICTURE_WIDTH, _PICTURE_HEIGHT, _PICTURE_POINTS = 340, 150, 1_500
"""Pixels of the view box of one stay's curve, about a phone's width so that its text stays legible; points of all."""

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def router(web: RoomWeb) -> APIRouter:
    """Return the routes below `/inspect`."""
    routes = APIRouter(prefix="/inspect", include_in_schema=False)
    inspector = Depends(web.require(Role.INSPECTOR))

    @routes.get("")
    def search(request: Request, q: str = "", person: Person = inspector) -> Response:
        sought = _code_in(q)
        with web.pool.connection() as connection:
            found = find_lots(connection, sought)
        if q:
            web.audit(person.person_id, "trace.lot.search", q[:200], {"found": len(found)})
        return web.pages.render(request, "trace/search.html", {"q": q, "found": found})

    @routes.get("/lot")
    def lot(request: Request, uri: str, person: Person = inspector) -> Response:
        link = _lot_link(uri)
        with web.pool.connection() as connection:
            context = _lot_context(web, request, connection, link)
        web.audit(person.person_id, "trace.lot.open", link.canonical(), {})
        return web.pages.render(request, "trace/inspect_lot.html", context)

    @routes.get("/export/{form}")
    def export(
        request: Request, form: Literal["epcis.json", "lot.xlsx"], uri: str, person: Person = inspector
    ) -> Response:
        link = _lot_link(uri)
        with web.pool.connection() as connection:
            traces, journeys = _family(connection, link.canonical())
            cold = cold_chain(connection, link.canonical(), web.clock.now_ms())
        web.audit(person.person_id, "trace.lot.export", link.canonical(), {"form": form, "lots": len(journeys)})
        if form == "epcis.json":
            document = epcis_document(journeys, web.clock.now_ms())
            body = json.dumps(document, ensure_ascii=False, indent=2).encode()
            return _attachment(body, "application/ld+json", f"{link.lot}-epcis.json")
        body = workbook(traces, journeys, cold, web.pages.language(request))
        return _attachment(body, _XLSX, f"{link.lot}.xlsx")

    @routes.get("/labels")
    def labels(request: Request, uri: str, count: int = LABELS_ON_A_SHEET, person: Person = inspector) -> Response:
        link = _lot_link(uri)
        if not 1 <= count <= 10 * LABELS_ON_A_SHEET:
            raise UsageError(f"count is 1 to {10 * LABELS_ON_A_SHEET}")
        with web.pool.connection() as connection:
            name = journey(connection, link.canonical()).lot
            connection.execute(
                _SQL["label_issued"],
                {"code": link.canonical(), "lot_uri": link.canonical(), "issued_by": person.login},
            )
        web.audit(person.person_id, "trace.label.print", link.canonical(), {"count": count})
        context = {"name": name, "link": link, "count": count, "public_uri": link.at(web.public_url)}
        return web.pages.render(request, "trace/labels.html", context)

    return routes


def _code_in(text: str) -> str:
    """Return what to look for: a scanned web address becomes its canonical lot, anything else stays as typed."""
    try:
        return parse_digital_link(text.strip()).without("21").canonical()
    except DigitalLinkError:
        return text.strip()


def _lot_link(uri: str) -> DigitalLink:
    try:
        return parse_digital_link(uri).without("21")
    except DigitalLinkError as error:
        raise UsageError(str(error)) from error


def _attachment(body: bytes, media_type: str, name: str) -> Response:
    safe = name.encode("ascii", "replace").decode().replace('"', "")
    return Response(body, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{safe}"'})


def _family(connection: Connection, uri: str) -> tuple[tuple[Trace, Trace], list[Journey]]:
    traces = (trace_back(connection, uri), track_forward(connection, uri))
    uris = list(dict.fromkeys(node.name.uri for trace in traces for node in trace.nodes))
    if len(uris) > MAX_EXPORTED_LOTS:
        raise UsageError(
            f"{len(uris)} lots belong to it, at most {MAX_EXPORTED_LOTS} in one export: export them singly"
        )
    return traces, [found for each in uris if (found := _journey(connection, each)) is not None]


def _journey(connection: Connection, uri: str) -> Journey | None:
    try:
        return journey(connection, uri)
    except NotFoundError:
        return None


def _lot_context(web: RoomWeb, request: Request, connection: Connection, link: DigitalLink) -> dict[str, Any]:
    lang = web.pages.language(request)
    uri = link.canonical()
    back, forward = trace_back(connection, uri), track_forward(connection, uri)
    story = journey(connection, uri)
    cold = cold_chain(connection, uri, web.clock.now_ms(), points=_PICTURE_POINTS)
    return {
        "uri": uri,
        "link": link,
        "name": story.lot,
        "journey": story,
        "back": back,
        "forward": forward,
        "picture": _graph(uri, back, forward, lang),
        "stays": [(stay, _stay_curve(stay, lang)) for stay in cold.stays],
        "title_of": lambda name: _title(name, lang),
        "step_text": lambda step: step_text(step or "", lang),
        "disposition_text": lambda word: DISPOSITIONS.get(word or "", (word or "", word or ""))[lang != "zh"],
        "amount_text": lambda number, unit: amount_text(number, unit, lang),
        "parties_text": lambda parties: _parties_text(parties, lang),
        "raw": lambda document: json.dumps(document, ensure_ascii=False, indent=2),
        "names": {node.name.uri: node.name for trace in (back, forward) for node in trace.nodes},
        "public_uri": link.at(web.public_url),
    }


def _title(name: LotName, lang: str) -> str:
    if name.product is None:
        return name.uri
    return name.product.name_zh if lang == "zh" else name.product.name_en


def _parties_text(parties: Iterable[tuple[str, str, Participant]], lang: str) -> str:
    """Return who handed over to whom: `growers → carrier`; each side's names once."""
    sides: dict[str, dict[str, None]] = {"source": {}, "destination": {}}
    for side, _, who in parties:
        sides[side][who.name_zh if lang == "zh" else who.name_en] = None
    return " → ".join("、".join(names) if lang == "zh" else ", ".join(names) for names in sides.values() if names)


def _graph(uri: str, back: Trace, forward: Trace, lang: str) -> str:
    """Return the picture of both directions, or "" when there are more lots than one can see."""
    nodes: dict[str, GraphNode] = {}
    steps: dict[str, set[str]] = {}
    for edge in (*back.edges, *forward.edges):
        steps.setdefault(edge.from_uri, set()).add(edge.biz_step or "")
    used_up = {lot for lot, found in steps.items() if found <= CREATING_STEPS}  # fertiliser, pesticide and the like
    for trace in (back, forward):
        for node in trace.nodes:
            here = node.name.uri == uri
            kind = "focus" if here else ("input" if node.name.uri in used_up else "lot")
            href = "" if here else f"/inspect/lot?uri={quote(node.name.uri, safe='')}"
            nodes.setdefault(
                node.name.uri, GraphNode(node.name.uri, _title(node.name, lang), node.name.lot or "", href, kind)
            )
    if len(nodes) > MAX_NODES:
        return ""
    edges = list(dict.fromkeys((edge.from_uri, edge.to_uri) for trace in (back, forward) for edge in trace.edges))
    title = "来源与去向" if lang == "zh" else "Where it came from and where it went"
    return graph_svg(list(nodes.values()), edges, title=title)


def _stay_curve(stay: Stay, lang: str) -> str:
    """Return the picture of the air where the lot stood, or of whatever was measured there; "" without readings."""
    measured = [channel for channel in stay.channels if channel.curve.segments]
    if not measured:
        return ""
    channel = next((each for each in measured if each.metric == "air_temperature"), measured[0])
    points = [
        Sample(at, value, after_gap=number > 0 and place == 0)
        for number, segment in enumerate(channel.curve.segments)
        for place, (at, value) in enumerate(segment)
    ]
    language: Literal["zh", "en"] = "zh" if lang == "zh" else "en"
    return curve(
        points,
        gap_ms=math.inf,  # the gaps are known and marked at the points
        title=stay.place.name_zh if lang == "zh" else stay.place.name_en,
        unit="°C",
        lang=language,
        low=channel.limits.low,
        high=channel.limits.high,
        width=_PICTURE_WIDTH,
        height=_PICTURE_HEIGHT,
    )
