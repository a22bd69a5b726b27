"""What opens when a label is scanned: the lot's page, its bundles, the relay to the chain, and the label's pictures.

Public: no sign-in, no personal data, no cookie but the language. The page is made from the bundles alone, so that the
phone can hold every line and every reading on it against the proof (`consumer_view.py`, `static/lot.js`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from fastapi import APIRouter, Request
from psycopg.rows import dict_row
from starlette.responses import JSONResponse, Response

from hanlu.core.clock import to_ms
from hanlu.core.curve import Sample, curve
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.registry.web import RoomWeb
from hanlu.trace.bundle_service import lot_bundle
from hanlu.trace.chain_relay import anchor_receipt
from hanlu.trace.consumer_view import TEMPERATURE_METRIC, View, consumer_view, parents_of
from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.label import qr
from hanlu.trace.lot import lot_name
from hanlu.trace.places import Names, load_names
from hanlu.trace.step_words import STEPS, fact_text, step_text

__all__ = ["lot_bundles", "router"]

_SQL = load_queries("hanlu.trace")

MAX_SOURCES: Final = 20
"""Lots a page follows back from the one asked for; the inspector's page follows all."""

CURVE_GAP_MS: Final = 5 * 60_000
"""Neighbouring readings further apart are not joined; committed curves hold one reading a minute."""


def router(web: RoomWeb) -> APIRouter:
    """Return the public routes."""
    routes = APIRouter()

    @routes.get("/01/{gtin}/10/{lot}", include_in_schema=False)
    @routes.get("/01/{gtin}/10/{lot}/21/{serial}", include_in_schema=False)
    def lot_page(request: Request, gtin: str, lot: str, serial: str | None = None) -> Response:
        link = _link(request)
        return _lot_page(web, request, link)

    @routes.get("/trace/bundle", summary="The proof of a lot and of the lots it came from")
    def bundle(lot: str, download: bool = False) -> Response:
        link = _lot_link(lot)
        with web.pool.connection() as connection:
            bundles = lot_bundles(connection, link.canonical())
        response = JSONResponse(bundles, headers={"Cache-Control": "no-cache"})
        if download:
            name = f"hanlu-{link.lot}.json".encode("ascii", "replace").decode().replace('"', "")
            response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    @routes.get("/trace/chain", summary="The chain's own receipt of an anchor, unchanged")
    def chain(tx: str) -> Response:
        url = web.options.get("chain_url")
        if not url:
            raise NotFoundError("no chain is connected to this server")
        return JSONResponse(anchor_receipt(str(url), tx))

    @routes.get("/label/01/{gtin}/10/{lot}.{form}", summary="The label's code as SVG or PNG")
    def label(gtin: str, lot: str, form: str) -> Response:
        uri = _lot_link(f"https://id.gs1.org/01/{gtin}/10/{lot}").at(web.public_url)
        if form == "svg":
            return Response(qr.svg(uri), media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})
        if form == "png":
            return Response(qr.png(uri), media_type="image/png", headers={"Cache-Control": "max-age=3600"})
        raise NotFoundError("a label's picture is .svg or .png")

    return routes


def lot_bundles(connection: Connection, lot_uri: str) -> list[dict[str, Any]]:
    """Return the bundle of the lot and of up to `MAX_SOURCES` lots it came from, nearest first.

    Raises:
        NotFoundError: the log holds nothing about the lot yet.
    """
    bundles = [lot_bundle(connection, lot_uri)]
    seen = {lot_uri}
    waiting = list(parents_of(bundles[0]))
    while waiting and len(bundles) <= MAX_SOURCES:
        uri = waiting.pop(0)
        if uri in seen:
            continue
        seen.add(uri)
        try:
            bundles.append(lot_bundle(connection, uri))
        except NotFoundError:
            continue  # a partner's lot whose records are elsewhere
        waiting.extend(parents_of(bundles[-1]))
    return bundles


def _link(request: Request) -> DigitalLink:
    """Read the code from the path as it was sent: percent-encoding belongs to it."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    try:
        return parse_digital_link(f"https://id.gs1.org{path}")
    except DigitalLinkError as error:
        raise UsageError(str(error)) from error


def _lot_link(uri: str) -> DigitalLink:
    try:
        link = parse_digital_link(uri)
    except DigitalLinkError as error:
        raise UsageError(str(error)) from error
    if link.lot is None:
        raise UsageError("the code names no lot (AI 10)")
    return link.without("21")


def _lot_page(web: RoomWeb, request: Request, link: DigitalLink) -> Response:
    lot_uri = link.without("21").canonical()
    with web.pool.connection() as connection:
        try:
            bundles = lot_bundles(connection, lot_uri)
        except NotFoundError:
            return _unknown(web, request, connection, link)
        view = consumer_view(bundles)
        names = load_names(
            connection,
            places=[*(stop.place for stop in view.stops), *(place for place, _, _ in view.temperature.places)],
            things=[lot_uri, *view.sources],
        )
        scan = connection.execute(_SQL["scan"], {"code": link.canonical()}).fetchone()
        low, high = _air_limits(connection, link.value)
    assert scan is not None  # the statement returns the row it wrote
    lang = web.pages.language(request)
    context = {
        "link": link,
        "lot_uri": lot_uri,
        "name": lot_name(lot_uri, names),
        "view": view,
        "names": names,
        "lot_name": lambda uri: lot_name(uri, names),
        "step_text": lambda step: step_text(step, lang),
        "page_data": _page_data(view, names, lang, low, high),
        "curve": _picture(view, names, lang, low, high) if view.temperature.points else "",
        "low": low,
        "high": high,
        "fact_text": lambda key: fact_text(key, lang),
        "scans": scan[1],
        "first_scan_ms": to_ms(scan[0]),
        "public_uri": link.at(web.public_url),
        "anchored": bundles[0]["anchor"] is not None,
    }
    return web.pages.render(request, "trace/lot.html", context)


def _air_limits(connection: Connection, gtin: str) -> tuple[float | None, float | None]:
    """Return the limits in force for the air around a product, degrees Celsius."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["product_limits"], {"gtin": gtin}).fetchall()
    return next(((row["low"], row["high"]) for row in rows if row["metric"] == TEMPERATURE_METRIC), (None, None))


def _unknown(web: RoomWeb, request: Request, connection: Connection, link: DigitalLink) -> Response:
    """Say whether the lot is on its way into the log, or nothing is known of it."""
    known = connection.execute(_SQL["lot_exists"], {"lot_uri": link.without("21").canonical()}).fetchone()
    waiting = bool(known and known[0])
    context = {"link": link, "waiting": waiting}
    return web.pages.render(request, "trace/lot_unknown.html", context, status=200 if waiting else 404)


def _page_data(view: View, names: Names, lang: str, low: float | None, high: float | None) -> str:
    """Return what the page's script needs besides the bundles: names and words, no facts."""
    places = {uri: _place_text(names, uri, lang) for uri in {stop.place for stop in view.stops if stop.place}}
    places |= {uri: _place_text(names, uri, lang) for uri, _, _ in view.temperature.places}
    data = {
        "lang": lang,
        "steps": {step: words[0 if lang == "zh" else 1] for step, words in STEPS.items()},
        "places": places,
        "low": low,
        "high": high,
        "gapMs": CURVE_GAP_MS,
    }
    # `<` is escaped so that no name can end the script element.
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _place_text(names: Names, uri: str, lang: str) -> str:
    place = names.place(uri)
    assert place is not None
    zone = place.name_zh if lang == "zh" else place.name_en
    site = place.site_zh if lang == "zh" else place.site_en
    return f"{site} · {zone}" if place.zone and site else zone


@lru_cache(maxsize=64)
def _drawn(
    points: Sequence[Sample], low: float | None, high: float | None, lang: str, title: str, description: str
) -> str:
    language = "zh" if lang == "zh" else "en"
    return curve(
        points,
        gap_ms=CURVE_GAP_MS,
        title=title,
        description=description,
        unit="°C",
        lang=language,  # type: ignore[arg-type]
        low=low,
        high=high,
    )


def _picture(view: View, names: Names, lang: str, low: float | None, high: float | None) -> str:
    heat = view.temperature
    title = "本批次温度曲线" if lang == "zh" else "Temperature of this lot"
    places = "、".join(dict.fromkeys(_place_text(names, uri, lang) for uri, _, _ in heat.places))
    spread = f"{heat.low:.1f} … {heat.high:.1f} °C" if heat.low is not None and heat.high is not None else ""
    return _drawn(heat.points, low, high, lang, title, f"{places}: {spread}")
