"""The alarm list, one alarm with its journal, and acknowledging."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.acknowledge import NOTE_LENGTH, acknowledge
from hanlu.alerts.desk import Desk
from hanlu.alerts.read import Read
from hanlu.alerts.trend import pictures, read_trend
from hanlu.alerts.views import Alarm
from hanlu.alerts.wording import metric_name, unit_label, words
from hanlu.core.curve import Lang, Span
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_alarm_pages"]

PER_PAGE = 50
_AROUND_MS = 2 * 3_600_000
_MOST_SPAN_MS = 14 * 24 * 3_600_000


def add_alarm_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages to the console's routes."""
    _add_list(routes, web, desk)
    _add_alarm(routes, web, desk)
    _add_acknowledge(routes, web, desk)


def _add_list(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/alarms")
    def alarms(
        request: Request,
        person: Person = operator,
        state: Annotated[str, Query(pattern="^(open|all)$")] = "open",
        site: Annotated[str | None, Query(max_length=80)] = None,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        with desk.reading(person) as (read, _, frame):
            found = read.alarms(
                site=site or None, open_only=state == "open", limit=PER_PAGE + 1, offset=(page - 1) * PER_PAGE
            )
            context = {"counts": read.counts(), "sites": read.sites(desk.SITES_LISTED + 1)}
        address = f"/console/alarms?{urlencode({'state': state, 'site': site or ''})}"
        context |= {
            "alarms": found[:PER_PAGE],
            "more": len(found) > PER_PAGE,
            "everything": state == "all",
            "site": site or "",
            "page": page,
            "page_url": address,
            "back": f"{address}&page={page}",
        }
        return desk.render(request, "alerts/alarms.html", frame | context)


def _add_alarm(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/alarms/{alarm_id}")
    def alarm(request: Request, alarm_id: int, person: Person = operator) -> Response:
        return _detail(request, web, desk, person, alarm_id)


def _add_acknowledge(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/alarms/{alarm_id}/acknowledge")
    def seen(
        request: Request,
        alarm_id: int,
        version: Annotated[int, Form(ge=1)],
        person: Person = operator,
        note: Annotated[str, Form(max_length=NOTE_LENGTH)] = "",
        back: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:
        note = note.strip()
        try:
            with translated(), web.pool.connection() as connection:
                if Read(connection, person.scope).alarm(alarm_id) is None:
                    raise NotFoundError(f"there is no alarm {alarm_id}")
                acknowledge(connection, alarm_id, version, person.login, note, web.clock.now_ms())
        except ConflictError:
            return _detail(request, web, desk, person, alarm_id, conflict=True, note=note)
        web.audit(person.person_id, "alerts.alarm.acknowledge", str(alarm_id), {"version": version, "note": note})
        # Only a way back into the console: a form must not send people elsewhere.
        target = back if back.startswith("/console") and "\\" not in back else f"/console/alarms/{alarm_id}"
        return RedirectResponse(target, status_code=303)


def _detail(
    request: Request, web: RoomWeb, desk: Desk, person: Person, alarm_id: int, *, conflict: bool = False, note: str = ""
) -> Response:
    lang: Lang = "zh" if web.pages.language(request) == "zh" else "en"
    with desk.reading(person) as (read, now_ms, frame):
        found = read.alarm(alarm_id)
        if found is None:
            raise NotFoundError(f"there is no alarm {alarm_id}")
        context: dict[str, Any] = {
            "alarm": found,
            "journal": read.journal(alarm_id),
            "picture": _picture(read, found, lang, now_ms),
            "conflict": conflict,
            "unsaved_note": note,
            "path_of_alarm": f"/console/alarms/{alarm_id}",
        }
    return desk.render(request, "alerts/alarm.html", frame | context, status=409 if conflict else 200)


def _picture(read: Read, alarm: Alarm, lang: Lang, now_ms: int) -> Markup | None:
    """Return the curve from two hours before the alarm to two hours after it."""
    zone = read.zones([alarm.zone], now_ms, sparks=False)
    channel = next((each for one in zone for each in one.channels if each.channel_id == alarm.channel_id), None)
    if channel is None or channel.is_switch:
        return None
    now_ms = channel.end_ms(now_ms)
    start, end = alarm.span(now_ms)
    right = min(min(end, start + _MOST_SPAN_MS) + _AROUND_MS, max(now_ms, alarm.raised_ms))
    span = Span(start - _AROUND_MS, right)
    trend = read_trend(read, channel, zone[0].channels, span, [alarm], now_ms)
    html = pictures(
        trend,
        title=metric_name(alarm.metric, lang),
        unit=unit_label(alarm.unit),
        lang=lang,
        words=words(lang),
    )
    return Markup(html)  # noqa: S704 - core.curve escapes every word
