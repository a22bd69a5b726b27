"""What opens when a label is scanned: the lot's page, its bundles, the relay to the chain, and the label's pictures.

Public: no sign-in, no personal data, no cookie but the language. The page is made from the bundles alone, so that the
phone can hold every line and every reading on it against the proof (`consumer_view.py`, `static/lot.js`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import JSONResponse, Response

from hanlu.core.clock import to_ms
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.registry.web import RoomWeb
from hanlu.trace.chain_relay import anchor_receipt
from hanlu.trace.dossier import Shelf
from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.label import qr
from hanlu.trace.lot_page import lot_page_context

__all__ = ["router"]

_SQL = load_queries("hanlu.trace")


def router(web: RoomWeb) -> APIRouter:
    """Return the public routes; `web.options` may carry `chain_url`, the node the relay asks."""
    routes = APIRouter()
    shelf = Shelf()

    # A lot number may hold a slash, which the framework cannot tell from one of the path: we read the path ourselves.
    @routes.get("/01/{rest:path}", include_in_schema=False)
    def lot_page(request: Request) -> Response:
        return _lot_page(web, shelf, request, _parsed(f"https://id.gs1.org{_raw_path(request)}"))

    @routes.get("/trace/bundle", summary="The proof of a lot and of the lots it came from")
    def bundle(
        lot: str,
        size: Annotated[int | None, Query(ge=1, le=2**53 - 1)] = None,
        download: bool = False,
        accept_encoding: Annotated[str, Header()] = "",
    ) -> Response:
        link = _parsed(lot).without("21", "22")
        with web.pool.connection() as connection:
            uri = link.canonical()
            dossier = shelf.newest(connection, uri) if size is None else shelf.at(connection, uri, size)
        packed = "gzip" in accept_encoding
        response = Response(dossier.proof.bytes(packed=packed), media_type="application/json")
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        if packed:
            response.headers["Content-Encoding"] = "gzip"
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

    @routes.get("/label/01/{rest:path}", summary="The label's code as SVG or PNG")
    def label(request: Request) -> Response:
        path, _, form = _raw_path(request).removeprefix("/label").rpartition(".")
        picture = {"svg": (qr.svg, "image/svg+xml"), "png": (qr.png, "image/png")}.get(form)
        if picture is None:
            raise NotFoundError("a label's picture is .svg or .png")
        uri = _parsed(f"https://id.gs1.org{path}").without("21", "22").at(web.public_url)
        draw, media_type = picture
        return Response(draw(uri), media_type=media_type, headers={"Cache-Control": "max-age=3600"})

    return routes


def _raw_path(request: Request) -> str:
    """Return the path as it was sent: percent-encoding belongs to the code."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii", "replace")


def _parsed(uri: str) -> DigitalLink:
    """Read a code that names a lot.

    Raises:
        UsageError: it is none.
    """
    try:
        link = parse_digital_link(uri)
    except DigitalLinkError as error:
        raise UsageError(str(error)) from error
    if link.lot is None:
        raise UsageError("the code names no lot (AI 10)")
    return link


def _lot_page(web: RoomWeb, shelf: Shelf, request: Request, link: DigitalLink) -> Response:
    lot_uri = link.without("21", "22").canonical()
    lang = web.pages.language(request)
    with web.pool.connection() as connection:
        try:
            dossier = shelf.newest(connection, lot_uri)
        except NotFoundError:
            return _unknown(web, request, connection, link)
        context = lot_page_context(connection, dossier, link, lang)
        scan = connection.execute(_SQL["scan"], {"code": link.canonical()}).fetchone()
    assert scan is not None  # the statement returns the row it wrote
    context |= {"scans": scan[1], "first_scan_ms": to_ms(scan[0]), "public_uri": link.at(web.public_url)}
    return web.pages.render(request, "trace/lot.html", context)


def _unknown(web: RoomWeb, request: Request, connection: Connection, link: DigitalLink) -> Response:
    """Say whether the lot is on its way into the log, or nothing is known of it."""
    known = connection.execute(_SQL["lot_exists"], {"lot_uri": link.without("21", "22").canonical()}).fetchone()
    waiting = bool(known and known[0])
    context = {"link": link, "waiting": waiting}
    return web.pages.render(request, "trace/lot_unknown.html", context, status=200 if waiting else 404)
