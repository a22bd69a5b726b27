"""The operator console: pages, data for the trend, and the live stream.

Options of `RoomWeb` are the fields of `ConsoleConfig`, and `stopping`, a `threading.Event` set when the server is asked
to stop, so that open streams end at once. All pages need the role operator and show the person's subtree only; a zone
or an alarm outside it is not there.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from markupsafe import Markup
from starlette.responses import JSONResponse, Response, StreamingResponse

from hanlu.alerts.alarm_actions import add_alarm_actions
from hanlu.alerts.alarm_pages import add_alarm_pages, shown
from hanlu.alerts.calibration_page import add_calibration_page
from hanlu.alerts.config import ConsoleConfig
from hanlu.alerts.desk import Desk
from hanlu.alerts.excursion.pages import add_excursion_pages
from hanlu.alerts.lines import Wanted, arrange
from hanlu.alerts.live import Viewer
from hanlu.alerts.people.pages import add_people_pages
from hanlu.alerts.quality_page import add_quality_page
from hanlu.alerts.read import SPARK_GAP_MS, Read
from hanlu.alerts.rules.pages import add_rule_pages
from hanlu.alerts.shift.handover_page import add_handover_pages
from hanlu.alerts.shift.load_page import add_load_pages
from hanlu.alerts.stream import Hub
from hanlu.alerts.trend import CHART_POINTS, RANGES, Trend, payload, picture, pictures, read_trend
from hanlu.alerts.views import ChannelNow, ZoneNow
from hanlu.alerts.wallboard import add_wallboard
from hanlu.alerts.wording import metric_name, unit_label, words
from hanlu.core.curve import Lang, Span, sparkline
from hanlu.core.errors import NotFoundError
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["router"]

ZONES_PER_PAGE = 36
"""So many cards keep the first view under 100 KB with everything it needs."""

CALLING_SHOWN = 5
"""So many alarms are told in a sentence above the rooms."""

GATEWAYS_PER_PAGE = 50

RangeName = Annotated[str, Query(pattern="^(1h|6h|24h|7d)$")]
Code = Annotated[str | None, Query(max_length=80)]


def router(web: RoomWeb) -> APIRouter:
    """Return the console's routes."""
    config = ConsoleConfig.model_validate(dict(web.options))
    stopping = web.options.get("stopping") or threading.Event()
    desk = Desk(web, config)
    hub = Hub(web.pool, config, web.clock, stopping, desk.rows)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        stopping.set()

    routes = APIRouter(lifespan=life, include_in_schema=False)
    _add_overview(routes, web, desk)
    _add_zone(routes, web, desk)
    _add_gateways(routes, web, desk)
    add_quality_page(routes, web, desk)
    add_calibration_page(routes, web, desk)
    add_alarm_pages(routes, web, desk)
    add_rule_pages(routes, web, desk)
    add_alarm_actions(routes, web, desk)
    add_excursion_pages(routes, web, desk)
    add_wallboard(routes, web, desk)
    add_load_pages(routes, web, desk)
    add_handover_pages(routes, web, desk)
    add_people_pages(routes, web, desk)
    _add_stream(routes, web, hub)
    return routes


def _add_overview(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console")
    def overview(
        request: Request,
        person: Person = operator,
        site: Code = None,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        with desk.reading(person) as (read, now_ms, frame):
            codes = read.zone_codes(site or None)
            pages = max(1, -(-len(codes) // ZONES_PER_PAGE))
            zones = read.zones(codes[(page - 1) * ZONES_PER_PAGE : page * ZONES_PER_PAGE], now_ms)
            lines = arrange(desk.lines(read, person.scope), Wanted(site=site or ""))
            calling = [each for each in lines[:CALLING_SHOWN] if any(one.calls for one in each)]
            context = {
                "calling": shown(read, calling),
                "zones": zones,
                "sparks": {each.main.channel_id: _spark(each) for each in zones},
                "sites": read.sites(desk.SITES_LISTED + 1),
                "site": site or "",
                "counts": read.counts(),
                "page": page,
                "pages": pages,
            }
        return desk.render(request, "alerts/overview.html", frame | context)


def _add_zone(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/zone/{code}")
    def zone(
        request: Request,
        code: str,
        person: Person = operator,
        range: RangeName = "6h",  # noqa: A002 - the parameter's name in the address
    ) -> Response:
        lang: Lang = "zh" if web.pages.language(request) == "zh" else "en"
        with desk.reading(person) as (read, now_ms, frame):
            found = _zone(read, code, now_ms)
            main, span = found.main, _span(found.main, range, now_ms)
            alarms = read.alarms(zones=[code], from_ms=span.from_ms, to_ms=span.to_ms, limit=100)
            trend = None if main.is_switch else read_trend(read, main, found.channels[1:], span, alarms, now_ms)
            others: list[tuple[ChannelNow, Markup | None]] = []
            for channel in found.channels[1:]:
                if not channel.is_switch:
                    other = read_trend(read, channel, (), span, alarms, now_ms)
                    others.append((channel, _picture(other, lang)))
                elif trend is None:
                    others.append((channel, None))
        context = {
            "zone": found,
            "range": range,
            "ranges": list(RANGES),
            "alarms": alarms,
            "others": others,
            "picture": None if trend is None else _pictures(trend, lang),
            "has_readings": trend is not None and bool(trend.samples),
            "stream_zone": code,
        }
        return desk.render(request, "alerts/zone.html", frame | context)

    @routes.get("/console/zone/{code}/series")
    def series(
        request: Request,
        code: str,
        person: Person = operator,
        range: RangeName = "6h",  # noqa: A002 - the parameter's name in the address
    ) -> Response:
        say = words(web.pages.language(request))
        with desk.reading(person) as (read, now_ms, _):
            found = _zone(read, code, now_ms)
            span = _span(found.main, range, now_ms)
            alarms = read.alarms(zones=[code], from_ms=span.from_ms, to_ms=span.to_ms, limit=100)
            trend = read_trend(read, found.main, found.channels[1:], span, alarms, now_ms, CHART_POINTS)
        return JSONResponse(payload(trend, unit=unit_label(found.main.unit), words=say))


def _add_gateways(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/gateways")
    def gateways(
        request: Request, person: Person = operator, page: Annotated[int, Query(ge=1, le=10_000)] = 1
    ) -> Response:
        with desk.reading(person) as (read, _, frame):
            found = read.gateways(GATEWAYS_PER_PAGE + 1, (page - 1) * GATEWAYS_PER_PAGE)
            context: dict[str, Any] = {
                "gateways": found[:GATEWAYS_PER_PAGE],
                "page": page,
                "more": len(found) > GATEWAYS_PER_PAGE,
                "losses": read.losses(),
                "dead_letters": read.dead_letters(),
                "counts": read.counts(),
                "account_parts": ("produced", "stored", "duplicate", "lost", "dead", "outstanding"),
            }
        return desk.render(request, "alerts/gateways.html", frame | context)


def _add_stream(routes: APIRouter, web: RoomWeb, hub: Hub) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/stream")
    async def stream(
        request: Request,
        person: Person = operator,
        zone: Code = None,
        after: Annotated[str, Query(max_length=100)] = "",
        rows: Annotated[str, Query(pattern="^(zh|en)?$")] = "",
    ) -> Response:
        # The header is what the browser last saw; `after` is what the page was made from, and only counts at first.
        last = request.headers.get("last-event-id", "") or after
        return StreamingResponse(
            hub.stream(Viewer(person.scope, zone or None, rows), last),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _zone(read: Read, code: str, now_ms: int) -> ZoneNow:
    found = read.zones([code], now_ms, sparks=False)
    if not found:
        raise NotFoundError(f"there is no zone {code}")
    return found[0]


def _span(channel: ChannelNow, name: str, now_ms: int) -> Span:
    end = channel.end_ms(now_ms)
    return Span(end - RANGES[name], end)


def _spark(zone: ZoneNow) -> Markup:
    main = zone.main
    svg = sparkline(zone.spark, 120, 36, max(SPARK_GAP_MS, main.gap_ms), main.low, main.high)
    return Markup(svg)  # noqa: S704 - made of numbers only


def _words_of(trend: Trend, lang: Lang) -> dict[str, Any]:
    channel = trend.channel
    return {
        "title": metric_name(channel.metric, lang),
        "unit": unit_label(channel.unit),
        "lang": lang,
        "words": words(lang),
    }


def _pictures(trend: Trend, lang: Lang) -> Markup:
    return Markup(pictures(trend, **_words_of(trend, lang)))  # noqa: S704 - core.curve escapes every word


def _picture(trend: Trend, lang: Lang) -> Markup:
    svg = picture(trend, **_words_of(trend, lang), width=360, height=150)
    return Markup(svg)  # noqa: S704 - core.curve escapes every word
